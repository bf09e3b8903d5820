"""What DynamoDB could not do just now is tried again, later and later; what it refuses is not."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from nextbest.aws.backoff import Backoff
from nextbest.aws.parallel import in_parallel
from nextbest.aws.table import SCAN_PAGE_ITEMS, ItemKey, SomeCannotBeStored, Table, WriteRefused, key_of
from nextbest.errors import CannotBeStored, Unavailable
from tests.store.conftest import dynamodb

A, B = ItemKey("p", "a"), ItemKey("p", "b")
ROWS: list[tuple[ItemKey, dict[str, str]]] = [(A, {}), (B, {})]
PASSING = [
    "InternalServerError",
    "ProvisionedThroughputExceeded",
    "RequestLimitExceeded",
    "ThrottlingError",
    "TransactionConflict",
]


class Script:
    """A table whose service answers as told; ``pauses`` are the seconds that were waited."""

    def __init__(self) -> None:
        self.pauses: list[float] = []
        client = dynamodb("http://127.0.0.1:9")
        self.stub = Stubber(client)
        self.table = Table(client, "t", backoff=Backoff(self.pauses.append, lambda: 1.0, attempts=4))

    def unprocessed(self, *keys: ItemKey, found: tuple[ItemKey, ...] = ()) -> None:
        answer: dict[str, Any] = {"Responses": {"t": [key_of(key) for key in found]}}
        answer["UnprocessedKeys"] = {"t": {"Keys": [key_of(key) for key in keys]}} if keys else {}
        self.stub.add_response("batch_get_item", answer)

    def inserted(self, *codes: str | None) -> None:
        parts = [{"Error": {"Code": code, "Message": "no"}} if code else {} for code in codes]
        self.stub.add_response("batch_execute_statement", {"Responses": parts})

    def cancelled(self, *reasons: str) -> None:
        self.stub.add_client_error(
            "transact_write_items",
            "TransactionCanceledException",
            modeled_fields={"CancellationReasons": [{"Code": reason} for reason in reasons]},
        )


@pytest.fixture
def script() -> Iterator[Script]:
    made = Script()
    with made.stub:
        yield made
    made.stub.assert_no_pending_responses()
    made.table.client.close()


def test_pauses_double_up_to_a_limit() -> None:
    pauses: list[float] = []
    backoff = Backoff(pauses.append, lambda: 0.5, attempts=6, first_seconds=0.1, longest_seconds=0.5)

    assert list(backoff.tries()) == [0, 1, 2, 3, 4, 5]
    assert pauses == [0.05, 0.1, 0.2, 0.25, 0.25]


def test_keys_left_unread_are_read_again(script: Script) -> None:
    script.unprocessed(B, found=(A,))
    script.unprocessed(found=(B,))

    assert script.table.get_many([A, B]).keys() == {A, B}
    assert script.pauses == [0.05]


def test_keys_left_unread_for_too_long_are_an_error(script: Script) -> None:
    for _ in range(4):
        script.unprocessed(B, found=())

    with pytest.raises(Unavailable, match="1 of 2 reads"):
        script.table.get_many([A, B])
    assert script.pauses == [0.05, 0.1, 0.2]


@pytest.mark.parametrize("code", PASSING)
def test_an_insert_that_could_not_be_done_is_tried_again_alone(script: Script, code: str) -> None:
    script.inserted(None, code)
    script.inserted(code)
    script.inserted(None)

    assert script.table.insert_new(ROWS) == [True, True]
    assert script.pauses == [0.05, 0.1]


def test_only_a_duplicate_counts_as_one(script: Script) -> None:
    script.inserted("DuplicateItem", None)
    assert script.table.insert_new(ROWS) == [False, True]

    for code in ("ValidationError", "AccessDenied", "ResourceNotFound", "ConditionalCheckFailed"):
        script.inserted(None, code)
        with pytest.raises(ClientError, match=code):
            script.table.insert_new(ROWS)
    assert script.pauses == []


def test_items_that_are_refused_for_good_are_named_and_the_others_stored(script: Script) -> None:
    too_large = {"Error": {"Code": "ValidationError", "Message": "Item size has exceeded the maximum allowed size"}}
    script.stub.add_response("batch_execute_statement", {"Responses": [too_large, {}]})

    with pytest.raises(SomeCannotBeStored, match="400 KB") as refused:
        script.table.insert_new(ROWS)
    assert (set(refused.value.reasons), refused.value.new) == ({0}, [False, True])


def test_a_transaction_with_an_item_that_is_too_large_says_so(script: Script) -> None:
    reasons = [
        {"Code": "None"},
        {"Code": "ValidationError", "Message": "Item size to update has exceeded the maximum allowed size"},
    ]
    script.stub.add_client_error(
        "transact_write_items", "TransactionCanceledException", modeled_fields={"CancellationReasons": reasons}
    )

    with pytest.raises(CannotBeStored, match="400 KB"):
        script.table.transact([{"Delete": {"TableName": "t", "Key": key_of(key)}} for key in (A, B)])
    assert script.pauses == []


def test_inserts_left_undone_for_too_long_are_an_error(script: Script) -> None:
    script.inserted(None, "ThrottlingError")
    for _ in range(3):
        script.inserted("ThrottlingError")

    with pytest.raises(Unavailable, match="1 of 2 inserts"):
        script.table.insert_new(ROWS)


@pytest.mark.parametrize("reason", PASSING)
def test_a_transaction_that_others_were_in_the_way_of_is_tried_again(script: Script, reason: str) -> None:
    script.cancelled("None", reason)
    script.stub.add_response("transact_write_items", {})

    script.table.transact([{}, {}])

    assert script.pauses == [0.05]


def test_a_transaction_is_refused_for_its_conditions_alone(script: Script) -> None:
    script.cancelled("TransactionConflict", "ConditionalCheckFailed")
    with pytest.raises(WriteRefused):
        script.table.transact([{}, {}])

    script.cancelled("None", "ValidationError")
    with pytest.raises(ClientError, match="TransactionCanceledException"):
        script.table.transact([{}, {}])

    for _ in range(4):
        script.cancelled("ThrottlingError", "None")
    with pytest.raises(Unavailable):
        script.table.transact([{}, {}])


def test_a_write_in_the_way_of_a_transaction_waits_for_it(script: Script) -> None:
    script.stub.add_client_error("update_item", "TransactionConflictException")
    script.stub.add_response("update_item", {})
    script.table.update(A, "SET x = :x", {":x": {"S": "1"}}, condition="attribute_exists(pk)")
    assert script.pauses == [0.05]

    script.stub.add_client_error("update_item", "ConditionalCheckFailedException")
    with pytest.raises(WriteRefused):
        script.table.update(A, "SET x = :x", {":x": {"S": "1"}}, condition="attribute_exists(pk)")


def test_deletions_left_undone_are_done_again_and_not_for_ever(script: Script) -> None:
    undone: dict[str, Any] = {"UnprocessedItems": {"t": [{"DeleteRequest": {"Key": key_of(B)}}]}}
    script.stub.add_response("batch_write_item", undone)
    script.stub.add_response("batch_write_item", {})
    assert script.table.delete_many([A, B]) == 2

    for _ in range(4):
        script.stub.add_response("batch_write_item", undone)
    with pytest.raises(Unavailable, match="1 deletions"):
        script.table.delete_many([A, B])


def test_when_one_of_many_fails_those_not_begun_are_given_up() -> None:
    # Given as many calls that take a moment as run at once, and one that fails
    begun: list[int] = []
    ended = threading.Event()
    threading.Timer(0.2, ended.set).start()

    def call(value: int) -> int:
        begun.append(value)
        if value == 0:
            raise Unavailable("no")
        ended.wait()
        return value

    # When there are more, then those never begin
    with pytest.raises(Unavailable):
        in_parallel(call, range(100))
    assert len(begun) < 20
    assert in_parallel(lambda value: 2 * value, range(20)) == list(range(0, 40, 2))


def test_a_scan_reads_small_pages_and_all_of_them() -> None:
    script = Script()
    asked: dict[str, Any] = {
        "TableName": "t",
        "FilterExpression": "begins_with(pk, :pk) AND begins_with(sk, :sk)",
        "ExpressionAttributeValues": {":pk": {"S": "p"}, ":sk": {"S": "s"}},
        "ProjectionExpression": "pk, sk",
        "ConsistentRead": True,
        "Limit": SCAN_PAGE_ITEMS,
    }
    script.stub.add_response("scan", {"Items": [key_of(A)], "LastEvaluatedKey": key_of(A)}, asked)
    script.stub.add_response("scan", {"Items": [key_of(B)]}, {**asked, "ExclusiveStartKey": key_of(A)})
    with script.stub:
        assert list(script.table.scan("p", "s", projection="pk, sk")) == [key_of(A), key_of(B)]
    script.stub.assert_no_pending_responses()


def test_a_scan_divided_into_segments_reads_every_item_once(table: Table) -> None:
    # Given a table of 40 items, scanned in pieces of at most 5
    item_keys = sorted(ItemKey(f"p{number}", "s") for number in range(40))
    for key in item_keys:
        table.client.put_item(TableName=table.name, Item=key_of(key))
    divided = Table(table.client, table.name, items_per_segment=5)

    def scanned(segment: tuple[int, int]) -> list[ItemKey]:
        items = divided.scan("p", projection="pk, sk", segment=segment)
        return [ItemKey(item["pk"]["S"], item["sk"]["S"]) for item in items]

    # Then the whole and its four quarters are read in eight
    assert len(divided._divided((0, 1))) == 8
    assert sorted(scanned((0, 1))) == item_keys
    assert sorted(key for number in range(4) for key in scanned((number, 4))) == item_keys
