"""Models that are missing, damaged, too new, or out of reach: reads keep answering from the last good one."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable

import pytest

from nextbest.store.base import ModelPointer
from tests.factories import user_events
from tests.faults.deployment import HASTY_SECONDS, Deployment, Tenant
from tests.faults.proxy import Fault, broken, lost, refused, slow

NOW = time.time()
GOOD = "1-good"
ExpectAlarm = Callable[[str], None]


def truncated(data: bytes) -> bytes:
    return data[: len(data) // 2]


def with_a_flipped_bit(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def of_a_newer_version(data: bytes) -> bytes:
    return data[:8] + struct.pack("<I", 99) + data[12:]


@pytest.fixture(scope="module")
def model(deployment: Deployment) -> bytes:
    """A model as a rebase writes it."""
    tenant = deployment.new_program("models")
    for user in range(4):
        assert tenant.post(user_events(f"user-{user}", 30, now=NOW, every_seconds=40_000 + user)).status == 200
    assert tenant.rebase().error_type is None
    state = tenant.store.program_state(tenant.program_id)
    assert state is not None
    assert state.model is not None
    return deployment.objects.get_object(Bucket=deployment.bucket, Key=state.model.key)["Body"].read()


@pytest.fixture
def served(tenant: Tenant, model: bytes) -> Tenant:
    """A program with users, whose good model just served."""
    assert tenant.post([*user_events("ada", 9, now=NOW), *user_events("bob", 9, now=NOW)]).status == 200
    point_to(tenant, GOOD, model)
    assert tenant.model_served("ada") == GOOD
    return tenant


def point_to(tenant: Tenant, version: str, data: bytes | None) -> None:
    """Let the program be served by an artifact of these bytes, or by one that is not there."""
    key = f"models/{tenant.program.incarnation}/{version}.nbm"
    if data is not None:
        tenant.deployment.objects.put_object(Bucket=tenant.deployment.bucket, Key=key, Body=data)
    assert tenant.store.point_to_model(tenant.program.incarnation, ModelPointer(version, key))


def test_a_bad_artifact_never_serves(
    deployment: Deployment, served: Tenant, model: bytes, expect_alarm: ExpectAlarm
) -> None:
    # Given one artifact after another that is bad in its own way
    bad = [truncated(model), with_a_flipped_bit(model), of_a_newer_version(model), b"", None]
    for number, content in enumerate(bad):
        point_to(served, f"2-bad-{number}", content)
        # Then whoever has the good one in memory answers from it, and says so in the log
        assert served.model_served("ada") == GOOD
        assert f'"model":"2-bad-{number}"' in deployment.log("actions")
    served.audit()
    # And a good one serves at once
    point_to(served, "3-good", model)
    assert served.model_served("ada") == "3-good"
    expect_alarm("UnreadableModelsAlarm")


@pytest.mark.parametrize("spoil", [truncated, None], ids=["truncated", "missing"])
def test_who_begins_with_a_bad_artifact_serves_the_one_before(
    deployment: Deployment, served: Tenant, model: bytes, spoil: Callable[[bytes], bytes] | None
) -> None:
    point_to(served, "2-bad", spoil(model) if spoil is not None else None)

    deployment.cold_start()

    assert served.model_served("ada") == GOOD


@pytest.mark.parametrize(
    "fault",
    [broken, lost, refused(503, "SlowDown"), refused(403, "AccessDenied")],
    ids=["broken", "lost", "throttled", "forbidden"],
)
def test_while_s3_is_away_the_model_in_memory_serves(
    deployment: Deployment, served: Tenant, model: bytes, fault: Fault
) -> None:
    point_to(served, "2-newer", model)

    with deployment.s3.failing("GET /", fault) as injected:
        assert served.model_served("ada") == GOOD
        asked = injected.met
        assert served.model_served("bob") == GOOD

    # And not every request waits for it
    assert asked > 0
    assert injected.met == asked


def test_while_s3_is_away_who_begins_says_so(deployment: Deployment, served: Tenant, expect_alarm: ExpectAlarm) -> None:
    deployment.cold_start()

    with deployment.s3.failing("GET /", broken):
        reply = served.actions("ada")
    assert reply.status == 503
    assert "try again" in reply.body["detail"]

    assert served.model_served("ada") == GOOD
    expect_alarm("ApiFailuresAlarm")
    expect_alarm("UnreadableModelsAlarm")


def test_while_s3_is_slow_one_request_waits_for_it_and_no_other(
    deployment: Deployment, served: Tenant, model: bytes
) -> None:
    deployment.warm_up(lambda: served.actions("ada", hasty=True))
    point_to(served, "2-newer", model)

    with deployment.s3.failing("GET /", slow(HASTY_SECONDS)):
        first = served.actions("ada", hasty=True)
        second = served.actions("ada", hasty=True)

    assert (first.status, first.failure) == (503, None)
    assert (second.status, second.headers["x-nextbest-model"]) == (200, GOOD)
