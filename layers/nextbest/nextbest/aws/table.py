"""One DynamoDB table: the few calls that the store makes. Does not know what the items mean.

Structured values are kept as JSON text in one string attribute: no Decimals, one attribute to parse, and numbers
survive unchanged.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

from botocore.exceptions import ClientError

from nextbest.aws.backoff import Backoff
from nextbest.aws.parallel import in_parallel
from nextbest.errors import CannotBeStored, Unavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.literals import ReturnValueType
    from mypy_boto3_dynamodb.type_defs import (
        AttributeValueTypeDef,
        BatchStatementRequestTypeDef,
        BatchStatementResponseTypeDef,
        TransactWriteItemTypeDef,
        UpdateTypeDef,
        WriteRequestTypeDef,
        WriteRequestUnionTypeDef,
    )

Item = Mapping[str, "AttributeValueTypeDef"]
T = TypeVar("T")

Reading = Literal["Query", "Scan"]

KEYS_PER_CALL = 100  # the limit of BatchGetItem
MOST_SEGMENTS = 2_048
"""Half of those that the local engine tells apart."""
STATEMENTS_PER_CALL = 25  # the limit of BatchExecuteStatement and of BatchWriteItem
SCAN_PAGE_ITEMS = 5000
"""Log rows of about half a megabyte. A page of the whole megabyte takes the local engine eight times as long a row."""

BACKOFF = Backoff()

_CONDITION_FAILED = "ConditionalCheckFailed"
_TOO_LARGE = "Item size"
"""What DynamoDB's message about an item of more than 400 KB begins with; it has no code of its own."""

_OUT_OF_BOUNDS = "One or more parameter values"
"""What its message about a key or value that no item may have begins with. Other messages are about defects of ours."""

_PASSING = frozenset(
    {
        "InternalServerError",
        "ProvisionedThroughputExceeded",
        "RequestLimitExceeded",
        "ThrottlingError",
        "TransactionConflict",
    }
)
"""Codes of parts of a call that DynamoDB could not process at the moment. botocore does not retry these parts."""


class ItemKey(NamedTuple):
    """Primary key of one item."""

    pk: str
    sk: str


class Update(NamedTuple):
    """One update of an item; attribute names are written into the expression. Where its condition is false, it is
    refused."""

    key: ItemKey
    expression: str
    values: Item
    condition: str = ""


class WriteRefused(Exception):
    """The condition of a write was false. Never leaves the store."""


class SomeCannotBeStored(CannotBeStored):
    """Items of a batch that the database refuses for good; the others were stored.

    ``reasons`` are by the place of the item in the batch; ``new`` says of every item whether it is there now and was
    not before.
    """

    reasons: Mapping[int, str] = {}
    new: Sequence[bool] = ()

    @classmethod
    def of(cls, reasons: Mapping[int, str], new: Sequence[bool]) -> SomeCannotBeStored:
        """The error for these items, with the reason for the first one."""
        error = cls(next(iter(reasons.values())))
        error.reasons, error.new = reasons, new
        return error


def to_json(value: object) -> str:
    """Compact JSON; NaN and infinities are refused."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def text(item: Item, name: str) -> str:
    """A string attribute of an item."""
    return item[name]["S"]


def data(item: Item, name: str = "body_json") -> Any:
    """A JSON attribute of an item."""
    return json.loads(text(item, name))


def number(item: Item, name: str, default: int = 0) -> int:
    """A whole-number attribute of an item."""
    return int(item[name]["N"]) if name in item else default


def key_of(key: ItemKey) -> dict[str, AttributeValueTypeDef]:
    return {"pk": {"S": key.pk}, "sk": {"S": key.sk}}


class Table:
    """A table, through a botocore client.

    Methods raise ClientError where the service rejects a whole call (throttling and failures of the service, after
    botocore's own retries), and Unavailable where it kept rejecting parts of one.
    """

    def __init__(
        self, client: DynamoDBClient, name: str, *, backoff: Backoff = BACKOFF, items_per_segment: int = 0
    ) -> None:
        """``items_per_segment`` divides every scan into segments of about so many items; 0: no more than asked for."""
        self.client = client
        self.name = name
        self.backoff = backoff
        self._items_per_segment = items_per_segment

    def get(self, key: ItemKey) -> Item | None:
        """One item, strongly consistent."""
        return self.client.get_item(TableName=self.name, Key=key_of(key), ConsistentRead=True).get("Item")

    def get_many(self, keys: Sequence[ItemKey]) -> dict[ItemKey, Item]:
        """Up to 100 items in one round trip, strongly consistent; those that exist."""
        pending: list[dict[str, AttributeValueTypeDef]] = [key_of(key) for key in keys]
        items: dict[ItemKey, Item] = {}
        for _ in self.backoff.tries():
            response = self.client.batch_get_item(RequestItems={self.name: {"Keys": pending, "ConsistentRead": True}})
            for item in response["Responses"].get(self.name, ()):
                items[ItemKey(item["pk"]["S"], item["sk"]["S"])] = item
            # A throttled part comes back unprocessed; botocore's own retries do not see it.
            unprocessed = response.get("UnprocessedKeys", {}).get(self.name)
            if not unprocessed:
                return items
            pending = list(unprocessed["Keys"])
        raise Unavailable(f"DynamoDB left {len(pending)} of {len(keys)} reads undone; please try again")

    def get_all(self, keys: Sequence[ItemKey]) -> dict[ItemKey, Item]:
        """Any number of items, strongly consistent; those that exist. A round trip for every 100, several at once."""
        chunks = [keys[start : start + KEYS_PER_CALL] for start in range(0, len(keys), KEYS_PER_CALL)]
        return {key: item for items in in_parallel(self.get_many, chunks) for key, item in items.items()}

    def put(self, key: ItemKey, attributes: Item, *, only_new: bool = False) -> None:
        """Put one item whole. Raises WriteRefused when it exists and ``only_new`` is set."""
        condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(pk)"} if only_new else {}
        self._write(lambda: self.client.put_item(TableName=self.name, Item={**key_of(key), **attributes}, **condition))

    def update(
        self,
        key: ItemKey,
        expression: str,
        values: Item,
        *,
        condition: str | None = None,
        returns: ReturnValueType = "NONE",
    ) -> Item:
        """Update one item; attribute names are written into the expression. Raises WriteRefused."""
        extra: dict[str, Any] = {"ConditionExpression": condition} if condition else {}
        if values:
            extra["ExpressionAttributeValues"] = values
        response = self._write(
            lambda: self.client.update_item(
                TableName=self.name,
                Key=key_of(key),
                UpdateExpression=expression,
                ReturnValues=returns,
                **extra,
            )
        )
        return response.get("Attributes", {})

    def repeatable_update(self, key: ItemKey, expression: str, values: Item, *, returns: ReturnValueType) -> Item:
        """Update one item in a way that has the same effect however often it is done, such as adding to a set."""
        return self.update(key, expression, values, returns=returns)

    def delete(self, key: ItemKey, *, condition: str | None = None, values: Item | None = None) -> bool:
        """Delete one item; whether it existed. Raises WriteRefused."""
        extra: dict[str, Any] = {"ConditionExpression": condition} if condition else {}
        if values:
            extra["ExpressionAttributeValues"] = values
        response = self._write(
            lambda: self.client.delete_item(TableName=self.name, Key=key_of(key), ReturnValues="ALL_OLD", **extra)
        )
        return bool(response.get("Attributes"))

    def insert_new(self, items: Sequence[tuple[ItemKey, Mapping[str, str]]]) -> list[bool]:
        """Insert items that are not there yet; for each, whether it was new. Existing items stay as they are.

        PartiQL's INSERT is a conditional put, 25 to a call; BatchWriteItem would overwrite without reporting it.
        Attributes are strings. Raises SomeCannotBeStored once all others are stored.
        """
        chunks = [items[start : start + STATEMENTS_PER_CALL] for start in range(0, len(items), STATEMENTS_PER_CALL)]
        results = [result for answers in in_parallel(self._insert_chunk, chunks) for result in answers]
        new = [result is True for result in results]
        if reasons := {place: result for place, result in enumerate(results) if isinstance(result, str)}:
            raise SomeCannotBeStored.of(reasons, new)
        return new

    def _insert_chunk(self, items: Sequence[tuple[ItemKey, Mapping[str, str]]]) -> list[bool | str]:
        """For each item whether it was new, or the reason why it cannot be stored.

        Each statement succeeds or fails on its own. One that failed inside DynamoDB may have been executed anyway:
        when retried, it then counts as a duplicate: reported wrongly, but stored once.
        """
        new: list[bool | str] = [False] * len(items)
        pending = list(range(len(items)))
        for _ in self.backoff.tries():
            results = self._execute([self._insert_statement(*items[index]) for index in pending])
            retried = []
            for index, result in zip(pending, results, strict=True):
                code = result.get("Error", {}).get("Code")
                if code in _PASSING:
                    retried.append(index)
                elif code in (None, "DuplicateItem"):
                    new[index] = code is None
                else:
                    message = result["Error"].get("Message", "Unknown")
                    if not (reason := _permanent_reason(message)):
                        raise ClientError({"Error": {"Code": code, "Message": message}}, "BatchExecuteStatement")
                    new[index] = reason
            if not retried:
                return new
            pending = retried
        raise Unavailable(f"DynamoDB left {len(pending)} of {len(items)} inserts undone; please try again")

    def _execute(self, statements: Sequence[BatchStatementRequestTypeDef]) -> Sequence[BatchStatementResponseTypeDef]:
        """The result of each of up to 25 PartiQL statements."""
        return self.client.batch_execute_statement(Statements=statements)["Responses"]

    def _insert_statement(self, key: ItemKey, attributes: Mapping[str, str]) -> BatchStatementRequestTypeDef:
        names = ["pk", "sk", *attributes]
        fields = ",".join(f"'{name}':?" for name in names)
        values = [key.pk, key.sk, *attributes.values()]
        return {
            "Statement": f'INSERT INTO "{self.name}" VALUE {{{fields}}}',
            "Parameters": [{"S": value} for value in values],
        }

    def query(
        self, pk: str, *, prefix: str = "", between: tuple[str, str] | None = None, newest_first: bool = False
    ) -> Iterator[Item]:
        """Items of one partition in order of their sort keys, page by page, strongly consistent."""
        return self._items("Query", self._within(pk, prefix=prefix, between=between, newest_first=newest_first))

    def query_page(
        self,
        pk: str,
        *,
        prefix: str = "",
        after: str | None = None,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> tuple[list[Item], str | None]:
        """At most ``limit`` items of one partition beyond the sort key ``after``, with one call, strongly consistent.

        With them the sort key to go on after, None where there is no more. A page also ends after one megabyte.
        """
        condition = self._within(pk, prefix=prefix, newest_first=newest_first)
        if after is not None:
            condition["ExclusiveStartKey"] = key_of(ItemKey(pk, after))
        if limit is not None:
            condition["Limit"] = limit
        page = self._page("Query", condition)
        last = page.get("LastEvaluatedKey")
        return list(page["Items"]), last["sk"]["S"] if last else None

    def _within(
        self, pk: str, *, prefix: str, between: tuple[str, str] | None = None, newest_first: bool
    ) -> dict[str, Any]:
        """The members of a Query of one partition, strongly consistent."""
        values: dict[str, AttributeValueTypeDef] = {":pk": {"S": pk}}
        condition = "pk = :pk"
        if between is not None:
            condition += " AND sk BETWEEN :from AND :to"
            values |= {":from": {"S": between[0]}, ":to": {"S": between[1]}}
        elif prefix:
            condition += " AND begins_with(sk, :prefix)"
            values[":prefix"] = {"S": prefix}
        return {
            "TableName": self.name,
            "KeyConditionExpression": condition,
            "ExpressionAttributeValues": values,
            "ConsistentRead": True,
            "ScanIndexForward": not newest_first,
        }

    def scan(
        self, pk_prefix: str, sk_prefix: str = "", *, projection: str, segment: tuple[int, int] = (0, 1)
    ) -> Iterator[Item]:
        """Items whose keys have these prefixes. Reads the whole table: for a rebase, never for a request.

        ``segment`` is a number from 0, and of how many: together they are the table, each partition key in one.
        """
        prefixes: dict[str, AttributeValueTypeDef] = {":pk": {"S": pk_prefix}}
        if sk_prefix:
            prefixes[":sk"] = {"S": sk_prefix}
        for number, of in self._divided(segment):
            part: dict[str, Any] = {"Segment": number, "TotalSegments": of} if of > 1 else {}
            request: dict[str, Any] = {
                "TableName": self.name,
                "FilterExpression": "begins_with(pk, :pk)" + (" AND begins_with(sk, :sk)" if sk_prefix else ""),
                "ExpressionAttributeValues": prefixes,
                "ProjectionExpression": projection,
                "ConsistentRead": True,
                "Limit": SCAN_PAGE_ITEMS,
                **part,
            }
            yield from self._items("Scan", request)

    def _items(self, operation: Reading, request: Mapping[str, Any]) -> Iterator[Item]:
        """The items of all pages that a Query or Scan answers."""
        while True:
            page = self._page(operation, request)
            yield from page["Items"]
            if not page.get("LastEvaluatedKey"):
                return
            request = {**request, "ExclusiveStartKey": page["LastEvaluatedKey"]}

    def _page(self, operation: Reading, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """One page, as botocore's client gives it."""
        page: Any = self.client.query(**request) if operation == "Query" else self.client.scan(**request)
        return dict(page)

    def _divided(self, segment: tuple[int, int]) -> list[tuple[int, int]]:
        """``segment``, or the smaller ones that it is read in: those of all segments together are the table."""
        if not self._items_per_segment:
            return [segment]
        number, of = segment
        items = self.client.describe_table(TableName=self.name)["Table"]["ItemCount"]
        count = max(min(items // self._items_per_segment, MOST_SEGMENTS) // of, 1)
        return [(number * count + place, of * count) for place in range(count)]

    def update_all(self, updates: Sequence[Update]) -> None:
        """Up to 100 updates or none. Raises WriteRefused when a condition fails, and CannotBeStored."""
        self.transact([self._operation(update) for update in updates])

    def _operation(self, update: Update) -> TransactWriteItemTypeDef:
        operation: UpdateTypeDef = {
            "TableName": self.name,
            "Key": key_of(update.key),
            "UpdateExpression": update.expression,
        }
        if update.values:
            operation["ExpressionAttributeValues"] = update.values
        if update.condition:
            operation["ConditionExpression"] = update.condition
        return {"Update": operation}

    def transact(self, operations: Sequence[TransactWriteItemTypeDef]) -> None:
        """Several writes or none. Raises WriteRefused when a condition fails, and CannotBeStored."""
        self._write(lambda: self.client.transact_write_items(TransactItems=operations))

    def _write(self, call: Callable[[], T]) -> T:
        """Run ``call``, and retry it on a conflict or throttling.

        Raises WriteRefused for a failed condition, and CannotBeStored for what DynamoDB refuses for good.
        """
        for _ in self.backoff.tries():
            try:
                return call()
            except ClientError as error:
                reasons = _reasons(error)
                if _CONDITION_FAILED in reasons:
                    raise WriteRefused from error
                if reason := next(filter(None, map(_permanent_reason, _messages(error))), ""):
                    raise CannotBeStored(reason) from error
                if not reasons or reasons - _PASSING:
                    raise
                last = error
        raise Unavailable("DynamoDB kept rejecting a contended write; please try again") from last

    def delete_many(self, keys: Iterable[ItemKey]) -> int:
        """Delete items in batches; the number of ``keys``, whether or not the items existed."""
        count = 0
        batch: list[WriteRequestTypeDef] = []
        for key in keys:
            batch.append({"DeleteRequest": {"Key": key_of(key)}})
            count += 1
            if len(batch) == STATEMENTS_PER_CALL:
                self._write_batch(batch)
                batch = []
        if batch:
            self._write_batch(batch)
        return count

    def _write_batch(self, requests: Sequence[WriteRequestUnionTypeDef]) -> None:
        for _ in self.backoff.tries():
            response = self.client.batch_write_item(RequestItems={self.name: requests})
            requests = response.get("UnprocessedItems", {}).get(self.name, [])
            if not requests:
                return
        raise Unavailable(f"DynamoDB left {len(requests)} deletions undone; please try again")


def _permanent_reason(message: str) -> str:
    """Why DynamoDB refuses data for good; empty where its message is about anything else."""
    if _TOO_LARGE in message:
        return "what would be stored has more than the 400 KB that one item may have"
    return f"the database refuses it: {message}" if _OUT_OF_BOUNDS in message else ""


def _messages(error: ClientError) -> list[str]:
    """What DynamoDB says of a write; of a transaction, what it says of each of its operations."""
    response: Any = error.response
    reasons = response.get("CancellationReasons", ())
    return [str(error), *(reason.get("Message") or "" for reason in reasons)]


def _reasons(error: ClientError) -> set[str]:
    """Why DynamoDB rejected a write, where its condition or other writers are the reason; empty otherwise.

    A transaction is cancelled for failed conditions as well as for conflicts and throttling; only its list of reasons,
    one for each operation, says which.
    """
    code = error.response["Error"]["Code"]
    if code == "TransactionCanceledException":
        cancelled: Any = error.response
        return {reason["Code"] for reason in cancelled.get("CancellationReasons", ())} - {"None"}
    if code in ("ConditionalCheckFailedException", "TransactionConflictException"):
        return {code.removesuffix("Exception")}
    return set()
