"""Results as bodies: the contract's shapes, which are also the ones that the OpenAPI document promises."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter

from nextbest.actionhub.actions import explanation_body, user_actions
from nextbest.actionhub.assets import AssetItem
from nextbest.actionhub.goal import add_goal
from nextbest.actionhub.hot_routes import UserNextActionList
from nextbest.actionhub.program_settings import ProgramDetails, ProgramSettings
from nextbest.actionhub.segments import SegmentItem
from nextbest.actionhub.users import UserHistory, UserHistoryEvent, time_of
from nextbest.domain.actions import Action, Recommendation
from nextbest.domain.assets import Asset
from nextbest.domain.catalogue import Catalogue
from nextbest.domain.events import DAY_US, LATEST_TIMESTAMP_US, Event
from nextbest.domain.history import History
from nextbest.domain.programs import EventTypeOrder, GoalEventType, ListCap, Program, RestRule
from nextbest.logic.reasons import Reasoner
from nextbest.logic.users import label_weights
from nextbest.scoring import Contribution, Explanation
from nextbest.scoring.explain import AverageComparison, Difference
from nextbest.scoring.goal_effects import Basis
from nextbest.scoring.goal_ranking import GoalImpact
from nextbest.store.base import ProgramState

LATTE = Asset("latte", "Caffè latte", ("milk",))
ORDER = Recommendation("order", "latte", growth_weight=0.75, base_weight=1.5, score=2.0)
REVIEW = Recommendation("review", "mocha", growth_weight=0.25, base_weight=0.0, score=1.0)
NAMES = {"latte": "Caffè latte"}
TEA = Action("order", "tea")
COMPARISON = AverageComparison(1.0, (Difference(TEA, 1.25, is_little=False),), -0.25, 0.75, 0.25)
EXPLANATION = Explanation(Action("order", "latte"), 2.0, 0.5, (Contribution(TEA, 0.25, 1.25),), 0.25, COMPARISON)
HISTORY = History.from_events([(*TEA, 0.0), (*TEA, 86_400.0)])


def explained() -> dict[Action, dict[str, Any]]:
    reasoner = Reasoner(HISTORY, name_of, now=3 * 86_400.0, trained=True)
    return {EXPLANATION.action: explanation_body(EXPLANATION, reasoner.of(EXPLANATION))}


def name_of(asset_id: str) -> str:
    return NAMES.get(asset_id, asset_id)


def test_recommendations_have_all_five_fields_in_order() -> None:
    assert user_actions([ORDER, REVIEW], name_of) == {
        "actions": [
            {
                "event_type": "order",
                "asset_id": "latte",
                "asset_name": "Caffè latte",
                "growth_weight": 0.75,
                "base_weight": 1.5,
            },
            {
                "event_type": "review",
                "asset_id": "mocha",
                "asset_name": "mocha",
                "growth_weight": 0.25,
                "base_weight": 0.0,
            },
        ]
    }


def test_each_action_has_its_own_explanation_or_null() -> None:
    order, review = user_actions([ORDER, REVIEW], name_of, explained())["actions"]
    assert order["explanation"] == {
        "sentence": "Likely because they ordered “tea” twice in the last 7 days.",
        "points": 50.0,
        "reasons": [
            {
                "event_type": "order",
                "asset_id": "tea",
                "asset_name": "tea",
                "points": 62.5,
                "score_difference": 1.25,
                "count": 2,
                "more": False,
                "days_since_last": 2.0,
            }
        ],
        "other_points": -12.5,
        "other_score_difference": -0.25,
        "average_score": 1.0,
        "average_growth_weight": 0.25,
        "score": 2.0,
        "prior_share": 0.5,
        "contributions": [{"event_type": "order", "asset_id": "tea", "base_weight": 0.25, "share": 1.25}],
        "other_share": 0.25,
    }
    assert review["explanation"] is None


def test_the_highest_label_weight_is_first_and_ties_go_by_label() -> None:
    events = [
        Event("ann", 0, "order", "x", labels=("b", "c")),
        Event("ann", 0, "order", "x", labels=("c", "b", "a")),
    ]
    weights = label_weights(ProgramState(Program("cafe")), Catalogue(), events, now=0.0)
    assert list(weights.items()) == [("b", 2.0), ("c", 2.0), ("a", 1.0)]


def test_each_event_of_a_history_has_what_is_known_of_its_asset() -> None:
    catalogue = Catalogue(1, {"latte": LATTE})
    events = [Event("ann", 1_500_000, "order", "tea"), Event("ann", 1_000_000, "order", "latte", labels=("am",))]
    history = UserHistory(history=[UserHistoryEvent.of(event, catalogue) for event in events])
    assert history.model_dump(mode="json") == {
        "history": [
            {
                "timestamp": "1970-01-01T00:00:01.500000Z",
                "event_type": "order",
                "asset_id": "tea",
                "asset_name": "tea",
                "event_labels": [],
                "asset_labels": [],
            },
            {
                "timestamp": "1970-01-01T00:00:01Z",
                "event_type": "order",
                "asset_id": "latte",
                "asset_name": "Caffè latte",
                "event_labels": ["am"],
                "asset_labels": ["milk"],
            },
        ]
    }


@pytest.mark.parametrize(
    ("microseconds", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1, "1970-01-01T00:00:00.000001Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
        (1_709_245_800_250_000, "2024-02-29T22:30:00.250000Z"),
        (253_402_300_799_999_999, "9999-12-31T23:59:59.999999Z"),
    ],
)
def test_any_time_is_iso_8601_to_the_microsecond(microseconds: int, text: str) -> None:
    assert TypeAdapter(datetime).dump_python(time_of(microseconds), mode="json") == text


@pytest.mark.parametrize("explanations", [None, explained()])
def test_fields_and_types_of_recommendations_are_the_documents(
    explanations: dict[Action, dict[str, Any]] | None,
) -> None:
    body = user_actions([ORDER, REVIEW], name_of, explanations)
    strict = UserNextActionList.model_validate(body, extra="forbid", strict=True)
    assert strict.model_dump(exclude_unset=True) == body


def test_members_about_the_goal_are_the_documents() -> None:
    body = user_actions([ORDER, REVIEW], name_of, explained())
    estimated = GoalImpact(3.0, 1.5, 4.5, 4.0, 3.75, 2.0, 6.0, 1.0, 90, Basis.ASSOCIATION, 14.0, 20.0)
    nothing = GoalImpact(0.0, None, None, None, 0.0, None, None, None, 3, Basis.TOO_FEW_USERS, 14.0, 20.0)

    add_goal(body["actions"], [estimated, nothing])

    strict = UserNextActionList.model_validate(body, extra="forbid", strict=True)
    assert strict.model_dump(exclude_unset=True) == body
    order, review = body["actions"]
    assert (order["goal_impact"], order["goal_impact_low"], order["goal_impact_high"]) == (3.0, 1.5, 4.5)
    assert order["goal_effect"] == {
        "effect": 4.0,
        "counted": 3.75,
        "low": 2.0,
        "high": 6.0,
        "standard_error": 1.0,
        "users": 90,
        "basis": "association",
        "note": "An association with the goal, not a cause, until an experiment has shown it.",
    }
    assert order["explanation"]["goal_sentence"].startswith(
        "Users who ordered “Caffè latte” reached the goal 20.0 percentage points more often within 14 days"
    )
    assert (review["goal_impact"], review["goal_effect"]["basis"]) == (0.0, "too_few_users")
    assert review["explanation"] is None


@pytest.mark.parametrize(
    ("model", "members"),
    [
        (AssetItem, ["asset_id", "asset_name", "labels"]),
        (
            ProgramSettings,
            [
                "program_id",
                "program_name",
                "high_engagement_threshold",
                "event_relevance_decay",
                "action_weight_floor",
                "description",
            ],
        ),
        (
            SegmentItem,
            [
                "segment_type",
                "segment_basis",
                "segment_basis_id",
                "action_type",
                "name",
                "user_count",
                "strength",
                "min_weight",
            ],
        ),
    ],
)
def test_the_members_of_an_entry_are_in_the_contracts_order(model: type[BaseModel], members: list[str]) -> None:
    assert list(model.model_fields) == members


def test_settings_beyond_the_contract_are_named_only_where_they_were_set() -> None:
    plain = ProgramDetails.of(Program("shop")).model_dump()
    assert list(plain) == list(ProgramSettings.model_fields)
    assert ProgramDetails.of(Program("shop", never_recommended=("return",))).model_dump() == {
        **plain,
        "never_recommended": ["return"],
    }
    order = (EventTypeOrder("upgrade", ("sign_up",)),)
    goal = (GoalEventType("upgrade", 20),)
    once = Program(
        "shop", done_once=("sign_up",), event_type_order=order, horizon_days=30, goal=goal, decision_share=0.5
    )
    assert ProgramDetails.of(once).model_dump() == {
        **plain,
        "horizon_days": 30,
        "done_once": ["sign_up"],
        "event_type_order": [{"event_type": "upgrade", "after": ["sign_up"]}],
        "goal": [{"event_type": "upgrade", "value": 20.0}],
        "decision_share": 0.5,
    }
    rules = (RestRule(("view",), 3, 7, 14), RestRule(("decline",), 1, 1, 30, ("order",)))
    rested = Program("shop", rest_rules=rules, most_per_list=(ListCap("order", 2), ListCap("invite", 1)))
    assert ProgramDetails.of(rested).model_dump() == {
        **plain,
        "rest_rules": [
            {"event_types": ["view"], "after": 3, "within_days": 7, "rest_days": 14},
            {
                "event_types": ["decline"],
                "after": 1,
                "within_days": 1,
                "rest_days": 30,
                "for_event_types": ["order"],
            },
        ],
        "most_per_list": {"invite": 1, "order": 2},
    }


def test_an_event_that_was_imported_from_far_ahead_weighs_as_one_of_tomorrow() -> None:
    tomorrow, last = (Event("ann", time_us, "order", "tea", labels=("x",)) for time_us in (DAY_US, LATEST_TIMESTAMP_US))
    state = ProgramState(Program("cafe", half_life_days=3))

    expected, actual = (label_weights(state, Catalogue(), [event], now=0.0) for event in (tomorrow, last))

    assert actual == expected
