"""An alarm for each way to fail, and words on what to do about it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from nextbest.store.cache import UNREADABLE_MODEL
from tests.infrastructure.cloudformation import FUNCTIONS, ROOT, Document, logical_id, of_type, read_template, the_only

ALARM = "AWS::CloudWatch::Alarm"


def watched(template: Document) -> dict[tuple[str, str], Document]:
    """Alarms on AWS's own metrics by what they watch: (metric, what the dimension names)."""
    found: dict[tuple[str, str], Document] = {}
    for alarm in of_type(template, ALARM).values():
        properties = alarm["Properties"]
        if "Dimensions" not in properties:
            continue
        (dimension,) = properties["Dimensions"]
        value = dimension["Value"]
        target = value["Ref"] if "Ref" in value else value["Fn::GetAtt"][0]
        found[properties["MetricName"], target] = properties
    return found


def test_each_function_that_fails_or_is_throttled_is_heard_of(template: Document) -> None:
    """Where its failures arrive has an alarm: the API, or the queue of invocations that were given up on."""
    behind_the_api = {
        function
        for function in FUNCTIONS
        for event in read_template()["Resources"][logical_id(function)]["Properties"]["Events"].values()
        if event["Type"] == "HttpApi"
    }
    kept = {
        config["Properties"]["FunctionName"]["Ref"]: config["Properties"]["DestinationConfig"]["OnFailure"]
        for config in of_type(template, "AWS::Lambda::EventInvokeConfig").values()
    }

    assert watched(template)["5xx", "Api"]["Threshold"] == 0
    for function in set(FUNCTIONS) - behind_the_api:
        assert kept[logical_id(function)] == {"Destination": {"Fn::GetAtt": ["FailedInvocations", "Arn"]}}


@pytest.mark.parametrize("function", ["actions", "recommendations"])
def test_slow_answers_are_heard_of(template: Document, function: str) -> None:
    alarm = watched(template)["Duration", logical_id(function)]

    assert alarm["ExtendedStatistic"] == "p99"
    assert alarm["Threshold"] == {"Ref": "HotLatencyMilliseconds"}


@pytest.mark.parametrize(
    ("metric", "target"),
    [
        ("ApproximateNumberOfMessagesVisible", "DeadLetters"),
        ("ApproximateNumberOfMessagesVisible", "FailedInvocations"),
        ("ApproximateAgeOfOldestMessage", "Queue"),
        ("5xx", "Api"),
    ],
)
def test_other_failures_are_heard_of(template: Document, metric: str, target: str) -> None:
    assert (metric, target) in watched(template)


def test_models_that_cannot_be_read_are_heard_of_though_reads_go_on(template: Document) -> None:
    """The alarm sums what filters find in the logs of both hot functions, and they look for what is written there."""
    alarm = template["Resources"]["UnreadableModelsAlarm"]["Properties"]
    filters = [entry["Properties"] for entry in of_type(template, "AWS::Logs::MetricFilter").values()]

    assert {entry["LogGroupName"]["Ref"] for entry in filters} == {"ActionsLogGroup", "RecommendationsLogGroup"}
    for entry in filters:
        (metric,) = entry["MetricTransformations"]
        assert metric["MetricNamespace"] == alarm["Namespace"]
        assert metric["MetricName"] == alarm["MetricName"]
        looked_for = re.fullmatch(r'\{ \$\.message = "(.+)\*" \}', entry["FilterPattern"])
        assert looked_for
        assert UNREADABLE_MODEL.startswith(looked_for[1])
    assert (alarm["Threshold"], alarm["ComparisonOperator"]) == (0, "GreaterThanThreshold")


def test_one_dead_letter_is_enough(template: Document) -> None:
    for queue in ("DeadLetters", "FailedInvocations"):
        alarm = watched(template)["ApproximateNumberOfMessagesVisible", queue]
        assert (alarm["Threshold"], alarm["ComparisonOperator"]) == (0, "GreaterThanThreshold")


def test_every_alarm_and_its_end_reach_the_topic_if_there_is_one(template: Document) -> None:
    told = {"Fn::If": ["TellsSomebody", [{"Ref": "AlarmTopic"}], {"Ref": "AWS::NoValue"}]}

    for name, alarm in of_type(template, ALARM).items():
        assert alarm["Properties"]["AlarmActions"] == told, name
        assert alarm["Properties"]["OKActions"] == told, name
        assert alarm["Properties"]["TreatMissingData"] == "notBreaching", name
    assert template["Resources"]["AlarmTopic"]["Condition"] == "TellsSomebody"


def test_every_alarm_points_to_a_section_of_the_operations_page(template: Document) -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    sections = {heading.lower() for heading in re.findall(r"^### (.+)$", page, re.MULTILINE)}

    for name, alarm in of_type(template, ALARM).items():
        section = re.search(r"\(docs/operations\.md, ([^)]+)\)$", alarm["Properties"]["AlarmDescription"])
        assert section, name
        assert section[1].lower() in sections, name


def test_dashboard_is_valid_and_names_only_what_exists(template: Document) -> None:
    body: str = the_only(template, "AWS::CloudWatch::Dashboard")["Properties"]["DashboardBody"]["Fn::Sub"]
    widgets: list[Any] = json.loads(body)["widgets"]

    assert len(widgets) >= 8
    named = {name.split(".")[0] for name in re.findall(r"\$\{([\w.]+)\}", body)}
    assert named <= template["Resources"].keys()
    assert {logical_id(function) for function in FUNCTIONS} <= named
