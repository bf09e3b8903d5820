"""Variants compared: difference and ratio of the mean outcome a user, plain and adjusted by what was before.

Each user counts once, with one outcome, under the variant of their first decision. With n_a users of variant a, mean
m_a and variance v_a, the difference m_1 - m_0 has the variance v_1/n_1 + v_0/n_0, and the logarithm of the ratio
v_1/(n_1 m_1²) + v_0/(n_0 m_0²) (delta method). Intervals are those of ``intervals``.

The adjustment is CUPED (Deng, Xu, Kohavi and Walker 2013, "Improving the sensitivity of online controlled experiments
by utilizing pre-experiment data"): of each outcome y we subtract theta · (x - mean of x), where x is the user's
outcome before the start and theta the slope of y on x within the variants. No variant can have changed x, so the
difference stays what it is, and what users would have done anyway no longer blurs it. Whether a comparison is adjusted
depends on x alone, not on what it leads to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from nextbest.lift.intervals import (
    ALPHA,
    PLANNED_USERS,
    Estimate,
    Interval,
    boundary,
    estimate_of_mean,
    estimate_of_rate,
    normal_quantile,
)

LEAST_USERS = 30
"""Of each variant, for an interval of their difference."""
LEAST_REACHED = 10
"""Users with an outcome to be expected in each variant if variants did not differ, and users without one in case of a
rate: with fewer, normal theory fails.
Where outcomes differ in value, the effective number of users counts (Kish 1965): a few large ones are few users."""
MISMATCH = 0.001
"""Shares of variants are wrong below this probability (Fabijan et al. 2019, "Diagnosing sample ratio mismatch")."""
_LEAST_EXPECTED = 5.0
_CLEAR = 2.0
"""Standard errors that means are above 0 if their logarithms are anything like normal."""
_NO_SPREAD = 1e-12
"""Of squares: what is left by rounding where all values are equal."""

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class VariantSummary:
    """One variant: its ``users``, how many of them ``reached`` an outcome other than 0, and the ``mean`` outcome."""

    name: str
    users: int
    reached: int
    mean: Estimate

    def to_json(self) -> dict[str, object]:
        """A JSON object."""
        return {"name": self.name, "users": self.users, "reached": self.reached, "mean": self.mean.to_json()}


@dataclass(frozen=True, slots=True)
class Contrast:
    """Variant minus baseline, variant divided by baseline, and ``variance``: that of the difference times users."""

    difference: Estimate
    ratio: Estimate
    variance: float | None = None

    def to_json(self) -> dict[str, object]:
        """A JSON object."""
        return {"difference": self.difference.to_json(), "ratio": self.ratio.to_json()}


@dataclass(frozen=True, slots=True)
class VariantComparison:
    """A variant against the baseline, with ``users`` of both.

    ``adjusted`` is None where nothing is known from before the start that could explain outcomes;
    ``variance_removed`` is the share of the variance of the difference that the adjustment removes.
    """

    baseline: str
    variant: str
    users: int
    plain: Contrast
    adjusted: Contrast | None
    variance_removed: float | None

    @property
    def decisive(self) -> Contrast:
        """What a verdict rests on: the adjusted contrast where there is one."""
        return self.plain if self.adjusted is None else self.adjusted

    def to_json(self) -> dict[str, object]:
        """A JSON object."""
        return {
            "baseline": self.baseline,
            "variant": self.variant,
            "users": self.users,
            "plain": self.plain.to_json(),
            "adjusted": None if self.adjusted is None else self.adjusted.to_json(),
            "variance_removed": self.variance_removed,
        }


@dataclass(frozen=True, slots=True)
class SampleRatio:
    """Whether users came to variants in the shares they should: ``users`` and ``expected`` of each, the ``probability``
    of so large a deviation by chance (chi-square test), and whether that is a ``mismatch``."""

    users: tuple[int, ...]
    expected: tuple[float, ...]
    probability: float | None = None
    mismatch: bool | None = None
    reason: str = ""

    def to_json(self) -> dict[str, object]:
        """A JSON object."""
        return {
            "users": list(self.users),
            "expected": list(self.expected),
            "probability": self.probability,
            "mismatch": self.mismatch,
            "reason": self.reason,
        }


def summarise(
    names: Sequence[str],
    variant: Integers,
    outcome: Floats,
    *,
    planned_users: int = PLANNED_USERS,
    alpha: float = ALPHA,
) -> tuple[VariantSummary, ...]:
    """Each variant by itself; ``variant`` (users,) indexes ``names``, ``outcome`` (users,) has one number a user.

    Outcomes that are all 0 or 1 are a rate. Raises ``ValueError`` where the columns do not fit or are not finite.
    """
    _check(len(names), variant, outcome)
    is_rate = _is_rate(outcome)
    summaries = []
    for number, name in enumerate(names):
        mine = outcome[variant == number]
        reached = int(np.count_nonzero(mine))
        if is_rate:
            mean = estimate_of_rate(reached, len(mine), alpha)
        else:
            value, deviation = (float(mine.mean()), _deviation(mine)) if len(mine) else (0.0, 0.0)
            mean = estimate_of_mean(value, deviation, len(mine), planned_users=planned_users, alpha=alpha)
        summaries.append(VariantSummary(name, len(mine), reached, mean))
    return tuple(summaries)


def compare_variants(
    names: Sequence[str],
    variant: Integers,
    outcome: Floats,
    before: Floats | None = None,
    *,
    planned_users: int = PLANNED_USERS,
    alpha: float = ALPHA,
) -> tuple[VariantComparison, ...]:
    """Each variant against the first, which is the baseline.

    ``variant`` (users,) indexes ``names``; ``outcome`` (users,) is each user's in a complete window; ``before``
    (users,) any number known of the user before the start. ``planned_users`` must not depend on the data. Raises
    ``ValueError`` where the columns do not fit or are not finite.
    """
    _check(len(names), variant, outcome)
    if before is not None:
        _check(len(names), variant, before)
    return tuple(
        _compare(names[0], names[number], *_split(variant, outcome, before, number), planned_users, alpha)
        for number in range(1, len(names))
    )


def sample_ratio(users: Sequence[int], shares: Sequence[float]) -> SampleRatio:
    """Test the number of users of each variant against the shares they were assigned by.

    A mismatch means that users were lost or moved after the assignment: no interval is to be believed before the cause
    is known. Raises ``ValueError`` unless there is a share above zero for each variant.
    """
    if len(users) != len(shares) or not all(share > 0.0 for share in shares):
        raise ValueError("sample_ratio needs a share above 0 for each variant")
    total = sum(users)
    expected = tuple(total * share / sum(shares) for share in shares)
    if len(shares) < 2 or min(expected) < _LEAST_EXPECTED:
        return SampleRatio(tuple(users), expected, reason=f"too few users: {total}")
    probability = float(stats.chisquare(list(users), list(expected)).pvalue)
    return SampleRatio(tuple(users), expected, probability, probability < MISMATCH)


_Columns = tuple[Floats, Floats]


def _split(variant: Integers, outcome: Floats, before: Floats | None, number: int) -> tuple[_Columns, _Columns | None]:
    """Outcomes, and what was before, of the baseline and of one variant."""
    rows = (variant == 0, variant == number)
    outcomes = (outcome[rows[0]], outcome[rows[1]])
    return outcomes, None if before is None else (before[rows[0]], before[rows[1]])


def _compare(
    baseline: str, name: str, outcomes: _Columns, before: _Columns | None, planned_users: int, alpha: float
) -> VariantComparison:
    users = len(outcomes[0]) + len(outcomes[1])
    is_rate = all(_is_rate(mine) for mine in outcomes)
    reason = _too_few((baseline, name), outcomes, is_rate)
    plain = _contrast(outcomes, reason, is_rate, planned_users, alpha)
    adjusted, removed = None, None
    if before is not None and not reason and _varies(before):
        slope = _within(outcomes, before) / _within(before, before)
        middle = (before[0].sum() + before[1].sum()) / users
        rest = (outcomes[0] - slope * (before[0] - middle), outcomes[1] - slope * (before[1] - middle))
        contrast = _contrast(rest, "", is_rate, planned_users, alpha)
        if plain.variance and contrast.variance is not None:
            adjusted, removed = contrast, 1.0 - contrast.variance / plain.variance
    return VariantComparison(baseline, name, users, plain, adjusted, removed)


def _too_few(names: tuple[str, str], outcomes: _Columns, is_rate: bool) -> str:
    """Why there can be no interval, or nothing."""
    for name, mine in zip(names, outcomes, strict=True):
        if not len(mine):
            return f"no users in variant {name}"
    fewest = min(len(mine) for mine in outcomes)
    if fewest < LEAST_USERS:
        return f"fewer than {LEAST_USERS} users in a variant"
    sizes = np.abs(np.concatenate(outcomes))
    if not sizes.any():
        return "no outcomes yet"
    share = fewest / len(sizes)
    missed = len(sizes) - np.count_nonzero(sizes)
    if is_rate and 0 < missed * share < LEAST_REACHED:
        return f"fewer than {LEAST_REACHED} users without an outcome to be expected in a variant"
    if np.count_nonzero(sizes) * share < LEAST_REACHED:
        return f"fewer than {LEAST_REACHED} users with an outcome to be expected in a variant"
    if float(sizes.sum()) ** 2 / float(np.square(sizes).sum()) * share < LEAST_REACHED:
        return "most of the value is in the outcomes of a few users"
    return ""


def _contrast(outcomes: _Columns, reason: str, is_rate: bool, planned_users: int, alpha: float) -> Contrast:
    if not len(outcomes[0]) or not len(outcomes[1]):
        return Contrast(Estimate(reason=reason), Estimate(reason=reason))
    means = [float(mine.mean()) for mine in outcomes]
    ratio = means[1] / means[0] if means[0] > 0.0 else None
    difference = means[1] - means[0]
    if reason:
        return Contrast(Estimate(difference, reason=reason), Estimate(ratio, reason=reason))
    errors = [spread / len(mine) for mine, spread in zip(outcomes, _variances(outcomes, is_rate), strict=True)]
    variance = sum(errors)
    if variance <= 0.0:
        reason = "all outcomes are equal: they do not say how much others vary"
        return Contrast(Estimate(difference, reason=reason), Estimate(ratio, reason=reason))
    users = len(outcomes[0]) + len(outcomes[1])
    widths = boundary(users, planned_users, alpha), normal_quantile(alpha)
    always, fixed = (width * sqrt(variance) for width in widths)
    of_difference = Estimate(
        difference,
        Interval(difference - always, difference + always),
        Interval(difference - fixed, difference + fixed),
    )
    if ratio is None or any(mean <= _CLEAR * sqrt(error) for mean, error in zip(means, errors, strict=True)):
        return Contrast(of_difference, Estimate(ratio, reason="a mean is not clearly above 0"), variance * users)
    relative = sqrt(sum(error / mean**2 for error, mean in zip(errors, means, strict=True)))
    always, fixed = (width * relative for width in widths)
    of_ratio = Estimate(
        ratio,
        Interval(exp(log(ratio) - always), exp(log(ratio) + always)),
        Interval(exp(log(ratio) - fixed), exp(log(ratio) + fixed)),
    )
    return Contrast(of_difference, of_ratio, variance * users)


def _varies(columns: _Columns) -> bool:
    squares = sum(float(np.square(mine).sum()) for mine in columns)
    return _within(columns, columns) > _NO_SPREAD * squares


def _variances(outcomes: _Columns, is_rate: bool) -> list[float]:
    """The variance of each variant's outcomes; for values at least that within both.

    In a small variant, a mean without the rare large values comes with a variance without them: it would exclude the
    truth too often.
    """
    own = [_deviation(mine) ** 2 for mine in outcomes]
    if is_rate:
        return own
    common = _within(outcomes, outcomes) / (sum(len(mine) for mine in outcomes) - len(outcomes))
    return [max(variance, common) for variance in own]


def _is_rate(outcome: Floats) -> bool:
    return bool(np.isin(outcome, (0.0, 1.0)).all())


def _within(one: _Columns, other: _Columns) -> float:
    """The sum of products of deviations from the means of the variants."""
    return float(sum(((a - a.mean()) * (b - b.mean())).sum() for a, b in zip(one, other, strict=True)))


def _deviation(values: Floats) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else 0.0


def _check(variants: int, variant: Integers, numbers: Floats) -> None:
    if len(variant) != len(numbers):
        raise ValueError("variant, outcome and before need one row a user")
    if len(variant) and not 0 <= variant.min() <= variant.max() < variants:
        raise ValueError(f"variant has to index the {variants} names")
    if not np.isfinite(numbers).all():
        raise ValueError("outcome and before have to be finite")
