"""Results as bodies: the contract's shapes, which are also the ones that the OpenAPI document promises."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from nextbest.actionhub import answer_schemas, responses
from nextbest.actionhub.inputs import LabelWeight
from nextbest.domain.actions import Action, Recommendation
from nextbest.domain.assets import Asset
from nextbest.domain.events import Event
from nextbest.domain.programs import Program
from nextbest.scoring import Contribution, Explanation

LATTE = Asset("latte", "Caffè latte", ("milk",))
ORDER = Recommendation("order", "latte", growth_weight=0.75, base_weight=1.5, score=2.0)
REVIEW = Recommendation("review", "mocha", growth_weight=0.25, base_weight=0.0, score=1.0)
NAMES = {"latte": "Caffè latte"}
EXPLANATION = Explanation(Action("order", "latte"), 2.0, 0.5, (Contribution(Action("order", "tea"), 0.25, 1.25),), 0.25)
SEGMENT = responses.Segment("growth", "labels", "milk", "order", "order milk", 2, 0.75, 0.5)


def name_of(asset_id: str) -> str:
    return NAMES.get(asset_id, asset_id)


def test_given_recommendations_when_answered_then_all_five_fields_are_there_in_order() -> None:
    assert responses.user_actions([ORDER, REVIEW], name_of) == {
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


def test_given_explanations_when_answered_then_each_action_has_its_own_or_null() -> None:
    order, review = responses.user_actions([ORDER, REVIEW], name_of, [EXPLANATION])["actions"]
    assert order["explanation"] == {
        "score": 2.0,
        "prior_share": 0.5,
        "contributions": [{"event_type": "order", "asset_id": "tea", "base_weight": 0.25, "share": 1.25}],
        "other_share": 0.25,
    }
    assert review["explanation"] is None


def test_given_label_weights_when_answered_then_the_highest_is_first_and_ties_go_by_label() -> None:
    body = responses.user_labels({"a": 0.5, "c": 2.0, "b": 2.0})
    assert list(body["labels"].items()) == [("b", 2.0), ("c", 2.0), ("a", 0.5)]


def test_given_a_history_when_answered_then_the_latest_event_is_first_with_what_is_known_of_its_asset() -> None:
    events = [
        Event("ann", 1_000_000, "order", "latte", labels=("am",)),
        Event("ann", 1_500_000, "order", "tea"),
    ]
    assert responses.user_history(events, {"latte": LATTE}) == {
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
def test_given_any_time_when_written_then_it_is_iso_8601_to_the_microsecond(microseconds: int, text: str) -> None:
    assert responses.timestamp(microseconds) == text


def test_given_members_when_answered_then_there_is_one_user_a_line() -> None:
    assert responses.segment_members(["ann", "bö"]) == "ann\nbö\n".encode()
    assert responses.segment_members([]) == b""


def page(items: list[dict[str, Any]]) -> dict[str, Any]:
    return responses.page(items, total=1, page=1, size=50)


@pytest.mark.parametrize(
    ("schema", "body"),
    [
        (answer_schemas.UserNextActionList, responses.user_actions([ORDER, REVIEW], name_of)),
        (answer_schemas.UserNextActionList, responses.user_actions([ORDER, REVIEW], name_of, [EXPLANATION])),
        (answer_schemas.UserLabelWeights, responses.user_labels({"a": 0.5})),
        (answer_schemas.UserHistory, responses.user_history([Event("ann", 1, "order", "latte")], {"latte": LATTE})),
        (answer_schemas.Result, responses.result("done")),
        (answer_schemas.AssetPage, page([responses.asset(LATTE)])),
        (answer_schemas.LabelPage, page([responses.label(LabelWeight("milk", 2))])),
        (answer_schemas.ProgramList, responses.programs([Program("cafe")])),
        (answer_schemas.Program, responses.program(Program("cafe"))),
        (answer_schemas.ProgramKey, responses.program_key(api_key="k", program_id="cafe")),
        (
            answer_schemas.ProgramStatus,
            responses.program_status(program_id="cafe", status_id="x", message="y", logged_us=1_500_000),
        ),
        (answer_schemas.SegmentPage, page([responses.segment(SEGMENT)])),
    ],
)
def test_given_an_answer_when_compared_with_its_schema_then_fields_and_types_are_the_documents(
    schema: type[BaseModel], body: dict[str, Any]
) -> None:
    strict = schema.model_validate(body, extra="forbid")
    assert strict.model_dump(exclude_unset=True).keys() == body.keys()
    assert all(field in body for field, item in schema.model_fields.items() if item.is_required())
