"""A program that is too large for one invocation is learned by a Spark job, on the local stack as on EMR Serverless."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from nextbest.domain.rebase_status import COMPLETE, FAILED
from tests.contract.stacks import RunningStack, processes_of, start_stack
from tests.contract.test_actionhub import event
from tests.waiting import wait_until
from tools.local.job_runs import missing_of_spark

pytestmark = [pytest.mark.stack, pytest.mark.skipif(bool(missing_of_spark()), reason=missing_of_spark() or "Spark")]

DAY_SECONDS = 86_400.0
ABOVE_EVENTS = 100
USERS = 12
SECONDS = 400.0


@pytest.fixture(scope="module")
def spark_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    running = start_stack(tmp_path_factory.mktemp("spark") / "state", spark_above_events=ABOVE_EVENTS)
    yield running
    running.stop()


class Tea:
    """A program in which everyone often orders espresso, half of all muffins too: so many ``weeks``."""

    def __init__(self, stack: RunningStack, *, weeks: int) -> None:
        self._stack = stack
        body = {"program_name": "tea", "high_engagement_threshold": 3, "event_relevance_decay": 365}
        with httpx.Client(base_url=stack.url, headers={"actionhub-key": stack.key}, timeout=30) as operator:
            created = operator.post("/programs", json=body).json()
        self.program_id: str = created["program_id"]
        headers = {"actionhub-key": created["api_key"], "program-id": self.program_id}
        self.http = httpx.Client(base_url=stack.url, headers=headers, timeout=30)
        now = time.time()
        events = [
            event(f"user-{user}", asset, at=now - week * 7 * DAY_SECONDS)
            for user in range(USERS)
            for week in range(1, weeks + 1)
            for asset in (("espresso", "muffin") if user % 2 else ("espresso",))
        ]
        self.events = len(events)
        assert self.http.post("/events", json={"events": events}).json()["accepted"] == len(events)

    def get(self, path: str, **query: str | int) -> Any:
        response = self.http.get(path, params=query)
        assert response.status_code == 200, response.text
        return response.json()

    def start_rebase(self) -> None:
        assert self.http.put("/program/rebase").status_code == 200

    def rebase(self) -> list[str]:
        """Rebase the program; the messages of its status on the way, the last one that of its end."""
        self.start_rebase()
        messages: list[str] = []

        def has_ended() -> bool:
            status = self.get("/program/status")
            if status["message"] not in messages:
                messages.append(status["message"])
            return status["status_id"] in (COMPLETE, FAILED)

        wait_until(has_ended, seconds=SECONDS)
        assert self.get("/program/status")["status_id"] == COMPLETE, [*messages, self._stack.log("spark")[-3000:]]
        return messages

    def job_runs(self) -> list[str]:
        """The states that the job runs of the stack came to, in order."""
        return re.findall(r"job run \w+: (SUCCESS|FAILED|CANCELLED)", self._stack.log("gateway"))


@pytest.fixture
def open_program(spark_stack: RunningStack) -> Iterator[Callable[..., Tea]]:
    """Makes a program of so many ``weeks``."""
    with ExitStack() as opened:

        def make(*, weeks: int) -> Tea:
            tea = Tea(spark_stack, weeks=weeks)
            opened.callback(tea.http.close)
            return tea

        yield make


def test_a_rebase_above_the_size_is_done_by_spark_and_its_model_serves(
    spark_stack: RunningStack, open_program: Callable[..., Tea]
) -> None:
    """Given a program of more events than SparkAboveEvents, then a job completes its rebase, and the model serves."""
    tea = open_program(weeks=8)
    assert tea.events > ABOVE_EVENTS
    before = tea.job_runs()

    messages = tea.rebase()

    wait_until(lambda: tea.job_runs() == [*before, "SUCCESS"], seconds=SECONDS)
    assert any("Spark" in message for message in messages), messages
    assert f"{tea.events:,} events, 2 actions" in messages[-1]
    actions = tea.get("/users/user-1/actions")["actions"]
    assert [action["asset_id"] for action in actions] == ["espresso", "muffin"]
    model = tea.get("/program/model")
    assert (model["events"], model["users"], model["actions"]) == (tea.events, USERS, 2)
    segment = tea.http.get("/segment", params={"segment_type": "base", "asset_ids": "muffin"})
    assert set(segment.text.split()) == {f"user-{user}" for user in range(1, USERS, 2)}
    assert not any(key.startswith("exports/") for key in files_of(spark_stack))


def test_a_rebase_below_the_size_is_done_by_the_function(open_program: Callable[..., Tea]) -> None:
    tea = open_program(weeks=3)
    assert tea.events <= ABOVE_EVENTS
    before = tea.job_runs()

    tea.rebase()

    assert tea.job_runs() == before


def test_a_job_that_is_killed_fails_its_rebase(spark_stack: RunningStack, open_program: Callable[..., Tea]) -> None:
    """Given a job whose driver is killed, then the rebase has failed and says so, and the program serves on."""
    tea = open_program(weeks=8)
    before = tea.job_runs()
    tea.start_rebase()
    wait_until(lambda: drivers_of(spark_stack), seconds=SECONDS)

    for process in drivers_of(spark_stack):
        os.kill(process, signal.SIGKILL)

    wait_until(lambda: tea.get("/program/status")["status_id"] == FAILED, seconds=SECONDS)
    assert "its Spark job ended as FAILED" in tea.get("/program/status")["message"]
    assert tea.job_runs() == [*before, "FAILED"]
    assert tea.get("/users/user-1/actions")["actions"]


def drivers_of(stack: RunningStack) -> list[int]:
    """The processes of jobs that run."""
    return [process for process, command in processes_of(stack.state).items() if "tools/spark/rebase.py" in command]


def files_of(stack: RunningStack) -> list[str]:
    (bucket,) = stack.buckets
    pages = stack.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return [entry["Key"] for page in pages for entry in page.get("Contents", [])]
