"""Same asset: what doing one thing with an asset leads to doing with the same asset, whichever asset it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nextbest.scoring.kernels import Kernel
from nextbest.training.context import FitContext
from nextbest.training.learners.base import FitTask, ItemLearner
from nextbest.training.rows import FitRows
from nextbest.training.shared_assets import SharedAssets
from nextbest.training.table import no_entries


@dataclass(frozen=True, slots=True)
class SameAsset(ItemLearner):
    """W between two actions of one asset is θ of their event types; θ = (XᵀX + λ diag XᵀX)⁻¹ XᵀY, pooled over assets.

    ``ridge`` is relative to each event type's own diagonal. Few weights an action, so nothing is truncated.
    """

    name: ClassVar[str] = "same_asset"
    is_truncated: ClassVar[bool] = False
    spans_catalogue: ClassVar[bool] = True
    needs_examples: ClassVar[bool] = True

    FIRST_RIDGE: ClassVar[float] = 0.01

    @classmethod
    def can_learn(cls, context: FitContext) -> bool:
        """Whether anybody came back, and assets have more than one event type."""
        return context.shared_assets is not None and context.example_count > 0

    def solve(self, task: FitTask) -> sparse.csr_array:
        """The weights among the columns."""
        return sparse.csr_array(self.weights(task)[task.columns][:, task.columns])

    def weights(self, task: FitTask) -> sparse.csr_array:
        """The weights of every action of the catalogue."""
        context, allow_repeats = task.context, task.allow_repeats
        shared = context.shared_assets
        if shared is None:
            size = len(context.actions)
            return no_entries(size, size)
        products = context.cached(
            (self.name, self.kernel, allow_repeats),
            shared.type_count,
            lambda: context.total(_Products(shared, self.kernel, allow_repeats)),
        )
        gram, product = (products[name].astype(np.float32) for name in ("gram", "product"))
        return shared.weights(gram, product, self.ridge, allow_repeats)


@dataclass(frozen=True, slots=True, eq=False)
class _Products:
    """XᵀX and XᵀY over event types, where X are the inputs of the examples and Y what came next."""

    shared: SharedAssets
    kernel: Kernel
    allow_repeats: bool

    def __call__(self, rows: FitRows) -> dict[str, NDArray[np.float64]]:
        gram, product = self.shared.products(*rows.example_matrices(self.kernel, self.allow_repeats))
        return {"gram": gram, "product": product}
