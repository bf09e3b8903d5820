"""Which route a path takes, and what the function is sent then: as an HTTP API of API Gateway does it.

API Gateway decodes the path once, before it looks for the route: ``rawPath`` is decoded, ``%2F`` separates segments.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.infrastructure.cloudformation import TEMPLATE
from tools.local.environments import Invocation
from tools.local.gateway import Gateway

# SAM CLI's own, when it reads a template.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def client() -> FlaskClient:
    """The gateway of the template; every function returns its own name and the event."""

    def invoke(function: str, event: bytes) -> Invocation:
        body = {"function": function, "event": json.loads(event)}
        headers = {"x-function": function, "x-route": body["event"]["routeKey"]}
        return Invocation(json.dumps({"statusCode": 200, "headers": headers, "body": json.dumps(body)}).encode())

    return Gateway(TEMPLATE, port=0, invoke=invoke).app.test_client()


@pytest.mark.parametrize(
    ("method", "path", "function", "route", "raw_path", "parameters"),
    [
        (
            *("GET", "/users/a%20%3F/actions", "ActionsFunction"),
            *("GET /users/{user_id}/actions", "/users/a ?/actions", {"user_id": "a ?"}),
        ),
        (
            *("GET", "/users/a%252Fb/actions", "ActionsFunction"),
            *("GET /users/{user_id}/actions", "/users/a%2Fb/actions", {"user_id": "a%2Fb"}),
        ),
        ("GET", "/users/a%2Fb/actions", "ManageFunction", "$default", "/users/a/b/actions", None),
        ("GET", "/users/%2Fa/actions", "ManageFunction", "$default", "/users//a/actions", None),
        ("DELETE", "/users/a%2F", "ManageFunction", "$default", "/users/a/", None),
        ("GET", "/program/", "ManageFunction", "$default", "/program/", None),
        ("POST", "/personalize/", "ManageFunction", "$default", "/personalize/", None),
        ("GET", "/users/%2E%2E/actions", "ActionsFunction", "GET /users/{user_id}/actions", "/users/../actions", None),
    ],
)
def test_a_path_is_decoded_before_its_route_is_looked_for(
    client: FlaskClient, method: str, path: str, function: str, route: str, raw_path: str, parameters: object
) -> None:
    response: Any = client.open(path, method=method).get_json(force=True)

    assert response["function"] == function
    event = response["event"]
    assert (event["routeKey"], event["rawPath"]) == (route, raw_path)
    if parameters is not None:
        assert event["pathParameters"] == parameters


@pytest.mark.parametrize("path", ["/program", "/users/ann/actions", "/users/ann/labels", "/nowhere", "/"])
def test_head_takes_the_default_route_and_has_no_body(client: FlaskClient, path: str) -> None:
    response = client.head(path)

    assert (response.status_code, response.data) == (200, b"")
    assert (response.headers["x-function"], response.headers["x-route"]) == ("ManageFunction", "$default")
