"""What the report of an experiment says, in words and as plots of intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import ceil, floor, log10
from typing import Any

from nextbest.domain.experiments import ExperimentPlan

Json = Mapping[str, Any]

_LONGEST_DAYS = 365
_TITLES = {"rate": "Share of users with an outcome", "value": "Value of the outcomes of a user"}


@dataclass(frozen=True, slots=True)
class Unit:
    """How the numbers of a measure are written: times ``scale``, followed by a unit."""

    scale: float = 1.0
    unit: str = ""
    has_sign: bool = False

    def write(self, value: float, digits: int) -> str:
        """The number as text."""
        return f"{self._digits(value, digits)}{self.unit}"

    def write_interval(self, interval: Sequence[float], digits: int) -> str:
        """An interval as text."""
        low, high = (self._digits(end, digits) for end in interval)
        return f"{low} to {high}{self.unit}"

    def digits_of(self, interval: Sequence[float] | None) -> int:
        """As many decimals as leave two significant digits of half the interval."""
        half = (interval[1] - interval[0]) * self.scale / 2.0 if interval is not None else 0.0
        return min(max(1 - floor(log10(half)), 0), 9) if half > 0.0 else 2

    def _digits(self, value: float, digits: int) -> str:
        text = f"{value * self.scale:{'+' if self.has_sign else ''},.{digits}f}"
        return text.replace("-", "−")


_UNITS = {"rate": Unit(100.0, " %"), "value": Unit()}
_DIFFERENCES = {"rate": Unit(100.0, " points", has_sign=True), "value": Unit(has_sign=True)}
_RATIO = Unit()


@dataclass(frozen=True, slots=True)
class IntervalPlot:
    """Places of an estimate's value and intervals in per cent of the plot's width; ``zero`` where no difference is."""

    value: float
    always_valid: tuple[float, float] | None
    fixed: tuple[float, float] | None
    zero: float | None


@dataclass(frozen=True, slots=True)
class EstimateRow:
    """An estimate with its intervals as text, and its plot; where it is not known, ``reason`` says why.

    ``is_headline``: the verdict rests on its always-valid interval.
    """

    name: str
    value: str = ""
    always_valid: str = ""
    fixed: str = ""
    reason: str = ""
    plot: IntervalPlot | None = None
    is_headline: bool = False


@dataclass(frozen=True, slots=True)
class VariantRow:
    """One variant: how many users, how many of them with an outcome, and their rate or mean."""

    name: str
    users: int
    reached: int
    mean: EstimateRow


@dataclass(frozen=True, slots=True)
class MeasureResult:
    """One measure: variants, their differences and ratios, and sentences on when an effect would show."""

    title: str
    is_headline: bool
    variants: Sequence[VariantRow]
    differences: Sequence[EstimateRow]
    ratios: Sequence[EstimateRow]
    forecasts: Sequence[str]


@dataclass(frozen=True, slots=True)
class ResultDays:
    """How the variants came to what they are: a row a day, seconds since 1970 first, then a number or "" a variant."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[float | str]]


def days_of(report: Json) -> ResultDays:
    """The headline's rate or mean of each variant by the end of each day; no rows in reports that do not know it."""
    headline = report["headline"]
    is_rate = headline == "rate"
    variants = [each["name"] for each in report["measures"][0]["variants"]]
    days: dict[str, dict[str, float]] = {}
    for each in report.get("days", ()):
        reached = 100.0 * each["outcomes"] if is_rate else each["value"]
        if each["users"]:
            days.setdefault(each["day"], {})[each["variant"]] = reached / each["users"]
    rows = [
        [datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp(), *(known.get(name, "") for name in variants)]
        for day, known in days.items()
    ]
    title = f"{_TITLES[headline]} by day{', per cent' if is_rate else ''}: all users whose horizon was over by then"
    return ResultDays(title, ["Day", *variants], rows)


def plan_of(plan: ExperimentPlan, headline: str) -> str:
    """A plan in a sentence."""
    if plan.users is None or plan.effect is None:
        return f"How many users it takes is not known: {plan.reason}."
    effect = _size(plan.effect, _DIFFERENCES[headline])
    return (
        f"It takes {plan.users:,} users of both variants to show an effect of {effect} "
        f"with a chance of 80 %. That follows from {plan.active_users:,} users who were active before."
    )


def results_of(report: Json) -> list[MeasureResult]:
    """The measures of a report, that of the headline first."""
    measures = sorted(report["measures"], key=lambda each: bool(each["measure"] != report["headline"]))
    return [_result(each, is_headline=each["measure"] == report["headline"]) for each in measures]


def _result(measure: Json, *, is_headline: bool) -> MeasureResult:
    name, comparisons = measure["measure"], measure["comparisons"]
    scale = _scale_of((each["mean"] for each in measure["variants"]), include=())
    variants = [
        VariantRow(
            each["name"],
            each["users"],
            each["reached"],
            _row(each["name"], each["mean"], _UNITS[name], scale, zero=None),
        )
        for each in measure["variants"]
    ]
    return MeasureResult(
        _TITLES[name],
        is_headline,
        variants,
        _contrasts(comparisons, "difference", _DIFFERENCES[name], zero=0.0, is_headline=is_headline),
        _contrasts(comparisons, "ratio", _RATIO, zero=1.0, is_headline=False),
        [sentence for each in comparisons for sentence in _forecast(each, _DIFFERENCES[name])],
    )


def _contrasts(
    comparisons: Sequence[Json], contrast: str, unit: Unit, *, zero: float, is_headline: bool
) -> list[EstimateRow]:
    """A row for each comparison, and one for what is left of it without what users did before."""
    between = "minus" if contrast == "difference" else "divided by"
    estimates = []
    for each in comparisons:
        name = f"{each['variant']} {between} {each['baseline']}"
        adjusted = each["adjusted"]
        estimates.append((name, each["plain"][contrast], is_headline and adjusted is None))
        if adjusted is not None:
            estimates.append((f"{name}, adjusted", adjusted[contrast], is_headline))
    scale = _scale_of((estimate for _, estimate, _ in estimates), include=(zero,))
    return [_row(name, estimate, unit, scale, zero=zero, is_headline=decides) for name, estimate, decides in estimates]


def _row(
    name: str,
    estimate: Json,
    unit: Unit,
    scale: tuple[float, float],
    *,
    zero: float | None,
    is_headline: bool = False,
) -> EstimateRow:
    value, always_valid, fixed = estimate["value"], estimate["always_valid"], estimate["fixed"]
    if value is None:
        return EstimateRow(name, reason=estimate["reason"], is_headline=is_headline)
    digits = unit.digits_of(always_valid or fixed)
    return EstimateRow(
        name,
        unit.write(value, digits),
        unit.write_interval(always_valid, digits) if always_valid is not None else "",
        unit.write_interval(fixed, digits) if fixed is not None else "",
        estimate["reason"],
        _plot(value, always_valid, fixed, scale, zero),
        is_headline,
    )


def _plot(
    value: float,
    always_valid: Sequence[float] | None,
    fixed: Sequence[float] | None,
    scale: tuple[float, float],
    zero: float | None,
) -> IntervalPlot:
    low, high = scale

    def place(number: float) -> float:
        return round(100.0 * (number - low) / (high - low), 2)

    def places(interval: Sequence[float] | None) -> tuple[float, float] | None:
        return None if interval is None else (place(interval[0]), place(interval[1]))

    return IntervalPlot(place(value), places(always_valid), places(fixed), None if zero is None else place(zero))


def _scale_of(estimates: Iterator[Json], *, include: Sequence[float]) -> tuple[float, float]:
    """From where to where the plots of some estimates reach, with a little room on both sides."""
    numbers = list(include)
    for estimate in estimates:
        if estimate["value"] is not None:
            numbers += [estimate["value"], *(estimate["always_valid"] or ()), *(estimate["fixed"] or ())]
    low, high = (min(numbers), max(numbers)) if numbers else (0.0, 1.0)
    room = 0.04 * (high - low) or 1.0
    return low - room, high + room


def _forecast(comparison: Json, unit: Unit) -> Iterator[str]:
    """How long it takes until an effect would show, and the least that would today."""
    forecast = comparison["forecast"]
    days, users = forecast["days"], forecast["users"]
    subject = f"{comparison['variant']} against {comparison['baseline']}"
    if days is None:
        yield f"{subject}: when it is decided is not known: {forecast['reason']}."
    else:
        effect = _size(forecast["effect"], unit)
        needed = f", which takes {users:,} users whose horizon is over" if users is not None else ""
        yield f"{subject}: {_days(days)} until an effect of {effect} has a chance of 80 % to show{needed}."
    if forecast["detectable"] is not None:
        least = _size(forecast["detectable"], unit)
        yield f"{subject}: with the users of today a difference of {least} or more has that chance."
    if comparison["variance_removed"] is not None:
        removed = f"{comparison['variance_removed']:.0%}".replace("%", " %")
        yield f"{subject}: what users did before the start explains {removed} of the variance."


def _size(effect: float, unit: Unit) -> str:
    """How large an effect is, in whichever direction, with two significant digits."""
    size = abs(effect)
    return replace(unit, has_sign=False).write(size, unit.digits_of((0.0, 2.0 * size)))


def _days(days: float) -> str:
    if days <= 0.0:
        return "no more days"
    if days > _LONGEST_DAYS:
        return "more than a year"
    number = ceil(days)
    return f"about {number} more {'day' if number == 1 else 'days'}"
