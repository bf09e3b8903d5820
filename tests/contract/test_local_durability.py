"""What was answered with 200 is there after a kill -9 in the middle of writes."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.contract.stacks import RunningStack, start_stack
from tests.waiting import wait_until

pytestmark = pytest.mark.stack

PROGRAM = {"program_id": "shop", "program_name": "Shop"}
EVENTS_PER_POST = 5
POSTS_BEFORE_KILL = 40
WRITERS = 2


@dataclass(slots=True)
class Running:
    """Stacks started one after the other on one state."""

    state: Path
    stack: RunningStack | None = None

    def start(self) -> RunningStack:
        self.stack = start_stack(self.state)
        with client_of(self.stack) as http:
            assert http.post("/programs", json=PROGRAM).status_code in (200, 409)
        return self.stack


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    running = Running(tmp_path / "state")
    yield running
    if running.stack is not None and running.stack.process.poll() is None:
        running.stack.stop()


def client_of(stack: RunningStack) -> httpx.Client:
    return httpx.Client(
        base_url=stack.url, headers={"actionhub-key": stack.key, "program-id": PROGRAM["program_id"]}, timeout=30
    )


def write_until_killed(stack: RunningStack, kill: Callable[[], None], *, queued: bool) -> list[str]:
    """Post events of one user after the other until the stack is killed; the users whose post was answered with 200."""
    confirmed: list[str] = []
    stop = threading.Event()

    def write(writer: int) -> None:
        with client_of(stack) as http:
            for number in itertools.count():
                user_id = f"user-{writer}-{number}"
                events = [
                    {
                        "user_id": user_id,
                        "event_timestamp": f"2026-01-0{day}T08:00:00Z",
                        "event_type": "order",
                        "asset_id": f"drink-{day}",
                        "labels": ["app"],
                    }
                    for day in range(1, 1 + EVENTS_PER_POST)
                ]
                try:
                    parameters = {"queue_updates": str(queued).lower()}
                    answer = http.post("/events", json={"events": events}, params=parameters)
                except httpx.TransportError:
                    return
                # A gateway that is about to end may tell that its functions have ended.
                if answer.status_code == 200:
                    confirmed.append(user_id)
                elif stop.is_set():
                    return

    with ThreadPoolExecutor(WRITERS) as writers:
        running = [writers.submit(write, writer) for writer in range(WRITERS)]
        wait_until(lambda: len(confirmed) >= POSTS_BEFORE_KILL, seconds=30)
        stop.set()
        kill()
        for done in running:
            done.result()
    return confirmed


def stored(http: httpx.Client, user_id: str) -> bool:
    """Whether all of a post's events are in the log, and in the history that answers are made of."""
    events = http.get(f"/users/{user_id}/events")
    actions = http.get(f"/users/{user_id}/actions")
    if events.status_code == 404 or actions.status_code == 404:
        return False
    assert (events.status_code, actions.status_code) == (200, 200), (events.text, actions.text)
    weights = [action["base_weight"] for action in actions.json()["actions"]]
    return len(events.json()["history"]) == len(weights) == EVENTS_PER_POST and min(weights) > 0


def held(stack: RunningStack) -> int:
    """Messages in the queue, those included that a consumer had taken and did not finish: they come again in time."""
    queue = stack.sqs.get_queue_attributes(QueueUrl=stack.queues["Queue"], AttributeNames=["All"])["Attributes"]
    return int(queue["ApproximateNumberOfMessages"]) + int(queue["ApproximateNumberOfMessagesNotVisible"])


def test_confirmed_writes_are_stored_or_queued_after_the_stack_is_killed(
    running: Running,
) -> None:
    stack = running.start()
    confirmed = write_until_killed(stack, stack.kill, queued=True)

    # The kernel ended the engines in order, so that even the queue is kept.
    stack = running.start()

    with client_of(stack) as http:
        missing = [user_id for user_id in confirmed if not stored(http, user_id)]
        assert len(missing) <= held(stack)


def test_confirmed_writes_are_stored_after_everything_is_killed_at_once(
    running: Running,
) -> None:
    stack = running.start()
    confirmed = write_until_killed(stack, stack.kill_all, queued=False)

    stack = running.start()

    with client_of(stack) as http:
        assert [user_id for user_id in confirmed if not stored(http, user_id)] == []
