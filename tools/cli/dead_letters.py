"""Messages that could not be ingested: list them, or send them to the queue again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tools.cli.deployment import Deployment

_PER_CALL = 10
_HIDDEN_SECONDS = 60


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One message: how often it was tried, when it was sent (seconds since 1970), and what it holds."""

    message_id: str
    receipt_handle: str
    tries: int
    sent_at: float
    body: str

    def summary(self) -> dict[str, Any]:
        """What an operator needs to know, without any user's data: identity, tries, program, number of events."""
        summary: dict[str, Any] = {"message_id": self.message_id, "sent_at": self.sent_at, "tries": self.tries}
        try:
            message = json.loads(self.body)
        except ValueError:
            return {**summary, "problem": "not a message of Nextbest: no JSON", "bytes": len(self.body.encode())}
        if not isinstance(message, dict) or "program_id" not in message:
            return {**summary, "problem": "not a message of Nextbest: no program_id", "bytes": len(self.body.encode())}
        return {**summary, "program_id": message["program_id"], "events": len(message.get("events", []))}


def waiting(deployment: Deployment, *, hidden_seconds: int = _HIDDEN_SECONDS) -> Iterator[DeadLetter]:
    """All messages of the dead-letter queue, each once; for ``hidden_seconds`` no other caller receives them."""
    sqs = deployment.client("sqs")
    seen: set[str] = set()
    while True:
        response = sqs.receive_message(
            QueueUrl=deployment.dead_letters_url,
            MaxNumberOfMessages=_PER_CALL,
            VisibilityTimeout=hidden_seconds,
            MessageSystemAttributeNames=["All"],
        )
        new = [message for message in response.get("Messages", []) if message["MessageId"] not in seen]
        if not new:
            return
        for message in new:
            seen.add(message["MessageId"])
            attributes = message.get("Attributes", {})
            yield DeadLetter(
                message["MessageId"],
                message["ReceiptHandle"],
                int(attributes.get("ApproximateReceiveCount", 0)),
                int(attributes.get("SentTimestamp", 0)) / 1000,
                message["Body"],
            )


def list_dead_letters(deployment: Deployment) -> list[DeadLetter]:
    """All dead letters; afterwards they can be received again at once."""
    letters = list(waiting(deployment))
    sqs = deployment.client("sqs")
    for letter in letters:
        sqs.change_message_visibility(
            QueueUrl=deployment.dead_letters_url, ReceiptHandle=letter.receipt_handle, VisibilityTimeout=0
        )
    return letters


def redrive(deployment: Deployment) -> int:
    """Send every dead letter to the queue again, then delete it; how many there were.

    In this order an interruption can send a message twice, whose events count once, but never lose one.
    """
    sqs = deployment.client("sqs")
    count = 0
    for letter in waiting(deployment):
        sqs.send_message(QueueUrl=deployment.queue_url, MessageBody=letter.body)
        sqs.delete_message(QueueUrl=deployment.dead_letters_url, ReceiptHandle=letter.receipt_handle)
        count += 1
    return count
