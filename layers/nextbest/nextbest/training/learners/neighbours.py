"""Neighbours: cosine between actions, shrunk where they have few users; sparse at any size of the catalogue."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nextbest.training.learners.base import FitTask, ItemLearner
from nextbest.training.partitions import Block
from nextbest.training.ridge import BLOCK_ACTIONS, Dense
from nextbest.training.sums import ProductBlocks, UsersNow, products_of, squares_of
from nextbest.training.table import no_entries


@dataclass(frozen=True, slots=True)
class Neighbours(ItemLearner):
    """W_ji = (x_j · x_i) / (|x_j| |x_i| + shrinkage), zero diagonal; X are the inputs of all users at the time of
    training. ``ridge`` is the shrinkage, relative to the mean squared length of the columns.

    Source: item-based collaborative filtering, Sarwar et al., WWW 2001.
    """

    name: ClassVar[str] = "neighbours"
    spans_catalogue: ClassVar[bool] = True

    FIRST_RIDGE: ClassVar[float] = 0.3
    SEARCHED_KERNELS: ClassVar[int | None] = 5

    def solve(self, task: FitTask) -> Dense:
        """All cosines among the columns."""
        context = task.context
        size = len(task.columns)
        matrices = UsersNow(self.kernel, task.columns)
        [gram] = context.cached((self.name, self.kernel, size), size, lambda: products_of(context, matrices))
        return dense_neighbours(gram, self.ridge)

    def weights(self, task: FitTask) -> sparse.csr_array:
        """The strongest cosines of every action of the catalogue, not of the columns alone."""
        context = task.context
        size = len(context.actions)
        matrices = UsersNow(self.kernel, np.arange(size))
        squares = squares_of(context, matrices).astype(np.float64)
        nearest = _Nearest(np.sqrt(squares), _shrink(squares, self.ridge), task.per_action)
        rows = [block for _, block in context.blocks(ProductBlocks(matrices), nearest)]
        return sparse.csr_array(sparse.vstack(rows)) if rows else no_entries(size, size)

    def stronger(self) -> Neighbours:
        """Itself: its shrinkage already is by frequency."""
        return self


@dataclass(frozen=True, slots=True, eq=False)
class _Nearest:
    """The ``per_action`` largest shrunk cosines of each row of a block of XᵀX.

    ``lengths`` (actions,) are the square roots of the diagonal.
    """

    lengths: NDArray[np.float64]
    shrink: float
    per_action: int

    def __call__(self, number: int, block: Block) -> sparse.csr_array:
        products = (block if isinstance(block, sparse.csr_array) else sparse.csr_array(block)).astype(np.float32)
        products.eliminate_zeros()
        products.sort_indices()
        starts, columns, values = [0], [], []
        for row, (first, last) in enumerate(pairwise(products.indptr.tolist()), start=number * BLOCK_ACTIONS):
            near = products.indices[first:last]
            similarity = products.data[first:last] / (self.lengths[row] * self.lengths[near] + self.shrink)
            similarity[near == row] = 0.0
            if len(near) > self.per_action:
                strongest = np.argpartition(similarity, len(near) - self.per_action)[len(near) - self.per_action :]
                near, similarity = near[strongest], similarity[strongest]
            columns.append(near)
            values.append(similarity)
            starts.append(starts[-1] + len(near))
        entries = (np.concatenate(values).astype(np.float32), np.concatenate(columns), np.array(starts))
        weights = sparse.csr_array(entries, shape=products.shape)
        weights.eliminate_zeros()
        weights.sort_indices()
        return weights


def dense_neighbours(gram: Dense, shrinkage: float) -> Dense:
    """``neighbours`` from XᵀX of a small catalogue, nothing left out."""
    squares = np.diag(gram).copy()
    lengths = np.sqrt(squares)
    weights = gram / (lengths[:, None] * lengths[None, :] + np.float32(_shrink(squares, shrinkage)))
    np.fill_diagonal(weights, 0.0)
    return np.asarray(weights, np.float32)


def _shrink(squares: NDArray[Any], shrinkage: float) -> float:
    """``shrinkage`` times the mean squared length of the columns that have an entry."""
    return shrinkage * float(squares[squares > 0].mean()) if squares.any() else 1.0
