"""Neighbours: cosine between actions, shrunk where they have few users; sparse at any size of the catalogue."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np
from scipy import sparse

from nextbest.training.learners.base import FitTask, ItemLearner
from nextbest.training.ridge import Dense
from nextbest.training.table import inputs_of, no_entries

_BLOCK_COLUMNS = 2048
"""Columns multiplied at a time: it bounds the memory of the sparse product."""


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
        key = (self.name, self.kernel, size)
        gram = context.cached(key, size, lambda: context.gram(self.kernel, task.columns))
        return dense_neighbours(gram, self.ridge)

    def weights(self, task: FitTask) -> sparse.csr_array:
        """The strongest cosines of every action of the catalogue, not of the columns alone."""
        context = task.context
        return neighbours(inputs_of(context.table, context.users_now, self.kernel), self.ridge, task.per_action)

    def stronger(self) -> Neighbours:
        """Itself: its shrinkage already is by frequency."""
        return self


def neighbours(x: sparse.csr_array, shrinkage: float, per_action: int) -> sparse.csr_array:
    """The ``per_action`` largest shrunk cosines of each column of ``x`` (rows, actions), shape (actions, actions)."""
    size = x.shape[1]
    squares = np.asarray(x.multiply(x).sum(axis=0)).ravel().astype(np.float64)
    lengths = np.sqrt(squares)
    shrink = shrinkage * float(squares[squares > 0].mean()) if squares.any() else 1.0
    by_column = sparse.csc_array(x)
    rows, columns, values = [], [], []
    for begin in range(0, size, _BLOCK_COLUMNS):
        end = min(begin + _BLOCK_COLUMNS, size)
        block = sparse.csr_array(by_column[:, begin:end].T @ x)
        for offset, (first, last) in enumerate(pairwise(block.indptr.tolist())):
            row = begin + offset
            near = block.indices[first:last]
            similarity = block.data[first:last] / (lengths[row] * lengths[near] + shrink)
            similarity[near == row] = 0.0
            if len(near) > per_action:
                strongest = np.argpartition(similarity, len(near) - per_action)[len(near) - per_action :]
                near, similarity = near[strongest], similarity[strongest]
            rows.append(np.full(len(near), row))
            columns.append(near)
            values.append(similarity)
    if not rows:
        return no_entries(size, size)
    data = np.concatenate(values).astype(np.float32)
    entries = (data, (np.concatenate(rows), np.concatenate(columns)))
    weights = sparse.csr_array(sparse.coo_array(entries, shape=(size, size)))
    weights.eliminate_zeros()
    return weights


def dense_neighbours(gram: Dense, shrinkage: float) -> Dense:
    """``neighbours`` from XᵀX of a small catalogue, nothing left out."""
    squares = np.diag(gram).copy()
    lengths = np.sqrt(squares)
    shrink = shrinkage * float(squares[squares > 0].mean()) if squares.any() else 1.0
    weights = gram / (lengths[:, None] * lengths[None, :] + np.float32(shrink))
    np.fill_diagonal(weights, 0.0)
    return np.asarray(weights, np.float32)
