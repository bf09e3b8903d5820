"""Users with any characters in their ids, each in the path of every call about a user."""

from __future__ import annotations

import time
from urllib.parse import quote

import httpx
import pytest

from tests.contract.conftest import Program

pytestmark = pytest.mark.stack

USERS = ["a/b", "/", "a/", "//", "..", "%2F", "?#&=", "a b", "日本/é", "labels/events"]


def test_a_user_with_any_characters_is_read_rebuilt_exported_and_deleted(program: Program) -> None:
    rows = [
        {"user_id": user_id, "event_timestamp": time.time() - 60, "event_type": "order", "asset_id": f"tea-{place}",
         "labels": ["hot"]}
        for place, user_id in enumerate(USERS)
    ]  # fmt: skip
    assert program.http.post("/events", json={"events": rows}).status_code == 200

    for place, user_id in enumerate(USERS):
        # Clients resolve dots between slashes before they send a path.
        path = f"/users/{quote(user_id, safe='').replace('.', '%2E')}"

        def call(method: str, end: str, path: str = path) -> httpx.Response:
            return program.http.request(method, f"{path}{end}")

        assert [row["asset_id"] for row in call("GET", "/events").json()["history"]] == [f"tea-{place}"], user_id
        actions = call("GET", "/actions").json()["actions"]
        assert f"tea-{place}" in [action["asset_id"] for action in actions], user_id
        assert call("GET", "/labels").json()["labels"].keys() == {"hot"}, user_id
        assert call("PUT", "/rebase").status_code == 200, user_id
        assert call("GET", "/export").json()["user_id"] == user_id
        assert call("DELETE", "").json()["events"] == 1, user_id
        assert call("GET", "/events").status_code == 404, user_id


def test_head_is_no_get(program: Program) -> None:
    answer = program.http.head("/program")

    assert (answer.status_code, answer.headers["allow"], answer.content) == (405, "GET, PUT", b"")
