"""What the report of an experiment says, in words and as plots of intervals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import ceil

from nextbest.console.estimates import EstimateRow, Json, Unit, estimate_rows
from nextbest.domain.experiments import ExperimentPlan

_LONGEST_DAYS = 365
_TITLES = {"rate": "Share of users with an outcome", "value": "Value of the outcomes of a user"}


_UNITS = {"rate": Unit(100.0, " %"), "value": Unit()}
_DIFFERENCES = {"rate": Unit(100.0, " points", has_sign=True), "value": Unit(has_sign=True)}
_RATIO = Unit()


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
    means = estimate_rows([(each["name"], each["mean"]) for each in measure["variants"]], _UNITS[name], zero=None)
    variants = [
        VariantRow(each["name"], each["users"], each["reached"], mean)
        for each, mean in zip(measure["variants"], means, strict=True)
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
    estimates, headline = [], None
    for each in comparisons:
        name = f"{each['variant']} {between} {each['baseline']}"
        estimates.append((name, each["plain"][contrast]))
        if each["adjusted"] is not None:
            estimates.append((f"{name}, adjusted", each["adjusted"][contrast]))
        if is_headline and headline is None:
            headline = len(estimates) - 1
    return estimate_rows(estimates, unit, zero=zero, headline=headline)


def _forecast(comparison: Json, unit: Unit) -> Iterator[str]:
    """How long it takes until an effect would show, and the least that would today."""
    forecast = comparison["forecast"]
    days, users = forecast["days"], forecast["users"]
    subject = f"{comparison['variant']} against {comparison['baseline']}"
    if users is None:
        yield f"{subject}: how many users it takes is not known: {forecast['reason']}."
    else:
        takes = f"an effect of {_size(forecast['effect'], unit)} takes {users:,} users to show with a chance of 80 %"
        if days is None:
            yield f"{subject}: {takes}; when their horizon is over is not known: {forecast['reason']}."
        else:
            yield f"{subject}: {takes}; their horizon is over {_when(days)}."
    if forecast["detectable"] is not None:
        least = _size(forecast["detectable"], unit)
        yield f"{subject}: the users of today show a difference of {least} or more with that chance."
    removed = comparison["variance_removed"]
    if removed is not None:
        share = f"{100.0 * removed:.0f} %" if removed >= 0.01 else "less than 1 %"
        yield f"{subject}: what users did before the start explains {share} of the variance."


def _size(effect: float, unit: Unit) -> str:
    """How large an effect is, in whichever direction, with two significant digits."""
    size = abs(effect)
    return replace(unit, has_sign=False).write(size, unit.digits_of((0.0, 2.0 * size)))


def _when(days: float) -> str:
    if days <= 0.0:
        return "already"
    if days > _LONGEST_DAYS:
        return "in more than a year"
    number = ceil(days)
    return f"in about {number} {'day' if number == 1 else 'days'}"
