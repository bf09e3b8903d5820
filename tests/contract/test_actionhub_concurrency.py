"""Twenty clients that post overlapping batches at once lose nothing, double nothing and change no history."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from random import Random
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.contract.conftest import Program
from tests.contract.stacks import RunningStack
from tests.waiting import wait_until

pytestmark = pytest.mark.stack

CLIENTS = 20
USERS = ("ada", "bob", "eve")
EVENTS_PER_USER = 40
PIECE = 15
START = 1_700_000_000
PATHS = ("events", "labels")


def all_events() -> list[dict[str, Any]]:
    """Several users' events, many of them at the same moments."""
    return [
        {
            "user_id": user_id,
            "event_timestamp": datetime.fromtimestamp(START + 3600 * (number // 2), UTC).isoformat(),
            "event_type": ("order", "view")[number % 2],
            "asset_id": f"asset-{number % 7}",
            "labels": ["app"] if number % 3 else [],
        }
        for user_id in USERS
        for number in range(EVENTS_PER_USER)
    ]


def post_overlapping(stack: RunningStack, program: Program, client: int, *, queued: bool) -> int:
    """Post two thirds of the events, shuffled and in pieces; how many were accepted."""
    random = Random(client)
    events = [event for number, event in enumerate(all_events()) if (number + client) % 3]
    random.shuffle(events)
    accepted = 0
    headers = {"actionhub-key": program.key, "program-id": program.program_id}
    with httpx.Client(base_url=stack.url, headers=headers, timeout=60) as http:
        for start in range(0, len(events), PIECE):
            body = {"events": events[start : start + PIECE]}
            answer = http.post("/events", json=body, params={"queue_updates": queued})
            assert answer.status_code == 200, answer.text
            accepted += answer.json().get("accepted", 0)
    return accepted


def told_of(program: Program, user_id: str) -> list[Any]:
    """All that is read of a user, but for weights, which fade between two reads."""
    told = [program.http.get(f"/users/{user_id}/{path}").json() for path in PATHS]
    told[1] = list(told[1]["labels"])
    actions = program.http.get(f"/users/{user_id}/actions", params={"limit": 100}).json()["actions"]
    # Weights relative to each other do not fade
    strongest = max(action["base_weight"] for action in actions)
    return [
        *told,
        [(action["event_type"], action["asset_id"], action["base_weight"] / strongest) for action in actions],
    ]


@pytest.fixture
def posted_at_once(operator: httpx.Client, stack: RunningStack) -> Iterator[Program]:
    """A second program that got every event in one call."""
    made = operator.post("/programs", json={"program_name": "at once"}).json()
    headers = {"actionhub-key": made["api_key"], "program-id": made["program_id"]}
    with httpx.Client(base_url=stack.url, headers=headers, timeout=30) as http:
        assert http.post("/events", json={"events": all_events()}).json()["accepted"] == len(all_events())
        yield Program(made["program_id"], made["api_key"], http)


@pytest.mark.parametrize("queued", [False, True], ids=["direct", "queued"])
def test_overlapping_batches_of_twenty_clients(
    stack: RunningStack, program: Program, posted_at_once: Program, queued: bool
) -> None:
    with ThreadPoolExecutor(CLIENTS) as pool:
        accepted = list(
            pool.map(lambda client: post_overlapping(stack, program, client, queued=queued), range(CLIENTS))
        )

    def arrived() -> bool:
        answers = [program.http.get(f"/users/{user_id}/events").json() for user_id in USERS]
        return all(len(answer.get("history", ())) == EVENTS_PER_USER for answer in answers)

    if queued:
        wait_until(arrived, seconds=60)
    else:
        assert sum(accepted) == len(all_events())  # each was new once
    for user_id in USERS:
        told, expected = told_of(program, user_id), told_of(posted_at_once, user_id)
        assert told[:2] == expected[:2]
        assert [action[:2] for action in told[2]] == [action[:2] for action in expected[2]]
        assert [action[2] for action in told[2]] == pytest.approx([action[2] for action in expected[2]], rel=1e-12)


def test_an_idempotency_key_of_clients_at_once_creates_once(stack: RunningStack, operator: httpx.Client) -> None:
    headers = {"actionhub-key": stack.key, "idempotency-key": uuid4().hex}
    name = f"once-{uuid4().hex}"

    def create(_: int) -> httpx.Response:
        return httpx.post(f"{stack.url}/programs", json={"program_name": name}, headers=headers, timeout=60)

    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = list(pool.map(create, range(CLIENTS)))

    # Then whoever does not get the one program is asked to try again
    assert {answer.status_code for answer in answers} <= {200, 409}, [answer.text for answer in answers]
    made = {answer.json()["program_id"] for answer in answers if answer.status_code == 200}
    assert {create(0).json()["program_id"]} == made
    programs = operator.get("/programs").json()["programs"]
    assert sum(program["program_name"] == name for program in programs) == 1
