"""Growth weights against what came true, by week."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from nextbest.lift.calibration import WeekAgreement, agreement_by_week

DAY = 86_400.0
MONDAY = 1_760_313_600.0  # 2025-10-13 00:00 UTC
HORIZON_DAYS = 14.0


def measured(
    user: NDArray[np.int64], day: NDArray[np.float64], weight: NDArray[np.float64], came_true: NDArray[np.bool_]
) -> tuple[WeekAgreement, ...]:
    now = MONDAY + 100 * DAY
    return agreement_by_week(user, MONDAY + day * DAY, weight, came_true, horizon_days=HORIZON_DAYS, now=now)


def test_expected_and_observed_by_week_and_bin() -> None:
    # Given 1,000 recommendations to as many users, in two weeks, of 2 % and 10 %
    day = np.where(np.arange(1_000) < 600, 6.99, 7.0)
    weight = np.where(np.arange(1_000) % 2 == 0, 0.02, 0.1)
    came_true = np.isin(np.arange(1_000), [0, 1, 3, 5, 601])
    first, second = measured(np.arange(1_000), day, weight, came_true)
    # Then each week starts on its Monday, and has what was expected and observed
    assert (first.monday, second.monday) == (MONDAY, MONDAY + 7 * DAY)
    assert first.agreement.expected == pytest.approx(300 * 0.12)
    assert first.agreement.observed == 4
    assert second.agreement.recommendations == second.agreement.users == 400
    # And a bin includes its lower edge
    assert [(each.low, each.high, each.agreement.observed) for each in first.bins] == [(0.02, 0.05, 1), (0.1, 0.2, 3)]
    assert first.agreement.ratio == pytest.approx(4 / 36)
    json.dumps([first.to_json(), second.to_json()], allow_nan=False)


def test_the_interval_of_few_is_that_of_a_poisson_count() -> None:
    # Given 5 of 10,000 recommendations of .1 %, each to another user
    came_true = np.arange(10_000) < 5
    (week,) = measured(np.arange(10_000), np.zeros(10_000), np.full(10_000, 0.001), came_true)
    assert week.agreement.interval is not None
    # By hand (Garwood): 1.6235 and 11.6683 of 10
    assert week.agreement.interval.to_json() == pytest.approx([0.16235, 1.16683], rel=2e-3)


def test_nothing_observed_has_an_upper_end() -> None:
    (week,) = measured(np.arange(100), np.zeros(100), np.full(100, 0.1), np.zeros(100, np.bool_))
    assert week.agreement.interval is not None
    # By hand: -log(.025) = 3.689 of 10
    assert week.agreement.interval.to_json() == pytest.approx([0.0, 0.3689], rel=1e-3)


def test_recommendations_of_one_user_count_together() -> None:
    random = np.random.default_rng(0)
    came_true = random.random(1_000) < 0.1
    alone = measured(np.arange(1_000), np.zeros(1_000), np.full(1_000, 0.1), came_true)[0].agreement.interval
    # When each user has ten recommendations that come true all or not at all
    together = measured(np.arange(10_000) // 10, np.zeros(10_000), np.full(10_000, 0.1), np.repeat(came_true, 10))[
        0
    ].agreement.interval
    # Then ten times as many say no more
    assert alone is not None and together is not None
    assert together.high - together.low == pytest.approx(alone.high - alone.low, rel=0.1)


def test_what_is_not_over_is_left_out() -> None:
    day = np.array([0.0, 5.0])
    weeks = agreement_by_week(
        np.arange(2),
        MONDAY + day * DAY,
        np.full(2, 0.5),
        np.ones(2, np.bool_),
        horizon_days=14.0,
        now=MONDAY + 14 * DAY,
    )
    assert [each.agreement.recommendations for each in weeks] == [1]
    assert weeks[0].agreement.interval is None and weeks[0].agreement.reason == "fewer than 30 users"


def test_certain_and_impossible_recommendations() -> None:
    weight = np.repeat([0.0, 1.0], 50)
    (week,) = measured(np.arange(100), np.zeros(100), weight, weight > 0.5)
    impossible, certain = week.bins
    assert impossible.agreement.ratio is None and impossible.agreement.reason == "nothing was expected"
    assert certain.high == 1.0 and certain.agreement.ratio == 1.0 and certain.agreement.interval is not None
    assert certain.agreement.interval.low < 1.0 < certain.agreement.interval.high


def test_nothing_is_measured_of_nothing() -> None:
    assert measured(np.zeros(0, np.int64), np.zeros(0), np.zeros(0), np.zeros(0, np.bool_)) == ()


def test_columns_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="one row a recommendation"):
        measured(np.zeros(2, np.int64), np.zeros(2), np.zeros(1), np.zeros(2, np.bool_))
    with pytest.raises(ValueError, match="between 0 and 1"):
        measured(np.zeros(1, np.int64), np.zeros(1), np.array([np.nan]), np.zeros(1, np.bool_))
