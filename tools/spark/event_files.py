"""Events from many files, in no order, into ranges of users: each range with all events of its users.

Every file is read once, to columns of 20 bytes an event; from these follow the actions and the bounds of the ranges,
and each file's columns are cut at the bounds and sent to where a range is put together.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Generic, TypeVar

import numpy as np
from pyspark import RDD, SparkContext, StorageLevel

from nextbest.domain.actions import Action
from nextbest.domain.event_columns import EventColumns, joined
from nextbest.errors import NextbestError, TableExportError

Source = TypeVar("Source")


@dataclass(slots=True)
class SourceNotes:
    """What else is learned of a file: the users of rows that cannot be read, and those whose history is marked as
    lacking events."""

    unreadable: set[str] = field(default_factory=set)
    marked: set[str] = field(default_factory=set)


ReadSource = Callable[[Source, SourceNotes], Iterable[EventColumns]]
"""Reads a file, in parts where that is needed, and fills in the notes."""

RANGE_EVENTS = 250_000
"""About how many events a range of users has: what one task holds, with all that is computed from them, many times."""
_TASK_EVENTS = 20_000_000
"""Of the ranges of one task together: 400 MB as columns. More tasks have more sums of matrices to add up."""
_SAMPLES = 256
"""Events of each part of a file that the bounds of ranges are chosen by."""


@dataclass(frozen=True, slots=True, eq=False)
class UserRange:
    """The events of a range of users; ``number`` counts ranges from zero, in the order of their users."""

    number: int
    columns: EventColumns


@dataclass(frozen=True, slots=True, eq=False)
class EventRanges:
    """The events of all users in ranges, in order, several of them in a partition of Spark's.

    ``users`` has the number of users of each range. ``first_us`` has the time of the first event of each action, in
    microseconds since 1970. ``unreadable`` are the users of rows that cannot be read; ``marked`` those whose history is
    marked as lacking events, without most of those who have any.
    """

    ranges: RDD[UserRange]
    events: int
    users: Sequence[int]
    first_us: Mapping[Action, int]
    unreadable: frozenset[str]
    marked: frozenset[str]


def read_ranges(
    context: SparkContext,
    sources: Sequence[Source],
    read: ReadSource[Source],
    *,
    tasks: int,
    range_events: int = RANGE_EVENTS,
) -> EventRanges:
    """Read all ``sources`` into ranges, of which so many ``tasks`` at least have some each. Raises TableExportError
    for a file that is damaged."""
    files = context.parallelize(sources, max(len(sources), 1))
    parts = files.mapPartitions(_Reading(read)).persist(StorageLevel.DISK_ONLY)
    try:
        summary = parts.mapPartitions(_summarised).treeReduce(_Summary.plus)
        if summary.failure:
            raise TableExportError(summary.failure)
        bounds = _bounds(summary, max(1, round(summary.events / range_events)))
        count = len(bounds) + 1
        tasks = min(max(tasks, summary.events // _TASK_EVENTS), count)
        ranges = (
            parts.flatMap(_Cut(bounds))
            .partitionBy(tasks, _TaskOf(count, tasks))
            .mapPartitionsWithIndex(_Gather(count, tasks))
            .persist(StorageLevel.MEMORY_AND_DISK)
        )
        users = ranges.map(_user_count).collect()
    finally:
        parts.unpersist()
    return EventRanges(ranges, summary.events, users, summary.first_us, summary.unreadable, summary.marked)


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """Some events of a file; or why the file cannot be used."""

    columns: EventColumns
    unreadable: frozenset[str] = frozenset()
    marked: frozenset[str] = frozenset()
    failure: str = ""


@dataclass(frozen=True, slots=True)
class _Reading(Generic[Source]):
    """Reads files. One that is damaged is reported and not tried again, unlike a service that does not answer."""

    read: ReadSource[Source]

    def __call__(self, sources: Iterable[Source]) -> Iterator[_Part]:
        for source in sources:
            notes = SourceNotes()
            with_events: set[str] = set()
            try:
                for columns in self.read(source, notes):
                    with_events.update(columns.user_ids)
                    yield _Part(columns)
                yield _Part(joined([]), frozenset(notes.unreadable), frozenset(notes.marked - with_events))
            except NextbestError as error:
                yield _Part(joined([]), failure=error.message)


@dataclass(frozen=True, slots=True, eq=False)
class _Summary:
    """What has to be known of all parts. ``samples`` are ids of users, each with the number of events it stands for."""

    events: int
    first_us: dict[Action, int]
    samples: list[tuple[str, float]]
    unreadable: frozenset[str]
    marked: frozenset[str]
    failure: str

    @classmethod
    def of(cls, part: _Part) -> _Summary:
        columns = part.columns
        actions, action = columns.actions()
        first_us = np.full(len(actions), np.iinfo(np.int64).max)
        np.minimum.at(first_us, action, columns.timestamp_us)
        places = np.linspace(0, len(columns), min(_SAMPLES, len(columns)), endpoint=False).astype(np.int64)
        stands_for = len(columns) / max(len(places), 1)
        samples = [(columns.user_ids[user], stands_for) for user in columns.user[places].tolist()]
        first = dict(zip(actions, first_us.tolist(), strict=True))
        return cls(len(columns), first, samples, part.unreadable, part.marked, part.failure)

    def plus(self, other: _Summary) -> _Summary:
        first_us = dict(self.first_us)
        for action, time_us in other.first_us.items():
            first_us[action] = min(time_us, first_us.get(action, time_us))
        return _Summary(
            self.events + other.events,
            first_us,
            self.samples + other.samples,
            self.unreadable | other.unreadable,
            self.marked | other.marked,
            self.failure or other.failure,
        )


_NOTHING = _Summary(0, {}, [], frozenset(), frozenset(), "")


def _summarised(parts: Iterable[_Part]) -> Iterator[_Summary]:
    yield reduce(_Summary.plus, map(_Summary.of, parts), _NOTHING)


def _bounds(summary: _Summary, ranges: int) -> list[str]:
    """The first user of each range but the first one, so that all have about as many events."""
    samples = sorted(summary.samples)
    ends = np.cumsum([weight for _, weight in samples])
    places = np.searchsorted(ends, np.arange(1, ranges) * (summary.events / ranges))
    return sorted({samples[place][0] for place in places.tolist()})


@dataclass(frozen=True, slots=True)
class _Cut:
    """Cuts the events of a part at the bounds: the number of each range, and its events."""

    bounds: Sequence[str]

    def __call__(self, part: _Part) -> Iterator[tuple[int, EventColumns]]:
        columns = part.columns
        places = [0, *(bisect_left(columns.user_ids, bound) for bound in self.bounds), len(columns.user_ids)]
        for number in range(len(places) - 1):
            if places[number] < places[number + 1]:
                yield number, columns.of_users(places[number], places[number + 1])


@dataclass(frozen=True, slots=True)
class _TaskOf:
    """Which of ``tasks`` has a range, of ``count`` ranges: the ranges of one follow one another."""

    count: int
    tasks: int

    def __call__(self, number: int) -> int:
        return number * self.tasks // self.count


@dataclass(frozen=True, slots=True)
class _Gather:
    """Puts together the ranges of one task, in order, also those without events."""

    count: int
    tasks: int

    def __call__(self, task: int, pieces: Iterable[tuple[int, EventColumns]]) -> Iterator[UserRange]:
        task_of = _TaskOf(self.count, self.tasks)
        collected: dict[int, list[EventColumns]] = {
            number: [] for number in range(self.count) if task_of(number) == task
        }
        for number, columns in pieces:
            collected[number].append(columns)
        for number in list(collected):
            yield UserRange(number, joined(collected.pop(number)))


def _user_count(user_range: UserRange) -> int:
    return len(user_range.columns.user_ids)
