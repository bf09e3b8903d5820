"""``experiments`` makes one call of the API and prints a line for each experiment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tools.cli.__main__ import main
from tools.cli.load_client import Server

HOLDOUT = {"experiment_id": "h", "name": "Hold", "kind": "holdout", "state": "draft", "share": 0.1}


def run(*arguments: str) -> int:
    call, *rest = arguments
    return main(["experiments", call, "--program", "shop", "--key", "key.secret", *rest])


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, Any]]:
    made: list[tuple[str, str, Any]] = []

    def call(_: Server, method: str, path: str, content: bytes | None = None) -> tuple[int, Any]:
        made.append((method, path, json.loads(content) if content else None))
        if method == "DELETE":
            return 200, {"result": "experiment h was deleted"}
        if path.endswith("/stop"):
            return 409, {"detail": "experiment h does not run: it is draft"}
        experiment = {**HOLDOUT, "holdout_list": "popular"}
        return 200, {"experiments": [experiment]} if method == "GET" else experiment

    monkeypatch.setattr(Server, "call", call)
    return made


@pytest.mark.parametrize(
    ("arguments", "call"),
    [
        (["list"], ("GET", "/experiments", None)),
        (["start", "a b"], ("PUT", "/experiments/a%20b/start", None)),
        (["promote", "h"], ("PUT", "/experiments/h/promote", None)),
        (
            ["create", "Hold", "--share", "0.1", "--holdout", "nothing", "--id", "h"],
            (
                "POST",
                "/experiments",
                {"name": "Hold", "share": 0.1, "experiment_id": "h", "kind": "holdout", "holdout_list": "nothing"},
            ),
        ),
        (
            [
                "create",
                "Rival",
                "--share",
                "0.5",
                "--holdout",
                "popular",
                "--headline",
                "value",
                "--least-effect",
                "0.05",
            ],
            (
                "POST",
                "/experiments",
                {
                    "name": "Rival",
                    "share": 0.5,
                    "headline": "value",
                    "least_effect": 0.05,
                    "kind": "holdout",
                    "holdout_list": "popular",
                },
            ),
        ),
        (
            ["create", "Rival", "--share", "0.5", "--challenger", '{"allow_repeats": false}'],
            (
                "POST",
                "/experiments",
                {"name": "Rival", "share": 0.5, "kind": "challenger", "challenger": {"allow_repeats": False}},
            ),
        ),
        (["change", "a b", "--share", "0.2"], ("PUT", "/experiments/a%20b", {"share": 0.2})),
        (
            ["change", "h", "--name", "New", "--horizon-days", "7", "--holdout", "nothing"],
            ("PUT", "/experiments/h", {"name": "New", "horizon_days": 7, "holdout_list": "nothing"}),
        ),
        (
            ["change", "h", "--challenger", '{"action_weight_floor": 0}'],
            ("PUT", "/experiments/h", {"challenger": {"action_weight_floor": 0}}),
        ),
    ],
)
def test_each_call_is_one_of_the_api(
    calls: list[tuple[str, str, Any]], capsys: pytest.CaptureFixture[str], arguments: list[str], call: Any
) -> None:
    assert run(*arguments) == 0
    assert calls == [call]
    assert capsys.readouterr().out == "h  draft  holdout  0.1  popular  Hold\n"


def test_an_experiment_is_deleted(calls: list[tuple[str, str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("delete", "a b") == 0
    assert calls == [("DELETE", "/experiments/a%20b", None)]
    assert capsys.readouterr().out == "experiment h was deleted\n"


def test_a_refusal_is_one_line(calls: list[tuple[str, str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("stop", "h") == 1
    assert "does not run: it is draft" in capsys.readouterr().err
    assert len(calls) == 1


def test_the_demo_needs_a_local_stack_that_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["experiments", "demo", "--state", str(tmp_path)]) == 1
    assert "no local stack is running" in capsys.readouterr().err
    with pytest.raises(SystemExit):  # it is for no other deployment
        main(["experiments", "demo", "--url", "https://shop.example"])


@pytest.mark.parametrize(
    "wrong",
    [
        ["create", "Hold", "--share", "0.1"],
        ["create", "Hold", "--share", "0.1", "--holdout", "popular", "--challenger", "{}"],
        ["create", "Hold", "--share", "0.1", "--challenger", "{"],
        ["create", "Hold", "--holdout", "popular"],
        ["change", "h"],
        ["change", "h", "--challenger", "{"],
    ],
)
def test_wrong_options_end_with_the_usage(calls: list[tuple[str, str, Any]], wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(*wrong)
    assert ended.value.code == 2
    assert calls == []


@pytest.mark.parametrize(("plan", "planned"), [(None, ""), ({"users": 4100}, ", and 4,100 were planned")])
def test_a_report_is_awaited_and_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], plan: Any, planned: str
) -> None:
    made: list[tuple[str, str]] = []
    mean = {"value": 0.4, "always_valid": [0.3, 0.5], "fixed": None, "reason": ""}
    unknown = {"value": None, "always_valid": None, "fixed": None, "reason": "no users"}
    variants = [
        {"name": "holdout", "users": 0, "reached": 0, "mean": unknown},
        {"name": "model", "users": 1200, "reached": 480, "mean": mean},
    ]
    report = {"now": 2.0, "verdict": "model sells more", "users": 1300, "complete_users": 1200, "headline": "rate"}
    measures = [{"measure": "value", "variants": []}, {"measure": "rate", "variants": variants}]

    def call(_: Server, method: str, path: str, __: bytes | None = None) -> tuple[int, Any]:
        made.append((method, path))
        if made.count(("GET", "/experiments/h/report")) == 1:
            return (404, {"detail": "no report"}) if method == "GET" else (200, {})
        return 200, {**report, "measures": measures, "plan": plan}

    monkeypatch.setattr(Server, "call", call)

    assert run("report", "h") == 0

    assert [method for method, _ in made] == ["GET", "PUT", "GET"]
    assert capsys.readouterr().out.splitlines() == [
        "model sells more",
        f"1,300 users entered, of 1,200 the horizon is over{planned}",
        "holdout: rate not known yet, 0 users",
        "model: rate 0.4 (0.3 to 0.5), 1,200 users",
    ]


@pytest.mark.parametrize(
    ("plan", "lines"),
    [
        (
            {"mean": 0.1, "deviation": 0.3, "effect": 0.005, "users": 41000, "reason": ""},
            [
                "41,000 users show an effect of 0.005 with a chance of 80 %",
                "1,200 users were active before, with an outcome of 0.1 a user, deviating by 0.3",
            ],
        ),
        (
            {"mean": None, "deviation": None, "effect": None, "users": None, "reason": "nobody had an outcome"},
            ["no plan: nobody had an outcome", "1,200 users were active"],
        ),
    ],
)
def test_a_plan_is_awaited_and_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], plan: dict[str, Any], lines: list[str]
) -> None:
    made: list[tuple[str, str]] = []

    def call(_: Server, method: str, path: str, __: bytes | None = None) -> tuple[int, Any]:
        made.append((method, path))
        done = {**plan, "active_users": 1200, "ts_made": "2026-11-29T10:00:00Z"}
        return 200, {**HOLDOUT, "plan": done if len(made) > 2 else None}

    monkeypatch.setattr(Server, "call", call)

    assert run("plan", "h") == 0

    assert made == [("GET", "/experiments/h"), ("PUT", "/experiments/h/plan"), ("GET", "/experiments/h")]
    assert capsys.readouterr().out.splitlines() == lines


def test_a_report_that_is_refused_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    refused = {"GET": (404, {"detail": "no report"}), "PUT": (409, {"detail": "it was not started yet"})}
    monkeypatch.setattr(Server, "call", lambda _, method, *__: refused[method])

    assert run("report", "h") == 1
    assert "it was not started yet" in capsys.readouterr().err
