"""The index of a program's keys: a list costs by the caller's own keys, and a program has only so many."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from nextbest.aws.table import ItemKey, Table
from nextbest.domain.access_keys import SCOPES, issue_key
from nextbest.domain.programs import Incarnation, Program
from nextbest.errors import QuotaExceeded
from nextbest.logic import access_keys
from nextbest.logic.access_keys import Keyring
from nextbest.store import keys
from nextbest.store.dynamo import DynamoStore
from tests.store.conftest import PROGRAM
from tests.store.test_keyring import MASTER_SECRET, NOW, holder

OTHER = Program("tea", incarnation=Incarnation("tea@bbbbbbbbbb"))
RANDOM = Random(5)


def create(keyring: Keyring, *program_ids: str) -> str:
    key, _ = keyring.create(program_ids=program_ids, scopes=("read",), name="", now=NOW, random=RANDOM)
    return key.key_id


def ids(keyring: Keyring) -> list[str]:
    return [key.key_id for key in keyring.managed()]


@contextmanager
def partitions_read(table: Table) -> Iterator[set[str]]:
    """The partitions that are queried meanwhile."""
    read: set[str] = set()

    def note(params: dict[str, Any], **_: object) -> None:
        read.add(params["ExpressionAttributeValues"][":pk"]["S"])

    events = table.client.meta.events
    events.register("provide-client-params.dynamodb.Query", note)
    yield read
    events.unregister("provide-client-params.dynamodb.Query", note)


def test_a_list_reads_the_index_of_the_callers_programs_alone(store: DynamoStore, table: Table) -> None:
    # Given two programs with keys, of which some are shared
    store.create_program(OTHER)
    operator = holder(store, "NBKOPERATOR", programs=())
    barista = holder(store, "NBKBARISTA", programs=(PROGRAM.incarnation,))
    own = [create(barista, PROGRAM.program_id) for _ in range(120)]
    others = [create(operator, OTHER.program_id) for _ in range(5)]
    shared = create(operator, PROGRAM.program_id, OTHER.program_id)

    with partitions_read(table) as read:
        assert ids(barista) == sorted([*own, "NBKBARISTA"])

    assert read == {keys.access_keys_pk(PROGRAM.incarnation)}
    assert ids(operator) == sorted([*own, *others, shared, "NBKBARISTA", "NBKOPERATOR"])
    owner_of_both = holder(store, "NBKBOTH", programs=(PROGRAM.incarnation, OTHER.incarnation))
    assert ids(owner_of_both) == sorted([*own, *others, shared, "NBKBARISTA", "NBKBOTH"])


def test_keys_of_before_there_was_an_index_are_listed_and_found_by_it_from_then_on(
    store: DynamoStore, table: Table
) -> None:
    # Given a program of an earlier release with keys that are in no index
    old = Program("old")
    store.create_program(old)
    for number in range(3):
        key, _ = issue_key(MASTER_SECRET, f"NBKOLD{number}", programs=(old.incarnation,), scopes=SCOPES)
        store.put_access_key(key)
        table.delete(ItemKey(keys.access_keys_pk(old.incarnation), key.key_id))
    keyring = Keyring(store, key, MASTER_SECRET)

    assert ids(keyring) == ["NBKOLD0", "NBKOLD1", "NBKOLD2"]

    new = create(keyring, "old")
    with partitions_read(table) as read:
        assert ids(keyring) == sorted(["NBKOLD0", "NBKOLD1", "NBKOLD2", new])
    assert read == {keys.access_keys_pk(old.incarnation)}


def test_a_program_has_only_so_many_keys_and_revoked_ones_make_room(
    store: DynamoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_keys, "MAX_KEYS_OF_A_PROGRAM", 3)
    store.create_program(OTHER)
    operator = holder(store, "NBKOPERATOR", programs=())
    made = [create(operator, PROGRAM.program_id) for _ in range(3)]
    before = ids(operator)

    with pytest.raises(QuotaExceeded, match="a program has at most 3 keys"):
        create(operator, OTHER.program_id, PROGRAM.program_id)

    assert ids(operator) == before
    assert create(operator, OTHER.program_id)
    operator.revoke(made[1])
    assert create(operator, PROGRAM.program_id)
    assert store.access_key(made[1]) is None
    with pytest.raises(QuotaExceeded):
        create(operator, PROGRAM.program_id)


def test_a_key_that_is_stored_again_is_in_the_index_of_what_it_opens(store: DynamoStore) -> None:
    store.create_program(OTHER)
    key, _ = issue_key(MASTER_SECRET, "NBKMOVED", programs=(PROGRAM.incarnation,), scopes=SCOPES)
    store.put_access_key(key)
    moved = replace(key, programs=(OTHER.incarnation,))
    store.put_access_key(moved)

    assert store.access_keys_of(PROGRAM.incarnation) == []
    assert store.access_keys_of(OTHER.incarnation) == [moved]
