"""./nextbest against the running stack: dead letters are redriven, users exported and deleted, faults named."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from nextbest.domain.dead_letters import DeadLetter
from nextbest.domain.events import Event, to_microseconds
from nextbest.domain.programs import Incarnation
from nextbest.domain.rebase_status import FAILED
from nextbest.logic.dead_letters import list_dead_letters, redrive, waiting
from nextbest.logic.events import EventMessage
from nextbest.logic.health import Finding
from nextbest.store.base import ModelPointer, Status
from tests.contract.conftest import Program
from tests.contract.stacks import RunningStack
from tools.cli.__main__ import main
from tools.cli.deployment import Deployment, local_deployment
from tools.cli.doctor import examine

NOW = time.time()
SECONDS_TO_WAIT = 30.0


@pytest.fixture
def deployment(stack: RunningStack) -> Deployment:
    return local_deployment(stack.state)


@pytest.fixture
def dead_letter(deployment: Deployment, program: Program) -> Iterator[str]:
    """A message that failed while a service was away, in the dead-letter queue now; nothing is left there after."""
    event = Event("late", to_microseconds(NOW - 60), "order", "latte")
    body = EventMessage(program.program_id, (event,), sent_us=to_microseconds(NOW - 60)).to_json()
    sqs = deployment.client("sqs")
    sqs.send_message(QueueUrl=deployment.dead_letters_url, MessageBody=body)
    yield body
    for letter in waiting(deployment.dead_letters()):
        sqs.delete_message(QueueUrl=deployment.dead_letters_url, ReceiptHandle=letter.receipt_handle)


def test_dead_letters_are_listed_stay_and_are_ingested_once_redriven(
    deployment: Deployment, dead_letter: str, program: Program
) -> None:
    for _ in range(2):
        (letter,) = list_dead_letters(deployment.dead_letters())
        assert letter.body == dead_letter
        assert letter.summary()["program_id"] == program.program_id
        assert letter.summary()["events"] == 1

    assert redrive(deployment.dead_letters(), deployment.queue()) == 1

    assert list_dead_letters(deployment.dead_letters()) == []
    deadline = time.monotonic() + SECONDS_TO_WAIT
    while program.http.get("/users/late/events").status_code != 200:
        assert time.monotonic() < deadline, "the message was never ingested"
        time.sleep(0.2)


@pytest.mark.parametrize("body", ["not json", "[1]", '{"no": "program"}'])
def test_foreign_messages_are_told_apart(body: str) -> None:
    summary = DeadLetter("id", "handle", 5, NOW, body).summary()

    assert "not a message of Nextbest" in summary["problem"]
    assert body not in json.dumps(summary)


def incarnation_of(deployment: Deployment, program_id: str) -> Incarnation:
    state = deployment.store().program_state(program_id)
    assert state is not None
    return state.program.incarnation


def findings(deployment: Deployment, program_id: str) -> list[Finding]:
    return [finding for finding in examine(deployment, now=NOW) if finding.subject == f"program {program_id}"]


def test_the_doctor_finds_a_stack_ok_but_for_a_program_without_a_model(
    deployment: Deployment, program: Program
) -> None:
    found = {finding.subject: finding for finding in examine(deployment, now=NOW)}

    assert {"API", "table", "bucket", "queue"} <= {subject for subject, finding in found.items() if finding.is_ok}
    assert found[f"program {program.program_id}"].state == "no model yet"


def test_the_doctor_names_a_failed_rebase_and_a_model_that_is_not_there(
    deployment: Deployment, program: Program
) -> None:
    store = deployment.store()
    incarnation = incarnation_of(deployment, program.program_id)
    store.put_status(Status(incarnation, FAILED, "no events", NOW))
    store.point_to_model(incarnation, ModelPointer("0000000000001", "models/nowhere"))

    failed, unreadable = findings(deployment, program.program_id)

    assert "no events" in failed.state
    assert "cannot be read" in unreadable.state
    assert failed.fix
    assert unreadable.fix


def test_a_user_is_exported_and_forgotten(
    stack: RunningStack, program: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    event = {"user_id": "eva", "event_timestamp": NOW - 60, "event_type": "order", "asset_id": "tea", "labels": ["app"]}
    assert program.http.post("/events", json={"events": [event]}).status_code == 200
    user = [program.program_id, "eva", "--state", str(stack.state)]

    assert main(["export-user", *user]) == 0
    exported = json.loads(capsys.readouterr().out)
    assert [(entry["asset_id"], entry["labels"]) for entry in exported["events"]] == [("tea", ["app"])]
    assert main(["delete-user", *user]) == 0
    assert json.loads(capsys.readouterr().out)["events"] == 1
    assert main(["export-user", *user]) == 1
    assert "User not found" in capsys.readouterr().err


def test_no_stack_is_said_plainly(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--state", "nowhere"]) == 1
    assert "make start" in capsys.readouterr().err


def test_the_doctor_prints_ok_or_fail_and_how_to_fix_it(
    stack: RunningStack, program: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    deployment = local_deployment(stack.state)
    incarnation = incarnation_of(deployment, program.program_id)
    deployment.store().put_status(Status(incarnation, FAILED, "no events", NOW))

    assert main(["doctor", "--state", str(stack.state)]) == 1

    lines = capsys.readouterr().out.splitlines()
    failed = lines.index(f"FAIL  program {program.program_id}: the last rebase failed: no events")
    assert lines[failed + 1] == "      fix: remove the cause, then PUT /program/rebase"
    assert "ok    table: Table is ACTIVE" in lines
