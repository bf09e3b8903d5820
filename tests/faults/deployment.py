"""The application as it is deployed, with a proxy before DynamoDB and one before S3; and the audit after a fault."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any, cast

import psutil

from nextbest.domain.events import Event
from nextbest.domain.history import History, HistoryEvent
from nextbest.domain.programs import Program
from nextbest.logic.programs import create_program
from nextbest.store.dynamo import DynamoStore
from tests.faults.proxy import Proxy
from tests.infrastructure.cloudformation import TEMPLATE
from tests.waiting import wait_until
from tools.local.engines import Engines, start_engines
from tools.local.environments import Environments, Invocation
from tools.local.gateway import Server
from tools.local.invocations import LambdaApi
from tools.local.key import MASTER_SECRET, PARAMETERS
from tools.local.private_network import listen
from tools.local.processes import HOST, Processes
from tools.local.proxy_event import HttpRequest, proxy_event
from tools.local.resources import create_resources, open_store, s3_client, sqs_client
from tools.local.template import Application, read_application

HASTY_SECONDS = 5
"""Shorter than clients keep trying to reach a service that does not answer."""

_WARM_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Reply:
    """What a caller of the API gets. ``failure`` is Lambda's word for a function that did not answer."""

    status: int
    body: Any
    headers: Mapping[str, str]
    failure: str | None = None


class Deployment:
    """Real functions in Lambda's runtime, on real engines behind proxies. ``store`` goes past the proxies."""

    def __init__(self, folder: Path) -> None:
        self._processes = Processes()
        logs = folder / "logs"
        logs.mkdir()
        self.engines: Engines = start_engines(self._processes, state=folder / "state", logs=logs)
        self.application: Application = read_application(
            TEMPLATE, parameters=PARAMETERS, queue_url=self.engines.queue_url
        )
        create_resources(self.application, self.engines)
        self.dynamodb, self.s3 = Proxy(self.engines.dynamodb_url), Proxy(self.engines.s3_url)
        self.store: DynamoStore = open_store(self.application, self.engines)
        self.objects = s3_client(self.engines)
        (self.bucket,) = self.application.buckets
        self.sqs = sqs_client(self.engines)
        self._lambda_server = Server(listen(HOST, 0))
        variables = {
            **self.engines.variables(),
            "AWS_ENDPOINT_URL_DYNAMODB": self.dynamodb.url,
            "AWS_ENDPOINT_URL_S3": self.s3.url,
            "AWS_ENDPOINT_URL_LAMBDA": self._lambda_server.urls[0],
        }
        self._logs = logs
        self.environments = Environments(
            self.application.functions, self._processes, variables=variables, logs=logs, limit=2
        )
        self.hasty = Environments(
            tuple(replace(function, timeout_seconds=HASTY_SECONDS) for function in self.application.functions),
            self._processes,
            variables=variables,
            logs=logs,
            limit=1,
        )
        self._lambda_api = LambdaApi(self.application, self.environments)
        self._lambda_server.run(self._lambda_api.app)

    def close(self) -> None:
        self._lambda_server.close()
        self._lambda_api.close()
        for environments in (self.environments, self.hasty):
            environments.close()
        self._processes.close()
        for proxy in (self.dynamodb, self.s3):
            proxy.close()
        for client in (self.objects, self.sqs):
            client.close()

    def invoke(self, function: str, event: object, *, hasty: bool = False) -> Invocation:
        """Run one event; ``hasty`` for a copy of the function whose timeout is ``HASTY_SECONDS``."""
        environments = self.hasty if hasty else self.environments
        return environments.invoke(self.application.function(function), json.dumps(event).encode())

    def warm_up(self, call: Callable[[], Reply]) -> None:
        """Repeat a call of a hasty function until it is answered.

        The emulator counts the start of a process as part of its first event, and on a busy machine that alone may take
        longer than the function may.
        """
        wait_until(lambda: call().failure is None, seconds=_WARM_SECONDS)

    def log(self, function: str) -> str:
        return (self._logs / f"{function}.log").read_text()

    def cold_start(self) -> None:
        """Let every function begin again with its next event."""
        self.environments.retire()

    def kill(self, function: str) -> None:
        """End the function's processes at once, in the midst of whatever they do."""
        logical_id = self.application.function(function).logical_id
        for process in psutil.Process().children(recursive=True):
            command = process.cmdline()
            is_function = "awslambdaric" in command and "--log-level" not in command
            if is_function and process.environ().get("AWS_LAMBDA_FUNCTION_NAME") == logical_id:
                process.kill()

    def http(
        self,
        function: str,
        method: str,
        path: str,
        *,
        key: str,
        program_id: str,
        body: object = None,
        hasty: bool = False,
    ) -> Reply:
        """One request as the gateway passes it on."""
        headers = (("actionhub-key", key), ("program-id", program_id), ("content-type", "application/json"))
        content = json.dumps(body).encode() if body is not None else b""
        request = HttpRequest(method, path, "", headers, content, HOST, 3000)
        user_id = path.split("/")[2] if path.startswith("/users/") else None
        event = proxy_event(
            request,
            route_key=f"{method} {path.replace(f'/{user_id}/', '/{user_id}/')}",
            path_parameters={"user_id": user_id} if user_id else {},
            stage="$default",
            now=time.time(),
        )
        invocation = self.invoke(function, event, hasty=hasty)
        if invocation.error_type is not None:
            return Reply(500, None, {}, invocation.error_type)
        answer = json.loads(invocation.payload)
        return Reply(answer["statusCode"], json.loads(answer["body"]), answer["headers"])

    def new_program(self, name: str, *, half_life_days: int = 30) -> Tenant:
        program = Program(f"p-{uuid.uuid4().hex[:12]}", name[:60], half_life_days=half_life_days)
        key = create_program(self.store, program, master_secret=MASTER_SECRET, random=Random(), now=time.time())
        state = self.store.program_state(program.program_id)
        assert state is not None
        return Tenant(self, state.program, key)


@dataclass(slots=True)
class Tenant:
    """One program: its callers, what they sent, and what they were told was accepted."""

    deployment: Deployment
    program: Program
    key: str
    sent: set[Event] = field(default_factory=set)
    accepted: set[Event] = field(default_factory=set)

    @property
    def store(self) -> DynamoStore:
        return self.deployment.store

    @property
    def program_id(self) -> str:
        return self.program.program_id

    def http(self, function: str, method: str, path: str, body: object = None, *, hasty: bool = False) -> Reply:
        program_id = self.program_id
        return self.deployment.http(function, method, path, key=self.key, program_id=program_id, body=body, hasty=hasty)

    def post(self, events: Sequence[Event], *, hasty: bool = False) -> Reply:
        """POST /events."""
        self.sent |= set(events)
        rows = [
            {
                "user_id": event.user_id,
                "event_timestamp": datetime.fromtimestamp(event.timestamp, UTC).isoformat(),
                "event_type": event.event_type,
                "asset_id": event.asset_id,
                "labels": list(event.labels),
            }
            for event in events
        ]
        reply = self.http("collect", "POST", "/events", {"events": rows}, hasty=hasty)
        if reply.status == 200:
            self.accepted |= set(events)
        return reply

    def actions(self, user_id: str, *, hasty: bool = False) -> Reply:
        """GET /users/{user_id}/actions."""
        return self.http("actions", "GET", f"/users/{user_id}/actions", hasty=hasty)

    def rebase(self) -> Invocation:
        return self.deployment.invoke("rebase", {"program_id": self.program_id})

    def status(self) -> str:
        """``status_id`` as GET /program/status tells it."""
        return cast(str, self.http("manage", "GET", "/program/status").body["status_id"])

    def model_served(self, user_id: str) -> str:
        """The version of the model that answers now."""
        reply = self.actions(user_id)
        assert reply.status == 200, reply
        assert reply.body["actions"]
        return reply.headers["x-nextbest-model"]

    def audit(self, *, repaired: bool = True) -> None:
        """Nothing accepted is lost, nothing is there that was not sent, nothing counts twice.

        ``repaired``: and the log, the histories and the accepted events are one and the same. Without it, an event that
        was sent but not accepted may be in the log and not in its user's history yet.
        """
        users = {event.user_id for event in self.sent}
        for user_id in users:
            logged = list(self.store.events_of(self.program.incarnation, user_id))
            assert len(logged) == len(set(logged))
            sent = {event for event in self.sent if event.user_id == user_id}
            accepted = {event for event in self.accepted if event.user_id == user_id}
            assert accepted <= set(logged) <= sent
            shown = self.history(user_id)
            whole = self._packed(logged)
            if repaired:
                assert set(logged) == accepted
                assert shown == whole
            else:
                held = History.decode(shown).recent_events() if shown else []
                assert len(held) == len(set(held))
                assert {HistoryEvent.of(e) for e in accepted} <= set(held) <= {HistoryEvent.of(e) for e in logged}

    def history(self, user_id: str) -> bytes:
        """The user's history as a read finds it, encoded: equal histories have equal bytes. Empty for none."""
        history = self.store.read_user(self.program.incarnation, user_id).history
        return history.encode(self.program.half_life_days) if history is not None else b""

    def _packed(self, events: Iterable[Event]) -> bytes:
        history = History.from_history_events(HistoryEvent.of(event) for event in events)
        return history.encode(self.program.half_life_days) if history else b""
