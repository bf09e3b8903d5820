"""The rows of inputs: users at moments, and those of each partition that learners learn from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nextbest.domain.history import WINDOW
from nextbest.scoring.kernels import Kernel
from nextbest.training.examples import example_moments, followed_by, without_seen
from nextbest.training.partitions import Partition
from nextbest.training.popularity import UserActionPairs
from nextbest.training.table import EventTable, InputReader, Moments

Result = TypeVar("Result")


class Rows:
    """Users at ``moments``, whose positions point into ``table``."""

    def __init__(self, table: EventTable, moments: Moments) -> None:
        self.table = table
        self.moments = moments
        self._reader = InputReader(table, moments)

    def __len__(self) -> int:
        return len(self.moments)

    def inputs(self, kernel: Kernel) -> sparse.csr_array:
        """Their inputs, float32, shape (rows, actions)."""
        return self._reader.inputs(kernel)


@dataclass(frozen=True, slots=True)
class RowChoice:
    """Which rows of each partition are learned from: those of users with at least ``least_events``, at ``now``
    (seconds) and at up to ``moments_per_user`` moments before it.

    ``only_before`` leaves out the events from ``now`` on. Of the examples a ``share`` is kept, evenly spread over all
    partitions: ``offsets`` says how many there are before each partition, shape (partitions,).
    """

    now: float
    horizon_days: float
    least_events: int = 0
    only_before: bool = False
    moments_per_user: int = 0
    share: float = 1.0
    offsets: tuple[int, ...] = ()


class FitRows:
    """The rows of one partition that are learned from, and the events ``table`` that they point into.

    What is made of them is made when it is first needed.
    """

    def __init__(self, partition: Partition, choice: RowChoice) -> None:
        self._partition = partition
        self._choice = choice

    @cached_property
    def table(self) -> EventTable:
        """The events known."""
        table, choice = self._partition.table, self._choice
        if not choice.only_before:
            return table
        return self._partition.once(("before", choice.now), lambda: table.before(choice.now))

    @cached_property
    def pairs(self) -> UserActionPairs:
        """All users with the actions they took, whether learned from or not."""
        return UserActionPairs.of(self.table)

    @cached_property
    def users_now(self) -> Rows:
        """The users with an event, at the time to learn for."""
        known = np.flatnonzero((np.diff(self.table.starts) > 0) & self._learned_from)
        return Rows(self.table, Moments.at(self.table, known, self._choice.now))

    @cached_property
    def candidates(self) -> Moments:
        """The moments of all examples, before they are thinned."""
        moments = example_moments(self.table, self._choice.moments_per_user)
        return moments[np.flatnonzero(self._learned_from[moments.users])]

    @property
    def candidate_cells(self) -> int:
        """How many events are read at the candidates together."""
        moments = self.candidates
        return int(np.minimum(moments.ends - self.table.starts[moments.users], WINDOW).sum())

    @cached_property
    def examples(self) -> Rows:
        """The examples: users just before a new event."""
        first = self._choice.offsets[self._partition.number]
        kept = np.floor(np.arange(first, first + len(self.candidates) + 1) * self._choice.share)
        return Rows(self.table, self.candidates[np.flatnonzero(np.diff(kept))])

    @cached_property
    def targets(self) -> sparse.csr_array:
        """What followed each of the examples, shape (examples, actions)."""
        return followed_by(self.table, self.examples.moments, self._choice.horizon_days)

    def example_matrices(self, kernel: Kernel, allow_repeats: bool) -> tuple[sparse.csr_array, sparse.csr_array]:
        """Inputs of the examples and what came next (for discoveries only what was new), over all actions."""
        inputs = self.examples.inputs(kernel)
        return inputs, self.targets if allow_repeats else without_seen(self.targets, inputs)

    @cached_property
    def _learned_from(self) -> NDArray[np.bool_]:
        """Which users are learned from, by all their events; shape (users,)."""
        return np.diff(self._partition.table.starts) >= self._choice.least_events


@dataclass(frozen=True, slots=True)
class OnRows(Generic[Result]):
    """A function of the rows of a partition, as one of the partition."""

    choice: RowChoice
    function: Callable[[FitRows], Result]

    def __call__(self, partition: Partition) -> Result:
        return self.function(partition.once(self.choice, lambda: FitRows(partition, self.choice)))
