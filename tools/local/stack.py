"""The whole local stack: starts everything in order, watches it, and stops it."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Never

from tools.local.engines import start_engines
from tools.local.environments import Environments, Invocation
from tools.local.gateway import Gateway, Server
from tools.local.invocations import LambdaApi
from tools.local.key import PARAMETERS, operator_key
from tools.local.poller import QueuePoller
from tools.local.processes import HOST, ProcessDied, Processes, tail
from tools.local.resources import create_resources, open_store, sqs_client
from tools.local.template import read_application

_WATCH_SECONDS = 1.0
_IDLE_SECONDS = 120.0
_CORES = os.cpu_count() or 1

Report = Callable[[str], None]


class Stack:
    """Engines, functions, gateway and pollers. A context manager: leaving it stops all of them.

    ``state`` is the folder that keeps everything between starts; ``port`` 0 takes a free one. ``report`` is called
    after each step. Entering raises OSError if the port is in use, and BlockingIOError if another stack uses the state.
    """

    def __init__(self, template: Path, *, state: Path, port: int, report: Report) -> None:
        self._template = template
        self._state = state
        self._logs = state / "logs"
        self._description = state / "stack.json"
        self._port = port
        self._report = report
        self._cleanup = ExitStack()

    def __enter__(self) -> Stack:
        try:
            self._start()
        except BaseException:
            self._cleanup.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._cleanup.close()

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self._gateway_server.port}"

    def describe(self) -> dict[str, object]:
        """Where everything listens, for tests and tools."""
        return {
            "pid": os.getpid(),
            "url": self.url,
            "key": self.key,
            "variables": self._variables,
            "tables": list(self._application.tables),
            "buckets": list(self._application.buckets),
            "queues": {name: self._engines.queue_url(name) for name in self._application.queues},
        }

    def announce(self) -> None:
        """Write ``stack.json`` into the state folder, once the stack is ready."""
        self._cleanup.callback(self._description.unlink, missing_ok=True)
        partial = self._description.with_suffix(".partial")
        partial.write_text(json.dumps(self.describe(), indent=2))
        partial.rename(self._description)

    def watch(self) -> Never:
        """Pick up edited code and end idle environments, forever. Raises ProcessDied as soon as an engine ends."""
        code = self._code_version()
        while True:
            time.sleep(_WATCH_SECONDS)
            for name, process in self._engines.processes.items():
                if process.poll() is not None:
                    log = self._logs / f"{name}.log"
                    raise ProcessDied(f"{name} ended with status {process.returncode}:\n{tail(log)}")
            if (now := self._code_version()) != code:
                code = now
                self._environments.retire()
                self._report("code changed; the next request runs it")
            self._environments.end_idle(idle_seconds=_IDLE_SECONDS)

    def _start(self) -> None:
        self._state.mkdir(parents=True, exist_ok=True)
        self._lock_state()
        self._description.unlink(missing_ok=True)  # of a stack that was killed
        self._gateway_server = Server(self._port)
        self._cleanup.callback(self._gateway_server.close)
        processes = Processes()
        self._cleanup.callback(processes.close)
        self._engines = start_engines(processes, state=self._state, logs=self._logs)
        self._report(f"{' and '.join(sorted(self._engines.processes))} are running")
        self._application = read_application(self._template, parameters=PARAMETERS, queue_url=self._engines.queue_url)
        create_resources(self._application, self._engines)
        self.store = open_store(self._application, self._engines)
        access_key, self.key = operator_key()
        self.store.put_access_key(access_key)
        self._report(", ".join((*self._application.tables, *self._application.buckets, *self._application.queues)))
        self._start_functions(processes)
        self._start_pollers()
        self._report(f"functions {', '.join(function.name for function in self._application.functions)}")

    def _start_functions(self, processes: Processes) -> None:
        lambda_server = Server(0)
        self._cleanup.callback(lambda_server.close)
        self._variables = {
            **self._engines.variables(),
            "AWS_ENDPOINT_URL_LAMBDA": f"http://{HOST}:{lambda_server.port}",
            "NEXTBEST_DEMO_KEY": self.key,
            "NEXTBEST_STATE": str(self._state),
        }
        # Created now, so that `make logs` can wait for the first line.
        for function in self._application.functions:
            (self._logs / f"{function.name}.log").touch()
        self._environments = Environments(
            self._application.functions,
            processes,
            variables=self._variables,
            logs=self._logs,
            limit=2 * _CORES,
        )
        lambda_api = LambdaApi(self._application, self._environments)
        self._cleanup.callback(lambda_api.close)
        gateway = Gateway(self._template, port=self._gateway_server.port, invoke=self._invoke)
        lambda_server.run(lambda_api.app)
        self._gateway_server.run(gateway.app)

    def _invoke(self, logical_id: str, event: bytes) -> Invocation:
        return self._environments.invoke(self._application.function(logical_id), event)

    def _start_pollers(self) -> None:
        sqs = sqs_client(self._engines)
        for source in self._application.queue_sources:
            poller = QueuePoller(
                source,
                self._application.function(source.function),
                sqs=sqs,
                queue_url=self._engines.queue_url(source.queue),
                environments=self._environments,
            )
            poller.start()
            self._cleanup.callback(poller.close)

    def _lock_state(self) -> None:
        """Allow one stack for each state folder; the kernel releases the lock however the process ends."""
        lock = (self._state / "lock").open("a+")
        self._cleanup.callback(lock.close)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()

    def _code_version(self) -> int:
        """A number that changes whenever a source file of a function or layer does."""
        folders = {folder for function in self._application.functions for folder in (function.code, *function.layers)}
        files = sorted(path for folder in folders for path in folder.rglob("*.py"))
        return hash(tuple((path, path.stat().st_mtime_ns) for path in files))
