"""AWS inside the process of a test, without ports: moto, and what it lacks of what the store relies on.

- PartiQL's INSERT with parameters (py-partiql-parser 0.6.3 refuses it, and moto would overwrite an item that is there):
  a conditional put does it here, as DynamoDB would.
- Calls of several threads at once (moto iterates over dictionaries that others change): they take turns here.
- Reads over http.client, which moto does not hear: they go over requests here, which it does.

The tests of the store run on it too (``tests/store/conftest.py``), so what is put right here is held to the same rules
as the engines of the local stack.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from email.message import Message
from typing import Any
from unittest.mock import patch

import requests
from moto import mock_aws
from moto.dynamodb.exceptions import ConditionalCheckFailed
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.responses import DynamoHandler

from nextbest.aws import direct_reads

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
        patch.object(direct_reads, "HTTPSConnection", _Connection),
    ):
        yield


class _Response:
    """As much of ``http.client.HTTPResponse`` as direct reads look at."""

    will_close = False

    def __init__(self, response: requests.Response) -> None:
        self.status = response.status_code
        self.headers = Message()
        for name, value in response.headers.items():
            self.headers[name] = value
        self._content = response.content

    def read(self) -> bytes:
        return self._content


class _Connection:
    """As much of ``http.client.HTTPSConnection`` as direct reads use."""

    def __init__(self, host: str, timeout: float) -> None:
        self._host = host
        self._timeout = timeout

    def request(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> None:
        url = f"https://{self._host}{path}"
        self._response = requests.request(method, url, data=body, headers=headers, timeout=self._timeout)

    def getresponse(self) -> _Response:
        return _Response(self._response)

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
