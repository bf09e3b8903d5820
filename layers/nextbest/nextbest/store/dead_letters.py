"""Queues of failures in SQS."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nextbest.domain.dead_letters import DeadLetter

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

_PER_CALL = 10


class SqsDeadLetters:
    """One queue of failures. Implements ``base.DeadLetterQueue``."""

    def __init__(self, client: SQSClient, url: str) -> None:
        self._client = client
        self._url = url

    def receive(self, hidden_seconds: int) -> list[DeadLetter]:
        """Some messages; for ``hidden_seconds`` no other caller receives them."""
        response = self._client.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=_PER_CALL,
            VisibilityTimeout=hidden_seconds,
            MessageSystemAttributeNames=["All"],
        )
        return [
            DeadLetter(
                message["MessageId"],
                message["ReceiptHandle"],
                int(message.get("Attributes", {}).get("ApproximateReceiveCount", 0)),
                int(message.get("Attributes", {}).get("SentTimestamp", 0)) / 1000,
                message["Body"],
            )
            for message in response.get("Messages", [])
        ]

    def release(self, letter: DeadLetter) -> None:
        """Let others receive a message again at once."""
        self._client.change_message_visibility(
            QueueUrl=self._url, ReceiptHandle=letter.receipt_handle, VisibilityTimeout=0
        )

    def delete(self, letter: DeadLetter) -> None:
        """Delete a message."""
        self._client.delete_message(QueueUrl=self._url, ReceiptHandle=letter.receipt_handle)

    def count(self) -> int:
        """About how many messages wait."""
        response = self._client.get_queue_attributes(QueueUrl=self._url, AttributeNames=["ApproximateNumberOfMessages"])
        return int(response["Attributes"]["ApproximateNumberOfMessages"])
