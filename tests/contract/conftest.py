"""The running local stack, once a session, and fresh programs in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from tests.contract.personalize_clients import Personalize
from tests.contract.stacks import ECHO_TEMPLATE, RunningStack, start_stack


@dataclass(frozen=True, slots=True)
class Program:
    """A program of its own for one test, and the key that opens it and nothing else."""

    program_id: str
    key: str
    http: httpx.Client


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """The whole application of ``template.yaml``, without the demo program."""
    running = start_stack(tmp_path_factory.mktemp("stack") / "state")
    yield running
    running.stop()


@pytest.fixture(scope="session")
def echo_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """A stack whose functions show what they were sent."""
    running = start_stack(tmp_path_factory.mktemp("echo") / "state", template=ECHO_TEMPLATE)
    yield running
    running.stop()


@pytest.fixture(scope="session")
def operator(stack: RunningStack) -> Iterator[httpx.Client]:
    """A client with the key that opens every program."""
    with httpx.Client(base_url=stack.url, headers={"actionhub-key": stack.key}, timeout=30) as client:
        yield client


@pytest.fixture
def program(stack: RunningStack, operator: httpx.Client, request: pytest.FixtureRequest) -> Iterator[Program]:
    """A new, empty program; ``http`` sends its id and key."""
    body = {"program_name": request.node.name[:60], "high_engagement_threshold": 3, "event_relevance_decay": 365}
    answer = operator.post("/programs", json=body)
    assert answer.status_code == 200, answer.text
    program_id, key = answer.json()["program_id"], answer.json()["api_key"]
    headers = {"actionhub-key": key, "program-id": program_id}
    with httpx.Client(base_url=stack.url, headers=headers, timeout=30) as client:
        yield Program(program_id, key, client)


@pytest.fixture
def clients(stack: RunningStack, program: Program) -> Iterator[Personalize]:
    """Stock AWS clients with the program's key."""
    made = Personalize.at(stack.url, program.key)
    yield made
    made.close()
