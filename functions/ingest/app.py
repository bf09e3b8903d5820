"""Queued events: from SQS, and from EventBridge for those who send events without the API (docs/events.md)."""

from __future__ import annotations

import json
import time
from datetime import datetime
from typing import Any

from nextbest.actionhub.parsing import parse_post_events
from nextbest.aws.clients import SERVICE_FAILURES
from nextbest.domain.events import MICROSECONDS, to_microseconds
from nextbest.errors import InvalidInput, NextbestError
from nextbest.logic.events import EventMessage, ingest
from nextbest.observability import embedded, log
from nextbest.store.base import Appended
from nextbest.store.environment import open_store
from nextbest.web.deadline import in_time
from nextbest.web.request import Request

STORE = open_store(clock=time.time)


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Lambda's entry point: a batch of SQS messages, or one event of the bus.

    A message that fails is reported alone, so the others of its batch are not tried again; what keeps failing is moved
    to the dead-letter queue by SQS. An event of the bus that fails raises, and Lambda's own retries take over.
    """
    if "Records" not in event:
        message = bus_message(event, now=time.time())
        _log(ingest(STORE, message), event["id"], message)
        return {}
    failures = [{"itemIdentifier": record["messageId"]} for record in event["Records"] if not _ingest(record, context)]
    return {"batchItemFailures": failures}


def bus_message(event: dict[str, Any], *, now: float) -> EventMessage:
    """The events in an event of the bus: its detail is a body of POST /events with ``program_id`` beside the events.

    It is held to the same contract. Raises InvalidInput.
    """
    detail = event["detail"]
    if not isinstance(detail, dict) or not isinstance(detail.get("program_id"), str):
        raise InvalidInput("the detail of a bus event is an object with the text program_id", field="program_id")
    headers = {"program-id": detail["program_id"], "content-type": "application/json"}
    query = (("process_user_actions", str(detail.get("process_user_actions", True)).lower()),)
    request = Request("POST", "/events", query=query, headers=headers, body=json.dumps(detail).encode())
    asked = parse_post_events(request, now=now)
    sent_us = to_microseconds(datetime.fromisoformat(event["time"]).timestamp())
    return EventMessage(asked.program_id, asked.events, asked.process_user_actions, sent_us)


def _ingest(record: dict[str, Any], context: object) -> bool:
    """Store one message in the time that is left; whether that went well."""
    try:
        with in_time(context):
            message = EventMessage.from_json(record["body"])
            stored = ingest(STORE, message)
    except (NextbestError, *SERVICE_FAILURES) as error:
        log("error", "a message could not be ingested", message_id=record["messageId"], error=str(error))
        return False
    _log(stored, record["messageId"], message)
    return True


def _log(stored: Appended, message_id: str, message: EventMessage) -> None:
    """One line, with the program's ingestion lag: from sending to storing."""
    now = time.time()
    lag = {"IngestionLag": (max(0.0, now - message.sent_us / MICROSECONDS), "Seconds")}
    log(
        "info",
        "ingested",
        message_id=message_id,
        accepted=stored.accepted,
        duplicates=stored.duplicates,
        **embedded(lag, now=now, program=message.program_id),
    )
