"""The page Segments: the users of one, its files, all of them, and computing them again."""

from __future__ import annotations

import html
import json
import re
import time
from functools import partial
from typing import Any
from urllib.parse import urlencode

import pytest

from nextbest.domain.access_keys import READ
from nextbest.domain.assets import Asset
from nextbest.domain.catalogue import Catalogue
from nextbest.domain.events import Event
from nextbest.logic.segment_reading import SegmentCache, StoredSegments
from nextbest.logic.segments import members_of
from nextbest.store.environment import open_artifacts
from tests.functions.conftest import PROGRAM, Functions
from tests.functions.console.conftest import Browser, Shown, key_with
from tests.functions.test_samples import run

HOSTILE = '"><script>alert(1)</script>\u202eא😀'


def segments_of(functions: Functions, kind: str) -> StoredSegments:
    return SegmentCache(functions.store, open_artifacts(clock=time.time)).segments_of(PROGRAM.incarnation, kind)


def members(functions: Functions, kind: str, asset_id: str, min_weight: float) -> list[tuple[str, float]]:
    """What the API's logic says."""
    found = members_of(
        segments_of(functions, kind),
        Catalogue(),
        asset_ids=(asset_id,),
        labels=(),
        event_types=(),
        min_weight=min_weight,
        match_all=False,
    )
    return [(member.user_id, member.weight) for part in found.in_parts() for member in part]


def users_shown(shown: Shown) -> list[str]:
    return [html.unescape(user) for user in re.findall(r'user_id=([^"]+)"', shown.body)]


@pytest.mark.parametrize("kind", ["growth", "discovery", "base"])
@pytest.mark.parametrize("min_weight", [0.0, 0.1, 1.5])
def test_the_users_of_an_action_are_those_that_the_api_gives(learned: Browser, kind: str, min_weight: float) -> None:
    shown = learned.page("segments", event_type="order", asset_id="tea", kind=kind, min_weight=min_weight)

    expected = members(learned.functions, kind, "tea", min_weight)
    verb = "user has" if len(expected) == 1 else "users have"
    assert f"{len(expected)} {verb} at least" in shown.text
    assert users_shown(shown) == [user for user, _ in sorted(expected, key=lambda member: -member[1])]


def test_the_part_that_changes_in_place_says_how_far_the_slider_goes(learned: Browser) -> None:
    path = f"/console/programs/{PROGRAM.program_id}/segments"
    shown = learned.get(path, headers={"hx-request": "true"}, asset_id="cake", kind="base", min_weight="2")

    assert "<html" not in shown.body
    largest = max(weight for _, weight in members(learned.functions, "base", "cake", 0.0))
    assert f'data-sets="weight-slider" data-name="max" data-value="{largest}"' in shown.body


def with_query(query: str, event: dict[str, Any]) -> dict[str, Any]:
    return {**event, "rawQueryString": query}


def test_files_have_the_bytes_of_the_api(learned: Browser) -> None:
    path = f"/console/programs/{PROGRAM.program_id}/segments/download"
    for written, content_type in (("plain", "text/plain"), ("csv", "text/csv")):
        query = f"asset_ids=tea&action_types=order&min_weight=0.05&format={written}"
        answer = run(learned.functions, "manage/get-segment", partial(with_query, query))
        assert answer["statusCode"] == 200

        file = learned.get(path, asset_id="tea", event_type="order", min_weight="0.05", kind="growth", format=written)

        assert file.body
        assert file.body == answer["body"]
        assert file.headers["content-type"] == answer["headers"]["content-type"]
        assert file.headers["content-type"].startswith(content_type)
        assert file.headers["content-disposition"].startswith("attachment")


def test_a_label_s_segment_is_that_of_its_assets(learned: Browser) -> None:
    learned.functions.store.put_assets(PROGRAM.incarnation, [Asset("club", "Club", ("members",))])

    shown = learned.page("segments", label="members", kind="base", min_weight="0")

    assert sorted(users_shown(shown)) == sorted(user for user, _ in members(learned.functions, "base", "club", 0.0))
    assert "labels=members" in html.unescape(shown.body)
    everything = learned.page("segments/all", basis="labels", kind="base", min_weight="0")
    assert "members" in everything.text
    assert "label=members" in everything.body


def test_all_segments_are_listed_with_their_sizes_in_pages(learned: Browser) -> None:
    query = "segment_basis=assets&segment_type=base&min_weight=0.5&size=100"
    answer = run(learned.functions, "manage/get-segments", lambda event: {**event, "rawQueryString": query})
    items = json.loads(answer["body"])["items"]
    assert len(items) == 5

    shown = learned.page("segments/all", kind="base", min_weight="0.5", page="1")

    rows = re.findall(r"<tr>(?!<th)(.*?)</tr>", shown.body, flags=re.DOTALL)
    written = [re.sub(r"<[^>]*>|\s+", " ", row).split() for row in rows]
    assert [[row[0], row[-2]] for row in written] == [[item["action_type"], str(item["user_count"])] for item in items]
    assert learned.page("segments/all", kind="base", page="7").status == 200
    assert learned.page("segments/all", kind="base", page="x").status == 200


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ({"min_weight": "much"}, "The least weight is a number of at least 0"),
        ({"min_weight": "-1"}, "The least weight is a number of at least 0"),
        ({"min_weight": "nan"}, "The least weight is a number of at least 0"),
        ({"min_weight": "inf"}, "The least weight is a number of at least 0"),
        ({"kind": "other"}, "A segment is of one of the kinds"),
        ({"event_type": "ordr"}, "Unknown event types"),
        ({"event_type": HOSTILE}, "Unknown event types"),
    ],
)
def test_a_choice_that_is_none_is_said_to_be(learned: Browser, query: dict[str, str], problem: str) -> None:
    shown = learned.page("segments", **query)

    assert problem in shown.text
    assert "<script>alert" not in shown.body
    path = f"/console/programs/{PROGRAM.program_id}/segments/download"
    refused = learned.get(f"{path}?{urlencode(query)}")
    assert (refused.status, problem in refused.text) == (400, True)


def test_an_action_that_nobody_has_a_weight_for_has_no_users(learned: Browser) -> None:
    shown = learned.page("segments", asset_id=HOSTILE, min_weight="0")

    assert "0 users have" in shown.text
    assert "Nobody has a weight for it" in shown.text
    assert "<script>alert" not in shown.body


def test_a_program_without_segments_says_so(browser: Browser) -> None:
    for page in ("segments", "segments/all"):
        assert "The program has no segments yet: rebase it first" in browser.page(page).text
    assert browser.get(f"/console/programs/{PROGRAM.program_id}/segments/download").status == 404
    assert browser.submit("segments/refresh").status == 404


def test_segments_that_cannot_be_read_are_said_to_be(learned: Browser) -> None:
    pointer = learned.functions.store.segments(PROGRAM.incarnation)
    assert pointer is not None
    open_artifacts(clock=time.time).put(pointer.manifest, b"damaged")
    learned.functions.modules.pop("console", None)

    for page in ("segments", "segments/all"):
        assert "a model file has at least 32 bytes" in learned.page(page).text


def test_computing_again_takes_a_key_that_reads_as_by_the_api_and_shows_when_it_is_done(learned: Browser) -> None:
    reader = Browser(learned.functions)
    reader.sign_in(key_with(learned.functions, READ))

    started = reader.submit("segments/refresh")

    assert started.status == 303
    assert "Invoke" in learned.functions.operations
    assert "being computed again" in reader.get(started.headers["location"]).text
    progress = started.headers["location"].replace("/segments?", "/segments/progress?")
    assert "being computed again" in reader.get(progress, headers={"hx-request": "true"}).text

    run(learned.functions, "rebase/program", lambda event: {**event, "only": "segments"})
    done = reader.get(progress, headers={"hx-request": "true"})
    assert (done.status, done.headers["hx-redirect"]) == (204, f"/console/programs/{PROGRAM.program_id}/segments")
    assert "being computed again" not in reader.get(started.headers["location"]).text


def test_users_with_hostile_ids_are_text_and_linked(learned: Browser) -> None:
    learned.functions.store.append(PROGRAM, [Event(HOSTILE, round(time.time() * 1e6) - 60_000_000, "order", "tea")])
    run(learned.functions, "rebase/program", lambda event: {**event, "only": "segments"})

    shown = learned.page("segments", asset_id="tea", kind="base", min_weight="0")

    assert "<script>alert" not in shown.body
    assert html.escape(HOSTILE).replace("&quot;", "&#34;") in shown.body
