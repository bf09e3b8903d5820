"""The events of a program as a rebase holds them, and what it does with all of them.

``ScannedLog`` has them as columns in this process; the Spark job has them in ranges of users on a cluster, and is a
program of its own. All else of a rebase is the same (``logic/rebase.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from nextbest.domain.event_columns import EventColumns, TimesByUser
from nextbest.domain.programs import Program
from nextbest.logic.segment_writing import publish
from nextbest.scoring import Model
from nextbest.scoring.memberships import Segments, build_parts
from nextbest.store.base import ArtifactStore, SegmentsPointer, Store
from nextbest.training import train
from nextbest.training.drift import measure_drift


@dataclass(frozen=True, slots=True)
class RefreshedHistories:
    """How many histories were rebuilt from the log, the users with whom that was not possible, and for how many there
    was no time."""

    rebuilt: int
    failed: Sequence[str]
    left: int = 0


class EventLog(Protocol):
    """All events of a program. Times are seconds since 1970; ``now`` is when the rebase began."""

    @property
    def event_count(self) -> int:
        """How many events there are."""
        ...

    def train(self, program: Program, *, now: float, seed: int) -> Model:
        """Learn a model from them."""
        ...

    def drift(self, served: Model, *, now: float) -> dict[str, dict[str, float]]:
        """What the model that is served predicted, against what came true since (``training.drift``)."""
        ...

    def refresh_histories(self, program: Program) -> RefreshedHistories:
        """Rebuild the histories that lack some of the events."""
        ...

    def publish_segments(
        self, program: Program, model: Model, *, now: float, check: Callable[[], object]
    ) -> SegmentsPointer:
        """Score all users, and point to what was written; ``check`` is called in between, and may raise."""
        ...


ReadLog = Callable[[Callable[[str], object]], EventLog]
"""Reads the events of a program; it is given what to call with the users of rows that cannot be read."""


_USERS_AT_ONCE = 2_000
"""Whose histories are rebuilt before the time is looked at again: about three seconds."""


class ScannedLog:
    """The events as columns. Implements ``EventLog``.

    ``has_time`` says whether anything may be done yet that can wait for the next rebase, where so many users are still
    to be scored.
    """

    def __init__(
        self,
        store: Store,
        artifacts: ArtifactStore,
        columns: EventColumns,
        *,
        has_time: Callable[[int], bool] = lambda _: True,
    ) -> None:
        self._store = store
        self._artifacts = artifacts
        self._columns = columns
        self._has_time = has_time

    @property
    def event_count(self) -> int:
        """How many events there are."""
        return len(self._columns)

    def train(self, program: Program, *, now: float, seed: int) -> Model:
        """Learn a model from them."""
        return train(self._columns, program=program, now=now, seed=seed)

    def drift(self, served: Model, *, now: float) -> dict[str, dict[str, float]]:
        """What the model that is served predicted, against what came true since."""
        return measure_drift(served, self._columns, now)

    def refresh_histories(self, program: Program) -> RefreshedHistories:
        """Rebuild the histories that lack some of the events: after a back-fill, or where a writer was killed."""
        users = list(self._store.outdated_users(program.incarnation, TimesByUser(self._columns)))
        done, failed = 0, list[str]()
        while done < len(users) and self._has_time(len(self._columns.user_ids)):
            some = users[done : done + _USERS_AT_ONCE]
            failed += self._store.rebuild_histories(program, some)
            done += len(some)
        return RefreshedHistories(done - len(failed), failed, len(users) - done)

    def publish_segments(
        self, program: Program, model: Model, *, now: float, check: Callable[[], object]
    ) -> SegmentsPointer:
        """Score all users, and point to what was written."""

        def parts() -> Iterator[dict[str, Segments]]:
            for part in build_parts(model, self._columns, half_life_days=program.half_life_days, now=now):
                check()
                yield part

        return publish(self._store, self._artifacts, program.incarnation, parts(), computed_at=now)
