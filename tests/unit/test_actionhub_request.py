"""The gateway's event as a request."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from nextbest.web.request import Request, from_payload_v2


def event(**changes: Any) -> dict[str, Any]:
    """GET /users/ann/actions as an HTTP API sends it."""
    return {
        "version": "2.0",
        "routeKey": "GET /users/{user_id}/actions",
        "rawPath": "/users/ann/actions",
        "rawQueryString": "",
        "headers": {"program-id": "cafe"},
        "requestContext": {"stage": "$default", "http": {"method": "GET", "path": "/users/ann/actions"}},
        "isBase64Encoded": False,
    } | changes


def test_given_a_plain_event_when_read_then_the_path_parameters_follow_the_routes_template() -> None:
    assert from_payload_v2(event()) == Request(
        "GET",
        "/users/ann/actions",
        {"user_id": "ann"},
        (),
        {"program-id": "cafe"},
        b"",
        route="GET /users/{user_id}/actions",
    )


def test_given_a_path_that_the_gateway_decoded_when_read_then_it_is_not_decoded_again() -> None:
    request = from_payload_v2(event(rawPath="/users/a%41 b+ñ/actions", pathParameters={"user_id": "a%2541%20b+%C3%B1"}))
    assert request.path_parameters == {"user_id": "a%41 b+ñ"}


def test_given_a_user_with_a_slash_when_read_then_no_parameter_is_made_up() -> None:
    assert from_payload_v2(event(rawPath="/users/a/b/actions")).path_parameters == {}


def test_given_the_default_route_when_read_then_there_are_no_path_parameters() -> None:
    assert from_payload_v2(event(routeKey="$default")).path_parameters == {}


@pytest.mark.parametrize(
    ("stage", "path", "expected"),
    [
        ("dev", "/dev/users/ann/actions", "/users/ann/actions"),
        ("dev", "/users/ann/actions", "/users/ann/actions"),
        ("users", "/users/users/ann/actions", "/users/ann/actions"),
        ("$default", "/users/ann/actions", "/users/ann/actions"),
    ],
)
def test_given_a_named_stage_when_read_then_the_path_is_without_it(stage: str, path: str, expected: str) -> None:
    context = {"stage": stage, "http": {"method": "GET", "path": path}}
    assert from_payload_v2(event(rawPath=path, requestContext=context)).path == expected


def test_given_repeated_and_empty_query_parameters_when_read_then_all_are_there_in_order() -> None:
    request = from_payload_v2(
        event(
            rawQueryString="limit=1&limit=&x=a+b%20c%2C&&=e&flag",
            queryStringParameters={"limit": "1,", "x": "a b c,"},
        )
    )
    assert request.query == (("limit", "1"), ("limit", ""), ("x", "a b c,"), ("", "e"), ("flag", ""))


def test_given_headers_in_any_case_when_read_then_their_names_are_lower_case() -> None:
    assert from_payload_v2(event(headers={"Program-ID": "Cafe"})).headers == {"program-id": "Cafe"}


@pytest.mark.parametrize(
    ("body", "encoded", "expected"),
    [
        (None, False, b""),
        ("", True, b""),
        ('{"a":"é"}', False, b'{"a":"\xc3\xa9"}'),
        (base64.b64encode(b"\xff\x00").decode(), True, b"\xff\x00"),
        ("\ud800", False, b"\xed\xa0\x80"),
    ],
)
def test_given_any_body_when_read_then_it_is_the_bytes_that_were_sent(
    body: str | None, encoded: bool, expected: bytes
) -> None:
    assert from_payload_v2(event(body=body, isBase64Encoded=encoded)).body == expected


def test_given_an_event_without_optional_parts_when_read_then_they_are_empty() -> None:
    bare = {"rawPath": "/", "requestContext": {"http": {"method": "GET"}}}
    assert from_payload_v2(bare) == Request("GET", "/")
