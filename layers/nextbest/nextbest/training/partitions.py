"""The events of all users in partitions, and sums over them: what one process and a cluster have in common.

A partition holds a range of users in the order of their ids, with all their events; the actions are the same in all.
What is learned from all users is made of sums over partitions, added up in float64 or in integers and rounded once
after that: so it hardly depends on how users are divided. One process has one partition.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nextbest.domain.actions import Action
from nextbest.training.table import EventTable

Block = NDArray[np.float64] | sparse.csr_array
"""Some rows of a large matrix, float64."""
Result = TypeVar("Result")


class Partition:
    """The events of a range of users: ``table`` has their ids alone, but the actions of everybody.

    ``number`` counts partitions from zero, in the order of their users.
    """

    __slots__ = ("_results", "number", "table")

    def __init__(self, number: int, table: EventTable) -> None:
        self.number = number
        self.table = table
        self._results: dict[Hashable, Any] = {}

    def once(self, key: Hashable, compute: Callable[[], Result]) -> Result:
        """``compute()``, kept by its ``key`` for as long as the partition is in memory."""
        if key not in self._results:
            self._results[key] = compute()
        result: Result = self._results[key]
        return result

    def __reduce__(self) -> tuple[type[Partition], tuple[int, EventTable]]:
        """Only the events travel: what was computed is computed again where it is needed."""
        return Partition, (self.number, self.table)


class Partitions(Protocol):
    """All partitions: at least one, of which any may be empty.

    The functions given to it may run in other processes: they are functions of a module or frozen dataclasses, which
    can be pickled, and may be called more than once for a partition.
    """

    @property
    def actions(self) -> tuple[Action, ...]:
        """The actions of all users, sorted: what the tables of all partitions name by index."""
        ...

    def each(self, function: Callable[[Partition], Result]) -> list[Result]:
        """The results of ``function`` for every partition, in order. For results that are small in sum."""
        ...

    def total(self, function: Callable[[Partition], Mapping[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
        """The sums by name over all partitions of arrays that have the same shapes in each: float64 or int64."""
        ...

    def blocks(
        self,
        function: Callable[[Partition], Iterable[tuple[int, Block]]],
        finish: Callable[[int, Block], Result],
    ) -> Iterator[tuple[int, Result]]:
        """Sums of large matrices in blocks: those with one number are added up over all partitions, and the sum is
        handed to ``finish`` with that number. Gives the number and the result of each, in order of numbers.

        ``function`` gives blocks of the same numbers and shapes for every partition, in ascending order of numbers;
        some may be sparse and others dense.
        """
        ...


class OnePartition:
    """All users in one partition, in this process."""

    def __init__(self, table: EventTable) -> None:
        self._partition = Partition(0, table)

    @property
    def actions(self) -> tuple[Action, ...]:
        """The actions of the table."""
        return self._partition.table.actions

    def each(self, function: Callable[[Partition], Result]) -> list[Result]:
        """One result."""
        return [function(self._partition)]

    def total(self, function: Callable[[Partition], Mapping[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
        """The arrays as they are."""
        return dict(function(self._partition))

    def blocks(
        self,
        function: Callable[[Partition], Iterable[tuple[int, Block]]],
        finish: Callable[[int, Block], Result],
    ) -> Iterator[tuple[int, Result]]:
        """One block after another, so that one at a time is in memory."""
        return ((number, finish(number, block)) for number, block in function(self._partition))
