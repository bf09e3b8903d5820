"""The value of a policy that never served, from logged choices with known propensities.

A row is one choice that was drawn: one place of one answer. With reward r, the propensity p of what was chosen, the
probability c with which the candidate would have chosen the same, and w = c / p,

    inverse propensity score         IPS   = mean(w · r)                     (Horvitz and Thompson 1952)
    self-normalised                  SNIPS = Σ w · r / Σ w                   (Swaminathan and Joachims 2015)
    doubly robust                    DR    = mean(q_c + w · (r - q))         (Dudík, Langford and Li 2011)

where q is the reward that some model predicts for the choice that was made, and q_c the one it predicts for the
candidate's choice, averaged over its probabilities. DR is right for any predictions, since propensities are known; good
ones narrow it. IPS is unbiased, SNIPS usually closer. Rows of one user depend on each other: errors are summed by user.

No formula finds out what would have followed on choices that were never made. Where the log and the candidate overlap
too little there is no value, but a reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray
from scipy import special

from nextbest.lift.intervals import ALPHA, PLANNED_USERS, Estimate, Interval, boundary

LEAST_USERS = 30
"""With a choice that the candidate might have made as well."""
LEAST_EFFECTIVE_ROWS = 100.0
"""Kish's (1965) effective size: with fewer, single rows decide."""
_MOST_MISSING = 0.05
"""Of the candidate's choices, those that were never possible in the log."""
_CLEAR = 3.0
"""Standard errors by which a mean weight has to be off before it is blamed."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LoggedChoices:
    """Choices of the log, all (rows,): the ``user`` who saw it, its ``reward``, its ``propensity``, and the probability
    with which the ``candidate`` would have made it.

    ``predicted`` is the reward that a model predicts for the choice, ``predicted_candidate`` for what the candidate
    chooses; both or neither. Raises ``ValueError`` where columns differ in length, numbers are not finite, or
    probabilities are none (a propensity of 0 cannot have been logged).
    """

    user: NDArray[np.int64]
    reward: Floats
    propensity: Floats
    candidate: Floats
    predicted: Floats | None = None
    predicted_candidate: Floats | None = None

    def __post_init__(self) -> None:
        if (self.predicted is None) != (self.predicted_candidate is None):
            raise ValueError("predicted and predicted_candidate belong together")
        columns = [self.reward, self.propensity, self.candidate]
        columns += [column for column in (self.predicted, self.predicted_candidate) if column is not None]
        if any(len(column) != len(self.user) for column in columns):
            raise ValueError("every column needs one number a row")
        if not all(np.isfinite(column).all() for column in columns):
            raise ValueError("every number has to be finite")
        if np.any((self.propensity <= 0.0) | (self.propensity > 1.0)):
            raise ValueError("a propensity is above 0 and at most 1")
        if np.any((self.candidate < 0.0) | (self.candidate > 1.0)):
            raise ValueError("the candidate's probability is between 0 and 1")

    def __len__(self) -> int:
        return len(self.user)


@dataclass(frozen=True, slots=True)
class PolicyValue:
    """The mean reward a choice that the candidate would have had, by each of three estimators, beside the ``logged``
    one: what was had.

    ``effective_rows`` of the ``rows`` are as many as equal weights would need for the same; ``mean_weight`` is 1 in
    expectation, unless the candidate chooses what the log never did. With a ``reason``, none of the three has a value.
    """

    rows: int
    users: int
    effective_rows: float
    mean_weight: float | None
    logged: Estimate
    ips: Estimate
    snips: Estimate
    doubly_robust: Estimate
    reason: str = ""

    def to_json(self) -> dict[str, object]:
        """A JSON object."""
        return {
            "rows": self.rows,
            "users": self.users,
            "effective_rows": self.effective_rows,
            "mean_weight": self.mean_weight,
            "logged": self.logged.to_json(),
            "ips": self.ips.to_json(),
            "snips": self.snips.to_json(),
            "doubly_robust": self.doubly_robust.to_json(),
            "reason": self.reason,
        }


def value_of_candidate(log: LoggedChoices, *, planned_users: int = PLANNED_USERS, alpha: float = ALPHA) -> PolicyValue:
    """What the candidate would have reached, or the reason why the log cannot tell."""
    weight = log.candidate / log.propensity
    sums = _UserSums(log.user, planned_users, alpha)
    logged = sums.estimate(float(log.reward.mean()), log.reward - log.reward.mean()) if len(log) else Estimate()
    total = float(weight.sum())
    effective = total**2 / float(np.square(weight).sum()) if total else 0.0
    mean_weight = float(weight.mean()) if len(log) else None
    reason = _too_little_overlap(log, weight, effective, sums)
    if reason:
        none = Estimate(reason=reason)
        logged = logged if len(log) else none
        return PolicyValue(len(log), sums.users, effective, mean_weight, logged, none, none, none, reason=reason)
    ips = float((weight * log.reward).mean())
    snips = float((weight * log.reward).sum()) / total
    if log.predicted is None or log.predicted_candidate is None:
        doubly_robust = Estimate(reason="no predicted rewards were given")
    else:
        rows = log.predicted_candidate + weight * (log.reward - log.predicted)
        doubly_robust = sums.estimate(float(rows.mean()), rows - rows.mean())
    return PolicyValue(
        rows=len(log),
        users=sums.users,
        effective_rows=effective,
        mean_weight=mean_weight,
        logged=logged,
        ips=sums.estimate(ips, weight * log.reward - ips),
        snips=sums.estimate(snips, weight * (log.reward - snips) / weight.mean()),
        doubly_robust=doubly_robust,
    )


class _UserSums:
    """Standard errors of means over rows, where rows of one user depend on each other."""

    def __init__(self, user: NDArray[np.int64], planned_users: int, alpha: float) -> None:
        ids, self.place = np.unique(user, return_inverse=True)
        self.users = len(ids)
        self._rows = len(user)
        self._planned_users, self._alpha = planned_users, alpha

    def error(self, influence: Floats) -> float:
        """The standard error of a mean to which the rows add their ``influence``, (rows,) around 0."""
        by_user = np.bincount(self.place, influence, self.users)
        return sqrt(float(np.square(by_user).sum()) * self.users / max(self.users - 1, 1)) / self._rows

    def estimate(self, value: float, influence: Floats) -> Estimate:
        """A value with its intervals."""
        if self.users < LEAST_USERS:
            return Estimate(value, reason=f"fewer than {LEAST_USERS} users")
        error = self.error(influence)
        if error <= 0.0:
            return Estimate(value, reason="all rewards are equal: they do not say how much others vary")
        always = error * boundary(self.users, self._planned_users, self._alpha)
        fixed = error * float(special.stdtrit(self.users - 1, 1.0 - self._alpha / 2.0))
        return Estimate(value, Interval(value - always, value + always), Interval(value - fixed, value + fixed))


def _too_little_overlap(log: LoggedChoices, weight: Floats, effective: float, sums: _UserSums) -> str:
    """Why the log says nothing about the candidate, or nothing."""
    if not len(log):
        return "no choices in the log"
    if log.propensity.min() >= 1.0:
        return "nothing was drawn: every propensity is 1, so that the log has only what the served policy chose"
    if not weight.any():
        return "the candidate chooses nothing that was logged"
    mean = float(weight.mean())
    doubt = _CLEAR * sums.error(weight - mean)
    if mean + doubt < 1.0 - _MOST_MISSING:
        return f"too little overlap: only about {mean:.0%} of the candidate's choices were possible in the log"
    if mean - doubt > 1.0 + _MOST_MISSING:
        return f"weights are {mean:.2f} on average in place of 1: propensities do not fit the log"
    users = len(np.unique(log.user[weight > 0.0]))
    if users < LEAST_USERS:
        return f"too little overlap: fewer than {LEAST_USERS} users with a choice that the candidate makes as well"
    if effective < LEAST_EFFECTIVE_ROWS:
        return f"too little overlap: the log is worth only {effective:.0f} choices of the candidate"
    return ""
