"""A writer that is ended between the log and the history, and clocks that disagree."""

from __future__ import annotations

import time
from collections.abc import Callable

from nextbest.domain.events import Event
from nextbest.logic.events import EventMessage
from tests.factories import ORDER, user_events
from tests.faults.deployment import Deployment, Tenant
from tests.faults.proxy import Call
from tests.faults.test_queue import queued

NOW = time.time()
ExpectAlarm = Callable[[str], None]


def killed_between_log_and_history(deployment: Deployment, tenant: Tenant, events: list[Event]) -> None:
    """Post events to a function that is killed with the log written and the history not."""

    def kill(_call: Call) -> None:
        deployment.kill("collect")

    with deployment.dynamodb.failing("UpdateItem", kill, times=1) as injected:
        reply = tenant.post(events)
    assert injected.met == 1
    assert (reply.status, reply.failure) == (500, "Runtime.ExitError")
    assert set(tenant.store.events_of(tenant.program.incarnation, events[0].user_id)) >= set(events)


def test_a_client_that_tries_again_repairs_what_a_killed_writer_left(
    deployment: Deployment, tenant: Tenant, expect_alarm: ExpectAlarm
) -> None:
    first, second = user_events("ada", 3, now=NOW - 86_400), user_events("ada", 4, now=NOW)
    tenant.post(first)
    killed_between_log_and_history(deployment, tenant, second)
    tenant.audit(repaired=False)
    assert tenant.actions("ada").status == 200

    reply = tenant.post(second)

    assert reply.body["duplicates"] == 4  # the log has them
    tenant.audit()
    expect_alarm("ApiFailuresAlarm")
    expect_alarm("ApiFailuresAlarm")


def test_a_rebase_repairs_what_a_killed_writer_left(deployment: Deployment, tenant: Tenant) -> None:
    # Given one user with a history and one without, whose client never tries again
    for user in range(4):
        tenant.post(user_events(f"user-{user}", 20, now=NOW - 86_400, every_seconds=40_000 + user))
    killed_between_log_and_history(deployment, tenant, user_events("user-0", 4, now=NOW))
    killed_between_log_and_history(deployment, tenant, user_events("unheard", 4, now=NOW))
    tenant.audit(repaired=False)

    assert tenant.rebase().error_type is None

    tenant.accepted |= tenant.sent  # what is in the log counts now
    tenant.audit()
    assert tenant.actions("unheard").status == 200


def test_a_message_that_comes_again_repairs_what_a_killed_consumer_left(
    deployment: Deployment, tenant: Tenant, expect_alarm: ExpectAlarm
) -> None:
    events = user_events("ada", 5, now=NOW)
    tenant.sent |= set(events)
    batch = queued([EventMessage(tenant.program_id, tuple(events), incarnation=tenant.program.incarnation).to_json()])

    def kill(_call: Call) -> None:
        deployment.kill("ingest")

    with deployment.dynamodb.failing("UpdateItem", kill, times=1):
        assert deployment.invoke("ingest", batch).error_type is not None
    tenant.audit(repaired=False)

    assert deployment.invoke("ingest", batch).error_type is None

    tenant.accepted |= set(events)
    tenant.audit()
    expect_alarm("QueueAgeAlarm")


def test_events_ahead_of_the_function_s_clock_count_and_sort_as_any_other(tenant: Tenant) -> None:
    # Given events of clients whose clocks run ahead by up to a day, folded with those of others
    ahead = [Event("ada", round((NOW + hours * 3600) * 1e6), ORDER, f"ahead-{hours}") for hours in range(1, 24)]
    assert tenant.post([*user_events("ada", 40, now=NOW), *ahead]).status == 200
    tenant.audit()

    # Then answers are sound: every weight a probability, strongest first
    reply = tenant.actions("ada")
    assert reply.status == 200
    weights = [entry["growth_weight"] for entry in reply.body["actions"]]
    assert weights == sorted(weights, reverse=True)
    assert all(0 <= weight <= 1 for weight in weights)
    assert all(entry["base_weight"] > 0 for entry in reply.body["actions"])
    # And what is further ahead is refused, not stored
    late = [Event("ada", round((NOW + 3 * 86_400) * 1e6), ORDER, "too-far")]
    assert tenant.post(late).status == 422
    tenant.audit()


def test_a_model_of_the_future_serves_while_clocks_disagree(tenant: Tenant) -> None:
    # Given events that are ahead of the clock of a rebase
    for user in range(4):
        tenant.post(user_events(f"user-{user}", 20, now=NOW + 80_000, every_seconds=40_000 + user))

    assert tenant.rebase().error_type is None

    reply = tenant.actions("user-0")
    assert reply.status == 200
    assert all(0 <= entry["growth_weight"] <= 1 for entry in reply.body["actions"])
    tenant.audit()
