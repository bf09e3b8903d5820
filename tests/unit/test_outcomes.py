"""What events are worth as outcomes."""

from __future__ import annotations

import pytest

from nextbest.domain.outcomes import outcome_value
from nextbest.domain.programs import GoalEventType, Program

GOAL = Program("shop", goal=(GoalEventType("order", 3.0), GoalEventType("visit", 0.5)), never_recommended=("return",))
NO_GOAL = Program("shop", never_recommended=("return",))


@pytest.mark.parametrize(
    ("program", "event_type", "event_value", "expected"),
    [
        (GOAL, "order", None, 3.0),
        (GOAL, "order", 20.0, 20.0),
        (GOAL, "visit", None, 0.5),
        (GOAL, "view", 20.0, 0.0),
        (GOAL, "return", None, 0.0),
        (GOAL, "order", 0.0, 0.0),
        (NO_GOAL, "view", None, 1.0),
        (NO_GOAL, "view", 2.5, 2.5),
        (NO_GOAL, "return", 2.5, 0.0),
    ],
)
def test_an_event_is_worth_what_it_says_or_what_the_goal_says(
    program: Program, event_type: str, event_value: float | None, expected: float
) -> None:
    assert outcome_value(program, event_type, event_value, None) == expected


def test_the_value_of_an_action_is_between_the_two() -> None:
    assert outcome_value(GOAL, "order", None, 7.0) == 7.0
    assert outcome_value(GOAL, "order", 20.0, 7.0) == 20.0
    assert outcome_value(GOAL, "view", None, 7.0) == 0.0
    assert outcome_value(NO_GOAL, "view", None, 7.0) == 7.0
