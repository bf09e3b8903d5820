"""AWS inside the process of a test, without ports: moto, and what it lacks of what the store relies on.

- PartiQL's INSERT with parameters (py-partiql-parser 0.6.3 refuses it, and moto would overwrite an item that is there):
  a conditional put does it here, as DynamoDB would.
- Calls of several threads at once (moto iterates over dictionaries that others change): they take turns here.
- Reads without the SDK, which moto does not hear: they go over requests here, which it does.

The tests of the store run on it too (``tests/store/conftest.py``), so what is put right here is held to the same rules
as the engines of the local stack.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPSConnection
from typing import Any
from unittest.mock import patch

import requests
from moto import mock_aws
from moto.dynamodb.exceptions import ConditionalCheckFailed
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.responses import DynamoHandler

from nextbest.aws import direct_reads
from nextbest.aws.http_connection import HttpReply, PersistentConnection

_INSERT = re.compile(r"""INSERT INTO "(?P<table>[\w-]+)" VALUE \{(?P<members>'\w+':\?(?:,'\w+':\?)*)\}""")


@contextmanager
def mocked_aws() -> Iterator[None]:
    """All of AWS, empty, for clients that are made while the context lasts."""
    lock = threading.RLock()
    call_action = DynamoHandler.call_action

    def one_at_a_time(handler: Any) -> Any:
        with lock:
            return call_action(handler)

    with (
        mock_aws(),
        patch.object(DynamoHandler, "call_action", one_at_a_time),
        patch.object(DynamoDBBackend, "batch_execute_statement", _insert_each),
        patch.object(direct_reads, "PersistentConnection", _connection),
    ):
        yield


def _connection(connection: HTTPConnection) -> _Connection | PersistentConnection:
    """AWS is reached by HTTPS; a server of the test's own is no part of it."""
    return _Connection(connection) if isinstance(connection, HTTPSConnection) else PersistentConnection(connection)


class _Connection:
    """Stands in for ``PersistentConnection``."""

    def __init__(self, connection: HTTPSConnection) -> None:
        self._host = connection.host
        self._timeout = connection.timeout

    def exchange(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> HttpReply:
        url = f"https://{self._host}{path}"
        response = requests.request(method, url, data=body or None, headers=headers, timeout=self._timeout)
        named = {name.lower(): value for name, value in response.headers.items()}
        return HttpReply(response.status_code, named, response.content, is_last=False)

    def close(self) -> None:
        pass


def _insert_each(backend: Any, statements: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """BatchExecuteStatement, for INSERTs alone: each succeeds or fails by itself."""
    return [_insert(backend, statement["Statement"], statement["Parameters"]) for statement in statements]


def _insert(backend: Any, statement: str, parameters: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    insert = _INSERT.fullmatch(statement)
    if insert is None:
        raise NotImplementedError(statement)
    names = re.findall(r"'(\w+)'", insert["members"])
    item = dict(zip(names, parameters, strict=True))
    try:
        backend.put_item(insert["table"], item, condition_expression="attribute_not_exists(pk)")
    except ConditionalCheckFailed:
        return {"Error": {"Code": "DuplicateItem", "Message": "Duplicate primary key exists in table"}}
    return {"TableName": insert["table"]}
