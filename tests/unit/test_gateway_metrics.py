"""A request's log line records its program's metrics, and only for callers who proved to know the program."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from nextbest.web.frame import Response, respond

NOW = 1_790_000_000.0
EVENT = {
    "rawPath": "/users/ada/actions",
    "routeKey": "GET /users/{user_id}/actions",
    "headers": {"program-id": "made-up-by-the-caller"},
    "requestContext": {"requestId": "r-1", "http": {"method": "GET"}},
}


def line_of(fields: Mapping[str, Any], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The log line of an answer with ``fields`` that took 12 ms."""
    clock = iter([NOW, NOW + 0.012])
    respond(
        EVENT,
        None,
        lambda _request, _now, _request_id: Response(200, b"{}", {}, fields),
        lambda _error, _request_id: Response(500, b"{}"),
        clock=lambda: next(clock),
    )
    line: dict[str, Any] = json.loads(capsys.readouterr().out)
    return line


def test_given_an_answer_when_logged_then_its_line_holds_the_program_s_metrics(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METRICS_NAMESPACE", "Nextbest/stack")
    model = f"{round((NOW - 3600) * 1000):013d}-0123456789ab"

    line = line_of({"program": "shop", "model": model, "actions": 0}, capsys)

    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert (directive["Namespace"], directive["Dimensions"]) == ("Nextbest/stack", [["program"]])
    assert line["program"] == "shop"
    units = {metric["Name"]: metric["Unit"] for metric in directive["Metrics"]}
    assert units == {"Requests": "Count", "Latency": "Milliseconds", "EmptyAnswers": "Count", "ModelAge": "Seconds"}
    assert {name: line[name] for name in units} == {"Requests": 1, "Latency": 12.0, "EmptyAnswers": 1, "ModelAge": 3600}


def test_given_no_model_yet_when_logged_then_there_is_no_age(capsys: pytest.CaptureFixture[str]) -> None:
    line = line_of({"program": "shop", "model": "untrained", "actions": 3}, capsys)

    assert line["EmptyAnswers"] == 0
    assert "ModelAge" not in line


def test_given_a_caller_who_was_refused_when_logged_then_no_metric_is_made_up(
    capsys: pytest.CaptureFixture[str],
) -> None:
    line = line_of({}, capsys)

    assert "_aws" not in line
    assert "made-up-by-the-caller" not in json.dumps(line)
