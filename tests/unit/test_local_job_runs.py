"""EMR Serverless on this machine, called by a stock client of AWS."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.waiting import wait_until
from tools.local import job_runs
from tools.local.engines import CREDENTIALS, REGION
from tools.local.environments import Invocation
from tools.local.gateway import Server
from tools.local.job_runs import JobRunApi, JobRunEvents, JobRunner, missing_of_spark
from tools.local.key import PARAMETERS
from tools.local.private_network import listen
from tools.local.processes import HOST, Processes
from tools.local.template import Application, Function, JobRunSource, read_application

SECONDS = 30.0
TEMPLATE = Path(__file__).parents[2] / "template.yaml"
APPLICATION = "sparkapplication"
ROLE = "arn:aws:iam::000000000000:role/SparkJobRole"
REBASE = Function("rebase", "RebaseFunction", "app.handler", Path("functions/rebase"), (), 60, 512, {})
WAITS = "import sys, time; print('began', flush=True); time.sleep(60)"
SAYS = """
import json, os, sys
print(json.dumps({"arguments": sys.argv[1:], **{name: os.environ.get(name) for name in (
    "TABLE_NAME", "PYSPARK_PYTHON", "AWS_ENDPOINT_URL_S3", "SPARK_HOME_OF_THE_TEST")}}))
"""


class Calls:
    """What runs functions: notes what they are told."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def invoke(self, function: Function, event: bytes) -> Invocation:
        assert function is REBASE
        self.events.append(json.loads(event))
        return Invocation(b"{}")


class Service:
    """The stand-in with a stock client; entry points are files in ``folder``, their output is in ``log``."""

    def __init__(self, client: Any, folder: Path, calls: Calls) -> None:
        self.client = client
        self.folder = folder
        self.log = folder / "spark.log"
        self.calls = calls
        self.missing = ""

    def start(self, code: str, *, token: str = "run-1", parameters: str = "", **more: Any) -> str:
        """Start a run of an entry point with this code; its id."""
        (self.folder / "rebase.py").write_text(code)
        submit = {"entryPoint": "s3://artifacts/spark/rebase.py", "entryPointArguments": ['{"program_id": "tea"}', "x"]}
        if parameters:
            submit["sparkSubmitParameters"] = parameters
        response = self.client.start_job_run(
            applicationId=APPLICATION,
            clientToken=token,
            executionRoleArn=ROLE,
            name="rebase of tea",
            jobDriver={"sparkSubmit": submit},
            configurationOverrides={"monitoringConfiguration": {"cloudWatchLoggingConfiguration": {"enabled": True}}},
            **more,
        )
        assert response["arn"].endswith(f"/applications/{APPLICATION}/jobruns/{response['jobRunId']}")
        run_id: str = response["jobRunId"]
        return run_id

    def run(self, run_id: str) -> dict[str, Any]:
        run: dict[str, Any] = self.client.get_job_run(applicationId=APPLICATION, jobRunId=run_id)["jobRun"]
        return run

    def wait(self, run_id: str, state: str) -> dict[str, Any]:
        wait_until(lambda: self.run(run_id)["state"] == state, seconds=SECONDS)
        return self.run(run_id)

    def output(self) -> str:
        return self.log.read_text() if self.log.exists() else ""


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.setattr(job_runs, "ENTRY_POINTS", tmp_path)
    monkeypatch.setenv("SPARK_HOME_OF_THE_TEST", "not for jobs")
    source = JobRunSource((APPLICATION,), ("FAILED", "CANCELLED"), REBASE.name)
    application = Application((REBASE,), {}, {}, {}, (), job_run_sources=(source,))
    calls, processes, server = Calls(), Processes(), Server(listen(HOST, 0))
    events = JobRunEvents(application, calls)
    credentials: dict[str, Any] = {name.lower(): value for name, value in CREDENTIALS.items()}
    once = Config(retries={"total_max_attempts": 1})
    client = boto3.client("emr-serverless", region_name=REGION, endpoint_url=server.urls[0], config=once, **credentials)
    made = Service(client, tmp_path, calls)
    runner = JobRunner(
        [APPLICATION],
        processes,
        variables={"AWS_ENDPOINT_URL_S3": "http://s3.local"},
        log=made.log,
        changed=events.announce,
        missing=lambda: made.missing,
    )
    server.run(JobRunApi(runner).app)
    yield made
    client.close()
    server.close()
    runner.close()
    events.close()
    processes.close()


def test_a_run_executes_the_entry_point_with_the_drivers_variables(service: Service) -> None:
    parameters = (
        "--conf spark.archives=s3://artifacts/spark/environment.tar.gz#environment --conf spark.driver.memory=8g "
        "--conf spark.emr-serverless.driverEnv.TABLE_NAME=Table --conf spark.executorEnv.TABLE_NAME=Table "
        "--conf spark.emr-serverless.driverEnv.PYSPARK_PYTHON=./environment/bin/python3"
    )
    run = service.wait(service.start(SAYS, parameters=parameters), "SUCCESS")

    assert json.loads(service.output()) == {
        "arguments": ['{"program_id": "tea"}', "x"],
        "TABLE_NAME": "Table",
        "PYSPARK_PYTHON": sys.executable,
        "AWS_ENDPOINT_URL_S3": "http://s3.local",
        "SPARK_HOME_OF_THE_TEST": None,
    }
    assert (run["name"], run["executionRole"]) == ("rebase of tea", ROLE)
    assert run["jobDriver"]["sparkSubmit"]["entryPointArguments"] == ['{"program_id": "tea"}', "x"]
    assert service.calls.events == []


def test_a_run_that_fails_says_where_to_look_and_is_announced(service: Service) -> None:
    run = service.wait(service.start("print('traceback'); raise SystemExit('no such table')"), "FAILED")

    assert run["stateDetails"] == "Job failed: exit code 1; see the log spark, which ends: no such table"
    wait_until(lambda: service.calls.events, seconds=SECONDS)
    (event,) = service.calls.events
    assert (event["source"], event["detail-type"]) == ("aws.emr-serverless", "EMR Serverless Job Run State Change")
    assert event["detail"]["jobRunId"] == run["jobRunId"]
    assert (event["detail"]["state"], event["detail"]["previousState"]) == ("FAILED", "RUNNING")


def test_a_run_that_works_is_cancelled(service: Service) -> None:
    run_id = service.start(WAITS)
    wait_until(lambda: "began" in service.output(), seconds=SECONDS)
    assert service.run(run_id)["state"] == "RUNNING"

    service.client.cancel_job_run(applicationId=APPLICATION, jobRunId=run_id)

    assert service.run(run_id)["state"] in ("CANCELLING", "CANCELLED")
    service.wait(run_id, "CANCELLED")
    wait_until(lambda: service.calls.events, seconds=SECONDS)
    assert [event["detail"]["state"] for event in service.calls.events] == ["CANCELLED"]
    with pytest.raises(ClientError, match=r"ValidationException.*CANCELLED"):
        service.client.cancel_job_run(applicationId=APPLICATION, jobRunId=run_id)


def test_a_run_that_waits_for_another_never_starts_once_it_is_cancelled(service: Service) -> None:
    first, second = service.start(WAITS), service.start(WAITS, token="run-2")
    wait_until(lambda: "began" in service.output(), seconds=SECONDS)
    assert service.run(second)["state"] == "SUBMITTED"

    for run_id in (second, first):
        service.client.cancel_job_run(applicationId=APPLICATION, jobRunId=run_id)
        service.wait(run_id, "CANCELLED")

    assert service.wait(service.start("print('third')", token="run-3"), "SUCCESS")
    assert service.output().splitlines() == ["began", "third"]


def test_a_run_that_takes_too_long_is_cancelled(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_runs, "MINUTE_SECONDS", 0.2)

    run = service.wait(service.start(WAITS, executionTimeoutMinutes=1), "CANCELLED")

    assert run["stateDetails"] == "The job run took longer than 1 minutes"


def test_the_same_token_starts_one_run(service: Service) -> None:
    first = service.start("print('once')")

    assert service.start("print('once')") == first
    with pytest.raises(ClientError, match="ConflictException"):
        service.start("print('once')", executionTimeoutMinutes=3)
    service.wait(first, "SUCCESS")
    assert service.output() == "once\n"


def test_without_spark_a_run_fails_and_says_what_is_missing(service: Service) -> None:
    service.missing = "Spark is not installed: run ./nextbest install spark"

    run = service.wait(service.start("print('never')"), "FAILED")

    assert run["stateDetails"] == "Spark is not installed: run ./nextbest install spark"
    assert service.output() == ""


def test_an_entry_point_that_is_not_there_fails(service: Service) -> None:
    run_id = service.start("")
    service.wait(run_id, "SUCCESS")
    (service.folder / "rebase.py").unlink()
    request = service.run(run_id)
    response = service.client.start_job_run(
        applicationId=APPLICATION, clientToken="run-2", executionRoleArn=ROLE, jobDriver=request["jobDriver"]
    )

    assert "there is no rebase.py" in service.wait(response["jobRunId"], "FAILED")["stateDetails"]


@pytest.mark.parametrize("operation", ["get_job_run", "cancel_job_run"])
@pytest.mark.parametrize("application", [APPLICATION, "another"])
def test_what_is_not_there_is_not_found(service: Service, operation: str, application: str) -> None:
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        getattr(service.client, operation)(applicationId=application, jobRunId="00abc")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"retryPolicy": {"maxAttempts": 3}}, "knows no retryPolicy"),
        ({"jobDriver": {"hive": {"query": "select 1"}}}, "entryPoint is required"),
        (
            {"jobDriver": {"sparkSubmit": {"entryPoint": "rebase.py", "sparkSubmitParameters": "--jars x.jar"}}},
            "not --jars x.jar",
        ),
    ],
)
def test_what_the_stand_in_would_ignore_is_refused(service: Service, changes: dict[str, Any], problem: str) -> None:
    job = {"sparkSubmit": {"entryPoint": "rebase.py"}}
    request = {"applicationId": APPLICATION, "clientToken": "x", "executionRoleArn": ROLE, "jobDriver": job, **changes}

    with pytest.raises(ClientError, match=f"ValidationException.*{problem}"):
        service.client.start_job_run(**request)


def test_what_is_missing_of_spark_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_runs, "java_version", lambda: None)
    if not missing_of_spark().startswith("Spark is not installed"):
        assert missing_of_spark() == "Spark needs Java 17, which is not installed: run ./nextbest install spark"


def test_the_template_has_an_application_above_a_number_of_events_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    without, with_spark = (
        read_application(TEMPLATE, parameters={**PARAMETERS, **more}, queue_url=str)
        for more in ({}, {"SparkAboveEvents": "1000"})
    )

    assert (without.spark_applications, without.job_run_sources) == ((), ())
    (application_id,) = with_spark.spark_applications
    assert with_spark.function("rebase").variables["SPARK_APPLICATION_ID"] == application_id
    (source,) = with_spark.job_run_sources
    assert (source.applications, source.states) == ((application_id,), ("FAILED", "CANCELLED"))
    assert with_spark.function(source.function).name == "rebase"
