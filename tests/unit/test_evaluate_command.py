"""``evaluate`` reads what ``load`` reads, with the same words, and says when there is too little to judge."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from tools.cli.__main__ import main

HEADER = "user_id,event_type,asset_id,timestamp\n"
DAY_SECONDS = 86_400


def rows(users: int, days: int) -> str:
    """Each of ``users`` views one of three assets a day, from 2023-11-14 on."""
    return "".join(
        f"u{user},view,a{(user + day) % 3},{1_700_000_000 + day * DAY_SECONDS + user}\n"
        for day in range(days)
        for user in range(users)
    )


def evaluate(*arguments: str) -> int:
    return main(["evaluate", "--time-budget-seconds", "1", *arguments])


def test_the_same_rows_are_events_as_for_load(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Given two files, one with other column names, times as ISO 8601 and rows that are none, then the rest counts."""
    (tmp_path / "a.csv").write_text(HEADER + rows(4, 20))
    with gzip.open(tmp_path / "b.jsonl.gz", "wt") as file:
        for day in range(1, 21):
            event = {"user_id": "x", "event_type": "view", "asset_id": "a0", "timestamp": f"2023-11-{day:02} 08:00 UTC"}
            file.write(json.dumps(event) + "\n")
        file.write(json.dumps({"user_id": "NULL", "event_type": "view", "asset_id": "a0", "timestamp": 1}) + "\n")
        file.write(json.dumps({"user_id": "x", "event_type": "view", "asset_id": "a0", "timestamp": "2023"}) + "\n")
    assert evaluate(str(tmp_path / "*")) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "100 events, 2 rows rejected"
    assert sorted(lines[1:3]) == [
        "  rejected 1: timestamp looks like a year alone: a date is needed, such as 2024-02-21 (line 22)",
        "  rejected 1: user_id stands for nothing (NULL, NaN, None or the like); --literal-nulls takes it as text "
        "(line 21)",
    ]
    assert any(line.startswith("repeats") and "Nextbest" in line for line in lines)
    assert evaluate(str(tmp_path / "*"), "--allow-rejects") == 0


def test_it_says_when_too_few_users_came_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.csv").write_text(HEADER + rows(4, 20))
    assert evaluate(str(tmp_path / "a.csv")) == 0
    out = capsys.readouterr().out
    assert "repeats: judged on 4 users" in out
    assert "differences between methods are mostly chance" in out
    assert "discoveries: judged on 0 users" in out
    assert "nothing can be said" in out


def test_columns_are_mapped_as_for_load(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.csv").write_text(HEADER.replace("user_id", "visitor") + rows(4, 20))
    assert evaluate(str(tmp_path / "a.csv")) == 2
    assert "missing column user_id" in capsys.readouterr().err
    assert evaluate(str(tmp_path / "a.csv"), "--columns", "visitor=user_id") == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        (HEADER, "has no rows"),
        (HEADER + "NULL,view,a,1\n", "no row is an event"),
    ],
)
def test_without_events_there_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, message: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(content)
    assert evaluate(str(path)) == 2
    error = capsys.readouterr().err
    assert error.startswith("evaluate: ")
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_handful_of_events_ends_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str], count: int) -> None:
    (tmp_path / "a.csv").write_text(HEADER + rows(1, count))
    assert evaluate(str(tmp_path / "a.csv")) == 0
    out = capsys.readouterr().out
    assert "repeats: judged on" in out
    assert "discoveries: judged on" in out
