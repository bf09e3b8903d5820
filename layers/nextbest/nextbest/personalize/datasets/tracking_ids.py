"""Tracking ids: they name the program, and the dataset in it, that events belong to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nextbest.domain.access_keys import PROGRAM_ID, WRITE, AccessKey
from nextbest.domain.programs import Program
from nextbest.errors import NotFound
from nextbest.logic.authorization import open_program
from nextbest.personalize.datasets.schema import ACTION_INTERACTIONS, INTERACTIONS, DatasetSchema
from nextbest.personalize.protocol.arns import owner_of
from nextbest.store.base import DEPLOYMENT, ConfigurationStore, ProgramState

TRACKING_ID = "tracking-id"
"""The kind of their resources, which belong to the deployment: no one can guess an id."""


@dataclass(frozen=True, slots=True)
class Tracker:
    """Where events go. ``schema`` is None where the program has no dataset for them: then any property is allowed."""

    state: ProgramState
    schema: DatasetSchema | None = None


def tracker_resource(program: Program, dataset_type: str, schema: DatasetSchema | None) -> dict[str, Any]:
    """The stored resource of a tracking id: all that putting an event needs, in one read."""
    return {
        "program_id": program.program_id,
        "incarnation": program.incarnation,
        "dataset_type": dataset_type,
        "schema": schema.to_json() if schema is not None else None,
    }


def open_tracker(store: ConfigurationStore, key: AccessKey, tracking_id: str, dataset_type: str) -> Tracker:
    """The tracker for events of ``dataset_type``. Every program implicitly has one under its own id.

    Raises NotFound for an id that does not exist, is for other events, or belongs to a program of others.
    """
    assert dataset_type in (INTERACTIONS, ACTION_INTERACTIONS)
    hidden = NotFound(f"Tracking id {tracking_id} does not exist.")
    if not PROGRAM_ID.fullmatch(tracking_id):  # ours have that form too
        raise hidden
    resource: Mapping[str, Any] | None = store.resource(DEPLOYMENT, TRACKING_ID, tracking_id)
    if resource is None:
        return Tracker(open_program(store, key, tracking_id, WRITE, hidden=hidden))
    if resource["dataset_type"] != dataset_type:
        raise hidden
    state = open_program(store, key, resource["program_id"], WRITE, hidden=hidden)
    if state.program.incarnation != owner_of(resource):
        raise hidden
    schema = DatasetSchema.from_json(resource["schema"]) if resource["schema"] is not None else None
    return Tracker(state, schema)
