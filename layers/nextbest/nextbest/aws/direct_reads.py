"""Reads of DynamoDB and S3 without an SDK, for the requests that users wait for; and writes of events.

Importing botocore and making its clients is most of a cold start, and its layers cost more than a millisecond of every
call (measured: docs/performance.md). This module has only what the hot reads need: BatchGetItem, and GET of an object;
the pages of a Query or Scan, of which a rebase reads thousands; and what events are stored with: BatchExecuteStatement,
and UpdateItem without a condition. Whenever a call does not succeed at once, botocore repeats it, with its handling of
throttling, retries and errors. Reads, conditional inserts and additions to sets may be repeated, so that is safe.
"""

from __future__ import annotations

import json
import ssl
from base64 import b64encode
from binascii import a2b_base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from weakref import finalize
from zlib import crc32

from nextbest.aws.http_connection import HttpReply, PersistentConnection
from nextbest.aws.sigv4 import AwsCredentials, signed_headers
from nextbest.aws.table import Item, ItemKey, Reading, Table, key_of
from nextbest.observability import logger

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.literals import ReturnValueType
    from mypy_boto3_dynamodb.type_defs import BatchStatementRequestTypeDef, BatchStatementResponseTypeDef

TIMEOUT_SECONDS = 1.0
"""Of reads that somebody waits for."""

_OK = (200, 206)  # all that there is, or the range that was asked for
_BATCH_GET_ITEM = {"content-type": "application/x-amz-json-1.0", "x-amz-target": "DynamoDB_20120810.BatchGetItem"}
_READING = {
    operation: {**_BATCH_GET_ITEM, "x-amz-target": f"DynamoDB_20120810.{operation}"} for operation in ("Query", "Scan")
}
_BATCH_EXECUTE = {**_BATCH_GET_ITEM, "x-amz-target": "DynamoDB_20120810.BatchExecuteStatement"}
_UPDATE_ITEM = {**_BATCH_GET_ITEM, "x-amz-target": "DynamoDB_20120810.UpdateItem"}
# A connection that was idle for longer may be closed already: services drop them, and so does a frozen sandbox.
_LONGEST_IDLE_SECONDS = 15.0


@dataclass(slots=True)
class _IdleConnection:
    connection: PersistentConnection
    since: float


class Endpoint:
    """One service at one URL: sends signed requests over persistent connections. Thread-safe.

    ``credentials`` returns those that are valid now, ``clock`` the time in seconds since 1970; ``timeout_seconds`` is
    for connecting, and for every read from the connection.
    """

    def __init__(
        self,
        service: str,
        url: str,
        region: str,
        credentials: Callable[[], AwsCredentials],
        clock: Callable[[], float],
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        parts = urlsplit(url)
        self._service = service
        self._host = parts.netloc
        self._is_secure = parts.scheme == "https"
        self._region = region
        self._credentials = credentials
        self._clock = clock
        self._timeout_seconds = timeout_seconds
        self._idle: list[_IdleConnection] = []
        finalize(self, _close, self._idle)

    def send(self, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> HttpReply | None:
        """A response with status 200, or 206 for a range; None for any other response, or none."""
        signed = signed_headers(
            method,
            path,
            {"host": self._host, **headers},
            body,
            self._credentials(),
            region=self._region,
            service=self._service,
            now=self._clock(),
        )
        connection = self._connection()
        try:
            reply = connection.exchange(method, path, signed, body)
        except (OSError, HTTPException) as error:
            connection.close()
            logger.warning("a direct call failed; the SDK repeats it", aws_service=self._service, error=repr(error))
            return None
        if reply.is_last:
            connection.close()
        else:
            self._idle.append(_IdleConnection(connection, self._clock()))
        if reply.status not in _OK:
            logger.warning(
                "a direct call was refused; the SDK repeats it", aws_service=self._service, status=reply.status
            )
            return None
        return reply

    def _connection(self) -> PersistentConnection:
        """An idle connection, if it has not been idle for too long; otherwise a new one, not connected yet."""
        while self._idle:
            try:
                idle = self._idle.pop()
            except IndexError:  # another thread took the last one
                break
            if self._clock() - idle.since < _LONGEST_IDLE_SECONDS:
                return idle.connection
            idle.connection.close()
        if self._is_secure:
            secure = HTTPSConnection(self._host, timeout=self._timeout_seconds, context=_tls_context())
            return PersistentConnection(secure)
        return PersistentConnection(HTTPConnection(self._host, timeout=self._timeout_seconds))


@cache
def _tls_context() -> ssl.SSLContext:
    """One for all connections: each of its own would read the certificates of all authorities again."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def _close(idle: list[_IdleConnection]) -> None:
    while idle:
        idle.pop().connection.close()


class DirectTable(Table):
    """A table whose batches of items are read without the SDK, and with it where that fails."""

    def __init__(self, client: DynamoDBClient, name: str, endpoint: Endpoint, *, items_per_segment: int = 0) -> None:
        super().__init__(client, name, items_per_segment=items_per_segment)
        self._endpoint = endpoint

    def get(self, key: ItemKey) -> Item | None:
        """One item, strongly consistent."""
        return self.get_many([key]).get(key)

    def get_many(self, keys: Sequence[ItemKey]) -> dict[ItemKey, Item]:
        """Up to 100 items in one round trip, strongly consistent; those that exist."""
        items = self._batch_get_item([key_of(key) for key in keys])
        if items is None:
            return super().get_many(keys)
        return {ItemKey(item["pk"]["S"], item["sk"]["S"]): item for item in items}

    def _batch_get_item(self, keys: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]] | None:
        """The items under ``keys`` in the form of botocore's client; None when DynamoDB did not answer for all."""
        reply = self._call(_BATCH_GET_ITEM, {"RequestItems": {self.name: {"Keys": list(keys), "ConsistentRead": True}}})
        if reply is None or reply.get("UnprocessedKeys"):
            return None
        return [_with_bytes(item) for item in reply["Responses"].get(self.name, ())]

    def _page(self, operation: Reading, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """One page of a Query or Scan, in the form of botocore's client."""
        page: dict[str, Any] | None = self._call(_READING[operation], request)
        if page is None:
            return super()._page(operation, request)
        return {**page, "Items": [_with_bytes(item) for item in page["Items"]]}

    def _call(self, headers: Mapping[str, str], request: Mapping[str, Any]) -> Any:
        """What DynamoDB answers; None where it is not plain that the call succeeded."""
        response = self._endpoint.send("POST", "/", headers, json.dumps(request).encode())
        if response is None:
            return None
        checksum = response.headers.get("x-amz-crc32")
        if checksum is not None and checksum != str(crc32(response.content)):
            logger.warning("a response failed its checksum; the SDK repeats the call", aws_service="dynamodb")
            return None
        return json.loads(response.content)


class DirectWrites(DirectTable):
    """A table whose events are also written without the SDK, which takes a quarter of the time for each.

    What was inserted though no answer came counts as known when the SDK repeats it, as when it repeats its own calls.
    """

    def _execute(self, statements: Sequence[BatchStatementRequestTypeDef]) -> Sequence[BatchStatementResponseTypeDef]:
        reply = self._call(_BATCH_EXECUTE, {"Statements": list(statements)})
        if reply is None:
            return super()._execute(statements)
        results: list[BatchStatementResponseTypeDef] = reply["Responses"]
        return results

    def repeatable_update(self, key: ItemKey, expression: str, values: Item, *, returns: ReturnValueType) -> Item:
        """Update one item in a way that has the same effect however often it is done, such as adding to a set."""
        request = {
            "TableName": self.name,
            "Key": key_of(key),
            "UpdateExpression": expression,
            "ExpressionAttributeValues": {name: _with_text(value) for name, value in values.items()},
            "ReturnValues": returns,
        }
        reply = self._call(_UPDATE_ITEM, request)
        if reply is None:
            return super().repeatable_update(key, expression, values, returns=returns)
        return _with_bytes(reply.get("Attributes", {}))


def _with_text(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """A value whose bytes, if it has any, are spelled as JSON can have them."""
    if "B" in value:
        return {"B": b64encode(value["B"]).decode()}
    if "BS" in value:
        return {"BS": [b64encode(member).decode() for member in value["BS"]]}
    return value


def _with_bytes(item: dict[str, Any]) -> dict[str, Any]:
    """The item with its binary attributes decoded, as botocore gives them."""
    for value in item.values():
        if "B" in value:
            value["B"] = a2b_base64(value["B"])
        elif "BS" in value:
            value["BS"] = [a2b_base64(member) for member in value["BS"]]
    return item
