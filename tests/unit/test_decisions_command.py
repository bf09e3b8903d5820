"""``decisions report`` has the report of a program's decisions computed, waits for it and prints it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tools.cli.__main__ import main
from tools.cli.load_client import Server

WEEK = {"monday": 1_794_182_400.0, "recommendations": 1200, "expected": 100.0, "observed": 110, "reason": ""}
REPORT = {"now": 2.0, "decisions": 1500, "days": 90, "user_share": 0.5, "horizon_days": 14}
ESTIMATE = {"value": 0.2, "always_valid": [0.1, 0.3], "fixed": [0.15, 0.25], "reason": ""}
UNKNOWN = {"value": None, "always_valid": None, "fixed": None, "reason": "no predicted rewards were given"}
VALUE = {"logged": ESTIMATE, "snips": ESTIMATE, "doubly_robust": UNKNOWN}
CANDIDATE = {"model": "m", "draws": 800, "known": 700, "value": VALUE, "reason": ""}


def report_of(monkeypatch: pytest.MonkeyPatch, report: dict[str, Any], *options: str) -> list[tuple[str, str, Any]]:
    """Run the command against a server that makes this report; the calls."""
    made: list[tuple[str, str, Any]] = []

    def call(_: Server, method: str, path: str, content: bytes | None = None) -> tuple[int, Any]:
        made.append((method, path, json.loads(content) if content else None))
        return (404, {"detail": "no report"}) if len(made) == 1 else (200, {**REPORT, **report})

    monkeypatch.setattr(Server, "call", call)
    assert main(["decisions", "report", "--program", "shop", "--key", "key.secret", *options]) == 0
    return made


def test_weeks_and_a_model_are_printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    few = {**WEEK, "ratio": None, "interval": None, "reason": "nothing was expected"}
    weeks = [{**WEEK, "ratio": 1.1, "interval": [0.9, 1.3]}, few]

    calls = report_of(monkeypatch, {"weeks": weeks, "candidate": CANDIDATE}, "--model", "m")

    path = "/program/decisions/report"
    assert calls == [("GET", path, None), ("PUT", path, {"model_version": "m"}), ("GET", path, None)]
    assert capsys.readouterr().out.splitlines() == [
        "1,500 decisions of 90 days, of 50.00% of the users",
        "week of 2026-11-09: 1,200 recommendations, 100 expected, 110 came true: 1.1 times (0.9 to 1.3)",
        "week of 2026-11-09: 1,200 recommendations, 100 expected, 110 came true: nothing was expected",
        "model m: 800 draws since it was trained, 700 usable",
        "what was drawn: 0.2 of the choices come true (0.15 to 0.25)",
        "SNIPS: 0.2 of the choices come true (0.15 to 0.25)",
        "doubly robust: not known: no predicted rewards were given",
    ]


def test_what_is_not_known_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    candidate = {**CANDIDATE, "draws": 0, "known": 0, "value": None, "reason": "nothing was drawn"}

    report_of(monkeypatch, {"weeks": [], "candidate": candidate, "user_share": 1.0})

    assert capsys.readouterr().out.splitlines() == [
        "1,500 decisions of 90 days",
        "no decision's horizon of 14 days is over yet",
        "model m: 0 draws since it was trained, 0 usable",
        "no value: nothing was drawn",
    ]
