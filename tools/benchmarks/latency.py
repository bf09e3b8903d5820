"""Times requests through execution environments, in turns, so that noise affects all of them equally."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tools.benchmarks.world import EVENT_TYPE, FILTER_VALUES, World, asset_id
from tools.local.engines import REGION
from tools.local.environments import Environments
from tools.local.key import operator_key
from tools.local.processes import Processes
from tools.local.proxy_event import HttpRequest, proxy_event
from tools.local.template import Function

LIMIT = 10
SETTLE_ROUNDS = 20
"""Rounds that do not count."""
EVENTS_PER_USER = 10


class Failed(Exception):
    """A request of the benchmark did not return 200, so its time is meaningless."""


@dataclass(frozen=True, slots=True)
class Call:
    """One kind of request to one function; ``event`` makes the event of the request with a given number."""

    function: Function
    event: Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class Times:
    """Milliseconds that requests took, ascending."""

    milliseconds: tuple[float, ...]

    def quantile(self, share: float) -> float:
        """The time that ``share`` of the requests stayed under."""
        if len(self.milliseconds) == 1:
            return self.milliseconds[0]
        return statistics.quantiles(self.milliseconds, n=1000, method="inclusive")[round(share * 1000) - 1]


@contextmanager
def environments(
    functions: Sequence[Function], variables: Mapping[str, str], logs: Path
) -> Iterator[tuple[Environments, Processes]]:
    """One environment for each function, ended afterwards."""
    processes = Processes()
    try:
        yield Environments(tuple(functions), processes, variables=variables, logs=logs, limit=1), processes
    finally:
        processes.close()


def warm(
    running: Environments, calls: Mapping[str, Call], *, rounds: int, settle: int = SETTLE_ROUNDS
) -> dict[str, Times]:
    """Times of every call over so many rounds, after ``settle`` rounds that do not count. Raises Failed."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(-settle, rounds):
        for name, call in calls.items():
            taken = invoke(running, call, number)
            if number >= 0:
                times[name].append(taken)
    return {name: Times(tuple(sorted(taken))) for name, taken in times.items()}


def cold(calls: Mapping[str, Call], variables: Mapping[str, str], logs: Path, *, rounds: int) -> dict[str, Times]:
    """Times from the start of a process to its first response, a new environment for each. Raises Failed."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds):
        for name, call in calls.items():
            with environments([call.function], variables, logs) as (running, _):
                times[name].append(invoke(running, call, number))
    return {name: Times(tuple(sorted(taken))) for name, taken in times.items()}


def invoke(running: Environments, call: Call, number: int) -> float:
    """Milliseconds of one request. Raises Failed."""
    event = call.event(number)
    began = time.perf_counter()
    invocation = running.invoke(call.function, event)
    taken = 1000 * (time.perf_counter() - began)
    answer = json.loads(invocation.payload)
    if invocation.error_type is not None or answer.get("statusCode") != 200:
        raise Failed(f"{call.function.name}: {invocation.payload.decode(errors='replace')[:1000]}")
    return taken


def memory_megabytes(function: Function) -> float:
    """Resident memory of the Python process that runs ``function``. Raises LookupError."""
    for process in psutil.Process().children(recursive=True):
        command = process.cmdline()
        if "awslambdaric" in command and "aws-lambda-rie" not in command[0] and process.cwd() == str(function.code):
            megabytes: float = process.memory_info().rss / 1e6
            return megabytes
    raise LookupError(f"{function.name} does not run")


def get_actions(function: Function, world: World, history: int, *, same_user: bool = True) -> Call:
    """``GET /users/{user_id}/actions`` of a user with so many events: the first, or another for every request."""

    def event(number: int) -> bytes:
        user_id = _user(world, history, 0 if same_user else number)
        return _event("GET", "/users/{user_id}/actions", world, user_id=user_id, query=f"limit={LIMIT}")

    return Call(function, event)


def post_events(function: Function, world: World, count: int, *, now: float) -> Call:
    """``POST /events`` with so many new events, ten of each user; every request has other times."""

    def event(number: int) -> bytes:
        events = [
            {
                "user_id": f"poster-{index // EVENTS_PER_USER}",
                "event_timestamp": now - 86_400 + number + index / count,
                "event_type": EVENT_TYPE,
                "asset_id": asset_id(index % world.actions),
                "labels": [],
            }
            for index in range(count)
        ]
        return _event("POST", "/events", world, body=json.dumps({"events": events}).encode())

    return Call(function, event)


def get_action_recommendations(
    function: Function, world: World, history: int, *, filtered: bool, same_user: bool
) -> Call:
    """GetActionRecommendations, signed as SDKs do, for a user with so many events: the first, or another for every
    request."""
    prefix = f"arn:aws:personalize:{REGION}:000000000000"
    members: dict[str, object] = {
        "campaignArn": f"{prefix}:campaign/{world.program_id}",
        "numResults": LIMIT,
    }
    if filtered:
        members |= {"filterArn": f"{prefix}:filter/{world.program_id}", "filterValues": FILTER_VALUES}
    path = "/personalize/action-recommendations"

    def event(number: int) -> bytes:
        # The function answers both kinds: with a filter and without it are for different users, too.
        user_id = _user(world, history, 0 if same_user else 2 * number + filtered)
        body = json.dumps({**members, "userId": user_id}).encode()
        signed = AWSRequest("POST", f"http://localhost{path}", {"content-type": "application/json"}, body)
        key_id, _, secret_key = operator_key()[1].partition(".")
        SigV4Auth(Credentials(key_id, secret_key), "personalize", REGION).add_auth(signed)
        return _event("POST", path, world, body=body, headers=dict(signed.headers.items()))

    return Call(function, event)


def _user(world: World, history: int, number: int) -> str:
    users = world.users[history]
    return users[number % len(users)]


def _event(
    method: str,
    route: str,
    world: World,
    *,
    user_id: str = "",
    query: str = "",
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
) -> bytes:
    sent = {"host": "localhost", "accept": "*/*", **(headers or {})}
    if headers is None:
        sent |= {"actionhub-key": operator_key()[1], "program-id": world.program_id}
    if body:
        sent["content-type"] = "application/json"
    request = HttpRequest(
        method, route.replace("{user_id}", user_id), query, tuple(sent.items()), body, "127.0.0.1", 443
    )
    parameters = {"user_id": user_id} if user_id else {}
    event = proxy_event(
        request, route_key=f"{method} {route}", path_parameters=parameters, stage="$default", now=time.time()
    )
    return json.dumps(event).encode()
