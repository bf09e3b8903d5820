"""Closed-form item weights over a dense block of actions (up to about 15,000)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse

Dense = NDArray[np.float32]

_BLOCK_ROWS = 4096
"""Rows handled at a time; it bounds the memory of dense blocks."""
_SPARSE_COST = 200.0
"""One multiply-add of a sparse product costs about this many of a dense one (measured: 2 cores, float32)."""
_RIDGE_RETRY_FACTOR = 4.0


def product_of(x: sparse.csr_array, y: sparse.csr_array) -> Dense:
    """XᵀY, dense float32; by sparse or by dense arithmetic, whichever has less to do."""
    sparse_work = float(np.dot(np.diff(x.indptr).astype(np.float64), np.diff(y.indptr)))
    dense_work = float(x.shape[0]) * x.shape[1] * y.shape[1]
    if sparse_work * _SPARSE_COST < dense_work:
        return np.asarray(sparse.csr_array(x.T @ y).toarray(), np.float32)
    total = np.zeros((x.shape[1], y.shape[1]), np.float32)
    for begin in range(0, x.shape[0], _BLOCK_ROWS):
        total += x[begin : begin + _BLOCK_ROWS].toarray().T @ y[begin : begin + _BLOCK_ROWS].toarray()
    return total


def gram_of(x: sparse.csr_array) -> Dense:
    """XᵀX, dense float32, shape (actions, actions)."""
    return product_of(x, x)


def inverse(gram_matrix: Dense, ridge: float) -> Dense:
    """(G + ridge · I)⁻¹ by Cholesky; ``gram_matrix`` is not changed. Symmetric, float32."""
    while True:
        shifted = np.array(gram_matrix, order="F")
        shifted[np.diag_indices_from(shifted)] += np.float32(ridge)
        factor, failed = linalg.lapack.spotrf(shifted, lower=1, overwrite_a=1)
        if not failed:
            break
        ridge *= _RIDGE_RETRY_FACTOR  # float32 lost positive definiteness: solve a more regularised problem
    inverted, _ = linalg.lapack.spotri(factor, lower=1, overwrite_c=1)
    size = inverted.shape[0]
    for begin in range(0, size, _BLOCK_ROWS):  # mirror the lower triangle in place, block by block
        end = min(begin + _BLOCK_ROWS, size)
        corner = inverted[begin:end, begin:end]
        corner[:] = np.tril(corner) + np.tril(corner, -1).T
        inverted[begin:end, end:] = inverted[end:, begin:end].T
    return np.asarray(inverted, np.float32)


def ease_of(inverted: Dense) -> Dense:
    """EASE (Steck 2019): B = -P / diag(P), with a zero diagonal. Overwrites ``inverted``."""
    inverted *= (-1.0 / np.diag(inverted)).astype(np.float32)[None, :]
    np.fill_diagonal(inverted, 0.0)
    return inverted


def strongest(weights: Dense, per_row: int) -> sparse.csr_array:
    """Each row's ``per_row`` entries of largest absolute value, as a sparse matrix."""
    size = weights.shape[1]
    if per_row >= size:
        return sparse.csr_array(weights)
    chosen = []
    for begin in range(0, weights.shape[0], _BLOCK_ROWS):
        block = np.abs(weights[begin : begin + _BLOCK_ROWS])
        chosen.append(np.sort(np.argpartition(block, size - per_row, axis=1)[:, size - per_row :], axis=1))
    columns = np.concatenate(chosen)
    values = np.take_along_axis(weights, columns, axis=1)
    starts = np.arange(0, columns.size + 1, per_row)
    truncated = sparse.csr_array((values.ravel(), columns.ravel(), starts), shape=weights.shape)
    truncated.eliminate_zeros()
    return truncated
