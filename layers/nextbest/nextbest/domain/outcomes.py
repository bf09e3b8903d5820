"""Outcomes: which events count for an experiment, and what each is worth."""

from __future__ import annotations

from nextbest.domain.programs import Program


def outcome_value(program: Program, event_type: str, event_value: float | None, action_value: float | None) -> float:
    """What an event is worth as an outcome; 0 where it is none.

    Outcomes are the events of the goal where the program has one, else those of every type that may be recommended. The
    value is the first that is known: that of the event itself, that of its action, that of the goal. Without any it is
    1. An event that says it is worth nothing is no outcome.
    """
    goal = {entry.event_type: entry.value for entry in program.goal}
    if event_type not in goal and (goal or event_type in program.never_recommended):
        return 0.0
    if event_value is not None:
        return event_value
    if action_value is not None:
        return action_value
    return goal.get(event_type, 1.0)
