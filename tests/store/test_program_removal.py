"""Deleting a program leaves no trace of it in the table and in the bucket, and nothing else is missing."""

from __future__ import annotations

import json
from collections.abc import Container, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

import pytest

from nextbest.aws.table import Table
from nextbest.domain.access_keys import SCOPES, issue_key
from nextbest.domain.assets import Asset
from nextbest.domain.events import Event
from nextbest.domain.programs import Incarnation, Program
from nextbest.errors import AlreadyExists, Forbidden, NotFound
from nextbest.logic.access_keys import Keyring
from nextbest.logic.decision_files import folder_of
from nextbest.logic.program_removal import remove_program
from nextbest.logic.rebase import Rebase
from nextbest.personalize.events.interactions import put_events
from nextbest.store.dynamo import DynamoStore
from tests.factories import MemoryArtifacts, drink_events, ticking_clock
from tests.store.conftest import PROGRAM
from tests.store.test_actionhub_calls import Caller
from tests.store.test_control_plane import Control
from tests.store.test_rebasing import NOW

MASTER_SECRET = "m" * 32
VICTIM = Program("victim", incarnation=Incarnation("victim@vvvvvvvvvv"))
DELETION = {"datasetGroupArn": "arn:aws:personalize:us-east-1:000000000000:dataset-group/victim"}


def fill(store: DynamoStore, artifacts: MemoryArtifacts, program: Program) -> None:
    """Everything that is stored of a program, by the way it comes there."""
    key_id = f"NBK{program.program_id.upper()}"
    key, _ = issue_key(MASTER_SECRET, key_id, programs=(program.incarnation,), scopes=SCOPES)
    store.put_access_key(key)
    store.append(program, drink_events(6, now=NOW))
    store.append(program, [Event("late", 1, "order", "tea")], refresh_histories=False)
    store.put_user_attributes(program.incarnation, "ada", {"CITY": "London"})
    store.erase_user(program.incarnation, "gone", now=NOW)
    store.put_assets(program.incarnation, [Asset("tea", "Tea"), Asset("cake", "Cake", ("sweet",))])
    store.put_label_weights(program.incarnation, {"sweet": 2.0})
    Rebase(store, artifacts, program.incarnation, clock=ticking_clock(NOW)).run()
    artifacts.put(f"{folder_of(program.incarnation)}2026-11-01/0123.jsonl.gz", b"what was recommended")
    artifacts.put(f"exports/{program.incarnation}/AWSDynamoDB/01-a/data/b.json.gz", b"what a Spark job read")
    # Item events of a visitor who is known later
    row = {"eventType": "watch", "itemId": "film", "sentAt": NOW}
    call: dict[str, Any] = {"trackingId": program.program_id, "sessionId": "session", "eventList": [row]}
    put_events(store, key, call, now=NOW)
    put_events(store, key, {**call, "userId": "ada"}, now=NOW)


def dump(table: Table, artifacts: MemoryArtifacts) -> set[str]:
    """All that is stored anywhere, as texts."""
    items = table.client.scan(TableName=table.name)["Items"]
    files = [f"{key} {len(data)}" for key, data in artifacts.files.items()]
    return {json.dumps(item, sort_keys=True, default=repr) for item in items} | set(files)


def delete(store: DynamoStore, artifacts: MemoryArtifacts) -> dict[str, int]:
    removed: dict[str, int] = Control(store, artifacts=artifacts)("DeleteDatasetGroup", **DELETION)["nextbestRemoved"]
    return removed


def test_nothing_of_a_deleted_program_is_left_and_nothing_else_is_missing(store: DynamoStore, table: Table) -> None:
    # Given a program beside another one that has the same things
    artifacts = MemoryArtifacts()
    fill(store, artifacts, PROGRAM)
    caller = Caller(store, table, random=Random(1))
    body = {"programs": [PROGRAM.program_id], "scopes": ["read"], "name": "n"}
    assert caller("POST", "/keys", body, idempotency_key="bystander")[0] == 200
    before = dump(table, artifacts)
    store.create_program(VICTIM)
    fill(store, artifacts, VICTIM)
    for name, programs in (("one", [VICTIM.program_id]), ("two", [VICTIM.program_id, PROGRAM.program_id])):
        body = {"programs": programs, "scopes": ["read"], "name": name}
        assert caller("POST", "/keys", body, idempotency_key=name)[0] == 200
    operator = Keyring(store, issue_key(MASTER_SECRET, "NBKX", programs=(), scopes=SCOPES)[0], MASTER_SECRET)
    (shared,) = (key for key in operator.managed() if len(key.programs) == 2)
    held = dump(table, artifacts)
    assert sum("victim" in text for text in held) > len(held) / 3

    removed = delete(store, artifacts)

    # Then it is gone, but for the key that opens the other one too
    after = dump(table, artifacts)
    assert [text for text in after if "victim" in text or "VICTIM" in text] == []
    assert before <= after
    assert all(shared.key_id in text for text in after - before)
    kept = store.access_key(shared.key_id)
    assert kept is not None
    assert kept.programs == (PROGRAM.incarnation,)
    # And it was said what was removed: the visitor's item event is the user's by now, and counts once
    events = len(drink_events(6, now=NOW)) + 1 + 1
    assert removed["events"] == events
    assert (removed["assets"], removed["keys"], removed["shared_keys"]) == (2, 2, 1)
    folders = tuple(f"{name}/v" for name in ("models", "catalogues", "segments", "decisions", "exports"))
    assert removed["files"] == sum(text.startswith(folders) for text in held) == 9
    assert removed["items"] > events + removed["histories"]


class Interrupted(BaseException):
    """The end of a function in the midst of its work."""


@contextmanager
def dying_after(table: Table, writes: int) -> Iterator[None]:
    """Let every write to the table fail after so many."""
    left = [writes]

    def count(**_: object) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Interrupted

    names = [f"before-call.dynamodb.{name}" for name in ("UpdateItem", "PutItem", "DeleteItem", "BatchWriteItem")]
    for name in names:
        table.client.meta.events.register(name, count)
    try:
        yield
    finally:
        for name in names:
            table.client.meta.events.unregister(name, count)


def test_a_deletion_that_is_killed_anywhere_is_done_by_another(store: DynamoStore, table: Table) -> None:
    artifacts = MemoryArtifacts()
    before = dump(table, artifacts)
    store.create_program(VICTIM)
    fill(store, artifacts, VICTIM)

    for writes in range(1, 100):
        try:
            with dying_after(table, writes):
                delete(store, artifacts)
        except Interrupted:
            # Meanwhile it is as if it did not exist, and its id is taken
            assert store.program_state("victim") is None
            with pytest.raises(NotFound):
                store.put_assets(VICTIM.incarnation, [Asset("late")])
            with pytest.raises(AlreadyExists, match="is being deleted"):
                store.create_program(VICTIM)
            continue
        break

    assert writes > 3
    assert dump(table, artifacts) - before == set()
    store.create_program(VICTIM)
    with pytest.raises(AlreadyExists, match="exists already"):
        store.create_program(VICTIM)


def test_what_is_written_during_a_deletion_goes_too(store: DynamoStore, table: Table) -> None:
    # Given a call that read the program before it was marked, and writes after the first sweep
    store.create_program(VICTIM)

    writes = [lambda: store.append(VICTIM, [Event("ada", 1, "order", "tea")])]

    class Late(MemoryArtifacts):
        def delete_all(self, prefix: str, *, before: str | None = None, keep: Container[str] = ()) -> int:
            removed = super().delete_all(prefix, before=before, keep=keep)
            if writes:
                writes.pop()()
                self.files[f"models/{VICTIM.incarnation}/late"] = b""
            return removed

    artifacts = Late()
    removed = remove_program(store, artifacts, VICTIM.incarnation)

    assert (removed.events, removed.histories, removed.files) == (1, 1, 1)
    assert "victim" not in str(dump(table, MemoryArtifacts()))


def test_only_its_own_administrator_or_an_operator_ends_an_interrupted_deletion(store: DynamoStore) -> None:
    store.create_program(VICTIM)
    store.begin_removal(VICTIM.incarnation)
    stranger, _ = issue_key(MASTER_SECRET, "NBKSTRANGER", programs=(PROGRAM.incarnation,), scopes=SCOPES)
    reader, _ = issue_key(MASTER_SECRET, "NBKREADER", programs=(VICTIM.incarnation,), scopes=("read",))

    with pytest.raises(NotFound):
        Control(store, stranger)("DeleteDatasetGroup", **DELETION)
    with pytest.raises(Forbidden):
        Control(store, reader)("DeleteDatasetGroup", **DELETION)
    assert store.unfinished_removal("victim") == VICTIM.incarnation
    assert "victim" in store.program_ids()
    assert "victim" not in [program.program_id for program in store.list_programs()]
    administrator, _ = issue_key(MASTER_SECRET, "NBKADMIN", programs=(VICTIM.incarnation,), scopes=SCOPES)
    Control(store, administrator)("DeleteDatasetGroup", **DELETION)
    assert store.unfinished_removal("victim") is None
