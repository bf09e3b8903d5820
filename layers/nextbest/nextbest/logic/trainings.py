"""The trainings of a program: each rebase is one, whatever started it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nextbest.domain.programs import Incarnation, Program, program_id_of
from nextbest.domain.rebase_status import is_lost
from nextbest.domain.resource_statuses import ACTIVE, BUSY, CREATE_FAILED, CREATE_PENDING, STOPPED
from nextbest.logic.rebase_size import RebaseSize
from nextbest.logic.training_plan import AUTOMATIC
from nextbest.store.base import VERSION, ConfigurationStore

_HOUR_SECONDS = 3600.0
_OUTCOMES = {ACTIVE: "trained", CREATE_FAILED: "failed", CREATE_PENDING: "waiting", STOPPED: "stopped"}


@dataclass(frozen=True, slots=True)
class Training:
    """One training. ``began`` in seconds since 1970; ``seconds`` is how long it took, None where it has not ended.

    ``outcome`` is ``trained``, ``failed``, ``stopped``, ``waiting``, ``running`` or ``lost``; ``failure`` says why.
    ``model`` is the version of the model that it made, and ``learned_from`` its numbers of events, users and actions;
    trainings of before recorded none.
    """

    began: float
    is_automatic: bool
    solution: str
    outcome: str
    failure: str
    seconds: float | None
    model: str
    learned_from: Mapping[str, int]


def trainings_of(store: ConfigurationStore, program: Program, *, now: float) -> list[Training]:
    """The trainings of a program, the newest first. One Query."""
    versions = store.list_resources([program.incarnation], VERSION)
    return sorted((_training(version, now) for version in versions), key=lambda each: each.began, reverse=True)


def size_in_service(store: ConfigurationStore, incarnation: Incarnation) -> RebaseSize:
    """How much the program's model was learned from; nothing where there is none, or that is not recorded."""
    state = store.program_state(program_id_of(incarnation))
    if state is not None and state.model is not None and state.program.incarnation == incarnation:
        for version in store.list_resources([incarnation], VERSION):
            if version.get("model") == state.model.version:
                return RebaseSize(**version.get("learned_from", {"events": 0}))
    return RebaseSize(0)


def _training(version: Mapping[str, Any], now: float) -> Training:
    status, seconds = version["status"], None
    outcome = _OUTCOMES.get(status, "running")
    failure = version.get("failure", "")
    if status in BUSY and is_lost(now - version["updated"], waiting=status == CREATE_PENDING):
        outcome, failure = "lost", "it ended without a report"
    if status not in BUSY:
        hours = version.get("hours")
        seconds = hours * _HOUR_SECONDS if hours is not None else version["updated"] - version["created"]
    return Training(
        began=version["created"],
        is_automatic=version.get("training_type") == AUTOMATIC,
        solution=version["solution"],
        outcome=outcome,
        failure=failure,
        seconds=seconds,
        model=version.get("model", ""),
        learned_from=version.get("learned_from", {}),
    )
