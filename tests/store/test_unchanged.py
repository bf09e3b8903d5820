"""Whether anything changed that a rebase learns from: whatever does is noted, once, and costs nothing afterwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from nextbest.aws.table import Table
from nextbest.domain.events import Event
from nextbest.domain.programs import Program
from nextbest.errors import ProgramNotFound
from nextbest.logic.program_removal import remove_program
from nextbest.store.dynamo import DynamoStore
from tests.factories import MemoryArtifacts
from tests.store.conftest import PROGRAM

OWNER = PROGRAM.incarnation
NOW = 1_750_000_000.0
EVENT = Event("ada", round(NOW * 1e6), "order", "tea")
OUTCOME = ("import-job", "job", {"status": "ACTIVE"})

CHANGES: dict[str, Callable[[DynamoStore, Program], object]] = {
    "events": lambda store, program: store.append(program, [EVENT]),
    "events for later": lambda store, program: store.append(program, [EVENT], refresh_histories=False),
    "events of a file": lambda store, program: store.log_events(program, [EVENT]),
    "forgotten events": lambda store, program: store.forget_events(program, "ada", [EVENT]),
    "removed events": lambda store, program: store.remove_events(program, lambda _: True),
    "a deleted user": lambda store, program: store.erase_user(program.incarnation, "ada", now=NOW),
    "settings": lambda store, program: store.update_program(replace(program, half_life_days=3)),
    "a setting": lambda store, program: store.change_program(
        program.incarnation, lambda now: replace(now, half_life_days=3)
    ),
    "an import": lambda store, program: store.commit_import(
        program, "INTERACTIONS", store.begin_import(program, "INTERACTIONS"), OUTCOME
    ),
}


def present(store: DynamoStore) -> Program:
    state = store.program_state(PROGRAM.program_id)
    assert state is not None
    return state.program


@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_what_a_rebase_learns_from_is_noted(store: DynamoStore, change: str) -> None:
    store.note_rebase(OWNER, now=NOW)
    assert present(store).unchanged_since == NOW

    CHANGES[change](store, present(store))

    assert present(store).unchanged_since == 0.0


def test_reads_and_rebases_change_nothing(store: DynamoStore) -> None:
    store.append(PROGRAM, [EVENT])
    store.note_rebase(OWNER, now=NOW)

    store.rebuild_history(present(store), "ada")
    store.read_user(OWNER, "ada")
    store.note_rebase(OWNER, now=NOW + 86_400)

    assert present(store).unchanged_since == NOW


def test_only_the_first_event_after_a_rebase_costs_a_call(store: DynamoStore, table: Table) -> None:
    store.append(PROGRAM, [EVENT])
    calls: list[str] = []
    table.client.meta.events.register("before-call.dynamodb", lambda model, **_: calls.append(model.name))

    def calls_of_an_append() -> list[str]:
        program = present(store)
        calls.clear()
        store.append(program, [EVENT])
        return list(calls)

    usual = calls_of_an_append()
    store.note_rebase(OWNER, now=NOW)
    assert calls_of_an_append() == ["UpdateItem", *usual]
    assert calls_of_an_append() == usual


def test_a_change_of_a_program_that_was_deleted_meanwhile_leaves_nothing(store: DynamoStore) -> None:
    store.note_rebase(OWNER, now=NOW)
    program = present(store)
    remove_program(store, MemoryArtifacts(), OWNER)

    store.log_events(program, [])

    assert store.program_state(PROGRAM.program_id) is None
    with pytest.raises(ProgramNotFound):
        store.note_rebase(OWNER, now=NOW)
