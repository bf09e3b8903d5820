"""Dataset groups: each is a program, and every program is one (docs/contracts/personalize.md, section 8.3)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nextbest.domain.access_keys import ADMIN
from nextbest.domain.programs import Program
from nextbest.errors import AlreadyExists, Forbidden, InUse
from nextbest.personalize.control.resources import ControlCall, Operation, Resource, dates, narrowing, page
from nextbest.personalize.datasets.sources import NOT_TAKEN, VIEWED
from nextbest.personalize.protocol.arns import (
    DATASET,
    DATASET_GROUP,
    EVENT_TRACKER,
    FILTER,
    SOLUTION,
    name_in,
    stored_kind,
)
from nextbest.personalize.protocol.statuses import ACTIVE

# What must be deleted before a dataset group, in the order in which clean-up scripts delete.
_DEPENDENTS = (SOLUTION, EVENT_TRACKER, FILTER, DATASET)


def create_dataset_group(call: ControlCall) -> Mapping[str, Any]:
    name = call.request["name"]
    arn = call.arn(DATASET_GROUP, name)
    if not (call.key.opens(name) and call.key.allows(ADMIN)):
        raise Forbidden(f"the access key lacks the scope {ADMIN} for every program, or for {name}")
    taken = AlreadyExists(f"Another resource with Arn {arn} already exists.")
    if call.store.program_state(name) is not None:
        raise taken
    # Created first, so that the new program's datasets are never taken for implicit ones.
    settings = {key: call.request[key] for key in ("roleArn", "kmsKeyArn", "domain") if key in call.request}
    call.create(DATASET_GROUP, name, name, settings)
    try:
        call.store.create_program(Program(name, name, never_recommended=(NOT_TAKEN, VIEWED)))
    except AlreadyExists as error:
        raise taken from error
    return {"datasetGroupArn": arn, "domain": call.request.get("domain")}


def describe_dataset_group(call: ControlCall) -> Mapping[str, Any]:
    return {"datasetGroup": _render(call, _group(call), with_settings=True)}


def list_dataset_groups(call: ControlCall) -> Mapping[str, Any]:
    return page(call, _groups(call), "datasetGroups", lambda row: _render(call, row, with_settings=False))


def delete_dataset_group(call: ControlCall) -> None:
    group = _group(call)
    for kind in _DEPENDENTS:
        blocker = next(call.resources(kind, program_id=group["name"]), None)
        if blocker is not None:
            raise InUse(f"The dataset group cannot be deleted before {call.arn(kind, blocker['name'])}")
    call.store.remove_program(group["name"])
    if call.store.resource(stored_kind(DATASET_GROUP), group["name"]) is not None:
        call.delete(DATASET_GROUP, group)


def group_named(call: ControlCall, arn: str, *, field: str = "datasetGroupArn") -> str:
    """The program id in a dataset group's ARN. Raises NotFound, Forbidden unless the caller administers it."""
    program_id = name_in(arn, DATASET_GROUP, field=field)
    call.program(program_id, arn=arn)
    return program_id


def group_criteria(call: ControlCall) -> dict[str, str]:
    """The criteria of a list that may name a dataset group. Raises InvalidInput for one that does not exist."""
    if "datasetGroupArn" not in call.request:
        return {}
    with narrowing("datasetGroupArn"):
        return {"program_id": group_named(call, call.request["datasetGroupArn"])}


def _group(call: ControlCall) -> Resource:
    name = group_named(call, call.request["datasetGroupArn"])
    return call.store.resource(stored_kind(DATASET_GROUP), name) or _implicit(name)


def _groups(call: ControlCall) -> Iterator[Resource]:
    """The dataset groups of all programs that the caller administers."""
    made = {row["name"]: row for row in call.store.list_resources(stored_kind(DATASET_GROUP))}
    for program in sorted(call.store.list_programs(), key=lambda program: program.program_id):
        group = made.get(program.program_id) or _implicit(program.program_id)
        if call.sees(group):
            yield group


def _implicit(program_id: str) -> Resource:
    """The dataset group of a program that was created through ActionHub, which does not record the time."""
    return {"name": program_id, "program_id": program_id, "created": 0.0, "updated": 0.0}


def _render(call: ControlCall, group: Resource, *, with_settings: bool) -> dict[str, Any]:
    rendered = {
        "name": group["name"],
        "datasetGroupArn": call.arn(DATASET_GROUP, group["name"]),
        "status": ACTIVE,
        **dates(group),
    }
    keys = ("domain", "roleArn", "kmsKeyArn") if with_settings else ("domain",)
    return rendered | {key: group[key] for key in keys if key in group}


OPERATIONS: dict[str, Operation] = {
    "CreateDatasetGroup": create_dataset_group,
    "DescribeDatasetGroup": describe_dataset_group,
    "ListDatasetGroups": list_dataset_groups,
    "DeleteDatasetGroup": delete_dataset_group,
}
