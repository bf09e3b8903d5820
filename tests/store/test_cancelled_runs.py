"""Whatever stops a training also cancels the run of the Spark job that does it, and no other."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nextbest.domain.resource_statuses import CREATE_IN_PROGRESS, CREATE_PENDING, STOPPED, STOPPING
from nextbest.logic.programs import rebase_event
from nextbest.logic.training_plan import MANUAL, new_version, own_solution
from nextbest.personalize.protocol.arns import DATASET_GROUP, SOLUTION, VERSION, Arns
from nextbest.store.dynamo import DynamoStore
from tests.store.conftest import PROGRAM
from tests.store.test_control_plane import NOW, Control

OWNER = PROGRAM.incarnation
MINE, OTHER = "demo/00000001", "demo/00000002"


@pytest.fixture
def started() -> list[tuple[Any, ...]]:
    """What the function ``rebase`` was started with."""
    return []


@pytest.fixture
def control(store: DynamoStore, started: list[tuple[Any, ...]]) -> Control:
    return Control(store, start=lambda *arguments: started.append(arguments))


def create_version(store: DynamoStore, name: str, status: str) -> str:
    version = new_version(own_solution(PROGRAM), name, training_type=MANUAL, now=NOW, status=status)
    store.create_resource(OWNER, VERSION, name, version)
    return Arns().of(SOLUTION, name)


def lease_for_a_job(store: DynamoStore, **job: str) -> None:
    running = json.dumps(rebase_event(OWNER, **job), sort_keys=True)
    assert store.take_lease(OWNER, "invocation", running, now=NOW, expires_at=NOW + 900)
    assert store.hand_over_lease(OWNER, "invocation", "invocation/job", expires_at=NOW + 900, job_run="00run0")


def status_of(store: DynamoStore, name: str) -> str:
    version = store.resource(OWNER, VERSION, name)
    assert version is not None
    return str(version["status"])


@pytest.mark.parametrize(("status", "stopped"), [(CREATE_PENDING, STOPPED), (CREATE_IN_PROGRESS, STOPPING)])
def test_stopping_a_version_cancels_its_job(
    store: DynamoStore, control: Control, started: list[tuple[Any, ...]], status: str, stopped: str
) -> None:
    arn = create_version(store, MINE, status)
    lease_for_a_job(store, solution_version=MINE)

    control("StopSolutionVersionCreation", solutionVersionArn=arn)

    assert started == [("00run0",)]
    assert status_of(store, MINE) == stopped


def test_stopping_a_version_of_a_rebase_cancels_its_job(
    store: DynamoStore, control: Control, started: list[tuple[Any, ...]]
) -> None:
    arn = create_version(store, MINE, CREATE_IN_PROGRESS)
    lease_for_a_job(store)

    control("StopSolutionVersionCreation", solutionVersionArn=arn)

    assert started == [("00run0",)]


def test_stopping_a_version_that_waits_for_another_cancels_nothing(
    store: DynamoStore, control: Control, started: list[tuple[Any, ...]]
) -> None:
    create_version(store, OTHER, CREATE_IN_PROGRESS)
    arn = create_version(store, MINE, CREATE_PENDING)
    lease_for_a_job(store, solution_version=OTHER)

    control("StopSolutionVersionCreation", solutionVersionArn=arn)

    assert started == []
    assert status_of(store, MINE) == STOPPED


def test_stopping_what_a_function_trains_cancels_nothing(
    store: DynamoStore, control: Control, started: list[tuple[Any, ...]]
) -> None:
    arn = create_version(store, MINE, CREATE_IN_PROGRESS)
    assert store.take_lease(OWNER, "invocation", "{}", now=NOW, expires_at=NOW + 900)

    control("StopSolutionVersionCreation", solutionVersionArn=arn)

    assert started == []


def test_deleting_a_program_cancels_its_job(
    store: DynamoStore, control: Control, started: list[tuple[Any, ...]]
) -> None:
    lease_for_a_job(store)

    control("DeleteDatasetGroup", datasetGroupArn=Arns().of(DATASET_GROUP, PROGRAM.program_id))

    assert started == [("00run0",)]
    assert store.leases([OWNER]) == {}


def test_the_next_training_does_not_inherit_the_run(store: DynamoStore) -> None:
    lease_for_a_job(store)

    assert store.release_lease(OWNER, "invocation/job") == []
    assert store.take_lease(OWNER, "next", "{}", now=NOW, expires_at=NOW + 900)
    assert store.leases([OWNER])[OWNER].job_run == ""
    # Nor where something waited, or the lease expired
    assert store.hand_over_lease(OWNER, "next", "next/job", expires_at=NOW + 1, job_run="00run1")
    assert store.wait_for_lease(OWNER, "waits", now=NOW)
    assert store.take_lease(OWNER, "later", "{}", now=NOW + 2, expires_at=NOW + 900)
    assert store.leases([OWNER])[OWNER].job_run == ""


def test_a_lease_is_handed_over_by_its_holder_alone(store: DynamoStore) -> None:
    lease_for_a_job(store)

    assert not store.hand_over_lease(OWNER, "invocation", "thief", expires_at=NOW + 9)
    assert store.leases([OWNER])[OWNER].holder == "invocation/job"
