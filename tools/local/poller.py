"""SQS event source mappings: a poller that behaves as Lambda's does.

It receives up to a batch, invokes the function once, and deletes what the function did not report as failed. What is
left becomes visible again after the queue's visibility timeout and, received too often, moves to the dead-letter queue
by the queue's own redrive policy.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from tools.local.engines import ACCOUNT_ID, REGION
from tools.local.environments import Invocation
from tools.local.processes import ProcessDied
from tools.local.template import Function, QueueSource

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

_LOG = logging.getLogger(__name__)
_LONG_POLL_SECONDS = 2
_PAUSE_AFTER_ERROR_SECONDS = 1.0
_RECEIVE_LIMIT = 10
_ATTEMPTS = 3


class Invoker(Protocol):
    """What runs functions: our execution environments, or a Lambda API."""

    def invoke(self, function: Function, event: bytes) -> Invocation:
        """Run the function on one event. Raises ProcessDied if that is not possible."""


def invoke_asynchronously(
    invoker: Invoker, function: Function, event: bytes, *, of: str, stopped: threading.Event
) -> None:
    """Run the function on an event; a failed invocation is repeated twice, as Lambda does, unless all is ``stopped``.

    ``of`` says in the log what the event is about.
    """
    for _ in range(_ATTEMPTS):
        try:
            invocation = invoker.invoke(function, event)
        except ProcessDied as error:
            _LOG.error("%s: %s", function.name, error)
            return
        if invocation.error_type is None or stopped.is_set():
            return
        _LOG.error("%s failed on %s: %s", function.name, of, invocation.payload.decode(errors="replace"))


class QueuePoller:
    """Feeds one queue to one function in a thread of its own until ``close``."""

    def __init__(
        self, source: QueueSource, function: Function, *, sqs: SQSClient, queue_url: str, invoker: Invoker
    ) -> None:
        self._source = source
        self._function = function
        self._sqs = sqs
        self._queue_url = queue_url
        self._invoker = invoker
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"poller-{source.queue}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Stop polling; a batch that is being processed may finish, or is delivered again."""
        self._stopped.set()

    def poll_once(self) -> int:
        """Receive one batch, invoke the function, and delete what succeeded; the number of messages received."""
        messages = self._sqs.receive_message(
            QueueUrl=self._queue_url,
            MaxNumberOfMessages=min(self._source.batch_size, _RECEIVE_LIMIT),
            WaitTimeSeconds=_LONG_POLL_SECONDS,
            MessageSystemAttributeNames=["All"],
            MessageAttributeNames=["All"],
        ).get("Messages", [])
        if not messages:
            return 0
        invocation = self._invoker.invoke(self._function, queue_event(messages, queue=self._source.queue))
        failed = failed_message_ids(
            invocation,
            (message["MessageId"] for message in messages),
            reports_item_failures=self._source.reports_item_failures,
        )
        if failed:
            _LOG.warning("%s: %d of %d messages failed", self._function.name, len(failed), len(messages))
        done = [message for message in messages if message["MessageId"] not in failed]
        if done:
            self._sqs.delete_message_batch(
                QueueUrl=self._queue_url,
                Entries=[
                    {"Id": str(index), "ReceiptHandle": message["ReceiptHandle"]} for index, message in enumerate(done)
                ],
            )
        return len(messages)

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self.poll_once()
            except (BotoCoreError, ClientError, ProcessDied) as error:
                if not self._stopped.is_set():
                    _LOG.error("polling %s: %s", self._source.queue, error)
                self._stopped.wait(_PAUSE_AFTER_ERROR_SECONDS)


def queue_event(messages: Iterable[MessageTypeDef], *, queue: str) -> bytes:
    """The event that Lambda sends to a function for these messages."""
    records = [
        {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": message.get("Attributes", {}),
            "messageAttributes": {
                name: {f"{key[0].lower()}{key[1:]}": value for key, value in attribute.items()}
                for name, attribute in message.get("MessageAttributes", {}).items()
            },
            "md5OfBody": message.get("MD5OfBody", ""),
            "eventSource": "aws:sqs",
            "eventSourceARN": f"arn:aws:sqs:{REGION}:{ACCOUNT_ID}:{queue}",
            "awsRegion": REGION,
        }
        for message in messages
    ]
    return json.dumps({"Records": records}).encode()


def failed_message_ids(
    invocation: Invocation, message_ids: Iterable[str], *, reports_item_failures: bool
) -> frozenset[str]:
    """The messages that must not be deleted, by Lambda's rules for partial batch responses.

    All of them if the function failed or its report is malformed; none if it returned normally and reports nothing.
    """
    sent = frozenset(message_ids)
    if invocation.error_type is not None:
        return sent
    if not reports_item_failures:
        return frozenset()
    response: Any = json.loads(invocation.payload or b"null")
    if not isinstance(response, dict) or not response.get("batchItemFailures"):
        return frozenset()
    named = {str(failure.get("itemIdentifier")) for failure in response["batchItemFailures"]}
    return frozenset(named) if named <= sent else sent
