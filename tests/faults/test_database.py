"""DynamoDB refuses, fails, is slow or loses answers: callers are told to try again, and nothing is lost or doubled."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from threading import Event

import pytest

from tests.factories import user_events
from tests.faults.deployment import Deployment, Tenant
from tests.faults.proxy import Answer, Call, Fault, broken, done_but_lost, held_until, lost, rewritten, slow, throttled
from tests.waiting import wait_until

NOW = time.time()
SECONDS_TO_WAIT = 30.0
ExpectAlarm = Callable[[str], None]


def unprocessed(call: Call) -> Answer:
    """Every key of the read is left for later."""
    return Answer(200, json.dumps({"Responses": {}, "UnprocessedKeys": json.loads(call.body)["RequestItems"]}).encode())


def no_statement_done(code: str) -> Fault:
    """Every statement of the batch fails alone, with ``code``."""

    def fault(call: Call) -> Answer:
        statements = json.loads(call.body)["Statements"]
        failed = [{"Error": {"Code": code, "Message": "injected"}} for _ in statements]
        return Answer(200, json.dumps({"Responses": failed}).encode())

    return fault


def first_statement_unsure(body: bytes) -> bytes:
    """All were done, but the first is said to have failed."""
    answer = json.loads(body)
    answer["Responses"][0] = {"Error": {"Code": "InternalServerError", "Message": "injected"}}
    return json.dumps(answer).encode()


@pytest.mark.parametrize(
    "fault", [throttled, broken, lost, unprocessed], ids=["throttled", "broken", "lost", "unprocessed"]
)
def test_a_read_that_fails_once_is_answered(deployment: Deployment, tenant: Tenant, fault: Fault) -> None:
    tenant.post(user_events("ada", 5, now=NOW))

    with deployment.dynamodb.failing("BatchGetItem", fault, times=1) as injected:
        reply = tenant.actions("ada")

    assert injected.met == 1
    assert reply.status == 200
    assert len(reply.body["actions"]) > 0


@pytest.mark.parametrize("fault", [throttled, unprocessed], ids=["throttled", "unprocessed"])
def test_reads_that_keep_failing_are_told_to_try_again(
    deployment: Deployment, tenant: Tenant, expect_alarm: ExpectAlarm, fault: Fault
) -> None:
    tenant.post(user_events("ada", 5, now=NOW))

    with deployment.dynamodb.failing("BatchGetItem", fault):
        reply = tenant.actions("ada")

    assert reply.status == 503
    assert "try again" in reply.body["detail"]
    assert tenant.actions("ada").status == 200
    expect_alarm("ApiFailuresAlarm")


@pytest.mark.parametrize(
    ("operation", "fault"),
    [
        ("BatchExecuteStatement", throttled),
        ("BatchExecuteStatement", lost),
        ("BatchExecuteStatement", done_but_lost),
        ("BatchExecuteStatement", no_statement_done("ThrottlingError")),
        ("BatchExecuteStatement", rewritten(first_statement_unsure)),
        ("UpdateItem", broken),
        ("UpdateItem", done_but_lost),
    ],
    ids=[
        "log-throttled",
        "log-lost",
        "log-answer-lost",
        "log-parts-throttled",
        "log-unsure",
        "tail-broken",
        "tail-answer-lost",
    ],
)
def test_a_write_that_fails_once_is_accepted_and_counts_once(
    deployment: Deployment, tenant: Tenant, operation: str, fault: Fault
) -> None:
    with deployment.dynamodb.failing(operation, fault, times=1) as injected:
        reply = tenant.post(user_events("ada", 5, now=NOW))

    assert injected.met == 1
    assert reply.status == 200
    tenant.audit()


@pytest.mark.parametrize(
    ("operation", "fault"),
    [
        ("BatchExecuteStatement", throttled),
        ("BatchExecuteStatement", no_statement_done("ProvisionedThroughputExceeded")),
        ("UpdateItem", throttled),
    ],
    ids=["log", "parts-of-the-log", "tail"],
)
def test_writes_that_keep_failing_are_told_to_try_again_and_then_count_once(
    deployment: Deployment, tenant: Tenant, expect_alarm: ExpectAlarm, operation: str, fault: Fault
) -> None:
    events = [event for user in ("ada", "bob", "cy") for event in user_events(user, 20, now=NOW)]
    with deployment.dynamodb.failing(operation, fault):
        reply = tenant.post(events)
    assert reply.status == 503
    tenant.audit(repaired=False)

    # When the client does as it is told
    assert tenant.post(events).status == 200

    tenant.audit()
    expect_alarm("ApiFailuresAlarm")


def test_a_fold_that_fails_half_way_counts_nothing_twice(deployment: Deployment, tenant: Tenant) -> None:
    # Given a snapshot that takes over the tail, and a tail that cannot be shortened then
    events = user_events("ada", 120, now=NOW)
    only_tail = rewritten(lambda body: body)

    def failing_on_the_tail(call: Call) -> Answer | None:
        return (
            throttled(call)
            if b"DELETE tail_events" in call.body or b"REMOVE backfilled" in call.body
            else only_tail(call)
        )

    with deployment.dynamodb.failing("UpdateItem", failing_on_the_tail):
        replies = [tenant.post(events[start : start + 30]) for start in range(0, 120, 30)]
    assert 503 in {reply.status for reply in replies}
    tenant.audit(repaired=False)

    for start in range(0, 120, 30):
        assert tenant.post(events[start : start + 30]).status == 200
    tenant.audit()


def test_slow_answers_are_asked_for_again(deployment: Deployment, tenant: Tenant) -> None:
    tenant.post(user_events("ada", 5, now=NOW))

    with deployment.dynamodb.failing("BatchGetItem", slow(1.5), times=1) as injected:
        reply = tenant.actions("ada")

    assert injected.met == 1
    assert reply.status == 200


def test_what_is_slow_is_answered_before_the_function_s_timeout(
    deployment: Deployment, tenant: Tenant, expect_alarm: ExpectAlarm
) -> None:
    # Given a database that answers nobody for longer than the functions may run
    deployment.warm_up(lambda: tenant.post(user_events("ada", 5, now=NOW), hasty=True))
    deployment.warm_up(lambda: tenant.actions("ada", hasty=True))
    more = [*user_events("ada", 9, now=NOW), *user_events("bob", 9, now=NOW), *user_events("cy", 9, now=NOW)]
    released = Event()

    with deployment.dynamodb.failing("BatchGetItem", held_until(released)):
        read = tenant.actions("ada", hasty=True)
    with deployment.dynamodb.failing("UpdateItem", held_until(released)):
        written = tenant.post(more, hasty=True)

    # Then callers are told to try again, and the functions were not ended
    assert (read.status, read.failure) == (written.status, written.failure) == (503, None)
    assert tenant.actions("ada", hasty=True).status == 200
    tenant.audit(repaired=False)
    assert tenant.post(more).status == 200
    # And what the database does later after all counts nothing twice
    released.set()
    wait_until(lambda: deployment.dynamodb.calls_under_way == 0, seconds=SECONDS_TO_WAIT)
    tenant.audit()
    expect_alarm("ActionsLatencyAlarm")
    expect_alarm("ApiFailuresAlarm")
