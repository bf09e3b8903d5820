"""What learners are fitted on: the events up to a time, and what is computed from them once."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nextbest.domain.history import WINDOW
from nextbest.scoring.kernels import Kernel
from nextbest.training.examples import Examples, examples_of, without_seen
from nextbest.training.popularity import UserActionPairs
from nextbest.training.ridge import Dense, gram_of
from nextbest.training.shared_assets import SharedAssets
from nextbest.training.table import EventTable, InputReader, Moments

TARGETS_PER_MOMENT = 10
"""As many as a list of recommendations usually holds."""
_EXAMPLES = 120_000
"""About how many examples are enough: more cost time and move the weights little."""
_EXAMPLES_PER_USER = (8, 60)
_CACHED_ACTIONS = 4096
"""Products over more actions than this are not cached: each holds 64 MB or more, and large searches try few ridges."""
_ROUNDING = 1e-9
"""Added before rounding down, so that a sum of fractions that should be whole is."""

Products = TypeVar("Products")


class FitContext:
    """The events up to ``now`` and what learners share of them."""

    def __init__(
        self,
        table: EventTable,
        now: float,
        horizon_days: float,
        learn_from: NDArray[np.bool_],
        cells: int,
        ridge_head: int | None = None,
    ) -> None:
        """``table`` holds only events before ``now`` (seconds); ``learn_from`` (users,) marks the users to learn from.

        ``cells`` bounds the events read at all examples together: beyond it, examples are thinned evenly. Ridges are
        relative to the ``ridge_head`` most frequent actions (None: to all), so that a ridge tuned on few actions fits
        many.
        """
        self.table = table
        self.now = now
        self.ridge_head = ridge_head
        self.pairs = UserActionPairs.of(table)
        self.shared_assets = SharedAssets.of(table.actions)
        known = (table.starts[1:] > table.starts[:-1]) & learn_from
        self.users_now = Moments.at(table, np.flatnonzero(known), now)
        per_user = int(np.clip(_EXAMPLES // max(int(known.sum()), 1), *_EXAMPLES_PER_USER))
        examples = examples_of(
            table, horizon_days=horizon_days, moments_per_user=per_user, targets_per_moment=TARGETS_PER_MOMENT
        )
        self.examples = _thinned(table, examples, learn_from, cells)
        self._reader_now = InputReader(table, self.users_now)
        self._example_reader = InputReader(table, self.examples.moments)
        self._cached_key: Hashable = None
        self._cached: Any = None

    def head(self, limit: int) -> NDArray[np.int64]:
        """The ``limit`` most frequent actions, ascending."""
        counts = np.bincount(self.table.action, minlength=len(self.table.actions))
        order = np.argsort(-counts, kind="stable")
        return np.sort(order[:limit])

    def inputs_now(self, kernel: Kernel, columns: NDArray[np.int64]) -> sparse.csr_array:
        """The inputs of all users now over ``columns``, shape (users, columns)."""
        return sparse.csr_array(self._reader_now.inputs(kernel)[:, columns])

    def gram(self, kernel: Kernel, columns: NDArray[np.int64]) -> Dense:
        """XᵀX over ``columns``, where X are the inputs of all users now."""
        return gram_of(self.inputs_now(kernel, columns))

    def example_matrices(self, kernel: Kernel, allow_repeats: bool) -> tuple[sparse.csr_array, sparse.csr_array]:
        """Inputs of the examples and what came next (for discoveries only what was new), over all actions."""
        inputs = self._example_reader.inputs(kernel)
        targets = self.examples.targets
        return inputs, targets if allow_repeats else without_seen(targets, inputs)

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


def _thinned(table: EventTable, examples: Examples, learn_from: NDArray[np.bool_], cells: int) -> Examples:
    """The examples of the users to learn from, evenly thinned so that they read at most ``cells`` events."""
    moments = examples.moments
    read = np.minimum(moments.ends - table.starts[moments.users], WINDOW) * learn_from[moments.users]
    share = min(1.0, cells / max(int(read.sum()), 1))
    steps = np.floor(np.cumsum(learn_from[moments.users] * share) + _ROUNDING)
    keep = np.diff(steps, prepend=0.0) > 0
    return Examples(Moments(moments.users[keep], moments.ends[keep], moments.nows[keep]), examples.targets[keep])
