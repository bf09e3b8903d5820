"""The two everyday calls: what is read, what is refused, and what it costs."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from nextbest.actionhub.errors import BodyTooLarge, InvalidRequest, UnreadableBody, answer
from nextbest.actionhub.parsing import NARROWING, GetActions, PostEvents, parse_get_actions, parse_post_events
from nextbest.domain.actions import Narrowing
from nextbest.domain.events import Event
from nextbest.web.request import Request

LAYER = Path(__file__).parents[2] / "layers" / "nextbest"
NOW = datetime(2024, 3, 1, 12, 0, tzinfo=UTC).timestamp()
EVENT = {
    "user_id": "ann",
    "event_timestamp": "2024-02-29T23:30:00.250+01:00",
    "event_type": "order",
    "asset_id": "latte",
    "labels": ["morning"],
}


def get_actions(*query: tuple[str, str], headers: dict[str, str] | None = None) -> GetActions:
    return parse_get_actions(
        Request(
            "GET",
            "/users/ann/actions",
            {"user_id": "ann"},
            query,
            {"program-id": "cafe"} if headers is None else headers,
        )
    )


def post_events(body: object, *query: tuple[str, str], content_type: str = "application/json") -> PostEvents:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"program-id": "cafe", "content-type": content_type}
    return parse_post_events(Request("POST", "/events", {}, query, headers, content), now=NOW)


def detail_of(error: pytest.ExceptionInfo[InvalidRequest]) -> list[dict[str, Any]]:
    return [dict(item) for item in error.value.detail]


def test_without_a_query_the_contracts_defaults_hold() -> None:
    assert get_actions() == GetActions("ann", "cafe", limit=10, allow_repeats=True, explain=False)


@pytest.mark.parametrize("limit", ["5", "+5"], ids=["read by hand", "read by pydantic"])
def test_a_narrowing_is_read_from_its_parameters(limit: str) -> None:
    query = get_actions(
        ("limit", limit),
        ("event_types", "order, rate,,order"),
        ("exclude_event_types", "view"),
        ("filter", " cheap "),
        ("filter_values", '{"TIER": "\\"gold\\",\\"silver\\""}'),
    )
    values = {"TIER": '"gold","silver"'}
    assert query.narrowing == Narrowing(("order", "rate"), ("view",), "cheap", values)
    assert query.limit == 5


@pytest.mark.parametrize("limit", ["5", "+5"], ids=["read by hand", "read by pydantic"])
def test_an_objective_is_one_of_those_there_are(limit: str) -> None:
    assert get_actions(("limit", limit), ("objective", "goal")).objective == "goal"
    assert get_actions(("limit", limit)).objective == "growth"
    with pytest.raises(InvalidRequest) as error:
        get_actions(("limit", limit), ("objective", "lift"))
    assert [(item["loc"], item["msg"]) for item in detail_of(error)] == [
        (("query", "objective"), "Input should be 'growth' or 'goal'")
    ]


@pytest.mark.parametrize("limit", ["5", "+5"], ids=["read by hand", "read by pydantic"])
def test_an_empty_parameter_narrows_nothing(limit: str) -> None:
    query = get_actions(("limit", limit), *((name, "") for name in NARROWING))
    assert query.narrowing in (None, Narrowing())


@pytest.mark.parametrize("limit", ["5", "+5"], ids=["read by hand", "read by pydantic"])
@pytest.mark.parametrize(
    ("filter_", "values", "kind", "loc"),
    [
        ("", '{"TIER": "gold"}', "value_error", ["filter_values"]),
        ("cheap", "TIER=gold", "json_invalid", ["filter_values"]),
        ("cheap", "[" * 100_000, "json_invalid", ["filter_values"]),
        ("cheap", '["gold"]', "dict_type", ["filter_values"]),
        ("cheap", '{"TIER": 5}', "string_type", ["filter_values", "TIER"]),
        ("cheap", '{"TIER": null}', "string_type", ["filter_values", "TIER"]),
    ],
)
def test_filter_values_that_cannot_be_read_are_refused(
    limit: str, filter_: str, values: str, kind: str, loc: list[str]
) -> None:
    with pytest.raises(InvalidRequest) as error:
        get_actions(("limit", limit), ("filter", filter_), ("filter_values", values))
    assert [(item["type"], list(item["loc"])) for item in detail_of(error)] == [(kind, ["query", *loc])]


@pytest.mark.parametrize("word", ["1", "true", "True", "TRUE", "t", "yes", "Y", "on"])
def test_any_spelling_of_true_is_true(word: str) -> None:
    assert get_actions(("explain", word)).explain is True


@pytest.mark.parametrize("word", ["0", "false", "False", "f", "no", "N", "off", "OFF"])
def test_any_spelling_of_false_is_false(word: str) -> None:
    assert get_actions(("allow_repeats", word)).allow_repeats is False


def test_the_last_of_a_repeated_parameter_counts() -> None:
    assert get_actions(("limit", "x"), ("limit", "3")).limit == 3


@pytest.mark.parametrize(("text", "limit"), [("1", 1), ("100", 100), ("007", 7), ("+7", 7), (" 7 ", 7), ("7.0", 7)])
def test_a_limit_that_pydantic_reads_is_that_number(text: str, limit: int) -> None:
    assert get_actions(("limit", text)).limit == limit


def test_a_limit_outside_the_bounds_is_refused_as_by_fastapi() -> None:
    with pytest.raises(InvalidRequest) as error:
        get_actions(("limit", "101"), ("allow_repeats", "maybe"), headers={})
    assert detail_of(error) == [
        {
            "type": "less_than_equal",
            "loc": ("query", "limit"),
            "msg": "Input should be less than or equal to 100",
            "input": "101",
            "ctx": {"le": 100},
        },
        {
            "type": "bool_parsing",
            "loc": ("query", "allow_repeats"),
            "msg": "Input should be a valid boolean, unable to interpret input",
            "input": "maybe",
        },
        {"type": "missing", "loc": ("header", "program-id"), "msg": "Field required", "input": None},
    ]


def test_the_time_of_an_event_is_in_whole_microseconds_in_utc() -> None:
    # 2024-02-29T22:30:00.250Z is 1,709,245,800.25 s after 1970.
    event = Event("ann", 1_709_245_800_250_000, "order", "latte", labels=("morning",))
    assert post_events({"events": [EVENT]}) == PostEvents("cafe", (event,), False, True)


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [
        ("2024-02-29T22:30:00", 1_709_245_800_000_000),
        ("2024-02-29 22:30", 1_709_245_800_000_000),
        ("2024-02-29T22:30:00.1234567Z", 1_709_245_800_123_456),
        ("2024-02-29", 1_709_164_800_000_000),
        ("1970-01-01T00:00:00Z", 0),
        ("2024-03-02T12:00:00Z", 1_709_380_800_000_000),
        (1_709_245_800, 1_709_245_800_000_000),
    ],
)
def test_a_naive_time_is_utc(text: object, microseconds: int) -> None:
    posted = post_events({"events": [EVENT | {"event_timestamp": text}]})
    assert posted.events[0].timestamp_us == microseconds


def test_each_time_outside_the_bounds_is_an_error_that_names_its_event() -> None:
    early, late = "1969-12-31T23:59:59.999999Z", "2024-03-02T12:00:00.000001Z"
    rows = [EVENT, EVENT | {"event_timestamp": late}, EVENT | {"event_timestamp": early}]
    with pytest.raises(InvalidRequest) as error:
        post_events({"events": rows})
    assert detail_of(error) == [
        {
            "type": "less_than_equal",
            "loc": ("body", "events", 1, "event_timestamp"),
            "msg": "Input should be less than or equal to 2024-03-02T12:00:00Z",
            "input": late,
            "ctx": {"le": "2024-03-02T12:00:00Z"},
        },
        {
            "type": "greater_than_equal",
            "loc": ("body", "events", 2, "event_timestamp"),
            "msg": "Input should be greater than or equal to 1970-01-01T00:00:00Z",
            "input": early,
            "ctx": {"ge": "1970-01-01T00:00:00Z"},
        },
    ]


@pytest.mark.parametrize(
    ("field", "value", "kind"),
    [
        ("user_id", "", "string_too_short"),
        ("user_id", "u" * 257, "string_too_long"),
        ("user_id", "a\tb", "string_pattern_mismatch"),
        ("user_id", 7, "string_type"),
        ("asset_id", "a" * 65, "string_too_long"),
        ("event_type", "e" * 129, "string_too_long"),
        ("event_timestamp", "2024-02-30T00:00:00Z", "datetime_from_date_parsing"),
        ("event_timestamp", None, "datetime_type"),
        ("labels", None, "list_type"),
        ("labels", ["x"] * 101, "too_long"),
    ],
)
def test_a_field_that_cannot_be_stored_is_refused(field: str, value: object, kind: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        post_events({"events": [EVENT, EVENT | {field: value}]})
    assert [(item["type"], item["loc"]) for item in error.value.detail] == [(kind, ("body", "events", 1, field))]


def test_a_batch_of_1001_events_or_none_is_refused() -> None:
    for rows, kind in ([EVENT] * 1001, "too_long"), ([], "too_short"):
        with pytest.raises(InvalidRequest) as error:
            post_events({"events": rows})
        assert [(item["type"], item["loc"]) for item in error.value.detail] == [(kind, ("body", "events"))]


def test_1000_events_are_read_in_order() -> None:
    rows = [EVENT | {"user_id": f"u{index}"} for index in range(1000)]
    assert [event.user_id for event in post_events({"events": rows}).events] == [f"u{index}" for index in range(1000)]


def test_a_body_that_is_not_text_is_unreadable() -> None:
    with pytest.raises(UnreadableBody):
        post_events(b'{"events": "\xff"}')


@pytest.mark.parametrize("leaf", ["1", "NaN", '"\\ud800"'])
@pytest.mark.parametrize("depth", [10, 200, 300, 400, 450, 480, 500, 900, 940, 960, 980, 990, 1000, 5000, 100_000])
def test_the_refusal_of_a_deeply_nested_body_can_be_written(depth: int, leaf: str) -> None:
    with pytest.raises((InvalidRequest, UnreadableBody)) as error:
        post_events(b'{"events":' + b"[" * depth + leaf.encode() + b"]" * depth + b"}")
    status, body = answer(error.value)
    assert status in {400, 422}
    assert json.loads(body)["detail"]


def test_a_body_over_four_mebibytes_is_too_large() -> None:
    with pytest.raises(BodyTooLarge):
        post_events(b" " * (4 * 1024 * 1024 + 1))


@pytest.mark.parametrize(
    "call",
    [
        'parse_get_actions(Request("GET", "/", {"user_id": "ann"}, (("limit", "5"),), {"program-id": "cafe"}))',
        'parse_post_events(Request("POST", "/events", {}, (), {"program-id": "cafe", "content-type": '
        f"'application/json'}}, {json.dumps({'events': [EVENT]}).encode()!r}), now={NOW})",
    ],
)
def test_a_plain_request_is_parsed_without_pydantic(call: str) -> None:
    code = (
        "import sys\n"
        "from nextbest.actionhub.parsing import parse_get_actions, parse_post_events\n"
        "from nextbest.actionhub import actions, errors, events\n"
        "from nextbest.web.request import Request, from_payload_v2\n"
        f"{call}\n"
        "print([name for name in sys.modules if name.partition('.')[0].startswith('pydantic')])\n"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": str(LAYER)}
    )
    assert printed.stdout == "[]\n"
