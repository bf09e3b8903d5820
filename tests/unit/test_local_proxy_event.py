"""The event of the local gateway against the sample that SAM CLI gives for an HTTP API."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tools.local.proxy_event import HttpRequest, proxy_event

NOW = 1_583_348_638.3904
REQUEST = HttpRequest(
    method="POST",
    path="/path/to/resource",
    query="parameter1=value1&parameter1=value2&parameter2=value",
    headers=(
        ("Host", "api.example.com"),
        ("User-Agent", "agent"),
        ("Header1", "value1"),
        ("Header2", "value1"),
        ("header2", "value2"),
        ("Cookie", "cookie1=a; cookie2=b"),
        ("Content-Type", "application/json"),
    ),
    body=b'{"test":"body"}',
    source_ip="192.168.0.1",
    port=3000,
)


def event_for(request: HttpRequest = REQUEST) -> dict[str, Any]:
    return proxy_event(
        request,
        route_key="POST /path/to/{parameter1}",
        path_parameters={"parameter1": "value1"},
        stage="$default",
        now=NOW,
    )


def request_with(**changes: Any) -> HttpRequest:
    values = {name: getattr(REQUEST, name) for name in HttpRequest.__dataclass_fields__}
    return HttpRequest(**{**values, **changes})


def sample() -> dict[str, Any]:
    """AWS's own sample, as SAM CLI brings it along."""
    sam = str(Path(sys.executable).with_name("sam"))
    printed = subprocess.run(
        [sam, "local", "generate-event", "apigateway", "http-api-proxy"],
        env={**os.environ, "SAM_CLI_TELEMETRY": "0", "AWS_DEFAULT_REGION": "us-east-1"},
        capture_output=True,
        check=True,
    )
    event: dict[str, Any] = json.loads(printed.stdout)
    return event


def shape(value: Any) -> Any:
    """Names and types, without the values; of maps with free names only the types of the values."""
    if isinstance(value, dict):
        return {name: shape(member) for name, member in value.items()}
    return type(value).__name__


def test_a_full_request_has_the_shape_of_aws_own_sample() -> None:
    expected = shape(sample())
    # What our API does not have, AWS does not send: client certificates, a gateway's authorizer, stage variables.
    del (
        expected["requestContext"]["authentication"],
        expected["requestContext"]["authorizer"],
        expected["stageVariables"],
    )
    event = shape(event_for())

    free_names = ("headers", "queryStringParameters", "pathParameters")
    for name in free_names:
        assert set(event.pop(name).values()) == set(expected.pop(name).values()) == {"str"}
    assert event == expected


def test_the_values_of_an_event_are_those_of_the_request() -> None:
    event = event_for()

    assert event["rawQueryString"] == REQUEST.query
    assert event["queryStringParameters"] == {"parameter1": "value1,value2", "parameter2": "value"}
    assert event["cookies"] == ["cookie1=a", "cookie2=b"]
    assert event["headers"]["header2"] == "value1,value2"
    assert event["headers"]["host"] == event["requestContext"]["domainName"] == "api.example.com"
    assert event["requestContext"]["http"] == {
        "method": "POST",
        "path": "/path/to/resource",
        "protocol": "HTTP/1.1",
        "sourceIp": "192.168.0.1",
        "userAgent": "agent",
    }


def test_a_time_is_in_clf_and_in_milliseconds() -> None:
    context = event_for()["requestContext"]

    assert context["time"] == "04/Mar/2020:19:03:58 +0000"
    assert context["timeEpoch"] == 1_583_348_638_390


def test_what_does_not_apply_to_a_bare_request_is_absent() -> None:
    bare = request_with(query="", headers=(), body=b"")
    event = proxy_event(bare, route_key="$default", path_parameters={}, stage="$default", now=NOW)

    absent = {"cookies", "queryStringParameters", "pathParameters", "body", "stageVariables"}
    assert not absent & event.keys()
    assert event["rawQueryString"] == ""
    assert event["isBase64Encoded"] is False


@pytest.mark.parametrize(
    ("content_type", "body", "is_text"),
    [
        ("application/json", b"{}", True),
        ("application/json; charset=utf-8", b"{}", True),
        ("TEXT/CSV", b"a,b", True),
        ("application/xml", b"<a/>", True),
        ("application/json", b"\xff\xfe", False),
        ("application/x-www-form-urlencoded", b"a=b", False),
        ("application/x-amz-json-1.1", b"{}", False),
        ("application/octet-stream", b"\x00", False),
        (None, b"{}", False),
    ],
)
def test_only_text_stays_text(content_type: str | None, body: bytes, is_text: bool) -> None:
    headers = () if content_type is None else (("Content-Type", content_type),)
    event = event_for(request_with(headers=headers, body=body))

    assert event["isBase64Encoded"] is not is_text
    assert (event["body"].encode() if is_text else base64.b64decode(event["body"])) == body
