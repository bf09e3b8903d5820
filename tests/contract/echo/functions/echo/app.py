"""Shows what it was sent; fails, exits or takes its time when asked to."""

import json
import os
import time
from typing import Any


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Lambda's entry point, for HTTP requests and direct invocations."""
    asked = event.get("queryStringParameters", {})
    if "fail" in asked or event.get("fail"):
        raise ValueError("a failure was asked for")
    if "exit" in asked:
        os._exit(3)
    time.sleep(float(asked.get("sleep", event.get("sleep", 0))))
    if "key" in event:
        mark(event["key"])
    return {
        "statusCode": 200,
        "headers": {"content-type": "application/json"},
        "cookies": ["session=1"],
        "body": json.dumps({"event": event, "variables": dict(os.environ), "process": os.getpid()}),
    }


def mark(key: str) -> None:
    """Leave a trace in S3, for tests that cannot see the answer."""
    import boto3

    boto3.client("s3").put_object(Bucket=os.environ["ARTIFACT_BUCKET"], Key=key, Body=b"here")
