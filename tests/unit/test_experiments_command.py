"""``experiments`` makes one call of the API and prints a line for each experiment."""

from __future__ import annotations

import json
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
            ["create", "Rival", "--share", "0.5", "--challenger", '{"allow_repeats": false}'],
            (
                "POST",
                "/experiments",
                {"name": "Rival", "share": 0.5, "kind": "challenger", "challenger": {"allow_repeats": False}},
            ),
        ),
    ],
)
def test_each_call_is_one_of_the_api(
    calls: list[tuple[str, str, Any]], capsys: pytest.CaptureFixture[str], arguments: list[str], call: Any
) -> None:
    assert run(*arguments) == 0
    assert calls == [call]
    assert capsys.readouterr().out == "h  draft  holdout  0.1  popular  Hold\n"


def test_a_refusal_is_one_line(calls: list[tuple[str, str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("stop", "h") == 1
    assert "does not run: it is draft" in capsys.readouterr().err
    assert len(calls) == 1


@pytest.mark.parametrize("wrong", [[], ["--holdout", "popular", "--challenger", "{}"], ["--challenger", "{"]])
def test_wrong_options_end_with_the_usage(calls: list[tuple[str, str, Any]], wrong: list[str]) -> None:
    with pytest.raises(SystemExit):
        run("create", "Hold", "--share", "0.1", *wrong)
    assert calls == []
