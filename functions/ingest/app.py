"""Events without the API: from SQS, from EventBridge, and in files dropped into the inbox (docs/events.md)."""

from __future__ import annotations

import os
import time
from typing import Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, FailureResponse, process_partial_response
from aws_lambda_powertools.utilities.batch.exceptions import ExceptionInfo
from aws_lambda_powertools.utilities.data_classes import EventBridgeEvent, SQSRecord

from nextbest.actionhub.bus import bus_message
from nextbest.aws.clients import lazily, s3_client, sqs_client
from nextbest.aws.inbox_bucket import S3InboxBucket
from nextbest.aws.queue import SqsQueue
from nextbest.domain.events import MICROSECONDS
from nextbest.errors import InvalidInput
from nextbest.logic.events import EventMessage, ingest
from nextbest.logic.inbox import Inbox, InboxTask, is_inbox_task
from nextbest.observability import MetricUnit, logger, program_metrics
from nextbest.store.environment import open_store_for_files
from nextbest.web.deadline import in_time, remaining_seconds

STORE = open_store_for_files(clock=time.time)
INBOX = Inbox(
    STORE,
    S3InboxBucket(lazily(s3_client), os.environ["ARTIFACT_BUCKET"]),
    SqsQueue(lazily(sqs_client), os.environ["QUEUE_URL"]),
    clock=time.time,
)

TURN_SECONDS = 35.0
RESERVE_SECONDS = 15.0
"""Of a function's time, for what follows the rows of a turn, and for the messages that came with it."""


class MessageProcessor(BatchProcessor):
    """Reports each message that fails alone; what keeps failing is moved to the dead-letter queue by SQS."""

    def failure_handler(self, record: SQSRecord, exception: ExceptionInfo) -> FailureResponse:
        logger.error("a message could not be ingested", error=str(exception[1]), exc_info=exception[1])
        return super().failure_handler(record, exception)


PROCESSOR = MessageProcessor(EventType.SQS, raise_on_entire_batch_failure=False)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Lambda's entry point: a batch of SQS messages, one event of the bus, or a new object in the inbox.

    An event of the bus or of S3 that fails raises, and Lambda's own retries take over.
    """
    if "Records" in event:
        return dict(process_partial_response(event, ingest_record, PROCESSOR, context))
    if event.get("source") == "aws.s3":
        logger.set_correlation_id(event.get("id"))
        with in_time(context):
            store_file(InboxTask.from_event(event), context)
        return {}
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
        if is_inbox_task(body):
            store_file(InboxTask.from_json(body), lambda_context)
        else:
            store(EventMessage.from_json(body, now=time.time()), record.message_id)


def store_file(task: InboxTask, context: Any) -> None:
    """Store rows of a file for as long as this invocation may; one log line."""
    left = remaining_seconds(context)
    seconds = TURN_SECONDS if left is None else min(TURN_SECONDS, left - RESERVE_SECONDS)
    report = INBOX.run(task, until=time.time() + seconds)
    if report is not None:
        logger.info(
            "a file of the inbox",
            status=report.status,
            reason=report.reason,
            rows=report.rows,
            stored=report.stored,
            rejected=report.rejected,
        )


def store(message: EventMessage, message_id: str) -> None:
    """Store the events of one message; one log line, with the program's lag from sending to storing."""
    logger.set_correlation_id(message_id)
    stored = ingest(STORE, message)
    now = time.time()
    lag = {"IngestionLag": (max(0.0, now - message.sent_us / MICROSECONDS), MetricUnit.Seconds)}
    metrics = program_metrics(lag, now=now, program=message.program_id)
    logger.info("ingested", accepted=stored.accepted, duplicates=stored.duplicates, **metrics)
