"""The report of one experiment: variants, comparisons, forecasts, and a verdict in one sentence.

The headline compares users by intention to treat; outcomes credited to decisions stand beside it as a description.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

import numpy as np
from numpy.typing import NDArray

from nextbest.domain.experiments import Measure
from nextbest.lift.attribution import attribute
from nextbest.lift.columns import ExperimentColumns
from nextbest.lift.comparison import (
    SampleRatio,
    VariantComparison,
    VariantSummary,
    compare_variants,
    sample_ratio,
    summarise,
)
from nextbest.lift.days import DayOutcomes, outcomes_by_day
from nextbest.lift.intervals import PLANNED_USERS, Interval
from nextbest.lift.power import POWER, Forecast, forecast
from nextbest.lift.windows import UserWindows, open_windows, outcomes_before, outcomes_within, seconds_of
from nextbest.scoring.kernels import DAY_SECONDS

_LONGEST_DAYS = 365

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class MeasureReport:
    """One measure: each variant, and each but the first against the first, with when that is decided.

    ``rate`` is the share of users with an outcome, ``value`` the mean value of the outcomes of a user.
    """

    measure: Measure
    variants: tuple[VariantSummary, ...]
    comparisons: tuple[VariantComparison, ...]
    forecasts: tuple[Forecast, ...]

    def to_json(self) -> dict[str, object]:
        """A JSON object."""
        comparisons = [
            {**comparison.to_json(), "forecast": each.to_json()}
            for comparison, each in zip(self.comparisons, self.forecasts, strict=True)
        ]
        return {
            "measure": self.measure,
            "variants": [each.to_json() for each in self.variants],
            "comparisons": comparisons,
        }


@dataclass(frozen=True, slots=True)
class CreditedOutcomes:
    """What decisions of a variant are credited with, of those whose horizon is over: a description, not an effect.

    ``last_outcomes`` and ``last_value`` sum the outcomes of which one of the ``decisions`` is the last that showed
    them; ``followed`` counts the decisions that at least one outcome followed, whether they are its last or not.
    """

    name: str
    decisions: int
    last_outcomes: int
    last_value: float
    followed: int

    def to_json(self) -> dict[str, object]:
        """A JSON object."""
        return {
            "name": self.name,
            "decisions": self.decisions,
            "last_outcomes": self.last_outcomes,
            "last_value": self.last_value,
            "followed": self.followed,
        }


@dataclass(frozen=True, slots=True)
class ExperimentReport:
    """All that is known of an experiment at ``now`` (seconds since 1970).

    Of the ``users`` who entered, ``complete_users`` have been followed for the whole horizon and are compared;
    ``moved_users`` had decisions of more than one variant and count in their first. ``verdict`` is about the measure
    ``headline``, and ``is_decided`` says whether one of its always-valid intervals excludes no difference. ``days`` are
    how it came to this.
    """

    now: float
    users: int
    complete_users: int
    moved_users: int
    sample_ratio: SampleRatio
    headline: Measure
    verdict: str
    is_decided: bool
    measures: tuple[MeasureReport, ...]
    credited: tuple[CreditedOutcomes, ...]
    days: tuple[DayOutcomes, ...]

    def to_json(self) -> dict[str, object]:
        """A JSON object without NaN or infinity."""
        return {
            "now": self.now,
            "users": self.users,
            "complete_users": self.complete_users,
            "moved_users": self.moved_users,
            "sample_ratio": self.sample_ratio.to_json(),
            "headline": self.headline,
            "verdict": self.verdict,
            "is_decided": self.is_decided,
            "measures": [each.to_json() for each in self.measures],
            "credited": [each.to_json() for each in self.credited],
            "days": [each.to_json() for each in self.days],
        }


def report_experiment(
    columns: ExperimentColumns,
    *,
    names: Sequence[str],
    shares: Sequence[float],
    started_at: float,
    stopped_at: float | None = None,
    horizon_days: float,
    now: float,
    headline: Measure = "rate",
    least_effect: float | None = None,
    planned_users: int = PLANNED_USERS,
) -> ExperimentReport:
    """The report of an experiment with variants ``names`` that users get in these ``shares``; the first, ``holdout`` or
    ``champion``, is the baseline.

    Times are in seconds since 1970. Outcomes of ``horizon_days`` before the start adjust the comparison. Forecasts are
    for ``least_effect`` of the headline, a difference worth knowing, or else for the one observed. ``headline``,
    ``least_effect`` and ``planned_users`` must be set before the start. Raises ``ValueError`` unless there are at least
    two variants, each with a share above zero, a horizon above zero and columns that fit.
    """
    if len(names) < 2:
        raise ValueError("a comparison needs at least two variants")
    decisions, outcomes = columns.decisions, columns.outcomes
    windows = open_windows(
        decisions.user,
        decisions.time,
        started_at=started_at,
        stopped_at=stopped_at,
        horizon_days=horizon_days,
        now=now,
    )
    variant = columns.variant[windows.decision]
    ratio = sample_ratio(np.bincount(variant, minlength=len(names)).tolist(), shares)
    count, value = outcomes_within(windows, outcomes.user, outcomes.time, outcomes.value)
    count_before, value_before = outcomes_before(
        windows, outcomes.user, outcomes.time, outcomes.value, started_at=started_at, days=horizon_days
    )

    def measured(measure: Measure, outcome: Floats, before: Floats) -> MeasureReport:
        done = windows.complete
        summaries = summarise(names, variant[done], outcome[done], planned_users=planned_users)
        comparisons = compare_variants(names, variant[done], outcome[done], before[done], planned_users=planned_users)
        forecasts = []
        for number, comparison in enumerate(comparisons, start=1):
            effect = least_effect if least_effect is not None and measure == headline else None
            forecasts.append(
                forecast(
                    comparison.decisive.difference.value if effect is None else effect,
                    comparison.decisive.variance,
                    _of_variants(windows, variant, (0, number)),
                    started_at=started_at,
                    horizon_days=horizon_days,
                    now=now,
                    is_running=stopped_at is None or now < stopped_at,
                    planned_users=planned_users,
                )
            )
        return MeasureReport(measure, summaries, comparisons, tuple(forecasts))

    measures = (
        # Few users do something very often: of how often before, the logarithm says more about whether they will.
        measured("rate", (count > 0).astype(np.float64), np.log1p(count_before)),
        measured("value", value, value_before),
    )
    main = next(each for each in measures if each.measure == headline)
    deciding = [each.decisive.difference.always_valid for each in main.comparisons]
    return ExperimentReport(
        now=now,
        users=len(windows),
        complete_users=int(np.count_nonzero(windows.complete)),
        moved_users=_moved_users(columns, started_at, now if stopped_at is None else min(now, stopped_at)),
        sample_ratio=ratio,
        headline=headline,
        verdict=_verdict(
            main,
            names,
            variant,
            ratio,
            windows,
            horizon_days,
            now,
            plan=None if least_effect is None else (least_effect, planned_users),
        ),
        is_decided=any(interval is not None and interval.excludes(0.0) for interval in deciding),
        measures=measures,
        credited=_credited(columns, names, started_at, horizon_days, now),
        days=outcomes_by_day(names, variant, windows, count, value, now=now),
    )


def _of_variants(windows: UserWindows, variant: Integers, numbers: tuple[int, ...]) -> UserWindows:
    rows = np.isin(variant, numbers)
    return UserWindows(
        windows.user[rows], windows.decision[rows], windows.opens[rows], windows.closes[rows], windows.complete[rows]
    )


def _moved_users(columns: ExperimentColumns, begin: float, end: float) -> int:
    inside = (columns.decisions.time >= begin) & (columns.decisions.time <= end)
    pairs = np.unique(np.column_stack([columns.decisions.user[inside], columns.variant[inside]]), axis=0)
    return len(pairs) - len(np.unique(pairs[:, 0]))


def _credited(
    columns: ExperimentColumns, names: Sequence[str], started_at: float, horizon_days: float, now: float
) -> tuple[CreditedOutcomes, ...]:
    credited = attribute(columns.decisions, columns.outcomes, horizon_days)
    time = columns.decisions.time
    over = (time >= started_at) & (time + seconds_of(horizon_days) <= now)
    summaries = []
    for number, name in enumerate(names):
        rows = over & (columns.variant == number)
        summaries.append(
            CreditedOutcomes(
                name=name,
                decisions=int(np.count_nonzero(rows)),
                last_outcomes=int(credited.last_count[rows].sum()),
                last_value=float(credited.last_value[rows].sum()),
                followed=int(np.count_nonzero(credited.any_count[rows])),
            )
        )
    return tuple(summaries)


def _verdict(
    main: MeasureReport,
    names: Sequence[str],
    variant: Integers,
    ratio: SampleRatio,
    windows: UserWindows,
    horizon_days: float,
    now: float,
    plan: tuple[float, int] | None,
) -> str:
    """One sentence: whether there is a result, and if not, what it waits for. ``plan`` has the least effect and the
    users that it takes."""
    missing = [name for number, name in enumerate(names) if not np.any(variant == number)]
    if missing:
        return f"no users in variant {missing[0]}"
    if ratio.mismatch:
        return (
            "users did not come in the shares that were set: find out why before you believe any number "
            f"(probability {ratio.probability:.1g})"
        )
    if not windows.complete.any():
        days = (float(windows.opens.min()) + seconds_of(horizon_days) - now) / DAY_SECONDS
        return f"too early: the first user's horizon is over in {_days(days)}"
    sentences = [
        _verdict_of(comparison, each, main.measure, plan)
        for comparison, each in zip(main.comparisons, main.forecasts, strict=True)
    ]
    if len(sentences) == 1:
        return sentences[0]
    return "; ".join(
        f"{comparison.variant} against {comparison.baseline}: {sentence}"
        for comparison, sentence in zip(main.comparisons, sentences, strict=True)
    )


def _verdict_of(
    comparison: VariantComparison, expected: Forecast, measure: Measure, plan: tuple[float, int] | None
) -> str:
    difference = comparison.decisive.difference
    value, interval = difference.value, difference.always_valid
    if value is None or interval is None:
        return f"not decided yet: {difference.reason}"
    if interval.excludes(0.0):
        return (
            f"{comparison.variant} sells {'more' if value > 0.0 else 'less'}: {_difference(value, interval, measure)}"
        )
    if plan is not None and comparison.users >= plan[1]:
        return (
            "not decided, with enough users for the smallest effect you named: "
            f"{_effect(plan[0], measure)} would have shown with a chance of {POWER:.0%}"
        )
    if expected.days is None:
        return f"not decided: {expected.reason}"
    if expected.days > _LONGEST_DAYS:
        return (
            f"not decided yet: a difference like this shows with about {float(f'{expected.users:.2g}'):,.0f} users, "
            f"and with {expected.users_a_day:.2g} new ones a day that takes more than a year"
        )
    return f"not decided yet: about {_days(expected.days, 'more ')}"


def _difference(value: float, interval: Interval, measure: Measure) -> str:
    """A difference with two significant digits of its uncertainty; rates in points."""
    scale, unit = (100.0, "points") if measure == "rate" else (1.0, "a user")
    half = (interval.high - interval.low) * scale / 2.0
    digits = min(max(1 - floor(log10(half)), 0), 9)
    low, high = interval.low * scale, interval.high * scale
    return f"{value * scale:+.{digits}f} {unit} ({low:.{digits}f} to {high:.{digits}f})"


def _effect(effect: float, measure: Measure) -> str:
    return f"{effect * 100.0:.2g} points" if measure == "rate" else f"{effect:.2g} a user"


def _days(days: float, more: str = "") -> str:
    number = max(1, ceil(days))
    return f"{number} {more}{'day' if number == 1 else 'days'}"
