"""Queued events: from SQS, and from EventBridge for those who send events without the API (docs/events.md)."""

from __future__ import annotations

import time
from typing import Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, FailureResponse, process_partial_response
from aws_lambda_powertools.utilities.batch.exceptions import ExceptionInfo
from aws_lambda_powertools.utilities.data_classes import EventBridgeEvent, SQSRecord

from nextbest.actionhub.bus import bus_message
from nextbest.domain.events import MICROSECONDS
from nextbest.errors import InvalidInput
from nextbest.logic.events import EventMessage, ingest
from nextbest.observability import MetricUnit, logger, program_metrics
from nextbest.store.environment import open_store
from nextbest.web.deadline import in_time

STORE = open_store(clock=time.time)


class MessageProcessor(BatchProcessor):
    """Reports each message that fails alone; what keeps failing is moved to the dead-letter queue by SQS."""

    def failure_handler(self, record: SQSRecord, exception: ExceptionInfo) -> FailureResponse:
        logger.error("a message could not be ingested", error=str(exception[1]), exc_info=exception[1])
        return super().failure_handler(record, exception)


PROCESSOR = MessageProcessor(EventType.SQS, raise_on_entire_batch_failure=False)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Lambda's entry point: a batch of SQS messages, or one event of the bus.

    An event of the bus that fails raises, and Lambda's own retries take over.
    """
    if "Records" in event:
        return dict(process_partial_response(event, ingest_record, PROCESSOR, context))
    bus_event = EventBridgeEvent(event)
    store(bus_message(bus_event, now=time.time()), bus_event.get_id)
    return {}


def ingest_record(record: SQSRecord, lambda_context: Any = None) -> None:
    """Store one message in the time that is left. Raises InvalidInput for one that is not in our format."""
    logger.set_correlation_id(record.message_id)
    with in_time(lambda_context):
        body = record.get("body")
        if not isinstance(body, str):
            raise InvalidInput("a record of the queue has no body, so there is nothing to store")
        store(EventMessage.from_json(body, now=time.time()), record.message_id)


def store(message: EventMessage, message_id: str) -> None:
    """Store the events of one message; one log line, with the program's lag from sending to storing."""
    logger.set_correlation_id(message_id)
    stored = ingest(STORE, message)
    now = time.time()
    lag = {"IngestionLag": (max(0.0, now - message.sent_us / MICROSECONDS), MetricUnit.Seconds)}
    metrics = program_metrics(lag, now=now, program=message.program_id)
    logger.info("ingested", accepted=stored.accepted, duplicates=stored.duplicates, **metrics)
