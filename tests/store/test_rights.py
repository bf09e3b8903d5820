"""People's rights: everything that is held is told, and nothing is left after a deletion."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from nextbest.aws.table import Table
from nextbest.domain.actions import Action
from nextbest.domain.events import Event
from nextbest.domain.programs import Incarnation, Program
from nextbest.errors import ArtifactError, NotFound
from nextbest.logic import users as rights
from nextbest.logic.events import EventMessage, ingest, queue_events
from nextbest.logic.rebase import Rebase
from nextbest.logic.segment_reading import SegmentCache
from nextbest.logic.segment_writing import files_of, forget_users
from nextbest.scoring import Model
from nextbest.scoring.segment_manifest import SEGMENT_TYPES
from nextbest.store.base import Erased, SegmentsPointer
from nextbest.store.dynamo import DynamoStore
from nextbest.store.histories import FOLD_AT
from tests.factories import MemoryArtifacts, drink_events, ticking_clock
from tests.store.conftest import PROGRAM
from tests.store.test_rebasing import NOW, rebase

NAME = "ada.lovelace@example.org"


def test_segments_that_cannot_be_read_leave_the_last_good_ones_without_who_was_deleted(
    store: DynamoStore, artifacts: MemoryArtifacts
) -> None:
    # Given a reader of the good ones, and others of which the files are something else
    reader = SegmentCache(store, artifacts)
    good = reader.segments_of(PROGRAM.incarnation, "base")
    assert good.memberships(NAME)
    pointer = store.segments(PROGRAM.incarnation)
    assert pointer is not None
    spoiled = SegmentsPointer(f"{pointer.version}_spoiled", f"{files_of(PROGRAM.incarnation)}spoiled/", NOW)
    for kind in SEGMENT_TYPES:
        artifacts.put(f"{spoiled.prefix}{kind}.nbs", b"NEXTBEST of another kind")
    assert store.point_to_segments(PROGRAM.incarnation, spoiled)

    # Then they serve on
    served = reader.segments_of(PROGRAM.incarnation, "base")
    assert list(served.users) == list(good.users)
    assert served.memberships(NAME) == good.memberships(NAME)
    with pytest.raises(ArtifactError):
        SegmentCache(store, artifacts).segments_of(PROGRAM.incarnation, "base")

    # And whoever is deleted is in none: what cannot be read cannot be changed, and goes as a whole
    store.erase_user(PROGRAM.incarnation, NAME, now=NOW)
    served = reader.segments_of(PROGRAM.incarnation, "base")
    assert not served.memberships(NAME)
    assert served.memberships("user-1") == good.memberships("user-1")
    assert forget_users(store, artifacts, PROGRAM.incarnation, {NAME}) == 0
    assert store.segments(PROGRAM.incarnation) is None
    assert not [key for key in artifacts.files if key.startswith(files_of(PROGRAM.incarnation))]


def events_of_ada(count: int = FOLD_AT + 5) -> list[Event]:
    return [
        Event(
            NAME, round((NOW - n * 3600) * 1e6), "order", "latte" if n % 3 else "cake", f"id-{n}", ("morning",), "web"
        )
        for n in range(count)
    ]


@pytest.fixture
def artifacts(store: DynamoStore) -> MemoryArtifacts:
    """A rebased program in which Ada has events, a folded history and attributes."""
    artifacts = MemoryArtifacts()
    store.append(PROGRAM, [*drink_events(now=NOW), *events_of_ada()])
    store.put_user_attributes(PROGRAM.incarnation, NAME, {"CITY": "London"})
    rebase(store, artifacts)
    return artifacts


def message_of(event: Event, *, sent_at: float) -> EventMessage:
    """A message of the queue with one event."""
    sent_us = round(sent_at * 1e6)
    return EventMessage(PROGRAM.program_id, (event,), sent_us=sent_us, incarnation=PROGRAM.incarnation)


def everything(table: Table, artifacts: MemoryArtifacts) -> str:
    """All that is stored anywhere, as text."""
    items = table.client.scan(TableName=table.name)["Items"]
    return f"{items} {artifacts.files}"


def export(store: DynamoStore, artifacts: MemoryArtifacts, *, after: str | None = None) -> rights.Export:
    return rights.export_user(store, artifacts, PROGRAM.incarnation, NAME, after=after)


def delete(store: DynamoStore, artifacts: MemoryArtifacts, *, now: float = NOW) -> rights.Deletion:
    return rights.delete_user(store, artifacts, PROGRAM.incarnation, NAME, now=now)


def others_model(artifacts: MemoryArtifacts) -> Model:
    (data,) = [data for key, data in artifacts.files.items() if key.startswith("models/others/")]
    return Model.from_bytes(data)


def test_the_export_of_a_user_holds_everything_stored(store: DynamoStore, artifacts: MemoryArtifacts) -> None:
    told = export(store, artifacts)
    assert list(told.events) == sorted(events_of_ada())
    assert told.attributes == {"CITY": "London"}
    assert told.memberships.keys() == set(SEGMENT_TYPES)
    assert {action for action, _ in told.memberships["base"]} == {Action("order", "latte"), Action("order", "cake")}
    assert told.next_position is None


def test_the_parts_of_a_long_export_are_the_whole(
    store: DynamoStore, artifacts: MemoryArtifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rights, "EXPORT_BYTES", 2000)
    events: list[Event] = []
    position: str | None = None
    parts = 0
    while parts == 0 or position is not None:
        told = export(store, artifacts, after=position)
        assert (told.attributes is not None) == (parts == 0)
        events += told.events
        position = told.next_position
        parts += 1
    assert events == sorted(events_of_ada())
    assert parts > 3


def test_deleting_a_user_leaves_nothing_and_says_what_there_was(
    store: DynamoStore, artifacts: MemoryArtifacts, table: Table
) -> None:
    # Given a user in the log, the history, the attributes and the segments
    assert NAME in everything(table, artifacts)
    memberships = sum(map(len, export(store, artifacts).memberships.values()))
    # When she is deleted
    deletion = delete(store, artifacts)
    # Then her name is nowhere, in no version of anything
    assert deletion == rights.Deletion(Erased(FOLD_AT + 5, 1, 1), memberships)
    assert memberships > 0
    assert NAME not in everything(table, artifacts)
    assert store.read_user(PROGRAM.incarnation, NAME).history is None
    with pytest.raises(NotFound):
        export(store, artifacts)
    # And the others are as they were
    assert SegmentCache(store, artifacts).segments_of(PROGRAM.incarnation, "base").memberships("user-1")
    assert store.read_user(PROGRAM.incarnation, "user-1").history is not None


def test_after_a_deletion_the_model_is_that_of_the_other_users_alone(
    store: DynamoStore, artifacts: MemoryArtifacts
) -> None:
    delete(store, artifacts)
    after = rebase(store, artifacts, NOW + 60)
    model = artifacts.files[f"models/{PROGRAM.incarnation}/{after}.nbm"]
    # Then it is what the events of the others give
    others = Program("others", half_life_days=PROGRAM.half_life_days)
    store.create_program(others)
    store.append(others, drink_events(now=NOW))
    Rebase(store, artifacts, others.incarnation, clock=ticking_clock(NOW + 60)).run()
    assert Model.from_bytes(model).repeats.prior.tolist() == others_model(artifacts).repeats.prior.tolist()


def test_queued_events_of_a_deleted_user_do_not_come_back(
    store: DynamoStore, artifacts: MemoryArtifacts, table: Table
) -> None:
    # Given events that were queued before the deletion, among others'
    sent: list[str] = []

    class Queue:
        def send(self, messages: Sequence[str]) -> None:
            sent.extend(messages)

    late = Event(NAME, round(NOW * 1e6), "order", "tea")
    others = Event("user-1", round(NOW * 1e6), "order", "tea")
    queue_events(Queue(), PROGRAM, [late, others], refresh_histories=True, now=NOW - 1)
    delete(store, artifacts)
    # When they arrive
    (message,) = sent
    stored = ingest(store, EventMessage.from_json(message, now=NOW))
    # Then only the others' are stored
    assert stored.accepted == 1
    assert NAME not in everything(table, artifacts)


def test_a_deleted_user_who_comes_back_is_known_again(store: DynamoStore, artifacts: MemoryArtifacts) -> None:
    delete(store, artifacts)
    later = Event(NAME, round((NOW + 60) * 1e6), "order", "tea")
    message = message_of(later, sent_at=NOW + 60)
    assert ingest(store, message).accepted == 1
    assert list(store.events_of(PROGRAM.incarnation, NAME)) == [later]


def test_deleting_nobody_says_so_and_drops_what_is_queued_all_the_same(
    store: DynamoStore,
) -> None:
    with pytest.raises(NotFound):
        delete(store, MemoryArtifacts())
    queued = message_of(Event(NAME, 1, "order", "tea"), sent_at=NOW - 1)
    assert ingest(store, queued).accepted == 0


def test_the_segments_of_a_rebase_under_way_leave_a_deleted_user_out(store: DynamoStore) -> None:
    # Given a rebase that has read the log
    store.append(PROGRAM, [*drink_events(now=NOW), *events_of_ada()])

    class DeletingArtifacts(MemoryArtifacts):
        """The user is deleted when the model is written: after the log was read, before the segments are."""

        def put(self, key: str, data: bytes) -> None:
            if key.startswith("models/"):
                store.erase_user(PROGRAM.incarnation, NAME, now=NOW + 1)
            super().put(key, data)

    artifacts = DeletingArtifacts()
    rebase(store, artifacts)
    assert NAME not in str(artifacts.files)
    assert any(key.startswith(files_of(PROGRAM.incarnation)) for key in artifacts.files)


def test_tombstones_of_many_users_are_read_as_of_one(store: DynamoStore) -> None:
    for number in (3, 150):
        store.erase_user(PROGRAM.incarnation, f"guest-{number}", now=NOW)
    users = [f"guest-{number}" for number in range(200)]
    since_us = round(NOW * 1e6)
    assert store.erased_since(PROGRAM.incarnation, users, since_us) == {"guest-3", "guest-150"}
    assert store.erased_since(PROGRAM.incarnation, ["guest-3", "guest-4"], since_us) == {"guest-3"}
    assert store.erased_since(PROGRAM.incarnation, users, since_us + 1) == set()
    assert store.erased_since(Incarnation("another"), users, since_us) == set()
    assert store.erased_since(PROGRAM.incarnation, [], since_us) == set()


def test_deleting_a_user_whose_name_begins_another_leaves_the_other(store: DynamoStore) -> None:
    store.append(PROGRAM, [Event(name, 1, "order", "tea") for name in ("ada", "ada2", "ada#U#x", "ad")])
    assert store.erase_user(PROGRAM.incarnation, "ada", now=NOW) == Erased(1, 1, 0)
    assert sorted(store.users(PROGRAM.incarnation)) == ["ad", "ada#U#x", "ada2"]
