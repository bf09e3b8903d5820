"""PutEvents: what stands in the event, and what its properties hold in place of it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from nextbest.domain.access_keys import ADMIN, AccessKey
from nextbest.domain.events import Event
from nextbest.errors import InvalidInput
from nextbest.personalize.datasets.schema import ACTION_INTERACTIONS, INTERACTIONS, DatasetSchema, SchemaField
from nextbest.personalize.datasets.tracking_ids import TRACKING_ID, tracker_resource
from nextbest.personalize.events.interactions import put_action_interactions, put_events
from nextbest.store.base import DEPLOYMENT
from nextbest.store.dynamo import DynamoStore
from tests.store.conftest import PROGRAM, create_table, dynamodb

NOW = 1_785_000_000.0
KEY = AccessKey("NBKSHOP", "", (PROGRAM.incarnation,), (ADMIN,))
TRACKER = "0a1b2c3d-tracker"


@pytest.fixture
def shop(start_engine: Callable[[str], str]) -> DynamoStore:
    """A program with an Interactions dataset whose schema has no EVENT_VALUE; the engine makes no difference here."""
    store = DynamoStore(create_table(dynamodb(start_engine("dynoxide")), f"test-{uuid.uuid4().hex}"))
    store.create_program(PROGRAM)
    names = ("USER_ID", "ITEM_ID", "EVENT_TYPE", "DEVICE")
    schema = DatasetSchema((*(SchemaField(name, "string") for name in names), SchemaField("TIMESTAMP", "long")))
    store.create_resource(DEPLOYMENT, TRACKING_ID, TRACKER, tracker_resource(PROGRAM, INTERACTIONS, schema))
    return store


def put(store: DynamoStore, *, properties: object = None, tracker: str = TRACKER, **members: Any) -> list[Event]:
    """Put one event; all events of the user then."""
    event = {"eventType": "click", "sentAt": NOW - 60, **members}
    if properties is not None:
        event["properties"] = json.dumps(properties)
    body = {"trackingId": tracker, "userId": "ada", "sessionId": "s", "eventList": [event]}
    put_events(store, KEY, body, now=NOW)
    return list(store.events_of(PROGRAM.incarnation, "ada"))


@pytest.mark.parametrize("tracker", [TRACKER, PROGRAM.program_id], ids=["with a schema", "without a schema"])
@pytest.mark.parametrize(
    ("members", "properties", "item_id", "value"),
    [
        ({"itemId": "sku-1", "eventValue": 2.5}, None, "sku-1", 2.5),
        ({}, {"itemId": "sku-1", "eventValue": 2.5}, "sku-1", 2.5),
        ({}, {"itemId": "sku-1", "eventValue": "2.50"}, "sku-1", 2.5),
        ({}, {"ITEM_ID": "sku-1", "EVENT_VALUE": 0}, "sku-1", 0.0),
        ({}, {"item_id": "sku-1", "device": "phone"}, "sku-1", None),
        ({"itemId": "sku-1"}, {"eventValue": 4}, "sku-1", 4.0),
        # Where both are given the member counts.
        ({"itemId": "sku-1", "eventValue": 1.0}, {"itemId": "sku-2", "eventValue": 2}, "sku-1", 1.0),
        ({"itemId": "sku-1"}, {"itemId": None, "eventValue": None}, "sku-1", None),
    ],
)
def test_item_and_value_count_from_where_clients_put_them(
    shop: DynamoStore, tracker: str, members: dict[str, Any], properties: object, item_id: str, value: float | None
) -> None:
    (event,) = put(shop, tracker=tracker, properties=properties, **members)

    assert (event.asset_id, event.event_value) == (item_id, value)


@pytest.mark.parametrize(
    ("properties", "problem"),
    [
        ({"itemId": "s" * 257}, r"at 'eventList\.1\.member\.properties\.itemId' failed to satisfy constraint"),
        ({"itemId": ""}, r"at 'eventList\.1\.member\.properties\.itemId' failed to satisfy constraint"),
        ({"itemId": ["sku-1"]}, r"'eventList\.1\.member\.properties': itemId must be a string"),
        ({"itemId": "sku-1", "eventValue": "dear"}, r"'eventList\.1\.member\.properties': eventValue must be of type"),
        ({"itemId": "sku-1", "eventValue": True}, r"'eventList\.1\.member\.properties': eventValue must be of type"),
        (
            {"itemId": "sku-1", "eventValue": 1e16},
            r"eventList\.1\.member\.properties\.eventValue must be a number from",
        ),
        ({"itemId": "sku-1", "colour": "red"}, "holds the key colour, which the dataset's schema does not have"),
    ],
)
def test_what_the_members_would_not_take_the_properties_do_not_either(
    shop: DynamoStore, properties: object, problem: str
) -> None:
    with pytest.raises(InvalidInput, match=problem):
        put(shop, properties=properties)

    assert list(shop.events_of(PROGRAM.incarnation, "ada")) == []


def take(store: DynamoStore, kind: str | None, properties: object) -> list[Event]:
    """Put one action interaction, where the dataset's schema has an EVENT_VALUE of a type, or is not there."""
    tracker = PROGRAM.program_id
    if kind is not None:
        names = ("USER_ID", "ACTION_ID", "EVENT_TYPE")
        fields = [SchemaField("EVENT_VALUE", kind, True)] if kind else []
        schema = DatasetSchema((*(SchemaField(name, "string") for name in names), *fields))
        tracker = "1b2c3d4e-tracker"
        store.create_resource(DEPLOYMENT, TRACKING_ID, tracker, tracker_resource(PROGRAM, ACTION_INTERACTIONS, schema))
    row = {"userId": "ada", "sessionId": "s", "actionId": "club", "timestamp": NOW - 60, "eventType": "Taken"}
    rows = [{**row, "properties": json.dumps(properties)}]
    put_action_interactions(store, KEY, {"trackingId": tracker, "actionInteractions": rows}, now=NOW)
    return list(store.events_of(PROGRAM.incarnation, "ada"))


@pytest.mark.parametrize(
    ("kind", "properties", "value"),
    [
        (None, {"eventValue": 2.5}, 2.5),
        (None, {"EVENT_VALUE": "-2.50"}, -2.5),
        ("double", {"eventValue": 2.5}, 2.5),
        ("long", {"eventValue": 2}, 2.0),
        ("double", {"eventValue": None}, None),
        ("string", {"eventValue": "high"}, None),
        ("", {}, None),
    ],
)
def test_the_value_of_an_action_interaction_counts_from_its_properties(
    shop: DynamoStore, kind: str | None, properties: object, value: float | None
) -> None:
    (event,) = take(shop, kind, properties)

    assert event.event_value == value


@pytest.mark.parametrize(
    ("kind", "properties", "problem"),
    [
        (
            None,
            {"eventValue": "high"},
            r"'actionInteractions\.1\.member\.properties': eventValue must be of type double",
        ),
        ("long", {"eventValue": 2.5}, r"'actionInteractions\.1\.member\.properties': eventValue must be of type long"),
        ("double", {"eventValue": -1e16}, r"properties\.eventValue must be a number from -1e\+15 to 1e\+15"),
        ("", {"eventValue": 2.5}, "holds the key eventValue, which the dataset's schema does not have"),
    ],
)
def test_a_value_of_an_action_interaction_that_is_none_is_refused(
    shop: DynamoStore, kind: str | None, properties: object, problem: str
) -> None:
    with pytest.raises(InvalidInput, match=problem):
        take(shop, kind, properties)

    assert list(shop.events_of(PROGRAM.incarnation, "ada")) == []
