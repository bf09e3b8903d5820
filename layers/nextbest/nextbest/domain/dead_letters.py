"""Messages of the queues of failures: events that could not be ingested, and invocations that failed for good."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any


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


@dataclass(frozen=True, slots=True)
class FailedInvocation:
    """What the report of an invocation says, without any user's data; what it does not say is empty.

    ``function`` is its name, ``condition`` why Lambda gave up, ``error_type`` the error's class, ``sent_at`` in seconds
    since 1970. Source: AWS Lambda developer guide, destinations of asynchronous invocations. EventBridge's own reports
    are the events that it could not deliver: they name no function.
    """

    message_id: str
    sent_at: float
    function: str
    condition: str
    error_type: str
    program_id: str

    @classmethod
    def of(cls, letter: DeadLetter) -> FailedInvocation:
        """The report in a message."""
        try:
            report = json.loads(letter.body)
        except ValueError:
            report = {}
        context, response = _object(report, "requestContext"), _object(report, "responsePayload")
        return cls(
            letter.message_id,
            letter.sent_at,
            function=_text(context, "functionArn").partition(":function:")[2].partition(":")[0],
            condition=_text(context, "condition"),
            error_type=_text(response, "errorType"),
            program_id=_text(_object(report, "requestPayload"), "program_id"),
        )


def _object(value: object, name: str) -> dict[str, Any]:
    member = value.get(name) if isinstance(value, dict) else None
    return member if isinstance(member, dict) else {}


def _text(value: dict[str, Any], name: str) -> str:
    member = value.get(name)
    return member if isinstance(member, str) else ""
