"""Managing keys: who may, rotation with an overlap, revocation, and what is kept at rest."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from random import Random

import pytest

from nextbest.aws.table import Table
from nextbest.domain.access_keys import ADMIN, READ, SCOPES, WRITE, AccessKey, issue_key, key_text, split_key
from nextbest.domain.programs import Incarnation, Program
from nextbest.errors import Forbidden, InUse, InvalidInput, NotFound, SupersededSecret
from nextbest.logic.access_keys import Keyring
from nextbest.logic.authorization import Gate, SecretCredentials
from nextbest.store.dynamo import DynamoStore
from tests.store.conftest import PROGRAM

MASTER_SECRET = "m" * 32
NOW = 1_750_000_000.0
HOUR = 3600.0
OTHER = Program("tea", "Tea house", incarnation=Incarnation("tea@bbbbbbbbbb"))
RANDOM = Random(3)


def holder(
    store: DynamoStore, key_id: str, *, programs: tuple[Incarnation, ...], scopes: tuple[str, ...] = SCOPES
) -> Keyring:
    key, _ = issue_key(MASTER_SECRET, key_id, programs=programs, scopes=scopes)
    store.put_access_key(key)
    return Keyring(store, key, MASTER_SECRET)


@pytest.fixture
def operator(store: DynamoStore) -> Keyring:
    store.create_program(OTHER)
    return holder(store, "NBKOPERATOR", programs=())


@pytest.fixture
def barista(operator: Keyring, store: DynamoStore) -> Keyring:
    """Administers the one program coffee."""
    assert operator.store is store
    return holder(store, "NBKBARISTA", programs=(PROGRAM.incarnation,))


def create(keyring: Keyring, *programs: str, scopes: tuple[str, ...] = (READ,)) -> tuple[AccessKey, str]:
    return keyring.create(program_ids=programs, scopes=scopes, name="shop", now=NOW, random=RANDOM)


def works(keyring: Keyring, text: str, *, now: float, gate: Gate | None = None) -> bool:
    try:
        (gate or Gate(keyring.store)).authenticate(SecretCredentials.read(text), now=now)
    except Forbidden:
        return False
    return True


def test_a_key_for_several_programs_opens_those_alone(operator: Keyring) -> None:
    key, text = create(operator, PROGRAM.program_id, OTHER.program_id, scopes=(WRITE, READ))
    assert works(operator, text, now=NOW)
    assert (key.programs, key.scopes, key.created_at) == ((PROGRAM.incarnation, OTHER.incarnation), (READ, WRITE), NOW)
    for incarnation in key.programs:
        key.require(incarnation, WRITE)
        with pytest.raises(Forbidden):
            key.require(incarnation, ADMIN)
    with pytest.raises(Forbidden):
        key.require(Incarnation("third"), READ)


def test_the_secret_of_a_key_is_not_stored(operator: Keyring, table: Table) -> None:
    _, text = create(operator, PROGRAM.program_id)
    _, secret = split_key(text)
    assert secret not in str(list(table.query("key")))


def test_both_secrets_of_a_rotated_key_work_until_the_overlap_ends(operator: Keyring) -> None:
    key, old = create(operator, PROGRAM.program_id)
    rotated, new = operator.rotate(key.key_id, overlap_seconds=HOUR, now=NOW)
    assert rotated.generation == 2
    assert rotated.generations(now=NOW) == (2, 1)
    assert works(operator, old, now=NOW + HOUR - 1)
    assert works(operator, new, now=NOW + HOUR - 1)
    assert not works(operator, old, now=NOW + HOUR)
    assert works(operator, new, now=NOW + HOUR)
    assert rotated.generations(now=NOW + HOUR) == (2,)


def test_the_new_secret_of_a_rotated_key_works_at_once_in_a_warm_function(operator: Keyring) -> None:
    gate = Gate(operator.store)
    key, old = create(operator, PROGRAM.program_id)
    assert works(operator, old, now=NOW, gate=gate)
    _, new = operator.rotate(key.key_id, overlap_seconds=HOUR, now=NOW)
    assert works(operator, new, now=NOW, gate=gate)
    assert works(operator, old, now=NOW, gate=gate)


def test_rotating_a_key_again_within_the_overlap_ends_the_oldest_secret(operator: Keyring) -> None:
    key, first = create(operator, PROGRAM.program_id)
    _, second = operator.rotate(key.key_id, overlap_seconds=HOUR, now=NOW)
    _, third = operator.rotate(key.key_id, overlap_seconds=0, now=NOW + 1)
    assert [works(operator, text, now=NOW + 2) for text in (first, second, third)] == [False, False, True]


def test_a_revoked_key_opens_nothing_within_five_seconds(operator: Keyring) -> None:
    # Given a warm function that has just used the key
    gate = Gate(operator.store)
    key, text = create(operator, PROGRAM.program_id)
    assert works(operator, text, now=NOW, gate=gate)
    # When it is revoked
    operator.revoke(key.key_id)
    # Then the function forgets it in time, a cold one at once, and it cannot be revived
    assert not works(operator, text, now=NOW + 5, gate=gate)
    assert not works(operator, text, now=NOW)
    assert operator.revoke(key.key_id).revoked
    with pytest.raises(InUse):
        operator.rotate(key.key_id, overlap_seconds=0, now=NOW)


def test_nobody_revokes_their_own_key(operator: Keyring) -> None:
    with pytest.raises(InUse):
        operator.revoke(operator.holder.key_id)


def test_other_programs_are_out_of_reach_of_one_programs_administrator(operator: Keyring, barista: Keyring) -> None:
    foreign, _ = create(operator, OTHER.program_id)
    shared, _ = create(operator, PROGRAM.program_id, OTHER.program_id)
    own, _ = create(barista, PROGRAM.program_id, scopes=(ADMIN,))
    # Then only keys that open no more than the administrator's are there
    assert {key.key_id for key in barista.managed()} == {barista.holder.key_id, own.key_id}
    for key_id in (foreign.key_id, shared.key_id, operator.holder.key_id, "NBKNOBODY"):
        with pytest.raises(NotFound, match="Key not found"):
            barista.rotate(key_id, overlap_seconds=0, now=NOW)
        with pytest.raises(NotFound, match="Key not found"):
            barista.revoke(key_id)
    # And keys of programs that are not theirs are refused alike, whether those exist or not
    for programs in ((OTHER.program_id,), ("nothing",), (PROGRAM.program_id, OTHER.program_id)):
        with pytest.raises(Forbidden):
            create(barista, *programs)
    with pytest.raises(Forbidden):
        create(barista, scopes=(ADMIN,))
    assert {key.key_id for key in operator.managed()} >= {foreign.key_id, shared.key_id, own.key_id}


def test_a_key_without_admin_is_refused(store: DynamoStore) -> None:
    with pytest.raises(Forbidden):
        holder(store, "NBKWRITER", programs=(PROGRAM.incarnation,), scopes=(READ, WRITE))


def test_programs_of_a_new_key_must_exist_and_it_must_open_something(
    operator: Keyring,
) -> None:
    with pytest.raises(NotFound):
        create(operator, "nothing")
    with pytest.raises(InvalidInput):
        create(operator, scopes=(READ,))
    assert create(operator, scopes=(ADMIN,))[0].opens(Incarnation("anything"))


def test_no_rotation_is_lost_at_the_same_moment(operator: Keyring) -> None:
    key, _ = create(operator, PROGRAM.program_id)
    with ThreadPoolExecutor(4) as pool:
        rotated = list(pool.map(lambda _: operator.rotate(key.key_id, overlap_seconds=0, now=NOW)[0], range(6)))
    assert sorted(entry.generation for entry in rotated) == [2, 3, 4, 5, 6, 7]


def test_of_rotations_of_one_s_own_key_at_the_same_moment_one_wins(operator: Keyring) -> None:
    # Given the owner and a thief, who both proved the same secret before either rotated
    key, _ = create(operator, scopes=(ADMIN,))

    def rotate(_: int) -> str | None:
        try:
            return Keyring(operator.store, key, MASTER_SECRET).rotate(key.key_id, overlap_seconds=0, now=NOW)[1]
        except SupersededSecret:
            return None

    with ThreadPoolExecutor(4) as pool:
        rotated = list(pool.map(rotate, range(6)))

    # Then the later one does not end the secret that the first one was given
    (winner,) = filter(None, rotated)
    assert works(operator, winner, now=NOW)


def test_the_secret_of_before_a_rotation_manages_nothing_in_a_warm_function(operator: Keyring) -> None:
    gate = Gate(operator.store)
    key, old = create(operator, scopes=(ADMIN,))
    assert works(operator, old, now=NOW, gate=gate)
    assert gate.authenticate_manager(SecretCredentials.read(old), now=NOW) == key
    rotated, new = operator.rotate(key.key_id, overlap_seconds=HOUR, now=NOW)

    with pytest.raises(SupersededSecret):
        gate.authenticate_manager(SecretCredentials.read(old), now=NOW)
    assert gate.authenticate_manager(SecretCredentials.read(new), now=NOW) == rotated
    # After the overlap it is refused like any other wrong secret
    with pytest.raises(Forbidden, match="not known"):
        gate.authenticate_manager(SecretCredentials.read(old), now=NOW + HOUR)
    operator.revoke(key.key_id)
    with pytest.raises(Forbidden, match="not known"):
        gate.authenticate_manager(SecretCredentials.read(new), now=NOW)


def test_rotation_does_not_prolong_an_expiring_key(operator: Keyring) -> None:
    key, old = create(operator, PROGRAM.program_id)
    operator.store.put_access_key(replace(key, expires_at=NOW + HOUR))
    rotated, new = operator.rotate(key.key_id, overlap_seconds=2 * HOUR, now=NOW)
    assert rotated.expires_at == NOW + HOUR
    assert [works(operator, text, now=NOW + HOUR - 1) for text in (old, new)] == [True, True]
    assert [works(operator, text, now=NOW + HOUR) for text in (old, new)] == [False, False]
    assert rotated.generations(now=NOW + HOUR) == ()


def test_a_new_master_secret_ends_signatures_and_leaves_secrets_that_are_sent(operator: Keyring) -> None:
    """What an operator has to do after the master secret leaked (docs/security.md)."""
    key, old = create(operator, PROGRAM.program_id)
    successor = Keyring(operator.store, operator.holder, "n" * 32)
    # The hash in the table knows no master secret
    assert works(operator, old, now=NOW)
    # Rotated without an overlap, or revoked, the secret ends; the next one is of the new master secret
    rotated, new = successor.rotate(key.key_id, overlap_seconds=0, now=NOW)
    assert [works(operator, text, now=NOW) for text in (old, new)] == [False, True]
    assert new == key_text("n" * 32, rotated) != key_text(MASTER_SECRET, rotated)


def test_a_key_stored_by_an_earlier_release_is_rotated(operator: Keyring, table: Table) -> None:
    key, _ = create(operator, PROGRAM.program_id)
    item = next(item for item in table.query("key") if item["sk"]["S"] == key.key_id)
    earlier = item["body_json"]["S"].replace(',"previous_hash":"","previous_expires_at":0.0', "")
    assert earlier != item["body_json"]["S"]
    table.client.put_item(TableName=table.name, Item={**item, "body_json": {"S": earlier}})
    assert operator.rotate(key.key_id, overlap_seconds=0, now=NOW)[0].generation == 2


@pytest.mark.parametrize(
    "text", ["", ".", "a.", ".b", "a", "é.b", "a.b.c", "a" * 129 + ".b", "a b.c", "a.b\n", "\ud800.a"]
)
def test_what_cannot_be_a_key_is_refused_before_anything_is_read(text: str) -> None:
    with pytest.raises(Forbidden):
        split_key(text)


def test_an_expired_key_is_refused(operator: Keyring) -> None:
    key, text = create(operator, PROGRAM.program_id)
    operator.store.put_access_key(replace(key, expires_at=NOW + HOUR))
    assert works(operator, text, now=NOW)
    assert not works(operator, text, now=NOW + HOUR)
