"""A client's event id is one event's: the first that is stored, whoever sends at the same moment or is interrupted."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nextbest.aws.table import Table
from nextbest.domain.access_keys import SCOPES, issue_key
from nextbest.domain.events import Event
from nextbest.errors import InvalidInput
from nextbest.logic.events import EventMessage, ingest
from nextbest.personalize.events.interactions import put_action_interactions, put_events
from nextbest.store.dynamo import DynamoStore
from tests.store.conftest import PROGRAM, create_table, dynamodb
from tests.store.test_forgetting import Interrupted, Watched, interrupt
from tests.store.test_rebasing import NOW

CLIENTS = 8
SECOND_US = 1_000_000
NOW_US = round(NOW) * SECOND_US
KEY, _ = issue_key("m" * 32, "NBKOPERATOR", programs=(), scopes=SCOPES)
ADA = Event("ada", NOW_US, "order", "tea", "id-1", ("morning",), "source")

Way = Callable[[DynamoStore, str, int], int]


def through_put_events(store: DynamoStore, user_id: str, at: int) -> int:
    row = {"eventType": "order", "itemId": "tea", "eventId": "id-1", "sentAt": at}
    body = {"trackingId": PROGRAM.program_id, "sessionId": "s", "userId": user_id, "eventList": [row]}
    return put_events(store, KEY, body, now=NOW).accepted


def through_put_action_interactions(store: DynamoStore, user_id: str, at: int) -> int:
    row = {"eventType": "Taken", "actionId": "tea", "eventId": "id-1", "timestamp": at, "userId": user_id}
    body = {"trackingId": PROGRAM.program_id, "actionInteractions": [{**row, "sessionId": "s"}]}
    return put_action_interactions(store, KEY, body, now=NOW).accepted


def through_the_queue(store: DynamoStore, user_id: str, at: int) -> int:
    event = Event(user_id, at * SECOND_US, "order", "tea", "id-1")
    message = EventMessage(PROGRAM.program_id, (event,), sent_us=NOW_US)
    return ingest(store, EventMessage.from_json(message.to_json(), now=NOW)).accepted


def through_a_back_fill(store: DynamoStore, user_id: str, at: int) -> int:
    event = Event(user_id, at * SECOND_US, "order", "tea", "id-1")
    return store.append(PROGRAM, [event], refresh_histories=False).accepted


def log_of(store: DynamoStore, user_id: str = "ada") -> list[Event]:
    return list(store.events_of(PROGRAM.incarnation, user_id))


def times_in_history(store: DynamoStore, user_id: str = "ada") -> list[int]:
    history = store.read_user(PROGRAM.incarnation, user_id, with_state=False).history
    return history.timestamps_us.tolist() if history is not None else []


@pytest.fixture(scope="module")
def shared_table(start_engine: Callable[[str], str]) -> Table:
    table = create_table(dynamodb(start_engine("dynoxide")), f"test-{uuid.uuid4().hex}")
    DynamoStore(table).create_program(PROGRAM)
    return table


@pytest.mark.parametrize(
    "way", [through_put_events, through_put_action_interactions, through_the_queue, through_a_back_fill]
)
def test_clients_at_once_store_an_event_id_once(shared_table: Table, way: Way) -> None:
    store = DynamoStore(shared_table)
    with ThreadPoolExecutor(CLIENTS) as pool:
        for _ in range(5):
            user_id = uuid.uuid4().hex
            accepted = list(pool.map(partial(way, store, user_id), range(int(NOW) - CLIENTS, int(NOW))))
            (event,) = log_of(store, user_id)
            assert sum(accepted) == 1
            assert times_in_history(store, user_id) == ([] if way is through_a_back_fill else [event.timestamp_us])


def test_the_first_event_with_an_id_counts(store: DynamoStore) -> None:
    others = [replace(ADA, timestamp_us=NOW_US + 1), replace(ADA, asset_id="cake"), replace(ADA, event_type="view")]
    assert store.append(PROGRAM, [ADA, others[0]]).accepted == 1
    assert store.append(PROGRAM, others).duplicates == 3
    assert log_of(store) == [ADA]
    assert times_in_history(store) == [NOW_US]
    # And an id is its user's
    assert store.append(PROGRAM, [replace(others[0], user_id="bob")]).accepted == 1


def test_an_id_of_a_removed_event_is_free(store: DynamoStore, table: Table) -> None:
    later = replace(ADA, timestamp_us=NOW_US + 1)
    store.append(PROGRAM, [ADA])
    assert store.remove_events(PROGRAM, lambda event: event.source == "source") == 1
    assert store.append(PROGRAM, [later]).accepted == 1
    store.forget_events(PROGRAM, "ada", [later])
    assert store.append(PROGRAM, [ADA]).accepted == 1
    assert log_of(store) == [ADA]
    store.erase_user(PROGRAM.incarnation, "ada", now=NOW)
    assert "#U#ada" not in str(table.client.scan(TableName=table.name)["Items"])


def test_a_call_that_is_refused_takes_no_id(store: DynamoStore) -> None:
    too_long = Event("ada", NOW_US, "order", "x" * 1024)
    with pytest.raises(InvalidInput):
        store.append(PROGRAM, [ADA, too_long])
    later = replace(ADA, timestamp_us=NOW_US + 1)
    assert store.append(PROGRAM, [later]).accepted == 1
    assert log_of(store) == [later]


def test_an_event_id_costs_one_write_more(shared_table: Table) -> None:
    def units(event: Event) -> float:
        """What an event that is not the user's first takes."""
        consumed: list[float] = []

        def request_units(params: dict[str, Any], **_: object) -> None:
            params["ReturnConsumedCapacity"] = "TOTAL"

        def add_units(parsed: dict[str, Any], **_: object) -> None:
            capacity = parsed.get("ConsumedCapacity", [])
            for entry in capacity if isinstance(capacity, list) else [capacity]:
                consumed.append(entry["CapacityUnits"])

        hooks = shared_table.client.meta.events
        hooks.register("provide-client-params.dynamodb", request_units)
        hooks.register("after-call.dynamodb", add_units)
        try:
            DynamoStore(shared_table).append(PROGRAM, [event])
        finally:
            hooks.unregister("provide-client-params.dynamodb", request_units)
            hooks.unregister("after-call.dynamodb", add_units)
        return sum(consumed)

    user_id = uuid.uuid4().hex
    plain = Event(user_id, NOW_US, "order", "tea")
    assert units(replace(plain, event_id="id-1")) == units(plain) + 1 == 3


POSTS = st.lists(
    st.tuples(
        st.lists(
            st.tuples(st.integers(0, 4), st.sampled_from(("tea", "cake")), st.sampled_from(("", "a", "b", "c"))),
            min_size=1,
            max_size=4,
        ),
        st.integers(0, 5),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(posts=POSTS)
def test_whoever_is_interrupted_every_id_is_stored_once(
    shared_table: Table, posts: Sequence[tuple[Sequence[tuple[int, str, str]], int]]
) -> None:
    store, user_id = DynamoStore(shared_table), uuid.uuid4().hex
    sent: list[Event] = []
    promised: dict[str, Event] = {}
    for drawn, calls_left in posts:
        events = [Event(user_id, NOW_US + second, "order", asset_id, name) for second, asset_id, name in drawn]
        sent += events
        try:
            DynamoStore(Watched(shared_table, interrupt, calls_left=calls_left)).append(PROGRAM, events)
        except Interrupted:
            continue
        # Whoever was answered is in the log, or another event with the same id is, and stays
        logged = log_of(store, user_id)
        for event in events:
            same = [
                other
                for other in logged
                if (other == event if not event.event_id else other.event_id == event.event_id)
            ]
            assert len(same) == 1
            assert promised.setdefault(event.event_id or str(event), same[0]) == same[0]
    # When all try again, as clients do
    for event in reversed(sent):
        store.append(PROGRAM, [event])
    logged = log_of(store, user_id)
    assert {event.event_id for event in logged} == {event.event_id for event in sent}
    assert {event for event in logged if not event.event_id} == {event for event in sent if not event.event_id}
    named = [event.event_id for event in logged if event.event_id]
    assert len(named) == len(set(named))
    assert set(logged) <= set(sent)
    assert set(promised.values()) <= set(logged)
    assert sorted(times_in_history(store, user_id)) == sorted(event.timestamp_us for event in logged)
