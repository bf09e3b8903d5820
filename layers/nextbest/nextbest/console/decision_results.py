"""What a report of decisions says: growth weights against what came true, and a model that never served."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nextbest.console.estimates import EstimateRow, Json, Unit, estimate_rows

_SHARE = Unit(100.0, " %")
_ESTIMATORS = {
    "logged": "What was drawn",
    "snips": "The model, SNIPS",
    "doubly_robust": "The model, doubly robust",
}


@dataclass(frozen=True, slots=True)
class AgreementRow:
    """Some recommendations: how many were expected to come true, how many did, and the one divided by the other."""

    recommendations: int
    users: int
    expected: float
    observed: int
    ratio: EstimateRow


@dataclass(frozen=True, slots=True)
class WeekResult:
    """The recommendations of a week from ``monday`` on (seconds since 1970); ``sizes`` are those by growth weight."""

    monday: float
    agreement: AgreementRow
    sizes: Sequence[tuple[str, AgreementRow]]


def weeks_of(report: Json) -> list[WeekResult]:
    """The weeks of a report, the newest first."""
    weeks = list(reversed(report["weeks"]))
    return [
        WeekResult(week["monday"], agreement, _sizes(week["bins"]))
        for week, agreement in zip(weeks, _agreements(weeks), strict=True)
    ]


def _sizes(bins: Sequence[Json]) -> list[tuple[str, AgreementRow]]:
    names = [f"{each['low']:.3g} to {each['high']:.3g}" for each in bins]
    return list(zip(names, _agreements(bins), strict=True))


def candidate_rows(candidate: Json) -> list[EstimateRow]:
    """What share of choices came true, and would have with the candidate."""
    value = candidate["value"]
    if value is None:
        return []
    return estimate_rows([(name, value[key]) for key, name in _ESTIMATORS.items()], _SHARE, zero=None)


def _agreements(entries: Sequence[Json]) -> list[AgreementRow]:
    """A row for each entry, with ratios on one scale."""
    estimates: list[tuple[str, Json]] = [
        (
            "came true, divided by expected",
            {"value": each["ratio"], "always_valid": None, "fixed": each["interval"], "reason": each["reason"]},
        )
        for each in entries
    ]
    ratios = estimate_rows(estimates, Unit(), zero=1.0)
    return [
        AgreementRow(each["recommendations"], each["users"], each["expected"], each["observed"], ratio)
        for each, ratio in zip(entries, ratios, strict=True)
    ]
