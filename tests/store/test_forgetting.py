"""Sessions of people who are not known yet: joined to their user, counted once, and forgotten with the user."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from nextbest.aws.table import Item, ItemKey, Table
from nextbest.domain.access_keys import SCOPES, issue_key
from nextbest.domain.events import Event
from nextbest.errors import NotFound
from nextbest.logic import users as rights
from nextbest.logic.events import EventMessage, ingest
from nextbest.personalize.datasets.sources import ANONYMOUS
from nextbest.personalize.events.interactions import put_events
from nextbest.personalize.events.sessions import join_session
from nextbest.store.dynamo import DynamoStore
from tests.factories import MemoryArtifacts, drink_events
from tests.store.conftest import PROGRAM, create_table, dynamodb
from tests.store.test_rebasing import NOW, rebase

ALICE, SESSION = "alice@example.org", "session-of-a-visitor"
KEY, _ = issue_key("m" * 32, "NBKOPERATOR", programs=(), scopes=SCOPES)

ids = count()


def put(store: DynamoStore, item: str, *, user: str | None = None, session: str = SESSION, at: float = NOW) -> int:
    """PutEvents with one event; how many were new."""
    body: dict[str, Any] = {
        "trackingId": PROGRAM.program_id,
        "sessionId": session,
        "eventList": [{"eventType": "click", "itemId": item, "sentAt": round(at)}],
    }
    if user is not None:
        body["userId"] = user
    return put_events(store, KEY, body, now=NOW).accepted


def delete(store: DynamoStore, user_id: str = ALICE, *, now: float = NOW) -> rights.Deletion:
    return rights.delete_user(store, MemoryArtifacts(), PROGRAM.incarnation, user_id, now=now)


def everything(table: Table, artifacts: MemoryArtifacts) -> str:
    """All that is stored anywhere, as text."""
    return f"{table.client.scan(TableName=table.name)['Items']} {artifacts.files}"


def logged(store: DynamoStore) -> list[tuple[str, str]]:
    """Users and assets of all events, sorted."""
    return sorted((user_id, asset_id) for user_id, _, _, asset_id in store.scan_events(PROGRAM.incarnation))


def items_in_history(store: DynamoStore, user_id: str) -> list[str]:
    history = store.read_user(PROGRAM.incarnation, user_id, with_state=False).history
    return sorted(history.actions[place].asset_id for place in history.action_index) if history is not None else []


class Interrupted(Exception):
    """The process ended."""


class Watched(Table):
    """A table where something happens before a write: the one after ``calls_left`` others."""

    def __init__(self, table: Table, happening: Callable[[], object], *, calls_left: int) -> None:
        super().__init__(table.client, table.name)
        self._happening, self._calls_left = happening, calls_left
        self.happened = False

    def _watch(self) -> None:
        if self._calls_left == 0 and not self.happened:
            self.happened = True
            self._happening()
        self._calls_left -= 1

    def put(self, key: ItemKey, attributes: Item, *, only_new: bool = False) -> None:
        self._watch()
        super().put(key, attributes, only_new=only_new)

    def insert_new(self, items: Sequence[tuple[ItemKey, Mapping[str, str]]]) -> list[bool]:
        self._watch()
        return super().insert_new(items)

    def update(self, key: ItemKey, expression: str, values: Item, **settings: Any) -> Item:
        self._watch()
        return super().update(key, expression, values, **settings)

    def delete(self, key: ItemKey, *, condition: str | None = None, values: Item | None = None) -> bool:
        self._watch()
        return super().delete(key, condition=condition, values=values)

    def delete_many(self, keys: Iterable[ItemKey]) -> int:
        self._watch()
        return super().delete_many(keys)


def interrupt() -> None:
    raise Interrupted


@pytest.fixture
def dynoxide_table(start_engine: Callable[[str], str]) -> Table:
    """One engine is enough where many interruptions are tried."""
    return create_table(dynamodb(start_engine("dynoxide")), f"test-{uuid.uuid4().hex}")


@pytest.fixture
def dynoxide_store(dynoxide_table: Table) -> DynamoStore:
    made = DynamoStore(dynoxide_table)
    made.create_program(PROGRAM)
    return made


CALLS = 14  # more than joining or deleting takes


def test_the_events_of_a_joined_session_count_once(store: DynamoStore) -> None:
    put(store, "before", at=NOW - 60)
    put(store, "after", user=ALICE)

    assert logged(store) == [(ALICE, "after"), (ALICE, "before")]
    assert items_in_history(store, ALICE) == ["after", "before"]
    assert items_in_history(store, SESSION) == []
    assert list(store.users(PROGRAM.incarnation)) == [ALICE]
    # And however often the client tries again
    put(store, "before", at=NOW - 60)
    put(store, "after", user=ALICE)
    assert logged(store) == [(ALICE, "after"), (ALICE, "before")]


def test_a_session_stays_with_the_first_user_it_names(store: DynamoStore) -> None:
    put(store, "before", at=NOW - 60)
    put(store, "after", user=ALICE)
    put(store, "between")
    put(store, "next", user="bob")
    assert logged(store) == [(ALICE, "after"), (ALICE, "before"), ("bob", "next"), (SESSION, "between")]
    # When the second user is deleted, then the session stays
    delete(store, "bob")
    assert logged(store) == [(ALICE, "after"), (ALICE, "before"), (SESSION, "between")]


def test_nothing_is_left_of_a_deleted_user_and_their_sessions(store: DynamoStore, table: Table) -> None:
    # Given a session before and after the user was known, another that was never joined, and segments of both
    artifacts = MemoryArtifacts()
    store.append(PROGRAM, drink_events(now=NOW))
    put(store, "once-before", at=NOW - 60)
    put(store, "once-known", user=ALICE)
    put(store, "once-logged-out", at=NOW - 30)
    put(store, "once-elsewhere", user=ALICE, session="session-2")
    put(store, "once-later", session="session-2")
    rebase(store, artifacts)
    traces = (ALICE, SESSION, "session-2", "once-")
    assert all(trace in everything(table, artifacts) for trace in traces)

    # When she is deleted
    deletion = rights.delete_user(store, artifacts, PROGRAM.incarnation, ALICE, now=NOW + 1)

    # Then neither her id nor anything that she did is anywhere, but for the types and assets of the model
    assert deletion.erased.sessions == {SESSION, "session-2"}
    left = everything(table, artifacts)
    assert not [trace for trace in (ALICE, SESSION, "session-2") if trace in left]
    assert "once-" not in str(table.client.scan(TableName=table.name)["Items"])
    assert {user_id for user_id, _ in logged(store)} == {f"user-{number}" for number in range(12)}


def test_a_deleted_user_s_session_begins_again_without_what_was_before(store: DynamoStore, table: Table) -> None:
    put(store, "before", at=NOW - 60)
    put(store, "known", user=ALICE, at=NOW - 50)
    delete(store, now=NOW - 20)

    # Then a late retry of what was before the deletion is joined to nobody, and what came after it is
    put(store, "before", at=NOW - 60)
    put(store, "again")
    assert ALICE not in everything(table, MemoryArtifacts())
    put(store, "back", user=ALICE)
    assert logged(store) == [(ALICE, "again"), (ALICE, "back"), (SESSION, "before")]
    assert items_in_history(store, ALICE) == ["again", "back"]
    # And the next deletion finds the session again
    delete(store, now=NOW + 1)
    assert logged(store) == []


def test_queued_events_of_a_deleted_user_s_session_do_not_come_back(store: DynamoStore) -> None:
    put(store, "before", at=NOW - 60)
    put(store, "known", user=ALICE)
    delete(store)
    queued = Event(SESSION, round((NOW - 59) * 1e6), "click", "queued", source=ANONYMOUS, session_id=SESSION)
    message = EventMessage(PROGRAM.program_id, (queued,), sent_us=round((NOW - 1) * 1e6))
    assert ingest(store, message).accepted == 0
    assert logged(store) == []


@pytest.mark.parametrize("calls_left", range(4))
@pytest.mark.parametrize("is_interrupted", [False, True], ids=["to its end", "interrupted"])
def test_queued_events_of_a_user_deleted_while_they_are_stored_do_not_stay(
    dynoxide_store: DynamoStore, dynoxide_table: Table, calls_left: int, is_interrupted: bool
) -> None:
    store, events = dynoxide_store, [Event(ALICE, round((NOW - 60) * 1e6), "click", "queued", "id-1")]
    message = EventMessage(PROGRAM.program_id, (*events, replace(events[0], user_id="bob")), sent_us=round(NOW * 1e6))

    def delete_the_user() -> None:
        store.erase_user(PROGRAM.incarnation, ALICE, now=NOW + 1)
        if is_interrupted:
            raise Interrupted

    watched = Watched(dynoxide_table, delete_the_user, calls_left=calls_left)
    with suppress(Interrupted):
        ingest(DynamoStore(watched), message)
    assert watched.happened
    ingest(store, message)  # queues deliver again
    assert logged(store) == [("bob", "queued")]
    assert ALICE not in everything(dynoxide_table, MemoryArtifacts())


def test_a_session_named_like_another_user_takes_nothing_from_them(store: DynamoStore) -> None:
    # Given a user, and a client that named a session like them
    own = Event("bob", round(NOW * 1e6), "click", "own")
    store.append(PROGRAM, [own])
    store.put_user_attributes(PROGRAM.incarnation, "carol", {"CITY": "London"})
    for name in ("bob", "carol"):
        put(store, f"known-{name}", user=ALICE, session=name)
        put(store, "anonymous", session=name)
    # When the session's user is deleted, then what the session did goes, and nothing else
    delete(store)
    assert logged(store) == [("bob", "own")]
    assert items_in_history(store, "bob") == ["own"]
    assert store.user_attributes(PROGRAM.incarnation, "carol") == {"CITY": "London"}
    assert store.erased_since(PROGRAM.incarnation, ["bob", "carol"], 0) == set()


@pytest.mark.parametrize("calls_left", range(CALLS))
def test_an_interrupted_join_loses_nothing_and_goes_on(
    dynoxide_store: DynamoStore, dynoxide_table: Table, calls_left: int
) -> None:
    store, session, user = dynoxide_store, f"session-{next(ids)}", f"user-{next(ids)}"
    put(store, "one", session=session, at=NOW - 60)
    put(store, "two", session=session, at=NOW - 50)
    watched = Watched(dynoxide_table, interrupt, calls_left=calls_left)
    try:
        put(DynamoStore(watched), "known", user=user, session=session)
    except Interrupted:
        # Then every event is still somewhere
        assert {asset_id for name, asset_id in logged(store) if name in (session, user)} >= {"one", "two"}
    put(store, "known", user=user, session=session)
    assert [row for row in logged(store) if row[0] in (session, user)] == [
        (user, "known"),
        (user, "one"),
        (user, "two"),
    ]
    assert items_in_history(store, user) == ["known", "one", "two"]
    assert items_in_history(store, session) == []


@pytest.mark.parametrize("calls_left", range(CALLS))
def test_a_deletion_during_a_join_leaves_nothing_of_before(
    dynoxide_store: DynamoStore, dynoxide_table: Table, calls_left: int
) -> None:
    store, session, user = dynoxide_store, f"session-{next(ids)}", f"user-{next(ids)}"
    put(store, "known", session=session, user=user, at=NOW - 60)
    put(store, "before", session=session, at=NOW - 50)

    def delete_the_user() -> None:
        delete(store, user, now=NOW)

    watched = Watched(dynoxide_table, delete_the_user, calls_left=calls_left)
    join_session(DynamoStore(watched), PROGRAM, session_id=session, user_id=user)
    if not watched.happened:
        delete_the_user()
    assert [row for row in logged(store) if row[0] in (session, user)] == []
    assert items_in_history(store, user) == items_in_history(store, session) == []


@pytest.mark.parametrize("calls_left", range(CALLS))
def test_an_interrupted_deletion_is_complete_when_repeated(
    dynoxide_store: DynamoStore, dynoxide_table: Table, calls_left: int
) -> None:
    store, session, user = dynoxide_store, f"session-{next(ids)}", f"user-{next(ids)}"
    put(store, "before", session=session, at=NOW - 60)
    put(store, "known", session=session, user=user, at=NOW - 50)
    put(store, "later", session=session, at=NOW - 40)
    try:
        delete(DynamoStore(Watched(dynoxide_table, interrupt, calls_left=calls_left)), user)
    except Interrupted:
        with suppress(NotFound):  # where only the answer was missing
            delete(store, user)
    stored = everything(dynoxide_table, MemoryArtifacts())
    assert f"'{PROGRAM.incarnation}#U#{user}'" not in stored
    assert f"'{PROGRAM.incarnation}#U#{session}'" not in stored


def test_events_put_while_a_session_is_joined_are_kept(dynoxide_store: DynamoStore, dynoxide_table: Table) -> None:
    for calls_left in range(CALLS):
        store, session, user = dynoxide_store, f"session-{next(ids)}", f"user-{next(ids)}"
        put(store, "before", session=session, at=NOW - 60)

        def put_another(session: str = session) -> None:
            put(dynoxide_store, "meanwhile", session=session, at=NOW - 30)

        watched = Watched(dynoxide_table, put_another, calls_left=calls_left)
        put(DynamoStore(watched), "known", user=user, session=session)
        seen = sorted([*items_in_history(store, user), *items_in_history(store, session)])
        assert seen == ["before", "known", *["meanwhile"] * watched.happened]
