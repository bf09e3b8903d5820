"""EASE: what is done together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from nextbest.training.learners.base import FitTask, ItemLearner
from nextbest.training.ridge import Dense
from nextbest.training.sums import UsersNow, system_of


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
        size = len(task.columns)
        matrices = UsersNow(self.kernel, task.columns)
        system = context.cached((self.name, self.kernel, size), size, lambda: system_of(context, matrices))
        return system.ease(self.ridge * context.ridge_scale(system.squares))
