"""Calibration in production: the growth weights that were answered, against what came true within the horizon.

Of recommendations with growth weights g, Σ g are expected to come true. Observed divided by expected is 1 where growth
weights are probabilities (a standardised ratio, as in epidemiology). Its interval is the exact one of a Poisson count
(Garwood 1936; Ulm 1990 for ratios), widened by how much more the sums of single users vary than a Poisson count does,
as one user's recommendations come true together (an overdispersion by clusters: Rao and Scott 1992).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from nextbest.lift.attribution import Attribution, DecisionColumns
from nextbest.lift.intervals import ALPHA, Interval
from nextbest.lift.windows import seconds_of
from nextbest.scoring.kernels import DAY_SECONDS

BINS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Edges of growth weights; the last bin includes 1."""
LEAST_USERS = 30
"""For an interval."""
_FIRST_MONDAY = 4.0 * DAY_SECONDS
_WEEK = 7.0 * DAY_SECONDS
_FEW = 10

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of ``recommendations`` to ``users``, how many were ``expected`` to come true and how many were ``observed`` to.

    ``ratio`` is observed divided by expected, with the ``interval`` for one look. What is None is unknown, and
    ``reason`` says why.
    """

    recommendations: int
    users: int
    expected: float
    observed: int
    ratio: float | None = None
    interval: Interval | None = None
    reason: str = ""

    def to_json(self) -> dict[str, object]:
        """A JSON object."""
        return {
            "recommendations": self.recommendations,
            "users": self.users,
            "expected": self.expected,
            "observed": self.observed,
            "ratio": self.ratio,
            "interval": None if self.interval is None else self.interval.to_json(),
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True)
class BinAgreement:
    """The recommendations with growth weights from ``low`` to below ``high``."""

    low: float
    high: float
    agreement: Agreement


@dataclass(frozen=True, slots=True)
class WeekAgreement:
    """The recommendations of the week from ``monday`` (seconds since 1970, UTC) on, and those of each bin that has
    some."""

    monday: float
    agreement: Agreement
    bins: tuple[BinAgreement, ...]

    def to_json(self) -> dict[str, object]:
        """A JSON object; bins have their edges beside their agreement."""
        bins = [{"low": each.low, "high": each.high, **each.agreement.to_json()} for each in self.bins]
        return {"monday": self.monday, **self.agreement.to_json(), "bins": bins}


def agreement_by_week(
    user: Integers,
    time: Floats,
    growth_weight: Floats,
    came_true: NDArray[np.bool_],
    *,
    horizon_days: float,
    now: float,
    edges: Sequence[float] = BINS,
    alpha: float = ALPHA,
) -> tuple[WeekAgreement, ...]:
    """Recommendations by the week in which they were answered, the earliest first.

    All columns are (recommendations,): who was answered, when (seconds), with which growth weight, and whether the user
    took the action within ``horizon_days``. Those whose horizon is not over at ``now`` are left out. Raises
    ``ValueError`` where columns differ in length, a growth weight is no probability, or the horizon is not above zero.
    """
    if not len(user) == len(time) == len(growth_weight) == len(came_true):
        raise ValueError("user, time, growth_weight and came_true need one row a recommendation")
    if len(growth_weight) and not (growth_weight.min() >= 0.0 and growth_weight.max() <= 1.0):
        raise ValueError("growth weights are between 0 and 1")
    over = np.flatnonzero(time + seconds_of(horizon_days) <= now)
    week = np.floor((time[over] - _FIRST_MONDAY) / _WEEK).astype(np.int64)
    place = np.clip(np.searchsorted(edges, growth_weight[over], side="right") - 1, 0, len(edges) - 2)

    def agreement(rows: Integers) -> Agreement:
        return _agreement(user[rows], growth_weight[rows], came_true[rows], alpha)

    weeks = []
    for number in np.unique(week).tolist():
        rows, places = over[week == number], place[week == number]
        bins = tuple(
            BinAgreement(edges[each], edges[each + 1], agreement(rows[places == each]))
            for each in np.unique(places).tolist()
        )
        weeks.append(WeekAgreement(_FIRST_MONDAY + number * _WEEK, agreement(rows), bins))
    return tuple(weeks)


def agreement_of_decisions(
    decisions: DecisionColumns,
    growth_weight: Floats,
    attribution: Attribution,
    *,
    horizon_days: float,
    now: float,
    alpha: float = ALPHA,
) -> tuple[WeekAgreement, ...]:
    """The same for what ``decisions`` showed, with one ``growth_weight`` a shown action, (shown,), and an
    ``attribution`` with the same horizon."""
    row = np.repeat(np.arange(len(decisions)), np.diff(decisions.starts))
    return agreement_by_week(
        decisions.user[row],
        decisions.time[row],
        growth_weight,
        attribution.shown_count > 0,
        horizon_days=horizon_days,
        now=now,
        alpha=alpha,
    )


def _agreement(user: Integers, growth_weight: Floats, came_true: NDArray[np.bool_], alpha: float) -> Agreement:
    ids, place = np.unique(user, return_inverse=True)
    rows, users = len(user), len(ids)
    expected, observed = float(growth_weight.sum()), int(np.count_nonzero(came_true))
    if expected <= 0.0:
        return Agreement(rows, users, expected, observed, reason="nothing was expected")
    ratio = observed / expected
    if users < LEAST_USERS:
        return Agreement(rows, users, expected, observed, ratio, reason=f"fewer than {LEAST_USERS} users")
    excess = np.bincount(place, came_true - ratio * growth_weight, users)
    # A count of likely events varies less than a Poisson count, by the share that did not come true.
    dispersion = 1.0 - (observed + 2.0) / (rows + 4.0)
    if observed:
        dispersion = max(dispersion, float(np.square(excess).sum()) * users / (users - 1) / observed)
    if observed < _FEW:
        dispersion = max(dispersion, 1.0)
    low = float(special.gammaincinv(observed / dispersion, alpha / 2.0)) if observed else 0.0
    high = float(special.gammaincinv(observed / dispersion + 1.0, 1.0 - alpha / 2.0))
    interval = Interval(low * dispersion / expected, high * dispersion / expected)
    return Agreement(rows, users, expected, observed, ratio, interval)
