"""The salts of users' hashes in decisions: made once, kept by whatever rebuilds a history, destroyed by deletion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from nextbest.aws.table import ItemKey, Table
from nextbest.domain.decisions import derived_salt
from nextbest.domain.events import Event
from nextbest.domain.history import WINDOW
from nextbest.domain.programs import Program
from nextbest.errors import NotFound
from nextbest.logic.program_removal import remove_program
from nextbest.logic.users import delete_user
from nextbest.store import keys
from nextbest.store.configuration import program_key
from nextbest.store.dynamo import DynamoStore
from nextbest.store.histories import FOLD_AT
from nextbest.store.salts import DECISION_KEY, SALT
from tests.factories import MemoryArtifacts
from tests.store.conftest import PROGRAM
from tests.store.test_forgetting import everything
from tests.store.test_histories import START_US, events
from tests.store.test_rebasing import NOW, rebase

OWNER = PROGRAM.incarnation


def present(store: DynamoStore) -> Program:
    """The program as it is stored: with its decision key."""
    state = store.program_state(PROGRAM.program_id)
    assert state is not None
    return state.program


def salt_of(store: DynamoStore, user_id: str = "ada") -> bytes | None:
    return store.read_user(OWNER, user_id).salt


def fold(store: DynamoStore) -> None:
    store.append(present(store), events(FOLD_AT, first=10))


def fold_into_sums(store: DynamoStore) -> None:
    store.append(present(store), events(WINDOW + 50, first=10))


def rebuild(store: DynamoStore) -> None:
    assert store.rebuild_history(present(store), "ada")


def back_fill_and_rebase(store: DynamoStore) -> None:
    store.append(present(store), events(40, first=10), refresh_histories=False)
    rebase(store, MemoryArtifacts())


def read_files_and_rebase(store: DynamoStore) -> None:
    store.log_events(present(store), events(40, first=10))
    store.mark_users(present(store), ["ada"])
    rebase(store, MemoryArtifacts())


def replace_interactions(store: DynamoStore) -> None:
    program = present(store)
    attempt = store.begin_import(program, "INTERACTIONS")
    old = store.event_keys(OWNER, lambda _: True)
    new = [replace(event, source="import") for event in events(5, first=3)]
    stored = store.stage_events(program, attempt, new, old)
    store.stage_event_removals(attempt, old - stored)
    store.commit_import(program, "INTERACTIONS", attempt, ("dataset-import-job", "job", {}))
    store.finish_imports(program)


def remove_some_events(store: DynamoStore) -> None:
    assert store.remove_events(present(store), lambda event: event.asset_id == "drink-1")


def forget_an_event(store: DynamoStore) -> None:
    store.forget_events(present(store), "ada", events(1))


def put_attributes(store: DynamoStore) -> None:
    store.put_user_attributes(OWNER, "ada", {"TIER": "gold"})


def change_settings(store: DynamoStore) -> None:
    store.update_program(replace(present(store), half_life_days=90))
    store.append(present(store), events(FOLD_AT, first=10))


def delete_somebody_else(store: DynamoStore) -> None:
    store.append(present(store), events(1, "bob"))
    store.erase_user(OWNER, "bob", now=NOW)
    store.append(present(store), events(1, first=10))


@pytest.mark.parametrize(
    "happening",
    [
        fold,
        fold_into_sums,
        rebuild,
        back_fill_and_rebase,
        read_files_and_rebase,
        replace_interactions,
        remove_some_events,
        forget_an_event,
        put_attributes,
        change_settings,
        delete_somebody_else,
    ],
)
def test_a_salt_stays_whatever_happens_to_the_history(
    store: DynamoStore, happening: Callable[[DynamoStore], None]
) -> None:
    # Given a user for whom decisions were made before there was a history
    before = derived_salt(present(store).decision_key, "ada")
    store.append(present(store), events(8))
    assert salt_of(store) == before
    happening(store)
    assert salt_of(store) == before


@pytest.mark.parametrize("first", [1, FOLD_AT + 1], ids=["into the tail", "into the snapshot"])
def test_the_first_write_stores_the_salt_that_a_user_without_history_had(store: DynamoStore, first: int) -> None:
    assert salt_of(store) is None
    derived = derived_salt(present(store).decision_key, "ada")
    store.append(present(store), events(first))
    assert salt_of(store) == derived


@pytest.mark.parametrize("happening", [back_fill_and_rebase, read_files_and_rebase, replace_interactions])
def test_what_writes_a_history_without_an_append_stores_the_salt(
    store: DynamoStore, happening: Callable[[DynamoStore], None]
) -> None:
    derived = derived_salt(present(store).decision_key, "ada")
    happening(store)
    assert salt_of(store) == derived


def test_an_old_history_gets_the_derived_salt_with_its_next_write(store: DynamoStore, table: Table) -> None:
    store.append(present(store), events(8))
    table.update(ItemKey(keys.user_pk(OWNER, "ada"), keys.TAIL), f"REMOVE {SALT}", {})
    assert salt_of(store) is None
    store.append(present(store), events(1, first=10))
    assert salt_of(store) == derived_salt(present(store).decision_key, "ada")


def test_deleting_a_user_destroys_the_salt_and_replaces_the_key(store: DynamoStore, table: Table) -> None:
    # Given one user with a history and one without, both of whom decisions were recorded for
    program = present(store)
    salts = {user_id: derived_salt(program.decision_key, user_id) for user_id in ("ada", "cold")}
    store.append(program, events(FOLD_AT + 3))
    # When both are deleted, of whom the second was never stored
    delete_user(store, MemoryArtifacts(), OWNER, "ada", now=NOW)
    after_first = present(store).decision_key
    with pytest.raises(NotFound):
        delete_user(store, MemoryArtifacts(), OWNER, "cold", now=NOW)
    # Then nothing that is stored gives their salts, nor does it when they come back
    assert len({program.decision_key, after_first, present(store).decision_key}) == 3
    assert repr(salts["ada"]) not in everything(table, MemoryArtifacts())
    for user_id, old in salts.items():
        assert derived_salt(present(store).decision_key, user_id) != old
        store.append(present(store), events(2, user_id, first=FOLD_AT + 5))
        assert salt_of(store, user_id) == derived_salt(present(store).decision_key, user_id)


def test_a_rebase_that_began_before_a_deletion_brings_no_salt_back(store: DynamoStore) -> None:
    # Given a program as a long rebase read it, and a user who is deleted and comes back meanwhile
    read_before = present(store)
    store.append(read_before, events(3))
    store.erase_user(OWNER, "ada", now=NOW)
    store.log_events(present(store), events(3, first=20))
    # When that rebase rebuilds the history
    store.rebuild_histories(read_before, ["ada"])
    # Then the salt is one of the new key
    assert salt_of(store) == derived_salt(present(store).decision_key, "ada")
    assert salt_of(store) != derived_salt(read_before.decision_key, "ada")


def test_a_session_that_is_deleted_with_its_user_loses_its_salt(store: DynamoStore) -> None:
    anonymous = Event("session", START_US, "click", "tea", session_id="session")
    store.append(present(store), [anonymous, Event("ada", START_US + 1, "click", "tea", session_id="session")])
    assert salt_of(store, "session") is not None
    store.erase_user(OWNER, "ada", now=NOW)
    assert salt_of(store, "session") is None


@pytest.mark.parametrize("write", ["settings", "rebase"])
def test_a_program_without_a_key_gets_one_with_a_write_that_happens_anyway(
    store: DynamoStore, table: Table, write: str
) -> None:
    # Given a program from before there were decision keys
    table.update(program_key(PROGRAM.program_id), f"REMOVE {DECISION_KEY}", {})
    assert present(store).decision_key == b""
    store.append(present(store), events(3))
    assert salt_of(store) is None
    # When its settings are changed, or it is rebased
    if write == "settings":
        store.change_program(OWNER, lambda program: replace(program, description="tea, too"))
    else:
        rebase(store, MemoryArtifacts())
    # Then it has one, which stays
    key = present(store).decision_key
    assert len(key) == 16
    store.update_program(replace(present(store), description="and cake"))
    assert present(store).decision_key == key


def test_a_deleted_program_leaves_no_key(store: DynamoStore, table: Table) -> None:
    remove_program(store, MemoryArtifacts(), OWNER)
    assert table.get(program_key(PROGRAM.program_id)) is None
    store.create_program(PROGRAM)
    assert len(present(store).decision_key) == 16


def test_the_key_is_no_part_of_the_settings(store: DynamoStore, table: Table) -> None:
    item = table.get(program_key(PROGRAM.program_id))
    assert item is not None
    assert "decision_key" not in item["body_json"]["S"]
    assert repr(present(store).decision_key) not in repr(present(store))
