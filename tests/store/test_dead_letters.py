"""The queues of failures: looked at without losing a message, and sent to the queue again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.session import get_session

from nextbest.aws.queue import SqsQueue
from nextbest.domain.dead_letters import DeadLetter, FailedInvocation
from nextbest.logic.dead_letters import list_dead_letters, redrive
from nextbest.logic.health import check_queues
from nextbest.store.dead_letters import SqsDeadLetters
from tests.mocked_aws import mocked_aws

NOW = 1_764_000_000.0


@pytest.fixture
def sqs() -> Iterator[Any]:
    with mocked_aws():
        yield get_session().create_client("sqs", region_name="us-east-1")


def queue_of(sqs: Any, name: str) -> str:
    return str(sqs.create_queue(QueueName=name)["QueueUrl"])


def test_dead_letters_are_listed_and_stay_until_they_are_sent_again(sqs: Any) -> None:
    queue = SqsQueue(sqs, queue_of(sqs, "events"))
    dead = SqsDeadLetters(sqs, queue_of(sqs, "dead"))
    bodies = {json.dumps({"program_id": "demo", "events": [number]}) for number in range(25)}
    for body in bodies:
        sqs.send_message(QueueUrl=queue_of(sqs, "dead"), MessageBody=body)

    for _ in range(2):
        assert {letter.body for letter in list_dead_letters(dead)} == bodies
    assert 5 <= len(list_dead_letters(dead, limit=5)) < 25
    assert dead.count() == 25

    first = redrive(dead, queue, limit=10)
    assert 10 <= first < 25
    assert first + redrive(dead, queue) == 25
    assert dead.count() == 0
    assert queue.count() == 25


def test_findings_name_what_failed(sqs: Any) -> None:
    queue = SqsQueue(sqs, queue_of(sqs, "events"))
    dead, failed = (SqsDeadLetters(sqs, queue_of(sqs, name)) for name in ("dead", "failed"))
    assert all(finding.is_ok for finding in check_queues(queue, dead, failed))

    for name in ("dead", "failed"):
        sqs.send_message(QueueUrl=queue_of(sqs, name), MessageBody="x")

    assert [finding.is_ok for finding in check_queues(queue, dead, failed)] == [True, False, False]


@pytest.mark.parametrize(
    ("body", "function", "condition", "error_type", "program_id"),
    [
        (
            {
                "requestContext": {
                    "functionArn": "arn:aws:lambda:us-east-1:123456789012:function:nextbest-rebase:$LATEST",
                    "condition": "RetriesExhausted",
                },
                "requestPayload": {"program_id": "demo"},
                "responsePayload": {"errorType": "InvalidInput", "errorMessage": "grace"},
            },
            *("nextbest-rebase", "RetriesExhausted", "InvalidInput", "demo"),
        ),
        ({"requestContext": [], "requestPayload": {"program_id": 5}}, "", "", "", ""),
        ([1], "", "", "", ""),
        ("nonsense", "", "", "", ""),
    ],
)
def test_a_report_is_summed_up_without_anybody_s_data(
    body: object, function: str, condition: str, error_type: str, program_id: str
) -> None:
    letter = DeadLetter("id", "handle", 1, NOW, body if isinstance(body, str) else json.dumps(body))

    report = FailedInvocation.of(letter)

    assert report == FailedInvocation("id", NOW, function, condition, error_type, program_id)
