"""A sample for every route and trigger: in the form that AWS sends, and one that the functions really answer."""

from __future__ import annotations

import hashlib
import json
import re
from functools import cache
from importlib import resources
from typing import Any

import pytest
from aws_lambda_powertools.utilities.data_classes import CloudWatchLogsEvent

from nextbest.domain.decisions import Decision
from nextbest.logic.events import EventMessage
from tests.infrastructure.cloudformation import FUNCTIONS, ROOT, Document, logical_id, read_template, the_only
from tools.local.key import operator_key
from tools.local.samples import DROPPED_FILE

FOLDER = ROOT / "events"
# What manage hands to rebase, and what a rule sends that is there with Spark alone (test_spark.py).
WITHOUT_A_TRIGGER = {"rebase/program", "rebase/spark-job-failed"}


@cache
def triggers() -> dict[str, Document]:
    """Every event of the template by the name of its sample: ``<function>/<event, in lower case with hyphens>``."""
    written = read_template()["Resources"]
    return {
        f"{function}/{kebab(name)}": event
        for function in FUNCTIONS
        for name, event in written[logical_id(function)]["Properties"]["Events"].items()
    }


def kebab(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "-", name.replace("OpenApi", "Openapi")).lower()


def sample(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.json").read_text())


def sample_of_aws(path: str) -> Any:
    """The sample that SAM CLI carries; some of its values are placeholders."""
    return json.loads(resources.files("samcli.lib.generated_sample_events").joinpath("events", path).read_text())


def names_of_kind(kind: str) -> list[str]:
    return [name for name, event in triggers().items() if event["Type"] == kind]


def test_every_trigger_has_a_sample_and_every_sample_a_trigger() -> None:
    files = {str(path.relative_to(FOLDER).with_suffix("")) for path in FOLDER.rglob("*.json")}

    assert files == triggers().keys() | WITHOUT_A_TRIGGER


@pytest.mark.parametrize("name", names_of_kind("HttpApi"))
def test_http_sample_is_of_its_route(name: str) -> None:
    event = sample(name)
    properties = triggers()[name]["Properties"]
    key = f"{properties['Method']} {properties['Path']}" if "Path" in properties else "$default"

    assert event["routeKey"] == event["requestContext"]["routeKey"] == key
    assert event["requestContext"]["http"]["path"] == event["rawPath"]
    if "Path" in properties:
        assert event["requestContext"]["http"]["method"] == properties["Method"]
        pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", properties["Path"])
        pattern = re.sub(r"\{(\w+)\+\}", r"(?P<\1>.+)", pattern)
        matched = re.fullmatch(pattern, event["rawPath"])
        assert matched
        assert event.get("pathParameters", {}) == matched.groupdict()


@pytest.mark.parametrize("name", names_of_kind("HttpApi"))
def test_http_sample_has_the_form_of_payload_2(name: str) -> None:
    event = sample(name)
    of_aws = sample_of_aws("apigateway/HttpApi.json")

    assert event["version"] == "2.0"
    assert event.keys() <= of_aws.keys()
    assert event["requestContext"].keys() <= of_aws["requestContext"].keys()
    assert event["requestContext"]["http"].keys() == of_aws["requestContext"]["http"].keys()
    assert all(header == header.lower() for header in event["headers"])
    # What does not apply is left out, not null.
    assert all(value is not None for value in event.values())
    assert ("body" in event) == ("content-length" in event["headers"])


@pytest.mark.parametrize("name", names_of_kind("HttpApi"))
def test_http_sample_carries_the_key_of_the_local_stack_or_none(name: str) -> None:
    key, text = operator_key()
    headers = sample(name)["headers"]

    assert headers.get("actionhub-key", text) == text
    if "authorization" in headers:
        assert f"Credential={key.key_id}/" in headers["authorization"]


def test_queue_sample_has_the_form_of_sqs_and_holds_our_messages() -> None:
    (of_aws,) = sample_of_aws("sqs/Sqs.json")["Records"]
    records = sample("ingest/queued-events")["Records"]

    assert len(records) == 2
    for record in records:
        assert record.keys() == of_aws.keys()
        assert record["attributes"].keys() == of_aws["attributes"].keys()
        assert record["md5OfBody"] == hashlib.md5(record["body"].encode(), usedforsecurity=False).hexdigest()
        assert EventMessage.from_json(record["body"], now=2e9).program_id == "demo"


def test_bus_sample_matches_the_rule(template: Document) -> None:
    event = sample("ingest/bus-events")
    pattern = template["Resources"]["IngestFunctionBusEvents"]["Properties"]["EventPattern"]

    assert event.keys() == {
        *("version", "id", "detail-type", "source", "account", "time", "region", "resources", "detail")
    }
    assert event["source"] in pattern["source"]
    assert event["detail"] == {"program_id": "demo", **json.loads(sample("collect/post-events")["body"])}


def test_inbox_sample_matches_the_rule_and_is_of_the_file_that_is_dropped(template: Document) -> None:
    event = sample("ingest/inbox-files")
    pattern = template["Resources"]["IngestFunctionInboxFiles"]["Properties"]["EventPattern"]
    new = event["detail"]["object"]

    assert event.keys() == sample("ingest/bus-events").keys()
    assert event["source"] in pattern["source"]
    assert event["detail-type"] in pattern["detail-type"]
    assert pattern["detail"] == {
        "bucket": {"name": [{"Ref": "Artifacts"}]},
        "object": {"key": [{"prefix": "inbox/"}]},
    }
    assert new["key"].startswith("inbox/demo/")
    assert new["etag"] == hashlib.md5(DROPPED_FILE, usedforsecurity=False).hexdigest()
    assert new["size"] == len(DROPPED_FILE)


@pytest.mark.parametrize("name", names_of_kind("CloudWatchLogs"))
def test_log_sample_has_the_form_of_a_subscription_and_holds_decisions(name: str) -> None:
    of_aws = CloudWatchLogsEvent(sample_of_aws("cloudwatch/CloudwatchLogs.json")).parse_logs_data()
    data = CloudWatchLogsEvent(sample(name)).parse_logs_data()

    assert data.raw_event.keys() == of_aws.raw_event.keys()
    assert data.message_type == of_aws.message_type
    for line, line_of_aws in zip(data.log_events, of_aws.log_events, strict=False):
        assert line.raw_event.keys() == line_of_aws.raw_event.keys()
    decisions = [Decision.from_members(json.loads(line.message)["decision"]) for line in data.log_events]
    assert {decision.program for decision in decisions} == {"demo"}
    assert {f"{decision.dialect}" for decision in decisions} == {
        {"decisions/actions-answers": "actionhub", "decisions/recommendations-answers": "personalize"}[name]
    }


def test_schedule_sample_is_what_the_schedule_sends(template: Document) -> None:
    target = the_only(template, "AWS::Scheduler::Schedule")["Properties"]["Target"]

    assert sample("rebase/schedule") == json.loads(target["Input"])
    assert "program_id" not in sample("rebase/schedule")  # which would be one program's rebase
    assert sample("rebase/program").keys() == {"program_id"}


def test_the_documented_bus_event_is_the_sample() -> None:
    (written,) = re.findall(r"```json\n(.*?)```", (ROOT / "docs" / "events.md").read_text(), re.DOTALL)

    documented = json.loads(written)

    assert documented == {name: sample("ingest/bus-events")[name] for name in ("source", "detail-type", "detail")}
