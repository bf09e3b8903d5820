"""A program id that is used again is a new program: nothing of the one before is its own, stored or in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

import pytest

from nextbest.aws.table import ItemKey, Table
from nextbest.domain.access_keys import SCOPES, issue_key
from nextbest.domain.assets import Asset
from nextbest.domain.events import Event
from nextbest.domain.programs import Incarnation, Program, new_incarnation, program_id_of
from nextbest.errors import Forbidden, NotFound
from nextbest.logic.events import EventMessage, ingest, queue_events
from nextbest.logic.program_removal import remove_program
from nextbest.logic.programs import opened_programs
from nextbest.logic.rebase import Rebase
from nextbest.logic.recommendations import UNTRAINED, Recommender
from nextbest.logic.segment_reading import SegmentCache
from nextbest.store import keys
from nextbest.store.base import CataloguePointer, ModelPointer, ProgramState, SegmentsPointer, Status
from nextbest.store.cache import CatalogueCache
from nextbest.store.dynamo import DynamoStore
from tests.factories import MemoryArtifacts, drink_events, ticking_clock
from tests.store.conftest import PROGRAM
from tests.store.test_rebasing import NOW, credentials, rebase

MASTER_SECRET = "m" * 32
NEXT = replace(PROGRAM, program_name="Another shop", incarnation=Incarnation("coffee@zzzzzzzzzz"))
"""The program that has the id of PROGRAM after it was deleted."""


def key_for(store: DynamoStore, key_id: str, *programs: Incarnation) -> str:
    key, text = issue_key(MASTER_SECRET, key_id, programs=programs, scopes=SCOPES)
    store.put_access_key(key)
    return text


def state_of(store: DynamoStore) -> ProgramState:
    state = store.program_state(PROGRAM.program_id)
    assert state is not None
    return state


def use_id_again(store: DynamoStore) -> None:
    """Remove PROGRAM, and create NEXT under its id."""
    remove_program(store, MemoryArtifacts(), PROGRAM.incarnation)
    store.create_program(NEXT)


def test_an_incarnation_names_its_program_and_is_new_every_time() -> None:
    random = Random(1)

    made = {new_incarnation("coffee", random=random) for _ in range(1000)}

    assert len(made) == 1000
    assert {program_id_of(incarnation) for incarnation in made} == {"coffee"}
    assert Program("coffee").incarnation == "coffee"
    assert program_id_of(Program("coffee").incarnation) == "coffee"


@pytest.mark.parametrize("operator", [True, False])
def test_a_warm_environment_gives_a_new_program_its_own_things_alone(store: DynamoStore, operator: bool) -> None:
    # Given an environment that has a program's model, catalogue, history and key in memory
    artifacts = MemoryArtifacts()
    store.append(PROGRAM, drink_events(now=NOW))
    store.put_assets(PROGRAM.incarnation, [Asset("tea", "Old tea"), Asset("cake", "Old cake")])
    rebase(store, artifacts)
    text = key_for(store, "NBKOLD", *(() if operator else (PROGRAM.incarnation,)))
    warm, segments = Recommender(store, artifacts), SegmentCache(store, artifacts)

    def read(text: str) -> tuple[bool, str, set[str]]:
        user, state = warm.read(credentials(text), PROGRAM.program_id, "user-1", now=NOW)
        catalogue, served = warm.loaded(state, now=NOW)
        return user.history is not None, served[0] if served else UNTRAINED, set(catalogue.assets)

    known, model, assets = read(text)
    assert (known, model != UNTRAINED, assets) == (True, True, {"tea", "cake"})
    assert segments.segments_of(PROGRAM.incarnation, "base").users

    # When the program is deleted and another one has its id, with assets of its own
    use_id_again(store)
    store.put_assets(NEXT.incarnation, [Asset("soap")])
    own = text if operator else key_for(store, "NBKNEW", NEXT.incarnation)

    # Then the same environment knows nothing of the old one
    assert read(own) == (False, UNTRAINED, {"soap"})
    assert state_of(store).program == NEXT
    with pytest.raises(NotFound):
        segments.segments_of(NEXT.incarnation, "base")
    # And the old key opens nothing, whether it is remembered or not
    if not operator:
        for recommender in (warm, Recommender(store, artifacts)):
            with pytest.raises(Forbidden):
                recommender.read(credentials(text), PROGRAM.program_id, "user-1", now=NOW)
        old = store.access_key("NBKOLD")
        assert old is None or opened_programs(store, old) == []


def test_what_was_begun_for_a_deleted_program_changes_nothing_of_the_next(store: DynamoStore, table: Table) -> None:
    # Given writers of every kind that began before the deletion
    artifacts = MemoryArtifacts()
    store.append(PROGRAM, drink_events(now=NOW))
    rebases = Rebase(store, artifacts, PROGRAM.incarnation, clock=ticking_clock(NOW))
    use_id_again(store)
    before, next_state = artifacts.files.copy(), state_of(store)
    stored = table.client.scan(TableName=table.name)["Items"]

    late: list[Callable[[], object]] = [
        rebases.run,
        rebases.refresh_segments,
        lambda: store.update_program(replace(PROGRAM, description="stolen")),
        lambda: store.put_assets(PROGRAM.incarnation, [Asset("old")]),
        lambda: store.remove_assets(PROGRAM.incarnation, ["soap"]),
        lambda: store.put_label_weights(PROGRAM.incarnation, {"old": 2.0}),
        lambda: store.point_to_model(PROGRAM.incarnation, ModelPointer("9", "models/old")),
        lambda: store.forget_model(PROGRAM.incarnation),
        lambda: store.point_to_catalogue(PROGRAM.incarnation, CataloguePointer(9, "catalogues/old")),
        lambda: store.point_to_segments(PROGRAM.incarnation, SegmentsPointer("9", "segments/old/", NOW)),
        lambda: store.put_status(Status(PROGRAM.incarnation, "program_rebase_started", "old", NOW)),
    ]
    for write in late:
        with pytest.raises(NotFound):
            write()

    assert state_of(store) == next_state
    assert artifacts.files == before
    assert table.client.scan(TableName=table.name)["Items"] == stored


def test_queued_events_are_for_one_incarnation(store: DynamoStore) -> None:
    # Given events that were queued before the deletion, by the present release, by an earlier one, and on the bus
    event = Event("ada", 1, "order", "tea")
    sent: list[str] = []

    class Queue:
        def send(self, messages: Sequence[str]) -> None:
            sent.extend(messages)

    queue_events(Queue(), PROGRAM, [event], refresh_histories=True, now=NOW)
    message = EventMessage.from_json(sent[0], now=NOW)
    earlier = EventMessage.from_json(sent[0].replace(f'"incarnation":"{PROGRAM.incarnation}",', ""), now=NOW)
    assert (message.incarnation, earlier.incarnation) == (PROGRAM.incarnation, "coffee")
    use_id_again(store)

    # Then they are refused as those of a program that does not exist
    for refused in (message, earlier):
        with pytest.raises(NotFound):
            ingest(store, refused)
    assert list(store.scan_events(NEXT.incarnation)) == []
    # But whoever knows ids alone means the program that has the id
    assert ingest(store, EventMessage("coffee", (event,))).accepted == 1


def test_a_program_of_before_incarnations_has_its_id_for_one(store: DynamoStore, table: Table) -> None:
    # Given a program, a key and events as an earlier release stored them
    old = Program("tea", "Tea house")
    store.create_program(old)
    table.update(ItemKey(keys.program_pk("tea"), keys.PROGRAM), "REMOVE incarnation", {})
    store.append(old, [Event("ada", 1, "order", "tea")])
    text = key_for(store, "NBKTEA", Incarnation("tea"))
    recommender = Recommender(store, MemoryArtifacts())

    # Then it is served, changed and listed as before
    user, state = recommender.read(credentials(text), "tea", "ada", now=NOW)
    assert user.history is not None
    assert state.program == old
    store.put_assets(old.incarnation, [Asset("matcha")])
    store.update_program(replace(old, description="changed"))
    store.put_status(Status(old.incarnation, "program_rebase_started", "", NOW))
    assert store.point_to_model(old.incarnation, ModelPointer("1", "models/tea/1"))
    assert [program.description for program in store.list_programs()] == ["", "changed"]
    # And the next one of its id is another
    remove_program(store, MemoryArtifacts(), old.incarnation)
    store.create_program(Program("tea", incarnation=Incarnation("tea@bbbbbbbbbb")))
    with pytest.raises(Forbidden):
        recommender.read(credentials(text), "tea", "ada", now=NOW)
    with pytest.raises(NotFound):
        store.update_program(old)


def test_a_catalogue_of_the_same_revision_is_not_taken_for_that_of_another_incarnation(store: DynamoStore) -> None:
    cache = CatalogueCache(store, MemoryArtifacts())
    store.put_assets(PROGRAM.incarnation, [Asset("old")])
    assert set(cache.catalogue_of(state_of(store)).assets) == {"old"}

    use_id_again(store)
    assert len(cache.catalogue_of(state_of(store))) == 0
    store.put_assets(NEXT.incarnation, [Asset("new")])

    assert set(cache.catalogue_of(state_of(store)).assets) == {"new"}
