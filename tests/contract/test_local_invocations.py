"""Functions that are started by something other than HTTP: the Lambda API and queues of the local stack."""

from __future__ import annotations

import json
import uuid

import pytest
from botocore.exceptions import ClientError

from tests.contract.stacks import RunningStack
from tests.waiting import wait_until

pytestmark = pytest.mark.stack


def test_an_event_invocation_runs_in_the_background(echo_stack: RunningStack) -> None:
    key = uuid.uuid4().hex
    answer = echo_stack.lambda_.invoke(
        FunctionName="EchoFunction", InvocationType="Event", Payload=json.dumps({"key": key, "sleep": 0.2}).encode()
    )
    assert answer["StatusCode"] == 202
    assert not marks(echo_stack, key)

    wait_until(lambda: marks(echo_stack, key), seconds=20)


def test_an_event_invocation_that_fails_is_logged(echo_stack: RunningStack) -> None:
    echo_stack.lambda_.invoke(FunctionName="EchoFunction", InvocationType="Event", Payload=b'{"fail": true}')

    wait_until(lambda: "echo failed in the background" in echo_stack.log("gateway"), seconds=20)


def test_the_caller_of_a_direct_invocation_sees_whether_it_failed(
    echo_stack: RunningStack,
) -> None:
    client = echo_stack.lambda_
    arn = "arn:aws:lambda:us-east-1:000000000000:function:EchoFunction"

    well = client.invoke(FunctionName=arn, Payload=b"{}")
    ill = client.invoke(FunctionName="EchoFunction", Payload=b'{"fail": true}')

    assert "FunctionError" not in well
    assert json.loads(well["Payload"].read())["statusCode"] == 200
    assert ill["FunctionError"] == "Unhandled"
    assert json.loads(ill["Payload"].read())["errorType"] == "ValueError"


def test_invoking_no_such_function_is_answered_with_resource_not_found(echo_stack: RunningStack) -> None:
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        echo_stack.lambda_.invoke(FunctionName="Nobody", Payload=b"{}")


def test_only_the_bad_message_of_a_batch_reaches_the_dead_letters(
    echo_stack: RunningStack,
) -> None:
    sqs, queue, dead = echo_stack.sqs, echo_stack.queues["Queue"], echo_stack.queues["DeadLetters"]
    bodies = ["good", "bad", "good"]
    sqs.send_message_batch(
        QueueUrl=queue, Entries=[{"Id": str(index), "MessageBody": body} for index, body in enumerate(bodies)]
    )

    wait_until(lambda: counts(echo_stack, queue) == (0, 0) and sum(counts(echo_stack, dead)) > 0, seconds=40)

    (message,) = sqs.receive_message(QueueUrl=dead, MaxNumberOfMessages=10)["Messages"]
    assert message["Body"] == "bad"


def marks(stack: RunningStack, key: str) -> bool:
    """Whether the echo function has left its trace."""
    found = stack.s3.list_objects_v2(Bucket=stack.buckets[0], Prefix=key)
    return found["KeyCount"] == 1


def counts(stack: RunningStack, queue_url: str) -> tuple[int, int]:
    """Messages that wait, and messages that are being worked on."""
    attributes = stack.sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["All"])["Attributes"]
    return (
        int(attributes["ApproximateNumberOfMessages"]),
        int(attributes["ApproximateNumberOfMessagesNotVisible"]),
    )
