"""The plain ``sam local start-api``, unpatched, with engines that its containers can reach.

SAM CLI starts the functions in Docker and nothing else, so DynamoDB, S3 and SQS run here, behind a door on the address
that Docker's bridge gives this machine: containers see it, the network outside does not, and it opens for those that
hold the session token of this start, which SAM CLI passes on to its containers. SAM CLI has no Lambda API beside its
gateway, so a rebase is started by hand: ``sam local invoke RebaseFunction`` with the same ``--env-vars``.
"""

from __future__ import annotations

import ipaddress
import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tools.local.doors import forward_to, require_token
from tools.local.engines import CREDENTIALS, start_engines
from tools.local.gateway import Server
from tools.local.hosts import LOOPBACK_NAMES
from tools.local.key import PARAMETERS, operator_key
from tools.local.private_network import listen
from tools.local.processes import Processes
from tools.local.resources import create_resources, open_store
from tools.local.state import write_private
from tools.local.template import read_application

_ROOT = Path(__file__).resolve().parents[2]
_CONFIG = _ROOT / "samconfig.toml"
# The runtime that template.yaml names.
_BUILD_PYTHON = "python3.13"


class DockerMissing(Exception):
    """Docker, or the Python to build with, is not installed."""


def build() -> int:
    """Run ``sam build``; its exit status."""
    return subprocess.run([_sam(), "build"], cwd=_ROOT, check=False).returncode


def start_api(template: Path, *, state: Path, port: int, options: Sequence[str]) -> int:
    """Run the engines and ``sam local start-api`` until it ends; its exit status. Raises DockerMissing.

    ``options`` go to SAM CLI as they are.
    """
    host = bridge_address()
    token = secrets.token_urlsafe()
    processes = Processes()
    door = Server(listen(host, 0))
    (url,) = door.urls
    try:
        engines = start_engines(processes, state=state, logs=state / "logs", one_endpoint=True)
        door.run(require_token(forward_to(engines.s3_url), token, {*LOOPBACK_NAMES, host, "host.docker.internal"}))
        queues = replace(engines, sqs_url=url)
        application = read_application(template, parameters=PARAMETERS, queue_url=queues.queue_url)
        create_resources(application, engines)
        access_key, key = operator_key()
        open_store(application, engines).put_access_key(access_key)
        variables = {
            function.logical_id: {**function.variables, "AWS_ENDPOINT_URL": url} for function in application.functions
        }
        variables_file = state / "variables.json"
        write_private(variables_file, json.dumps(variables, indent=2))
        print(f"key      {key}\nengines  {url}\n--env-vars {variables_file}", flush=True)
        command = sam_command(template, port=port, variables_file=variables_file, options=options)
        # SAM CLI passes credentials to the containers and asks STS, with retries, whose they are: the engine answers.
        environment = {**os.environ, **CREDENTIALS, "AWS_SESSION_TOKEN": token, "AWS_ENDPOINT_URL_STS": url}
        with subprocess.Popen(command, env=environment) as sam:
            try:
                return sam.wait()
            finally:
                sam.terminate()
    finally:
        door.close()
        processes.close()


def sam_command(template: Path, *, port: int, variables_file: Path, options: Sequence[str]) -> list[str]:
    """The command line of ``sam local start-api``."""
    return [
        *(_sam(), "local", "start-api", "--template", str(template)),
        *("--port", str(port), "--env-vars", str(variables_file)),
        *("--config-file", str(_CONFIG), *options),
    ]


def _sam() -> str:
    return str(Path(sys.executable).with_name("sam"))


def check_machine() -> None:
    """Raise DockerMissing, with a shorter message than theirs, if ``sam build`` and ``sam local`` cannot work."""
    bridge_address()
    try:
        subprocess.run([_BUILD_PYTHON, "--version"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        raise DockerMissing(f"`make start-docker` needs {_BUILD_PYTHON} on the PATH, for `sam build`.") from None


def bridge_address() -> str:
    """This machine's address on Docker's default bridge. Raises DockerMissing."""
    command = ["docker", "network", "inspect", "bridge", "--format", "{{json (index .IPAM.Config 0)}}"]
    if shutil.which(command[0]) is None:
        raise DockerMissing("`make start-docker` needs Docker, which is not installed; `make start` does not.")
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise DockerMissing(f"`make start-docker` needs Docker: {result.stderr.strip()}; `make start` does not.")
    settings = json.loads(result.stdout)
    # Older versions do not name the gateway; it is the first address.
    return str(settings.get("Gateway") or ipaddress.ip_network(settings["Subnet"])[1])
