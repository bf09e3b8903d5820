"""Tuning: which parts a mode's score is blended from, found by search on a held-out window.

Parts enter one after another, each with the setting that helps most *in the blend so far* (forward selection), with
NDCG@10 of the full ranking as the judge; then all weights are refined together, and a part that does not pay is
dropped. The search works on the most frequent actions (the head) to afford many settings; the last refinement sees
the whole catalogue, with weights truncated and rounded as they will be served.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nextbest.scoring.kernels import Kernel
from nextbest.training.blend import STEPS, Blend, Judge, Part, Scores
from nextbest.training.components import Kind, Recipe, Workshop
from nextbest.training.priors import Prior
from nextbest.training.split import Window
from nextbest.training.table import Moments, inputs_of
from nextbest.training.timing import fit_timing, timed_inputs

PRIOR_HALF_LIVES_DAYS = (1.0, 3.0, 7.0, 14.0, 30.0, 60.0, 180.0, 730.0)
PRIORS = tuple(Prior(days, newcomers) for newcomers in (False, True) for days in PRIOR_HALF_LIVES_DAYS)
TIES = Prior(30.0)
"""Equal scores are judged in its order."""
PERSONAL_KERNELS = (
    Kernel("time", "exponential", 90.0),
    Kernel("rank", "exponential", 60.0),
    Kernel("time", "power", 0.5),
    Kernel("rank", "power", 0.5),
    Kernel("time", "exponential", 365.0),
    Kernel("time", "exponential", 30.0),
    Kernel("rank", "exponential", 20.0),
    Kernel("rank", "exponential", 200.0),
    Kernel("time", "power", 0.25),
    Kernel("rank", "power", 0.25),
    Kernel("rank", "power", 1.0),
    Kernel("time", "exponential", 10.0),
    Kernel("time", "power", 1.0),
    Kernel("rank", "exponential", 600.0),
    Kernel("time", "exponential", 3.0),
    Kernel("rank", "exponential", 6.0),
    Kernel("time", "exponential", 0.1),
    Kernel("time", "exponential", 3650.0),
)
LEARNED_KERNELS = (
    Kernel("time", "exponential", 90.0, 0.5),
    Kernel("rank", "exponential", 60.0, 0.5),
    Kernel("time", "exponential", 30.0, 0.5),
    Kernel("rank", "power", 0.5, 0.5),
    Kernel("time", "exponential", 365.0, 0.5),
    Kernel("rank", "exponential", 20.0, 0.5),
    Kernel("time", "exponential", 10.0, 0.5),
    Kernel("rank", "exponential", 200.0, 0.5),
    Kernel("rank", "power", 1.0, 0.5),
    Kernel("time", "power", 0.5, 0.5),
    Kernel("rank", "exponential", 6.0, 0.5),
    Kernel("time", "exponential", 4.0, 0.5),
    Kernel("time", "exponential", 0.1, 0.5),
)
RIDGES = {"ease": 1.0, "transitions": 0.3, "neighbours": 0.3, "same_asset": 0.01}
SHARES = (0.0, 0.5, 1.0)
_UNLIKE_SCALES = 2.9
_LEAST_RIDGE = 1e-3
"""Below it a kernel of hours makes much of inputs that are all but gone."""

FALLBACK = (Part(Prior(30.0), 1.0), Part(Kernel("time", "exponential", 90.0), 1.0))
"""The blend where nobody can be judged on: recent popularity, and what the user did, at like weights."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How much to search: how many kernels, and on how large a head. A function of the data's size and the time
    budget by a fixed formula, never of the clock, so that the result is the same on every machine."""

    kernels: int
    head: int


class Tuner:
    """The search for one mode, on one window or on several.

    ``workshops[k]`` knows the events before ``windows[k]``, all windows are of one table, and the last is the latest.
    """

    def __init__(
        self, workshops: Sequence[Workshop], windows: Sequence[Window], *, allow_repeats: bool, effort: Effort
    ) -> None:
        self.workshops = workshops
        self.window = Window.joined(windows)
        self.allow_repeats = allow_repeats
        self.effort = effort
        self.ties = workshops[-1].popularity(TIES).astype(np.float32)
        self.settings_tried = 0
        self._ends = np.cumsum([len(window.moments) for window in windows])
        self._use(workshops[-1].head(effort.head))

    def _use(self, columns: NDArray[np.int64]) -> None:
        self.columns = columns
        self.judge = Judge(self.window, columns, self.ties[columns])

    def _per_window(self, compute: Callable[[int, Workshop, Moments], NDArray[np.float32]]) -> Scores:
        """Scores of every judged row, each window's computed from the events before it."""
        rows = self.judge.rows
        ends = np.searchsorted(rows, self._ends)
        moments = self.window.moments[rows]
        begins = np.append(0, ends[:-1])
        return np.concatenate(
            [
                compute(place, workshop, moments[begin:end])
                for place, (workshop, begin, end) in enumerate(zip(self.workshops, begins, ends, strict=True))
            ]
        )

    def search(self) -> Blend:
        """Forward selection on the head."""
        blend = Blend(self.judge)
        if not len(self.judge.rows):
            blend.parts = list(FALLBACK if self.allow_repeats else FALLBACK[:1])
            blend.scores = [self._scores_of(part) for part in blend.parts]
            return blend
        blend.consider([self._prior(self._safest(newcomers=False))])
        if self.allow_repeats:
            blend.consider(self._personals())
            self._add_learned(blend, "transitions", "ease", "same_asset", "neighbours")
            priors = [prior for prior in PRIORS if not prior.newcomers]
        else:
            blend.improve(0, [self._prior(self._safest(newcomers=True))])
            self._add_learned(blend, "ease", "transitions", "same_asset", "neighbours")
            priors = list(PRIORS)
            blend.consider([self._prior(prior) for prior in priors])  # beside what is popular, what is on the rise
        blend.refine()
        for place, part in enumerate(list(blend.parts)):
            if part.name == "personal":
                blend.improve(place, self._personals())
            elif part.name == "prior":
                blend.improve(place, [self._prior(prior) for prior in priors])
        self._add_timing(blend)
        blend.refine(2)
        return blend

    def _safest(self, newcomers: bool) -> Prior:
        """The prior of the longest half-life that ranks as well as the best one, within chance: it counts the most
        events."""
        scores = {prior: self._prior(prior)[1]() for prior in PRIORS if prior.newcomers == newcomers}
        best = max(scores, key=lambda prior: self.judge(scores[prior]))
        as_good = (prior for prior in scores if prior == best or self.judge.harmless(scores[best], scores[prior]))
        return max(as_good, key=lambda prior: prior.half_life_days)

    def _add_timing(self, blend: Blend) -> None:
        """Multiply the personal part by how due each action is, if that pays."""
        for place, part in enumerate(blend.parts):
            if not isinstance(part.what, Kernel) or part.weight <= 0.0:
                continue
            total = blend.total
            rest = total - np.float32(part.weight) * blend.scores[place]
            timed = self._scores_of(replace(part, timed=True))
            trials = [part.weight * step for step in (0.5, 1.0, 2.0)]
            weight = max(trials, key=lambda trial: self.judge(rest + np.float32(trial) * timed))
            after = rest + np.float32(weight) * timed
            if self.judge.pays(total, after):
                chosen = replace(part, weight=weight, timed=True)
                value = self.judge(after)
                blend.steps.append({**chosen.to_json(), "ndcg_before": blend.value, "ndcg_after": value})
                blend.parts[place], blend.scores[place], blend.value = chosen, timed, value

    def _scores_of(self, part: Part) -> Scores:
        """The scores of one part over the columns, learned weights solved for them."""
        if isinstance(part.what, Recipe):
            return self.learned(part.what)
        if isinstance(part.what, Kernel):
            return self._timed(part.what) if part.timed else self._personal(part.what)[1]()
        return self._prior(part.what)[1]()

    def _timed(self, kernel: Kernel) -> Scores:
        self.settings_tried += 1

        def compute(_: int, workshop: Workshop, moments: Moments) -> Scores:
            timing = fit_timing(workshop, kernel)
            table = self.window.table
            x = inputs_of(table, moments, kernel) if timing is None else timed_inputs(table, moments, kernel, timing)
            return np.asarray(x[:, self.columns].toarray(), np.float32)

        return self._per_window(compute)

    def value_with(self, workshops: Sequence[Workshop], parts: Sequence[Part]) -> float:
        """The value of ``parts`` on the head with learned weights from other workshops."""
        own, self.workshops = self.workshops, workshops
        total = np.zeros((len(self.judge.rows), len(self.columns)), np.float32)
        for part in parts:
            total += np.float32(part.weight) * self._scores_of(part)
        self.workshops = own
        return self.judge(total)

    def refine_whole(self, parts: Sequence[Part], matrices: Sequence[dict[Recipe, sparse.csr_array]]) -> Blend:
        """The blend's weights refined over the whole catalogue, with learned weights as they will be served;
        ``matrices[k]`` are learned from the events before window k."""
        judged = self.judge.judged
        self._use(np.arange(len(self.ties)))
        self.judge.judged = judged
        blend = Blend(self.judge)
        for part in parts:
            blend.parts.append(part)
            blend.scores.append(self._served(part, matrices))
        if len(self.judge.rows):
            blend.refine()
        return blend

    def _served(self, part: Part, matrices: Sequence[dict[Recipe, sparse.csr_array]]) -> Scores:
        recipe = part.what
        if not isinstance(recipe, Recipe):
            return self._scores_of(part)

        def compute(place: int, _: Workshop, moments: Moments) -> Scores:
            learned = inputs_of(self.window.table, moments, recipe.kernel) @ matrices[place][recipe]
            return np.asarray(learned.toarray(), np.float32)

        return self._per_window(compute)

    def _prior(self, prior: Prior) -> tuple[Prior, Callable[[], Scores]]:
        def compute(_: int, workshop: Workshop, moments: Moments) -> Scores:
            popularity = workshop.popularity(prior)[self.columns]
            return np.tile(popularity.astype(np.float32), (len(moments), 1))

        def scores() -> Scores:
            self.settings_tried += 1
            return self._per_window(compute)

        return prior, scores

    def _personals(self) -> list[tuple[Kernel, Callable[[], Scores]]]:
        kernels = PERSONAL_KERNELS
        return [self._personal(replace(kernel, damping=damping)) for damping in (1.0, 0.5) for kernel in kernels]

    def _personal(self, kernel: Kernel) -> tuple[Kernel, Callable[[], Scores]]:
        def compute() -> Scores:
            self.settings_tried += 1
            x = inputs_of(self.window.table, self.window.moments[self.judge.rows], kernel)
            return np.asarray(x[:, self.columns].toarray(), np.float32)

        return kernel, compute

    def _add_learned(self, blend: Blend, *kinds: Kind) -> None:
        """Add components one after another, where they pay."""
        for kind in kinds:
            self._add_one(blend, kind)

    def _add_one(self, blend: Blend, kind: Kind) -> None:
        """Search a component's kernel, then its ridge, share and damping, one after another, each in the blend."""
        first = self.workshops[0]
        if kind in ("transitions", "same_asset") and not len(first.transitions.moments):
            return
        if kind == "same_asset" and first.same_asset is None:
            return
        share = 0.5 if kind == "transitions" else 0.0
        kernels = LEARNED_KERNELS[: self.effort.kernels] if kind != "neighbours" else LEARNED_KERNELS[:5]
        trials = _Trials(blend, self)
        for kernel in kernels:
            trials.judge(Recipe(kind, replace(kernel, share=share), RIDGES[kind]))
        for runner_up in trials.best_kernels(2):
            trials.climb(runner_up)
        for other in SHARES:
            trials.judge(replace(trials.best.recipe, kernel=replace(trials.best.recipe.kernel, share=other)))
        trials.judge(replace(trials.best.recipe, kernel=replace(trials.best.recipe.kernel, damping=1.0)))
        for scale in (0.5, 2.0):
            kernel = trials.best.recipe.kernel
            trials.judge(replace(trials.best.recipe, kernel=replace(kernel, scale=kernel.scale * scale)))
        trials.climb(trials.best.recipe)
        best = trials.best
        after = blend.total + np.float32(best.weight) * best.scores
        if self.judge.pays(blend.total, after):
            parts = [(Part(best.recipe, best.weight), best.scores)]
            value = best.value
            # Which kernel is the best is mostly luck of the window; the mean of two is the safer and often the better.
            second = trials.runner_up()
            if second is not None:
                weight = best.weight * self.judge.scale_of(best.scores) / self.judge.scale_of(second[1])
                pair = [(Part(best.recipe, best.weight / 2), best.scores), (Part(second[0], weight / 2), second[1])]
                both = blend.total + sum(np.float32(part.weight) * scores for part, scores in pair)
                if self.judge.harmless(after, both, 2.0):
                    parts, value = pair, self.judge(both)
            for part, scores in parts:
                blend.steps.append({**part.to_json(), "ndcg_before": blend.value, "ndcg_after": value})
                blend.parts.append(part)
                blend.scores.append(scores)
            blend.value = value

    def learned(self, recipe: Recipe) -> Scores:
        """Scores of a component solved for the columns."""
        self.settings_tried += 1

        def compute(_: int, workshop: Workshop, moments: Moments) -> Scores:
            x = sparse.csr_array(inputs_of(self.window.table, moments, recipe.kernel)[:, self.columns])
            scores = x @ workshop.solve(recipe, self.columns, self.allow_repeats)
            return np.asarray(scores.toarray() if sparse.issparse(scores) else scores, np.float32)

        return self._per_window(compute)


@dataclass(frozen=True, slots=True)
class _Trial:
    value: float
    recipe: Recipe
    weight: float
    scores: Scores


class _Trials:
    """Recipes judged as additions to one blend, each at its best weight; every recipe is judged once."""

    def __init__(self, blend: Blend, tuner: Tuner) -> None:
        self._tuner = tuner
        self._total = blend.total
        self._scale = tuner.judge.scale_of(self._total)
        self._judge = tuner.judge
        self._values: dict[Recipe, float] = {}
        self._best: _Trial | None = None

    @property
    def best(self) -> _Trial:
        """The best trial so far."""
        assert self._best is not None, "judge a recipe first"
        return self._best

    def judge(self, recipe: Recipe) -> float:
        """The blend's value with ``recipe``."""
        if recipe in self._values:
            return self._values[recipe]
        scores = self._tuner.learned(recipe)
        unit = self._scale / self._judge.scale_of(scores)
        value, weight = max(
            (self._judge(self._total + np.float32(step * unit) * scores), step * unit) for step in STEPS[1:]
        )
        self._values[recipe] = value
        if self._best is None or value > self._best.value:
            self._best = _Trial(value, recipe, weight, scores)
        return value

    def best_kernels(self, count: int) -> list[Recipe]:
        """The best recipes so far, best first."""
        return sorted(self._values, key=lambda recipe: -self._values[recipe])[:count]

    def runner_up(self) -> tuple[Recipe, Scores] | None:
        """The best recipe with a kernel unlike the best one's: of another form, or of a scale far from it."""
        best = self.best.recipe.kernel
        for recipe in self.best_kernels(len(self._values)):
            kernel = recipe.kernel
            ratio = max(kernel.scale, best.scale) / min(kernel.scale, best.scale)
            if (kernel.clock, kernel.shape) != (best.clock, best.shape) or ratio >= _UNLIKE_SCALES:
                return recipe, self._tuner.learned(recipe)
        return None

    def climb(self, recipe: Recipe) -> None:
        """Move the ridge up and down while it helps."""
        for factor in (3.0, 1.0 / 3.0):
            value = self.judge(recipe)
            stronger = replace(recipe, ridge=recipe.ridge * factor)
            for _ in range(4):
                if stronger.ridge < _LEAST_RIDGE:
                    break
                judged = self.judge(stronger)
                if judged <= value:
                    break
                value = judged
                stronger = replace(stronger, ridge=stronger.ridge * factor)
