"""Reasons of a recommendation for people: against the average user, with names, how often and how long ago."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from nextbest.domain.actions import Action
from nextbest.domain.events import DAY_US, to_microseconds
from nextbest.domain.history import History
from nextbest.logic.sentences import Deed, phrase, sentence, sentence_without_model
from nextbest.scoring.explain import Difference, Explanation

_WEEK_DAYS = 7.0
_LEAST_PART = 0.1
"""A reason for less than a tenth of the difference is not worth a word."""


@dataclass(frozen=True, slots=True)
class RecommendationReason:
    """What one action of the history does to a growth weight, in percentage ``points`` against the average user.

    ``amount`` is its part of the difference in scores. ``count`` are the events that are known one by one; ``more``
    says that there are earlier ones. ``days_since_last`` is None where all are earlier. ``phrase`` says it in words:
    'ordered “Latte” twice in the last 7 days'.
    """

    action: Action
    asset_name: str
    amount: float
    points: float
    count: int
    more: bool
    days_since_last: float | None
    phrase: str


@dataclass(frozen=True, slots=True)
class Reasons:
    """Why an action is likelier, or less likely, than for the average user: the reasons' points and ``other_points``
    add up to ``points``, in percentage points."""

    sentence: str
    points: float
    reasons: tuple[RecommendationReason, ...]
    other_points: float


class Reasoner:
    """Gives the reasons of one user's recommendations. ``name_of`` gives an asset's name; ``now`` is in seconds."""

    def __init__(self, history: History, name_of: Callable[[str], str], *, now: float, trained: bool) -> None:
        self._history = history
        self._name_of = name_of
        self._now_us = to_microseconds(now)
        self._trained = trained
        self._place = {action: place for place, action in enumerate(history.actions)}

    def of(self, explanation: Explanation) -> Reasons:
        """The reasons of one recommendation."""
        comparison = explanation.comparison
        facts = [self._deed(difference) for difference in comparison.differences]
        reasons = tuple(
            RecommendationReason(
                difference.action,
                deed.asset_name,
                difference.amount,
                comparison.points(difference.amount),
                deed.count,
                deed.more,
                deed.days_since_last,
                phrase(deed),
            )
            for difference, deed in zip(comparison.differences, facts, strict=True)
        )
        points = 100.0 * (comparison.growth_weight - comparison.average_growth_weight)
        other_points = comparison.points(comparison.other_amount)
        return Reasons(self._sentence(explanation, reasons, facts, points, other_points), points, reasons, other_points)

    def _sentence(
        self,
        explanation: Explanation,
        reasons: Sequence[RecommendationReason],
        deeds: Sequence[Deed],
        points: float,
        other_points: float,
    ) -> str:
        if not self._trained:
            return sentence_without_model(deeds[0])
        sign = 1.0 if points > 0 else -1.0
        least = _LEAST_PART * abs(points)
        agreeing = [deed for reason, deed in zip(reasons, deeds, strict=True) if sign * reason.points > least]
        opposing = [deed for reason, deed in zip(reasons, deeds, strict=True) if sign * reason.points < -least]
        strongest = max((sign * reason.points for reason in reasons), default=0.0)
        return sentence(
            agreeing,
            opposing,
            points=points,
            probability=explanation.comparison.growth_weight,
            others_lead=sign * other_points > strongest,
            has_reasons=any(reason.amount for reason in reasons),
        )

    def _deed(self, difference: Difference) -> Deed:
        history, place = self._history, self._place[difference.action]
        times_us = np.concatenate(
            [
                history.timestamps_us[history.action_index == place],
                history.older_timestamps_us[history.older_index == place],
            ]
        )
        days = np.maximum(self._now_us - times_us, 0) / DAY_US
        return Deed(
            difference.action.event_type,
            self._name_of(difference.action.asset_id),
            len(days),
            history.folded is not None and place in history.folded.index,
            float(days.min()) if len(days) else None,
            int((days <= _WEEK_DAYS).sum()),
            difference.is_little,
        )
