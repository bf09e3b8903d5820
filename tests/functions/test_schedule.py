"""A run of the schedule over many programs: each is learned in an invocation of its own, whatever becomes of others."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

import boto3
import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError

from nextbest.domain.events import Event
from nextbest.domain.programs import Incarnation, Program, program_id_of
from nextbest.domain.rebase_status import COMPLETE, FAILED, QUEUED, TRAINING
from nextbest.errors import Unavailable
from nextbest.logic.lease import IS_RUNNING
from nextbest.logic.programs import rebase_event, rebase_status
from nextbest.personalize.jobs.training_job import TrainingJob
from nextbest.store.base import ModelPointer, Status
from tests.functions.conftest import PROGRAM, Functions, load
from tests.lambda_context import LambdaContext

SCHEDULE = {"programs": "all"}
PROGRAMS = 200
RUN = 40
"""Of what the schedule starts, so many run here, the odd ones among them: each is a call of its own."""
FAILS, HANGS, IS_EMPTY, HAS_AN_IMPOSSIBLE_ROW = (f"program-{number:03d}" for number in (17, 18, 19, 20))


class Killed(BaseException):
    """Lambda ends a function that hangs."""


@pytest.fixture
def programs(functions: Functions) -> list[Program]:
    """Two hundred programs. Only the odd ones read their events: what others learn is for other tests."""
    now, store = time.time(), functions.store
    made = [Program(f"program-{number:03d}") for number in range(PROGRAMS)]
    for program in made:
        store.create_program(program)
    store.append(Program(HAS_AN_IMPOSSIBLE_ROW), [Event("ada", round((now - 60) * 1e6), "order", "tea")])
    row: Any = {"pk": {"S": f"{HAS_AN_IMPOSSIBLE_ROW}#U#eve"}, "sk": {"S": "E#no time#order#tea"}}
    variables = functions.application.function("rebase").variables
    boto3.client("dynamodb").put_item(TableName=variables["TABLE_NAME"], Item=row)
    for name, value in variables.items():
        functions.patch.setenv(name, value)
    functions.patch.setenv("AWS_LAMBDA_FUNCTION_NAME", functions.application.function("rebase").logical_id)
    functions.patch.setenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "3008")
    functions.modules["rebase"] = load("rebase")
    really_train = TrainingJob.train

    def train(
        job: TrainingJob, incarnation: Incarnation, solution: Mapping[str, Any], training_type: str
    ) -> ModelPointer:
        match program_id_of(incarnation):
            case program_id if program_id == FAILS:
                raise ClientError({"Error": {"Code": "SlowDown", "Message": "injected"}}, "PutObject")
            case program_id if program_id == HANGS:
                raise Killed
            case program_id if program_id in (IS_EMPTY, HAS_AN_IMPOSSIBLE_ROW):
                return really_train(job, incarnation, solution, training_type)
        store.put_status(Status(incarnation, COMPLETE, "learned", time.time()))
        return ModelPointer("1", "model")

    functions.patch.setattr(TrainingJob, "train", train)
    return made


def test_every_other_program_is_learned_whatever_is_wrong_with_some(
    functions: Functions, programs: list[Program]
) -> None:
    names = [program.program_id for program in programs]
    # Given a run of the schedule, which starts everything and waits for nothing
    assert functions.answer("rebase", SCHEDULE)["started"] == [PROGRAM.program_id, *names]
    assert statuses_of(functions, names) == dict.fromkeys(names, QUEUED)

    outcomes: dict[str, str] = {}
    for event in functions.started[: RUN + 1]:
        try:
            functions.answer("rebase", event)
        except ClientError:
            outcomes[event["program_id"]] = "is tried again, and then a dead letter"
        except Killed:
            outcomes[event["program_id"]] = "is tried again by Lambda"

    # Then only those are not learned in which something is wrong
    assert outcomes.keys() == {FAILS, HANGS}
    names = names[:RUN]
    statuses = statuses_of(functions, names)
    assert {name for name in names if statuses[name] != COMPLETE} == {FAILS, HANGS, IS_EMPTY}
    assert statuses[IS_EMPTY] == FAILED
    assert "no events to learn from" in message_of(functions, IS_EMPTY)
    assert "set aside" in message_of(functions, HAS_AN_IMPOSSIBLE_ROW)


def statuses_of(functions: Functions, names: list[str]) -> dict[str, str]:
    return {name: rebase_status(functions.store, Incarnation(name), now=time.time()).status_id for name in names}


def message_of(functions: Functions, name: str) -> str:
    return rebase_status(functions.store, Incarnation(name), now=time.time()).message


def test_the_oldest_models_come_first(functions: Functions) -> None:
    for name, began in (("newer", "1700000002000-b"), ("older", "1700000001000-a"), ("none", None)):
        program = Program(name)
        functions.store.create_program(program)
        if began is not None:
            functions.store.point_to_model(program.incarnation, ModelPointer(began, "key"))

    functions.answer("rebase", SCHEDULE)

    order = [program_id_of(event["incarnation"]) for event in functions.started]
    assert order == [PROGRAM.program_id, "none", "older", "newer"]


def test_a_program_that_cannot_be_started_stops_no_other_and_the_run_is_tried_again(functions: Functions) -> None:
    functions.store.create_program(Program("unlucky"))
    make_api_call = vars(BaseClient)["_make_api_call"]

    def refused(client: BaseClient, operation: str, arguments: dict[str, Any]) -> Any:
        if operation == "Invoke" and json.loads(arguments["Payload"])["program_id"] == PROGRAM.program_id:
            raise ClientError({"Error": {"Code": "TooManyRequestsException", "Message": "Rate Exceeded."}}, "Invoke")
        return make_api_call(client, operation, arguments)

    functions.patch.setattr(BaseClient, "_make_api_call", refused)

    with pytest.raises(Unavailable, match="1 of 2 trainings could not be started, demo first"):
        functions.answer("rebase", SCHEDULE)

    assert [event["program_id"] for event in functions.started] == ["unlucky"]
    assert rebase_status(functions.store, PROGRAM.incarnation, now=time.time()).status_id == FAILED


def test_a_program_that_is_being_trained_is_left_alone_by_the_schedule(
    functions: Functions, caplog: pytest.LogCaptureFixture
) -> None:
    # Given another invocation that trains one of two programs
    functions.store.create_program(Program("other"))
    now = time.time()
    assert functions.store.take_lease(PROGRAM.incarnation, "somebody", "{}", now=now, expires_at=now + 60)
    functions.store.put_status(Status(PROGRAM.incarnation, TRAINING, "learning", now))

    assert functions.answer("rebase", SCHEDULE) == {"started": ["other"]}
    # Also where that one began after the schedule looked
    assert functions.answer("rebase", rebase_event(PROGRAM.incarnation, scheduled="yes")) == {}

    assert reasons(caplog) == [IS_RUNNING] * 2
    assert statuses_of(functions, [PROGRAM.program_id]) == {PROGRAM.program_id: TRAINING}
    assert functions.store.leases([PROGRAM.incarnation])[PROGRAM.incarnation].left == set()


def reasons(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Why programs were not rebased, by the log."""
    return [vars(record)["reason"] for record in caplog.records if record.message == "not rebased"]


def test_a_rebase_that_is_asked_for_meanwhile_is_started_by_the_one_that_runs(functions: Functions) -> None:
    functions.answer("rebase", SCHEDULE)
    functions.started.clear()
    app = functions.modules["rebase"]
    asked_for = rebase_event(PROGRAM.incarnation)

    def train(*_arguments: Any) -> ModelPointer:
        assert app.handler(asked_for, LambdaContext(aws_request_id="second")) == {}
        return ModelPointer("1", "model")

    functions.patch.setattr(TrainingJob, "train", train)

    assert app.handler(asked_for, LambdaContext(aws_request_id="first")) == {"model": "1"}

    assert functions.started == [asked_for]
    assert statuses_of(functions, [PROGRAM.program_id]) == {PROGRAM.program_id: QUEUED}
