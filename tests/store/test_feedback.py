"""Feedback: what clients say of the answer that led to an event is kept, returned, and deleted with the user."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from nextbest.actionhub.parsing import parse_event_list
from nextbest.aws.table import Table
from nextbest.domain.access_keys import SCOPES, issue_key
from nextbest.errors import InvalidInput
from nextbest.logic.events import EventMessage, ingest
from nextbest.personalize.events.interactions import put_action_interactions, put_events
from nextbest.store.dynamo import DynamoStore
from tests.factories import MemoryArtifacts
from tests.store.conftest import PROGRAM
from tests.store.test_actionhub_calls import NOW, Caller
from tests.store.test_forgetting import everything

KEY, _ = issue_key("m" * 32, "NBKOPERATOR", programs=(), scopes=SCOPES)
RECOMMENDATION_ID = "RID-8e6a3d0e-52b4-5cf1-9d0a-2f2f0f7d4a11"


@pytest.fixture
def call(store: DynamoStore, table: Table) -> Caller:
    return Caller(store, table, random=Random(7))


def events_of(call: Caller, kind: str) -> Any:
    """What is said of the one event of ada: by her history, or by the export."""
    status, body = call("GET", f"/users/ada/{kind}")
    assert status == 200, body
    (event,) = body["history" if kind == "events" else kind.replace("export", "events")]
    return event


def put_an_action_interaction(store: DynamoStore) -> None:
    row = {"actionId": "club", "userId": "ada", "sessionId": "s", "timestamp": NOW - 60, "eventType": "Taken"}
    feedback = {"recommendationId": RECOMMENDATION_ID, "impression": ["club", " app "]}
    body = {"trackingId": PROGRAM.program_id, "actionInteractions": [row | feedback]}
    put_action_interactions(store, KEY, body, now=NOW)


def put_an_event(store: DynamoStore) -> None:
    row = {"itemId": "film", "eventType": "watch", "sentAt": NOW - 60}
    feedback = {"recommendationId": RECOMMENDATION_ID, "impression": ["club", " app "], "eventValue": 1234.5678}
    body = {"trackingId": PROGRAM.program_id, "userId": "ada", "sessionId": "s", "eventList": [row | feedback]}
    put_events(store, KEY, body, now=NOW)


@pytest.mark.parametrize("put", [put_an_action_interaction, put_an_event])
@pytest.mark.parametrize("kind", ["events", "export"])
def test_an_impression_is_kept_and_returned(call: Caller, kind: str, put: Any) -> None:
    put(call.store)

    event = events_of(call, kind)

    assert (event["recommendation_id"], event["impression"]) == (RECOMMENDATION_ID, ["club", "app"])


@pytest.mark.parametrize("queued", [False, True], ids=["at once", "through the queue"])
def test_the_recommendation_of_an_actionhub_event_is_kept_and_returned(call: Caller, queued: bool) -> None:
    row = {"user_id": "ada", "event_timestamp": NOW - 60, "event_type": "order", "asset_id": "tea", "labels": []}
    events = parse_event_list({"events": [{**row, "recommendation_id": RECOMMENDATION_ID}]}, now=NOW)
    if queued:
        message = EventMessage(PROGRAM.program_id, events, incarnation=PROGRAM.incarnation)
        ingest(call.store, EventMessage.from_json(message.to_json(), now=NOW))
    else:
        call.store.append(PROGRAM, events)

    assert events_of(call, "events")["recommendation_id"] == RECOMMENDATION_ID
    assert events_of(call, "export")["recommendation_id"] == RECOMMENDATION_ID


@pytest.mark.parametrize("queued", [False, True], ids=["at once", "through the queue"])
def test_the_value_of_an_actionhub_event_is_kept_and_returned(call: Caller, queued: bool) -> None:
    row = {"user_id": "ada", "event_timestamp": NOW - 60, "event_type": "refund", "asset_id": "tea", "labels": []}
    events = parse_event_list({"events": [{**row, "value": -19.99}]}, now=NOW)
    if queued:
        message = EventMessage(PROGRAM.program_id, events, incarnation=PROGRAM.incarnation)
        ingest(call.store, EventMessage.from_json(message.to_json(), now=NOW))
    else:
        call.store.append(PROGRAM, events)

    assert events_of(call, "events")["event_value"] == -19.99
    assert events_of(call, "export")["event_value"] == -19.99


def test_an_event_keeps_the_value_that_it_was_stored_with(call: Caller) -> None:
    row = {"user_id": "ada", "event_timestamp": NOW - 60, "event_type": "order", "asset_id": "tea", "labels": []}
    for value, stored in ((2.5, (1, 0)), (9.0, (0, 1)), (None, (0, 1))):
        appended = call.store.append(PROGRAM, parse_event_list({"events": [{**row, "value": value}]}, now=NOW))
        assert (appended.accepted, appended.duplicates) == stored

    assert events_of(call, "export")["event_value"] == 2.5


def test_what_no_client_gave_is_not_in_an_event(call: Caller) -> None:
    row = {"user_id": "ada", "event_timestamp": NOW - 60, "event_type": "order", "asset_id": "tea", "labels": []}
    call.store.append(PROGRAM, parse_event_list({"events": [row]}, now=NOW))

    assert {"recommendation_id", "impression", "event_value"}.isdisjoint(events_of(call, "events"))
    assert {"impression", "event_value"}.isdisjoint(events_of(call, "export"))


def test_an_impression_goes_through_the_queue(call: Caller) -> None:
    put_an_event(call.store)
    (event,) = call.store.events_of(PROGRAM.incarnation, "ada")
    message = EventMessage(PROGRAM.program_id, (event,), incarnation=PROGRAM.incarnation)

    assert EventMessage.from_json(message.to_json(), now=NOW) == message


@pytest.mark.parametrize("impression", [["x"] * 26, ["a\nb"], [""], "club", [7], 7])
def test_a_message_with_an_impression_that_is_none_is_refused(impression: object) -> None:
    row = {"user_id": "ada", "timestamp_us": 1, "event_type": "order", "asset_id": "tea", "impression": impression}
    message = EventMessage.from_json(json.dumps({"program_id": "coffee", "events": [row]}), now=NOW)

    assert not message.events
    assert message.refused.keys() == {0}


@pytest.mark.parametrize("impression", [["a\nb"], [" "], ["x"] * 26, []])
def test_an_impression_that_is_none_is_refused_by_its_member(store: DynamoStore, impression: list[str]) -> None:
    row = {"itemId": "film", "eventType": "watch", "sentAt": NOW - 60, "impression": impression}
    body = {"trackingId": PROGRAM.program_id, "userId": "ada", "sessionId": "s", "eventList": [row]}
    with pytest.raises(InvalidInput) as refused:
        put_events(store, KEY, body, now=NOW)
    assert refused.value.field is not None
    assert refused.value.field.startswith("eventList.1.member.impression")


def test_feedback_goes_with_the_user(call: Caller, table: Table) -> None:
    put_an_event(call.store)
    feedback = (RECOMMENDATION_ID, "1234.5678", "club")
    assert all(text in everything(table, MemoryArtifacts()) for text in feedback)

    assert call("DELETE", "/users/ada")[0] == 200

    assert not any(text in everything(table, MemoryArtifacts()) for text in feedback)
