"""Which function answers what. The list is the expectation; the template, the dialects and the local gateway follow."""

from __future__ import annotations

import json
import re

import pytest
from samcli.lib.providers.api_provider import ApiProvider
from samcli.lib.providers.sam_stack_provider import SamLocalStackProvider

from tests.infrastructure.cloudformation import ROOT, TEMPLATE, Document, the_only

EXPECTED = {
    "Actions": {"GET /users/{user_id}/actions"},
    "Recommendations": {"POST /personalize/action-recommendations"},
    "Collect": {
        "POST /events",
        "POST /personalize/action-interactions",
        "POST /personalize/actions",
        "POST /personalize/events",
        "POST /personalize/items",
        "POST /personalize/users",
    },
    "Console": {"GET /", "GET /console", "GET /console/{page+}", "POST /console/{page+}"},
    "Manage": {
        "$default",
        "DELETE /experiments/{experiment_id}",
        "DELETE /keys/{key_id}",
        "DELETE /users/{user_id}",
        "GET /assets",
        "GET /docs",
        "GET /experiments",
        "GET /experiments/{experiment_id}",
        "GET /experiments/{experiment_id}/report",
        "GET /keys",
        "GET /labels",
        "GET /openapi.json",
        "GET /program",
        "GET /program/decisions/report",
        "GET /program/import_locations",
        "GET /program/model",
        "GET /program/status",
        "GET /programs",
        "GET /random/user_id",
        "GET /segment",
        "GET /segments",
        "GET /users/{user_id}/events",
        "GET /users/{user_id}/export",
        "GET /users/{user_id}/labels",
        "POST /assets",
        "POST /experiments",
        "POST /keys",
        "POST /personalize",
        "POST /programs",
        "PUT /experiments/{experiment_id}",
        "PUT /experiments/{experiment_id}/plan",
        "PUT /experiments/{experiment_id}/promote",
        "PUT /experiments/{experiment_id}/report",
        "PUT /experiments/{experiment_id}/start",
        "PUT /experiments/{experiment_id}/stop",
        "PUT /keys/{key_id}",
        "PUT /labels",
        "PUT /program",
        "PUT /program/decisions/report",
        "PUT /program/import_locations",
        "PUT /program/model",
        "PUT /program/rebase",
        "PUT /program/reset",
        "PUT /users/{user_id}/rebase",
    },
}


def routes(template: Document) -> dict[str, set[str]]:
    """Route keys by function, as the gateway gets them."""
    paths = the_only(template, "AWS::ApiGatewayV2::Api")["Properties"]["Body"]["paths"]
    found: dict[str, set[str]] = {}
    for path, methods in paths.items():
        for method, operation in methods.items():
            uri = operation["x-amazon-apigateway-integration"]["uri"]["Fn::Sub"]
            target = re.search(r"\$\{(\w+?)Function(\.Arn|Aliaslive)\}", uri)
            assert target, uri
            key = path.lstrip("/") if "$default" in path else f"{method.upper()} {path}"
            found.setdefault(target[1], set()).add(key)
    return found


def test_routes_are_the_expected_ones(template: Document) -> None:
    assert routes(template) == EXPECTED


def test_every_endpoint_of_actionhub_has_its_route() -> None:
    expected = set().union(*EXPECTED.values())

    paths = json.loads((ROOT / "docs" / "openapi.json").read_text())["paths"]

    assert {f"{method.upper()} {path}" for path, operations in paths.items() for method in operations} <= expected


def test_no_two_routes_differ_only_in_the_name_of_a_parameter() -> None:
    """An HTTP API refuses those at deployment: it cannot tell them apart."""
    keys = [re.sub(r"\{\w+\}", "{}", key) for route_keys in EXPECTED.values() for key in route_keys]

    assert len(keys) == len(set(keys))


def test_requests_are_throttled(template: Document) -> None:
    settings = the_only(template, "AWS::ApiGatewayV2::Stage")["Properties"]["DefaultRouteSettings"]

    assert settings == {
        "ThrottlingRateLimit": {"Ref": "RequestsPerSecond"},
        "ThrottlingBurstLimit": {"Ref": "RequestBurst"},
    }


@pytest.mark.parametrize("secret", ["path", "body", "sourceIp", "header", "querystring", "authorizer"])
def test_access_log_holds_nothing_about_a_user(template: Document, secret: str) -> None:
    log_format = the_only(template, "AWS::ApiGatewayV2::Stage")["Properties"]["AccessLogSettings"]["Format"]

    assert "$context.routeKey" in log_format
    assert secret.lower() not in log_format.lower()


def test_browsers_of_other_sites_are_not_let_in(template: Document) -> None:
    body = the_only(template, "AWS::ApiGatewayV2::Api")["Properties"]

    assert "x-amazon-apigateway-cors" not in body["Body"]
    assert "CorsConfiguration" not in body


# SAM CLI uses things of its own translator and of jsonschema that those are about to drop.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_sam_local_finds_the_same_routes() -> None:
    """Given SAM CLI's own reading of the template, as `sam local start-api` and `make start` use it."""
    stacks, _ = SamLocalStackProvider.get_stacks(template_file=str(TEMPLATE))
    found: dict[str, set[str]] = {}
    for route in ApiProvider(stacks).api.routes:
        keys = {"$default"} if route.path == "$default" else {f"{method} {route.path}" for method in route.methods}
        found.setdefault(route.function_name.removesuffix("Function"), set()).update(keys)

    assert found == EXPECTED
