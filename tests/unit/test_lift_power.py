"""Users and days until an effect shows."""

from __future__ import annotations

import numpy as np
import pytest

from nextbest.lift.intervals import boundary
from nextbest.lift.power import forecast, users_needed, users_needed_fixed, users_to_plan
from nextbest.lift.windows import UserWindows, open_windows

DAY = 86_400.0
Z_80 = 0.8416212


def windows_of(users_a_day: int, days: int, now: float) -> UserWindows:
    """Users who came evenly from day 0 on, with a horizon of 7 days."""
    opens = np.arange(users_a_day * days) / users_a_day * DAY
    return open_windows(np.arange(len(opens)), opens, started_at=0.0, horizon_days=7.0, now=now)


@pytest.mark.parametrize(("share", "users"), [(0.5, 2 * 2_790.705958871959), (0.9, 15_503.92199403064)])
def test_the_fixed_number_of_users_is_the_textbook_s(share: float, users: float) -> None:
    # Given an effect of .03 where outcomes deviate by .4; numbers of statsmodels 0.15, NormalIndPower.solve_power
    variance = 0.4**2 * (1.0 / share + 1.0 / (1.0 - share))
    assert users_needed_fixed(0.03, variance) == pytest.approx(users, abs=1.5)
    assert users_needed_fixed(-0.03, variance) == users_needed_fixed(0.03, variance)


def test_looking_every_day_takes_more_users() -> None:
    variance = 0.4**2 * 4.0
    users = users_needed(0.03, variance)
    assert users is not None
    # Then the effect in standard errors is as much above the boundary as 80 % power needs
    assert 0.03 / np.sqrt(variance / users) - boundary(users) == pytest.approx(Z_80, abs=1e-3)
    fixed = users_needed_fixed(0.03, variance)
    assert fixed is not None and 1.5 < users / fixed < 2.5


def test_a_plan_is_the_number_of_users_that_its_own_interval_needs() -> None:
    variance = 0.4**2 * 4.0
    planned = users_to_plan(0.03, variance)
    assert planned is not None
    assert users_needed(0.03, variance, planned_users=planned) == pytest.approx(planned, abs=1)
    # Intervals that are narrowest elsewhere need more
    assert all(
        needed is not None and needed > planned
        for needed in (users_needed(0.03, variance, planned_users=each) for each in (500, 100_000))
    )
    assert users_to_plan(0.0, variance) is None
    assert users_to_plan(1e-9, variance) is None


def test_no_effect_never_shows() -> None:
    assert users_needed(0.0, 1.0) is None
    assert users_needed(1e-9, 1.0) is None
    assert users_needed_fixed(5.0, 1e-9) == 2


def test_days_until_the_last_user_s_window_is_complete() -> None:
    # Given 100 users a day for 10 days, of whom those of the first 3 days are complete
    now = 10 * DAY
    windows = windows_of(100, 10, now)
    result = forecast(0.12, 0.64, windows, started_at=0.0, horizon_days=7.0, now=now)
    assert result.users_a_day == pytest.approx(100.0, abs=0.5)
    assert result.users is not None
    # When users are enough that came already, it is the window of the last of them
    assert result.users < 1_000
    assert result.days == pytest.approx((result.users - 1) / 100 + 7 - 10)
    # When more have to come, they come first
    later = forecast(0.05, 0.64, windows, started_at=0.0, horizon_days=7.0, now=now)
    assert later.users is not None and later.users > 1_000
    assert later.days == pytest.approx((later.users - 1_000) / 100 + 7, rel=0.01)
    # And the smallest effect to be seen among the complete 301 is one that needs 301
    assert later.detectable is not None
    assert users_needed(later.detectable, 0.64) == pytest.approx(301, abs=1)


def test_it_says_why_nothing_can_be_forecast() -> None:
    now = 10 * DAY
    windows = windows_of(100, 10, now)
    unknown = forecast(None, None, windows, started_at=0.0, horizon_days=7.0, now=now)
    assert unknown.days is None and "too few data" in unknown.reason
    nothing = forecast(0.0, 0.64, windows, started_at=0.0, horizon_days=7.0, now=now)
    assert nothing.days is None and "no difference so far" in nothing.reason
    stopped = forecast(0.01, 0.64, windows, started_at=0.0, horizon_days=7.0, now=now, is_running=False)
    assert stopped.days is None and stopped.users is not None and "has stopped" in stopped.reason
    deserted = forecast(0.01, 0.64, windows, started_at=0.0, horizon_days=7.0, now=60 * DAY)
    assert deserted.days is None and deserted.reason == "no new users come"
    empty = windows_of(100, 0, now)
    assert forecast(0.1, 0.64, empty, started_at=now, horizon_days=7.0, now=now).reason == "no new users come"


def test_enough_users_are_there_already() -> None:
    now = 60 * DAY
    result = forecast(0.2, 0.64, windows_of(100, 30, now), started_at=0.0, horizon_days=7.0, now=now)
    assert result.days == 0.0
