"""Power: how many users, and how many more days, until an effect of some size is likely to show.

With variance v a user (the variance of the difference times the number of users), an effect d is outside the interval
of n users with probability p, at the planned look or later, if

    d · sqrt(n / v) - width(n) = z_p,

where width is that of the interval in standard errors: z_{1 - alpha/2} for a fixed number of users (the textbook's
formula: Cohen 1988, chapter 2), or the boundary of the confidence sequence. The other tail is left out, as usual. An
effect that was observed is a poor guide early on (Hoenig and Heisey 2001, "The abuse of power"): the days it leads to
are a forecast, not a promise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from nextbest.lift.intervals import ALPHA, PLANNED_USERS, boundary, normal_quantile
from nextbest.lift.windows import UserWindows, seconds_of
from nextbest.scoring.kernels import DAY_SECONDS

POWER = 0.8
INFLOW_DAYS = 7.0
"""The latest days, of which the number of new users a day is taken."""
_MOST_USERS = 1e10


@dataclass(frozen=True, slots=True)
class Forecast:
    """When an ``effect`` has an 80 % chance of lying outside the interval around nothing.

    ``users`` with complete windows are needed for the always-valid interval, ``users_fixed`` for a fixed one;
    ``users_a_day`` is the inflow; ``days`` from now until the windows of ``users`` are complete, 0 where they are.
    ``detectable`` is the smallest effect with that chance among today's users. None is unknown, for the ``reason``.
    """

    effect: float | None
    users: int | None = None
    users_fixed: int | None = None
    users_a_day: float | None = None
    days: float | None = None
    detectable: float | None = None
    reason: str = ""

    def to_json(self) -> dict[str, object]:
        """A JSON object."""
        return {
            "effect": self.effect,
            "users": self.users,
            "users_fixed": self.users_fixed,
            "users_a_day": self.users_a_day,
            "days": self.days,
            "detectable": self.detectable,
            "reason": self.reason,
        }


def users_needed(
    effect: float, variance: float, *, planned_users: int = PLANNED_USERS, power: float = POWER, alpha: float = ALPHA
) -> int | None:
    """Users of both variants until an always-valid interval excludes 0 with this ``power`` at that look.

    ``variance`` is that of the difference times users. None without an effect, or where more than 10 billion are
    needed.
    """
    return _least_users(effect, variance, lambda users: boundary(users, planned_users, alpha), power)


def users_needed_fixed(effect: float, variance: float, *, power: float = POWER, alpha: float = ALPHA) -> int | None:
    """The same for an interval that is looked at once, at that number of users."""
    return _least_users(effect, variance, lambda _: normal_quantile(alpha), power)


def users_to_plan(effect: float, variance: float, *, power: float = POWER, alpha: float = ALPHA) -> int | None:
    """``users_needed`` where always-valid intervals are narrowest at just that number of users.

    The width at the planned number of users is the same for any number, so this has a closed form.
    """
    if effect == 0.0 or variance <= 0.0:
        return None
    users = variance * ((float(special.ndtri(power)) + boundary(1, 1, alpha)) / effect) ** 2
    return None if users > _MOST_USERS else max(2, ceil(users))


def forecast(
    effect: float | None,
    variance: float | None,
    windows: UserWindows,
    *,
    started_at: float,
    horizon_days: float,
    now: float,
    is_running: bool = True,
    planned_users: int = PLANNED_USERS,
    power: float = POWER,
    alpha: float = ALPHA,
) -> Forecast:
    """How many more days until an ``effect`` shows, from what is known at ``now``.

    ``windows`` are those of the users of both variants, complete or not; users come as they came in the latest days. An
    experiment that is not running gets no more. Times are in seconds; raises ``ValueError`` unless the horizon is above
    zero.
    """
    horizon = seconds_of(horizon_days)
    days = min(INFLOW_DAYS, (now - started_at) / DAY_SECONDS)
    latest = float(np.count_nonzero(windows.opens > now - days * DAY_SECONDS))
    inflow = latest / days if days > 0.0 and is_running else 0.0
    if effect is None or not variance:
        return Forecast(effect, users_a_day=inflow, reason="too few data to know how much outcomes vary")
    complete = int(np.count_nonzero(windows.complete))
    detectable = None
    if complete:
        widths = boundary(complete, planned_users, alpha) + float(special.ndtri(power))
        detectable = widths * sqrt(variance / complete)
    users = users_needed(effect, variance, planned_users=planned_users, power=power, alpha=alpha)
    fixed = users_needed_fixed(effect, variance, power=power, alpha=alpha)
    known = Forecast(effect, users, fixed, inflow, None, detectable)
    if users is None:
        return replace(known, reason="no difference so far that any number of users could show")
    seconds = _seconds_until(np.sort(windows.opens), users, horizon, now, inflow)
    if seconds is None:
        return replace(
            known, reason="no new users come" if is_running else "the experiment has stopped: no new users come"
        )
    return replace(known, days=seconds / DAY_SECONDS)


def _seconds_until(
    opens: NDArray[np.float64], users: int, horizon: float, now: float, users_a_day: float
) -> float | None:
    """Until so many windows are complete; ``opens`` (users so far,) is ascending."""
    if users <= len(opens):
        return max(0.0, float(opens[users - 1]) + horizon - now)
    if users_a_day <= 0.0:
        return None
    return (users - len(opens)) / users_a_day * DAY_SECONDS + horizon


def _least_users(effect: float, variance: float, width: Callable[[float], float], power: float) -> int | None:
    if effect == 0.0 or variance <= 0.0:
        return None

    def missing(users: float) -> float:
        return float(special.ndtri(power)) + width(users) - abs(effect) * sqrt(users / variance)

    if missing(_MOST_USERS) > 0.0:
        return None
    return 2 if missing(2.0) <= 0.0 else ceil(optimize.brentq(missing, 2.0, _MOST_USERS, xtol=0.01, rtol=1e-9))
