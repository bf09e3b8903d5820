"""Closed-form item weights over a dense block of actions (up to about 15,000).

The ridges are solved for the actions (XᵀX + λI) or, where X has far fewer rows than actions, for the rows (XXᵀ + λI):
a system of n actions that only r users did anything with has no more than r things to learn.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse

from nextbest.training.partitions import Block

Dense = NDArray[np.float32]
Float = TypeVar("Float", np.float32, np.float64)

_BLOCK_ROWS = 4096
"""Rows handled at a time; it bounds the memory of dense blocks."""
BLOCK_ACTIONS = 1024
"""Rows of a product computed at a time: it bounds the memory of a product in double precision."""
_SPARSE_COST = 100.0
"""One multiply-add of a sparse product costs about this many of a dense one (measured: 2 cores, float64)."""
_RIDGE_RETRY_FACTOR = 4.0
_LEAST_SHARE, _MOST_TIMES = 6, 3
"""One action has at least a sixth of the average number of weights, and at most three times it: that bounds the time of
scoring (measured: ``docs/scoring.md``)."""
_ROWS_PER_ACTION = 0.5
"""With fewer rows for each action, the system of the rows is solved: it costs r³ + 2 n² r in place of n³."""


class RidgeSystem(Protocol):
    """(XᵀX + λI)⁻¹ for any ridge λ, computed once for all."""

    @property
    def squares(self) -> NDArray[np.float32]:
        """The diagonal of XᵀX, shape (actions,)."""
        ...

    @property
    def solved_size(self) -> int:
        """How many unknowns each solution has: what it costs grows with the cube."""
        ...

    def ease(self, ridge: float) -> Dense:
        """-P / diag P with a zero diagonal, where P = (XᵀX + ridge · I)⁻¹; shape (actions, actions)."""
        ...

    def regression(self, ridge: float) -> Dense:
        """(XᵀX + ridge · I)⁻¹ XᵀY, shape (actions, targets)."""
        ...


def has_few_rows(rows: int, actions: int) -> bool:
    """Whether so many rows are better solved for than so many actions."""
    return rows < _ROWS_PER_ACTION * actions


@dataclass(frozen=True, slots=True)
class ActionSystem:
    """The system of the actions, of XᵀX and XᵀY."""

    gram: Dense
    product: Dense | None = None

    @property
    def squares(self) -> NDArray[np.float32]:
        """The diagonal of XᵀX."""
        return np.diag(self.gram)

    @property
    def solved_size(self) -> int:
        """As many unknowns as actions."""
        return int(self.gram.shape[0])

    def ease(self, ridge: float) -> Dense:
        """By Cholesky of the actions."""
        return ease_of(inverse(self.gram, ridge))

    def regression(self, ridge: float) -> Dense:
        """By Cholesky of the actions."""
        assert self.product is not None, "a regression needs targets"
        return inverse(self.gram, ridge) @ self.product


@dataclass(frozen=True, slots=True)
class RowSystem:
    """The system of the rows, of XXᵀ: (XᵀX + λI)⁻¹ = (I - XᵀKX) / λ with K = (XXᵀ + λI)⁻¹.

    K is computed in double precision: it is small, and 1 - diag XᵀKX cancels.
    """

    x: sparse.csr_array
    y: sparse.csr_array | None
    gram: NDArray[np.float64]

    @classmethod
    def of(cls, x: sparse.csr_array, y: sparse.csr_array | None = None) -> RowSystem:
        """The system of ``x`` (rows, actions), each with an entry, and targets ``y`` of as many rows."""
        wide = x.astype(np.float64)
        return cls(x, y, np.asarray((wide @ wide.T).toarray(), np.float64))

    @property
    def squares(self) -> NDArray[np.float32]:
        """The diagonal of XᵀX."""
        return column_squares(self.x).astype(np.float32)

    @property
    def solved_size(self) -> int:
        """As many unknowns as rows."""
        return int(self.gram.shape[0])

    def ease(self, ridge: float) -> Dense:
        """M / (1 - diag M) with a zero diagonal, where M = XᵀKX."""
        towards = self._times_inverse(ridge, self.x)
        own = np.asarray(self.x.multiply(towards).sum(axis=0), np.float64).ravel()
        weights = self.x.T @ (towards / (1.0 - own)[None, :]).astype(np.float32)
        np.fill_diagonal(weights, 0.0)
        return np.asarray(weights, np.float32)

    def regression(self, ridge: float) -> Dense:
        """XᵀKY."""
        assert self.y is not None, "a regression needs targets"
        return np.asarray(self.x.T @ self._times_inverse(ridge, self.y).astype(np.float32), np.float32)

    def _times_inverse(self, ridge: float, right: sparse.csr_array) -> NDArray[np.float64]:
        """K times ``right`` (rows, n), dense."""
        inverted = inverse(self.gram, ridge)
        return np.asarray((right.T @ inverted).T, np.float64)  # K is symmetric


def product_blocks(x: sparse.csr_array, *others: sparse.csr_array) -> Iterator[tuple[int, Block]]:
    """XᵀY in float64 for each Y of ``others``, in blocks of ``BLOCK_ACTIONS`` rows; by sparse or by dense arithmetic,
    whichever has less to do. Block k of the j-th of n products has the number k · n + j."""
    is_sparse = [_is_cheaper_sparse(x, y) for y in others]
    by_action, wide = sparse.csr_array(x.T), [y.astype(np.float64) for y in others]
    del x, others  # they may be large, and are no longer needed while blocks are computed
    numbers = count()
    for begin in range(0, by_action.shape[0], BLOCK_ACTIONS):
        block = by_action[begin : begin + BLOCK_ACTIONS].astype(np.float64)
        for y, as_sparse in zip(wide, is_sparse, strict=True):
            yield next(numbers), sparse.csr_array(block @ y) if as_sparse else _dense_product(block, y)


def _is_cheaper_sparse(x: sparse.csr_array, y: sparse.csr_array) -> bool:
    sparse_work = float(np.dot(np.diff(x.indptr).astype(np.float64), np.diff(y.indptr)))
    dense_work = float(x.shape[0]) * x.shape[1] * y.shape[1]
    return sparse_work * _SPARSE_COST <= dense_work


def _dense_product(left: sparse.csr_array, right: sparse.csr_array) -> NDArray[np.float64]:
    total = np.zeros((left.shape[0], right.shape[1]))
    for begin in range(0, right.shape[0], _BLOCK_ROWS):
        total += left[:, begin : begin + _BLOCK_ROWS].toarray() @ right[begin : begin + _BLOCK_ROWS].toarray()
    return total


def column_squares(x: sparse.csr_array) -> NDArray[np.float64]:
    """The diagonal of XᵀX, shape (actions,)."""
    return np.bincount(x.indices, np.square(x.data, dtype=np.float64), minlength=x.shape[1]).astype(np.float64)


def inverse(gram_matrix: NDArray[Float], ridge: float) -> NDArray[Float]:
    """(G + ridge · I)⁻¹ by Cholesky, symmetric, in the precision of ``gram_matrix``, which is not changed."""
    lapack, single = linalg.lapack, gram_matrix.dtype == np.float32
    potrf, potri = (lapack.spotrf, lapack.spotri) if single else (lapack.dpotrf, lapack.dpotri)
    while True:
        shifted = np.array(gram_matrix, order="F")
        shifted[np.diag_indices_from(shifted)] += gram_matrix.dtype.type(ridge)
        factor, failed = potrf(shifted, lower=1, overwrite_a=1)
        if not failed:
            break
        ridge *= _RIDGE_RETRY_FACTOR  # rounding lost positive definiteness: solve a more regularised problem
    inverted, _ = potri(factor, lower=1, overwrite_c=1)
    size = inverted.shape[0]
    for begin in range(0, size, _BLOCK_ROWS):  # mirror the lower triangle in place, block by block
        end = min(begin + _BLOCK_ROWS, size)
        corner = inverted[begin:end, begin:end]
        corner[:] = np.tril(corner) + np.tril(corner, -1).T
        inverted[begin:end, end:] = inverted[end:, begin:end].T
    return np.asarray(inverted, gram_matrix.dtype)


def ease_of(inverted: Dense) -> Dense:
    """EASE (Steck 2019): B = -P / diag(P), with a zero diagonal. Overwrites ``inverted``."""
    inverted *= (-1.0 / np.diag(inverted)).astype(np.float32)[None, :]
    np.fill_diagonal(inverted, 0.0)
    return inverted


def strongest(weights: Dense, per_row: int, spread: NDArray[np.float32]) -> sparse.csr_array:
    """The entries that move scores most, as a sparse matrix: by |w| times the ``spread`` (rows,) of their inputs.

    They are ``per_row`` for each row on average, and from a sixth to three times as many in any. Frequent actions get
    more: a weight of an action that hardly anybody did changes next to nothing.
    """
    rows, size = weights.shape
    if per_row >= size:
        return sparse.csr_array(weights)
    least, most = per_row // _LEAST_SHARE, min(_MOST_TIMES * per_row, size)
    chosen = []
    for begin in range(0, rows, _BLOCK_ROWS):
        block = np.abs(weights[begin : begin + _BLOCK_ROWS])
        largest = np.sort(np.argpartition(block, size - most, axis=1)[:, size - most :], axis=1)
        by_size = np.argsort(-np.take_along_axis(block, largest, axis=1), axis=1, kind="stable")
        chosen.append(np.take_along_axis(largest, by_size, axis=1))
    columns = np.concatenate(chosen)
    values = np.take_along_axis(weights, columns, axis=1)
    keep = np.zeros(columns.shape, np.bool_)
    keep[:, :least] = True
    effects = (np.abs(values[:, least:]) * spread[:, None]).ravel()
    count = rows * (per_row - least)
    among = np.zeros(effects.size, np.bool_)
    among[np.argpartition(effects, effects.size - count)[effects.size - count :]] = True
    keep[:, least:] = among.reshape(rows, most - least)
    row, place = np.nonzero(keep)
    entries = (values[row, place], (row, columns[row, place]))
    truncated = sparse.csr_array(sparse.coo_array(entries, shape=weights.shape))
    truncated.eliminate_zeros()
    return truncated
