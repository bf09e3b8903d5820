"""``rebase`` starts a rebase, waits for its end, and says how it ended."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.load_server_double import KEY, Double, running_double
from tools.cli.__main__ import main


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch) -> Iterator[Double]:
    monkeypatch.setattr("tools.cli.program.POLL_SECONDS", 0.0)
    with running_double() as double:
        yield double


def rebase(double: Double, *options: str, key: str = KEY) -> int:
    return main(["rebase", "--program", "shop", "--url", double.url, "--key", key, *options])


def test_it_waits_for_the_end_and_prints_the_progress(double: Double, capsys: pytest.CaptureFixture[str]) -> None:
    training = ("program_model_training", "learning from 5 events")
    double.contract.statuses = [
        ("program_rebase_queued", "the rebase waits for its function to start"),
        training,
        training,
        ("program_user_graph_complete", "model 1: 5 events"),
    ]
    assert rebase(double) == 0
    printed = capsys.readouterr()
    assert printed.out == "model 1: 5 events\n"
    assert printed.err == "  the rebase waits for its function to start\n  learning from 5 events\n"
    assert double.contract.rebases == 1


def test_a_failure_is_told_with_its_reason(double: Double, capsys: pytest.CaptureFixture[str]) -> None:
    double.contract.statuses = [("program_rebase_failed", "the program has no events to learn from")]
    assert rebase(double) == 1
    assert capsys.readouterr().err == (
        "rebase: the rebase of program shop failed: the program has no events to learn from\n"
    )


def test_it_does_not_wait_for_ever(double: Double, capsys: pytest.CaptureFixture[str]) -> None:
    double.contract.statuses = [("program_model_training", "learning from 5 events")]
    assert rebase(double, "--timeout-seconds", "0") == 1
    assert "has not ended: learning from 5 events" in capsys.readouterr().err


def test_a_wrong_key_is_one_line(double: Double, capsys: pytest.CaptureFixture[str]) -> None:
    assert rebase(double, key="other.secret") == 1
    assert capsys.readouterr().err == "rebase: program shop: 403 Could not validate API KEY\n"
    with pytest.raises(SystemExit):
        main(["rebase", "--program", "shop", "--url", "ftp://x", "--key", "k"])
