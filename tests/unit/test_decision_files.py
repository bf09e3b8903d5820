"""Files of decisions: by program and day, the same for the same lines, and nothing lost for one bad line."""

from __future__ import annotations

import gzip
import json
import logging
from dataclasses import replace

import pytest

from nextbest.domain.decisions import Decision
from nextbest.logic.decision_files import decision_files
from tests.unit.test_decisions import DECISION

DAY = 86_400.0
MIDNIGHT = 1_790_812_800.0  # 2026-10-01T00:00:00Z


def log_line(decision: Decision, incarnation: str = "cafe@a") -> str:
    return json.dumps({"message": "request", "status": 200, "decision": decision.members(), "incarnation": incarnation})


def decisions_in(content: bytes) -> list[Decision]:
    return [Decision.from_json(line) for line in gzip.decompress(content).splitlines()]


def test_decisions_go_to_their_program_and_their_day_of_utc() -> None:
    first, last, next_day = (replace(DECISION, time=MIDNIGHT + seconds) for seconds in (0.0, DAY - 0.001, DAY))
    files = decision_files(
        [("1", log_line(first)), ("2", log_line(next_day)), ("3", log_line(last)), ("4", log_line(first, "tea@b"))]
    )

    assert {name.rpartition("/")[0]: decisions_in(content) for name, content in files.items()} == {
        "decisions/cafe@a/2026-10-01": [first, last],
        "decisions/cafe@a/2026-10-02": [next_day],
        "decisions/tea@b/2026-10-01": [first],
    }
    assert all(name.endswith(".jsonl.gz") for name in files)


def test_a_redelivery_makes_the_same_files_and_other_lines_make_others() -> None:
    lines = [("1", log_line(DECISION)), ("2", log_line(DECISION))]

    assert decision_files(lines) == decision_files(lines)
    assert decision_files(lines).keys().isdisjoint(decision_files(lines[:1]).keys())


@pytest.mark.parametrize("bad", ["not JSON", "[]", "{}", '{"incarnation": "cafe@a", "decision": {}}'])
def test_a_line_without_a_decision_stops_no_other(bad: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        files = decision_files([("1", bad), ("2", log_line(DECISION))])

    assert [decisions_in(content) for content in files.values()] == [[DECISION]]
    assert [record.message for record in caplog.records] == ["a log line holds no decision"]


def test_no_lines_are_no_files() -> None:
    assert decision_files([]) == {}
