"""EMR Serverless on this machine: StartJobRun, GetJobRun and CancelJobRun, whose job runs are processes of local Spark.

A run executes the entry point of the work tree, ``tools/spark/<name>``, whatever folder it was stored in, with the
environment variables that spark-submit would give the driver. The archive and the sizes of workers are not used here.
Runs take turns, as in the template; they are forgotten when the stack stops.

Source: the service's own model in botocore, and "Job run states", Amazon EMR Serverless User Guide.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import re
import secrets
import shlex
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

from flask import Flask, Response, request

from tools.local.engines import ACCOUNT_ID, REGION
from tools.local.install import JAVA_VERSIONS, java_version
from tools.local.poller import Invoker, invoke_asynchronously
from tools.local.processes import ProcessDied, Processes, tail
from tools.local.template import Application, JobRunSource

_LOG = logging.getLogger(__name__)
ROOT = Path(__file__).resolve().parents[2]
ENTRY_POINTS = ROOT / "tools" / "spark"

_SUBMITTED, _SCHEDULED, _RUNNING = "SUBMITTED", "SCHEDULED", "RUNNING"
_SUCCESS, _FAILED, _CANCELLING, _CANCELLED = "SUCCESS", "FAILED", "CANCELLING", "CANCELLED"
_ENDED = {_SUCCESS, _FAILED, _CANCELLED}
_MEMBERS = {
    *("clientToken", "executionRoleArn", "jobDriver", "name", "executionTimeoutMinutes", "configurationOverrides"),
    "tags",
}
_DRIVER_VARIABLE = "spark.emr-serverless.driverEnv."
_TWELVE_HOURS_MINUTES = 720
MINUTE_SECONDS = 60.0
_LOOK_SECONDS = 0.1
_DETAILS_CHARACTERS = 256


class JobRunRefused(Exception):
    """A call that EMR Serverless would refuse, with the status and the name of the error."""

    def __init__(self, status: HTTPStatus, name: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.name = name
        self.message = message


@dataclass(slots=True)
class JobRun:
    """A run of a job: what was asked for, and how far it is."""

    application_id: str
    request: Mapping[str, Any]
    created_at: float
    run_id: str = field(default_factory=lambda: f"00{secrets.token_hex(7)}")
    state: str = _SUBMITTED
    details: str = "The job run waits to be scheduled"
    updated_at: float = 0.0
    is_cancelled: bool = False

    @property
    def arn(self) -> str:
        path = f"/applications/{self.application_id}/jobruns/{self.run_id}"
        return f"arn:aws:emr-serverless:{REGION}:{ACCOUNT_ID}:{path}"

    def describe(self) -> dict[str, Any]:
        """The member ``jobRun`` of GetJobRun."""
        optional = ("name", "configurationOverrides", "executionTimeoutMinutes", "tags")
        return {
            "applicationId": self.application_id,
            "jobRunId": self.run_id,
            "arn": self.arn,
            "createdBy": f"arn:aws:iam::{ACCOUNT_ID}:role/local",
            "createdAt": self.created_at,
            "updatedAt": self.updated_at,
            "executionRole": self.request["executionRoleArn"],
            "state": self.state,
            "stateDetails": self.details,
            "releaseLabel": "local",
            "jobDriver": self.request["jobDriver"],
            **{name: self.request[name] for name in optional if name in self.request},
        }


class JobRunner:
    """The job runs of all applications, one at a time.

    ``variables`` are set in the process of each run on top of the driver's; ``log`` gets its output. ``missing`` says
    why Spark cannot run here, empty where it can; ``changed`` is called with a run and its state before each change.
    """

    def __init__(
        self,
        applications: Sequence[str],
        processes: Processes,
        *,
        variables: Mapping[str, str],
        log: Path,
        changed: Callable[[JobRun, str], object],
        missing: Callable[[], str],
    ) -> None:
        self._applications = applications
        self._processes = processes
        self._variables = variables
        self._log = log
        self._changed = changed
        self._missing = missing
        self._runs: dict[str, JobRun] = {}
        self._lock = threading.Lock()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="job-run")

    def close(self) -> None:
        """Begin no run any more; the owner of the processes ends the one that is running."""
        self._worker.shutdown(wait=False, cancel_futures=True)

    def start(self, application_id: str, body: Mapping[str, Any]) -> JobRun:
        """Submit a run; the one that was submitted with the same token. Raises JobRunRefused."""
        self._check_application(application_id)
        if unknown := body.keys() - _MEMBERS:
            raise _invalid(f"the local stack knows no {', '.join(sorted(unknown))}")
        for name in ("clientToken", "executionRoleArn"):
            if not body.get(name):
                raise _invalid(f"{name} is required")
        if "entryPoint" not in body.get("jobDriver", {}).get("sparkSubmit", {}):
            raise _invalid("jobDriver.sparkSubmit.entryPoint is required: the local stack runs Spark alone")
        driver_variables(body)
        with self._lock:
            for known in self._runs.values():
                if (known.application_id, known.request["clientToken"]) == (application_id, body["clientToken"]):
                    if known.request != body:
                        message = "the client token was used with other parameters"
                        raise JobRunRefused(HTTPStatus.CONFLICT, "ConflictException", message)
                    return known
            now = time.time()
            run = JobRun(application_id, body, now, updated_at=now)
            self._runs[run.run_id] = run
        self._worker.submit(self._execute, run)
        return run

    def find(self, application_id: str, run_id: str) -> JobRun:
        """A run. Raises JobRunRefused where there is none."""
        self._check_application(application_id)
        run = self._runs.get(run_id)
        if run is None or run.application_id != application_id:
            raise _not_found(f"there is no job run {run_id}")
        return run

    def cancel(self, application_id: str, run_id: str) -> JobRun:
        """Cancel a run. Raises JobRunRefused where it has ended, or where there is none."""
        run = self.find(application_id, run_id)
        with self._lock:
            if run.state in _ENDED:
                raise _invalid(f"the job run is {run.state}")
            run.is_cancelled = True
            waits = run.state == _SUBMITTED
        self._change(run, _CANCELLED if waits else _CANCELLING, "The job run was cancelled")
        return run

    def _check_application(self, application_id: str) -> None:
        if application_id not in self._applications:
            raise _not_found(f"there is no application {application_id}: start with --spark-above-events N")

    def _change(self, run: JobRun, state: str, details: str) -> None:
        """Move a run to a state, unless it has ended, or runs while it is being cancelled."""
        with self._lock:
            before = run.state
            if before in _ENDED or (before == _CANCELLING and state not in _ENDED):
                return
            run.state, run.details, run.updated_at = state, details[:_DETAILS_CHARACTERS], time.time()
        self._changed(run, before)

    def _execute(self, run: JobRun) -> None:
        """Run the job of a run to its end."""
        self._change(run, _SCHEDULED, "The job run has been scheduled")
        entry_point = ENTRY_POINTS / run.request["jobDriver"]["sparkSubmit"]["entryPoint"].rpartition("/")[2]
        if run.is_cancelled:
            self._change(run, _CANCELLED, "The job run was cancelled")
        elif problem := self._missing():
            self._change(run, _FAILED, problem)
        elif not entry_point.is_file():
            self._change(run, _FAILED, f"Job failed: there is no {entry_point.name} in tools/spark")
        else:
            self._run_process(run, entry_point)

    def _run_process(self, run: JobRun, entry_point: Path) -> None:
        arguments = run.request["jobDriver"]["sparkSubmit"].get("entryPointArguments", [])
        try:
            process = self._processes.start(
                [sys.executable, str(entry_point), *arguments],
                log=self._log,
                environment=self._environment(run),
                folder=ROOT,
            )
        except ProcessDied as error:  # the stack is stopping
            self._change(run, _FAILED, str(error))
            return
        self._change(run, _RUNNING, "The job run is running")
        minutes = run.request.get("executionTimeoutMinutes", _TWELVE_HOURS_MINUTES)
        deadline = time.monotonic() + MINUTE_SECONDS * minutes if minutes else float("inf")
        while not run.is_cancelled and time.monotonic() < deadline:
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=_LOOK_SECONDS)
                break
        status = process.poll()
        self._processes.stop(process)
        if run.is_cancelled:
            self._change(run, _CANCELLED, "The job run was cancelled")
        elif status is None:
            self._change(run, _CANCELLED, f"The job run took longer than {minutes} minutes")
        elif status:
            end = tail(self._log, 1).strip()
            self._change(run, _FAILED, f"Job failed: exit code {status}; see the log spark, which ends: {end}")
        else:
            self._change(run, _SUCCESS, "Job completed successfully")

    def _environment(self, run: JobRun) -> dict[str, str]:
        """The environment variables of a run's process."""
        own = {name: os.environ[name] for name in ("PATH", "JAVA_HOME") if name in os.environ}
        return {
            **own,
            "HOME": str(Path.home()),
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            **driver_variables(run.request),
            **self._variables,
            "PYSPARK_PYTHON": sys.executable,
            "PYSPARK_DRIVER_PYTHON": sys.executable,
            "PYTHONPATH": os.pathsep.join((str(ROOT / "layers" / "nextbest"), str(ROOT))),
        }


class JobRunApi:
    """The three calls of EMR Serverless over HTTP, as a WSGI application, ``app``."""

    def __init__(self, runner: JobRunner) -> None:
        self._runner = runner
        self.app = Flask(__name__)
        runs = "/applications/<application_id>/jobruns"
        self.app.add_url_rule(runs, view_func=self._start, methods=["POST"])
        self.app.add_url_rule(f"{runs}/<run_id>", view_func=self._get, methods=["GET"])
        self.app.add_url_rule(f"{runs}/<run_id>", view_func=self._cancel, methods=["DELETE"])
        self.app.register_error_handler(JobRunRefused, _refusal)

    def _start(self, application_id: str) -> Response:
        body = request.get_json(force=True, silent=True)
        if not isinstance(body, dict):
            raise _invalid("the body is no JSON object")
        run = self._runner.start(application_id, body)
        return _json({"applicationId": application_id, "jobRunId": run.run_id, "arn": run.arn})

    def _get(self, application_id: str, run_id: str) -> Response:
        return _json({"jobRun": self._runner.find(application_id, run_id).describe()})

    def _cancel(self, application_id: str, run_id: str) -> Response:
        run = self._runner.cancel(application_id, run_id)
        return _json({"applicationId": application_id, "jobRunId": run.run_id})


class JobRunEvents:
    """Tells functions of changes of job runs, as the template's rules say, as EventBridge does."""

    def __init__(self, application: Application, invoker: Invoker) -> None:
        self._application = application
        self._invoker = invoker
        self._stopped = threading.Event()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="job-run-event")

    def close(self) -> None:
        """Tell nothing any more."""
        self._stopped.set()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def announce(self, run: JobRun, before: str) -> None:
        """Tell those who want to know that a run moved from the state ``before`` to the one that it has."""
        _LOG.info("job run %s: %s: %s", run.run_id, run.state, run.details)
        event = json.dumps(job_run_event(run, before)).encode()
        for source in self._application.job_run_sources:
            if run.state in source.states and run.application_id in source.applications and not self._stopped.is_set():
                self._pool.submit(self._tell, source, event)

    def _tell(self, source: JobRunSource, event: bytes) -> None:
        function = self._application.function(source.function)
        invoke_asynchronously(self._invoker, function, event, of="a job run", stopped=self._stopped)


def job_run_event(run: JobRun, before: str) -> dict[str, Any]:
    """The event that EventBridge delivers when the state of a job run changes."""
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "EMR Serverless Job Run State Change",
        "source": "aws.emr-serverless",
        "account": ACCOUNT_ID,
        "time": datetime.fromtimestamp(run.updated_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": REGION,
        "resources": [],
        "detail": {
            "jobRunId": run.run_id,
            "applicationId": run.application_id,
            "arn": run.arn,
            "releaseLabel": "local",
            "state": run.state,
            "previousState": before,
            "createdBy": f"arn:aws:iam::{ACCOUNT_ID}:role/local",
            "updatedAt": datetime.fromtimestamp(run.updated_at, UTC).isoformat(),
            "createdAt": datetime.fromtimestamp(run.created_at, UTC).isoformat(),
        },
    }


def driver_variables(body: Mapping[str, Any]) -> dict[str, str]:
    """The environment variables that a request of StartJobRun sets for the driver. Raises JobRunRefused."""
    parameters = body["jobDriver"]["sparkSubmit"].get("sparkSubmitParameters", "")
    return {
        name.removeprefix(_DRIVER_VARIABLE): value
        for name, value in _settings(parameters)
        if name.startswith(_DRIVER_VARIABLE)
    }


def _settings(parameters: str) -> Iterator[tuple[str, str]]:
    """The settings among the parameters of spark-submit, all of which are ``--conf name=value``."""
    words = iter(shlex.split(parameters))
    for word in words:
        setting = next(words, "")
        if word != "--conf" or not re.fullmatch(r"[\w.-]+=.*", setting, re.DOTALL):
            raise _invalid(f"the local stack takes --conf name=value alone of spark-submit, not {word} {setting}")
        name, _, value = setting.partition("=")
        yield name, value


def missing_of_spark() -> str:
    """Why Spark cannot run on this machine, and what helps; empty where it can."""
    if importlib.util.find_spec("pyspark") is None:
        return "Spark is not installed: run ./nextbest install spark"
    if java_version() not in JAVA_VERSIONS:
        return "Spark needs Java 17, which is not installed: run ./nextbest install spark"
    return ""


def _refusal(error: JobRunRefused) -> Response:
    return _json({"message": error.message}, error.status, {"x-amzn-ErrorType": error.name})


def _invalid(message: str) -> JobRunRefused:
    return JobRunRefused(HTTPStatus.BAD_REQUEST, "ValidationException", message)


def _not_found(message: str) -> JobRunRefused:
    return JobRunRefused(HTTPStatus.NOT_FOUND, "ResourceNotFoundException", message)


def _json(
    body: Mapping[str, Any], status: HTTPStatus = HTTPStatus.OK, headers: Mapping[str, str] | None = None
) -> Response:
    return Response(json.dumps(body), status, dict(headers or {}), content_type="application/json")
