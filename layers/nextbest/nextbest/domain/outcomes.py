"""Outcomes: which events count for an experiment, and what each is worth."""

from __future__ import annotations

from nextbest.domain.assets import VALUE, Asset
from nextbest.domain.events import MAX_EVENT_VALUE
from nextbest.domain.programs import Program


def outcome_value(program: Program, event_type: str, event_value: float | None, action_value: float | None) -> float:
    """What an event is worth as an outcome; 0 where it is none.

    Outcomes are the events of the goal where the program has one, else those of every type that may be recommended. The
    value is the first that is known: that of the event itself, that of its action, that of the goal. Without any it is
    1. An event that says it is worth nothing is no outcome; one below zero takes back. Values beyond
    ``MAX_EVENT_VALUE``, either side of zero, count as that.
    """
    goal = {entry.event_type: entry.value for entry in program.goal}
    if event_type not in goal and (goal or event_type in program.never_recommended):
        return 0.0
    own = event_value if event_value is not None else action_value
    if own is not None:
        return float(min(max(own, -MAX_EVENT_VALUE), MAX_EVENT_VALUE))
    return goal.get(event_type, 1.0)


def action_value_of(asset: Asset) -> float | None:
    """What an action with the asset is worth: its field VALUE, where that is a number."""
    value = asset.fields.get(VALUE)
    return value if isinstance(value, int | float) else None
