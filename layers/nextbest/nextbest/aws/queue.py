"""Queued events in SQS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


class SqsQueue:
    """One SQS queue. Implements ``base.EventQueue``."""

    def __init__(self, client: SQSClient, url: str) -> None:
        self._client = client
        self._url = url

    def count(self) -> int:
        """About how many messages wait."""
        response = self._client.get_queue_attributes(QueueUrl=self._url, AttributeNames=["ApproximateNumberOfMessages"])
        return int(response["Attributes"]["ApproximateNumberOfMessages"])

    def send(self, messages: Sequence[str]) -> None:
        """Send messages one by one: each is near the size that a whole batch may have. Raises ClientError."""
        for message in messages:
            response = self._client.send_message(QueueUrl=self._url, MessageBody=message)
            if "MessageId" not in response:
                raise ClientError({"Error": {"Code": "SendFailed", "Message": "no message id"}}, "SendMessage")
