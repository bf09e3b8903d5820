"""Variants compared: intervals, adjustment, sample ratio, and what is said where data are few.

Numbers of "statsmodels" are those of its version 0.15.
"""

from __future__ import annotations

from dataclasses import asdict
from math import isfinite

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from nextbest.lift.comparison import LEAST_REACHED, compare_variants, sample_ratio, summarise
from nextbest.lift.intervals import Interval, boundary, estimate_of_mean, estimate_of_rate, normal_quantile

NAMES = ("champion", "challenger")


def reached(*of_variants: tuple[int, int]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Variant and outcome of users, from (reached, users) of each variant."""
    variant = np.concatenate([np.full(users, number) for number, (_, users) in enumerate(of_variants)])
    return variant.astype(np.int64), np.concatenate([1.0 * (np.arange(users) < count) for count, users in of_variants])


def numbers_in(value: object) -> list[float]:
    if isinstance(value, dict):
        return [number for part in value.values() for number in numbers_in(part)]
    if isinstance(value, list | tuple):
        return [number for part in value for number in numbers_in(part)]
    return [float(value)] if isinstance(value, int | float) else []


def test_the_fixed_interval_of_a_rate_is_wilson_s() -> None:
    # As of statsmodels, proportion_confint
    some, none = estimate_of_rate(13, 200).fixed, estimate_of_rate(0, 50).fixed
    assert some is not None and none is not None
    assert some.to_json() == pytest.approx([0.03837635464915298, 0.10801907929906895])
    assert none.to_json() == pytest.approx([0.0, 0.07134759913335874])


def test_the_always_valid_interval_of_a_rate_by_hand() -> None:
    # Given nobody of 10: the mixture is B(.5, 10.5) / B(.5, .5), and rates up to p with (1 - p)^10 = .05 · mixture stay
    mixture = float(np.prod((np.arange(10) + 0.5) / (np.arange(10) + 1.0)))
    interval = estimate_of_rate(0, 10).always_valid
    assert interval is not None
    assert interval.to_json() == pytest.approx([0.0, 1.0 - (0.05 * mixture) ** 0.1])
    # Then everybody of 10 is its mirror image
    mirror = estimate_of_rate(10, 10).always_valid
    assert mirror is not None
    assert mirror.to_json() == pytest.approx([(0.05 * mixture) ** 0.1, 1.0])


def test_the_fixed_interval_of_a_mean_is_student_s() -> None:
    values = np.array([0.0, 2, 4, 6, 1, 0, 3, 9] * 10)
    estimate = estimate_of_mean(float(values.mean()), float(values.std(ddof=1)), len(values))
    # As of statsmodels, DescrStatsW.tconfint_mean
    assert estimate.fixed is not None
    assert estimate.fixed.to_json() == pytest.approx([2.4679119254769355, 3.7820880745230645])


def test_the_boundary_is_narrowest_where_it_was_planned() -> None:
    # By hand: 5,000 users planned, so r · n = -2 log .05 + log(1 - 2 log .05) = 7.936
    assert boundary(5_000, 5_000) == pytest.approx(
        np.sqrt(2 * 8.9363 / 7.9363 * np.log(np.sqrt(8.9363) / 0.05)), rel=1e-4
    )
    assert boundary(5_000, 5_000) < min(boundary(500, 5_000), boundary(50_000, 5_000))
    assert boundary(5_000, 5_000) / normal_quantile() == pytest.approx(1.55, abs=0.01)


def test_difference_and_ratio_of_two_rates() -> None:
    # Given 40 of 500 users against 60 of 400
    comparison = compare_variants(NAMES, *reached((40, 500), (60, 400)))[0]
    difference, ratio = comparison.plain.difference, comparison.plain.ratio
    assert (difference.value, ratio.value) == pytest.approx((0.07, 1.875))
    # As of statsmodels, confint_proportions_2indep ("wald" and "log"), which divides by n where we divide by n - 1
    assert difference.fixed is not None and ratio.fixed is not None
    assert difference.fixed.to_json() == pytest.approx([0.027692462403226197, 0.11230753759677378], rel=3e-3)
    assert ratio.fixed.to_json() == pytest.approx([1.2849938079553258, 2.735908125187031], rel=3e-3)
    # Then the always-valid ones are wider by the boundary, and here one may not stop yet
    assert difference.always_valid is not None
    width = difference.always_valid.high - difference.always_valid.low
    assert width == pytest.approx(boundary(900) / normal_quantile() * (difference.fixed.high - difference.fixed.low))
    assert not difference.always_valid.excludes(0.0)
    assert difference.fixed.excludes(0.0)
    assert comparison.adjusted is None and comparison.decisive is comparison.plain


def test_the_adjustment_is_that_of_a_regression() -> None:
    # Given outcomes that follow what was before
    x, variant = np.arange(200.0) % 7, np.arange(200) % 2
    outcome = 2 * x + variant * 0.5 + (np.arange(200) * 37 % 11) / 5
    comparison = compare_variants(NAMES, variant, outcome, x)[0]
    # Then the difference is the coefficient of a regression on variant and x (statsmodels, OLS: .50779554)
    assert comparison.adjusted is not None
    assert comparison.adjusted.difference.value == pytest.approx(0.50779554)
    assert comparison.decisive is comparison.adjusted
    assert comparison.variance_removed is not None and comparison.variance_removed > 0.9


def test_what_was_before_is_not_used_where_it_says_nothing() -> None:
    variant, outcome = reached((40, 500), (60, 400))
    comparison = compare_variants(NAMES, variant, outcome, np.full(900, 0.1))[0]
    assert comparison.adjusted is None and comparison.variance_removed is None


@pytest.mark.parametrize(
    ("of_variants", "reason"),
    [
        (((0, 0), (0, 0)), "no users in variant champion"),
        (((40, 500), (0, 0)), "no users in variant challenger"),
        (((9, 20), (200, 500)), "fewer than 30 users in a variant"),
        (((0, 500), (0, 500)), "no outcomes yet"),
        (((3, 500), (4, 500)), f"fewer than {LEAST_REACHED} users with an outcome to be expected in a variant"),
        (((496, 500), (497, 500)), f"fewer than {LEAST_REACHED} users without an outcome to be expected in a variant"),
        (((500, 500), (500, 500)), "all outcomes are equal: they do not say how much others vary"),
    ],
)
@pytest.mark.parametrize("with_before", [False, True])
def test_few_data_give_a_reason_in_place_of_an_interval(
    of_variants: tuple[tuple[int, int], ...], reason: str, with_before: bool
) -> None:
    variant, outcome = reached(*of_variants)
    before = np.arange(len(variant)).astype(np.float64) if with_before else None
    comparison = compare_variants(NAMES, variant, outcome, before)[0]
    contrasts = [comparison.plain] if comparison.adjusted is None else [comparison.plain, comparison.adjusted]
    for contrast in contrasts:
        assert (contrast.difference.always_valid, contrast.difference.fixed) == (None, None)
        assert contrast.difference.reason == reason
        assert contrast.ratio.always_valid is None and contrast.ratio.reason == reason
    summaries = summarise(NAMES, variant, outcome)
    assert all(isfinite(number) for number in numbers_in([asdict(comparison), *map(asdict, summaries)]))


def test_a_variant_without_outcomes_has_a_difference_and_no_ratio() -> None:
    comparison = compare_variants(NAMES, *reached((0, 500), (60, 500)))[0]
    assert comparison.plain.difference.always_valid is not None
    assert comparison.plain.difference.always_valid.excludes(0.0)
    assert comparison.plain.ratio.value is None
    assert comparison.plain.ratio.reason == "a mean is not clearly above 0"


def test_a_few_large_values_are_few_users() -> None:
    # Given 200 of 1,000 users who spend 1, and one who spends 1,000
    variant, outcome = reached((100, 500), (100, 500))
    outcome[0] = 1_000.0
    comparison = compare_variants(NAMES, variant, outcome)[0]
    assert comparison.plain.difference.reason == "most of the value is in the outcomes of a few users"


def test_each_variant_by_itself() -> None:
    variant, outcome = reached((0, 10), (3, 4), (0, 0))
    none, some, empty = summarise((*NAMES, "third"), variant, outcome)
    assert (none.users, none.reached, none.mean.value) == (10, 0, 0.0)
    assert (some.users, some.reached, some.mean.value) == (4, 3, 0.75)
    assert none.mean.always_valid is not None and none.mean.always_valid.low == 0.0 < none.mean.always_valid.high
    assert empty.mean.value is None and empty.mean.reason == "no users"
    one, other = summarise(NAMES, np.array([0, 1, 1]), np.array([5.0, 2.0, 4.0]))
    assert one.mean.value == 5.0 and one.mean.fixed is None and "all outcomes are equal" in one.mean.reason
    assert other.mean.value == 3.0 and other.mean.fixed is not None


def test_three_variants_are_each_compared_with_the_first() -> None:
    comparisons = compare_variants((*NAMES, "third"), *reached((50, 500), (60, 400), (50, 500)))
    assert [(each.baseline, each.variant, each.users) for each in comparisons] == [
        ("champion", "challenger", 900),
        ("champion", "third", 1_000),
    ]
    assert comparisons[1].plain.difference.value == 0.0


def test_shares_that_hold_and_shares_that_do_not() -> None:
    good, bad = sample_ratio((9_480, 520), (0.95, 0.05)), sample_ratio((5_000, 5_400), (0.5, 0.5))
    assert good.mismatch is False and bad.mismatch is True
    assert bad.expected == (5_200.0, 5_200.0)
    # By hand: (200² + 200²) / 5200 = 15.38 with one degree of freedom
    assert bad.probability == pytest.approx(float(stats.chi2.sf(80_000 / 5_200, 1)))
    few = sample_ratio((3, 2), (0.5, 0.5))
    assert few.mismatch is None and few.probability is None and few.reason == "too few users: 5"
    with pytest.raises(ValueError, match="a share above 0"):
        sample_ratio((3, 2), (1.0, 0.0))


def test_columns_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="one row a user"):
        compare_variants(NAMES, np.zeros(3, np.int64), np.zeros(2))
    with pytest.raises(ValueError, match="index the 2 names"):
        summarise(NAMES, np.array([2]), np.zeros(1))
    with pytest.raises(ValueError, match="finite"):
        compare_variants(NAMES, np.zeros(1, np.int64), np.zeros(1), np.array([np.nan]))


def test_an_interval_includes_its_ends() -> None:
    assert not Interval(0.0, 1.0).excludes(0.0) and not Interval(0.0, 1.0).excludes(1.0)
    assert Interval(0.0, 1.0).excludes(-0.1)
