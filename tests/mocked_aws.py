"""AWS inside the process of a test, without ports: moto, and what it lacks of what the store relies on.

- PartiQL's INSERT with parameters (py-partiql-parser 0.6.3 refuses it, and moto would overwrite an item that is there):
  a conditional put does it here, as DynamoDB would.
- Calls of several threads at once (moto iterates over dictionaries that others change): they take turns here.
- Speed: for each value of an item moto looks for all ten types that it could have, under three spellings of each,
  every query compares, as numbers may have to be compared, the keys of all items, and each write of a transaction
  copies the whole table once more. All keys are texts here, and what is never changed in place is not copied. botocore
  reads its descriptions of the services once for all tests, not for each.
- Reads without the SDK, which moto does not hear: they go over requests here, which it does.

The tests of the store run on it too (``tests/store/conftest.py``), so what is put right here is held to the same rules
as the engines of the local stack.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from functools import cache
from http.client import HTTPConnection, HTTPSConnection
from typing import Any, cast
from unittest.mock import patch

import botocore.session
import requests
from botocore.loaders import create_loader
from moto import mock_aws
from moto.core.serialize import BaseJSONSerializer
from moto.dynamodb.exceptions import ConditionalCheckFailed
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.dynamo_type import DynamoType, Item, LimitedSizeDict
from moto.dynamodb.models.table import Table as MotoTable
from moto.dynamodb.responses import DynamoHandler

from nextbest.aws import direct_reads
from nextbest.aws.http_connection import HttpReply, PersistentConnection

_CONTAINERS = ("SS", "NS", "BS", "L", "M")
_create_loader = cache(create_loader)
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
        patch.object(BaseJSONSerializer, "_serialize_type_structure", _structure),
        patch.object(MotoTable, "all_items", _all_items),
        patch.object(Item, "__deepcopy__", _copied),
        patch.object(DynamoDBBackend, "transact_write_items", _transact),
        patch.object(botocore.session, "create_loader", _create_loader),
        patch.object(DynamoType, "__eq__", _is_equal),
        patch.object(DynamoDBBackend, "batch_execute_statement", _insert_each),
        patch.object(direct_reads, "PersistentConnection", _connection),
    ):
        yield


_serialize_structure = BaseJSONSerializer._serialize_type_structure


def _structure(serializer: Any, serialized: dict[str, Any], value: Any, shape: Any, key: str) -> None:
    """As moto writes a structure; of a value of an item, its one member alone."""
    if shape.name != "AttributeValue" or not isinstance(value, dict):
        _serialize_structure(serializer, serialized, value, shape, key)
        return
    members: dict[str, Any] = {}
    for name, member in value.items():
        serializer._serialize(members, member, shape.members[name], name)
    serialized[key] = members


def _all_items(table: MotoTable) -> list[Item]:
    items = (item for items in table.items.values() for item in items.values())
    return sorted(items, key=lambda item: (item.hash_key.value, item.range_key.value if item.range_key else ""))


_transact_write_items = DynamoDBBackend.transact_write_items


def _transact(backend: DynamoDBBackend, items: list[dict[str, Any]]) -> None:
    """As moto writes a transaction, with one copy of the table to return to, not one for each write."""
    copies: dict[int, MotoTable] = {}

    def copied_once(table: MotoTable, memo: dict[int, Any]) -> MotoTable:
        if id(table) not in copies:
            copies[id(table)] = copied = cast(MotoTable, MotoTable.__new__(MotoTable))
            vars(copied).update({name: deepcopy(value, memo) for name, value in vars(table).items()})
        return copies[id(table)]

    with patch.object(MotoTable, "__deepcopy__", copied_once, create=True):
        _transact_write_items(backend, items)


def _copied(item: Item, memo: dict[int, Any]) -> Item:
    copied = cast(Item, Item.__new__(Item))
    memo[id(item)] = copied
    copied.hash_key, copied.range_key = item.hash_key, item.range_key
    copied.attrs = LimitedSizeDict()
    values = {name: deepcopy(value, memo) if value.type in _CONTAINERS else value for name, value in item.attrs.items()}
    dict.update(copied.attrs, values)  # without measuring the item again for each
    return copied


_is_equal_value = DynamoType.__eq__


def _is_equal(value: DynamoType, other: DynamoType) -> bool:
    if value.type == other.type == "S":
        return bool(value.value == other.value)
    return _is_equal_value(value, other)


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
