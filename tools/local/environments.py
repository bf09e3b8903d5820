"""Execution environments: each runs one function in AWS's runtime interface emulator, one event at a time.

Like Lambda, a function gets another environment when all of its own are busy, and an idle one is reused. Unlike
in Lambda, each function is limited to a few environments (a laptop has few cores); further events wait.
"""

from __future__ import annotations

import http.client
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from tools.local.engines import REGION
from tools.local.machine import machine_architecture
from tools.local.private_network import unguessable_address
from tools.local.processes import ProcessDied, Processes, free_port, wait_for_port
from tools.local.template import Function

_LOG = logging.getLogger(__name__)
_START_ATTEMPTS = 5
_START_SECONDS = 20.0
_INVOKE_PATH = "/2015-03-31/functions/function/invocations"
# The emulator responds a little after the function's own timeout.
_GRACE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Invocation:
    """What a function returned. ``error_type`` is Lambda's name of the failure, or None if it returned normally."""

    payload: bytes
    error_type: str | None = None


@dataclass(slots=True)
class _Environment:
    process: subprocess.Popen[bytes]
    connection: http.client.HTTPConnection
    generation: int
    idle_since: float = 0.0


@dataclass(slots=True)
class _Pool:
    function: Function
    idle: list[_Environment] = field(default_factory=list)
    count: int = 0
    changed: threading.Condition = field(default_factory=threading.Condition)


class Environments:
    """The execution environments of all functions.

    ``variables`` are set in every environment on top of what the template declares for the function.
    """

    def __init__(
        self,
        functions: tuple[Function, ...],
        processes: Processes,
        *,
        variables: Mapping[str, str],
        logs: Path,
        limit: int,
    ) -> None:
        self._processes = processes
        self._variables = variables
        self._logs = logs
        self._limit = limit
        self._generation = 0
        self._pools = {function.logical_id: _Pool(function) for function in functions}
        self._emulator = emulator_path()
        # The emulator invokes the function for whoever finds it.
        self._host = unguessable_address()

    def invoke(self, function: Function, event: bytes) -> Invocation:
        """Run the function on one event. Raises ProcessDied if no environment can be started."""
        with self._environment(self._pools[function.logical_id]) as environment:
            try:
                environment.connection.request("POST", _INVOKE_PATH, event)
                response = environment.connection.getresponse()
                return _read(response.status, response.read())
            except (OSError, http.client.HTTPException) as error:
                # The emulator itself is gone: killed, or out of memory.
                environment.process.kill()
                _LOG.error("%s: the execution environment broke: %r", function.name, error)
                return Invocation(
                    _failure("Runtime.ExitError", f"the execution environment broke: {error!r}"), "Runtime.ExitError"
                )

    def prepare(self, function: Function) -> None:
        """Start an environment for the function before its first event."""
        with self._environment(self._pools[function.logical_id]):
            pass

    def retire(self) -> None:
        """Run the next event of every function in a new environment, with the code as it is now."""
        self._generation += 1

    def end_idle(self, *, idle_seconds: float) -> None:
        """End environments that were idle for so long; each function keeps one."""
        horizon = time.monotonic() - idle_seconds
        ended = []
        for pool in self._pools.values():
            with pool.changed:
                while pool.count > 1 and pool.idle and pool.idle[0].idle_since < horizon:
                    ended.append(pool.idle.pop(0))
                    pool.count -= 1
        for environment in ended:
            environment.connection.close()
        self._processes.stop(*(environment.process for environment in ended))

    def close(self) -> None:
        """Close the connections to idle environments; the owner of their processes ends those."""
        for pool in self._pools.values():
            with pool.changed:
                for environment in pool.idle:
                    environment.connection.close()

    @contextmanager
    def _environment(self, pool: _Pool) -> Iterator[_Environment]:
        environment = self._take(pool)
        try:
            yield environment
        finally:
            environment.idle_since = time.monotonic()
            with pool.changed:
                pool.idle.append(environment)
                pool.changed.notify()

    def _take(self, pool: _Pool) -> _Environment:
        """An idle environment that is alive and current, or a new one, or the next to become idle."""
        with pool.changed:
            while True:
                while pool.idle:
                    # The one used last has the warmest caches; the others may become idle long enough to end.
                    environment = pool.idle.pop()
                    if environment.process.poll() is None and environment.generation == self._generation:
                        return environment
                    pool.count -= 1
                    environment.connection.close()
                    self._processes.stop(environment.process)
                if pool.count < self._limit:
                    pool.count += 1
                    break
                pool.changed.wait()
        try:
            return self._start(pool.function)
        except BaseException:
            with pool.changed:
                pool.count -= 1
                pool.changed.notify()
            raise

    def _start(self, function: Function) -> _Environment:
        log = self._logs / f"{function.name}.log"
        for attempt in range(1, _START_ATTEMPTS + 1):
            port, runtime_port = free_port(self._host), free_port(self._host)
            process = self._processes.start(
                [
                    str(self._emulator),
                    *("--log-level", "error"),
                    *("--runtime-interface-emulator-address", f"{self._host}:{port}"),
                    *("--runtime-api-address", f"{self._host}:{runtime_port}"),
                    *(sys.executable, "-m", "awslambdaric", function.handler),
                ],
                log=log,
                environment=self._process_variables(function),
                folder=function.code,
            )
            try:
                wait_for_port(process, port, log=log, seconds=_START_SECONDS, host=self._host)
            except ProcessDied:
                # Another process took one of the two ports in between.
                self._processes.stop(process)
                if attempt == _START_ATTEMPTS:
                    raise
                continue
            timeout = function.timeout_seconds + _GRACE_SECONDS
            connection = http.client.HTTPConnection(self._host, port, timeout=timeout)
            return _Environment(process, connection, self._generation)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _process_variables(self, function: Function) -> dict[str, str]:
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(Path.home()),
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            "PYTHONPATH": os.pathsep.join(str(folder) for folder in (function.code, *function.layers)),
            **function.variables,
            **self._variables,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EXECUTION_ENV": f"AWS_Lambda_python{sys.version_info.major}.{sys.version_info.minor}",
            "AWS_LAMBDA_FUNCTION_NAME": function.logical_id,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_TIMEOUT": str(function.timeout_seconds),
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_megabytes),
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "LAMBDA_TASK_ROOT": str(function.code),
        }


def emulator_path() -> Path:
    """AWS's runtime interface emulator, which comes with SAM CLI; made executable if it is not."""
    path = Path(str(resources.files("samcli") / "local" / "rapid" / f"aws-lambda-rie-{machine_architecture()}"))
    if not os.access(path, os.X_OK):
        path.chmod(path.stat().st_mode | 0o755)
    return path


def _read(status: int, body: bytes) -> Invocation:
    """Tell results from failures: the emulator returns both with status 200, and a timeout as plain text."""
    try:
        result = json.loads(body)
    except ValueError:
        error_type = "Sandbox.Timedout" if b"timed out" in body else "Runtime.InvalidResponse"
        return Invocation(_failure(error_type, body.decode(errors="replace")), error_type)
    if status != http.client.OK:
        return Invocation(body, str(result.get("errorType", "Runtime.Unknown")))
    # Exactly these keys are all that marks an exception of a handler in awslambdaric's response.
    if isinstance(result, dict) and result.keys() == {"errorMessage", "errorType", "requestId", "stackTrace"}:
        return Invocation(body, str(result["errorType"]))
    return Invocation(body)


def _failure(error_type: str, message: str) -> bytes:
    return json.dumps({"errorMessage": message, "errorType": error_type}).encode()
