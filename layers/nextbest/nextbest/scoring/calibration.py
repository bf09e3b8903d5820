"""Calibration: from a score to the probability of taking the action within the horizon.

    level  = interpolated monotone map of the score (isotonic regression on the held-out window), in logits
    tilted = slope · level + Σ_k activity_k(user) · coefficient_k + intercept
    growth = 1 / (1 + e^-logit), where logit is a second such map of the tilted level

Both maps rise, the slope is positive and activity belongs to the user alone, so within one answer growth never
contradicts the score, while a busy user and one who left long ago may have different probabilities at the same score
(Platt 1999; Zadrozny and Elkan 2002).

Within a visit far more is taken than at a time drawn at random. So there may be a second pair of maps for the moment
right after an event, and the logits go over from these to the first within hours:

    logit = w · logit_after_event + (1 - w) · logit_at_any_time, where w = 0.5^(hours since the last event)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nextbest.scoring.kernels import DAY_SECONDS

ACTIVITY_NAMES = ("log_events", "log_days_since_last", "log_events_last_horizon")

_VISIT_HALF_LIFE_DAYS = 1.0 / 24.0
_LEAST_VISIT = 1e-3
"""A visit is over when less is left of it: ten hours after the last event."""

UNINFORMED_RATE = 0.01
"""The growth weight where nothing speaks for an action: far below ActionHub's default ``min_weight`` of 0.5."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """A fitted map. ``knots`` ascending scores and ``levels`` their logits (n,); ``coefficients`` one per activity;
    ``tilted_knots`` ascending tilted levels and ``logits`` their calibrated logits (m,). ``activity_range``
    (2, 3) is the least and the most activity that it was fitted on: users beyond count as if they were at its edge.
    ``after_event`` is the map for the moment right after an event, or None: the same as at any time."""

    knots: NDArray[np.float64]
    levels: NDArray[np.float64]
    slope: float
    coefficients: NDArray[np.float64]
    intercept: float
    tilted_knots: NDArray[np.float64]
    logits: NDArray[np.float64]
    activity_range: NDArray[np.float64] | None = None
    after_event: Calibration | None = None

    def growth(self, scores: NDArray[np.float64], activity: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probabilities of ``scores`` (any shape) for a user with ``activity`` (3,), or many users with (users, 3)
        and scores (users, n)."""
        logits = np.interp(self.tilted(scores, activity), self.tilted_knots, self.logits)
        if self.after_event is not None:
            within_visit = np.exp2(np.expm1(activity[..., 1]) / -_VISIT_HALF_LIFE_DAYS)
            if within_visit.max(initial=0.0) > _LEAST_VISIT:
                after = np.interp(
                    self.after_event.tilted(scores, activity), self.after_event.tilted_knots, self.after_event.logits
                )
                logits += within_visit[..., None] * (after - logits)
        growth: NDArray[np.float64] = 1.0 / (1.0 + np.exp(-logits))
        return growth

    def tilted(self, scores: NDArray[np.float64], activity: NDArray[np.float64]) -> NDArray[np.float64]:
        """Levels of ``scores``, shifted by the users' activity; shapes as for ``growth``."""
        if self.activity_range is not None:
            activity = np.minimum(np.maximum(activity, self.activity_range[0]), self.activity_range[1])
        shift = activity @ self.coefficients + self.intercept
        if activity.ndim == 2:
            shift = shift[:, None]
        levels: NDArray[np.float64] = self.slope * np.interp(scores, self.knots, self.levels) + shift
        return levels


def activity_of(timestamps: NDArray[np.float64], now: float, horizon_days: float) -> NDArray[np.float64]:
    """How active a user is, as ``ACTIVITY_NAMES``; ``timestamps`` ascending seconds, ``now`` in seconds."""
    count = timestamps.shape[0]
    if not count:
        return np.array([0.0, np.log1p(horizon_days), 0.0])
    since_days = max(0.0, (now - float(timestamps[-1])) / DAY_SECONDS)
    recent = count - int(np.searchsorted(timestamps, now - horizon_days * DAY_SECONDS, side="left"))
    return np.array([np.log1p(count), np.log1p(since_days), np.log1p(recent)])
