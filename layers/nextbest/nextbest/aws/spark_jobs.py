"""Job runs of a Spark application on EMR Serverless.

Source: https://docs.aws.amazon.com/emr/latest/EMR-Serverless-UserGuide/jobs-spark.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from nextbest.errors import Unavailable

if TYPE_CHECKING:
    from nextbest.aws.clients import EmrServerlessClient

PYTHON = "./environment/bin/python3"
"""The Python of the archive, which is unpacked beside each driver and executor."""

_DISK_GIGABYTES = 100
_THREADS = {"OPENBLAS_NUM_THREADS": "1"}
"""As many tasks as there are cores run at once in an executor, and each is a process of its own."""

# Nearly all work is done by Python, outside the heap of the JVM: 28 GB a worker of four cores, of 30 that it may have.
_WORKERS = {
    "spark.driver.cores": "4",
    "spark.driver.memory": "8g",
    "spark.driver.memoryOverhead": "20g",
    "spark.emr-serverless.driver.disk": f"{_DISK_GIGABYTES}g",
    "spark.executor.cores": "4",
    "spark.executor.memory": "8g",
    "spark.executor.memoryOverhead": "20g",
    "spark.emr-serverless.executor.disk": f"{_DISK_GIGABYTES}g",
    "spark.executor.instances": "3",
}


@dataclass(frozen=True, slots=True)
class SparkApplication:
    """Where jobs run: the application, the role that they take, and the log group that they write.

    ``folder`` is the URL of the folder with the entry point, ``rebase.py``, and the archive, ``environment.tar.gz``.
    """

    application_id: str
    role_arn: str
    log_group: str
    folder: str


@dataclass(frozen=True, slots=True)
class JobRun:
    """A run of a job: its arguments, and how it ended or goes, such as ``RUNNING``, ``FAILED`` or ``CANCELLED``."""

    arguments: Sequence[str]
    state: str
    reason: str

    @property
    def has_ended(self) -> bool:
        """Whether it does nothing any more."""
        return self.state in ("SUCCESS", "FAILED", "CANCELLED")


class SparkJobs:
    """The job runs of one application."""

    def __init__(self, client: EmrServerlessClient, application: SparkApplication) -> None:
        self._client = client
        self._application = application

    def start(
        self, token: str, *, name: str, arguments: Sequence[str], variables: Mapping[str, str], minutes: int
    ) -> str:
        """Start a job run; its id. The same ``token`` again starts no second one.

        ``variables`` are the environment of the driver and of all executors; the run is cancelled after ``minutes``.
        Raises Unavailable where EMR Serverless refuses it, ClientError or BotoCoreError where it may have begun.
        """
        try:
            response = self._request(token, name, arguments, variables, minutes)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500:
                raise
            raise Unavailable(f"EMR Serverless refused the Spark job: {error}") from error
        job_run_id: str = response["jobRunId"]
        return job_run_id

    def _request(
        self, token: str, name: str, arguments: Sequence[str], variables: Mapping[str, str], minutes: int
    ) -> Mapping[str, Any]:
        application = self._application
        return self._client.start_job_run(
            applicationId=application.application_id,
            clientToken=token,
            executionRoleArn=application.role_arn,
            name=name[:256],
            executionTimeoutMinutes=minutes,
            jobDriver={
                "sparkSubmit": {
                    "entryPoint": f"{application.folder}rebase.py",
                    "entryPointArguments": list(arguments),
                    "sparkSubmitParameters": submit_parameters(application.folder, variables),
                }
            },
            configurationOverrides={
                "monitoringConfiguration": {
                    "cloudWatchLoggingConfiguration": {"enabled": True, "logGroupName": application.log_group},
                    # Kept by AWS for 30 days, free of charge; the pages of a run in the console read it.
                    "managedPersistenceMonitoringConfiguration": {"enabled": True},
                }
            },
        )

    def find(self, job_run_id: str) -> JobRun | None:
        """A job run; None where there is none of this id."""
        try:
            response = self._client.get_job_run(applicationId=self._application.application_id, jobRunId=job_run_id)
        except ClientError as error:
            if error.response["Error"]["Code"] == "ResourceNotFoundException":
                return None
            raise
        run: Mapping[str, Any] = response["jobRun"]
        arguments = run["jobDriver"]["sparkSubmit"].get("entryPointArguments", [])
        return JobRun(tuple(arguments), run["state"], run.get("stateDetails", ""))

    def cancel(self, job_run_id: str) -> None:
        """Cancel a job run; nothing happens to one that has ended, or that is not there."""
        try:
            self._client.cancel_job_run(applicationId=self._application.application_id, jobRunId=job_run_id)
        except ClientError as error:
            # One that has ended is refused as invalid.
            if error.response["Error"]["Code"] not in ("ResourceNotFoundException", "ValidationException"):
                raise


def submit_parameters(folder: str, variables: Mapping[str, str]) -> str:
    """What spark-submit gets: the archive, the environment of the driver and the executors, and the workers' sizes."""
    environment = {**_THREADS, **variables, "PYSPARK_PYTHON": PYTHON}
    settings = {
        "spark.archives": f"{folder}environment.tar.gz#environment",
        "spark.emr-serverless.driverEnv.PYSPARK_DRIVER_PYTHON": PYTHON,
        **{f"spark.emr-serverless.driverEnv.{name}": value for name, value in environment.items()},
        **{f"spark.executorEnv.{name}": value for name, value in environment.items()},
        **_WORKERS,
    }
    return " ".join(f"--conf {name}={value}" for name, value in settings.items())
