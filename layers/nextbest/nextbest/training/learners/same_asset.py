"""Same asset: what doing one thing with an asset leads to doing with the same asset, whichever asset it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from scipy import sparse

from nextbest.training.context import FitContext
from nextbest.training.learners.base import FitTask, ItemLearner
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
        return context.shared_assets is not None and bool(len(context.examples.moments))

    def solve(self, task: FitTask) -> sparse.csr_array:
        """The weights among the columns."""
        return sparse.csr_array(self.weights(task)[task.columns][:, task.columns])

    def weights(self, task: FitTask) -> sparse.csr_array:
        """The weights of every action of the catalogue."""
        context, allow_repeats = task.context, task.allow_repeats
        shared = context.shared_assets
        if shared is None:
            size = len(context.table.actions)
            return no_entries(size, size)
        gram, product = context.cached(
            (self.name, self.kernel, allow_repeats),
            shared.type_count,
            lambda: shared.products(*context.example_matrices(self.kernel, allow_repeats)),
        )
        return shared.weights(gram, product, self.ridge, allow_repeats)
