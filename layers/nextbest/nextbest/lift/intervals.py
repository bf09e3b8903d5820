"""Two kinds of intervals: always-valid ones, and those for one look at a number of users fixed in advance.

Whoever looks at a 95 % interval every day and stops when it excludes zero is wrong far more often than in one of twenty
experiments. A confidence sequence covers the truth at all looks at once, with probability 95 %. Ours are

- for means and differences, asymptotic confidence sequences (Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas 2024,
  "Time-uniform central limit theory and asymptotic confidence sequences", Annals of Statistics 52): with n users,
  standard error se and a constant r > 0,

      estimate ± se · sqrt(2 · (n·r + 1) / (n·r) · log(sqrt(n·r + 1) / alpha)).

  This is the mixture sequential probability ratio test of Johari, Pekelis and Walsh (2017, "Peeking at A/B tests") with
  the variance estimated. It was chosen because it needs no distribution of outcomes (rates, counts and money alike),
  only the influence of each user on the estimate: so it holds for unequal shares, ratios and adjusted differences too;
- for one rate, the beta-binomial mixture (Robbins 1970), which is exact from the first user on, also when nobody or
  everybody reached the goal.

The price is width: at the planned number of users about 1.5 times the fixed interval.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf, log, sqrt

from scipy import optimize, special, stats

ALPHA = 0.05
"""Intervals are for 95 %."""
PLANNED_USERS = 5_000
"""Where always-valid intervals are narrowest, relative to fixed ones; a tenth or ten times as many cost little."""
_PRIOR = 0.5
"""Both parameters of the beta distribution that is mixed over (Jeffreys)."""


@dataclass(frozen=True, slots=True)
class Interval:
    """From ``low`` to ``high``, both included."""

    low: float
    high: float

    def excludes(self, value: float) -> bool:
        """Whether the value lies outside."""
        return not self.low <= value <= self.high

    def to_json(self) -> list[float]:
        """``[low, high]``."""
        return [self.low, self.high]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A ``value`` with its intervals: ``always_valid``, whenever one looks, and ``fixed``, which is for one look at a
    number of users fixed in advance. What is None is unknown, and ``reason`` says why."""

    value: float | None = None
    always_valid: Interval | None = None
    fixed: Interval | None = None
    reason: str = field(default="", kw_only=True)

    def to_json(self) -> dict[str, object]:
        """A JSON object; intervals are lists of two numbers."""
        intervals = {"always_valid": self.always_valid, "fixed": self.fixed}
        found = {name: None if interval is None else interval.to_json() for name, interval in intervals.items()}
        return {"value": self.value, **found, "reason": self.reason}


def boundary(users: float, planned_users: int = PLANNED_USERS, alpha: float = ALPHA) -> float:
    """Half the width of the always-valid interval of a mean of ``users``, in standard errors.

    The constant r is the one that makes it narrowest at ``planned_users`` (the paper's appendix on optimising rho).
    """
    scale = users * (-2.0 * log(alpha) + log(1.0 - 2.0 * log(alpha))) / planned_users
    return sqrt(2.0 * (scale + 1.0) / scale * log(sqrt(scale + 1.0) / alpha))


def normal_quantile(alpha: float = ALPHA) -> float:
    """Half the width of the fixed interval of a mean of many users, in standard errors."""
    return float(special.ndtri(1.0 - alpha / 2.0))


def estimate_of_rate(reached: int, users: int, alpha: float = ALPHA) -> Estimate:
    """The share of ``users`` who ``reached`` something: the beta-binomial sequence, and Wilson's interval (1927)."""
    if users == 0:
        return Estimate(reason="no users")
    wilson = stats.binomtest(reached, users).proportion_ci(1.0 - alpha, method="wilson")
    return Estimate(reached / users, _rate_sequence(reached, users, alpha), Interval(wilson.low, wilson.high))


def estimate_of_mean(
    mean: float, deviation: float, users: int, *, planned_users: int = PLANNED_USERS, alpha: float = ALPHA
) -> Estimate:
    """A ``mean`` over ``users`` with this standard ``deviation``: the asymptotic sequence, and Student's interval."""
    if users == 0:
        return Estimate(reason="no users")
    if users < 2 or deviation <= 0.0:
        return Estimate(mean, reason="all outcomes are equal: they do not say how much others vary")
    error = deviation / sqrt(users)
    fixed = error * float(special.stdtrit(users - 1, 1.0 - alpha / 2.0))
    always = error * boundary(users, planned_users, alpha)
    return Estimate(mean, Interval(mean - always, mean + always), Interval(mean - fixed, mean + fixed))


def _rate_sequence(reached: int, users: int, alpha: float) -> Interval:
    """All rates at which the mixture is less than 1 / alpha times as likely as the rate (Ville's inequality)."""
    missed = users - reached
    mixture = float(special.betaln(_PRIOR + reached, _PRIOR + missed) - special.betaln(_PRIOR, _PRIOR))

    def excess(rate: float) -> float:
        likelihood = float(special.xlogy(reached, rate) + special.xlog1py(missed, -rate))
        return inf if likelihood == -inf else mixture - likelihood + log(alpha)

    best = reached / users
    tiny = 1e-12
    low = 0.0 if reached == 0 or excess(tiny) <= 0.0 else optimize.brentq(excess, tiny, best)
    high = 1.0 if missed == 0 or excess(1.0 - tiny) <= 0.0 else optimize.brentq(excess, best, 1.0 - tiny)
    return Interval(float(low), float(high))
