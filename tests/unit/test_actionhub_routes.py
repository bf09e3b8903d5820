"""The route table: what the contract lists, found as Starlette finds it."""

from __future__ import annotations

import pytest

from nextbest.actionhub.inputs import GetSegment, PutLabels, comma_list
from nextbest.actionhub.routes import ROUTES, Found, MethodNotAllowed, Redirected, Unknown, match
from nextbest.web.request import Request

CONTRACT = {
    "GET /users/{user_id}/actions",
    "POST /events",
    "GET /users/{user_id}/labels",
    "GET /users/{user_id}/events",
    "PUT /users/{user_id}/rebase",
    "GET /random/user_id",
    "GET /assets",
    "POST /assets",
    "GET /labels",
    "PUT /labels",
    "GET /programs",
    "POST /programs",
    "GET /program",
    "PUT /program",
    "PUT /program/rebase",
    "GET /program/status",
    "PUT /program/reset",
    "GET /segment",
    "GET /segments",
}
EXTENSIONS = {
    "GET /users/{user_id}/export",
    "DELETE /users/{user_id}",
    "GET /keys",
    "POST /keys",
    "PUT /keys/{key_id}",
    "DELETE /keys/{key_id}",
}


def test_given_the_contract_when_compared_then_every_row_has_its_route() -> None:
    assert {f"{route.method} {route.template}" for route in ROUTES} == CONTRACT | EXTENSIONS


def test_given_a_path_with_a_parameter_when_matched_then_the_parameter_is_read() -> None:
    found = match(Request("GET", "/users/a b/labels"))
    assert isinstance(found, Found)
    assert (found.route.name, found.path_parameters) == ("get_user_labels", {"user_id": "a b"})


@pytest.mark.parametrize("path", ["/", "/user", "/users//actions", "/users/a/b/actions", "/programs/x"])
def test_given_a_path_of_no_route_when_matched_then_it_is_unknown(path: str) -> None:
    assert match(Request("GET", path)) == Unknown()


def test_given_another_method_when_matched_then_the_allowed_ones_are_told() -> None:
    assert match(Request("DELETE", "/assets")) == MethodNotAllowed(("GET", "POST"))


def test_given_a_final_slash_when_matched_then_the_caller_is_sent_to_the_path_without() -> None:
    request = Request("GET", "/users/ä/labels/", query=(("a", "1 2"), ("a", "")))
    assert match(request) == Redirected("/users/%C3%A4/labels?a=1+2&a=")


def test_given_a_request_when_its_route_parses_it_then_the_input_is_typed() -> None:
    found = match(Request("GET", "/segment"))
    assert isinstance(found, Found)
    request = Request("GET", "/segment", {}, (("match_type", "all"), ("min_weight", "0.25")), {"program-id": "cafe"})
    assert found.route.parse(request, now=0.0) == GetSegment("cafe", match_type="all", min_weight=0.25)


def test_given_labels_when_parsed_then_their_weights_are_floats() -> None:
    found = match(Request("PUT", "/labels"))
    assert isinstance(found, Found)
    body = b'{"labels":[{"label":"milk","weight":2}]}'
    headers = {"program-id": "cafe", "content-type": "application/json"}
    parsed = found.route.parse(Request("PUT", "/labels", headers=headers, body=body), now=0.0)
    assert isinstance(parsed, PutLabels)
    assert [(row.label, row.weight, type(row.weight)) for row in parsed.labels] == [("milk", 2.0, float)]


def test_given_a_comma_list_when_read_then_entries_are_distinct_and_stripped() -> None:
    assert comma_list(" b, a,,b , c") == ("b", "a", "c")
    assert comma_list("") == ()
