"""Transitions: what came next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from scipy import sparse

from nextbest.training.learners.base import FitTask, ItemLearner
from nextbest.training.ridge import Dense
from nextbest.training.sums import WhatCameNext, system_of
from nextbest.training.table import no_entries


@dataclass(frozen=True, slots=True)
class Transitions(ItemLearner):
    """W = (XᵀX + λI)⁻¹ XᵀY: ridge regression from the inputs just before an event to what followed.

    The diagonal is free: what having done an action is worth for doing it again. Source: SLIST, Choi et al., WWW 2021.
    """

    name: ClassVar[str] = "transitions"
    needs_examples: ClassVar[bool] = True

    FIRST_RIDGE: ClassVar[float] = 0.3
    FIRST_SHARE: ClassVar[float] = 0.5

    def solve(self, task: FitTask) -> Dense:
        """The closed form over the columns."""
        context = task.context
        size = len(task.columns)
        matrices = WhatCameNext(self.kernel, task.columns, task.allow_repeats)
        key = (self.name, self.kernel, size, task.allow_repeats)
        system = context.cached(key, size, lambda: system_of(context, matrices))
        return system.regression(self.ridge * context.ridge_scale(system.squares))

    def weights(self, task: FitTask) -> sparse.csr_array:
        """The strongest weights of each action; none where nobody came back."""
        if not self.can_learn(task.context):
            size = len(task.context.actions)
            return no_entries(size, size)
        return ItemLearner.weights(self, task)
