"""A blend: the parts of a score and their weights. A part enters only when it improves the ranking by more than chance,
and leaves when it no longer does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from nextbest.training.learners import Learner, Scores
from nextbest.training.validation import Validation

STEPS = (0.05, 0.15, 0.4, 1.0, 2.5, 6.0)
"""Weights that a new part is tried at, relative to the scale of the blend."""
_SIGNED_STEPS = (*STEPS, -1.0, -6.0)  # having done it before may well speak against doing it again: films, courses
NEAR_STEPS = (0.5, 1.0, 2.0)
"""Weights that a part put in another's place is tried at, relative to the other's."""
_REFINE_ROUNDS = 3
_DROP_STANDARD_ERRORS = 0.5
"""A part stays while it is worth this many standard errors: less than to enter, so that parts do not come and go."""
_EXCHANGE_STANDARD_ERRORS = 1.0


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a blend."""

    learner: Learner
    weight: float

    def to_json(self) -> dict[str, Any]:
        """For the report."""
        learner = self.learner
        return {"part": learner.name, "setting": str(learner), "weight": self.weight, "timed": learner.timed}


@dataclass(slots=True)
class Blend:
    """Parts with their scores, the ``value`` of the whole (NDCG@10 by ``validation``), and the ``steps`` that led to
    it."""

    validation: Validation
    parts: list[Part] = field(default_factory=list)
    scores: list[Scores] = field(default_factory=list)
    value: float = 0.0
    steps: list[dict[str, Any]] = field(default_factory=list)

    @property
    def total(self) -> Scores:
        """The blended scores."""
        total = np.zeros((len(self.validation.rows), len(self.validation.columns)), np.float32)
        for part, scores in zip(self.parts, self.scores, strict=True):
            total += np.float32(part.weight) * scores
        return total

    def add(self, part: Part, scores: Scores, value: float) -> None:
        """Add a part, after which the blend has ``value``, and note the step; the caller sets the value."""
        self.steps.append({**part.to_json(), "ndcg_before": self.value, "ndcg_after": value})
        self.parts.append(part)
        self.scores.append(scores)

    def exchange(self, place: int, part: Part, scores: Scores, value: float) -> None:
        """Put a part in the place of another, after which the blend has ``value``, and note the step."""
        self.steps.append({**part.to_json(), "ndcg_before": self.value, "ndcg_after": value})
        self.parts[place], self.scores[place], self.value = part, scores, value

    def consider(self, learners: Sequence[Learner], scores_of: Callable[[Learner], Scores]) -> Part | None:
        """Add the learner, at the weight, that improves the ranking most; None, and nothing added, where none does."""
        total = self.total
        best: tuple[float, Part, Scores] | None = None
        for learner in learners:
            scores = scores_of(learner)
            unit = (self.validation.scale_of(total) if self.parts else 1.0) / self.validation.scale_of(scores)
            steps = _SIGNED_STEPS if learner.may_oppose else STEPS
            for step in steps if self.parts else (1.0,):
                value = self.validation(total + np.float32(step * unit) * scores)
                if best is None or value > best[0]:
                    best = (value, Part(learner, step * unit), scores)
        if best is None:
            return None
        value, part, scores = best
        if self.parts and not self.validation.improves(total, total + np.float32(part.weight) * scores):
            return None
        self.add(part, scores, value)
        self.value = value
        return part

    def improve(self, place: int, learners: Sequence[Learner], scores_of: Callable[[Learner], Scores]) -> None:
        """Exchange the part at ``place`` for the learner that improves the ranking most, where one does."""
        part, scores = self.parts[place], self.scores[place]
        total = self.total
        rest = total - np.float32(part.weight) * scores
        scale = part.weight * self.validation.scale_of(scores)
        best, chosen = self.value, (part, scores)
        for learner in learners:
            if learner == part.learner:
                continue
            other = scores_of(learner)
            unit = scale / self.validation.scale_of(other)
            for step in NEAR_STEPS:
                value = self.validation(rest + np.float32(unit * step) * other)
                if value > best:
                    best, chosen = value, (Part(learner, unit * step), other)
        after = rest + np.float32(chosen[0].weight) * chosen[1]
        if self.validation.improves(total, after, _EXCHANGE_STANDARD_ERRORS):
            self.value = best
            self.parts[place], self.scores[place] = chosen

    def refine(self, rounds: int = _REFINE_ROUNDS) -> None:
        """Coordinate search over the weights, with smaller steps each round; a part that adds nothing is dropped."""
        self.value = self.validation(self.total)
        for round_number in range(rounds):
            spread = 2.0 ** (1.0 / (round_number + 1))
            for places in self._groups():
                self._refine_group(places, spread)
        remaining = [place for place, part in enumerate(self.parts) if part.weight != 0.0]
        self.parts = [self.parts[place] for place in remaining]
        self.scores = [self.scores[place] for place in remaining]

    def without(self) -> list[float]:
        """The value of the blend without each of its parts in turn: what each is worth."""
        total = self.total
        return [
            self.validation(total - np.float32(part.weight) * scores) if len(self.validation.rows) else 0.0
            for part, scores in zip(self.parts, self.scores, strict=True)
        ]

    def without_learners(self) -> dict[str, float]:
        """The same without all parts of each kind of learner: parts of one kind stand in for one another."""
        if not len(self.validation.rows):
            return {}
        total, values = self.total, {}
        for name in dict.fromkeys(part.learner.name for part in self.parts):
            rest = total.copy()
            for part, scores in zip(self.parts, self.scores, strict=True):
                if part.learner.name == name:
                    rest -= np.float32(part.weight) * scores
            values[name] = self.validation(rest)
        return values

    def _groups(self) -> list[list[int]]:
        """Places of the parts that are refined as one: settings of one learner of item weights keep their proportion,
        all other parts are on their own."""
        groups: dict[str | int, list[int]] = {}
        for place, part in enumerate(self.parts):
            groups.setdefault(part.learner.name if part.learner.has_item_weights else place, []).append(place)
        return list(groups.values())

    def _refine_group(self, places: Sequence[int], spread: float) -> None:
        group = np.zeros_like(self.total)
        for place in places:
            group += np.float32(self.parts[place].weight) * self.scores[place]
        rest = self.total - group
        best, factor = self.value, 1.0
        if not group.any() or not self._is_needed(places, rest):
            best, factor = self.validation(rest), 0.0
        else:
            for direction in (spread, 1.0 / spread):
                trial = direction
                value = self.validation(rest + np.float32(trial) * group)
                while value > best:
                    best, factor = value, trial
                    trial *= direction
                    value = self.validation(rest + np.float32(trial) * group)
        self.value = best
        for place in places:
            self.parts[place] = replace(self.parts[place], weight=self.parts[place].weight * factor)

    def _is_needed(self, places: Sequence[int], rest: Scores) -> bool:
        """Whether the blend is better with the parts at ``places``, or has no other part for users without a history:
        that one stays whatever it is worth here."""
        priors = [place for place, part in enumerate(self.parts) if part.learner.scores_new_users and part.weight]
        return priors == list(places) or self.validation.improves(rest, self.total, _DROP_STANDARD_ERRORS)
