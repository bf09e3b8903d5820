"""Every row of the ActionHub contract with a stock HTTP client against the running stack."""

from __future__ import annotations

import html
import json
import math
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from nextbest.domain.rebase_status import COMPLETE
from tests.contract.conftest import Program
from tests.contract.stacks import RunningStack
from tests.waiting import wait_until

pytestmark = pytest.mark.stack

DAY_SECONDS = 86_400.0
NOW = time.time()
OPENAPI = Path(__file__).resolve().parents[2] / "docs" / "openapi.json"
USERS = 12


def iso(timestamp: float) -> str:
    return datetime.fromtimestamp(timestamp, UTC).isoformat()


def event(user_id: str, asset_id: str, *labels: str, event_type: str = "order", at: float = NOW) -> dict[str, Any]:
    return {
        "user_id": user_id,
        "event_timestamp": iso(at),
        "event_type": event_type,
        "asset_id": asset_id,
        "labels": list(labels),
    }


def post(program: Program, *events: Mapping[str, Any], **query: str) -> dict[str, Any]:
    answer = program.http.post("/events", json={"events": list(events)}, params=query)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def get(program: Program, path: str, **query: str | int | float) -> Any:
    answer = program.http.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(answer: httpx.Response) -> tuple[int, Any]:
    return answer.status_code, answer.json()["detail"]


@pytest.fixture
def rebased(program: Program) -> Program:
    """A program in which everyone often orders espresso, half of all muffins too; learnt."""
    program.http.post(
        "/assets", json={"assets": [{"asset_id": "espresso", "asset_name": "Espresso", "labels": ["hot"]}]}
    )
    events = []
    for user in range(USERS):
        for week in range(1, 9):
            events.append(event(f"user-{user}", "espresso", at=NOW - week * 7 * DAY_SECONDS))
            if user % 2:
                events.append(event(f"user-{user}", "muffin", at=NOW - week * 7 * DAY_SECONDS + 60))
    post(program, *events)
    rebase(program)
    return program


def rebase(program: Program) -> None:
    answer = program.http.put("/program/rebase")
    assert answer.status_code == 200
    assert answer.json()["result"]
    wait_until(lambda: get(program, "/program/status")["status_id"] == COMPLETE, seconds=60)


def test_two_calls_are_enough_to_get_started(program: Program) -> None:
    post(program, event("ada", "espresso", at=NOW - 60))

    (action,) = get(program, "/users/ada/actions")["actions"]

    assert list(action) == ["event_type", "asset_id", "asset_name", "growth_weight", "base_weight"]
    assert (action["event_type"], action["asset_id"], action["asset_name"]) == ("order", "espresso", "espresso")
    assert 0.0 <= action["growth_weight"] <= 1.0
    assert get(program, "/users/ada/actions", allow_repeats="0") == {"actions": []}


def test_base_weights_are_those_of_the_worked_example(program: Program) -> None:
    # Given the contract's half-life of 364 days, and its two events at their ages
    settings = {**get(program, "/program"), "event_relevance_decay": 364}
    assert program.http.put("/program", json=settings).status_code == 200
    sent_at = time.time()
    ages_days = (574.027176, 574.393773)
    post(program, *(event("ada", "Arthur Christmas", at=sent_at - days * DAY_SECONDS) for days in ages_days))

    def weight(now: float) -> float:
        return math.fsum(0.5 ** ((days * DAY_SECONDS + now - sent_at) / (364 * DAY_SECONDS)) for days in ages_days)

    # When read; 1e-9 is the decay of about 70 ms, so the server's clock is known by the call's beginning and end
    before = time.time()
    (action,) = get(program, "/users/ada/actions")["actions"]
    after = time.time()

    # Then it is the published weight, and the formula's
    assert action["base_weight"] == pytest.approx(0.670123, abs=1e-6)
    assert weight(after) - 1e-9 <= action["base_weight"] <= weight(before) + 1e-9
    # And so it is for the example's own dates
    post(program, event("bob", "x", at=datetime(2017, 12, 4, 6, 20, 52, tzinfo=UTC).timestamp()))
    (action,) = get(program, "/users/bob/actions")["actions"]
    age_days = (time.time() - datetime(2017, 12, 4, 6, 20, 52, tzinfo=UTC).timestamp()) / DAY_SECONDS
    assert action["base_weight"] == pytest.approx(0.5 ** (age_days / 364), abs=1e-9)


def test_actions_are_strongest_first_and_at_most_the_limit(rebased: Program) -> None:
    everything = get(rebased, "/users/user-1/actions")["actions"]

    weights = [action["growth_weight"] for action in everything]
    assert weights == sorted(weights, reverse=True)
    assert {action["asset_name"] for action in everything} == {"Espresso", "muffin"}
    assert [action["asset_id"] for action in get(rebased, "/users/user-1/actions", limit=1)["actions"]] == [
        everything[0]["asset_id"]
    ]
    assert [action["asset_id"] for action in get(rebased, "/users/user-0/actions", allow_repeats="off")["actions"]] == [
        "muffin"
    ]


def test_unknown_users_are_not_found_in_the_words_of_the_contract(program: Program) -> None:
    assert refused(program.http.get("/users/nobody/actions")) == (404, "User history not found")
    for method, path in (
        ("GET", "/users/nobody/labels"),
        ("GET", "/users/nobody/events"),
        ("PUT", "/users/nobody/rebase"),
        ("GET", "/users/nobody/export"),
        ("DELETE", "/users/nobody"),
        ("GET", "/random/user_id"),
    ):
        assert refused(program.http.request(method, path)) == (404, "User not found"), path


@pytest.mark.parametrize(
    ("path", "query", "loc", "kind"),
    [
        ("/users/ada/actions", {"limit": "0"}, ["query", "limit"], "greater_than_equal"),
        ("/users/ada/actions", {"limit": "101"}, ["query", "limit"], "less_than_equal"),
        ("/users/ada/actions", {"limit": "ten"}, ["query", "limit"], "int_parsing"),
        ("/users/ada/actions", {"allow_repeats": "maybe"}, ["query", "allow_repeats"], "bool_parsing"),
        ("/assets", {"page": "0"}, ["query", "page"], "greater_than_equal"),
        ("/labels", {"size": "101"}, ["query", "size"], "less_than_equal"),
        ("/segment", {"match_type": "some"}, ["query", "match_type"], "literal_error"),
        ("/segments", {"segment_basis": "users"}, ["query", "segment_basis"], "literal_error"),
    ],
)
def test_values_out_of_bounds_are_refused_as_fastapi_does(
    program: Program, path: str, query: dict[str, str], loc: list[str], kind: str
) -> None:
    status, (error,) = refused(program.http.get(path, params=query))

    assert (status, error["loc"], error["type"]) == (422, loc, kind)
    assert set(error) >= {"type", "loc", "msg", "input"}


def test_the_missing_program_is_refused_at_its_header(stack: RunningStack, program: Program) -> None:
    answer = httpx.get(f"{stack.url}/program", headers={"actionhub-key": program.key})

    assert refused(answer) == (
        422,
        [{"type": "missing", "loc": ["header", "program-id"], "msg": "Field required", "input": None}],
    )


def test_events_out_of_bounds_are_refused_with_their_place_and_none_is_stored(program: Program) -> None:
    too_late = event("ada", "tea", at=time.time() + DAY_SECONDS + 60)
    lacking = {key: value for key, value in event("ada", "tea").items() if key != "labels"}

    answer = program.http.post("/events", json={"events": [event("ada", "tea", at=NOW - 1), too_late, lacking]})

    status, errors = refused(answer)
    assert status == 422
    assert [(error["loc"], error["type"]) for error in errors] == [
        (["body", "events", 1, "event_timestamp"], "less_than_equal"),
        (["body", "events", 2, "labels"], "missing"),
    ]
    assert refused(program.http.get("/users/ada/events")) == (404, "User not found")
    for events in ([], [event("ada", "tea")] * 1001):
        assert program.http.post("/events", json={"events": events}).status_code == 422
    # What a clock ahead by less than a day sends counts
    assert post(program, event("ada", "tea", at=time.time() + DAY_SECONDS - 60))["accepted"] == 1


def test_labels_of_events_assets_and_the_operator_weigh_in(program: Program) -> None:
    program.http.post("/assets", json={"assets": [{"asset_id": "tea", "labels": ["hot", "leaf"]}]})
    program.http.put("/labels", json={"labels": [{"label": "leaf", "weight": 0.5}]})
    half_life_days = get(program, "/program")["event_relevance_decay"]
    post(program, event("ada", "tea", "hot", "app", at=time.time() - half_life_days * DAY_SECONDS))
    post(program, event("ada", "tea", at=time.time()))

    labels = get(program, "/users/ada/labels")["labels"]

    # A label on both the event and its asset counts once: 0.5 + 1; leaf at half the weight; app on the old event alone
    assert list(labels) == ["hot", "leaf", "app"]
    assert labels == pytest.approx({"hot": 1.5, "leaf": 0.75, "app": 0.5}, abs=1e-6)


def test_a_history_is_told_latest_first_with_names_and_both_kinds_of_labels(program: Program) -> None:
    program.http.post("/assets", json={"assets": [{"asset_id": "tea", "asset_name": "Tea", "labels": ["hot"]}]})
    post(program, event("ada", "tea", "app", at=1_700_000_000.25), event("ada", "bun", at=1_700_000_001))

    assert get(program, "/users/ada/events") == {
        "history": [
            {
                "timestamp": "2023-11-14T22:13:21Z",
                "event_type": "order",
                "asset_id": "bun",
                "asset_name": "bun",
                "event_labels": [],
                "asset_labels": [],
            },
            {
                "timestamp": "2023-11-14T22:13:20.250000Z",
                "event_type": "order",
                "asset_id": "tea",
                "asset_name": "Tea",
                "event_labels": ["app"],
                "asset_labels": ["hot"],
            },
        ]
    }
    assert get(program, "/random/user_id") == "ada"


def test_assets_are_changed_in_parts_and_found_in_pages(program: Program) -> None:
    assets = [{"asset_id": f"a{number}", "asset_name": f"Asset {number}", "labels": ["all"]} for number in range(5)]
    assert program.http.post("/assets", json={"assets": assets}).json()["result"]
    program.http.post("/assets", json={"assets": [{"asset_id": "a1", "labels": ["Special"]}]})

    page = get(program, "/assets", page=2, size=2)
    assert (page["total"], page["page"], page["size"]) == (5, 2, 2)
    assert [asset["asset_id"] for asset in page["items"]] == ["a2", "a3"]
    assert get(program, "/assets", page=4, size=2)["items"] == []
    assert get(program, "/assets", search="special")["items"] == [
        {"asset_id": "a1", "asset_name": "Asset 1", "labels": ["Special"]}
    ]
    too_long = program.http.post("/assets", json={"assets": [{"asset_id": "x" * 65, "asset_name": "x" * 125}]})
    assert [error["loc"][-1] for error in refused(too_long)[1]] == ["asset_id", "asset_name"]


def test_labels_are_those_of_assets_and_of_the_operator(program: Program) -> None:
    program.http.post("/assets", json={"assets": [{"asset_id": "tea", "labels": ["hot", "leaf"]}]})
    assert program.http.put("/labels", json={"labels": [{"label": "leaf", "weight": 2}]}).json()["result"]
    program.http.put("/labels", json={"labels": [{"label": "new", "weight": 0}]})

    page = get(program, "/labels")
    assert page["items"] == [
        {"label": "hot", "weight": 1.0},
        {"label": "leaf", "weight": 2.0},
        {"label": "new", "weight": 0.0},
    ]
    assert get(program, "/labels", search="EA", size=1)["items"] == [{"label": "leaf", "weight": 2.0}]


def test_settings_are_kept_and_their_bounds_are_too(program: Program) -> None:
    settings = {
        "program_id": program.program_id,
        "program_name": "Tea house",
        "high_engagement_threshold": 2,
        "event_relevance_decay": 3,
        "action_weight_floor": 0.25,
        "description": "the one at the corner",
    }
    assert program.http.put("/program", json=settings).json()["result"]
    assert get(program, "/program") == settings
    assert get(program, "/programs") == {"programs": [settings]}

    wrong = {"high_engagement_threshold": 1, "event_relevance_decay": 2, "action_weight_floor": 1}
    for field, value in wrong.items():
        status, (error,) = refused(program.http.put("/program", json={**settings, field: value}))
        assert (status, error["loc"]) == (422, ["body", field])
    assert refused(program.http.put("/program", json={}))[1][0]["loc"] == ["body", "program_name"]
    assert get(program, "/program") == settings


def test_a_program_is_created_once_and_its_key_opens_it_alone(operator: httpx.Client, program: Program) -> None:
    again = operator.post("/programs", json={"program_name": "again", "program_id": program.program_id})
    assert again.status_code == 409
    listed = {entry["program_id"] for entry in operator.get("/programs").json()["programs"]}
    assert program.program_id in listed
    assert refused(program.http.post("/programs", json={"program_name": "mine"})) == (403, "Could not validate API KEY")


def test_the_model_is_learnt_and_a_reset_forgets_it_but_no_event(rebased: Program) -> None:
    status = get(rebased, "/program/status")
    assert set(status) == {"program_id", "status_id", "message", "ts_logged"}
    assert status["program_id"] == rebased.program_id
    history = get(rebased, "/users/user-0/events")

    assert rebased.http.put("/program/reset").json()["result"]

    assert get(rebased, "/users/user-0/events") == history
    assert rebased.http.get("/segments").status_code == 404
    assert get(rebased, "/users/user-0/actions", limit=1)["actions"][0]["asset_id"] == "espresso"


def test_segments_agree_with_what_users_are_told(rebased: Program) -> None:
    every = {f"user-{user}" for user in range(USERS)}
    odd = {f"user-{user}" for user in range(1, USERS, 2)}

    def members(**query: str | int | float) -> set[str]:
        answer = rebased.http.get("/segment", params=query)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"].startswith("text/plain")
        return set(answer.text.split())

    assert members(segment_type="base", asset_ids="espresso,muffin") == every
    assert members(segment_type="base", asset_ids="espresso,muffin", match_type="all") == odd
    assert members(segment_type="base", labels="hot") == every
    assert members(segment_type="base", asset_ids="muffin", labels="hot") == odd  # assets win
    assert members(segment_type="base", asset_ids="muffin", action_types=" ,order") == odd
    status, (error,) = refused(rebased.http.get("/segment", params={"action_types": "view, like"}))
    assert (status, error["loc"]) == (422, ["query", "action_types"])
    assert members(segment_type="base", asset_ids="espresso", min_weight=1000) == set()
    assert members(segment_type="discovery", asset_ids="muffin", min_weight=0) == every - odd
    for user in ("user-0", "user-1"):
        told = get(rebased, f"/users/{user}/actions")["actions"]
        weight = {action["asset_id"]: action["growth_weight"] for action in told}["espresso"]
        # Segments are of the time of the rebase; on a busy machine that is a minute ago, and weights change with time.
        assert user in members(asset_ids="espresso", min_weight=weight - 0.01)
        assert user not in members(asset_ids="espresso", min_weight=weight + 1e-4)

    page = get(rebased, "/segments", segment_type="base", segment_basis="assets", min_weight=0, size=1)
    assert (page["total"], page["page"], page["size"]) == (2, 1, 1)
    (segment,) = page["items"]
    assert segment["strength"] > 0
    assert {**segment, "strength": None} == {
        "segment_type": "base",
        "segment_basis": "assets",
        "segment_basis_id": "espresso",
        "action_type": "order",
        "name": "Espresso",
        "user_count": USERS,
        "strength": None,
        "min_weight": 0.0,
    }
    by_label = get(rebased, "/segments", segment_type="base", min_weight=0)["items"]
    assert [(entry["segment_basis"], entry["segment_basis_id"]) for entry in by_label] == [("labels", "hot")]


def test_a_refreshed_segment_has_who_came_since(rebased: Program) -> None:
    post(rebased, event("newcomer", "muffin", at=NOW - 60))
    query = {"segment_type": "base", "asset_ids": "muffin"}

    assert "newcomer" not in rebased.http.get("/segment", params=query).text.split()
    refreshed = rebased.http.get("/segment", params={**query, "force_refresh": "true"})

    assert refreshed.status_code == 200, refreshed.text
    assert "newcomer" in refreshed.text.split()


def test_queued_events_are_answered_at_once_and_arrive(program: Program) -> None:
    told = post(program, event("ada", "tea", at=NOW - 60), event("bob", "tea", at=NOW - 60), queue_updates="true")

    assert told["result"] == "queued 2 events"
    wait_until(lambda: program.http.get("/users/bob/actions").status_code == 200, seconds=20)
    assert len(get(program, "/users/ada/events")["history"]) == 1


def test_back_filled_events_are_stored_and_count_from_the_next_recalculation(program: Program) -> None:
    told = post(program, event("ada", "tea", at=NOW - 60), process_user_actions="false")

    assert told["accepted"] == 1
    assert len(get(program, "/users/ada/events")["history"]) == 1
    assert refused(program.http.get("/users/ada/actions")) == (404, "User history not found")
    assert program.http.put("/users/ada/rebase").json()["result"]
    assert [action["asset_id"] for action in get(program, "/users/ada/actions")["actions"]] == ["tea"]


def test_back_filled_events_count_after_a_rebase_of_the_program(rebased: Program) -> None:
    post(rebased, event("ada", "muffin", at=NOW - 60), process_user_actions="false")

    rebase(rebased)

    assert get(rebased, "/users/ada/actions")["actions"]


def test_what_is_held_on_a_user_is_told_and_forgotten(rebased: Program) -> None:
    told = get(rebased, "/users/user-0/export")
    assert len(told["events"]) == 8
    assert told["memberships"]

    removed = rebased.http.delete("/users/user-0")

    assert removed.status_code == 200
    assert removed.json()["events"] == 8
    assert rebased.http.get("/users/user-0/actions").status_code == 404
    assert rebased.http.get("/users/user-0/export").status_code == 404
    assert "user-0" not in rebased.http.get("/segment", params={"segment_type": "base"}).text.split()


def test_keys_are_rotated_with_an_overlap_and_revoked_within_seconds(stack: RunningStack, program: Program) -> None:
    body = {"programs": [program.program_id], "scopes": ["read"], "name": "till"}
    created = program.http.post("/keys", json=body).json()

    def status(key: str) -> int:
        headers = {"actionhub-key": key, "program-id": program.program_id}
        return httpx.get(f"{stack.url}/program", headers=headers).status_code

    assert status(created["api_key"]) == 200
    headers = {"actionhub-key": created["api_key"], "program-id": program.program_id}
    written = httpx.post(f"{stack.url}/events", headers=headers, json={"events": [event("ada", "tea", at=NOW - 1)]})
    assert refused(written) == (403, "Could not validate API KEY")
    listed = program.http.get("/keys")
    assert created["key_id"] in {key["key_id"] for key in listed.json()["keys"]}
    assert created["api_key"].partition(".")[2] not in listed.text

    rotated = program.http.put(f"/keys/{created['key_id']}", params={"overlap_seconds": 60}).json()
    assert [status(created["api_key"]), status(rotated["api_key"])] == [200, 200]

    assert program.http.delete(f"/keys/{created['key_id']}").json()["active"] is False
    wait_until(lambda: status(rotated["api_key"]) == 403, seconds=6)
    wait_until(lambda: status(created["api_key"]) == 403, seconds=6)


@pytest.mark.parametrize("key", [None, "", "nonsense", "NBKAAAAAAAAAAAAAAAAA.secret"])
def test_a_bad_key_is_refused_in_the_words_of_the_contract(
    stack: RunningStack, program: Program, key: str | None
) -> None:
    headers = {"program-id": program.program_id} | ({} if key is None else {"actionhub-key": key})

    for path in ("/program", "/users/ada/actions", "/users/ada/actions?limit=0", "/keys", "/programs"):
        assert refused(httpx.get(f"{stack.url}{path}", headers=headers)) == (403, "Could not validate API KEY"), path


def test_the_document_is_the_committed_one(stack: RunningStack) -> None:
    assert httpx.get(f"{stack.url}/openapi.json").json() == json.loads(OPENAPI.read_text())


def test_the_docs_page_needs_nothing_from_elsewhere(stack: RunningStack) -> None:
    answer = httpx.get(f"{stack.url}/docs")

    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    elsewhere = r"""(?:src|href|action)\s*=\s*["']?(?!#|/|["'])[^\s>]*|url\(|@import|https?://"""
    # Swagger UI's scripts and styles are in the page, and browsers are told to load nothing else.
    assert re.findall(elsewhere, re.sub(r"<(script|style)>.*?</\1>", "", answer.text, flags=re.DOTALL)) == []
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; script-src 'sha256-")
    text = html.unescape(answer.text)
    document = json.loads(OPENAPI.read_text())
    for path, operations in document["paths"].items():
        assert path in text
        for operation in operations.values():
            assert operation["summary"] in text
