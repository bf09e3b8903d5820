"""The search for the settings of one learner of item weights, as an addition to a blend."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from nextbest.scoring.kernels import Kernel
from nextbest.training.blend import STEPS, Blend, Part
from nextbest.training.grid import SCALE_FACTORS, SHARES
from nextbest.training.learners import ItemLearner, Learner, Scores

_LEAST_RIDGE = 1e-3
"""Below it a kernel of hours gives weight to inputs that have all but faded."""
_RIDGE_FACTOR, _RIDGE_STEPS = 3.0, 4
"""Ridges are moved up and down by this factor, at most so many times."""
_KERNELS_REFINED = 2
"""Of how many of the best kernels the ridge is moved: the best kernel may depend on it."""
_UNLIKE_SCALES = 2.9
"""Kernels of one form are unlike when their scales differ by this factor: nearly two steps of the grid."""
_PAIR_STANDARD_ERRORS = 2.0
"""The mean of two settings is taken unless it is worse by more than this: it is the safer choice."""


@dataclass(frozen=True, slots=True)
class _Trial:
    """A setting as an addition to the blend, at its best weight."""

    learner: ItemLearner
    value: float
    weight: float
    scores: Scores


class SettingsSearch:
    """Settings tried as additions to one blend, each at its best weight and each once."""

    def __init__(self, blend: Blend, scores_of: Callable[[Learner], Scores]) -> None:
        self._blend = blend
        self._validation = blend.validation
        self._scores_of = scores_of
        self._total = blend.total
        self._scale = self._validation.scale_of(self._total)
        self._values: dict[ItemLearner, float] = {}
        self._best: _Trial | None = None

    def run(self, kind: type[ItemLearner], kernels: Sequence[Kernel]) -> None:
        """Search kernel, ridge, share, damping, scale and ridge again, one after another; add the best setting to the
        blend where it improves the ranking, and with it a second one unlike it."""
        for kernel in kernels:
            self._try(kind(replace(kernel, share=kind.FIRST_SHARE), kind.FIRST_RIDGE))
        for promising in self._ranking()[:_KERNELS_REFINED]:
            self._climb(promising)
        for share in SHARES:
            self._try_kernel(replace(self._kernel, share=share))
        self._try_kernel(replace(self._kernel, damping=1.0))
        for factor in SCALE_FACTORS:
            self._try_kernel(replace(self._kernel, scale=self._kernel.scale * factor))
        self._climb(self._chosen.learner)
        self._add()

    @property
    def _chosen(self) -> _Trial:
        assert self._best is not None, "try a setting first"
        return self._best

    @property
    def _kernel(self) -> Kernel:
        return self._chosen.learner.kernel

    def _try(self, learner: ItemLearner) -> float:
        """The blend's value with ``learner``."""
        if learner in self._values:
            return self._values[learner]
        scores = self._scores_of(learner)
        unit = self._scale / self._validation.scale_of(scores)
        value, weight = max(
            (self._validation(self._total + np.float32(step * unit) * scores), step * unit) for step in STEPS[1:]
        )
        self._values[learner] = value
        if self._best is None or value > self._best.value:
            self._best = _Trial(learner, value, weight, scores)
        return value

    def _try_kernel(self, kernel: Kernel) -> None:
        """Try the best setting with another kernel."""
        self._try(replace(self._chosen.learner, kernel=kernel))

    def _ranking(self) -> list[ItemLearner]:
        """All settings tried, best first."""
        return sorted(self._values, key=lambda learner: -self._values[learner])

    def _climb(self, learner: ItemLearner) -> None:
        """Move the ridge up and down while it helps."""
        for factor in (_RIDGE_FACTOR, 1.0 / _RIDGE_FACTOR):
            best = self._try(learner)
            moved = replace(learner, ridge=learner.ridge * factor)
            for _ in range(_RIDGE_STEPS):
                if moved.ridge < _LEAST_RIDGE:
                    break
                value = self._try(moved)
                if value <= best:
                    break
                best = value
                moved = replace(moved, ridge=moved.ridge * factor)

    def _add(self) -> None:
        best = self._chosen
        after = self._total + np.float32(best.weight) * best.scores
        if not self._validation.improves(self._total, after):
            return
        parts, value = [(Part(best.learner, best.weight), best.scores)], best.value
        # Which kernel is the best is mostly chance; the mean of two is the safer and often the better.
        second = self._unlike()
        if second is not None:
            other = self._scores_of(second)
            weight = best.weight * self._validation.scale_of(best.scores) / self._validation.scale_of(other)
            pair = [(Part(best.learner, best.weight / 2), best.scores), (Part(second, weight / 2), other)]
            both = self._total + sum(np.float32(part.weight) * scores for part, scores in pair)
            if self._validation.no_worse(after, both, _PAIR_STANDARD_ERRORS):
                parts, value = pair, self._validation(both)
        for part, scores in parts:
            self._blend.add(part, scores, value)
        self._blend.value = value

    def _unlike(self) -> ItemLearner | None:
        """The best setting with a kernel unlike the best one's: of another form, or of a scale far from it."""
        best = self._kernel
        for learner in self._ranking():
            kernel = learner.kernel
            ratio = max(kernel.scale, best.scale) / min(kernel.scale, best.scale)
            if (kernel.clock, kernel.shape) != (best.clock, best.shape) or ratio >= _UNLIKE_SCALES:
                return learner
        return None
