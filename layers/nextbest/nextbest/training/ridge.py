"""Closed-form item weights over a dense block of actions (up to about 15,000)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse

Dense = NDArray[np.float32]


def gram(x: sparse.csr_array) -> Dense:
    """XᵀX, dense float32, shape (actions, actions)."""
    product = sparse.csr_array(x.T @ x)
    return np.asarray(product.toarray(), np.float32)


def inverse(gram_matrix: Dense, ridge: float) -> Dense:
    """(G + ridge · I)⁻¹ by Cholesky; ``gram_matrix`` is left as it is. Symmetric, float32."""
    shifted = np.array(gram_matrix, order="F")
    diagonal = np.einsum("ii->i", shifted)
    diagonal += np.float32(ridge)
    factor, info = linalg.lapack.spotrf(shifted, lower=1, overwrite_a=1)
    while info:  # float32 lost positive definiteness: a stronger ridge is the honest repair
        ridge *= 4.0
        shifted = np.array(gram_matrix, order="F")
        np.einsum("ii->i", shifted)[:] += np.float32(ridge)
        factor, info = linalg.lapack.spotrf(shifted, lower=1, overwrite_a=1)
    inverted, _ = linalg.lapack.spotri(factor, lower=1, overwrite_c=1)
    lower = np.tril(inverted)
    return np.asarray(lower + np.tril(inverted, -1).T, np.float32)


def ease(inverted: Dense) -> Dense:
    """EASE (Steck 2019): B = -P / diag(P), with a zero diagonal."""
    weights = inverted * (-1.0 / np.diag(inverted))[None, :]
    np.fill_diagonal(weights, 0.0)
    return weights


def transition_ridge(inverted: Dense, x: sparse.csr_array, targets: sparse.csr_array) -> Dense:
    """(XᵀX + ridge · I)⁻¹ XᵀY: the diagonal is free, and is the learned influence of having done it before."""
    crossed = sparse.csr_array(x.T @ targets).toarray().astype(np.float32)
    return inverted @ crossed


def strongest(weights: Dense, per_row: int) -> sparse.csr_array:
    """Each row's ``per_row`` entries of largest absolute value, as a sparse matrix."""
    size = weights.shape[1]
    if per_row >= size:
        return sparse.csr_array(weights)
    columns = np.argpartition(np.abs(weights), size - per_row, axis=1)[:, size - per_row :]
    columns.sort(axis=1)
    values = np.take_along_axis(weights, columns, axis=1)
    starts = np.arange(0, columns.size + 1, per_row)
    kept = sparse.csr_array((values.ravel(), columns.ravel(), starts), shape=weights.shape)
    kept.eliminate_zeros()
    return kept
