"""One user harms nobody: whatever is stored of one, all others are stored, read and learned from."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from mypy_boto3_dynamodb.literals import ReturnValueType

from nextbest.aws.backoff import Backoff
from nextbest.aws.table import Item, ItemKey, Table, Update
from nextbest.domain.events import MAX_ASSET_ID_CHARACTERS, MAX_EVENT_TYPE_CHARACTERS, MAX_LABEL_CHARACTERS, Event
from nextbest.domain.history import MAX_ENCODED_BYTES, History, HistoryEvent, pack_event
from nextbest.domain.rebase_status import COMPLETE
from nextbest.errors import CannotBeStored
from nextbest.logic import event_log
from nextbest.logic.events import EventMessage, ingest
from nextbest.logic.rebase import Rebase
from nextbest.store import keys
from nextbest.store.base import EventsRefused
from nextbest.store.dynamo import DynamoStore
from nextbest.store.histories import FOLD_AT
from nextbest.training import train
from tests.aws_limits import ITEM_BYTES
from tests.factories import MemoryArtifacts, columns_of_events, drink_events, ticking_clock
from tests.store.conftest import PROGRAM, create_table, dynamodb

OWNER = PROGRAM.incarnation
NOW = 1_750_000_000.0
START_US = 1_749_000_000_000_000
AT_ONCE = Backoff(sleep=lambda _: None, attempts=3)


class Engine(Table):
    """A table with the limit of DynamoDB for an item's size, which not every local engine has; no pauses.

    ``refused`` are users of whom no history can be written, and ``contended`` those with whom other writers are
    always faster.
    """

    def __init__(self, table: Table) -> None:
        super().__init__(table.client, table.name, backoff=AT_ONCE)
        self.refused: set[str] = set()
        self.full = 0

    def update(
        self,
        key: ItemKey,
        expression: str,
        values: Item,
        *,
        condition: str | None = None,
        returns: ReturnValueType = "NONE",
    ) -> Item:
        if key.sk == keys.HISTORY and keys.parse_user_pk(key.pk) in self.refused:
            raise CannotBeStored("injected")
        if expression.startswith("ADD tail_events"):
            members = (self.get(key) or {}).get("tail_events", {}).get("BS", [])
            if sum(map(len, {*members, *values[":events"]["BS"]})) > ITEM_BYTES:
                self.full += 1
                raise CannotBeStored("what would be stored has more than the 400 KB that one item may have")
        return super().update(key, expression, values, condition=condition, returns=returns)

    def update_all(self, updates: Sequence[Update]) -> None:
        if any(key.sk == keys.HISTORY and keys.parse_user_pk(key.pk) in self.refused for key, *_ in updates):
            raise CannotBeStored("injected")
        super().update_all(updates)


@pytest.fixture
def engine(table: Table) -> Engine:
    return Engine(table)


@pytest.fixture
def store(engine: Engine) -> DynamoStore:
    store = DynamoStore(engine)
    store.create_program(PROGRAM)
    return store


def name(draw: random.Random, characters: int) -> str:
    """A name that no compression makes short."""
    return "".join(draw.choices([chr(0x1F300 + number) for number in range(512)], k=characters))


def long_events(count: int, user_id: str = "ada", *, first: int = 0) -> list[Event]:
    """Events with names as long as they may be, all different."""
    draw = random.Random(first)
    return [
        Event(
            user_id,
            START_US + (first + n) * 1_000_000,
            name(draw, MAX_EVENT_TYPE_CHARACTERS),
            name(draw, MAX_ASSET_ID_CHARACTERS),
            labels=(name(draw, MAX_LABEL_CHARACTERS),),
        )
        for n in range(count)
    ]


def history_of(store: DynamoStore, user_id: str) -> History:
    history = store.read_user(OWNER, user_id).history
    assert history is not None
    return history


def put_in_tail(table: Table, events: Sequence[Event]) -> None:
    """As writers do that are killed, all of them, before they fold."""
    for start in range(0, len(events), 100):
        members = [pack_event(HistoryEvent.of(event)) for event in events[start : start + 100]]
        key = ItemKey(keys.user_pk(OWNER, events[0].user_id), keys.TAIL)
        Table.update(table, key, "ADD tail_events :events", {":events": {"BS": members}})


def test_a_tail_that_has_no_room_is_folded_first(store: DynamoStore, engine: Engine) -> None:
    # Given a user whose tail is as large as an item may be
    before = long_events(515)
    store.append(PROGRAM, before, refresh_histories=False)
    put_in_tail(engine, before)
    # When some events more are sent, and then many
    few, many = long_events(FOLD_AT - 1, first=1000), long_events(FOLD_AT + 1, first=2000)
    assert store.append(PROGRAM, few).accepted == len(few)
    assert engine.full == 1
    assert store.append(PROGRAM, many).accepted == len(many)
    # Then they are in the history, and the tail is short
    assert {event.timestamp_us for event in [*few, *many]} <= set(history_of(store, "ada").timestamps_us.tolist())
    tail = engine.get(ItemKey(keys.user_pk(OWNER, "ada"), keys.TAIL))
    assert tail is not None
    assert "tail_events" not in tail


def test_events_whose_history_is_contended_for_ever_are_stored_and_marked(
    store: DynamoStore, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a user whose tail is full, and whose snapshot others always replace first
    before = long_events(515)
    store.append(PROGRAM, before, refresh_histories=False)
    put_in_tail(engine, before)
    with monkeypatch.context() as contended:
        contended.setattr(store, "_replace_snapshot", lambda *_: False)
        # When events of this user and of another are sent
        stored = store.append(PROGRAM, [*long_events(9, first=1000), *long_events(5, "ben")])
    # Then all are stored, the other's history has them, and the next rebase knows what to do
    assert (stored.accepted, stored.histories_behind) == (14, 1)
    assert len(history_of(store, "ben").timestamps_us) == 5
    assert list(store.backfilled_users(OWNER)) == ["ada"]
    assert store.rebuild_histories(PROGRAM, store.backfilled_users(OWNER)) == []
    assert START_US + 1002 * 1_000_000 in history_of(store, "ada").timestamps_us
    assert list(store.backfilled_users(OWNER)) == []


def test_a_history_that_cannot_be_stored_stops_no_other(store: DynamoStore, engine: Engine) -> None:
    engine.refused = {"ada"}
    users = ["ann", "ada", *(f"user-{number}" for number in range(20))]
    events = [event for user_id in users for event in long_events(FOLD_AT, user_id)]

    assert store.append(PROGRAM, events).histories_behind == 1

    for user_id in users:
        assert len(list(store.events_of(OWNER, user_id))) == FOLD_AT
        if user_id != "ada":
            assert len(history_of(store, user_id).timestamps_us) == FOLD_AT


def test_an_event_that_cannot_be_stored_is_named_and_stops_no_other(
    start_engine: Callable[[str], str],
) -> None:
    """On an engine that has DynamoDB's limits for keys: a user id of 3,000 characters makes no key."""
    store = DynamoStore(create_table(dynamodb(start_engine("dynoxide")), f"test-{uuid.uuid4().hex}"))
    store.create_program(PROGRAM)
    impossible = Event("x" * 3000, START_US, "order", "tea", event_id="id")
    events = [event for number in range(60) for event in long_events(1, f"user-{number}")]
    events.insert(37, impossible)

    with pytest.raises(EventsRefused, match=r"event 37, counted from 0, .*other events are stored") as e:
        store.append(PROGRAM, events)

    assert e.value.reasons.keys() == {37}
    assert e.value.field == "events.37"
    for number in range(60):
        assert len(history_of(store, f"user-{number}").timestamps_us) == 1


def test_a_message_with_a_row_that_is_no_event_stores_the_others(store: DynamoStore) -> None:
    good = {"timestamp_us": START_US, "event_type": "order", "asset_id": "tea"}
    rows = [
        {**good, "user_id": "ada"},
        {**good, "user_id": "x" * 3000},
        {**good, "user_id": "ben", "asset_id": "x" * 2000},
        {**good, "user_id": "gone"},
        {**good, "user_id": "ben"},
        "no row",
    ]
    store.erase_user(OWNER, "gone", now=NOW)
    message = EventMessage.from_json(
        json.dumps({"program_id": PROGRAM.program_id, "incarnation": OWNER, "events": rows}), now=NOW
    )

    with pytest.raises(EventsRefused, match=r"event 1, counted from 0, .*256 characters; nor can 2 others") as refused:
        ingest(store, message)

    assert refused.value.reasons.keys() == {1, 2, 5}
    assert len(history_of(store, "ada").timestamps_us) == len(history_of(store, "ben").timestamps_us) == 1
    assert list(store.events_of(OWNER, "gone")) == []


def poison(table: Table, user_id: str, sk: str, **attributes: Any) -> None:
    table.put(ItemKey(keys.user_pk(OWNER, user_id), sk), attributes)


UNREADABLE: Mapping[str, dict[str, Any]] = {
    "E#no-time#order#tea": {},
    "E#short": {},
    "E#001749000000000000#a#b#c#d": {},
}


def test_a_rebase_sets_impossible_users_aside_and_says_so(store: DynamoStore, engine: Engine) -> None:
    # Given users as any, one with rows of the log that nobody can read, one whose history is damaged and cannot be
    # written, and one whose history is damaged
    artifacts = MemoryArtifacts()
    store.append(PROGRAM, drink_events(now=NOW))
    for sk, attributes in UNREADABLE.items():
        poison(engine, "user-1", sk, **attributes)
    poison(engine, "user-2", "E#001749000000000000#order#tea", body_json={"S": "{"})
    for user_id in ("user-3", "user-4"):
        damaged: Item = {":bad": {"B": b"\x01no history"}}
        engine.update(ItemKey(keys.user_pk(OWNER, user_id), keys.HISTORY), "SET packed = :bad", damaged)
    poison(engine, "user-5", keys.HISTORY, packed={"S": "no bytes"}, history_version={"N": "1"})
    engine.refused = {"user-3"}
    # When the program is rebased
    clock = ticking_clock(NOW)
    Rebase(store, artifacts, OWNER, clock=clock).run()
    # Then it finishes, and names them
    status = store.status(OWNER)
    assert status is not None
    assert status.status_id == COMPLETE
    assert "; set aside, as data cannot be read or stored: 2 users (user-1, user-3)" in status.message
    for user_id in ("user-1", "user-2", "user-4", "user-5"):
        logged = [event.timestamp_us for event in drink_events(now=NOW) if event.user_id == user_id]
        extra = {1_749_000_000_000_000} if user_id == "user-2" else set()
        assert set(history_of(store, user_id).timestamps_us.tolist()) == set(logged) | extra
    # And once their data are in order again it says nothing of them
    engine.refused = set()
    for user_id in ("user-1", "user-2"):
        assert store.erase_user(OWNER, user_id, now=NOW).events
        assert list(engine.query(keys.user_pk(OWNER, user_id))) == []
    Rebase(store, artifacts, OWNER, clock=clock).run()
    status = store.status(OWNER)
    assert status is not None
    assert "set aside" not in status.message


def test_a_user_with_ten_thousand_long_assets_harms_nobody(
    start_engine: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sent in batches of 1,000 by several writers at once, with other users' events among them.

    Learning of 10,000 actions takes minutes, and is not what is tested: the model is that of the other users.
    """
    others = drink_events(now=NOW)
    monkeypatch.setattr(event_log, "train", lambda _events, **settings: train(columns_of_events(others), **settings))
    store = DynamoStore(create_table(dynamodb(start_engine("dynoxide")), f"test-{uuid.uuid4().hex}"))
    store.create_program(PROGRAM)
    assets = [f"{random.Random(number).getrandbits(256):064x}" for number in range(10_000)]
    events = [Event("ada", START_US + n * 1_000_000, "view", asset_id) for n, asset_id in enumerate(assets)]
    batches = [[*events[1000 * n : 1000 * (n + 1)], *others[n::10]] for n in range(10)]
    with ThreadPoolExecutor(4) as pool:
        stored = list(pool.map(lambda batch: store.append(PROGRAM, batch), batches))
    assert sum(result.accepted for result in stored) == 10_000 + len(others)
    Rebase(store, MemoryArtifacts(), OWNER, clock=ticking_clock(NOW)).run()
    status = store.status(OWNER)
    assert status is not None
    assert status.status_id == COMPLETE
    assert "set aside" not in status.message
    history = history_of(store, "ada")
    assert history.timestamps_us[-1] == events[-1].timestamp_us
    assert len(history.encode(PROGRAM.half_life_days)) <= MAX_ENCODED_BYTES
    assert len(list(store.events_of(OWNER, "ada"))) == 10_000
