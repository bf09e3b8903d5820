"""Consumes messages; reports those that say ``bad`` as failed."""

from typing import Any


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Lambda's entry point for SQS."""
    print("batch of", len(event["Records"]))
    failed = [record["messageId"] for record in event["Records"] if record["body"] == "bad"]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}
