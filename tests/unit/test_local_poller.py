"""Lambda's rules for messages of a queue."""

from __future__ import annotations

import json

import pytest

from tools.local.environments import Invocation
from tools.local.poller import failed_message_ids, queue_event


def answer(*identifiers: object) -> Invocation:
    failures = [{"itemIdentifier": identifier} for identifier in identifiers]
    return Invocation(json.dumps({"batchItemFailures": failures}).encode())


@pytest.mark.parametrize(
    ("invocation", "expected"),
    [
        (answer(), set()),
        (answer("b"), {"b"}),
        (answer("a", "b", "c"), {"a", "b", "c"}),
        (answer("somebody else's"), {"a", "b", "c"}),
        (answer(""), {"a", "b", "c"}),
        (answer(None), {"a", "b", "c"}),
        (Invocation(b'{"batchItemFailures": null}'), set()),
        (Invocation(b"{}"), set()),
        (Invocation(b"null"), set()),
        (Invocation(b'{"errorType": "ValueError"}', "ValueError"), {"a", "b", "c"}),
    ],
)
def test_the_failed_messages_of_an_answer_are_lambdas(invocation: Invocation, expected: set[str]) -> None:
    assert failed_message_ids(invocation, ["a", "b", "c"], reports_item_failures=True) == expected


def test_without_partial_responses_nothing_failed() -> None:
    assert failed_message_ids(answer("b"), ["a", "b"], reports_item_failures=False) == set()


def test_an_event_of_messages_has_lambdas_names() -> None:
    event = json.loads(
        queue_event(
            [
                {
                    "MessageId": "1",
                    "ReceiptHandle": "handle",
                    "Body": "text",
                    "MD5OfBody": "hash",
                    "Attributes": {"ApproximateReceiveCount": "1"},
                    "MessageAttributes": {"kind": {"StringValue": "order", "DataType": "String"}},
                }
            ],
            queue="Queue",
        )
    )

    assert event == {
        "Records": [
            {
                "messageId": "1",
                "receiptHandle": "handle",
                "body": "text",
                "attributes": {"ApproximateReceiveCount": "1"},
                "messageAttributes": {"kind": {"stringValue": "order", "dataType": "String"}},
                "md5OfBody": "hash",
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:Queue",
                "awsRegion": "us-east-1",
            }
        ]
    }
