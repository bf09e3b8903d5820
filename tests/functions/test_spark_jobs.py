"""Programs that are too large for one invocation: the function starts a Spark job, and knows how that ends.

The job runs in this process, without Spark: what it does under its lease is the same (``jobs/training_job.py``).
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any

import pytest
from botocore.exceptions import ClientError

from nextbest.aws import clients
from nextbest.domain.programs import Incarnation
from nextbest.domain.rebase_status import COMPLETE, FAILED, LEASE_SECONDS, QUEUED, RUN_SECONDS, TRAINING, WAIT_SECONDS
from nextbest.domain.resource_statuses import (
    ACTIVE,
    CREATE_FAILED,
    CREATE_IN_PROGRESS,
    CREATE_PENDING,
    STOPPED,
    STOPPING,
)
from nextbest.errors import InvalidInput, ProgramNotFound, Stopped, Unavailable
from nextbest.logic.program_removal import remove_program
from nextbest.logic.programs import rebase_event, rebase_status
from nextbest.logic.rebase import Rebase
from nextbest.logic.training_plan import MANUAL, new_version, own_solution
from nextbest.personalize.jobs.job_lease import JobLease, run_handed_over
from nextbest.personalize.jobs.training_job import TrainingJob
from nextbest.store.base import VERSION, Status
from nextbest.store.environment import open_artifacts
from tests.factories import MemoryArtifacts, user_events
from tests.functions.conftest import PROGRAM, Functions, load
from tests.functions.emr_serverless_double import EmrServerlessDouble
from tests.infrastructure.permissions import ALLOWED, START_SPARK_JOBS
from tests.infrastructure.test_events import sample

OWNER = PROGRAM.incarnation
NOW = time.time()
ABOVE_EVENTS = 40
INVOCATION = "00000000-0000-0000-0000-000000000001"
PLAIN = rebase_event(OWNER)
WAITING = rebase_event(OWNER, only="segments")


class Killed(BaseException):
    """Lambda, or EMR Serverless, ends a process."""


@pytest.fixture
def emr(functions: Functions) -> EmrServerlessDouble:
    """EMR Serverless beside a function that starts jobs above ``ABOVE_EVENTS`` events, and a program with more."""
    double = EmrServerlessDouble()
    functions.patch.setattr(clients, "emr_serverless_client", lambda: double)
    variables = {
        **functions.application.function("rebase").variables,
        "SPARK_ABOVE_EVENTS": str(ABOVE_EVENTS),
        "SPARK_APPLICATION_ID": "00app",
        "SPARK_JOB_ROLE_ARN": "arn:aws:iam::123456789012:role/job",
        "SPARK_LOG_GROUP": "/aws/emr-serverless/nextbest-rebase",
        "AWS_LAMBDA_FUNCTION_NAME": functions.application.function("rebase").logical_id,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "3008",
    }
    for name, value in variables.items():
        functions.patch.setenv(name, value)
    functions.modules["rebase"] = load("rebase")
    for user in range(4):
        functions.store.append(PROGRAM, user_events(f"user-{user}", 15, now=NOW, every_seconds=40_000 + user))
    return double


def invoke(functions: Functions, event: Mapping[str, Any], invocation: str = INVOCATION) -> Any:
    functions.operations.clear()
    return functions.modules["rebase"].handler(event, Context(invocation))


class Context:
    function_name = memory_limit_in_mb = invoked_function_arn = "rebase"

    def __init__(self, invocation: str) -> None:
        self.aws_request_id = invocation


def open_rebase(functions: Functions, incarnation: Incarnation) -> Rebase:
    return Rebase(functions.store, open_artifacts(clock=time.time), incarnation, clock=time.time)


def run_job(
    functions: Functions, emr: EmrServerlessDouble, run: str, open_one: Any = open_rebase, *, claim: str = "claim"
) -> dict[str, Any] | None:
    """What the entry point of the job does."""
    event, invocation = arguments_of(emr, run)
    job = TrainingJob(
        functions.store,
        open_artifacts(clock=time.time),
        partial(open_one, functions),
        Random(1),
        time.time,
    )
    emr.states[run] = "RUNNING"

    def work(_lease: JobLease) -> dict[str, Any]:
        return job.run(event, Incarnation(event["incarnation"]))

    done = run_handed_over(
        functions.store, event, invocation, work, functions.started.append, claim=claim, clock=time.time
    )
    emr.states[run] = "SUCCESS"
    return done


def arguments_of(emr: EmrServerlessDouble, run: str) -> tuple[dict[str, str], str]:
    event, invocation = emr.requests[run]["jobDriver"]["sparkSubmit"]["entryPointArguments"]
    return json.loads(event), invocation


def status_of(functions: Functions, *, now: float | None = None) -> Status:
    return rebase_status(functions.store, OWNER, now=now or time.time())


def versions_of(functions: Functions) -> list[Mapping[str, Any]]:
    return list(functions.store.list_resources([OWNER], VERSION))


def create_version(functions: Functions, name: str = "demo/1") -> Mapping[str, str]:
    version = new_version(own_solution(PROGRAM), name, training_type=MANUAL, now=time.time(), status=CREATE_PENDING)
    functions.store.create_resource(OWNER, VERSION, name, version)
    return rebase_event(OWNER, solution_version=name)


def ended(run: str) -> dict[str, Any]:
    return {"detail-type": "EMR Serverless Job Run State Change", "detail": {"jobRunId": run}}


def kill(*_: object) -> Rebase:
    raise Killed


def lease_of(functions: Functions) -> Any:
    return functions.store.leases([OWNER]).get(OWNER)


def vanish(functions: Functions, emr: EmrServerlessDouble, run: str) -> None:
    """The job dies as processes do: nothing is released, nothing reported."""
    event, invocation = arguments_of(emr, run)
    assert functions.store.hand_over_lease(
        OWNER, f"{invocation}/job", f"{invocation}/job/dead", expires_at=time.time() + LEASE_SECONDS
    )
    functions.store.put_status(Status(OWNER, TRAINING, "learning", time.time()))
    if (name := event.get("solution_version")) is not None:
        version = functions.store.resource(OWNER, VERSION, name)
        assert version is not None
        in_progress = {**version, "status": CREATE_IN_PROGRESS, "updated": time.time()}
        functions.store.put_resource(OWNER, VERSION, name, in_progress)


def test_what_is_too_large_goes_on_as_a_job_and_ends_as_any_rebase(
    functions: Functions, emr: EmrServerlessDouble
) -> None:
    # Given a program whose size nobody knows yet
    assert invoke(functions, PLAIN) == {}
    assert functions.permissions() <= ALLOWED["rebase"] | START_SPARK_JOBS

    # Then its job is started, with all that it has to know, and the status says so
    (run,) = emr.states
    request = emr.requests[run]
    assert (request["clientToken"], request["applicationId"]) == (INVOCATION, "00app")
    assert arguments_of(emr, run) == (PLAIN, INVOCATION)
    parameters = request["jobDriver"]["sparkSubmit"]["sparkSubmitParameters"]
    bucket = functions.application.function("rebase").variables["ARTIFACT_BUCKET"]
    assert f"--conf spark.archives=s3://{bucket}/spark/environment.tar.gz#environment" in parameters
    for where in ("emr-serverless.driverEnv", "executorEnv"):
        assert f"--conf spark.{where}.ARTIFACT_BUCKET={bucket}" in parameters
        assert f"--conf spark.{where}.REBASE_FUNCTION_NAME=RebaseFunction" in parameters
    status = status_of(functions)
    assert status.status_id == QUEUED
    assert status.message == "60 events or more are too many for one invocation; waits for its Spark job to start"
    assert versions_of(functions) == []
    # It may be queued for hours
    assert status_of(functions, now=time.time() + WAIT_SECONDS).status_id == QUEUED
    assert lease_of(functions).is_held(time.time() + WAIT_SECONDS)

    # When the job runs, then it is a rebase like any other, with a version that is active
    done = run_job(functions, emr, run)
    assert done is not None
    (version,) = versions_of(functions)
    assert (version["status"], version["model"]) == (ACTIVE, done["model"])
    assert status_of(functions).status_id == COMPLETE
    assert lease_of(functions) is None


def test_a_program_that_was_too_large_is_not_read_in_vain(functions: Functions, emr: EmrServerlessDouble) -> None:
    invoke(functions, PLAIN)
    run_job(functions, emr, "00run0")

    invoke(functions, PLAIN, "another")

    assert list(emr.states) == ["00run0", "00run1"]
    assert "Scan" not in functions.operations


def test_a_program_that_fits_is_learned_in_the_function(functions: Functions, emr: EmrServerlessDouble) -> None:
    functions.patch.setattr(functions.modules["rebase"], "SPARK_ABOVE_EVENTS", 60)

    assert invoke(functions, PLAIN)["model"]
    assert emr.states == {}


def test_one_that_does_not_fit_goes_on_as_a_job_whatever_its_events(
    functions: Functions, emr: EmrServerlessDouble
) -> None:
    functions.patch.setattr(functions.modules["rebase"], "SPARK_ABOVE_EVENTS", 10**9)
    functions.patch.setattr(functions.modules["rebase"], "MEMORY_BYTES", 10)

    invoke(functions, PLAIN)

    assert list(emr.states) == ["00run0"]


def test_a_version_waits_for_the_job_and_ends_as_it_does(functions: Functions, emr: EmrServerlessDouble) -> None:
    event = create_version(functions)

    invoke(functions, event)
    assert [version["status"] for version in versions_of(functions)] == [CREATE_PENDING]

    run_job(functions, emr, "00run0")
    (version,) = versions_of(functions)
    assert version["status"] == ACTIVE
    # And again, as a retry of Lambda comes late: nothing is published twice
    assert invoke(functions, event, "another") == {"model": None}
    assert list(emr.states) == ["00run0"]
    assert versions_of(functions) == [version]


def test_a_function_that_dies_after_it_started_the_job_starts_it_once(
    functions: Functions, emr: EmrServerlessDouble
) -> None:
    start_job_run = emr.start_job_run

    def start_and_die(_double: EmrServerlessDouble, **request: Any) -> Mapping[str, Any]:
        start_job_run(**request)
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EmrServerlessDouble, "start_job_run", start_and_die)
        with pytest.raises(Killed):
            invoke(functions, PLAIN)
    assert lease_of(functions).job_run == ""

    # When Lambda tries it again, before the job began or after
    assert invoke(functions, PLAIN) == {}

    assert "Scan" not in functions.operations
    assert list(emr.states) == ["00run0"]
    assert lease_of(functions).job_run == "00run0"
    assert run_job(functions, emr, "00run0") is not None
    assert lease_of(functions) is None


def test_a_retry_that_comes_after_the_job_ended_leaves_no_lease(functions: Functions, emr: EmrServerlessDouble) -> None:
    invoke(functions, PLAIN)
    run_job(functions, emr, "00run0")

    invoke(functions, PLAIN)

    assert list(emr.states) == ["00run0"]
    assert lease_of(functions) is None


def test_a_job_that_is_started_twice_trains_once(functions: Functions, emr: EmrServerlessDouble) -> None:
    invoke(functions, PLAIN)
    second: list[Any] = []

    def open_one(functions: Functions, incarnation: Incarnation) -> Rebase:
        second.append(run_job(functions, emr, "00run0", kill, claim="second"))
        return open_rebase(functions, incarnation)

    assert run_job(functions, emr, "00run0", open_one) is not None

    assert second == [None]
    assert len(versions_of(functions)) == 1
    # Nor does it begin once more after it has ended
    assert run_job(functions, emr, "00run0", kill, claim="third") is None


def test_what_waits_for_a_job_is_started_by_it(functions: Functions, emr: EmrServerlessDouble) -> None:
    invoke(functions, PLAIN)

    assert invoke(functions, WAITING, "another") == {}
    assert functions.started == []
    run_job(functions, emr, "00run0")

    assert functions.started == [WAITING]


def test_a_job_that_cannot_learn_says_why_itself(functions: Functions, emr: EmrServerlessDouble) -> None:
    invoke(functions, PLAIN)

    def open_one(functions: Functions, incarnation: Incarnation) -> Rebase:
        functions.store.put_status(Status(incarnation, FAILED, "there are no events", time.time()))
        raise InvalidInput("there are no events")

    with pytest.raises(InvalidInput):
        run_job(functions, emr, "00run0", open_one)
    emr.states["00run0"] = "FAILED"

    assert invoke(functions, ended("00run0")) == {"ended": False}
    assert status_of(functions).message == "there are no events"
    (version,) = versions_of(functions)
    assert (version["status"], version["failure"]) == (CREATE_FAILED, "there are no events")


@pytest.mark.parametrize("state", ["FAILED", "CANCELLED"])
def test_a_job_that_vanishes_is_reported_failed_and_what_waited_is_started(
    functions: Functions, emr: EmrServerlessDouble, state: str
) -> None:
    invoke(functions, create_version(functions))
    invoke(functions, WAITING, "another")
    vanish(functions, emr, "00run0")
    emr.states["00run0"] = state

    assert invoke(functions, ended("00run0")) == {"ended": True}

    status = status_of(functions)
    assert status.status_id == FAILED
    assert f"its Spark job ended as {state} (as tested)" in status.message
    (version,) = versions_of(functions)
    assert version["status"] == CREATE_FAILED
    assert f"ended as {state}" in version["failure"]
    assert functions.started == [WAITING]
    assert not lease_of(functions).holder
    # Events may come twice
    assert invoke(functions, ended("00run0")) == {"ended": False}


def test_a_version_whose_job_is_cancelled_ends_as_stopped(functions: Functions, emr: EmrServerlessDouble) -> None:
    invoke(functions, create_version(functions))
    vanish(functions, emr, "00run0")
    (version,) = versions_of(functions)
    functions.store.put_resource(OWNER, VERSION, version["name"], {**version, "status": STOPPING})

    invoke(functions, {"cancel_job_run": "00run0"})
    assert invoke(functions, ended("00run0")) == {"ended": True}

    assert [version["status"] for version in versions_of(functions)] == [STOPPED]


def test_ends_of_jobs_are_no_matter_of_a_deployment_without_them(functions: Functions) -> None:
    assert functions.answer("rebase", sample("rebase/spark-job-failed")) == {"ended": False}
    assert functions.answer("rebase", {"cancel_job_run": "00run0"}) == {"cancelled": None}


def test_the_end_of_a_run_of_a_deleted_program_is_no_failure(functions: Functions, emr: EmrServerlessDouble) -> None:
    invoke(functions, PLAIN)
    remove_program(functions.store, MemoryArtifacts(), OWNER)
    emr.states["00run0"] = "CANCELLED"

    assert invoke(functions, ended("00run0")) == {"ended": False}
    assert invoke(functions, ended("unknown")) == {"ended": False}


def test_a_job_that_never_began_fails_what_waited_for_it(functions: Functions, emr: EmrServerlessDouble) -> None:
    invoke(functions, create_version(functions))
    emr.states["00run0"] = "FAILED"

    assert invoke(functions, ended("00run0")) == {"ended": True}

    assert [version["status"] for version in versions_of(functions)] == [CREATE_FAILED]
    assert status_of(functions).status_id == FAILED
    assert run_job(functions, emr, "00run0", kill) is None


def test_without_a_report_a_job_that_vanished_is_lost_and_blocks_nobody(
    functions: Functions, emr: EmrServerlessDouble
) -> None:
    invoke(functions, PLAIN)
    vanish(functions, emr, "00run0")

    later = time.time() + RUN_SECONDS + 200
    assert status_of(functions, now=later).status_id == FAILED
    assert not lease_of(functions).is_held(later)
    assert functions.store.take_lease(OWNER, "next", "{}", now=later, expires_at=later + LEASE_SECONDS)
    # The late report of the old run ends nothing of the new one
    emr.states["00run0"] = "FAILED"
    assert invoke(functions, ended("00run0")) == {"ended": False}
    assert lease_of(functions).holder == "next"
    assert lease_of(functions).job_run == ""


def test_a_job_that_runs_for_hours_is_not_taken_for_lost(functions: Functions, emr: EmrServerlessDouble) -> None:
    invoke(functions, create_version(functions))
    vanish(functions, emr, "00run0")
    clock = [time.time()]
    lease = JobLease(functions.store, OWNER, f"{INVOCATION}/job/dead", lambda: clock[0])

    for _ in range(3):
        clock[0] += RUN_SECONDS
        lease.renew()

    assert lease_of(functions).is_held(clock[0] + LEASE_SECONDS - 1)
    assert status_of(functions, now=clock[0] + RUN_SECONDS).status_id == TRAINING
    (version,) = versions_of(functions)
    assert version["updated"] == clock[0]
    # One that was stopped meanwhile stays so, and one that has ended does not change
    functions.store.put_resource(OWNER, VERSION, version["name"], {**version, "status": STOPPING})
    functions.store.put_status(replace(status_of(functions), status_id=COMPLETE, timestamp=clock[0]))
    clock[0] += 1
    lease.renew()
    assert versions_of(functions)[0]["status"] == STOPPING
    assert functions.store.status(OWNER) == replace(status_of(functions), timestamp=clock[0] - 1)


def test_a_renewal_never_takes_back_what_another_writer_says(functions: Functions, emr: EmrServerlessDouble) -> None:
    version = create_version(functions)["solution_version"]
    old = functions.store.resource(OWNER, VERSION, version)
    assert old is not None
    functions.store.put_resource(OWNER, VERSION, version, {**old, "status": STOPPED})
    status = Status(OWNER, TRAINING, "learning", NOW)
    functions.store.put_status(replace(status, status_id=COMPLETE))

    assert not functions.store.replace_resource(OWNER, VERSION, old, {**old, "updated": NOW})
    assert not functions.store.replace_status(status, replace(status, timestamp=NOW + 1))
    assert versions_of(functions)[0]["status"] == STOPPED
    assert status_of(functions).status_id == COMPLETE
    assert emr.states == {}


def test_a_job_whose_lease_is_gone_stops_at_its_next_check(functions: Functions, emr: EmrServerlessDouble) -> None:
    invoke(functions, PLAIN)
    vanish(functions, emr, "00run0")
    lease = JobLease(functions.store, OWNER, f"{INVOCATION}/job/dead", time.time)
    lease.check()

    functions.store.release_lease(OWNER, f"{INVOCATION}/job/dead")

    with pytest.raises(Stopped):
        lease.check()
    remove_program(functions.store, MemoryArtifacts(), OWNER)
    with pytest.raises(ProgramNotFound):
        lease.check()


def test_a_job_that_is_refused_fails_at_once(functions: Functions, emr: EmrServerlessDouble) -> None:
    emr.refuses = (403, "AccessDeniedException")

    with pytest.raises(Unavailable, match="EMR Serverless refused the Spark job"):
        invoke(functions, create_version(functions))

    assert status_of(functions).status_id == FAILED
    assert [version["status"] for version in versions_of(functions)] == [CREATE_FAILED]
    assert lease_of(functions) is None


def test_one_of_which_nobody_knows_whether_it_began_is_started_again(
    functions: Functions, emr: EmrServerlessDouble
) -> None:
    emr.refuses = (500, "InternalServerException")
    with pytest.raises(ClientError):
        invoke(functions, PLAIN)
    assert status_of(functions).status_id == QUEUED

    emr.refuses = None
    invoke(functions, PLAIN)

    assert list(emr.states) == ["00run0"]
    assert run_job(functions, emr, "00run0") is not None


def test_a_run_is_cancelled_and_one_that_has_ended_is_left_alone(
    functions: Functions, emr: EmrServerlessDouble
) -> None:
    invoke(functions, PLAIN)

    for _ in range(2):
        assert invoke(functions, {"cancel_job_run": "00run0"}) == {"cancelled": "00run0"}

    assert emr.states == {"00run0": "CANCELLED"}
