"""The yardstick ``floor``: a minimal function that reads one item of a user and returns JSON."""

from __future__ import annotations

import json
import os
from typing import Any

import boto3
import numpy as np

CLIENT = boto3.client("dynamodb")
TABLE_NAME = os.environ["TABLE_NAME"]


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Return the size of the user's item."""
    user_id = event["pathParameters"]["user_id"]
    key = {"pk": {"S": f"floor#{event['headers']['program-id']}#{user_id}"}, "sk": {"S": "item"}}
    item = CLIENT.get_item(TableName=TABLE_NAME, Key=key)["Item"]
    size = int(np.frombuffer(item["packed"]["B"], np.uint8).size)
    return {
        "statusCode": 200,
        "headers": {"content-type": "application/json"},
        "body": json.dumps({"user_id": user_id, "bytes": size}),
    }
