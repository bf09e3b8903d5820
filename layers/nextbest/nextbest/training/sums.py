"""Products of the inputs of all users, and of the examples: summed over partitions in float64, rounded once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nextbest.scoring.kernels import Kernel
from nextbest.training.context import FitContext
from nextbest.training.partitions import Block
from nextbest.training.ridge import (
    BLOCK_ACTIONS,
    ActionSystem,
    Dense,
    RidgeSystem,
    RowSystem,
    column_squares,
    has_few_rows,
    product_blocks,
)
from nextbest.training.rows import FitRows


class Matrices(Protocol):
    """X, and Y where there are targets, over ``columns`` (actions), for the rows of each partition."""

    @property
    def has_targets(self) -> bool:
        """Whether there is a Y."""
        ...

    @property
    def columns(self) -> NDArray[np.int64]:
        """Indices of actions, ascending."""
        ...

    def row_count(self, context: FitContext, /) -> int:
        """How many rows there are in all partitions."""
        ...

    def __call__(self, rows: FitRows, /) -> tuple[sparse.csr_array, ...]:
        """X alone, or X and Y; each of shape (rows, columns)."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class UsersNow:
    """X are the inputs of all users at the time of training."""

    kernel: Kernel
    columns: NDArray[np.int64]

    has_targets: ClassVar[bool] = False

    def row_count(self, context: FitContext) -> int:
        """One for each user."""
        return context.user_count

    def __call__(self, rows: FitRows) -> tuple[sparse.csr_array, ...]:
        """X."""
        return (sparse.csr_array(rows.users_now.inputs(self.kernel)[:, self.columns]),)


@dataclass(frozen=True, slots=True, eq=False)
class WhatCameNext:
    """X are the inputs of the examples, Y what came next, for discoveries only what was new."""

    kernel: Kernel
    columns: NDArray[np.int64]
    allow_repeats: bool

    has_targets: ClassVar[bool] = True

    def row_count(self, context: FitContext) -> int:
        """One for each example."""
        return context.example_count

    def __call__(self, rows: FitRows) -> tuple[sparse.csr_array, ...]:
        """X and Y."""
        matrices = rows.example_matrices(self.kernel, self.allow_repeats)
        return tuple(sparse.csr_array(matrix[:, self.columns]) for matrix in matrices)


def squares_of(context: FitContext, matrices: Matrices) -> NDArray[np.float32]:
    """The diagonal of XᵀX, shape (columns,)."""
    return context.total(_Squares(matrices))["squares"].astype(np.float32)


def products_of(context: FitContext, matrices: Matrices) -> list[Dense]:
    """XᵀX, and XᵀY where there are targets, each of shape (columns, columns)."""
    size, count = len(matrices.columns), 2 if matrices.has_targets else 1
    products = [np.zeros((size, size), np.float32) for _ in range(count)]
    for number, block in context.blocks(ProductBlocks(matrices), _rounded):
        begin = number // count * BLOCK_ACTIONS
        products[number % count][begin : begin + len(block)] = block
    return products


def system_of(context: FitContext, matrices: Matrices) -> RidgeSystem:
    """The system of X, with the targets Y for a regression where there are some."""
    size = len(matrices.columns)
    if has_few_rows(matrices.row_count(context), size):
        parts = context.each(_RowsWithEntries(matrices))
        return RowSystem.of(*(sparse.csr_array(sparse.vstack(part)) for part in zip(*parts, strict=True)))
    return ActionSystem(*products_of(context, matrices))


@dataclass(frozen=True, slots=True, eq=False)
class _Squares:
    matrices: Matrices

    def __call__(self, rows: FitRows) -> dict[str, NDArray[np.float64]]:
        return {"squares": column_squares(self.matrices(rows)[0])}


@dataclass(frozen=True, slots=True, eq=False)
class ProductBlocks:
    """``products_of`` of a partition, in blocks of ``BLOCK_ACTIONS`` rows (``product_blocks``)."""

    matrices: Matrices

    def __call__(self, rows: FitRows) -> Iterator[tuple[int, Block]]:
        x, *targets = self.matrices(rows)
        return product_blocks(x, x, *targets)


@dataclass(frozen=True, slots=True, eq=False)
class _RowsWithEntries:
    """The rows of X that have an entry, and those of Y."""

    matrices: Matrices

    def __call__(self, rows: FitRows) -> tuple[sparse.csr_array, ...]:
        matrices = self.matrices(rows)
        filled = np.flatnonzero(np.diff(matrices[0].indptr))
        return tuple(matrix[filled] for matrix in matrices)


def _rounded(_number: int, block: Block) -> Dense:
    if isinstance(block, np.ndarray):
        return block.astype(np.float32)
    entries = (block.data.astype(np.float32), block.indices, block.indptr)  # ``astype`` of the block would sort them
    return np.asarray(sparse.csr_array(entries, shape=block.shape).toarray(), np.float32)
