"""Tuning: which parts a mode's score is blended from, found by search on held-out windows.

Parts enter one after another, each with the setting that helps most *in the blend so far* (forward selection), by
NDCG@10 of the full ranking; then all weights are refined together, and a part that adds nothing is dropped. The search
works on the most frequent actions (the head), so that it can try many settings; the last refinement sees the whole
catalogue, with item weights truncated and rounded as they will be served.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from nextbest.scoring.kernels import Kernel
from nextbest.training.blend import NEAR_STEPS, Blend, Part
from nextbest.training.context import FitContext
from nextbest.training.grid import (
    DONE_LAST,
    DONE_MOST_OFTEN,
    LEARNED_KERNELS,
    MOST_POPULAR,
    PERSONALS,
    PRIORS,
    TIES,
)
from nextbest.training.learners import (
    Ease,
    FitTask,
    Fitted,
    ItemLearner,
    Learner,
    Neighbours,
    Personal,
    Prior,
    SameAsset,
    Scores,
    Transitions,
)
from nextbest.training.plan import Effort
from nextbest.training.rows import Rows
from nextbest.training.settings_search import SettingsSearch
from nextbest.training.split import Window
from nextbest.training.validation import Validation

_LAST_ROUNDS = 2
"""Rounds of refinement after the parts were exchanged; they are near their weights already."""

FALLBACK = (Part(Prior(30.0), 1.0), Part(Personal(Kernel("time", "exponential", 90.0)), 1.0))
"""The blend where there is nobody to validate on: recent popularity, and what the user did, at equal weights."""


class Tuner:
    """The search for one mode, on one window or on several.

    ``contexts[k]`` holds the events before ``windows[k]``, all windows are of one table, and the last is the latest.
    """

    def __init__(
        self, contexts: Sequence[FitContext], windows: Sequence[Window], *, allow_repeats: bool, effort: Effort
    ) -> None:
        self.contexts = contexts
        self.window = Window.joined(windows)
        self.allow_repeats = allow_repeats
        self.effort = effort
        self.ties = TIES.popularity(contexts[-1]).astype(np.float32)
        self.settings_tried = 0
        self._row_ends = np.cumsum([len(window.moments) for window in windows])
        self._rank(contexts[-1].head(effort.head))

    def _rank(self, columns: NDArray[np.int64]) -> None:
        """Rank the actions ``columns`` from here on."""
        self.columns = columns
        self.validation = Validation(self.window, columns, self.ties[columns])
        table, moments = self.window.table, self.window.moments[self.validation.rows]
        ends = np.searchsorted(self.validation.rows, self._row_ends)
        begins = np.append(0, ends[:-1])
        self._rows = [Rows(table, moments[begin:end]) for begin, end in zip(begins, ends, strict=True)]

    def search(self) -> Blend:
        """Forward selection on the head."""
        blend = Blend(self.validation)
        if not len(self.validation.rows):
            blend.parts = list(FALLBACK if self.allow_repeats else FALLBACK[:1])
            blend.scores = [self.scores(part.learner) for part in blend.parts]
            return blend
        blend.consider([self._safest_prior(newcomers=False)], self.scores)
        if self.allow_repeats:
            blend.consider(PERSONALS, self.scores)
            self._add_item_weights(blend, Transitions, Ease, SameAsset, Neighbours)
            priors = tuple(prior for prior in PRIORS if not prior.newcomers)
        else:
            blend.improve(0, [self._safest_prior(newcomers=True)], self.scores)
            self._add_item_weights(blend, Ease, Transitions, SameAsset, Neighbours)
            priors = PRIORS
            blend.consider(priors, self.scores)  # beside what is popular, what is becoming so
        blend.refine()
        alternatives: dict[str, Sequence[Learner]] = {Prior.name: priors, Personal.name: PERSONALS}
        for place, part in enumerate(list(blend.parts)):
            if part.learner.name in alternatives:
                blend.improve(place, alternatives[part.learner.name], self.scores)
        self._add_timing(blend)
        blend.refine(_LAST_ROUNDS)
        return blend

    def value_with(self, contexts: Sequence[FitContext], parts: Sequence[Part]) -> float:
        """The value of ``parts`` on the head, learned from other contexts."""
        total = np.zeros((len(self.validation.rows), len(self.columns)), np.float32)
        for part in parts:
            total += np.float32(part.weight) * self._scores_from(contexts, part.learner)
        return self.validation(total)

    def refine_whole(self, parts: Sequence[Part], fitted: Sequence[Mapping[Learner, Fitted]]) -> Blend:
        """The blend's weights refined over the whole catalogue, with item weights as they will be served;
        ``fitted[k]`` are fitted on the events before window k."""
        ranking_count = self.validation.ranking_count
        self._rank(np.arange(len(self.ties)))
        self.validation.ranking_count = ranking_count
        blend = Blend(self.validation)
        for part in parts:
            learner = part.learner
            blend.parts.append(part)
            # Only item weights are truncated and rounded; the rest is served as the search scores it.
            blend.scores.append(
                self._scores_as_served(learner, fitted) if learner.has_item_weights else self.scores(learner)
            )
        if len(self.validation.rows):
            blend.refine()
        return blend

    def classic_ndcg(self) -> dict[str, float]:
        """NDCG@10 of lists that need no model, over the columns ranked now; empty where there is nobody to validate on.

        ``popular_lately`` halves what is 30 days old. Similar actions (item k-nearest neighbours) only where the search
        could solve for all actions.
        """
        methods: dict[str, Learner] = {"most_popular": MOST_POPULAR, "popular_lately": TIES}
        if self.allow_repeats:
            methods |= {"done_most_often": DONE_MOST_OFTEN, "done_last": DONE_LAST}
        if len(self.columns) <= self.effort.head:
            methods["similar_actions"] = Neighbours(LEARNED_KERNELS[0], Neighbours.FIRST_RIDGE)
        if not len(self.validation.rows):
            return {}
        return {name: self.validation.ndcg(self._computed(self.contexts, learner)) for name, learner in methods.items()}

    def scores(self, learner: Learner) -> Scores:
        """The scores of a learner over the columns, fitted for them."""
        return self._scores_from(self.contexts, learner)

    def _scores_from(self, contexts: Sequence[FitContext], learner: Learner) -> Scores:
        self.settings_tried += 1
        return self._computed(contexts, learner)

    def _computed(self, contexts: Sequence[FitContext], learner: Learner) -> Scores:
        everything = len(self.columns)
        tasks = [FitTask(context, self.columns, self.allow_repeats, per_action=everything) for context in contexts]
        return self._per_window(lambda k, rows: learner.scores(tasks[k], rows))

    def _scores_as_served(self, learner: Learner, fitted: Sequence[Mapping[Learner, Fitted]]) -> Scores:
        return self._per_window(lambda k, rows: fitted[k][learner].scores(rows, self.columns))

    def _per_window(self, compute: Callable[[int, Rows], Scores]) -> Scores:
        """Scores of every row that is ranked: ``compute`` gets the number of a window and its rows."""
        return np.concatenate([compute(k, rows) for k, rows in enumerate(self._rows)])

    def _safest_prior(self, newcomers: bool) -> Prior:
        """The prior of the longest half-life that ranks as well as the best one, within chance: it counts the most
        events."""
        scores = {prior: self.scores(prior) for prior in PRIORS if prior.newcomers == newcomers}
        best = max(scores, key=lambda prior: self.validation(scores[prior]))
        as_good = (prior for prior in scores if prior == best or self.validation.no_worse(scores[best], scores[prior]))
        return max(as_good, key=lambda prior: prior.half_life_days)

    def _add_item_weights(self, blend: Blend, *kinds: type[ItemLearner]) -> None:
        """Add learners of item weights one after another, where they improve the ranking."""
        for kind in kinds:
            if kind.can_learn(self.contexts[0]):
                kernels = LEARNED_KERNELS[: kind.SEARCHED_KERNELS or self.effort.kernels]
                SettingsSearch(blend, self.scores).run(kind, kernels)

    def _add_timing(self, blend: Blend) -> None:
        """Multiply the personal part by how due each action is, where that improves the ranking."""
        for place, part in enumerate(blend.parts):
            learner = part.learner.with_timing()
            if learner is None or part.weight <= 0.0:
                continue
            total = blend.total
            rest = total - np.float32(part.weight) * blend.scores[place]
            scores = self.scores(learner)
            weights = [part.weight * step for step in NEAR_STEPS]
            weight = max(weights, key=lambda weight: self.validation(rest + np.float32(weight) * scores))
            after = rest + np.float32(weight) * scores
            if self.validation.improves(total, after):
                blend.exchange(place, Part(learner, weight), scores, self.validation(after))
