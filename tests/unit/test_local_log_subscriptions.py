"""What the local stack tells a function of another one's log, and when."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from aws_lambda_powertools.utilities.data_classes import CloudWatchLogsEvent

from tests.waiting import wait_until
from tools.local.environments import Invocation
from tools.local.key import PARAMETERS
from tools.local.log_subscriptions import LogFilter, LogReader
from tools.local.template import Function, LogSource, read_application

DECISIONS = Function("decisions", "DecisionsFunction", "app.handler", Path("functions/decisions"), (), 60, 512, {})
SOURCE = LogSource("ActionsFunction", '{ $.decision.recommendation_id = "RID-*" }', "DecisionsFunction")
TEMPLATE = Path(__file__).parents[2] / "template.yaml"


def line(recommendation_id: str) -> str:
    return json.dumps({"message": "request", "decision": {"recommendation_id": recommendation_id}})


class Calls:
    """What runs functions: notes the lines of events, and fails as often as it is told to."""

    def __init__(self, failures: int = 0) -> None:
        self.lines: list[list[str]] = []
        self._failures = failures

    def invoke(self, function: Function, event: bytes) -> Invocation:
        assert function is DECISIONS
        data = CloudWatchLogsEvent(json.loads(event)).parse_logs_data()
        assert data.message_type == "DATA_MESSAGE"
        assert len({entry.get_id for entry in data.log_events}) == len(data.log_events)
        self.lines.append([entry.message for entry in data.log_events])
        return Invocation(b"{}", "ValueError" if len(self.lines) <= self._failures else None)


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        (line("RID-1"), True),
        (line("other"), False),
        ('{"decision": "RID-1"}', False),
        ('{"decision": {"recommendation_id": 1}}', False),
        ('{"message": "request"}', False),
        ("START of decision.recommendation_id RID-", False),
        ('["decision"]', False),
    ],
)
def test_lines_are_filtered_by_a_member(text: str, matches: bool) -> None:
    assert LogFilter(SOURCE.pattern).matches(text) is matches


def test_another_form_of_pattern_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot filter logs by ERROR"):
        LogFilter("ERROR")


def test_each_line_since_the_start_is_read_once_and_whole(tmp_path: Path) -> None:
    log = tmp_path / "actions.log"
    log.write_text(line("RID-before") + "\n")
    reader = LogReader(SOURCE, DECISIONS, log=log, invoker=Calls())
    assert reader.new_lines() == []

    with log.open("a") as file:
        file.write(f"{line('RID-1')}\nnot JSON\n{line('RID-2')}\n{line('RID-3')[:20]}")
    assert reader.new_lines() == [line("RID-1"), line("RID-2")]
    with log.open("a") as file:
        file.write(line("RID-3")[20:] + "\n")
    assert reader.new_lines() == [line("RID-3")]
    assert reader.new_lines() == []

    log.write_text(line("RID-4") + "\n")  # emptied, and written again
    assert reader.new_lines() == [line("RID-4")]


def test_what_fails_is_told_again(tmp_path: Path) -> None:
    log, calls = tmp_path / "actions.log", Calls(failures=1)
    reader = LogReader(SOURCE, DECISIONS, log=log, invoker=calls)
    reader.start()
    log.write_text(line("RID-1") + "\n")
    wait_until(lambda: len(calls.lines) == 2, seconds=20)
    reader.close()
    assert calls.lines == [[line("RID-1")]] * 2


def test_the_template_subscribes_decisions_to_the_hot_functions() -> None:
    application = read_application(TEMPLATE, parameters=PARAMETERS, queue_url=str)
    read = {
        (application.function(source.function).name, application.function(source.destination).name)
        for source in application.log_sources
    }
    assert read == {("actions", "decisions"), ("recommendations", "decisions")}
    assert {source.pattern for source in application.log_sources} == {SOURCE.pattern}
