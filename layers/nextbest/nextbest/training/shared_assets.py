"""Which actions share an asset, and regression over event types pooled over all assets.

A rare asset has too few events to learn from alone, but users who put it into the cart buy it, as with any other asset.
The diagonal is what having done it is worth for doing it again, by event type: clicks repeat, enrolments do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse

from nextbest.domain.actions import Action
from nextbest.training.ridge import Dense

_MOST_PAIRS_PER_ACTION = 16
"""Pairs of actions with one asset, per action. Beyond, the weights would no longer be sparse, and an asset has events
enough of its own."""


@dataclass(frozen=True, slots=True)
class SharedAssets:
    """Event type and asset of each action as indices, shape (actions,), and the ``pairs`` of actions with one asset."""

    types: NDArray[np.int64]
    assets: NDArray[np.int64]
    type_count: int
    pairs: tuple[NDArray[np.int64], NDArray[np.int64]]

    @classmethod
    def of(cls, actions: Sequence[Action]) -> SharedAssets | None:
        """None where nothing can be pooled: a single event type, or too many event types for each asset."""
        if not actions:
            return None
        names, types = np.unique([action.event_type for action in actions], return_inverse=True)
        _, assets = np.unique([action.asset_id for action in actions], return_inverse=True)
        of_asset = np.bincount(assets)
        if len(names) < 2 or int(of_asset @ of_asset) > _MOST_PAIRS_PER_ACTION * len(actions):
            return None
        rows = np.arange(len(actions))
        holds = sparse.csr_array(sparse.coo_array((np.ones(len(actions), np.float32), (rows, assets))))
        pairs = sparse.coo_array(holds @ holds.T)
        return cls(types, assets, len(names), (pairs.row.astype(np.int64), pairs.col.astype(np.int64)))

    def products(self, x: sparse.csr_array, y: sparse.csr_array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """XᵀX and XᵀY over event types, summed over assets; ``x`` and ``y`` have shape (rows, actions)."""
        done, done_at, done_types = self._by_asset(x)
        taken, taken_at, taken_types = self._by_asset(y)
        opens = np.diff(done_at, prepend=-1) != 0
        known_at = done_at[opens]
        shape = (len(known_at), self.type_count)
        inputs = sparse.csr_array(sparse.coo_array((done, (np.cumsum(opens) - 1, done_types)), shape=shape))
        place = np.searchsorted(known_at, taken_at)
        matched = np.append(known_at, -1)[place] == taken_at
        entries = (taken[matched], (place[matched], taken_types[matched]))
        targets = sparse.csr_array(sparse.coo_array(entries, shape=shape))
        return (inputs.T @ inputs).toarray(), (inputs.T @ targets).toarray()

    def _by_asset(self, x: sparse.csr_array) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
        """Values of ``x``, one number for each row and asset they belong to (ascending), and their event types."""
        order = np.argsort(self.assets, kind="stable")
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        sorted_x = sparse.csr_array((x.data, place[x.indices], x.indptr), shape=x.shape)
        sorted_x.sort_indices()
        rows = np.repeat(np.arange(x.shape[0]), np.diff(x.indptr))
        actions = order[sorted_x.indices]
        return sorted_x.data.astype(np.float64), rows * len(order) + self.assets[actions], self.types[actions]

    def weights(self, gram: Dense, product: Dense, strength: float, allow_repeats: bool) -> sparse.csr_array:
        """(XᵀX + strength · diag XᵀX)⁻¹ XᵀY spread over the actions, shape (actions, actions); for discoveries with a
        zero diagonal."""
        shifted = gram.astype(np.float64)
        diagonal = np.diag(shifted)
        # Event types of long ago have inputs near zero: each is measured in its own size, or the system is singular.
        unit = 1.0 / np.sqrt(np.where(diagonal > 0.0, diagonal, 1.0))
        shifted *= unit[:, None] * unit[None, :]
        shifted[np.diag_indices_from(shifted)] += np.where(diagonal > 0.0, strength, 1.0)
        by_type = unit[:, None] * linalg.solve(shifted, unit[:, None] * product.astype(np.float64), assume_a="pos")
        if not allow_repeats:
            np.fill_diagonal(by_type, 0.0)
        rows, columns = self.pairs
        size = len(self.types)
        values = by_type[self.types[rows], self.types[columns]].astype(np.float32)
        weights = sparse.csr_array(sparse.coo_array((values, (rows, columns)), shape=(size, size)))
        weights.eliminate_zeros()
        return weights
