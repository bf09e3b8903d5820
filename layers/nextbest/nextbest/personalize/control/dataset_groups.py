"""Dataset groups: each is a program, and every program is one (docs/contracts/personalize.md, section 8.3)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from nextbest.domain.access_keys import ADMIN, PROGRAM_ID
from nextbest.domain.programs import Program, new_incarnation
from nextbest.domain.resource_statuses import ACTIVE
from nextbest.errors import AlreadyExists, Forbidden, InUse, InvalidInput
from nextbest.logic.program_removal import remove_program
from nextbest.logic.spark_runs import job_run_of
from nextbest.observability import logger
from nextbest.personalize.control.implicit import dates_of
from nextbest.personalize.control.recipes import refuse_domain
from nextbest.personalize.control.resources import ControlCall, Operation, Resource, dates, narrowing, page
from nextbest.personalize.datasets.removal import remove_tracking_ids
from nextbest.personalize.datasets.sources import NOT_TAKEN, VIEWED
from nextbest.personalize.protocol.arns import (
    DATASET,
    DATASET_GROUP,
    EVENT_TRACKER,
    FILTER,
    SOLUTION,
    missing,
    name_in,
)
from nextbest.store.base import ProgramState, ResourceKey

# What must be deleted before a dataset group, in the order in which clean-up scripts delete.
_DEPENDENTS = (SOLUTION, EVENT_TRACKER, FILTER, DATASET)


def create_dataset_group(call: ControlCall) -> Mapping[str, Any]:
    name = call.request["name"]
    refuse_domain(call)
    if "kmsKeyArn" in call.request:
        problem = "kmsKeyArn is not supported: the operator of this deployment chooses the key of all its data"
        raise InvalidInput(problem, field="kmsKeyArn")
    arn = call.arn(DATASET_GROUP, name)
    opens = call.key.opens_every_program or call.key.incarnation_of(name) is not None
    if not (opens and call.key.allows(ADMIN)):
        raise Forbidden(f"the access key lacks the scope {ADMIN} for every dataset group, or for {name}")
    taken = AlreadyExists(f"Another resource with Arn {arn} already exists.")
    if call.store.program_state(name) is not None:
        raise taken
    if not call.key.opens_every_program:  # it opens one that was deleted, and would not open the new one
        raise Forbidden(f"the access key lacks the scope {ADMIN} for every dataset group")
    incarnation = new_incarnation(name, random=call.deployment.random)
    # Created first, so that the new program's datasets are never taken for implicit ones.
    settings = {"roleArn": call.request["roleArn"]} if "roleArn" in call.request else {}
    call.create(DATASET_GROUP, name, incarnation, settings)
    try:
        never = (NOT_TAKEN, VIEWED)
        call.store.create_program(
            Program(name, name, incarnation=incarnation, never_recommended=never, created_at=call.now)
        )
    except AlreadyExists as error:
        call.store.delete_resource(incarnation, DATASET_GROUP, name)
        raise taken from error
    return {"datasetGroupArn": arn}


def describe_dataset_group(call: ControlCall) -> Mapping[str, Any]:
    return {"datasetGroup": _render(call, _group(call), with_settings=True)}


def list_dataset_groups(call: ControlCall) -> Mapping[str, Any]:
    return page(call, _groups(call), "datasetGroups", lambda row: _render(call, row, with_settings=False))


def delete_dataset_group(call: ControlCall) -> Mapping[str, Any]:
    """Delete a program with everything of it. AWS answers nothing; stock clients do not show what we say was removed.

    A deletion that was interrupted is done to its end by another call.
    """
    arn = call.request["datasetGroupArn"]
    program_id = name_in(arn, DATASET_GROUP, field="datasetGroupArn")
    incarnation = call.store.unfinished_removal(program_id) if PROGRAM_ID.fullmatch(program_id) else None
    if incarnation is not None:
        call.key.require(incarnation, ADMIN, hidden=missing(arn))
    else:
        incarnation = group_named(call, arn).incarnation
        for kind in _DEPENDENTS:
            blocker = next(call.resources(kind, of=incarnation), None)
            if blocker is not None:
                raise InUse(f"The dataset group cannot be deleted before {call.arn(kind, blocker['name'])}")
    job_run = job_run_of(call.store, incarnation)
    call.store.begin_removal(incarnation)
    if job_run is not None:
        call.deployment.cancel_job_run(job_run)
    others = remove_tracking_ids(call.store, incarnation)
    removal = asdict(remove_program(call.store, call.deployment.artifacts, incarnation))
    removed = {**removal, "items": removal["items"] + others}
    logger.info("a program was deleted", program_id=program_id, **removed)
    return {"nextbestRemoved": removed}


def group_named(call: ControlCall, arn: str, *, field: str = "datasetGroupArn") -> Program:
    """The program that a dataset group's ARN names. Raises NotFound, Forbidden unless the caller administers it."""
    return call.program(name_in(arn, DATASET_GROUP, field=field), arn=arn).program


def group_narrowed_to(call: ControlCall) -> Program | None:
    """The dataset group that a list is narrowed to; None where it is not. Raises InvalidInput, Forbidden."""
    if "datasetGroupArn" not in call.request:
        return None
    with narrowing("datasetGroupArn"):
        return group_named(call, call.request["datasetGroupArn"])


def list_of_group(
    call: ControlCall, kind: str, key: str, render: Callable[[ControlCall, Resource], Mapping[str, Any]]
) -> dict[str, Any]:
    """One page of the resources of a kind, of one dataset group where the request is narrowed to it."""
    program = group_narrowed_to(call)
    matches = call.listed(kind, of=program.incarnation if program is not None else None)
    scope = program.program_id if program is not None else ""
    return page(call, matches, key, lambda row: render(call, row), scope=scope)


def _group(call: ControlCall) -> Resource:
    arn = call.request["datasetGroupArn"]
    state = call.program(name_in(arn, DATASET_GROUP, field="datasetGroupArn"), arn=arn)
    program = state.program
    return _of(state, call.store.resource(program.incarnation, DATASET_GROUP, program.program_id))


def _groups(call: ControlCall) -> Iterator[Resource]:
    """The dataset groups of all programs that the caller administers."""
    states = call.states() if call.key.allows(ADMIN) else []
    keys = {ResourceKey(state.program.incarnation, DATASET_GROUP, state.program.program_id): state for state in states}
    made = call.store.find_resources(keys)
    return (_of(state, made.get(key)) for key, state in keys.items())


def _of(state: ProgramState, group: Resource | None) -> Resource:
    """The dataset group of a program; one that was created through ActionHub has none, and the program's dates."""
    program = state.program
    ids = {"name": program.program_id, "program_id": program.program_id, "incarnation": program.incarnation}
    return group or {**ids, **dates_of(state)}


def _render(call: ControlCall, group: Resource, *, with_settings: bool) -> dict[str, Any]:
    rendered = {
        "name": group["name"],
        "datasetGroupArn": call.arn(DATASET_GROUP, group["name"]),
        "status": ACTIVE,
        **dates(group),
    }
    return rendered | ({"roleArn": group["roleArn"]} if with_settings and "roleArn" in group else {})


OPERATIONS: dict[str, Operation] = {
    "CreateDatasetGroup": create_dataset_group,
    "DescribeDatasetGroup": describe_dataset_group,
    "ListDatasetGroups": list_dataset_groups,
    "DeleteDatasetGroup": delete_dataset_group,
}
