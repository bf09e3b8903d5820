"""No request with the key of one program reads, changes or infers anything of another one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contract.personalize_clients import USERS, Personalize, arn, error_of
from tests.contract.stacks import RunningStack

pytestmark = pytest.mark.stack

OPENAPI = Path(__file__).resolve().parents[2] / "docs" / "openapi.json"
USER = "ada"
EVENTS = [
    {"user_id": USER, "event_timestamp": "2026-01-01T00:00:00Z", "event_type": "order", "asset_id": "t", "labels": []}
]
# The same length, so that nothing but existence tells the two apart.
OTHER, MISSING = "isolated-b", "isolated-c"
BODIES: dict[str, Any] = {
    "post_events": {"events": EVENTS},
    "post_assets": {"assets": [{"asset_id": "t", "asset_name": "stolen"}]},
    "put_labels": {"labels": [{"label": "hot", "weight": 0.0}]},
    "put_program": {"program_name": "stolen"},
    "post_programs": {"program_name": "stolen"},
    "put_import_locations": {"import_locations": ["s3://stolen/"]},
    "post_experiments": {"name": "stolen", "kind": "holdout", "share": 0.5},
    "put_experiment": {"name": "stolen"},
    "put_program_model": {},
    "put_decision_report": {},
}


@dataclass(frozen=True, slots=True)
class Route:
    """One operation of the document."""

    method: str
    template: str
    name: str
    tag: str


ROUTES = [
    Route(method.upper(), path, operation["operationId"], *operation["tags"])
    for path, operations in json.loads(OPENAPI.read_text())["paths"].items()
    for method, operation in operations.items()
]
# The others are about no one program; the tests further down are theirs.
ROUTES_OF_A_PROGRAM = [
    route for route in ROUTES if route.name not in ("post_programs", "post_keys") and route.tag != "keys"
]
RECIPE = "arn:aws:personalize:::recipe/aws-next-best-action"
EXPECTED = {"detail": "Could not validate API KEY"}


@dataclass(frozen=True, slots=True)
class World:
    """Keys of program A: of every scope; what the table holds of program B, and B's own key id."""

    keys: tuple[str, ...]
    stack: RunningStack
    other_key: str
    http: httpx.Client

    def of_other(self) -> list[str]:
        """Everything at rest that has to do with B."""
        pages = self.stack.dynamodb.get_paginator("scan").paginate(TableName=self.stack.tables[0], ConsistentRead=True)
        texts = [json.dumps(item, sort_keys=True, default=repr) for page in pages for item in page["Items"]]
        return sorted(text for text in texts if OTHER in text)

    def send(self, method: str, path: str, key: str, program_id: str, body: object, query: str) -> httpx.Response:
        headers = {"actionhub-key": key, "program-id": program_id}
        return self.http.request(method, f"{path}{query}", headers=headers, json=body)


@pytest.fixture(scope="module")
def world(stack: RunningStack, operator: httpx.Client) -> Iterator[World]:
    made = operator.post("/programs", json={"program_name": "a", "program_id": "isolated-a"}).json()
    other = operator.post("/programs", json={"program_name": "b", "program_id": OTHER}).json()
    scopes = (["read"], ["write"], ["read", "write"])
    narrow = [
        operator.post("/keys", json={"programs": ["isolated-a"], "scopes": scope, "name": "n"}).json()["api_key"]
        for scope in scopes
    ]
    headers = {"program-id": OTHER}
    assert operator.post("/events", json={"events": EVENTS}, headers=headers).status_code == 200
    operator.post("/assets", json={"assets": [{"asset_id": "t", "asset_name": "Tea"}]}, headers=headers)
    with httpx.Client(base_url=stack.url, timeout=30) as http:
        yield World((made["api_key"], *narrow), stack, other["api_key"], http)


@given(
    route=st.sampled_from(ROUTES_OF_A_PROGRAM),
    key=st.integers(0, 3),
    user_id=st.sampled_from([USER, "nobody", "ada%20x", OTHER, f"x%23U%23{OTHER}"]),
    query=st.sampled_from(["", "?force_refresh=true", "?search=Tea", "?limit=1&page=2", "?asset_ids=t&min_weight=0"]),
)
@settings(max_examples=150, deadline=None)
def test_calls_about_another_program_are_refused_as_if_it_did_not_exist(
    world: World, route: Route, key: int, user_id: str, query: str
) -> None:
    path = route.template.replace("{user_id}", user_id).replace("{experiment_id}", "e")
    body = BODIES.get(route.name)

    told = [world.send(route.method, path, world.keys[key], program_id, body, query) for program_id in (OTHER, MISSING)]

    there, missing = ((answer.status_code, answer.json()) for answer in told)
    assert there == missing
    if route.name == "get_programs":
        # What the key does not open is not found, whether it exists or not
        assert there == (404, {"detail": "Program not found"})
    else:
        assert there == (403, EXPECTED)


def test_nothing_of_another_program_was_changed_by_any_call(world: World) -> None:
    before = world.of_other()
    assert any('"t"' in text or "#t" in text for text in before)

    for route in ROUTES:
        for key in world.keys:
            if route.name in ("post_programs", "post_keys"):
                continue  # of no program yet; the tests below
            path = route.template.replace("{user_id}", USER).replace("{key_id}", world.other_key.partition(".")[0])
            answer = world.send(route.method, path, key, OTHER, BODIES.get(route.name), "")
            assert OTHER not in answer.text
            assert "Tea" not in answer.text

    assert world.of_other() == before


def test_keys_of_another_program_are_not_there(world: World) -> None:
    administrator = world.keys[0]
    other_id = world.other_key.partition(".")[0]
    assert other_id not in world.send("GET", "/keys", administrator, "", None, "").text
    for method in ("PUT", "DELETE"):
        told = [
            world.send(method, f"/keys/{key_id}", administrator, "", None, "")
            for key_id in (other_id, other_id[:-1] + "0")
        ]
        assert {(answer.status_code, answer.text) for answer in told} == {(404, '{"detail":"Key not found"}')}
    for program_ids in ([OTHER], [MISSING], ["isolated-a", OTHER], ["isolated-a", MISSING], []):
        body = {"programs": program_ids, "scopes": ["admin"], "name": "more"}
        answer = world.send("POST", "/keys", administrator, "", body, "")
        assert (answer.status_code, answer.json()) == (403, EXPECTED), program_ids
    for program_id in (OTHER, MISSING):
        body = {"program_name": "mine now", "program_id": program_id}
        answer = world.send("POST", "/programs", administrator, "", body, "")
        assert (answer.status_code, answer.json()) == (403, EXPECTED)


def refusal(operation: Callable[..., object], **arguments: str) -> str:
    """Code and words of the error that a call ends with."""
    with pytest.raises(ClientError) as refused:
        operation(**arguments)
    return f"{error_of(refused.value)} {refused.value.response['Error']['Message']}"


def test_personalize_resources_of_another_program_are_refused_as_if_they_did_not_exist(world: World) -> None:
    clients = Personalize.at(world.stack.url, world.keys[0])
    control = clients.control

    def told(program_id: str) -> list[str]:
        group, campaign = arn("dataset-group", program_id), arn("campaign", program_id)
        refusals = [
            refusal(clients.runtime.get_action_recommendations, campaignArn=campaign, userId=USER),
            refusal(control.describe_dataset_group, datasetGroupArn=group),
            refusal(control.delete_dataset_group, datasetGroupArn=group),
            refusal(control.describe_campaign, campaignArn=campaign),
            refusal(control.create_filter, name="f", datasetGroupArn=group, filterExpression="x"),
        ]
        return [text.replace(program_id, "PROGRAM") for text in refusals]

    try:
        assert told(OTHER) == told(MISSING)
        assert OTHER not in str(control.list_dataset_groups()["datasetGroups"])
        assert OTHER not in str(control.list_campaigns()["campaigns"])
    finally:
        clients.close()


def test_both_programs_may_give_their_resources_the_same_names(world: World) -> None:
    owned = []
    for program_id, key in (("isolated-a", world.keys[0]), (OTHER, world.other_key)):
        clients = Personalize.at(world.stack.url, key)
        control, group = clients.control, arn("dataset-group", program_id)
        try:
            control.create_schema(name="mine", schema=json.dumps({**USERS, "doc": program_id}))
            expression = f'EXCLUDE ActionID WHERE Action_Interactions.EVENT_TYPE IN ("{program_id}")'
            control.create_filter(name="mine", datasetGroupArn=group, filterExpression=expression)
            control.create_solution(name="mine", datasetGroupArn=group, recipeArn=RECIPE)
        finally:
            clients.close()
        owned.append((program_id, key))
    for program_id, key in owned:
        clients = Personalize.at(world.stack.url, key)
        control = clients.control
        try:
            described = control.describe_filter(filterArn=arn("filter", "mine"))["filter"]
            assert program_id in described["filterExpression"]
            assert described["datasetGroupArn"] == arn("dataset-group", program_id)
            schema = control.describe_schema(schemaArn=arn("schema", "mine"))["schema"]["schema"]
            assert json.loads(schema)["doc"] == program_id
            for lists, name in (
                ("list_filters", "Filters"),
                ("list_schemas", "schemas"),
                ("list_solutions", "solutions"),
            ):
                names = [row["name"] for row in getattr(control, lists)()[name]]
                # Beside it there is what the program implicitly has, which is named after it.
                assert [each for each in names if each.partition("/")[0] != program_id] == ["mine"]
        finally:
            clients.close()
