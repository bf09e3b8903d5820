"""Queued events that come twice, out of order, or cannot be understood."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import pytest

from nextbest.logic.events import EventMessage
from tests.factories import user_events
from tests.faults.deployment import Deployment, Tenant
from tests.faults.proxy import throttled
from tools.local.poller import QueuePoller

NOW = time.time()
ExpectAlarm = Callable[[str], None]

EVENT = {"user_id": "ada", "timestamp_us": 1, "event_type": "order", "asset_id": "tea"}
POISON = {
    "no-json": "{",
    "no-message": '"events"',
    "deep": "[" * 100_000,
    "no-events": json.dumps({"program_id": "demo"}),
    "other-program": json.dumps({"program_id": "nobody-has-this", "events": [EVENT]}),
    "strange-program": json.dumps({"program_id": "a#b", "events": [EVENT]}),
    "no-user": json.dumps({"program_id": "PROGRAM", "events": [{**EVENT, "user_id": ""}]}),
    "no-time": json.dumps({"program_id": "PROGRAM", "events": [{**EVENT, "timestamp_us": "now"}]}),
    "no-moment": json.dumps({"program_id": "PROGRAM", "events": [EVENT], "sent_us": float("inf")}),
    "no-text": json.dumps({"program_id": "PROGRAM", "events": [{**EVENT, "asset_id": "\ud800"}]}),
    "no-label": json.dumps({"program_id": "PROGRAM", "events": [{**EVENT, "labels": [1]}]}),
    "too-long": json.dumps({"program_id": "PROGRAM", "events": [{**EVENT, "asset_id": "x" * 5_000}]}),
    "long-user": json.dumps({"program_id": "PROGRAM", "events": [{**EVENT, "user_id": "x" * 5_000}]}),
    "unknown-member": json.dumps({"program_id": "PROGRAM", "events": [{**EVENT, "colour": "red"}]}),
}


def queued(bodies: Sequence[str]) -> dict[str, Any]:
    """The event that Lambda sends for these messages; their ids are their places."""
    records = [
        {"messageId": str(place), "body": body, "eventSource": "aws:sqs", "attributes": {}}
        for place, body in enumerate(bodies)
    ]
    return {"Records": records}


def failures_of(deployment: Deployment, bodies: Sequence[str]) -> list[str]:
    invocation = deployment.invoke("ingest", queued(bodies))
    assert invocation.error_type is None, invocation.payload
    return [failure["itemIdentifier"] for failure in json.loads(invocation.payload)["batchItemFailures"]]


def messages_of(tenant: Tenant, users: int, each: int) -> list[str]:
    """Messages of five events, which counts as accepted once it is queued."""
    messages = []
    for user in range(users):
        events = user_events(f"user-{user}", each, now=NOW)
        tenant.sent |= set(events)
        tenant.accepted |= set(events)
        for start in range(0, each, 5):
            messages.append(
                EventMessage(
                    tenant.program_id, tuple(events[start : start + 5]), incarnation=tenant.program.incarnation
                ).to_json()
            )
    return messages


def test_messages_that_come_twice_and_out_of_order_count_once(deployment: Deployment, tenant: Tenant) -> None:
    # Given messages that are delivered three times, in any order, to two consumers
    messages = messages_of(tenant, users=3, each=60) * 3
    Random(7).shuffle(messages)

    for start in range(0, len(messages), 10):
        assert failures_of(deployment, messages[start : start + 10]) == []

    tenant.audit()


@pytest.mark.parametrize("kind", POISON)
def test_poison_fails_alone(deployment: Deployment, tenant: Tenant, kind: str) -> None:
    good = messages_of(tenant, users=2, each=5)
    poison = POISON[kind].replace('"PROGRAM"', f'"{tenant.program_id}", "incarnation": "{tenant.program.incarnation}"')

    assert failures_of(deployment, [good[0], poison, good[1]]) == ["1"]

    tenant.audit()


def test_poison_ends_as_a_dead_letter_and_all_else_arrives(
    deployment: Deployment, tenant: Tenant, expect_alarm: ExpectAlarm
) -> None:
    # Given the real queue, whose messages come back at once, with poison among good messages
    (source,) = deployment.application.queue_sources
    urls = {name: deployment.engines.queue_url(name) for name in deployment.application.queues}
    deployment.sqs.set_queue_attributes(QueueUrl=urls[source.queue], Attributes={"VisibilityTimeout": "0"})
    for body in ("poison", *messages_of(tenant, users=2, each=10)):
        deployment.sqs.send_message(QueueUrl=urls[source.queue], MessageBody=body)
    poller = QueuePoller(
        source,
        deployment.application.function(source.function),
        sqs=deployment.sqs,
        queue_url=urls[source.queue],
        invoker=deployment.environments,
    )

    # When it is polled, through an outage of the database as well
    with deployment.dynamodb.failing("BatchExecuteStatement", throttled, times=6):
        poller.poll_once()
    dead: list[str] = []
    for _ in range(10):
        poller.poll_once()
        answer = deployment.sqs.receive_message(QueueUrl=urls["DeadLetters"], MaxNumberOfMessages=10)
        dead += [message["Body"] for message in answer.get("Messages", [])]
        if dead:
            break

    # Then the poison alone is a dead letter
    assert dead == ["poison"]
    tenant.audit()
    expect_alarm("DeadLettersAlarm")
    expect_alarm("QueueAgeAlarm")
