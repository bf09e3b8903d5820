"""The routes: what the contract lists, found as Starlette finds it, and answered in the order that FastAPI has."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nextbest.actionhub import hot_routes, labels, segments, users
from nextbest.actionhub.api import actionhub_api, document
from nextbest.actionhub.errors import InvalidRequest
from nextbest.actionhub.labels import LabelList
from nextbest.actionhub.parsing import comma_list
from nextbest.actionhub.resolver import validated
from nextbest.web.request import Request
from nextbest.web.response import Response

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
    "GET /experiments",
    "POST /experiments",
    "GET /experiments/{experiment_id}",
    "PUT /experiments/{experiment_id}",
    "DELETE /experiments/{experiment_id}",
    "PUT /experiments/{experiment_id}/start",
    "PUT /experiments/{experiment_id}/stop",
    "PUT /experiments/{experiment_id}/promote",
    "GET /experiments/{experiment_id}/report",
    "PUT /experiments/{experiment_id}/report",
    "PUT /experiments/{experiment_id}/plan",
    "GET /program/decisions/report",
    "PUT /program/decisions/report",
    "GET /program/model",
    "PUT /program/model",
    "GET /program/import_locations",
    "PUT /program/import_locations",
    "GET /users/{user_id}/export",
    "DELETE /users/{user_id}",
    "GET /keys",
    "POST /keys",
    "PUT /keys/{key_id}",
    "DELETE /keys/{key_id}",
}


def answer(request: Request) -> Response:
    """What is answered without looking at the request's values."""
    return actionhub_api().answer(request)


def content(response: Response) -> Any:
    return json.loads(response.body)


def test_every_row_of_the_contract_has_its_route() -> None:
    paths = json.loads(document())["paths"]
    routes = {f"{method.upper()} {path}" for path, operations in paths.items() for method in operations}
    assert routes == CONTRACT | EXTENSIONS


def test_the_parameter_of_a_path_is_read() -> None:
    request = Request("PUT", "/users/a b/rebase", headers={"program-id": "cafe"})
    assert validated(users.router, request) == {"user_id": "a b", "program_id": "cafe"}


@pytest.mark.parametrize("path", ["/", "/user", "/users//actions", "/users/a/b/nothing", "/programs/x"])
def test_a_path_of_no_route_is_unknown(path: str) -> None:
    response = answer(Request("GET", path))
    assert (response.status, content(response)) == (404, {"detail": "Not Found"})


@pytest.mark.parametrize("user_id", ["a/b", "/", "//a", "a/", "users/a", "..", "%2F", "?#", "labels/events", "\n/é"])
@pytest.mark.parametrize(
    ("method", "end"),
    [
        ("GET", "/labels"),
        ("GET", "/events"),
        ("PUT", "/rebase"),
        ("GET", "/export"),
        ("DELETE", ""),
        ("GET", "/actions"),
    ],
)
def test_a_user_id_may_have_any_characters(method: str, end: str, user_id: str) -> None:
    request = Request(method, f"/users/{user_id}{end}", headers={"program-id": "cafe"})
    router = hot_routes.actions_router if end == "/actions" else users.router
    assert validated(router, request)["user_id"] == user_id


def test_a_final_slash_of_an_id_is_never_dropped_where_the_user_would_be_deleted() -> None:
    request = Request("DELETE", "/users/a/", headers={"program-id": "cafe"})
    assert validated(users.router, request)["user_id"] == "a/"


def test_another_method_is_told_the_allowed_ones_in_a_header() -> None:
    response = answer(Request("DELETE", "/assets"))
    assert (response.status, content(response)) == (405, {"detail": "Method Not Allowed"})
    assert response.headers["allow"] == "GET, POST"


def test_a_final_slash_is_redirected_to_the_path_without_it() -> None:
    response = answer(Request("GET", "/users/ä/labels/", query=(("a", "1 2"), ("a", ""))))
    assert (response.status, response.body) == (307, b"")
    assert response.headers["location"] == "/users/%C3%A4/labels?a=1+2&a="


def test_a_route_reads_typed_values() -> None:
    query = (("match_type", "all"), ("min_weight", "0.25"))
    values = validated(segments.router, Request("GET", "/segment", {}, query, {"program-id": "cafe"}))
    assert (values["match_type"], values["min_weight"], values["force_refresh"]) == ("all", 0.25, False)


def test_weights_of_labels_are_floats() -> None:
    body = b'{"labels":[{"label":"milk","weight":2}]}'
    headers = {"program-id": "cafe", "content-type": "application/json"}
    read = validated(labels.router, Request("PUT", "/labels", headers=headers, body=body))["body"]
    assert isinstance(read, LabelList)
    assert [(row.label, row.weight, type(row.weight)) for row in read.labels] == [("milk", 2.0, float)]


@pytest.mark.parametrize("weight", ["1000000.5", "-1e7", "1e308", "NaN", "Infinity", "1e999"])
def test_weights_of_labels_are_bounded(weight: str) -> None:
    body = f'{{"labels":[{{"label":"milk","weight":{weight}}}]}}'.encode()
    headers = {"program-id": "cafe", "content-type": "application/json"}
    with pytest.raises(InvalidRequest) as refusal:
        validated(labels.router, Request("PUT", "/labels", headers=headers, body=body))
    assert refusal.value.detail[0]["loc"] == ("body", "labels", 0, "weight")


def test_entries_of_a_comma_list_are_distinct_and_stripped() -> None:
    assert comma_list(" b, a,,b , c") == ("b", "a", "c")
    assert comma_list("") == ()
