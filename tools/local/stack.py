"""The whole local stack: starts everything in order, watches it, and stops it."""

from __future__ import annotations

import json
import os
import secrets
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Never

from tools.local.doors import forward_to, require_token
from tools.local.engines import index_segments, start_engines
from tools.local.environments import Environments, Invocation
from tools.local.gateway import FEW_THREADS, MANY_THREADS, Gateway, Server
from tools.local.hosts import LOOPBACK_NAMES, allowed_names, require_host
from tools.local.inbox import ObjectWatcher
from tools.local.invocations import LambdaApi
from tools.local.job_runs import JobRunApi, JobRunEvents, JobRunner, missing_of_spark
from tools.local.key import PARAMETERS, operator_key
from tools.local.log_subscriptions import LogReader
from tools.local.poller import QueuePoller
from tools.local.private_network import Listeners, listen, unguessable_address
from tools.local.processes import ProcessDied, Processes, tail
from tools.local.resources import (
    create_resources,
    dynamodb_client,
    end_leases,
    open_store,
    s3_client,
    sqs_client,
)
from tools.local.state import lock, make_private, write_private
from tools.local.table_exports import TableExporter, with_exports
from tools.local.template import read_application

_WATCH_SECONDS = 1.0
_IDLE_SECONDS = 120.0
_CORES = os.cpu_count() or 1

Report = Callable[[str], None]


class Stack:
    """Engines, functions, gateway and pollers. A context manager: leaving it stops all of them.

    ``state`` is the folder that keeps everything between starts; ``listeners`` are on the machine's own network, while
    the stack itself may run in another. ``report`` is called after each step. Programs of more than
    ``spark_above_events`` events are learned by Spark jobs; with 0, as in the template, there are none. Entering raises
    BlockingIOError if another stack uses the state.
    """

    def __init__(
        self, template: Path, *, state: Path, listeners: Listeners, report: Report, spark_above_events: int = 0
    ) -> None:
        self._template = template
        self._spark_above_events = spark_above_events
        self._state = state
        self._logs = state / "logs"
        self._description = state / "stack.json"
        self._listeners = listeners
        self._host = unguessable_address()
        self._token = secrets.token_urlsafe()
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
        """Where clients outside find the gateway."""
        return self._gateway_server.urls[0]

    @property
    def inner_url(self) -> str:
        """Where this process finds the gateway."""
        return self._gateway_server.urls[1]

    def describe(self) -> dict[str, object]:
        """Where tests and tools find everything: the gateway, and the doors of the engines with what opens them."""
        doors = {service: server.urls[0] for service, server in self._doors.items()}
        queues = replace(self._engines, sqs_url=doors["sqs"])
        return {
            "pid": os.getpid(),
            "url": self.url,
            "key": self.key,
            "variables": {
                **self._variables,
                **{f"AWS_ENDPOINT_URL_{service.upper()}": url for service, url in doors.items()},
            },
            "tables": list(self._application.tables),
            "buckets": list(self._application.buckets),
            "queues": {name: queues.queue_url(name) for name in self._application.queues},
        }

    def announce(self) -> None:
        """Write ``stack.json`` into the state folder, once the stack is ready."""
        self._cleanup.callback(self._description.unlink, missing_ok=True)
        write_private(self._description, json.dumps(self.describe(), indent=2))

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
        make_private(self._state)
        self._cleanup.callback(lock(self._state).close)
        self._description.unlink(missing_ok=True)  # of a stack that was killed
        self._gateway_server = self._server(self._listeners.gateway, listen(self._host, 0))
        processes = Processes()
        self._cleanup.callback(processes.close)
        self._engines = start_engines(processes, state=self._state, logs=self._logs)
        self._report(f"{' and '.join(sorted(self._engines.processes))} are running")
        parameters = {**PARAMETERS}
        if self._spark_above_events:
            parameters["SparkAboveEvents"] = str(self._spark_above_events)
        self._application = read_application(self._template, parameters=parameters, queue_url=self._engines.queue_url)
        create_resources(self._application, self._engines)
        index_segments(self._state, self._application.tables)
        self.store = open_store(self._application, self._engines)
        end_leases(self.store)
        access_key, self.key = operator_key()
        self.store.put_access_key(access_key)
        self._report(", ".join((*self._application.tables, *self._application.buckets, *self._application.queues)))
        self._open_doors()
        self._start_functions(processes)
        self._start_pollers()
        self._report(f"functions {', '.join(function.name for function in self._application.functions)}")
        if self._spark_above_events:
            self._report_spark()

    def _server(self, *listeners: socket.socket, threads: int = MANY_THREADS) -> Server:
        server = Server(*listeners, threads=threads)
        self._cleanup.callback(server.close)
        return server

    def _open_doors(self) -> None:
        """Let those who hold the token reach the engines, and have functions be invoked, from outside.

        Some doors have an inside, too: for what no engine has, functions and jobs take the door.
        """
        engines, sockets = self._engines, self._listeners.doors
        self._own_names = {*LOOPBACK_NAMES, self._host}
        self._doors = {
            service: self._server(sockets[service], listen(self._host, 0)) for service in ("lambda", "emr_serverless")
        }
        for service, url in engines.urls().items():
            application = forward_to(url)
            listeners = [sockets[service]]
            if service == "dynamodb":
                exporter = TableExporter(dynamodb_client(engines), s3_client(engines))
                self._cleanup.callback(exporter.close)
                application = with_exports(application, exporter)
                listeners.append(listen(self._host, 0))
            self._doors[service] = self._server(*listeners, threads=FEW_THREADS)
            self._doors[service].run(require_token(application, self._token, self._own_names))

    def _start_functions(self, processes: Processes) -> None:
        self._variables = {
            **self._engines.variables(),
            "AWS_SESSION_TOKEN": self._token,
            "AWS_ENDPOINT_URL_LAMBDA": self._doors["lambda"].urls[1],
            "AWS_ENDPOINT_URL_EMR_SERVERLESS": self._doors["emr_serverless"].urls[1],
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
        self._doors["lambda"].run(require_token(lambda_api.app, self._token, self._own_names))
        self._start_job_runs(processes)
        gateway = Gateway(self._template, port=self._listeners.gateway.getsockname()[1], invoke=self._invoke)
        self._gateway_server.run(require_host(gateway.app, {*allowed_names(), self._host}))

    def _start_job_runs(self, processes: Processes) -> None:
        log = self._logs / "spark.log"
        if self._spark_above_events:
            log.touch()
        events = JobRunEvents(self._application, self._environments)
        self._cleanup.callback(events.close)
        runner = JobRunner(
            self._application.spark_applications,
            processes,
            # Jobs export the table, which the engine does not do.
            variables={**self._variables, "AWS_ENDPOINT_URL_DYNAMODB": self._doors["dynamodb"].urls[1]},
            log=log,
            changed=events.announce,
            missing=missing_of_spark,
        )
        self._cleanup.callback(runner.close)
        self._doors["emr_serverless"].run(require_token(JobRunApi(runner).app, self._token, self._own_names))

    def _report_spark(self) -> None:
        rebases = f"rebases of more than {self._spark_above_events:,} events"
        if missing := missing_of_spark():
            self._report(f"{rebases} will fail: {missing}")
        else:
            self._report(f"{rebases} run as Spark jobs (make logs FUNCTION=spark)")

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
                invoker=self._environments,
            )
            poller.start()
            self._cleanup.callback(poller.close)
        for files in self._application.object_sources:
            function = self._application.function(files.function)
            watcher = ObjectWatcher(files, function, s3=s3_client(self._engines), invoker=self._environments)
            watcher.start()
            self._cleanup.callback(watcher.close)
        for log in self._application.log_sources:
            writer, function = map(self._application.function, (log.function, log.destination))
            path = self._logs / f"{writer.name}.log"
            reader = LogReader(log, function, log=path, invoker=self._environments)
            reader.start()
            self._cleanup.callback(reader.close)

    def _code_version(self) -> int:
        """A number that changes whenever a source file of a function or layer does."""
        folders = {folder for function in self._application.functions for folder in (function.code, *function.layers)}
        files = sorted(path for folder in folders for path in folder.rglob("*.py"))
        return hash(tuple((path, path.stat().st_mtime_ns) for path in files))
