"""Rebase: from the event log to a served model.

Everything a rebase makes is derived. It writes an artifact under a new name and then moves one pointer, so readers see
either the old model or the new one in full; a rebase that dies half-way leaves only an unused file behind. Of two
concurrent rebases the one that began later wins. One whose program is deleted meanwhile changes nothing, also where
another program has the id by then. A user whose data cannot be read or stored is set aside, and named in the status.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256

from nextbest.domain.programs import Incarnation, Program, program_id_of
from nextbest.domain.rebase_status import COMPLETE, FAILED, LOADING, REFRESHING, SEGMENTING, STARTED, TRAINING
from nextbest.errors import ArtifactError, InvalidInput, NotFound, ProgramNotFound, Stopped
from nextbest.logic.event_log import EventLog, ReadLog, ScannedLog
from nextbest.logic.model_report import describe_drift
from nextbest.logic.models import pointer_to
from nextbest.logic.rebase_size import NeedsSpark, RebaseSize, scoring_seconds
from nextbest.observability import logger
from nextbest.scoring import Model
from nextbest.store.base import (
    ArtifactStore,
    CataloguePointer,
    ModelPointer,
    ProgramState,
    SegmentsPointer,
    Status,
    Store,
)
from nextbest.store.cache import CatalogueCache

Clock = Callable[[], float]

_NAMED_USERS, _NAMED_CHARACTERS = 3, 64


class Rebase:
    """One rebase of one program. ``clock`` gives seconds since 1970; the model is as of the time the rebase begins.

    ``memory_bytes`` is how much it may take: a program that is too large for that, or for the time that there is, is
    refused before it is learned from, and as soon as so much of it was read. Where ``spark_above_events`` is not 0, it
    is not refused but left to Spark, and so is one with more events than that. ``seconds`` is how long it may take:
    histories that it has no time for are left to the next rebase, which rebuilds them.

    ``read`` reads the log in another way than this process does, whatever its size. ``check`` is called before each
    stage: what it raises ends the rebase, and is reported unless it is Stopped, after which others report.
    """

    def __init__(
        self,
        store: Store,
        artifacts: ArtifactStore,
        incarnation: Incarnation,
        *,
        clock: Clock,
        seed: int = 0,
        memory_bytes: float = math.inf,
        seconds: float = math.inf,
        spark_above_events: int = 0,
        read: ReadLog | None = None,
        check: Callable[[], object] = lambda: None,
    ) -> None:
        self._store = store
        self._artifacts = artifacts
        self._incarnation = incarnation
        self._clock = clock
        self._seed = seed
        self._memory_bytes = memory_bytes
        self._seconds = seconds
        self._spark_above_events = spark_above_events
        self._read = read or self._scan
        self._check_running = check
        self._began = clock()
        self._set_aside: set[str] = set()

    def run(self) -> ModelPointer:
        """Train on the log, write the model, move the pointer.

        Raises NotFound, InvalidInput (nothing to learn from), QuotaExceeded (more than fits into one invocation),
        NeedsSpark (the same, where Spark is deployed).

        On any other exception the program's status becomes ``program_rebase_failed``, with the reason.
        """
        state = self._state()
        with self._reported():
            self._begin(LOADING, "reading the event log")
            self._store.note_rebase(self._incarnation, now=self._began)
            self._store.finish_imports(state.program)
            log = self._read_log()
            self._begin(TRAINING, f"learning from {log.event_count:,} events")
            model = log.train(state.program, now=self._began, seed=self._seed)
            drift = self._drift(state, log)
            if drift:
                model = replace(model, report={**model.report, "drift": drift})
            self._check_running()
            pointer = self._publish(model)
            self._begin(REFRESHING, "refreshing histories that lack events, and the catalogue")
            refreshed = log.refresh_histories(state.program)
            self._set_aside.update(refreshed.failed)
            if refreshed.left:
                self._store.note_unfinished_rebase(self._incarnation)
            self._publish_catalogue(state)
            self._begin(SEGMENTING, "scoring all users for segments")
            self._publish_segments(state.program, model, log)
            self._report(
                COMPLETE,
                f"model {pointer.version}: {log.event_count:,} events, {len(model.actions):,} actions, "
                f"{refreshed.rebuilt:,} histories refreshed, "
                + (f"{refreshed.left:,} left to the next rebase, " if refreshed.left else "")
                + f"{self._clock() - self._began:.1f} s"
                + (f"; {described}" if (described := describe_drift(drift)) else "")
                + self._set_aside_message(),
            )
        return pointer

    def _state(self) -> ProgramState:
        """The program as it is now. Raises NotFound once it is deleted; then no file is to be written for it."""
        program_id = program_id_of(self._incarnation)
        state = self._store.program_state(program_id)
        if state is None or state.program.incarnation != self._incarnation:
            raise ProgramNotFound(program_id)
        return state

    def refresh_segments(self) -> SegmentsPointer:
        """Score all users again with the current model, without training. Raises NotFound, InvalidInput."""
        state = self._state()
        if state.model is None:
            raise NotFound(f"program {state.program.program_id} has no model yet")
        program = state.program
        model = Model.from_bytes(self._artifacts.get(state.model.key)).under(program)
        return self._publish_segments(program, model, self._read_log())

    def _publish_segments(self, program: Program, model: Model, log: EventLog) -> SegmentsPointer:
        def check() -> None:
            self._check_running()
            self._state()

        return log.publish_segments(program, model, now=self._began, check=check)

    @contextmanager
    def _reported(self) -> Iterator[None]:
        self._report(STARTED, "the rebase has begun")
        reason = "the rebase was stopped"
        try:
            yield
            reason = ""
        except (NeedsSpark, Stopped):  # it goes on as a Spark job; others report, or are at work by now
            reason = ""
            raise
        except BaseException as error:
            reason = str(error) or type(error).__name__
            raise
        finally:
            if reason:
                self._report(FAILED, reason)

    def _begin(self, status_id: str, message: str) -> None:
        self._check_running()
        self._report(status_id, message)

    def _report(self, status_id: str, message: str) -> None:
        self._store.put_status(Status(self._incarnation, status_id, message, self._clock()))

    def _read_log(self) -> EventLog:
        log = self._read(self._set_aside.add)
        if not log.event_count:
            raise InvalidInput("there are no events to learn from yet")
        return log

    def _scan(self, unreadable: Callable[[str], object]) -> EventLog:
        events = self._store.scan_events(
            self._incarnation, unreadable=unreadable, progress=lambda count: self._check(RebaseSize(count))
        )
        if len(events):
            self._check(RebaseSize(len(events), len(events.user_ids), len(events.actions()[0])))
        return ScannedLog(self._store, self._artifacts, events, has_time=self._has_time)

    def _has_time(self, users: int) -> bool:
        """Whether there is time for more than to score so many users."""
        return self._clock() - self._began < self._seconds - scoring_seconds(users)

    def _check(self, size: RebaseSize) -> None:
        size.check(self._memory_bytes, spark_above_events=self._spark_above_events)

    def _drift(self, state: ProgramState, log: EventLog) -> dict[str, dict[str, float]]:
        """What the model that is served told, against what came true since; nothing where it cannot be read."""
        if state.model is None:
            return {}
        try:
            served = Model.from_bytes(self._artifacts.get(state.model.key))
        except ArtifactError:
            return {}
        return log.drift(served, now=self._began)

    def _publish(self, model: Model) -> ModelPointer:
        data = model.to_bytes()
        # Versions sort by the time a rebase began; the digest distinguishes equal times.
        version = f"{round(self._began * 1000):013d}-{sha256(data).hexdigest()[:12]}"
        pointer = pointer_to(self._incarnation, version)
        self._state()
        self._artifacts.put(pointer.key, data)
        self._store.point_to_model(self._incarnation, pointer)
        return pointer

    def _set_aside_message(self) -> str:
        """Which users have rows of the log that cannot be read, or a history that cannot be rebuilt; the first few."""
        if not self._set_aside:
            return ""
        logger.warning("users were set aside", users=len(self._set_aside))
        named = [
            user_id if len(user_id) <= _NAMED_CHARACTERS else f"{user_id[:_NAMED_CHARACTERS]}…"
            for user_id in sorted(self._set_aside)[:_NAMED_USERS]
        ]
        more = ", ..." if len(self._set_aside) > _NAMED_USERS else ""
        return (
            f"; set aside, as data cannot be read or stored: {len(self._set_aside):,} users ({', '.join(named)}{more})"
        )

    def _publish_catalogue(self, state: ProgramState) -> None:
        """Write the catalogue as one file, so that cold readers need not read its changes one by one."""
        if state.catalogue_revision == (state.catalogue.revision if state.catalogue else 0):
            return
        catalogue = CatalogueCache(self._store, self._artifacts).catalogue_of(state)
        try:
            data = catalogue.encode()
        except ArtifactError as error:
            logger.warning("the catalogue is not written; readers read its assets", reason=error.message)
            return
        pointer = CataloguePointer(catalogue.revision, f"catalogues/{self._incarnation}/{catalogue.revision:012d}.nbc")
        self._state()
        self._artifacts.put(pointer.key, data)
        self._store.point_to_catalogue(self._incarnation, pointer)
