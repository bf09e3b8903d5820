"""The plain ``sam local start-api`` and ``start-lambda``, unpatched, on the engines of the local stack.

SAM CLI runs the functions in Docker and nothing else. DynamoDB, S3 and SQS run here, on the state folder that
``make start`` uses too, behind a door on the address that Docker's bridge gives this machine: containers see it, the
network outside does not, and it opens for those that hold the session token of this start, which SAM CLI passes on to
its containers. The Lambda API behind the same door is SAM CLI's: through it the API starts a rebase. SAM CLI's servers
listen where no web page finds them; the port that was asked for is a door in front, which checks ``Host``.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Never

from tools.local.build import LOCAL_TEMPLATE, sam
from tools.local.docker import HOST_NAME, bridge_address, remove_containers
from tools.local.doors import forward_by_service, forward_to, require_token
from tools.local.engines import CREDENTIALS, REGION, index_segments, start_engines
from tools.local.gateway import Server
from tools.local.hosts import LOOPBACK_NAMES, allowed_names, require_host
from tools.local.inbox import ObjectWatcher
from tools.local.invocations import InvokeClient
from tools.local.key import PARAMETERS, operator_key
from tools.local.poller import QueuePoller
from tools.local.private_network import listen, unguessable_address
from tools.local.processes import HOST, ProcessDied, Processes, free_port, tail, wait_for_port
from tools.local.resources import create_resources, end_leases, open_store, s3_client, sqs_client
from tools.local.stack import Report
from tools.local.state import lock, make_private, write_private
from tools.local.template import Application, read_application

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

_ROOT = Path(__file__).resolve().parents[2]
_CONFIG = _ROOT / "samconfig.toml"
_SERVERS = ("start-api", "start-lambda")
_WATCH_SECONDS = 1.0
_START_SECONDS = 60.0
# SAM CLI stops its containers one after the other.
_STOP_SECONDS = 30.0
# The first request to a function may have to wait for its image.
_RESPONSE_SECONDS = 900.0

DIFFERENCES = """\
What differs from `make start`:
  - Functions run as built, in AWS's image: start again after a change. Memory limits are enforced.
  - The first request to each function takes seconds (the first one ever downloads the image), later ones tens of
    milliseconds and now and then a second. A function serves one request at a time.
  - Events are SAM CLI's: all requests share an id and a time, a path with a final slash takes the route without it,
    bodies that are not text fail, and the limits of API Gateway are not applied.
  - Logs of all functions: make logs FUNCTION=start-api (rebases: start-lambda)."""


class DockerStack:
    """Engines, doors, and SAM CLI's two servers. A context manager: leaving it stops all of them.

    ``state`` is the folder that keeps everything between starts; ``options`` go to SAM CLI as they are; ``report`` is
    called after each step. Entering raises BlockingIOError if another stack uses the state.
    """

    def __init__(self, template: Path, *, state: Path, port: int, options: Sequence[str], report: Report) -> None:
        self._template = template
        self._state = state
        self._logs = state / "logs"
        self._description = state / "stack.json"
        self._port = port
        self._options = options
        self._report = report
        self._token = secrets.token_urlsafe()
        self._cleanup = ExitStack()

    def __enter__(self) -> DockerStack:
        try:
            self._start()
        except BaseException:
            self._cleanup.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._cleanup.close()

    def announce(self) -> None:
        """Write ``stack.json`` into the state folder, once the stack is ready, for the commands of ``./nextbest``."""
        self._cleanup.callback(self._description.unlink, missing_ok=True)
        write_private(self._description, json.dumps(self._describe(), indent=2))

    def watch(self) -> Never:
        """Wait forever. Raises ProcessDied as soon as an engine or SAM CLI ends."""
        while True:
            time.sleep(_WATCH_SECONDS)
            for name, process in {**self._engines.processes, **self._servers}.items():
                if process.poll() is not None:
                    log = self._logs / f"{name}.log"
                    raise ProcessDied(f"{name} ended with status {process.returncode}:\n{tail(log)}")

    def _start(self) -> None:
        make_private(self._state)
        self._cleanup.callback(lock(self._state).close)
        self._description.unlink(missing_ok=True)  # of a stack that was killed
        gateway = Server(listen(HOST, self._port))
        self._cleanup.callback(gateway.close)
        (self.url,) = gateway.urls
        processes = Processes()
        self._cleanup.callback(processes.close)
        self._engines = start_engines(processes, state=self._state, logs=self._logs)
        self._report(f"{' and '.join(sorted(self._engines.processes))} are running")
        bridge = bridge_address("make start-docker")
        door = Server(listen(bridge, 0))
        self._cleanup.callback(door.close)
        (self._door_url,) = door.urls
        queues = replace(self._engines, sqs_url=self._door_url)
        self._application = read_application(self._template, parameters=PARAMETERS, queue_url=queues.queue_url)
        create_resources(self._application, self._engines)
        index_segments(self._state, self._application.tables)
        self.store = open_store(self._application, self._engines)
        end_leases(self.store)
        access_key, self.key = operator_key()
        self.store.put_access_key(access_key)
        self._report(", ".join((*self._application.tables, *self._application.buckets, *self._application.queues)))
        host = unguessable_address()
        ports = {name: free_port(host) for name in _SERVERS}
        urls = {name: f"http://{host}:{port}" for name, port in ports.items()}
        # Open first: SAM CLI calls it when it starts.
        door.run(open_to_containers(self._engines.urls() | {"lambda": urls["start-lambda"]}, self._token, bridge))
        self._start_servers(processes, host, ports)
        gateway.run(require_host(forward_to(urls["start-api"], timeout_seconds=_RESPONSE_SECONDS), allowed_names()))
        self._start_pollers(InvokeClient(urls["start-lambda"]))
        self._report("sam local start-api and start-lambda are running")

    def _start_servers(self, processes: Processes, host: str, ports: Mapping[str, int]) -> None:
        variables_file = self._state / "variables.json"
        write_private(variables_file, json.dumps(container_variables(self._application, self._door_url), indent=2))
        environment = {**os.environ, **sam_environment(self._token, self._door_url)}
        # They stop first, and what they leave behind is removed.
        self._servers: dict[str, subprocess.Popen[bytes]] = {}
        self._cleanup.callback(self._remove_containers)
        self._cleanup.callback(lambda: processes.stop(*self._servers.values(), seconds=_STOP_SECONDS))
        for name, port in ports.items():
            command = sam_command(name, host, port, variables_file=variables_file, options=self._options)
            log = self._logs / f"{name}.log"
            self._servers[name] = processes.start(command, log=log, environment=environment, folder=_ROOT)
        for name, server in self._servers.items():
            log = self._logs / f"{name}.log"
            wait_for_port(server, ports[name], log=log, seconds=_START_SECONDS, host=host)

    def _start_pollers(self, client: InvokeClient) -> None:
        for source in self._application.queue_sources:
            poller = QueuePoller(
                source,
                self._application.function(source.function),
                sqs=sqs_client(self._engines),
                queue_url=self._engines.queue_url(source.queue),
                invoker=client,
            )
            poller.start()
            self._cleanup.callback(poller.close)
        for files in self._application.object_sources:
            function = self._application.function(files.function)
            watcher = ObjectWatcher(files, function, s3=s3_client(self._engines), invoker=client)
            watcher.start()
            self._cleanup.callback(watcher.close)

    def _remove_containers(self) -> None:
        if count := remove_containers(self._token):
            self._report(f"{count} containers that SAM CLI had left are removed")

    def _describe(self) -> dict[str, object]:
        queues = replace(self._engines, sqs_url=self._door_url)
        services = (*self._engines.urls(), "lambda")
        return {
            "pid": os.getpid(),
            "url": self.url,
            "key": self.key,
            "variables": {
                **self._engines.variables(),
                "AWS_SESSION_TOKEN": self._token,
                "AWS_ENDPOINT_URL_STS": self._door_url,  # refused at once; SAM CLI waits for AWS otherwise
                **{f"AWS_ENDPOINT_URL_{service.upper()}": self._door_url for service in services},
            },
            "tables": list(self._application.tables),
            "buckets": list(self._application.buckets),
            "queues": {name: queues.queue_url(name) for name in self._application.queues},
        }


def open_to_containers(urls: dict[str, str], token: str, bridge: str) -> WSGIApplication:
    """All of AWS at one address, for containers that hold the token."""
    return require_token(forward_by_service(urls), token, {*LOOPBACK_NAMES, bridge, HOST_NAME})


def container_variables(application: Application, url: str) -> dict[str, dict[str, str]]:
    """What ``--env-vars`` takes: the variables of each function, and where AWS is."""
    return {function.logical_id: {**function.variables, "AWS_ENDPOINT_URL": url} for function in application.functions}


def sam_environment(token: str, url: str) -> dict[str, str]:
    """What SAM CLI reads from its environment: credentials, which it passes on to containers, and no telemetry.

    It asks STS, with retries, whose they are: the door refuses at once.
    """
    return {
        **CREDENTIALS,
        "AWS_SESSION_TOKEN": token,
        "AWS_ENDPOINT_URL_STS": url,
        "AWS_DEFAULT_REGION": REGION,
        "SAM_CLI_TELEMETRY": "0",
    }


def sam_command(name: str, host: str, port: int, *, variables_file: Path, options: Sequence[str]) -> list[str]:
    """The command line of ``sam local start-api`` or ``start-lambda``."""
    return [
        *(sam(), "local", name, "--template", str(LOCAL_TEMPLATE), "--config-file", str(_CONFIG)),
        *("--host", host, "--port", str(port), "--env-vars", str(variables_file)),
        # AWS's emulator in the containers invokes a function for whoever finds it.
        *("--container-host", host, "--container-host-interface", host),
        *options,
    ]
