"""Lambda's rules for messages of a queue."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tools.local.environments import Invocation
from tools.local.gateway import Server
from tools.local.invocations import InvokeClient
from tools.local.poller import failed_message_ids, queue_event
from tools.local.private_network import listen
from tools.local.processes import ProcessDied
from tools.local.template import Function

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

INGEST = Function(
    name="ingest",
    logical_id="IngestFunction",
    handler="app.handler",
    code=Path("functions/ingest"),
    layers=(),
    timeout_seconds=60,
    memory_megabytes=1024,
    variables={},
)


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


@pytest.mark.parametrize(
    ("status", "headers", "error_type"),
    [
        ("200 OK", [], None),
        ("200 OK", [("X-Amz-Function-Error", "Unhandled")], "Unhandled"),
        ("502 Bad Gateway", [], "Unhandled"),
    ],
)
def test_a_lambda_api_says_whether_the_function_failed(
    status: str, headers: list[tuple[str, str]], error_type: str | None
) -> None:
    requests: list[tuple[str, bytes]] = []

    def lambda_api(environment: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        requests.append((environment["PATH_INFO"], environment["wsgi.input"].read()))
        start_response(status, headers)
        return [b"{}"]

    server = Server(listen("127.0.0.1", 0), threads=1)
    server.run(lambda_api)
    try:
        assert InvokeClient(server.urls[0]).invoke(INGEST, b'{"Records": []}') == Invocation(b"{}", error_type)
    finally:
        server.close()
    assert requests == [("/2015-03-31/functions/IngestFunction/invocations", b'{"Records": []}')]


def test_no_lambda_api_is_an_outage_not_a_failed_function() -> None:
    with pytest.raises(ProcessDied):
        InvokeClient("http://127.0.0.1:1").invoke(INGEST, b"{}")
