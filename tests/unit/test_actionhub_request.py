"""The gateway's event as a request."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from nextbest.web.request import Request, from_payload_v2
from tests.factories import http_event


def event(**changes: Any) -> dict[str, Any]:
    """GET /users/ann/actions as an HTTP API sends it."""
    route_key = changes.pop("routeKey", "GET /users/{user_id}/actions")
    return http_event(
        "GET", "/users/ann/actions", route_key=route_key, **{"headers": {"program-id": "cafe"}, **changes}
    )


def test_path_parameters_follow_the_routes_template() -> None:
    assert from_payload_v2(event()) == Request(
        "GET",
        "/users/ann/actions",
        {"user_id": "ann"},
        (),
        {"program-id": "cafe"},
        b"",
        route="GET /users/{user_id}/actions",
    )


def test_a_path_that_the_gateway_decoded_is_not_decoded_again() -> None:
    request = from_payload_v2(event(rawPath="/users/a%41 b+ñ/actions", pathParameters={"user_id": "a%2541%20b+%C3%B1"}))
    assert request.path_parameters == {"user_id": "a%41 b+ñ"}


def test_a_user_with_a_slash_makes_up_no_parameter() -> None:
    assert from_payload_v2(event(rawPath="/users/a/b/actions")).path_parameters == {}


def test_the_default_route_has_no_path_parameters() -> None:
    assert from_payload_v2(event(routeKey="$default")).path_parameters == {}


OWN_DOMAIN = {"apiId": "a1b2c3", "domainName": "a1b2c3.execute-api.eu-west-1.amazonaws.com"}
CUSTOM_DOMAIN = {"apiId": "a1b2c3", "domainName": "api.example.com"}


def event_at(path: str, route_key: str, *, stage: str = "$default", domain: dict[str, str] | None = None) -> Any:
    """An event whose ``rawPath`` is ``path``."""
    method = "GET" if route_key.startswith("GET") else "POST"
    context = {"stage": stage, "http": {"method": method, "path": path}, **(domain or {})}
    return event(rawPath=path, routeKey=route_key, requestContext=context)


@pytest.mark.parametrize(
    ("stage", "path", "expected"),
    [
        ("dev", "/dev/users/ann/actions", "/users/ann/actions"),
        ("dev", "/users/ann/actions", "/users/ann/actions"),
        ("users", "/users/users/ann/actions", "/users/ann/actions"),
        ("users", "/users/ann/actions", "/users/ann/actions"),
        ("$default", "/users/ann/actions", "/users/ann/actions"),
    ],
)
def test_a_named_stage_is_not_in_the_path(stage: str, path: str, expected: str) -> None:
    request = from_payload_v2(event_at(path, "GET /users/{user_id}/actions", stage=stage))

    assert request.path == expected
    assert request.path_prefix + request.path == path
    assert request.path_parameters == {"user_id": "ann"}


@pytest.mark.parametrize("prefix", ["", "/dev", "/v1", "/dev/v1", "/next/best", "/a base/é", "/users", "/personalize"])
@pytest.mark.parametrize(
    ("route_key", "path"),
    [
        ("GET /users/{user_id}/actions", "/users/ann/actions"),
        ("GET /users/{user_id}/actions", "/users/a%41 b+ñ?#/actions"),
        ("GET /program", "/program"),
        ("POST /events", "/events"),
        ("POST /personalize/action-recommendations", "/personalize/action-recommendations"),
        ("POST /personalize/events", "/personalize/events"),
        ("POST /personalize", "/personalize"),
        ("GET /console", "/console"),
        ("GET /console/{page+}", "/console/sign-in"),
        ("POST /console/{page+}", "/console/programs/demo/rebase"),
        ("GET /console/{page+}", "/console/programs/console/users"),
        ("$default", "/personalize/"),
    ],
)
def test_a_base_path_of_a_custom_domain_is_not_in_the_path(prefix: str, route_key: str, path: str) -> None:
    request = from_payload_v2(event_at(prefix + path, route_key, stage="dev", domain=CUSTOM_DOMAIN))

    assert (request.path_prefix, request.path) == (prefix, path)
    assert request.path_parameters == from_payload_v2(event_at(path, route_key)).path_parameters


@pytest.mark.parametrize("path", ["/users/users/ann/actions", "/dev/users/ann/actions", "/users/a/b/actions"])
def test_slashes_of_an_id_on_the_apis_own_domain_are_no_base_path(path: str) -> None:
    request = from_payload_v2(event_at(path, "GET /users/{user_id}/actions", domain=OWN_DOMAIN))

    assert (request.path_prefix, request.path, request.path_parameters) == ("", path, {})


@pytest.mark.parametrize("prefix", ["", "/dev", "/v1", "/next/best"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/users/a/b/actions"),
        ("GET", "/users///labels"),
        ("DELETE", "/users/a/"),
        ("PUT", "/users/users/a/rebase"),
    ],
)
def test_a_base_path_precedes_a_user_with_a_slash_as_well(prefix: str, method: str, path: str) -> None:
    context = {"stage": "dev", "http": {"method": method, "path": prefix + path}, **CUSTOM_DOMAIN}
    request = from_payload_v2(event(rawPath=prefix + path, routeKey="$default", requestContext=context))

    assert (request.path_prefix, request.path) == (prefix, path)


@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/users/ann/actions"), ("DELETE", "/v1/users/ann")])
def test_what_precedes_a_user_without_a_slash_on_the_default_route_is_no_base_path(method: str, path: str) -> None:
    """The gateway would have found the route."""
    context = {"stage": "$default", "http": {"method": method, "path": path}, **CUSTOM_DOMAIN}
    request = from_payload_v2(event(rawPath=path, routeKey="$default", requestContext=context))

    assert (request.path_prefix, request.path) == ("", path)


@pytest.mark.parametrize(
    ("stage", "path", "expected"),
    [
        ("$default", "/v1/nowhere", ("", "/v1/nowhere")),
        ("dev", "/dev/nowhere/", ("/dev", "/nowhere/")),
        ("dev", "/dev", ("", "/dev")),
        ("dev", "/dev/personalize/", ("/dev", "/personalize/")),
    ],
)
def test_only_what_is_known_is_cut_off_the_path_of_the_default_route(
    stage: str, path: str, expected: tuple[str, str]
) -> None:
    request = from_payload_v2(event_at(path, "$default", stage=stage, domain=OWN_DOMAIN))

    assert (request.path_prefix, request.path) == expected


def test_repeated_and_empty_query_parameters_are_all_there_in_order() -> None:
    request = from_payload_v2(
        event(
            rawQueryString="limit=1&limit=&x=a+b%20c%2C&&=e&flag",
            queryStringParameters={"limit": "1,", "x": "a b c,"},
        )
    )
    assert request.query == (("limit", "1"), ("limit", ""), ("x", "a b c,"), ("", "e"), ("flag", ""))


def test_names_of_headers_are_lower_case() -> None:
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
def test_any_body_is_the_bytes_that_were_sent(body: str | None, encoded: bool, expected: bytes) -> None:
    assert from_payload_v2(event(body=body, isBase64Encoded=encoded)).body == expected


def test_the_optional_parts_of_an_event_may_be_absent() -> None:
    bare = {"rawPath": "/", "requestContext": {"http": {"method": "GET"}}}
    assert from_payload_v2(bare) == Request("GET", "/")
