"""Starting another function of the deployment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient


class AsynchronousFunction:
    """One Lambda function, invoked without waiting: Lambda queues the payload and retries it."""

    def __init__(self, client: LambdaClient, name: str) -> None:
        self._client = client
        self._name = name

    def start(self, payload: Mapping[str, str]) -> None:
        """Hand over ``payload``. Raises ClientError when Lambda does not take it."""
        self._client.invoke(FunctionName=self._name, InvocationType="Event", Payload=json.dumps(payload).encode())
