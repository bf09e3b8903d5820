"""Rebases that are killed, come two at a time, or fail: the old model serves, the status tells, the next is clean."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from random import Random

import pytest

from nextbest.domain.import_locations import ImportRules
from nextbest.domain.rebase_status import COMPLETE, FAILED, RUN_SECONDS, UNFINISHED, WAIT_SECONDS
from nextbest.domain.resource_statuses import ACTIVE, CREATE_FAILED, CREATE_IN_PROGRESS
from nextbest.personalize.control.resources import ControlCall, ControlPlane
from nextbest.personalize.control.solution_versions import find_version, unfinished_version
from nextbest.personalize.protocol.arns import SOLUTION, VERSION, Arns
from tests.factories import MemoryArtifacts, user_events
from tests.faults.deployment import Deployment, Tenant
from tests.faults.proxy import Call as ProxiedCall
from tests.faults.proxy import broken
from tests.infrastructure.cloudformation import Document, translate
from tests.waiting import wait_until
from tools.local.key import operator_key

NOW = time.time()
ExpectAlarm = Callable[[str], None]


@pytest.fixture
def grown(tenant: Tenant) -> Tenant:
    """A program with enough to learn from."""
    for user in range(4):
        assert tenant.post(user_events(f"user-{user}", 30, now=NOW, every_seconds=40_000 + user)).status == 200
    return tenant


def model_of(tenant: Tenant) -> str | None:
    state = tenant.store.program_state(tenant.program_id)
    assert state is not None
    return state.model.version if state.model is not None else None


@pytest.mark.parametrize(
    ("service", "operation", "published"),
    [("s3", "PUT /", False), ("dynamodb", "Scan", False)],
    ids=["while-it-writes-the-model", "while-it-reads"],
)
def test_a_rebase_that_is_killed_leaves_nothing_in_the_way(
    deployment: Deployment, grown: Tenant, expect_alarm: ExpectAlarm, service: str, operation: str, published: bool
) -> None:
    # Given a rebase that is killed in the midst of it
    def kill(_call: ProxiedCall) -> None:
        deployment.kill("rebase")

    proxy = deployment.s3 if service == "s3" else deployment.dynamodb
    with proxy.failing(operation, kill):
        assert grown.rebase().error_type is not None
    # Then the status does not pretend an end, reads go on, and nothing is lost
    assert grown.status() in UNFINISHED
    assert (model_of(grown) is not None) == published
    assert grown.model_served("user-0") == "untrained"
    grown.audit()
    # And after as long as no rebase lives, the status says that it failed
    status = grown.store.status(grown.program.incarnation)
    assert status is not None
    grown.store.put_status(replace(status, timestamp=time.time() - RUN_SECONDS - 200))
    expire_lease(grown)
    reply = grown.http("manage", "GET", "/program/status")
    assert reply.body["status_id"] == FAILED
    assert status.message in reply.body["message"]
    # And the next begins cleanly
    assert grown.rebase().error_type is None
    assert grown.status() == COMPLETE
    assert grown.model_served("user-0") == model_of(grown)
    expect_alarm("FailedInvocationsAlarm")


def expire_lease(tenant: Tenant) -> None:
    """Let the lease of the program be as old as if its holder could not live any more."""
    lease = tenant.store.leases([tenant.program.incarnation])[tenant.program.incarnation]
    assert lease.is_held(time.time())
    was = {"now": lease.expires_at, "expires_at": time.time() - 1}
    assert tenant.store.take_lease(tenant.program.incarnation, lease.holder, lease.running, **was)


def test_two_rebases_at_once_both_end_and_the_later_serves(grown: Tenant) -> None:
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: grown.rebase(), range(2))

    # Then one begins when the other has ended, if need be in an invocation of its own, and its model serves
    assert first.error_type is second.error_type is None
    wait_until(lambda: len(models_of(grown)) == 2 and grown.status() == COMPLETE, seconds=60)
    assert {json.loads(one.payload)["model"] for one in (first, second) if one.payload != b"{}"} <= {*models_of(grown)}
    assert model_of(grown) == max(models_of(grown))
    assert grown.model_served("user-0") == max(models_of(grown))
    grown.audit()


def models_of(tenant: Tenant) -> list[str]:
    """The models of all trainings that ended."""
    versions = tenant.store.list_resources([tenant.program.incarnation], VERSION)
    return [version["model"] for version in versions if version["status"] == ACTIVE]


def test_a_rebase_without_s3_fails_with_the_reason_and_the_old_model_serves(
    deployment: Deployment, grown: Tenant, expect_alarm: ExpectAlarm
) -> None:
    assert grown.rebase().error_type is None
    version = grown.model_served("user-0")

    with deployment.s3.failing("PUT /", broken):
        assert grown.rebase().error_type is not None

    assert grown.status() == FAILED
    assert grown.model_served("user-0") == version
    expect_alarm("FailedInvocationsAlarm")


def test_a_killed_training_of_the_control_plane_blocks_the_next_no_longer_than_it_could_live(tenant: Tenant) -> None:
    # Given a solution version whose training was killed
    name = f"solution-{tenant.program_id}/00000001"
    owner = tenant.program.incarnation
    ids = {"name": name, "program_id": tenant.program_id, "incarnation": owner}
    version = {**ids, "solution": f"solution-{tenant.program_id}"}
    dates = {"created": NOW, "updated": NOW}
    resource = {**version, **dates, "status": CREATE_IN_PROGRESS}
    tenant.store.create_resource(owner, VERSION, name, resource)
    arns = Arns("us-east-1", "000000000000")
    plane = ControlPlane(
        tenant.store,
        arns,
        lambda *_: None,
        lambda *_: None,
        lambda *_: None,
        Random(0),
        MemoryArtifacts(),
        ImportRules("a"),
    )

    def call(now: float) -> ControlCall:
        return ControlCall(plane, operator_key()[0], {"solutionVersionArn": arns.of(SOLUTION, name)}, now)

    # Then it counts as running while it could be, and as failed afterwards
    assert unfinished_version(call(NOW + RUN_SECONDS), owner) is not None
    assert unfinished_version(call(NOW + RUN_SECONDS + 200), owner) is None
    found = find_version(call(NOW + RUN_SECONDS + 200), "solutionVersionArn")
    assert found["status"] == CREATE_FAILED
    assert "interrupted" in found["failure"]


def test_the_template_ends_rebases_when_the_status_believes_it_does() -> None:
    template: Document = translate()

    assert template["Resources"]["RebaseFunction"]["Properties"]["Timeout"] == RUN_SECONDS
    configs = [
        resource["Properties"]
        for resource in template["Resources"].values()
        if resource["Type"] == "AWS::Lambda::EventInvokeConfig"
    ]
    assert WAIT_SECONDS in {config.get("MaximumEventAgeInSeconds") for config in configs}
