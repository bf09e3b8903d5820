"""The library's ``Partitions`` on Spark: functions go to the executors, and sums come back."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from pyspark import RDD, StorageLevel

from nextbest.domain.actions import Action
from nextbest.domain.events import MICROSECONDS
from nextbest.training.partitions import Block, Partition
from nextbest.training.ridge import BLOCK_ACTIONS
from nextbest.training.sample import sample_share, sampled
from nextbest.training.table import EventTable
from tools.spark.event_files import EventRanges, UserRange

Result = TypeVar("Result")
Arrays = Mapping[str, NDArray[Any]]


_LARGE_BYTES = 1 << 20
"""Of a result that does not travel with the numbers of all blocks, but by itself."""


class SparkPartitions:
    """The events of all users up to a time, a partition a range of users: implements the library's ``Partitions``.

    Several ranges are in one task, which adds up its own sums before they travel. ``close`` frees what they take.
    """

    def __init__(self, ranges: EventRanges, now: float) -> None:
        """The events up to ``now`` (seconds since 1970)."""
        first = ranges.first_us.items()
        self._actions = tuple(sorted(action for action, first_us in first if first_us / MICROSECONDS <= now))
        self._tables = ranges.ranges.map(_Tables(self._actions, now)).persist(StorageLevel.MEMORY_AND_DISK)

    @property
    def actions(self) -> tuple[Action, ...]:
        """The actions of all users, sorted."""
        return self._actions

    def each(self, function: Callable[[Partition], Result]) -> list[Result]:
        """The results of ``function`` for every range, in order."""
        results: list[Result] = self._tables.map(function).collect()
        return results

    def total(self, function: Callable[[Partition], Arrays]) -> dict[str, NDArray[Any]]:
        """The sums by name over all ranges."""
        totals: dict[str, NDArray[Any]] = self._tables.mapPartitions(_Totals(function)).treeReduce(_added)
        return totals

    def blocks(
        self, function: Callable[[Partition], Iterable[tuple[int, Block]]], finish: Callable[[int, Block], Result]
    ) -> Iterator[tuple[int, Result]]:
        """Blocks that are summed and finished on the executors; large results are fetched one by one."""
        # A block a task, as a rule: one of a large matrix has 200 MB, and those of one task travel as one.
        tasks = -(-len(self._actions) // BLOCK_ACTIONS) or 1
        finished: RDD[tuple[int, Result]] = (
            self._tables.mapPartitions(_Blocks(function))
            .partitionBy(tasks, int)
            .mapPartitions(_Finish(finish))
            .persist(StorageLevel.DISK_ONLY)
        )
        try:
            blocks = finished.mapPartitionsWithIndex(_listed).collect()
            for number, task, small in sorted(blocks):
                pickled = [small] if small else finished.context.runJob(finished, _Pick(number), [task])
                result: Result = pickle.loads(pickled[0])
                yield number, result
        finally:
            finished.unpersist()

    def sample(self, seed: int) -> EventTable:
        """The events of the users that a training is tuned on, with the actions of all (``training.sample``)."""
        parts = self.each(_Sampled(sample_share(sum(self.each(_event_count))), seed))
        user_ids = [user_id for part in parts for user_id in part.user_ids]
        offsets = np.cumsum([0, *(part.user_count for part in parts)])
        user = np.concatenate([part.user + offset for part, offset in zip(parts, offsets.tolist(), strict=False)])
        action, time = (np.concatenate([getattr(part, name) for part in parts]) for name in ("action", "time"))
        return EventTable.from_codes(user_ids, self._actions, user, action, time)

    def close(self) -> None:
        """Free the memory and the files of the partitions."""
        self._tables.unpersist()


@dataclass(frozen=True, slots=True)
class _Tables:
    """Makes partitions of ranges of users: with the actions of everybody, and the events up to ``now``."""

    actions: tuple[Action, ...]
    now: float

    def __call__(self, user_range: UserRange) -> Partition:
        table = EventTable.of(user_range.columns, self.now)
        position = {action: place for place, action in enumerate(self.actions)}
        # Both are sorted, so the order of events stays.
        places = np.array([position[action] for action in table.actions], np.int32)
        own = (table.user_ids, self.actions, table.starts, places[table.action], table.time, table.tie_end)
        return Partition(user_range.number, EventTable(*own))


def _event_count(partition: Partition) -> int:
    return len(partition.table.time)


@dataclass(frozen=True, slots=True)
class _Sampled:
    """The events of the users of a range who are in the sample, without the actions: they are the same for all."""

    share: float
    seed: int

    def __call__(self, partition: Partition) -> EventTable:
        return replace(sampled(partition.table, self.share, self.seed), actions=())


@dataclass(frozen=True, slots=True)
class _Totals:
    """The sums over the ranges of one task."""

    function: Callable[[Partition], Arrays]

    def __call__(self, partitions: Iterable[Partition]) -> Iterator[dict[str, NDArray[Any]]]:
        yield reduce(_added, (dict(self.function(partition)) for partition in partitions))


def _added(one: dict[str, NDArray[Any]], other: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {name: array + other[name] for name, array in one.items()}


@dataclass(frozen=True, slots=True)
class _Blocks:
    """The sums of blocks over the ranges of one task."""

    function: Callable[[Partition], Iterable[tuple[int, Block]]]

    def __call__(self, partitions: Iterable[Partition]) -> Iterator[tuple[int, Block]]:
        sums: dict[int, Block] = {}
        for partition in partitions:
            for number, block in self.function(partition):
                sums[number] = sums[number] + block if number in sums else block
        while sums:
            yield sums.popitem()


@dataclass(frozen=True, slots=True)
class _Finish(Generic[Result]):
    """Adds up the blocks of each number that came from all tasks, and finishes the sums."""

    finish: Callable[[int, Block], Result]

    def __call__(self, blocks: Iterable[tuple[int, Block]]) -> Iterator[tuple[int, Result]]:
        sums: dict[int, Block] = {}
        for number, block in blocks:
            sums[number] = sums[number] + block if number in sums else block
        for number in sorted(sums):
            yield number, self.finish(number, sums.pop(number))


def _listed(task: int, blocks: Iterable[tuple[int, Any]]) -> Iterator[tuple[int, int, bytes]]:
    """The number of each block of a task, the task, and the result, pickled; empty where that is large."""
    for number, result in blocks:
        pickled = pickle.dumps(result, pickle.HIGHEST_PROTOCOL)
        yield number, task, pickled if len(pickled) < _LARGE_BYTES else b""


@dataclass(frozen=True, slots=True)
class _Pick:
    """The result of one block, pickled."""

    number: int

    def __call__(self, blocks: Iterable[tuple[int, Any]]) -> Iterator[bytes]:
        return (pickle.dumps(result, pickle.HIGHEST_PROTOCOL) for number, result in blocks if number == self.number)
