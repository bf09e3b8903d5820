"""What doing one thing with an asset leads to doing with the same asset, one weight for each pair of event types.

A rare asset has too few events to learn from alone, but who put it into the cart buys it, as with any other asset. The
diagonal is what having done it is worth for doing it again, by event type: clicks come again, enrolments do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse

from nextbest.actions import Action
from nextbest.training import ridge

_MOST_TYPES = 16


@dataclass(frozen=True, slots=True)
class SameAsset:
    """Event type and asset of each action as indices, shape (actions,), and the ``pairs`` of actions with one asset."""

    types: NDArray[np.int64]
    assets: NDArray[np.int64]
    type_count: int
    pairs: tuple[NDArray[np.int64], NDArray[np.int64]]

    @classmethod
    def of(cls, actions: Sequence[Action]) -> SameAsset | None:
        """None where there is nothing to share: one event type, or assets with so many that each is a world."""
        if not actions:
            return None
        names, types = np.unique([action.event_type for action in actions], return_inverse=True)
        _, assets = np.unique([action.asset_id for action in actions], return_inverse=True)
        of_asset = np.bincount(assets)
        if len(names) < 2 or int(of_asset @ of_asset) > _MOST_TYPES * len(actions):
            return None
        rows = np.arange(len(actions))
        holds = sparse.csr_array(sparse.coo_array((np.ones(len(actions), np.float32), (rows, assets))))
        pairs = sparse.coo_array(holds @ holds.T)
        return cls(types, assets, len(names), (pairs.row.astype(np.int64), pairs.col.astype(np.int64)))

    def products(self, x: sparse.csr_array, y: sparse.csr_array) -> tuple[ridge.Dense, ridge.Dense]:
        """XᵀX and XᵀY over event types, summed over assets; ``x`` and ``y`` have shape (rows, actions)."""
        width = int(self.assets.max()) + 1

        def places(entries: sparse.coo_array) -> NDArray[np.int64]:
            return np.asarray(entries.row.astype(np.int64) * width + self.assets[entries.col])

        done, taken = sparse.coo_array(x), sparse.coo_array(y)
        keys, place = np.unique(places(done), return_inverse=True)
        shape = (len(keys), self.type_count)
        inputs = sparse.csr_array(sparse.coo_array((done.data, (place, self.types[done.col])), shape=shape))
        wanted = places(taken)
        met = np.isin(wanted, keys)
        place = np.searchsorted(keys, wanted[met])
        types = self.types[taken.col[met]]
        targets = sparse.csr_array(sparse.coo_array((taken.data[met], (place, types)), shape=shape))
        return (inputs.T @ inputs).toarray(), (inputs.T @ targets).toarray()

    def weights(
        self, gram: ridge.Dense, product: ridge.Dense, strength: float, allow_repeats: bool
    ) -> sparse.csr_array:
        """(XᵀX + strength · diag XᵀX)⁻¹ XᵀY spread over the actions, shape (actions, actions); for discoveries with a
        zero diagonal."""
        shifted = gram.astype(np.float64)
        diagonal = np.diag(shifted)
        shifted[np.diag_indices_from(shifted)] += np.where(diagonal > 0.0, strength * diagonal, 1.0)
        by_type = linalg.solve(shifted, product.astype(np.float64), assume_a="pos")
        if not allow_repeats:
            np.fill_diagonal(by_type, 0.0)
        rows, columns = self.pairs
        size = len(self.types)
        values = by_type[self.types[rows], self.types[columns]].astype(np.float32)
        found = sparse.csr_array(sparse.coo_array((values, (rows, columns)), shape=(size, size)))
        found.eliminate_zeros()
        return found
