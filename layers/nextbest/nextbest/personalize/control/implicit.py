"""What a program has that nobody created through this client: it can be described and listed like everything else.

A program that was not created as a dataset group implicitly has a campaign, an event tracker and datasets of all types
with their schemas, as far as none were created; every program has a solution of its own (``logic/training_plan.py``),
which is there once it was trained. None of them is stored, so none can be changed or deleted by itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from nextbest.domain.assets import FieldValue
from nextbest.domain.programs import Incarnation, Program
from nextbest.domain.resource_statuses import ACTIVE
from nextbest.logic.training_plan import own_solution
from nextbest.personalize.datasets.properties import undeclared_field
from nextbest.personalize.datasets.schema import ACTION_INTERACTIONS, ACTIONS, DATASET_TYPES, TYPES
from nextbest.personalize.datasets.sources import ACTION_ID, is_action
from nextbest.personalize.protocol.arns import (
    CAMPAIGN,
    DATASET,
    DATASET_GROUP,
    EVENT_TRACKER,
    SOLUTION,
    VERSION,
)
from nextbest.store.base import ConfigurationStore, ProgramState, ResourceKey

LATEST = "$LATEST"
IMPLICIT = "implicit"
"""The member that tells these resources from stored ones."""

_Stored = Sequence[Mapping[str, Any]]
_NAMESPACE = "com.amazonaws.personalize.schema"


def implicit_resources(
    store: ConfigurationStore, state: ProgramState, kind: str, stored: _Stored, *, is_group: bool
) -> Iterator[Mapping[str, Any]]:
    """The resources of a kind that a program implicitly has, beside those that are ``stored``.

    ``is_group`` is whether it was created as a dataset group.
    """
    program = state.program
    if is_group and not (kind == SOLUTION and _has_versions_of_its_own(store, program)):
        return
    for resource in _RESOURCES[kind](program, stored):
        yield {
            "program_id": program.program_id,
            "incarnation": program.incarnation,
            "status": ACTIVE,
            **dates_of(state),
            **resource,
            IMPLICIT: True,
        }


def is_dataset_group(store: ConfigurationStore, program: Program) -> bool:
    """Whether a program was created as a dataset group: then all it has was created too."""
    return bool(dataset_groups_among(store, [program]))


def dataset_groups_among(store: ConfigurationStore, programs: Iterable[Program]) -> set[Incarnation]:
    """Those of ``programs`` that were created as dataset groups; a round trip for every 100."""
    keys = (ResourceKey(program.incarnation, DATASET_GROUP, program.program_id) for program in programs)
    return {key.owner for key in store.find_resources(keys)}


def dates_of(state: ProgramState) -> dict[str, float]:
    """When a program was created, and when its model was last updated: seconds since 1970.

    Of programs whose creation was not recorded the oldest date that is known is taken.
    """
    pointers = [pointer for pointer in (state.previous_model, state.model) if pointer is not None]
    models = [int(pointer.version.partition("-")[0]) / 1000 for pointer in pointers]
    created = state.program.created_at or min(models, default=0.0)
    return {"created": created, "updated": max([created, *models])}


def schema_text(store: ConfigurationStore, program: Program, dataset_type: str) -> str:
    """The Avro schema of an implicit dataset: what is required, and the fields that occur among the actions."""
    required = [{"name": name, "type": kind} for name, kind in TYPES[dataset_type].required.items()]
    observed = _fields_of_actions(store, program) if dataset_type == ACTIONS else {}
    fields = [*required, *({"name": name, "type": ["null", kind]} for name, kind in observed.items())]
    record = {"type": "record", "name": TYPES[dataset_type].schema_name, "namespace": _NAMESPACE, "fields": fields}
    return json.dumps({**record, "version": "1.0"})


def _fields_of_actions(store: ConfigurationStore, program: Program) -> dict[str, str]:
    values: dict[str, FieldValue] = {}
    for asset in filter(is_action, store.assets(program.incarnation)):
        values.update((name, value) for name, value in asset.fields.items() if value is not None)
    reserved = TYPES[ACTIONS].reserved
    return {
        name: reserved[name][-1] if name in reserved else undeclared_field(name, value).type
        for name, value in sorted(values.items())
        if name != ACTION_ID and not name.startswith("_")
    }


def _campaigns(program: Program, stored: _Stored) -> Iterator[dict[str, Any]]:
    if all(row["name"] != program.program_id for row in stored):
        yield {
            "name": program.program_id,
            "solution": program.program_id,
            "version": f"{program.program_id}/{LATEST}",
            "transactions_per_second": 1,
            "config": {"syncWithLatestSolutionVersion": True},
        }


def _solutions(program: Program, stored: _Stored) -> Iterator[dict[str, Any]]:
    if all(row["name"] != program.program_id for row in stored):
        yield own_solution(program)


def _event_trackers(program: Program, stored: _Stored) -> Iterator[dict[str, Any]]:
    if not stored:
        program_id = program.program_id
        yield {"name": program_id, "tracker_name": program_id, "tracking_id": program_id}


def _datasets(program: Program, stored: _Stored) -> Iterator[dict[str, Any]]:
    declared = {row["dataset_type"] for row in stored}
    for dataset_type in DATASET_TYPES:
        if dataset_type not in declared:
            name = f"{program.program_id}/{dataset_type}"
            tracking_id = program.program_id if dataset_type == ACTION_INTERACTIONS else None
            yield {
                "name": name,
                "dataset_name": program.program_id,
                "dataset_type": dataset_type,
                "schema": name,  # described as the schema of this name
                "tracking_id": tracking_id,
            }


def _has_versions_of_its_own(store: ConfigurationStore, program: Program) -> bool:
    """Whether a dataset group that was created as one was trained without a solution."""
    versions = store.list_resources([program.incarnation], VERSION)
    return any(version["solution"] == program.program_id for version in versions)


_RESOURCES: Mapping[str, Callable[[Program, _Stored], Iterator[dict[str, Any]]]] = {
    CAMPAIGN: _campaigns,
    DATASET: _datasets,
    EVENT_TRACKER: _event_trackers,
    SOLUTION: _solutions,
}
IMPLICIT_KINDS = _RESOURCES.keys()
