"""A soak: mixed reads and writes for some minutes, then an audit of what was stored: ``./nextbest soak``.

Clients of both dialects read and write in a fixed mixture, partly through the queue, and the program is rebased a few
times meanwhile. Afterwards every event that was accepted has to be in the log and in its user's history, once, and
nothing else. Prints latencies, errors, the growth of every environment's memory, and the audit's result; the exit
status is 1 if an event was lost or doubled.

The stack is started for the soak, in a temporary folder. Clients wait for each response and share the machine with the
stack, so the latencies show whether they stay the same, not how fast the service is (``./nextbest bench``).
"""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import boto3
import httpx
import numpy as np
import psutil
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from tqdm import tqdm

from nextbest.aws.table import Table
from nextbest.domain.events import Event
from nextbest.domain.history import History, HistoryEvent
from nextbest.store.dynamo import DynamoStore

ROOT = Path(__file__).resolve().parents[2]
USERS = 200
ASSETS = 40
DAYS = 60
SAMPLE_SECONDS = 5.0
REBASES = 4
START_SECONDS = 90.0
DRAIN_SECONDS = 120.0
MIXTURE = {
    "GET actions": 45,
    "GetActionRecommendations": 15,
    "POST events": 20,
    "POST events, queued": 10,
    "PutActionInteractions": 10,
}


@dataclass(frozen=True, slots=True)
class Running:
    """A stack that runs: where it is, and its process."""

    url: str
    key: str
    variables: Mapping[str, str]
    table: str
    queue_urls: Mapping[str, str]
    pid: int


@dataclass(slots=True)
class Tally:
    """What the clients saw. Events are kept as (user, microseconds, asset): their identity within a dialect."""

    milliseconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    errors: Counter[str] = field(default_factory=Counter)
    accepted: set[tuple[str, int, str]] = field(default_factory=set)
    sent: set[tuple[str, int, str]] = field(default_factory=set)


@contextmanager
def running_stack(folder: Path) -> Iterator[Running]:
    """A stack for this soak alone, started as ``make start`` does, and stopped afterwards."""
    description = folder / "state" / "stack.json"
    state = str(folder / "state")
    command = [sys.executable, "-m", "tools.cli", "start", "--no-demo", "--port", "0", "--state", state]
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not description.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the stack did not start:\n{(folder / 'output').read_text()}")
            time.sleep(0.1)
        content = json.loads(description.read_text())
        (table,) = content["tables"]
        yield Running(content["url"], content["key"], content["variables"], table, content["queues"], process.pid)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)


class Client:
    """One client of both dialects: draws a request, sends it, and records time and error."""

    def __init__(self, stack: Running, program_id: str, key: str, tally: Tally, number: int) -> None:
        self._program_id = program_id
        self._tally = tally
        self._random = Random(number)
        self._number = number
        self._serial = 0
        headers = {"actionhub-key": key, "program-id": program_id}
        self._http = httpx.Client(base_url=stack.url, headers=headers, timeout=60)
        key_id, _, secret = key.partition(".")
        make: Any = boto3.client  # the stubs do not cover these services
        self._runtime, self._events = (
            make(
                service,
                endpoint_url=f"{stack.url}/personalize",
                region_name=stack.variables["AWS_REGION"],
                aws_access_key_id=key_id,
                aws_secret_access_key=secret,
                config=Config(retries={"total_max_attempts": 1}, read_timeout=60),
            )
            for service in ("personalize-runtime", "personalize-events")
        )
        self._calls: dict[str, Callable[[], str]] = {
            "GET actions": self._read,
            "GetActionRecommendations": self._recommend,
            "POST events": lambda: self._post(queued=False),
            "POST events, queued": lambda: self._post(queued=True),
            "PutActionInteractions": self._put,
        }

    def close(self) -> None:
        for client in (self._http, self._runtime, self._events):
            client.close()

    def step(self) -> None:
        """One request of the mixture."""
        (name,) = self._random.choices(list(MIXTURE), list(MIXTURE.values()))
        began = time.perf_counter()
        try:
            problem = self._calls[name]()
        except ClientError as error:
            problem = str(error.response["ResponseMetadata"]["HTTPStatusCode"])
        except (httpx.HTTPError, BotoCoreError) as error:
            problem = type(error).__name__
        self._tally.milliseconds[name].append((time.perf_counter() - began) * 1e3)
        if problem:
            self._tally.errors[f"{name}: {problem}"] += 1

    def _user(self) -> str:
        return f"user-{min(int(self._random.expovariate(4 / USERS)), USERS - 1)}"

    def _read(self) -> str:
        answer = self._http.get(f"/users/{self._user()}/actions", params={"limit": 10})
        # A user without events is unknown, which is no error here.
        return "" if answer.status_code in (200, 404) else str(answer.status_code)

    def _recommend(self) -> str:
        campaign = f"arn:aws:personalize:us-east-1:000000000000:campaign/{self._program_id}"
        self._runtime.get_action_recommendations(campaignArn=campaign, userId=self._user(), numResults=10)
        return ""

    def _post(self, *, queued: bool) -> str:
        events = [self._event() for _ in range(self._random.choice((1, 1, 1, 5, 20)))]
        rows = [
            {
                "user_id": user_id,
                "event_timestamp": (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_us)).isoformat(),
                "event_type": "order",
                "asset_id": asset_id,
                "labels": [],
            }
            for user_id, time_us, asset_id in events
        ]
        self._tally.sent.update(events)
        parameters = {"queue_updates": str(queued).lower()}
        answer = self._http.post("/events", params=parameters, json={"events": rows})
        if answer.status_code != 200:
            return str(answer.status_code)
        self._tally.accepted.update(events)
        return ""

    def _put(self) -> str:
        user_id, time_us, asset_id = self._event()
        event = (user_id, time_us // 1_000_000 * 1_000_000, f"action-{asset_id}")
        self._tally.sent.add(event)
        interaction = {
            "actionId": event[2],
            "userId": user_id,
            "sessionId": f"session-{user_id}",
            "timestamp": event[1] // 1_000_000,
            "eventType": "Taken",
        }
        self._events.put_action_interactions(trackingId=self._program_id, actionInteractions=[interaction])
        self._tally.accepted.add(event)
        return ""

    def _event(self) -> tuple[str, int, str]:
        """A unique event: its microseconds hold the client's number and a counter."""
        self._serial += 1
        past_seconds = self._random.randrange(60, DAYS * 86_400)
        time_us = (int(time.time()) - past_seconds) * 1_000_000 + self._number * 100_000 + self._serial % 100_000
        return self._user(), time_us, f"asset-{self._random.randrange(ASSETS)}"


class Memory:
    """Resident memory of every execution environment's Python process, in megabytes, over time."""

    def __init__(self, pid: int) -> None:
        self._stack = psutil.Process(pid)
        self.samples: dict[tuple[str, int], list[float]] = defaultdict(list)

    def stack_ended(self) -> bool:
        return not self._stack.is_running() or self._stack.status() == psutil.STATUS_ZOMBIE

    def sample(self) -> None:
        """Record the memory of each environment."""
        for process in self._stack.children(recursive=True):
            try:
                command = process.cmdline()
                if "awslambdaric" in command and "--log-level" not in command:
                    name = process.environ()["AWS_LAMBDA_FUNCTION_NAME"].removesuffix("Function").lower()
                    self.samples[name, process.pid].append(process.memory_info().rss / 1e6)
            except psutil.NoSuchProcess:
                continue  # it ended meanwhile

    def lines(self) -> Iterator[str]:
        """For each process with enough samples: the median of each quarter of its life."""
        for (name, pid), values in sorted(self.samples.items()):
            if len(values) >= 4:
                quarters = (f"{np.median(quarter):.1f}" for quarter in np.array_split(values, 4))
                yield f"| {name} ({pid}) | {' | '.join(quarters)} |"


def create_program(stack: Running) -> tuple[str, str]:
    """A new program: its id and the key that opens it."""
    body = {"program_name": "soak", "high_engagement_threshold": 3, "event_relevance_decay": 30}
    headers = {"actionhub-key": stack.key}
    answer = httpx.post(f"{stack.url}/programs", headers=headers, json=body, timeout=60).raise_for_status().json()
    return answer["program_id"], answer["api_key"]


def soak(stack: Running, program_id: str, key: str, *, clients: int, seconds: float) -> tuple[Tally, Memory]:
    """Run ``clients`` clients for ``seconds``, with a progress bar."""
    tally, memory = Tally(), Memory(stack.pid)
    ended = threading.Event()

    def work(number: int) -> None:
        client = Client(stack, program_id, key, tally, number)
        while not ended.is_set():
            client.step()
        client.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(clients)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    rebases = 0
    try:
        with tqdm(total=round(seconds), unit="s", bar_format="{l_bar}{bar}| {n}/{total} s{postfix}") as bar:
            while (passed := time.monotonic() - began) < seconds:
                memory.sample()
                if memory.stack_ended():
                    raise RuntimeError("the stack ended")
                if passed > seconds * (rebases + 1) / (REBASES + 1):
                    rebases += 1
                    _rebase(stack, program_id, key, tally)
                bar.n = round(passed)
                requests = sum(len(taken) for taken in tally.milliseconds.values())
                bar.set_postfix_str(f"{requests} requests, {tally.errors.total()} errors")
                ended.wait(min(SAMPLE_SECONDS, max(0.0, seconds - passed)))
            bar.n = round(seconds)
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    return tally, memory


def _rebase(stack: Running, program_id: str, key: str, tally: Tally) -> None:
    headers = {"actionhub-key": key, "program-id": program_id}
    answer = httpx.put(f"{stack.url}/program/rebase", headers=headers, timeout=60)
    if answer.status_code != 200:
        tally.errors[f"rebase: {answer.status_code}"] += 1


def drain(stack: Running) -> None:
    """Wait until no message is in the queue or in flight. Raises TimeoutError."""
    sqs = boto3.client("sqs", **_client_arguments(stack, "SQS"))
    names: Any = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    deadline = time.monotonic() + DRAIN_SECONDS
    while True:
        answer = sqs.get_queue_attributes(QueueUrl=stack.queue_urls["Queue"], AttributeNames=names)
        if not any(int(value) for value in answer["Attributes"].values()):
            sqs.close()
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"messages are left after {DRAIN_SECONDS:.0f} s: {answer['Attributes']}")
        time.sleep(0.5)


def _client_arguments(stack: Running, service: str) -> dict[str, Any]:
    return {
        "endpoint_url": stack.variables[f"AWS_ENDPOINT_URL_{service}"],
        "region_name": stack.variables["AWS_REGION"],
        "aws_access_key_id": "local",
        "aws_secret_access_key": "local",
        "aws_session_token": stack.variables["AWS_SESSION_TOKEN"],
    }


def audit(stack: Running, program_id: str, tally: Tally) -> list[str]:
    """The problems in the log and the histories; an empty list if there are none."""
    client = boto3.client("dynamodb", **_client_arguments(stack, "DYNAMODB"))
    store = DynamoStore(Table(client, stack.table))
    state = store.program_state(program_id)
    assert state is not None
    half_life_days = state.program.half_life_days
    problems: list[str] = []
    logged: set[tuple[str, int, str]] = set()
    for number in range(USERS):
        user_id = f"user-{number}"
        events: Sequence[Event] = list(store.events_of(state.program.incarnation, user_id))
        logged.update((user_id, event.timestamp_us, event.asset_id) for event in events)
        history = store.read_user(state.program.incarnation, user_id).history
        whole = History.from_history_events(HistoryEvent.of(event) for event in events)
        if (history.encode(half_life_days) if history else b"") != (whole.encode(half_life_days) if events else b""):
            problems.append(f"the history of {user_id} is not that of its {len(events)} events")
    client.close()
    if lost := tally.accepted - logged:
        problems.append(f"{len(lost)} accepted events are not in the log, e.g. {min(lost)}")
    if strange := logged - tally.sent:
        problems.append(f"{len(strange)} events are in the log that nobody sent, e.g. {min(strange)}")
    return problems


def report(tally: Tally, memory: Memory, *, seconds: float, clients: int) -> Iterator[str]:
    """The lines of the report, in Markdown."""
    total = sum(len(taken) for taken in tally.milliseconds.values())
    yield (
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; "
        f"load average {os.getloadavg()[1]:.1f}; {clients} clients for {seconds / 60:.0f} minutes, {USERS} users"
    )
    yield ""
    yield f"{total:,} requests, {total / seconds:.0f} a second, {tally.errors.total()} errors"
    yield ""
    yield "| request, ms | count | p50 | p90 | p99 | p99.9 | most | p50 of the first and the last fifth |"
    yield "|---|---|---|---|---|---|---|---|"
    for name in MIXTURE:
        taken = np.array(tally.milliseconds[name])
        quantiles = " | ".join(f"{value:.0f}" for value in np.quantile(taken, (0.5, 0.9, 0.99, 0.999, 1)))
        fifth = max(1, len(taken) // 5)
        trend = f"{np.median(taken[:fifth]):.0f}, {np.median(taken[-fifth:]):.0f}"
        yield f"| {name} | {len(taken):,} | {quantiles} | {trend} |"
    yield ""
    yield from (f"- {count} × {name}" for name, count in tally.errors.items())
    yield "| environment (process), MB in each quarter of its life | 1 | 2 | 3 | 4 |"
    yield "|---|---|---|---|---|"
    yield from memory.lines()
    yield ""


def run(*, minutes: float, clients: int) -> int:
    """Start a stack, run the load, audit, and print the report; 1 if the audit found a problem, else 0."""
    seconds = minutes * 60
    with tempfile.TemporaryDirectory(prefix="nextbest-soak-") as folder, running_stack(Path(folder)) as stack:
        program_id, key = create_program(stack)
        tally, memory = soak(stack, program_id, key, clients=clients, seconds=seconds)
        drain(stack)
        problems = audit(stack, program_id, tally)
    print(*report(tally, memory, seconds=seconds, clients=clients), sep="\n")
    if problems:
        print("Audit: " + "; ".join(problems))
        return 1
    print(f"Audit: all {len(tally.accepted):,} accepted events are in the log and in their users' histories, once.")
    return 0
