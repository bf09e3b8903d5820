"""A request's log line records its program's metrics, and only for callers who proved to know the program."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from aws_lambda_powertools.metrics import EphemeralMetrics

from nextbest import observability
from nextbest.errors import NextbestError
from nextbest.observability import logger
from nextbest.web.frame import respond
from nextbest.web.request import Request, from_payload_v2
from nextbest.web.response import Response

NOW = float(round(time.time()))  # CloudWatch takes no metric of the distant past, and Powertools warns of it
EVENT = {
    "rawPath": "/users/ada/actions",
    "routeKey": "GET /users/{user_id}/actions",
    "headers": {"program-id": "made-up-by-the-caller"},
    "requestContext": {"requestId": "r-1", "http": {"method": "GET"}},
}


@dataclass(frozen=True)
class Answering:
    """Endpoints that give one answer to everything."""

    response: Response

    def serve(self, request: Request, *, now: float) -> Response:
        assert (request.request_id, now) == ("r-1", NOW)
        return self.response

    def refuse(self, error: NextbestError, _request: Request, _now: float, /) -> Response:
        raise error


def line_of(fields: Mapping[str, Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """The log line of an answer with ``fields`` that took 12 ms."""
    clock = iter([NOW, NOW + 0.012])
    monkeypatch.setattr(logger._logger.handlers[0], "stream", sys.stdout)
    respond(from_payload_v2(EVENT), None, Answering(Response(200, b"{}", {}, fields)), clock=lambda: next(clock))
    return json.loads(capsys.readouterr().out)


def test_the_line_of_an_answer_holds_the_programs_metrics(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observability, "_metrics", EphemeralMetrics(namespace="Nextbest/stack"))
    model = f"{round((NOW - 3600) * 1000):013d}-0123456789ab"

    line = line_of({"program": "shop", "model": model, "actions": 0}, capsys, monkeypatch)

    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert (directive["Namespace"], directive["Dimensions"]) == ("Nextbest/stack", [["program"]])
    assert line["program"] == "shop"
    units = {metric["Name"]: metric["Unit"] for metric in directive["Metrics"]}
    assert units == {"Requests": "Count", "Latency": "Milliseconds", "EmptyAnswers": "Count", "ModelAge": "Seconds"}
    assert {name: line[name] for name in units} == {"Requests": 1, "Latency": 12.0, "EmptyAnswers": 1, "ModelAge": 3600}


def test_without_a_model_no_age_is_logged(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    line = line_of({"program": "shop", "model": "untrained", "actions": 3}, capsys, monkeypatch)

    assert line["EmptyAnswers"] == 0
    assert "ModelAge" not in line


def test_no_metric_is_made_up_for_a_refused_caller(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    line = line_of({}, capsys, monkeypatch)

    assert "_aws" not in line
    assert "made-up-by-the-caller" not in json.dumps(line)
