"""EASE: what is done together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from nextbest.training.learners.base import FitTask, ItemLearner
from nextbest.training.ridge import Dense, ease_of, inverse


@dataclass(frozen=True, slots=True)
class Ease(ItemLearner):
    """P = (XᵀX + λI)⁻¹, W = -P / diag P with a zero diagonal; X are the inputs of all users at the time of training.

    Source: Steck, Embarrassingly Shallow Autoencoders for Sparse Data, WWW 2019.
    """

    name: ClassVar[str] = "ease"

    FIRST_RIDGE: ClassVar[float] = 1.0

    def solve(self, task: FitTask) -> Dense:
        """The closed form over the columns."""
        context = task.context
        key = (self.name, self.kernel, len(task.columns))
        (gram,) = context.cached(key, lambda: (context.gram(self.kernel, task.columns),))
        return ease_of(inverse(gram, self.ridge * context.ridge_scale(gram)))
