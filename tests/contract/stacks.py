"""Local stacks for tests: started as `make start` starts them, on a free port, in a folder of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from tests.waiting import wait_until

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

ROOT = Path(__file__).resolve().parents[2]
ECHO_TEMPLATE = Path(__file__).parent / "echo" / "template.yaml"
_START_SECONDS = 60.0
_DEMO_SECONDS = 300.0
_STOP_SECONDS = 20.0


class RunningStack:
    """One running stack: ``url`` and ``key`` of its API, clients of its engines, what the template made there."""

    def __init__(self, process: subprocess.Popen[bytes], state: Path) -> None:
        content = json.loads((state / "stack.json").read_text())
        self.process = process
        self.state = state
        self.url: str = content["url"]
        self.key: str = content["key"]
        self.tables: list[str] = content["tables"]
        self.buckets: list[str] = content["buckets"]
        self.queues: dict[str, str] = content["queues"]
        self.session_token: str = content["variables"]["AWS_SESSION_TOKEN"]
        prefix = "AWS_ENDPOINT_URL_"
        self.endpoints: dict[str, str] = {
            name.removeprefix(prefix).lower(): value
            for name, value in content["variables"].items()
            if name.startswith(prefix)
        }
        self.dynamodb: DynamoDBClient = boto3.client("dynamodb", **client_arguments(content["variables"], "DYNAMODB"))
        self.s3: S3Client = boto3.client("s3", **client_arguments(content["variables"], "S3"))
        self.sqs: SQSClient = boto3.client("sqs", **client_arguments(content["variables"], "SQS"))
        self.lambda_: LambdaClient = boto3.client("lambda", **client_arguments(content["variables"], "LAMBDA"))

    def log(self, name: str) -> str:
        """What a function (or engine) wrote so far."""
        return (self.state / "logs" / f"{name}.log").read_text()

    def output(self) -> str:
        """What the stack wrote to the terminal so far."""
        return output_of(self.state)

    def stop(self) -> int:
        """Stop as Ctrl-C does; the exit status."""
        self.process.send_signal(signal.SIGINT)
        return self.wait()

    def kill(self) -> None:
        """Kill -9, and wait until the kernel has ended the children."""
        self.process.kill()
        self.wait()
        wait_until(lambda: not processes_of(self.state), seconds=_STOP_SECONDS)

    def kill_all(self) -> None:
        """Kill -9 of the stack and everything it started, at once."""
        self.process.send_signal(signal.SIGSTOP)  # it must not start another one meanwhile
        for pid in (*processes_of(self.state), self.process.pid):
            os.kill(pid, signal.SIGKILL)
        self.wait()
        wait_until(lambda: not processes_of(self.state), seconds=_STOP_SECONDS)

    def wait(self) -> int:
        """Wait for the end of the stack; the exit status."""
        for client in (self.dynamodb, self.s3, self.sqs, self.lambda_):
            client.close()
        return self.process.wait(timeout=_STOP_SECONDS)


def client_arguments(variables: Mapping[str, str], service: str) -> dict[str, Any]:
    """Where and how a client finds a service of a stack."""
    return {
        "endpoint_url": variables[f"AWS_ENDPOINT_URL_{service}"],
        "region_name": variables["AWS_REGION"],
        "aws_access_key_id": "local",
        "aws_secret_access_key": "local",
        "aws_session_token": variables["AWS_SESSION_TOKEN"],
        "config": Config(retries={"total_max_attempts": 1}),
    }


def start_stack(
    state: Path,
    *,
    template: Path = ROOT / "template.yaml",
    port: int = 0,
    demo: bool = False,
    spark_above_events: int = 0,
) -> RunningStack:
    """Start a stack and wait until it is ready; AssertionError with its output if it ends."""
    description = state / "stack.json"
    description.unlink(missing_ok=True)  # a stack that was killed leaves it
    process = launch(state, template=template, port=port, demo=demo, spark_above_events=spark_above_events)
    seconds = _DEMO_SECONDS if demo else _START_SECONDS
    wait_until(lambda: description.exists() or process.poll() is not None, seconds=seconds)
    if process.poll() is not None:
        raise AssertionError(f"the stack ended with status {process.returncode}:\n{output_of(state)}")
    return RunningStack(process, state)


def launch(
    state: Path,
    *,
    template: Path = ROOT / "template.yaml",
    port: int = 0,
    demo: bool = False,
    spark_above_events: int = 0,
) -> subprocess.Popen[bytes]:
    """Start a stack's process and wait for nothing; it writes beside its state folder."""
    with output_path(state).open("wb") as output:
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "tools.cli", "start"),
                *(() if demo else ("--no-demo",)),
                *("--state", str(state), "--port", str(port), "--template", str(template)),
                *(("--spark-above-events", str(spark_above_events)) if spark_above_events else ()),
            ],
            cwd=ROOT,
            env=environment(),
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def environment() -> dict[str, str]:
    """The environment variables of the local stack's commands."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT / "layers" / "nextbest"), str(ROOT)))}


def refused(state: Path, *, port: int = 0) -> str:
    """What a stack says that must not start."""
    process = launch(state, port=port)
    assert process.wait(timeout=_START_SECONDS) == 1
    return output_of(state)


def output_path(state: Path) -> Path:
    return state.with_name(f"{state.name}.output")


def output_of(state: Path) -> str:
    """What the stack on this state folder wrote to the terminal."""
    return output_path(state).read_text()


def processes_of(state: Path) -> dict[int, str]:
    """Process ids and command lines of the engines and functions that run for this state folder."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            variables = (folder / "environ").read_text(errors="replace")
            command = (folder / "cmdline").read_text(errors="replace").replace("\0", " ")
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # ended meanwhile, or not ours
        if "tools.cli start" not in command and str(state) in command + variables:
            found[int(folder.name)] = command
    return found
