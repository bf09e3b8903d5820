"""What clients put, what becomes of it, and lists page by page.

Source: docs/contracts/personalize.md, section 5.3 and the checklist of section 12.
"""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

import pytest

from tests.contract.conftest import Program
from tests.contract.personalize_clients import Personalize, arn

DAY = 86_400
NOW = int(time.time())


def interaction(action: str = "a", **members: Any) -> dict[str, Any]:
    return {"actionId": action, "sessionId": "s", "timestamp": NOW - DAY, "eventType": "Taken", **members}


def put(clients: Personalize, program: Program, *interactions: dict[str, Any]) -> None:
    clients.events.put_action_interactions(trackingId=program.program_id, actionInteractions=list(interactions))


def base_weights(program: Program, user_id: str) -> dict[str, float]:
    """What ActionHub tells of the user, by asset."""
    answer = program.http.get(f"/users/{user_id}/actions").json()
    return {entry["asset_id"]: entry["base_weight"] for entry in answer["actions"]}


def test_what_a_session_did_becomes_its_user_s(clients: Personalize, program: Program) -> None:
    put(clients, program, interaction("before", sessionId="visit"))
    assert set(clients.recommend(program.program_id, "visit")) == {"before"}
    assert clients.recommend(program.program_id, "ada") == {}

    put(clients, program, interaction("after", sessionId="visit", userId="ada"))

    assert set(clients.recommend(program.program_id, "ada")) == {"before", "after"}


def test_a_deleted_user_s_session_is_forgotten_too(clients: Personalize, program: Program) -> None:
    put(clients, program, interaction("before", sessionId="visit"))
    put(clients, program, interaction("known", sessionId="visit", userId="alice"))
    put(clients, program, interaction("later", sessionId="visit"))

    deletion = program.http.delete("/users/alice").json()

    assert (deletion["events"], deletion["histories"]) == (2, 1)
    assert program.http.get("/users/visit/export").status_code == 404
    after = time.time() + 60  # what is dated before the deletion is joined to nobody
    put(clients, program, interaction("again", sessionId="visit", timestamp=after))
    assert program.http.get("/users/alice/export").status_code == 404
    put(clients, program, interaction("back", sessionId="visit", userId="alice", timestamp=after))
    events = program.http.get("/users/alice/export").json()["events"]
    assert {event["asset_id"] for event in events} == {"again", "back"}
    assert {event["session_id"] for event in events} == {"visit"}


@pytest.mark.parametrize(
    "again",
    [{}, {"eventId": "e"}, {"eventId": "e", "timestamp": NOW - DAY - 9}],
    ids=["the same record", "the same event id", "the same event id at another time"],
)
def test_a_repeated_put_counts_once(clients: Personalize, program: Program, again: dict[str, Any]) -> None:
    first = {name: value for name, value in again.items() if name == "eventId"}
    put(clients, program, interaction(userId="ada", **first))
    weights = base_weights(program, "ada")

    put(clients, program, interaction(userId="ada", **again))

    assert base_weights(program, "ada") == pytest.approx(weights, rel=1e-4)
    assert list(weights) == ["a"]


def test_a_call_takes_ten_records(clients: Personalize, program: Program) -> None:
    eleven = [interaction(f"a{number}", userId="ada") for number in range(11)]
    with pytest.raises(clients.events.exceptions.InvalidInputException) as refused:
        put(clients, program, *eleven)

    assert "actionInteractions" in refused.value.response["message"]
    assert clients.recommend(program.program_id, "ada") == {}
    put(clients, program, *eleven[:10])
    assert len(base_weights(program, "ada")) == 10


@pytest.mark.parametrize(
    ("properties", "told"),
    [
        ("{", "JSON object"),
        ("[1]", "JSON object"),
        *[
            (json.dumps({key: "1"}), f"reserved key {key}")
            for key in ("userId", "SESSIONID", "eventType", "timestamp", "recommendationId", "impression")
        ],
    ],
)
def test_properties_that_cannot_be_are_refused(
    clients: Personalize, program: Program, properties: str, told: str
) -> None:
    with pytest.raises(clients.events.exceptions.InvalidInputException) as refused:
        put(clients, program, interaction(userId="ada", properties=properties))

    assert told in refused.value.response["message"]


def test_a_token_leads_to_the_next_page_of_its_own_list_alone(clients: Personalize, program: Program) -> None:
    control, group = clients.control, arn("dataset-group", program.program_id)
    names = [f"page-{uuid.uuid4().hex[:12]}" for _ in range(5)]
    for name in names:
        expression = 'EXCLUDE ActionID WHERE Action_Interactions.EVENT_TYPE IN ("*")'
        control.create_filter(name=name, datasetGroupArn=group, filterExpression=expression)

    pages = list(
        control.get_paginator("list_filters").paginate(datasetGroupArn=group, PaginationConfig={"PageSize": 2})
    )

    assert [len(page["Filters"]) for page in pages] == [2, 2, 1]
    assert sorted(entry["name"] for page in pages for entry in page["Filters"]) == sorted(names)
    token = pages[0]["nextToken"]
    for arguments in ({"datasetGroupArn": group, "nextToken": "no-token"}, {"nextToken": token}):
        with pytest.raises(control.exceptions.InvalidNextTokenException):
            control.list_filters(**arguments)
    with pytest.raises(control.exceptions.InvalidNextTokenException):
        control.list_campaigns(nextToken=token)
