"""The form of an experiment: fields as people fill them in, and the members of an experiment that they mean."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nextbest.domain.experiments import ChallengerSettings, Experiment, ExperimentKind, HoldoutList, Measure
from nextbest.errors import InvalidInput

_HEADLINES: dict[str, Measure | None] = {"": None, "rate": "rate", "value": "value"}
_YES_OR_NO = {"": None, "true": True, "false": False}
_WHOLE = ""
"""The field of what is wrong with no field in particular."""


@dataclass(frozen=True, slots=True)
class ExperimentForm:
    """What the fields of a form hold, and what is wrong with each. Fields have the names of the API.

    Lists have a line for each event type. ``recommends_all`` is a box to tick, for an empty ``never_recommended``.
    """

    kind: ExperimentKind
    values: Mapping[str, str] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, experiment: Experiment) -> ExperimentForm:
        """The form that changes an experiment."""
        settings = experiment.challenger
        values = {
            "name": experiment.name,
            "share": str(experiment.share),
            "horizon_days": str(experiment.horizon_days),
            "headline": experiment.headline or "",
            "least_effect": _text(experiment.least_effect),
            "holdout_list": experiment.holdout_list.value,
            "model_version": settings.model_version or "",
            "exploration_weight": _text(settings.exploration_weight),
            "action_weight_floor": _text(settings.action_weight_floor),
            "event_types": "\n".join(settings.event_types or ()),
            "never_recommended": "\n".join(settings.never_recommended or ()),
            "recommends_all": "on" if settings.never_recommended == () else "",
            "allow_repeats": next(text for text, value in _YES_OR_NO.items() if value is settings.allow_repeats),
        }
        return cls(experiment.kind, values)

    def value(self, name: str) -> str:
        """What a field holds."""
        return self.values.get(name, "")

    def problem(self, name: str = _WHOLE) -> str:
        """What is wrong with a field, or with none in particular; empty where nothing is."""
        return self.problems.get(name, "")


def field_of(error: InvalidInput) -> str:
    """The field of the form that an error of the logic is about."""
    return (error.field or _WHOLE).removeprefix("challenger.")


def members_of(values: Mapping[str, str], *, horizon_days: int) -> tuple[dict[str, Any], dict[str, str]]:
    """The members that the fields of a form mean, and what cannot be read of them, by field.

    A field that is not there means no member. An empty ``horizon_days`` means that of the program, which is given.
    """
    problems: dict[str, str] = {}
    members: dict[str, Any] = {}
    if "name" in values:
        members["name"] = values["name"].strip()
    if values.get("experiment_id", "").strip():
        members["experiment_id"] = values["experiment_id"].strip()
    if "share" in values:
        members["share"] = _number(values, "share", problems)
        if members["share"] is None and "share" not in problems:
            problems["share"] = "Give the share of users, such as 0.1"
    if "horizon_days" in values:
        members["horizon_days"] = _days(values, horizon_days, problems)
    if "headline" in values:
        members["headline"] = _HEADLINES.get(values["headline"])
        if values["headline"] not in _HEADLINES:
            problems["headline"] = "Either rate, or value, or nothing"
    if "least_effect" in values:
        members["least_effect"] = _number(values, "least_effect", problems)
    if "holdout_list" in values:
        members["holdout_list"] = _holdout_list(values["holdout_list"], problems)
    if "model_version" in values:
        members["challenger"] = _settings(values, problems)
    return members, problems


def _days(values: Mapping[str, str], default: int, problems: dict[str, str]) -> int:
    text = values["horizon_days"].strip()
    if not text:
        return default
    if text.isascii() and text.isdigit() and len(text) < 9:
        return int(text)
    problems["horizon_days"] = "Give a whole number of days"
    return default


def _holdout_list(text: str, problems: dict[str, str]) -> HoldoutList:
    try:
        return HoldoutList(text)
    except ValueError:
        problems["holdout_list"] = f"One of {', '.join(HoldoutList)}"
        return HoldoutList.POPULAR


def _settings(values: Mapping[str, str], problems: dict[str, str]) -> ChallengerSettings:
    repeats = values.get("allow_repeats", "")
    if repeats not in _YES_OR_NO:
        problems["allow_repeats"] = "Either true, or false, or nothing"
    event_types, never = _lines(values.get("event_types", "")), _lines(values.get("never_recommended", ""))
    recommends_all = bool(values.get("recommends_all"))
    if never and recommends_all:
        problems["never_recommended"] = "Either event types, or the box below: not both"
    return ChallengerSettings(
        model_version=values.get("model_version", "").strip() or None,
        exploration_weight=_number(values, "exploration_weight", problems),
        action_weight_floor=_number(values, "action_weight_floor", problems),
        event_types=event_types or None,
        never_recommended=() if recommends_all else never or None,
        allow_repeats=_YES_OR_NO.get(repeats),
    )


def _number(values: Mapping[str, str], name: str, problems: dict[str, str]) -> float | None:
    """The number in a field; None where it is empty, or none."""
    text = values.get(name, "").strip()
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        problems[name] = "Give a number, with a point before decimals: 0.1"
        return None
    return number


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def _text(value: float | None) -> str:
    return "" if value is None else str(value)
