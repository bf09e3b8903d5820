"""Training a solution version: one rebase of the program, whose outcome is recorded.

``run_version`` trains a version that a client created; ``train_version`` makes one for a rebase that was started by
PUT /program/rebase or by the schedule.

Source: docs/contracts/personalize.md, sections 7.7 and 8.3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from random import Random
from typing import Any

from nextbest.domain.programs import Incarnation, Program
from nextbest.domain.rebase_status import is_lost
from nextbest.domain.resource_statuses import (
    ACTIVE,
    CREATE_FAILED,
    CREATE_IN_PROGRESS,
    CREATE_PENDING,
    STOPPED,
    STOPPING,
    UNFINISHED,
)
from nextbest.errors import NextbestError, NotFound
from nextbest.logic.rebase_size import NeedsSpark
from nextbest.logic.training_plan import AUTOMATIC, new_version, outdated_versions
from nextbest.personalize.protocol.arns import VERSION
from nextbest.scoring import Model
from nextbest.store.base import ArtifactStore, ConfigurationStore, ModelPointer

_HOUR_SECONDS = 3600.0
_AT_WORK = (CREATE_IN_PROGRESS, STOPPING)


def run_version(
    store: ConfigurationStore,
    artifacts: ArtifactStore,
    incarnation: Incarnation,
    name: str,
    rebase: Callable[[], ModelPointer],
    *,
    clock: Callable[[], float],
) -> ModelPointer | None:
    """Train the version ``name`` of a program by ``rebase`` and record the outcome; None for one not to be trained.

    A version that was stopped or deleted while it waited is not trained, nor is one that an earlier attempt finished.
    The library's own errors are recorded, not raised; any other error is recorded and raised. Raises NeedsSpark, and
    the version waits again.
    """
    version = store.resource(incarnation, VERSION, name)
    if version is None or version["status"] not in UNFINISHED:
        return None
    _record(store, incarnation, name, clock(), status=CREATE_IN_PROGRESS)
    try:
        with suppress(NextbestError):
            return _train(store, artifacts, incarnation, name, rebase, clock)
    except NeedsSpark:
        _record(store, incarnation, name, clock(), status=CREATE_PENDING)
        raise
    return None


def train_version(
    store: ConfigurationStore,
    artifacts: ArtifactStore,
    program: Program,
    solution: Mapping[str, Any],
    rebase: Callable[[], ModelPointer],
    *,
    training_type: str,
    random: Random,
    clock: Callable[[], float],
) -> ModelPointer:
    """Rebase a program as a new version of ``solution``. ``training_type`` is AUTOMATIC or MANUAL.

    Errors are recorded and raised. Raises NeedsSpark, and there is no such version: the Spark job makes its own.
    """
    incarnation = program.incarnation
    if training_type == AUTOMATIC and program.horizon_days != solution["period_days"]:
        store.update_program(replace(program, horizon_days=solution["period_days"]))
    name = f"{solution['name']}/{random.getrandbits(32):08x}"
    version = new_version(
        solution, name, training_type=training_type, now=clock(), status=CREATE_IN_PROGRESS, by_rebase=True
    )
    store.create_resource(incarnation, VERSION, name, version)
    for outdated in outdated_versions(store, program, solution["name"]):
        with suppress(NotFound):
            store.delete_resource(incarnation, VERSION, outdated)
    try:
        return _train(store, artifacts, incarnation, name, rebase, clock)
    except NeedsSpark:
        with suppress(NotFound):
            store.delete_resource(incarnation, VERSION, name)
        raise


def end_trainings(
    store: ConfigurationStore, incarnation: Incarnation, waiting: str | None, failure: str, *, now: float
) -> None:
    """Record the failure of what a run left unfinished that died while it held the program's lease: nothing else can
    be training the program then. ``waiting`` is the version that the run had still to begin with, if there is one."""
    for version in list(store.list_resources([incarnation], VERSION)):
        is_waiting = version["status"] == CREATE_PENDING and version["name"] == waiting
        if is_waiting or (version["status"] in _AT_WORK and not is_lost(now - version["updated"], waiting=False)):
            _record(store, incarnation, version["name"], now, status=CREATE_FAILED, failure=failure)


def _train(
    store: ConfigurationStore,
    artifacts: ArtifactStore,
    incarnation: Incarnation,
    name: str,
    rebase: Callable[[], ModelPointer],
    clock: Callable[[], float],
) -> ModelPointer:
    """Rebase, and record in the version how that ended. Errors are recorded and raised."""
    began = clock()
    failure = "The training was interrupted"
    try:
        pointer = rebase()
        report = Model.from_bytes(artifacts.get(pointer.key)).report
        failure = ""
    except NeedsSpark:
        failure = ""
        raise
    except NextbestError as error:
        failure = error.message
        raise
    finally:
        if failure:
            _record(store, incarnation, name, clock(), status=CREATE_FAILED, failure=failure)
    hours = (clock() - began) / _HOUR_SECONDS
    _record(
        store,
        incarnation,
        name,
        clock(),
        status=ACTIVE,
        hours=hours,
        metrics=metrics_of(report),
        model=pointer.version,
        learned_from={count: report[count] for count in ("events", "users", "actions")},
    )
    return pointer


def metrics_of(report: Mapping[str, Any]) -> dict[str, float]:
    """The metrics in a model's report under the keys of section 7.7; empty where no user could be evaluated."""
    held_out: Mapping[str, float] = report.get("modes", {}).get("repeats", {}).get("held_out", {})
    return {name.replace("ndcg", "normalized_discounted_cumulative_gain"): value for name, value in held_out.items()}


def _record(store: ConfigurationStore, incarnation: Incarnation, name: str, now: float, **members: Any) -> None:
    """Change a version, unless it was deleted meanwhile; one that is being stopped ends as STOPPED."""
    version = store.resource(incarnation, VERSION, name)
    if version is None:
        return
    if version["status"] == STOPPING:
        members["status"] = STOPPED
    store.put_resource(incarnation, VERSION, name, {**version, **members, "updated": now})
