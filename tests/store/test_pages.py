"""Answers in pages: all of a long list, each page within what Lambda returns, for one bounded read a page."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from random import Random
from typing import Any
from urllib.parse import quote

import pytest

from nextbest.actionhub.pages import MAX_ANSWER_BYTES
from nextbest.domain.access_keys import ADMIN, issue_key
from nextbest.domain.assets import Asset
from nextbest.domain.events import Event
from nextbest.domain.programs import Incarnation, Program
from nextbest.domain.times import format_time
from nextbest.logic import users
from nextbest.store.dynamo import DynamoStore
from nextbest.web.frame import MAX_RESPONSE_BYTES
from nextbest.web.page_tokens import token_of
from tests.store.conftest import PROGRAM, create_table, dynamodb
from tests.store.tenants import recorded
from tests.store.test_actionhub_calls import MASTER_SECRET, NOW, Caller

MANY = 40_000
USER = "ann/b"


@pytest.fixture
def call(start_engine: Callable[[str], str]) -> Caller:
    """A program on the engine that is quick enough for many events."""
    table = create_table(dynamodb(start_engine("dynoxide")), f"test-{uuid.uuid4().hex}")
    store = DynamoStore(table)
    store.create_program(PROGRAM)
    return Caller(store, table, random=Random(7))


def events(count: int, *, asset_id: str = "tea", labels: int = 0) -> list[Event]:
    """Events of a user, a second apart, the first at a time before which nothing is."""
    return [
        Event(
            USER,
            (1_600_000_000 + place) * 1_000_000,
            "order",
            asset_id,
            labels=tuple(f"label-{place}-{number}-{'x' * 40}" for number in range(labels)),
        )
        for place in range(count)
    ]


def pages(call: Caller, path: str, *, first: str = "", **headers: str) -> Iterator[dict[str, Any]]:
    """Every page of an answer, each within what Lambda returns."""
    query = first
    while True:
        status, body = call("GET", path, query=query, **headers)
        assert status == 200, body
        assert answer_bytes(body) <= MAX_RESPONSE_BYTES
        yield body
        if body.get("next_token") is None:
            return
        query = f"{first}&next_token={quote(body['next_token'])}"


def answer_bytes(body: object) -> int:
    """Of an answer as Lambda returns it, in which every quotation mark is escaped."""
    return len(json.dumps(json.dumps(body, ensure_ascii=False, separators=(",", ":")), ensure_ascii=False).encode())


def test_many_events_of_a_user_come_whole_in_pages_of_one_read_each(call: Caller) -> None:
    # Given more events than one answer holds
    sent = events(MANY)
    for start in range(0, MANY, 10_000):
        call.store.append(PROGRAM, sent[start : start + 10_000], refresh_histories=False)

    # When they are asked for at once, the refusal says how to page
    status, body = call("GET", f"/users/{USER}/events")
    assert (status, "limit=1000" in body["detail"], "next_token" in body["detail"]) == (429, True, True)

    # Then the pages are all of them, latest first
    with recorded(call.table.client) as calls:
        received = list(pages(call, f"/users/{USER}/events", first="limit=1000"))
    assert [len(page["history"]) for page in received[:-1]] == [1000] * (len(received) - 1)
    times = [row["timestamp"] for page in received for row in page["history"]]
    assert times == [format_time(event.timestamp_us) for event in reversed(sent)]
    reads = [keys for operation, keys in calls.made if operation == "Query" and "#U#" in keys[0]]
    assert len(reads) == len(received)

    # And so are the parts of the export, oldest first
    with recorded(call.table.client) as calls:
        parts = list(pages(call, f"/users/{USER}/export"))
    times = [row["timestamp"] for part in parts for row in part["events"]]
    assert times == [format_time(event.timestamp_us) for event in sent]
    reads = [keys for operation, keys in calls.made if operation == "Query" and "#U#" in keys[0]]
    assert len(reads) == len(parts)


def test_a_page_ends_where_an_answer_would_be_too_large(call: Caller) -> None:
    # Given an asset whose labels make each row of the answer large
    labels = tuple(f"{number:03d}{'😀' * 61}" for number in range(100))
    call.store.put_assets(PROGRAM.incarnation, [Asset("tea", "Tea", labels)])
    sent = events(600)
    call.store.append(PROGRAM, sent, refresh_histories=False)

    received = list(pages(call, f"/users/{USER}/events", first="limit=500"))

    assert len(received) > 2
    assert all(answer_bytes(page) > MAX_ANSWER_BYTES - 100_000 for page in received[:2])
    times = [row["timestamp"] for page in received for row in page["history"]]
    assert times == [format_time(event.timestamp_us) for event in reversed(sent)]


def test_a_history_that_fits_is_answered_as_the_contract_says(call: Caller) -> None:
    call.store.append(PROGRAM, events(3))

    _, whole = call("GET", f"/users/{USER}/events")
    _, page = call("GET", f"/users/{USER}/events", query="limit=3")
    _, labels = call("GET", f"/users/{USER}/labels")

    assert whole.keys() == {"history"}
    assert labels.keys() == {"labels"}
    assert page["history"] == whole["history"]
    assert [row["timestamp"][-3:] for row in whole["history"]] == ["42Z", "41Z", "40Z"]


def test_a_user_who_is_not_there_has_no_page(call: Caller) -> None:
    for path in ("events", "labels", "export"):
        query = "" if path == "export" else "limit=5"
        assert call("GET", f"/users/nobody/{path}", query=query) == (404, {"detail": "User not found"})


def test_labels_of_a_user_come_in_pages_highest_first(call: Caller) -> None:
    call.store.append(PROGRAM, events(60, labels=90), refresh_histories=False)

    _, whole = call("GET", f"/users/{USER}/labels")
    received = list(pages(call, f"/users/{USER}/labels", first="limit=1000"))

    assert [len(page["labels"]) for page in received] == [1000] * 5 + [400]
    assert [item for page in received for item in page["labels"].items()] == list(whole["labels"].items())


def test_programs_and_keys_come_in_pages(call: Caller) -> None:
    for number in range(7):
        program = Program(f"p{number}", incarnation=Incarnation(f"p{number}~1"), description="d" * 2000)
        call.store.create_program(program)
        key, _ = issue_key(MASTER_SECRET, f"NBK{number}", programs=(program.incarnation,), scopes=(ADMIN,))
        call.store.put_access_key(key)
    programs = tuple(Incarnation(f"p{number}~1") for number in range(7))
    several, text = issue_key(MASTER_SECRET, "NBKX", programs=programs, scopes=(ADMIN,))
    call.store.put_access_key(several)

    for key_text in (call.key, text):
        for path, rows, name in (("/programs", "programs", "program_id"), ("/keys", "keys", "key_id")):
            headers = {"actionhub_key": key_text}
            whole = call.without_program("GET", path, **headers)[1][rows]
            received = [page[rows] for page in call_pages(call, path, "limit=3", **headers)]
            assert [row[name] for page in received for row in page] == [row[name] for row in whole]
            assert len(received) >= 3
            assert all(len(page) <= 3 for page in received)


def call_pages(call: Caller, path: str, first: str, **headers: str) -> Iterator[dict[str, Any]]:
    query = first
    while True:
        status, body = call.without_program("GET", path, query=query, **headers)
        assert status == 200, body
        yield body
        if "next_token" not in body:
            return
        query = f"{first}&next_token={quote(body['next_token'])}"


NO_TOKENS = [
    "x",
    "%ff",
    "é",
    token_of("E"),
    token_of("H0"),
    token_of(f"E#{'é' * 600}"),
    token_of("\x00"),
    token_of("9" * 1500),
]


@pytest.mark.parametrize("token", NO_TOKENS)
@pytest.mark.parametrize("path", [f"/users/{USER}/events", f"/users/{USER}/labels", f"/users/{USER}/export"])
def test_what_is_no_token_is_refused(call: Caller, path: str, token: str) -> None:
    call.store.append(PROGRAM, events(3))
    query = f"next_token={quote(token)}" + ("" if path.endswith("export") else "&limit=2")

    status, body = call("GET", path, query=query)

    assert (status, body["detail"][0]["loc"]) == (422, ["query", "next_token"])


def test_a_token_without_a_limit_is_refused(call: Caller) -> None:
    call.store.append(PROGRAM, events(3))
    _, page = call("GET", f"/users/{USER}/events", query="limit=1")

    status, body = call("GET", f"/users/{USER}/events", query=f"next_token={quote(page['next_token'])}")

    assert (status, body["detail"][0]["loc"]) == (422, ["query", "next_token"])


@pytest.mark.parametrize("user_id", ["a/b", "/", "a/", "//", "..", "%2F", "?#", "a b", "日本/é", "labels/events"])
def test_a_user_with_any_characters_is_read_rebuilt_exported_and_deleted(call: Caller, user_id: str) -> None:
    call.store.append(PROGRAM, [Event(user_id, round(NOW - 60) * 1_000_000, "order", "tea", labels=("hot",))])
    path = f"/users/{user_id}"

    status, body = call("GET", f"{path}/actions")
    assert (status, [action["asset_id"] for action in body["actions"]]) == (200, ["tea"])
    assert len(call("GET", f"{path}/events")[1]["history"]) == 1
    assert call("GET", f"{path}/labels")[1]["labels"].keys() == {"hot"}
    assert call("PUT", f"{path}/rebase")[0] == 200
    assert call("GET", f"{path}/export")[1]["user_id"] == user_id
    assert call("DELETE", path)[1]["events"] == 1
    assert call("GET", f"{path}/export") == (404, {"detail": users.USER_NOT_FOUND})
