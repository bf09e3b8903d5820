"""What a model's report says, in words and in shapes that people are shown. Reports of before lack some of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nextbest.domain.events import DAY_SECONDS

LARGEST_ERROR = 1.0 / 3.0
"""Weights further off than this share of what was expected are worth a warning."""
_STANDARD_ERRORS = 3.0
"""What may be chance is not drift."""
MODES = ("repeats", "discoveries")

CLASSIC_METHODS = {
    "most_popular": "the most popular list",
    "popular_lately": "what was popular lately",
    "done_most_often": "what each user did most often",
    "done_last": "what each user did last",
    "similar_actions": "similar actions (nearest neighbours)",
}
PARTS = {
    "prior": "how popular each action is now",
    "personal": "what the user did themselves",
    "ease": "what is done together",
    "transitions": "what comes next",
    "neighbours": "similar actions",
    "same_asset": "what an event leads to with the same asset",
}


@dataclass(frozen=True, slots=True)
class MethodComparison:
    """How well a classic method ranks, and the gain of the model's lists over it: 0.2 is a fifth better.

    ``gain`` is None where the method ranks nothing right.
    """

    method: str
    ndcg: float
    gain: float | None


@dataclass(frozen=True, slots=True)
class PartSetting:
    """One setting of a part, and its weight in the score."""

    name: str
    weight: float


@dataclass(frozen=True, slots=True)
class PartWorth:
    """A part of the score in words, its settings, and what ranking without it would lose; None where not known."""

    part: str
    settings: Sequence[PartSetting]
    loss: float | None


@dataclass(frozen=True, slots=True)
class CalibrationPoint:
    """Growth weights of about one size, what share of them came true, and how many there were."""

    predicted: float
    observed: float
    pairs: int


@dataclass(frozen=True, slots=True)
class ModeQuality:
    """How well lists with repeats, or of discoveries alone, did on what the model had not seen.

    ``ndcg`` is None where nobody came back to judge by; ``days`` is how long the held-out window is.
    """

    mode: str
    ndcg: float | None
    users: int
    days: float
    comparisons: Sequence[MethodComparison]
    parts: Sequence[PartWorth]
    calibration: Sequence[CalibrationPoint]
    calibration_error: float | None
    measures: Mapping[str, float]

    @property
    def summary(self) -> str:
        """The quality in one sentence; empty where it is not known."""
        known = {comparison.method: comparison.gain for comparison in self.comparisons if comparison.gain is not None}
        popular = known.pop(CLASSIC_METHODS["most_popular"], None)
        if popular is None:
            return ""
        text = f"Its lists rank {better(popular)} than {CLASSIC_METHODS['most_popular']}"
        if known:
            method, gain = min(known.items(), key=lambda entry: entry[1])
            text += f", and {better(gain)} than the best other classic method, {method}"
        return f"{text}."


@dataclass(frozen=True, slots=True)
class DailyEvents:
    """Events a UTC day. ``columns`` are names of event types; a row is when the day begins (seconds since 1970) and a
    count for each."""

    columns: Sequence[str]
    rows: Sequence[tuple[int, ...]]


def quality_of(report: Mapping[str, Any], mode: str) -> ModeQuality:
    """What a report says of one mode."""
    entry: Mapping[str, Any] = report.get("modes", {}).get(mode, {})
    ndcg = entry.get("held_out", {}).get("ndcg_at_10")
    classics: Mapping[str, float] = entry.get("classic_ndcg_at_10", {})
    calibration = entry.get("calibration", {})
    return ModeQuality(
        mode=mode,
        ndcg=ndcg,
        users=entry.get("judged_users", 0),
        days=report.get("tuning_window_days", 0.0),
        comparisons=[
            MethodComparison(
                CLASSIC_METHODS[name], classics[name], ndcg / classics[name] - 1 if classics[name] else None
            )
            for name in CLASSIC_METHODS
            if ndcg is not None and name in classics
        ],
        parts=_parts(entry),
        calibration=[
            CalibrationPoint(row["predicted"], row["observed"], row["pairs"]) for row in calibration.get("table", ())
        ],
        calibration_error=calibration.get("expected_calibration_error"),
        measures=entry.get("held_out", {}),
    )


def _parts(entry: Mapping[str, Any]) -> list[PartWorth]:
    """The parts of a mode, the settings of one learner together: each alone can stand in for the others."""
    value, without = entry.get("ndcg_at_10", 0.0), entry.get("ndcg_without", {})
    by_name: dict[str, list[Mapping[str, Any]]] = {}
    for part in entry.get("parts", ()):
        by_name.setdefault(part["part"], []).append(part)
    return [
        PartWorth(
            PARTS.get(name, name) + (", and when it is due" if any(part.get("timed") for part in parts) else ""),
            [PartSetting(part["setting"], part["weight"]) for part in parts],
            1 - without[name] / value if value and name in without else None,
        )
        for name, parts in by_name.items()
    ]


def daily_events(report: Mapping[str, Any]) -> DailyEvents | None:
    """The events of the last days before the training; None where the report does not have them."""
    counted = report.get("events_a_day")
    if not counted:
        return None
    counts: dict[str, Sequence[int]] = dict(counted["event_types"])
    columns = [*counts, *(["all others"] if "others" in counted else [])]
    series = [*counts.values(), *([counted["others"]] if "others" in counted else [])]
    first_day = counted["first_day"]
    rows = [(first_day + day * int(DAY_SECONDS), *values) for day, values in enumerate(zip(*series, strict=True))]
    return DailyEvents(columns, rows)


@dataclass(frozen=True, slots=True)
class Drift:
    """What the model before was expected to see taken of its recommendations, and what was; ``is_large`` beyond what
    chance explains."""

    mode: str
    recommendations: float
    expected: float
    observed: float
    is_large: bool


def drift_of(report: Mapping[str, Any]) -> list[Drift]:
    """What a report says of the model before; empty where there was none, or no time had passed."""
    return [
        Drift(mode, counts["recommendations"], counts["expected"], counts["observed"], has_drifted(counts))
        for mode, counts in report.get("drift", {}).items()
    ]


def better(gain: float, equal: str = "no better") -> str:
    """A gain in words: ``12 % better``; of less than half a per cent ``equal``."""
    points = round(abs(gain) * 100)
    if not points:
        return equal
    return f"{points:,} % {'better' if gain > 0 else 'worse'}"


def has_drifted(counts: Mapping[str, float]) -> bool:
    """Whether what came true is further from what was expected than a third of it, and than chance explains."""
    expected, observed = counts["expected"], counts["observed"]
    chance = _STANDARD_ERRORS * math.sqrt(max(expected, observed, 1.0))
    return abs(observed - expected) > max(LARGEST_ERROR * expected, chance)


def describe_drift(drift: Mapping[str, Mapping[str, float]]) -> str:
    """The modes that have drifted in words, for people; empty where none has."""
    return "; ".join(
        f"growth weights of {mode} were {counts['expected'] / counts['recommendations']:.3f} on average since the last "
        f"rebase, and {counts['observed'] / counts['recommendations']:.3f} came true"
        for mode, counts in drift.items()
        if has_drifted(counts)
    )
