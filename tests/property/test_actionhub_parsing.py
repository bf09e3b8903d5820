"""The hand-written reading of POST /events against pydantic's: where the former accepts, it reads the same."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from nextbest.actionhub.errors import InvalidRequest
from nextbest.actionhub.hot_routes import read_post_events
from nextbest.actionhub.parsing import PostEvents, parse_post_events
from nextbest.web.request import Request
from tests.property.actionhub_reference import NOW

digits = st.integers(0, 99).map("{:02}".format)
times = st.builds(
    "{}-{}-{}{}{}:{}:{}{}{}".format,
    st.sampled_from(["1969", "1970", "2000", "2024", "2025", "2026", "2027", "0001", "9999"]),
    st.sampled_from(["01", "02", "03", "04", "12", "13", "00"]),
    st.sampled_from(["01", "02", "03", "28", "29", "30", "31", "32", "00"]),
    st.sampled_from("T t_"),
    st.one_of(st.sampled_from(["00", "11", "12", "13", "23", "24"]), digits),
    st.one_of(st.sampled_from(["00", "59", "60"]), digits),
    st.one_of(st.sampled_from(["00", "59", "60"]), digits),
    st.sampled_from(["", ".0", ".5", ".000001", ".999999", ".1234567", ",5", "."]),
    st.sampled_from(
        ["", "Z", "z", "+00:00", "-00:00", "+14:00", "-12:30", "+23:59", "-23:59", "+24:00", "+0100", "+01"]
    ),
)
texts = st.one_of(
    st.text(max_size=4),
    st.sampled_from(
        [
            *("a" * 64, "a" * 65, "é" * 128, "é" * 129, "é" * 256, "é" * 257, "\x1f", "\x7f", "\x80"),
            *("a\u2028", "\u2029é", "\xa0", " a", "a ", "\té", " ", "a b"),
        ]
    ),
)
NOT_GIVEN = object()
values = st.one_of(
    st.just(NOT_GIVEN), st.floats(), st.integers(-9, 9), st.sampled_from([None, True, "1", 1e15, -(10**15), 10**400])
)


@settings(max_examples=2000, deadline=None)
@given(times, texts, texts, texts, st.lists(texts, max_size=2), st.none() | texts, values)
@example("2026-03-02T12:00:00Z", "a", "b", "c", [], None, 2)
@example("2026-03-02T12:00:00.000001Z", "a", "b", "c", [], None, None)
@example("1970-01-01T00:00:00+00:01", "a", "b", "c", [], None, None)
@example("2024-02-29T00:00:00", "a", "b", "c", [], None, -1e15)
@example("2024-02-29T00:00:00", "a", "b", "c", [], None, 10**15 + 1)
@example("2025-02-29T00:00:00", "a", "b", "c", [], None, None)
def test_any_event_read_by_hand_is_what_pydantic_reads(
    time: str,
    user_id: str,
    event_type: str,
    asset_id: str,
    labels: list[str],
    recommendation_id: str | None,
    value: object,
) -> None:
    row: dict[str, Any] = {
        "user_id": user_id or "ann",
        "event_timestamp": time,
        "event_type": event_type or "order",
        "asset_id": asset_id or "latte",
        "labels": labels,
    }
    if recommendation_id is not None:
        row["recommendation_id"] = recommendation_id
    if value is not NOT_GIVEN:
        row["value"] = value
    by_hand, by_pydantic = outcome_by_hand(row), outcome_by_pydantic(row)
    assert by_hand == by_pydantic
    assert values_in(by_hand) == values_in(by_pydantic)


def values_in(outcome: PostEvents | tuple[Any, ...]) -> list[str]:
    """The values of events, which are no part of what is equal; spelled out, since 2 and 2.0 are not the same."""
    return [repr(event.event_value) for event in outcome.events] if isinstance(outcome, PostEvents) else []


def outcome_by_hand(row: dict[str, Any]) -> PostEvents | tuple[Any, ...]:
    try:
        return parse_post_events(request_of(row), now=NOW.timestamp())
    except InvalidRequest as error:
        return error.detail


def outcome_by_pydantic(row: dict[str, Any]) -> PostEvents | tuple[Any, ...]:
    try:
        return read_post_events(request_of(row), NOW.timestamp())
    except InvalidRequest as error:
        return error.detail


def request_of(row: dict[str, Any]) -> Request:
    headers = {"program-id": "cafe", "content-type": "application/json"}
    return Request("POST", "/events", headers=headers, body=json.dumps({"events": [row]}).encode())
