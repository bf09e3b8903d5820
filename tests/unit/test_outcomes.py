"""What events are worth as outcomes."""

from __future__ import annotations

import pytest

from nextbest.domain.assets import Asset, FieldValue
from nextbest.domain.outcomes import action_value_of, outcome_value
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
    assert outcome_value(NO_GOAL, "return", None, 7.0) == 0.0


def test_a_value_below_zero_takes_back() -> None:
    assert outcome_value(GOAL, "order", -20.0, 7.0) == -20.0


@pytest.mark.parametrize("value", [1e300, 10**400, 2e15])
def test_values_beyond_the_bounds_of_events_count_as_these(value: float) -> None:
    assert outcome_value(GOAL, "order", value, None) == 1e15
    assert outcome_value(GOAL, "order", None, -value) == -1e15


@pytest.mark.parametrize(
    ("fields", "expected"), [({}, None), ({"VALUE": 7}, 7.0), ({"VALUE": 2.5}, 2.5), ({"VALUE": "high"}, None)]
)
def test_the_value_of_an_action_is_a_field_of_its_asset(fields: dict[str, FieldValue], expected: float | None) -> None:
    assert action_value_of(Asset("club", fields=fields)) == expected
