"""The program's model through the API: its report, its versions, and which of them serves."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from nextbest.domain.access_keys import READ
from nextbest.domain.events import Event
from nextbest.logic.model_report import quality_of
from nextbest.scoring import Model
from nextbest.store.base import ModelPointer
from nextbest.store.environment import open_artifacts
from tests.factories import drink_events, http_event
from tests.functions.conftest import PROGRAM, Functions
from tests.functions.console.conftest import key_with
from tools.local.key import operator_key


def call(functions: Functions, method: str, body: object = None, *, key: str = "", status: int = 200) -> Any:
    """The body of the answer of /program/model."""
    headers = {"actionhub-key": key or operator_key()[1], "program-id": PROGRAM.program_id}
    event = http_event(method, "/program/model", route_key=f"{method} /program/model")
    if body is not None:
        event["body"] = json.dumps(body)
        headers["content-type"] = "application/json"
    event["headers"] |= headers
    answer = functions.answer("manage", event)
    assert answer["statusCode"] == status, answer
    return json.loads(answer["body"])


def rebase(functions: Functions) -> str:
    event = {"program_id": PROGRAM.program_id, "incarnation": PROGRAM.incarnation}
    return str(functions.answer("rebase", event)["model"])


@pytest.fixture
def twice(functions: Functions) -> tuple[str, str]:
    """The versions of a program that was trained twice, on more events the second time."""
    now = time.time()
    functions.store.append(PROGRAM, drink_events(now=now))
    first = rebase(functions)
    functions.store.append(PROGRAM, [Event("late", round((now - 5) * 1e6), "order", "cocoa")])
    return first, rebase(functions)


def test_before_the_first_rebase_there_is_nothing_to_tell(functions: Functions) -> None:
    answer = call(functions, "GET")

    assert answer["version"] is None
    assert answer["modes"] == answer["versions"] == answer["drift"] == answer["notes"] == []
    assert call(functions, "PUT", {}, status=404) == {"detail": "No model was served before this one"}


def test_it_tells_what_the_report_says(functions: Functions, twice: tuple[str, str]) -> None:
    state = functions.store.program_state(PROGRAM.program_id)
    assert state is not None
    assert state.model is not None
    model = Model.from_bytes(open_artifacts(clock=time.time).get(state.model.key))
    answer = call(functions, "GET", key=key_with(functions, READ))

    assert (answer["version"], answer["actions"]) == (twice[1], len(model.actions))
    assert (answer["events"], answer["users"]) == (model.report["events"], model.report["users"])
    for told, mode in zip(answer["modes"], ("repeats", "discoveries"), strict=True):
        quality = quality_of(model.report, mode)
        assert (told["mode"], told["ndcg"], told["users"]) == (mode, quality.ndcg, quality.users)
        assert {entry["method"]: entry["ndcg"] for entry in told["comparisons"]} == {
            comparison.method: comparison.ndcg for comparison in quality.comparisons
        }
        assert [part["part"] for part in told["parts"]] == [part.part for part in quality.parts]
        assert len(told["calibration"]) == len(quality.calibration)


def test_the_version_before_serves_again_until_that_is_undone(functions: Functions, twice: tuple[str, str]) -> None:
    first, second = twice
    versions = {entry["version"]: entry for entry in call(functions, "GET")["versions"]}
    assert versions[second]["serves"]
    assert versions[first]["is_previous"]
    assert versions[second]["events"] == versions[first]["events"] + 1

    call(functions, "PUT", {"version": first})
    assert call(functions, "GET")["version"] == first
    assert functions.started[-1]["only"] == "segments"
    call(functions, "PUT", {"version": first}, status=409)
    call(functions, "PUT", {})
    assert call(functions, "GET")["version"] == second


def test_only_admin_chooses_the_version(functions: Functions, twice: tuple[str, str]) -> None:
    call(functions, "PUT", {}, key=key_with(functions, READ), status=403)
    assert call(functions, "GET")["version"] == twice[1]


@pytest.mark.parametrize("body", [{"version": 1}, {"version": "v" * 129}, {"versions": "v"}, [], None])
def test_another_body_is_refused(functions: Functions, twice: tuple[str, str], body: object) -> None:
    assert call(functions, "PUT", body, status=422)["detail"][0]["loc"][0] == "body"
    assert call(functions, "GET")["version"] == twice[1]


def test_a_model_that_cannot_be_read_is_no_failure_of_ours(functions: Functions) -> None:
    functions.store.point_to_model(PROGRAM.incarnation, ModelPointer("0000000000001", "models/nowhere"))

    call(functions, "GET", status=503)
