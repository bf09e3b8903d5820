"""Queued events: from SQS, and from EventBridge for those who send events without the API."""

from __future__ import annotations

import json
from typing import Any

from nextbest.collecting import ingest_message
from nextbest.errors import NextbestError
from nextbest.observability import log
from nextbest.store.clients import SERVICE_FAILURES
from nextbest.store.environment import open_store

STORE = open_store()


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Lambda's entry point: a batch of SQS messages, or one EventBridge event whose detail is such a message.

    A message that fails is reported alone, so the others of its batch are not tried again; what keeps failing is moved
    to the dead-letter queue by SQS. An EventBridge event that fails raises, and Lambda's own retries take over.
    """
    if "Records" not in event:
        ingest_message(STORE, json.dumps(event["detail"]))
        return {}
    failures = [{"itemIdentifier": record["messageId"]} for record in event["Records"] if not _ingest(record)]
    return {"batchItemFailures": failures}


def _ingest(record: dict[str, Any]) -> bool:
    try:
        stored = ingest_message(STORE, record["body"])
    except (NextbestError, *SERVICE_FAILURES) as error:
        log("error", "a message could not be ingested", message_id=record["messageId"], error=str(error))
        return False
    log("info", "ingested", message_id=record["messageId"], accepted=stored.accepted, duplicates=stored.duplicates)
    return True
