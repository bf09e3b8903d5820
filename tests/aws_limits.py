"""What DynamoDB and SQS refuse and moto takes: keys and items that are too large, keys named twice, text that is none.

Source: Amazon DynamoDB Developer Guide, "Quotas and limits"; Amazon SQS Developer Guide, "Message quotas".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from botocore.exceptions import ClientError

PARTITION_KEY_BYTES = 2048
SORT_KEY_BYTES = 1024
ITEM_BYTES = 400 * 1024
MESSAGE_BYTES = 256 * 1024


def refuse_what_aws_refuses(operation: str, arguments: Mapping[str, Any]) -> None:
    """Raise the ClientError with which the service would refuse a call for good."""
    problem = next(_problems(operation, arguments), None)
    if problem is not None:
        raise ClientError({"Error": {"Code": "ValidationException", "Message": problem}}, operation)


def _problems(operation: str, arguments: Mapping[str, Any]) -> Iterator[str]:
    for text in _texts(arguments):
        if any("\ud800" <= character <= "\udfff" for character in text):
            yield "text without a UTF-8 form"
    match operation:
        case "GetItem" | "UpdateItem" | "DeleteItem":
            yield from _of_key(arguments["Key"])
            yield from _of_size(arguments.get("ExpressionAttributeValues", {}))
        case "PutItem":
            yield from _of_item(arguments["Item"])
        case "BatchGetItem":
            for request in arguments["RequestItems"].values():
                keys = request["Keys"]
                for key in keys:
                    yield from _of_key(key)
                if len({(key["pk"]["S"], key["sk"]["S"]) for key in keys}) < len(keys):
                    yield "Provided list of item keys contains duplicates"
                if len(keys) > 100:
                    yield "Too many items requested for the BatchGetItem call"
        case "BatchExecuteStatement":
            for statement in arguments["Statements"]:
                pk, sk, *others = statement["Parameters"]
                yield from _of_item({"pk": pk, "sk": sk, **{f"other{n}": value for n, value in enumerate(others)}})
        case "BatchWriteItem":
            for requests in arguments["RequestItems"].values():
                for request in requests:
                    yield from _of_key(request["DeleteRequest"]["Key"])
        case "TransactWriteItems":
            for (kind, write), *_ in (list(entry.items()) for entry in arguments["TransactItems"]):
                yield from _of_item(write["Item"]) if kind == "Put" else _of_key(write["Key"])
            if _size(arguments["TransactItems"]) > 4 * 1024 * 1024:
                yield "Transaction request cannot include more than 4 MB of data"
        case "Query":
            values = arguments["ExpressionAttributeValues"]
            yield from _of_key_part("pk", values[":pk"]["S"], PARTITION_KEY_BYTES)
        case "SendMessage":
            if not 0 < len(arguments["MessageBody"].encode()) <= MESSAGE_BYTES:
                yield "One or more parameters are invalid. Reason: Message must be shorter than 262144 bytes"


def _of_item(item: Mapping[str, Any]) -> Iterator[str]:
    yield from _of_key(item)
    yield from _of_size(item)


def _of_key(item: Mapping[str, Any]) -> Iterator[str]:
    yield from _of_key_part("pk", item["pk"]["S"], PARTITION_KEY_BYTES)
    yield from _of_key_part("sk", item["sk"]["S"], SORT_KEY_BYTES)


def _of_key_part(name: str, text: str, most: int) -> Iterator[str]:
    if not 0 < len(text.encode(errors="replace")) <= most:
        yield f"The size of the key attribute {name} is not 1 to {most} bytes"


def _of_size(attributes: Mapping[str, Any]) -> Iterator[str]:
    if _size(attributes) > ITEM_BYTES:
        yield "Item size has exceeded the maximum allowed size"


def _size(value: Any) -> int:
    """About the bytes that DynamoDB counts for a value: names and contents."""
    match value:
        case str():
            return len(value.encode(errors="replace"))
        case bytes():
            return len(value)
        case Mapping():
            return sum(_size(name) + _size(member) for name, member in value.items())
        case list() | tuple():
            return sum(map(_size, value))
        case _:
            return 8


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, member in value.items():
            yield from _texts(name)
            yield from _texts(member)
    elif isinstance(value, list | tuple):
        for member in value:
            yield from _texts(member)
