"""The page of people's rights: a copy of what is held, and deletion with a receipt."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from nextbest.domain.access_keys import READ, WRITE
from nextbest.domain.events import Event
from nextbest.logic import users
from nextbest.store.base import SegmentsPointer
from tests.factories import http_event
from tests.functions.conftest import PROGRAM
from tests.functions.console.conftest import Browser, key_with
from tools.local.key import operator_key

PRIVACY = f"/console/programs/{PROGRAM.program_id}/privacy"


def exported_by_the_api(browser: Browser, user_id: str, **query: str) -> Any:
    route = "GET /users/{user_id}/export"
    event = http_event("GET", f"/users/{user_id}/export", route_key=route, rawQueryString=urlencode(query))
    event["headers"] = {"actionhub-key": operator_key()[1], "program-id": PROGRAM.program_id}
    answer = browser.functions.answer("manage", event)
    assert answer["statusCode"] == 200, answer["body"]
    return json.loads(answer["body"])


def test_the_download_is_the_api_s_export(learned: Browser) -> None:
    event = Event("user-1", 1_700_000_000_123_456, "order", "tea", "id-1", ("<b>",), "web", "r-1", "s-1", 2.5)
    learned.functions.store.append(PROGRAM, [event])
    learned.functions.store.put_user_attributes(PROGRAM.incarnation, "user-1", {"CITY": "Łódź"})

    page = learned.page("privacy", user_id="user-1")
    file = learned.get(f"{PRIVACY}/export?user_id=user-1")

    expected = exported_by_the_api(learned, "user-1")
    assert json.loads(file.body) == expected
    assert expected["memberships"]
    assert file.headers["content-disposition"] == 'attachment; filename="user-1.json"'
    assert file.headers["cache-control"] == "no-store"
    assert f"Events {len(expected['events'])} Attributes 1" in page.text
    assert f"Memberships in segments {len(expected['memberships'])}" in page.text
    assert "Download everything as JSON" in page.text


def test_an_export_of_several_parts_is_downloaded_part_by_part(
    learned: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = exported_by_the_api(learned, "user-1")
    monkeypatch.setattr(users, "EXPORT_BYTES", 4_000)

    events, numbers = [], []
    address: str | None = f"{PRIVACY}?user_id=user-1"
    while address is not None:
        page = learned.get(address)
        download = re.search(rf'href="({PRIVACY}/export[^"]*)"', page.body)
        assert download is not None
        file = learned.get(download[1].replace("&amp;", "&"))
        events += json.loads(file.body)["events"]
        numbers.append(file.headers["content-disposition"].partition("user-1")[2])
        following = re.search(rf'href="({PRIVACY}\?[^"]*)">to the next part', page.body)
        address = following[1].replace("&amp;", "&") if following else None

    assert events == whole["events"]
    assert len(numbers) > 1
    assert numbers[:2] == ['.json"', '-part-2.json"']
    assert learned.get(f"{PRIVACY}?user_id=user-1&next_token=x").status == 400


def test_forgetting_takes_the_id_typed_again_and_gives_a_receipt(learned: Browser) -> None:
    store = learned.functions.store
    session = [Event("s-1", 1_000_000, "view", "tea", session_id="s-1")]
    assert store.claim_session(PROGRAM.incarnation, "s-1", "user-1")
    store.append(PROGRAM, [Event("user-1", 2_000_000, "view", "tea", session_id="s-1"), *session])
    store.put_user_attributes(PROGRAM.incarnation, "user-1", {"CITY": "London"})
    held = exported_by_the_api(learned, "user-1")

    for confirmation in ("", "user-2", "USER-1"):
        refused = learned.submit("privacy/delete", user_id="user-1", confirmation=confirmation)
        assert refused.status == 400
        assert "Nothing was deleted" in refused.text
    assert exported_by_the_api(learned, "user-1") == held

    receipt = learned.submit("privacy/delete", user_id="user-1", confirmation=" user-1 ")

    assert receipt.status == 200
    removed = f"Events {len(held['events'])} Histories 1 Sets of attributes 1"
    assert f"{removed} Memberships in segments {len(held['memberships'])} Sessions 1" in receipt.text
    assert not list(store.events_of(PROGRAM.incarnation, "user-1"))
    assert not list(store.events_of(PROGRAM.incarnation, "s-1"))
    assert (
        "user-1 " not in learned.page("users", q="user-1").text.partition("newer ones too.")[2].partition("user-10")[0]
    )
    for gone in (
        learned.submit("privacy/delete", user_id="user-1", confirmation="user-1"),
        learned.get(f"{PRIVACY}?user_id=user-1"),
    ):
        assert gone.status == 404
        assert "Nothing is held on “ user-1 ”" in gone.text


def test_segments_that_cannot_be_read_stop_the_copy_and_not_the_deletion(browser: Browser) -> None:
    store = browser.functions.store
    store.append(PROGRAM, [Event("ann", 1_000_000, "order", "tea")])
    assert store.point_to_segments(PROGRAM.incarnation, SegmentsPointer("1", "segments/missing/", 1.0))

    page = browser.page("privacy", user_id="ann")

    assert "The segments cannot be read" in page.text
    assert "Download" not in page.text
    assert "Forget them for good" in page.text
    assert browser.submit("privacy/delete", user_id="ann", confirmation="ann").status == 200
    assert not list(store.events_of(PROGRAM.incarnation, "ann"))


def test_it_takes_the_scope_admin(learned: Browser) -> None:
    writer = Browser(learned.functions)
    writer.sign_in(key_with(learned.functions, READ, WRITE))

    page = writer.page("privacy", user_id="user-1")

    assert "takes a key with the scope admin" in page.text
    assert "Memberships" not in page.text
    assert writer.get(f"{PRIVACY}/export?user_id=user-1").status == 403
    assert writer.submit("privacy/delete", user_id="user-1", confirmation="user-1").status == 403
    assert list(learned.functions.store.events_of(PROGRAM.incarnation, "user-1"))


@pytest.mark.parametrize("user_id", ["<script>alert(1)</script>", "\"';\\", "a\u202eb", "😀", "../../x", "a b&c=d"])
def test_hostile_ids_are_shown_as_text_and_name_no_other_files(learned: Browser, user_id: str) -> None:
    learned.functions.store.append(PROGRAM, [Event(user_id, 1_000_000, "order", "tea")])

    page = learned.page("privacy", user_id=user_id)
    file = learned.get(f"{PRIVACY}/export?user_id={quote(user_id, safe='')}")

    assert "<script>alert" not in page.body
    assert user_id in page.text
    assert json.loads(file.body)["user_id"] == user_id
    name = file.headers["content-disposition"].removeprefix('attachment; filename="').removesuffix('"')
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*\.json", name)
    receipt = learned.submit("privacy/delete", user_id=user_id, confirmation=user_id)
    assert receipt.status == 200
    assert "<script>alert" not in receipt.body
