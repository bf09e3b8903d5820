"""What learners are fitted on: the events up to a time, and what is computed from them once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from nextbest.domain.actions import Action
from nextbest.training.partitions import Block, Partition, Partitions
from nextbest.training.rows import FitRows, OnRows, RowChoice
from nextbest.training.shared_assets import SharedAssets

_EXAMPLES = 120_000
"""About how many examples are enough: more cost time and move the weights little."""
_EXAMPLES_PER_USER = (8, 60)
_CACHED_ACTIONS = 4096
"""Products over more actions than this are not cached: each holds 64 MB or more, and large searches try few ridges."""

Products = TypeVar("Products")
Result = TypeVar("Result")


class FitContext:
    """The events up to ``now`` in all partitions, and what learners share of them.

    ``event_counts`` says how often each action was taken, shape (actions,). There are ``user_count`` users to learn
    from, and ``example_count`` examples.
    """

    def __init__(
        self,
        partitions: Partitions,
        now: float,
        horizon_days: float,
        *,
        cells: int,
        least_events: int = 0,
        only_before: bool = False,
        ridge_head: int | None = None,
    ) -> None:
        """Learn for ``now`` (seconds) from the users with at least ``least_events``; ``only_before`` leaves out the
        events from then on.

        ``cells`` bounds the events read at all examples together: beyond it, examples are thinned evenly. Ridges are
        relative to the ``ridge_head`` most frequent actions (None: to all), so that a ridge tuned on few actions fits
        many.
        """
        self.now = now
        self.ridge_head = ridge_head
        self.actions: tuple[Action, ...] = partitions.actions
        self.shared_assets = SharedAssets.of(self.actions)
        self._partitions = partitions
        choice = RowChoice(now, horizon_days, least_events, only_before)
        counts = partitions.total(_Counts(choice))
        self.event_counts: NDArray[np.int64] = counts["events"]
        self.user_count = int(counts["users"][0])
        choice = replace(
            choice, moments_per_user=int(np.clip(_EXAMPLES // max(self.user_count, 1), *_EXAMPLES_PER_USER))
        )
        candidates, read = np.array(partitions.each(_Candidates(choice)), np.int64).T
        share = min(1.0, cells / max(int(read.sum()), 1))
        self.example_count = int(int(candidates.sum()) * share)
        self._choice = replace(choice, share=share, offsets=tuple((np.cumsum(candidates) - candidates).tolist()))
        self._cached_key: Hashable = None
        self._cached: Any = None

    def head(self, limit: int) -> NDArray[np.int64]:
        """The ``limit`` most frequent actions, ascending."""
        order = np.argsort(-self.event_counts, kind="stable")
        return np.sort(order[:limit])

    def each(self, function: Callable[[FitRows], Result]) -> list[Result]:
        """The results of ``function`` for the rows of every partition (``Partitions.each``)."""
        return self._partitions.each(OnRows(self._choice, function))

    def total(self, function: Callable[[FitRows], Mapping[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
        """Sums over the rows of all partitions (``Partitions.total``)."""
        return self._partitions.total(OnRows(self._choice, function))

    def blocks(
        self, function: Callable[[FitRows], Iterable[tuple[int, Block]]], finish: Callable[[int, Block], Result]
    ) -> Iterator[tuple[int, Result]]:
        """Blocks of a large sum over the rows of all partitions (``Partitions.blocks``)."""
        return self._partitions.blocks(OnRows(self._choice, function), finish)

    def ridge_scale(self, squares: NDArray[np.float32]) -> float:
        """The mean of the diagonal of XᵀX over the most frequent actions, which ridges are relative to."""
        squares = np.sort(squares)
        return float(squares[-self.ridge_head :].mean() if self.ridge_head else squares.mean()) or 1.0

    def cached(self, key: Hashable, actions: int, compute: Callable[[], Products]) -> Products:
        """``compute()``, or its last result where the last ``key`` was the same: a search tries many ridges in turn.
        The result is for so many ``actions``."""
        if key == self._cached_key:
            last: Products = self._cached
            return last
        products = compute()
        self._cached_key, self._cached = (key, products) if actions <= _CACHED_ACTIONS else (None, None)
        return products


@dataclass(frozen=True, slots=True)
class _Counts:
    """How often each action was taken, and how many users there are to learn from."""

    choice: RowChoice

    def __call__(self, partition: Partition) -> dict[str, NDArray[np.int64]]:
        rows = FitRows(partition, self.choice)
        events = np.bincount(rows.table.action, minlength=len(rows.table.actions)).astype(np.int64)
        return {"events": events, "users": np.array([len(rows.users_now)])}


@dataclass(frozen=True, slots=True)
class _Candidates:
    """How many examples there are, and how many events they read."""

    choice: RowChoice

    def __call__(self, partition: Partition) -> tuple[int, int]:
        rows = FitRows(partition, self.choice)
        return len(rows.candidates), rows.candidate_cells
