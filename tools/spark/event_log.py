"""The library's ``EventLog`` on Spark: what a rebase does with all events, range of users by range of users.

Executors open the table and the bucket themselves, and read and write what is their users'.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass

from nextbest.domain.actions import Action
from nextbest.domain.event_columns import EventColumns, TimesByUser, joined
from nextbest.domain.programs import Program
from nextbest.logic.event_log import RefreshedHistories
from nextbest.logic.segment_writing import SegmentsWriter
from nextbest.scoring import Model
from nextbest.scoring.memberships import PART_USERS, actions_of_segments, build_part
from nextbest.scoring.segment_manifest import SegmentsPart
from nextbest.store.base import ArtifactStore, SegmentsPointer, Store
from nextbest.training import train_partitions
from nextbest.training.drift import measure_drift, of_some_users
from nextbest.training.plan import TIME_BUDGET_SECONDS
from tools.spark.event_files import EventRanges, UserRange
from tools.spark.partitions import SparkPartitions
from tools.spark.session import plain_failures

OpenDeployment = Callable[[], tuple[Store, ArtifactStore]]
"""Opens the table and the bucket, in whatever process; can be pickled."""


class SparkLog:
    """The events in ranges of users. Implements ``logic.event_log.EventLog``."""

    def __init__(
        self, ranges: EventRanges, open_deployment: OpenDeployment, *, time_budget_seconds: float = TIME_BUDGET_SECONDS
    ) -> None:
        self._ranges = ranges
        self._open = open_deployment
        self._time_budget_seconds = time_budget_seconds

    @property
    def event_count(self) -> int:
        """How many events there are."""
        return self._ranges.events

    def train(self, program: Program, *, now: float, seed: int) -> Model:
        """Learn a model: settings from a sample of users, weights from everybody."""
        with plain_failures(), closing(SparkPartitions(self._ranges, now)) as partitions:
            return train_partitions(
                partitions,
                partitions.sample(seed),
                program=program,
                now=now,
                seed=seed,
                time_budget_seconds=self._time_budget_seconds,
            )

    def drift(self, served: Model, *, now: float) -> dict[str, dict[str, float]]:
        """What the model that is served predicted, against what came true since."""
        chosen = _SomeUsers(_sums_before(self._ranges.users), sum(self._ranges.users))
        with plain_failures():
            parts = self._ranges.ranges.map(chosen).collect()
        return measure_drift(served, joined(parts), now)

    def refresh_histories(self, program: Program) -> RefreshedHistories:
        """Rebuild the histories that lack some of the events, and those that are marked."""
        with plain_failures():
            refreshed = self._ranges.ranges.map(_Refresh(program, self._open)).collect()
        store, _ = self._open()
        marked = sorted(self._ranges.marked)
        failed = store.rebuild_histories(program, marked)
        return RefreshedHistories(
            sum(each.rebuilt for each in refreshed) + len(marked) - len(failed),
            [*(user_id for each in refreshed for user_id in each.failed), *failed],
        )

    def publish_segments(
        self, program: Program, model: Model, *, now: float, check: Callable[[], object]
    ) -> SegmentsPointer:
        """Score all users, each range in parts of its own, and point to what was written."""
        actions = actions_of_segments(model, self._ranges.first_us)
        firsts = _sums_before([_part_count(users) for users in self._ranges.users])
        write = _WriteSegments(program, model, actions, now, firsts, self._open)
        with plain_failures():
            parts = [part for of_range in self._ranges.ranges.map(write).collect() for part in of_range]
        check()
        store, artifacts = self._open()
        return SegmentsWriter(store, artifacts, program.incarnation, computed_at=now).publish(actions, parts)

    def close(self) -> None:
        """Free the memory and the files of the ranges."""
        self._ranges.ranges.unpersist()


@dataclass(frozen=True, slots=True)
class _SomeUsers:
    """The events of the users of a range by whom drift is measured; ``firsts`` are the users before each range."""

    firsts: Sequence[int]
    users: int

    def __call__(self, user_range: UserRange) -> EventColumns:
        return of_some_users(user_range.columns, self.firsts[user_range.number], self.users)


@dataclass(frozen=True, slots=True)
class _Refresh:
    """Rebuilds the histories of a range that lack events."""

    program: Program
    open_deployment: OpenDeployment

    def __call__(self, user_range: UserRange) -> RefreshedHistories:
        store, _ = self.open_deployment()
        users = list(store.outdated_among(self.program.incarnation, TimesByUser(user_range.columns)))
        failed = store.rebuild_histories(self.program, users)
        return RefreshedHistories(len(users) - len(failed), failed)


@dataclass(frozen=True, slots=True)
class _WriteSegments:
    """Writes the segments of a range, in parts; ``firsts`` are the numbers of the first part of each range."""

    program: Program
    model: Model
    actions: Sequence[Action]
    now: float
    firsts: Sequence[int]
    open_deployment: OpenDeployment

    def __call__(self, user_range: UserRange) -> list[SegmentsPart | None]:
        writer = SegmentsWriter(*self.open_deployment(), self.program.incarnation, computed_at=self.now)
        columns, first = user_range.columns, self.firsts[user_range.number]
        written = []
        for number in range(_part_count(len(columns.user_ids))):
            begin = number * PART_USERS
            part = columns.of_users(begin, min(begin + PART_USERS, len(columns.user_ids)))
            half_life_days = self.program.half_life_days
            built = build_part(self.model, part, half_life_days=half_life_days, now=self.now, actions=self.actions)
            written.append(writer.write(first + number, built))
        return written


def _part_count(users: int) -> int:
    return -(-users // PART_USERS)


def _sums_before(counts: Sequence[int]) -> Sequence[int]:
    sums = [0]
    for count in counts:
        sums.append(sums[-1] + count)
    return sums[:-1]
