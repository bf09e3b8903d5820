"""``make start-docker`` as a person runs it, where Docker is; with a stand-in where AWS's base image cannot be had."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.stacks import ROOT, RunningStack, environment, output_of, output_path, processes_of
from tests.docker.stand_in_image import CannotMakeImage, make_image
from tests.waiting import wait_until
from tools.local.build import BUILD_PYTHON
from tools.local.docker import DockerMissing, check_machine
from tools.local.machine import machine_architecture

IMAGE = f"public.ecr.aws/lambda/python:3.13-{machine_architecture()}"
# A build downloads packages, a first request makes an image, the demo is loaded and rebased.
_START_SECONDS = 1800.0
_STOP_SECONDS = 120.0


class DockerStack(RunningStack):
    """A stack that ``make start-docker`` runs."""

    def interrupt(self) -> None:
        """What Ctrl-C does; AssertionError if it ends with an error."""
        for client in (self.dynamodb, self.s3, self.sqs, self.lambda_):
            client.close()
        self.process.send_signal(signal.SIGINT)
        status = self.process.wait(timeout=_STOP_SECONDS)
        assert status == 0, self.output()

    def left_behind(self) -> list[str]:
        """Containers and processes of this stack that still run."""
        return [*containers_with(self.session_token), *processes_of(self.state).values()]


def start(state: Path, *sam_options: str) -> DockerStack:
    """Start it with the demo program, and wait until it is ready."""
    description = state / "stack.json"
    with output_path(state).open("wb") as output:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tools.cli", "start-docker"),
                *("--state", str(state), "--port", "0", "--", *sam_options),
            ],
            cwd=ROOT,
            env=environment(),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    wait_until(lambda: description.exists() or process.poll() is not None, seconds=_START_SECONDS)
    if process.poll() is not None:
        raise AssertionError(f"the stack ended with status {process.returncode}:\n{output_of(state)}")
    return DockerStack(process, state)


def containers_with(token: str) -> list[str]:
    """The containers, running or not, that have this session token."""
    containers = docker("ps", "--all", "--quiet").split()
    return [
        container for container in containers if token in docker("inspect", "--format", "{{.Config.Env}}", container)
    ]


def docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False).stdout


@pytest.fixture(scope="session")
def sam_options(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """Options for SAM CLI, once there is a base image; skips the test where there cannot be one."""
    try:
        check_machine("make test-docker")
        pull = ["docker", "pull", "--quiet", IMAGE]
        if docker("images", "--quiet", IMAGE) or subprocess.run(pull, check=False).returncode == 0:
            return ("--skip-pull-image",)
        terminal = request.config.pluginmanager.getplugin("terminalreporter")
        terminal.write_line(f"{IMAGE} cannot be had: a stand-in made of this machine's {BUILD_PYTHON} is used")
        make_image(IMAGE, python=BUILD_PYTHON)
        return ("--skip-pull-image",)
    except (DockerMissing, CannotMakeImage) as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state folder of all starts."""
    return tmp_path_factory.mktemp("docker") / "state"


@pytest.fixture(scope="module")
def stack(state: Path, sam_options: tuple[str, ...]) -> Iterator[DockerStack]:
    """The first of the starts."""
    running = start(state, *sam_options)
    yield running
    if running.process.poll() is None:
        running.interrupt()
