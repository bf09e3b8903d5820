"""The learned parts a score may be blended from, each as sparse item weights over the whole catalogue.

    ease         what is done together (Steck 2019), from inputs at the time of training
    transitions  what came next, ridge regression with a free diagonal, from inputs just before it
    neighbours   shrunk cosine between actions, sparse at any size
    same_asset   what one event type leads to with the same asset, whichever it is (``same_asset``)

The two closed forms are solved on the most frequent actions alone (``head``) when there are more than that; rarer
actions are left to the neighbours, the prior and the user's own weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nextbest.domain.history import WINDOW
from nextbest.scoring.kernels import Kernel
from nextbest.training import ridge
from nextbest.training.priors import Prior, Takers
from nextbest.training.same_asset import SameAsset
from nextbest.training.table import EventTable, Moments, inputs_of, no_entries
from nextbest.training.transitions import Transitions, transitions_of, without_seen

TARGETS_PER_MOMENT = 10
_MOMENTS = 120_000
_MOMENTS_PER_USER = (8, 60)
_NEIGHBOUR_COLUMNS = 2048
_KEPT_HEAD = 4096

Kind = Literal["ease", "transitions", "neighbours", "same_asset"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a component is learned. ``ridge`` is relative to the mean of the diagonal of XᵀX over the most frequent
    actions, for same_asset to each event type's own diagonal. For neighbours it is the shrinkage, relative to the mean
    squared length of the columns."""

    kind: Kind
    kernel: Kernel
    ridge: float

    def __str__(self) -> str:
        return f"{self.kind} ({self.kernel}, ridge {self.ridge:g})"


class Workshop:
    """The events up to ``now`` and what is computed from them once, to fit components from."""

    def __init__(
        self,
        table: EventTable,
        now: float,
        horizon_days: float,
        learners: NDArray[np.bool_],
        cells: int,
        ridge_head: int | None = None,
    ) -> None:
        """``table`` holds events before ``now`` alone; ``learners`` (users,) marks whom to learn from. ``cells``
        bounds the events read at all moments together: beyond, moments are thinned evenly. Ridges are relative to the
        ``ridge_head`` most frequent actions (None: to all), so that what was tuned on few fits many."""
        self.table = table
        self.ridge_head = ridge_head
        self.now = now
        self.same_asset = SameAsset.of(table.actions)
        self._takers = Takers.of(table)
        self._kept: dict[tuple[Kind, Kernel, int, bool], tuple[ridge.Dense, ridge.Dense | None]] = {}
        known = (table.starts[1:] > table.starts[:-1]) & learners
        self.everyone = Moments.at(table, np.flatnonzero(known), now)
        per_user = int(np.clip(_MOMENTS // max(int(known.sum()), 1), *_MOMENTS_PER_USER))
        transitions = transitions_of(
            table, horizon_days=horizon_days, moments_per_user=per_user, targets_per_moment=TARGETS_PER_MOMENT
        )
        moments = transitions.moments
        read = np.minimum(moments.ends - table.starts[moments.users], WINDOW) * learners[moments.users]
        thinning = min(1.0, cells / max(int(read.sum()), 1))
        steps = np.floor(np.cumsum(learners[moments.users] * thinning) + 1e-9)
        keep = np.diff(steps, prepend=0.0) > 0
        self.transitions = Transitions(
            Moments(moments.users[keep], moments.ends[keep], moments.nows[keep]), transitions.targets[keep]
        )

    def popularity(self, prior: Prior) -> NDArray[np.float64]:
        """The prior as it is now, shape (actions,), at most 1."""
        return self._takers.popularity(prior, self.now)

    def head(self, limit: int) -> NDArray[np.int64]:
        """The ``limit`` most frequent actions, ascending."""
        counts = np.bincount(self.table.action, minlength=len(self.table.actions))
        order = np.argsort(-counts, kind="stable")
        return np.sort(order[:limit])

    def solve(self, recipe: Recipe, head: NDArray[np.int64], allow_repeats: bool) -> ridge.Dense | sparse.csr_array:
        """All weights of ``recipe`` over ``head``."""
        if recipe.kind == "same_asset":
            return sparse.csr_array(self._of_same_asset(recipe, allow_repeats)[head][:, head])
        return self._closed_form(recipe, head, allow_repeats)

    def _closed_form(self, recipe: Recipe, head: NDArray[np.int64], allow_repeats: bool) -> ridge.Dense:
        gram, product = self._products(recipe.kind, recipe.kernel, head, allow_repeats)
        if recipe.kind == "neighbours":
            return dense_neighbours(gram, recipe.ridge)
        squares = np.sort(np.diag(gram))
        scale = float(squares[-self.ridge_head :].mean() if self.ridge_head else squares.mean()) or 1.0
        inverted = ridge.inverse(gram, recipe.ridge * scale)
        return ridge.ease(inverted) if product is None else inverted @ product

    def _products(
        self, kind: Kind, kernel: Kernel, head: NDArray[np.int64], allow_repeats: bool
    ) -> tuple[ridge.Dense, ridge.Dense | None]:
        """XᵀX, and XᵀY of what came next. The last ones are kept while they are small: a search tries many ridges."""
        key = (kind, kernel, len(head), allow_repeats)
        if key in self._kept:
            return self._kept[key]
        found: tuple[ridge.Dense, ridge.Dense | None]
        if kind == "same_asset" and self.same_asset is not None:
            found = self.same_asset.products(*self._transitions(kernel, allow_repeats))
        elif kind == "transitions":
            inputs, targets = (sparse.csr_array(x[:, head]) for x in self._transitions(kernel, allow_repeats))
            found = ridge.gram(inputs), ridge.product(inputs, targets)
        else:
            found = ridge.gram(sparse.csr_array(inputs_of(self.table, self.everyone, kernel)[:, head])), None
        self._kept.clear()
        if len(head) <= _KEPT_HEAD:
            self._kept[key] = found
        return found

    def _transitions(self, kernel: Kernel, allow_repeats: bool) -> tuple[sparse.csr_array, sparse.csr_array]:
        """Inputs just before something new, and what came next, over all actions."""
        inputs = inputs_of(self.table, self.transitions.moments, kernel)
        targets = self.transitions.targets
        return inputs, targets if allow_repeats else without_seen(targets, inputs)

    def _of_same_asset(self, recipe: Recipe, allow_repeats: bool) -> sparse.csr_array:
        size = len(self.table.actions)
        gram, product = self._products("same_asset", recipe.kernel, np.zeros(0, np.int64), allow_repeats)
        if self.same_asset is None or product is None:
            return no_entries(size, size)
        return self.same_asset.weights(gram, product, recipe.ridge, allow_repeats)

    def fit(self, recipe: Recipe, head: NDArray[np.int64], per_action: int, allow_repeats: bool) -> sparse.csr_array:
        """The strongest ``per_action`` weights of each action over the whole catalogue, shape (actions, actions)."""
        size = len(self.table.actions)
        if recipe.kind == "neighbours":
            return neighbours(inputs_of(self.table, self.everyone, recipe.kernel), recipe.ridge, per_action)
        if not len(self.transitions.moments) and recipe.kind == "transitions":
            return no_entries(size, size)
        if recipe.kind == "same_asset":
            return self._of_same_asset(recipe, allow_repeats)
        dense = self._closed_form(recipe, head, allow_repeats)
        small = sparse.coo_array(ridge.strongest(dense, per_action))
        rows, columns = head[small.row], head[small.col]
        return sparse.csr_array(sparse.coo_array((small.data, (rows, columns)), shape=(size, size)))


def neighbours(x: sparse.csr_array, shrinkage: float, per_action: int) -> sparse.csr_array:
    """Item-kNN: W_ji = (x_j · x_i) / (|x_j| |x_i| + shrinkage · mean |x|²), zero diagonal, the strongest kept."""
    size = x.shape[1]
    squares = np.asarray(x.multiply(x).sum(axis=0)).ravel().astype(np.float64)
    lengths = np.sqrt(squares)
    shrink = shrinkage * float(squares[squares > 0].mean()) if squares.any() else 1.0
    by_column = sparse.csc_array(x)
    rows, columns, values = [], [], []
    for begin in range(0, size, _NEIGHBOUR_COLUMNS):
        end = min(begin + _NEIGHBOUR_COLUMNS, size)
        block = sparse.csr_array(by_column[:, begin:end].T @ x)
        for offset, (first, last) in enumerate(pairwise(block.indptr.tolist())):
            row = begin + offset
            near = block.indices[first:last]
            similarity = block.data[first:last] / (lengths[row] * lengths[near] + shrink)
            similarity[near == row] = 0.0
            if len(near) > per_action:
                kept = np.argpartition(similarity, len(near) - per_action)[len(near) - per_action :]
                near, similarity = near[kept], similarity[kept]
            rows.append(np.full(len(near), row))
            columns.append(near)
            values.append(similarity)
    if not rows:
        return no_entries(size, size)
    data = np.concatenate(values).astype(np.float32)
    found = sparse.csr_array(
        sparse.coo_array((data, (np.concatenate(rows), np.concatenate(columns))), shape=(size, size))
    )
    found.eliminate_zeros()
    return found


def dense_neighbours(gram: ridge.Dense, shrinkage: float) -> ridge.Dense:
    """``neighbours`` from XᵀX of a small catalogue, nothing left out."""
    squares = np.diag(gram).copy()
    lengths = np.sqrt(squares)
    shrink = shrinkage * float(squares[squares > 0].mean()) if squares.any() else 1.0
    weights = gram / (lengths[:, None] * lengths[None, :] + np.float32(shrink))
    np.fill_diagonal(weights, 0.0)
    return np.asarray(weights, np.float32)
