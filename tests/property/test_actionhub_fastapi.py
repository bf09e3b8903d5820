"""The dialect against FastAPI, on thousands of requests: the same status, the same detail, the same accepted values."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from aws_lambda_powertools.event_handler import Response as HttpResponse
from aws_lambda_powertools.event_handler.middlewares import NextMiddleware
from aws_lambda_powertools.event_handler.types import EventHandlerInstance
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from nextbest.actionhub import errors
from nextbest.actionhub.api import ROUTERS
from nextbest.actionhub.hot_routes import UserEventList, at_time
from nextbest.actionhub.resolver import ActionHubResolver
from nextbest.errors import NextbestError
from nextbest.web.request import from_payload_v2
from tests.factories import http_event
from tests.property.actionhub_reference import NOW, Call, Reference, Reply

DOCUMENT = json.loads((Path(__file__).resolve().parents[2] / "docs" / "openapi.json").read_text())
JSON_HEADERS = (("program-id", "cafe"), ("content-type", "application/json"))
THOROUGH = settings(max_examples=1200, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module")
def reference() -> Iterator[Reference]:
    caller = Reference()
    yield caller
    caller.close()


def gateway_event(call: Call) -> dict[str, Any]:
    """The call as API Gateway hands it on, as far as it goes: without the route, which the gateway would choose."""
    headers: dict[str, str] = {}
    for name, value in call.headers:
        headers.setdefault(name, value)
    query_string, body = call.query_string, call.body.hex()
    return http_event(call.method, call.path, rawQueryString=query_string, headers=headers, body=body)


@cache
def resolver() -> ActionHubResolver:
    """Every route, answered with the values that its handler would get."""
    made = ActionHubResolver(ROUTERS)
    made.use([echo])
    return made


def echo(app: EventHandlerInstance, _handler: NextMiddleware) -> HttpResponse[Any]:
    app.context["values"].update(app.context["_route_args"])
    return HttpResponse(200, "text/plain", "")


def dialect(call: Call) -> Reply:
    """What our functions answer; where a request is accepted, what it was read as."""
    request = dataclasses.replace(from_payload_v2(gateway_event(call)), body=call.body)
    values: dict[str, Any] = {}
    try:
        with at_time(NOW.timestamp()):
            response = resolver().answer(request, values=values)
    except NextbestError as error:
        status, body = errors.answer(error)
        return Reply(status, json.loads(body))
    if response.status != 200:
        return Reply(response.status, json.loads(response.body) if response.body else None)
    return Reply(200, json.loads(json.dumps(dict(plain(name, value) for name, value in values.items()))))


def plain(name: str, value: Any) -> tuple[str, Any]:
    """A value of a handler, as the reference names and shows it."""
    if not isinstance(value, BaseModel):
        return name, value
    content = value.model_dump(mode="json")
    ((member, rows), *others) = content.items()
    if others:
        return "settings", content
    if isinstance(value, UserEventList):
        return member, [
            [
                *(event.user_id, event.timestamp_us, event.event_type, event.asset_id, list(event.labels)),
                *(event.recommendation_id, event.event_value),
            ]
            for event in value.to_domain()
        ]
    return member, [list(row.values()) for row in rows]


def check(reference: Reference, call: Call) -> None:
    expected, actual = reference(call), dialect(call)
    if expected.status == 500:
        assert actual.status in {400, 422}
    else:
        assert actual == expected


NUMBERS = [
    "0",
    "1",
    "7",
    "10",
    "100",
    "101",
    "-1",
    "007",
    "+7",
    " 7 ",
    "7.0",
    "7.5",
    "1_0",
    "1e2",
    "٣",
    "",
    "x",
    "9" * 30,
]
FLOATS = ["0.5", "-0.1", "nan", "inf", "-inf", "1e999", ".5", "5.", "1e-400", "0x1", "1,5"]
WORDS = ["true", "True", "TRUE", "1", "0", "f", "N", "off", "OFF", "yes", "maybe", "2", " true", "null", "any", "all"]
WORDS += ["growth", "discovery", "base", "assets", "labels", "Growth", "goal"]
ROUTES = [
    (method.upper(), path, [parameter["name"].replace("-", "_") for parameter in operation.get("parameters", ())])
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
]
NAMES = sorted({name for _, _, names_ in ROUTES for name in names_} | {"Limit", "x", ""})

values = st.one_of(st.sampled_from(NUMBERS + FLOATS + WORDS), st.text(max_size=8))
query_strings = st.one_of(
    st.lists(st.tuples(st.sampled_from(NAMES), values), max_size=5).map(urlencode),
    st.lists(st.tuples(st.sampled_from(["limit", "allow_repeats", "explain"]), values), max_size=4).map(urlencode),
    st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=30),
    st.sampled_from(
        ["limit", "limit=", "limit=5&limit=6", "limit=6;limit=5", "limit=%zz", "limit=%35", "&&=&", "limit=+5"]
    ),
)
header_values = st.text(alphabet=st.characters(max_codepoint=255), max_size=8)
headers = st.one_of(
    st.just((("program-id", "cafe"),)),
    st.just(()),
    st.just((("program_id", "cafe"),)),
    st.tuples(st.tuples(st.just("program-id"), header_values)),
    st.tuples(st.tuples(st.just("program-id"), header_values), st.tuples(st.just("program-id"), header_values)),
)
user_ids = st.one_of(
    st.just("ann"),
    st.text(min_size=1, max_size=12),
    st.sampled_from(["u" * 256, "u" * 257, "a%2Fb", "é\n"]),
)
GETS = [path for method, path, _ in ROUTES if method == "GET"]


@THOROUGH
@given(st.sampled_from([*GETS, *["/users/{user_id}/actions"] * 6]), user_ids, query_strings, headers)
def test_any_parameters_are_answered_as_by_fastapi(
    reference: Reference, template: str, user_id: str, query_string: str, header: tuple[tuple[str, str], ...]
) -> None:
    check(reference, Call("GET", template.replace("{user_id}", user_id), query_string, header))


@pytest.mark.parametrize("value", NUMBERS + FLOATS + WORDS)
def test_one_value_for_any_parameter_is_answered_as_by_fastapi(reference: Reference, value: str) -> None:
    for method, template, parameters in ROUTES:
        for name in parameters:
            path = template.replace("{user_id}", "ann").replace("{key_id}", "NBK")
            check(reference, Call(method, path, urlencode({name: value}), JSON_HEADERS[:1]))


segments = st.sampled_from(
    ["users", "ann", "actions", "labels", "events", "rebase", "program", "programs", "status", "", "\n"]
)
paths = st.one_of(
    st.lists(segments, max_size=5).map(lambda parts: "/" + "/".join(parts)),
    st.tuples(st.sampled_from([path for _, path, _ in ROUTES]), st.sampled_from(["", "/", "//", "\n", "/x"])).map(
        "".join
    ),
)


@THOROUGH
@given(st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS", "get"]), paths)
def test_any_method_and_path_are_answered_as_by_fastapi(reference: Reference, method: str, path: str) -> None:
    check(reference, Call(method, path, "", (("program-id", "cafe"),)))


json_values: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=6),
        st.sampled_from(
            [
                "",
                "a" * 64,
                "a" * 65,
                "n" * 124,
                "n" * 125,
                "e" * 128,
                "e" * 129,
                "u" * 256,
                "u" * 257,
                "tab\t",
                "del\x7f",
                "nul\x00",
                "é" * 64,
            ]
        ),
        st.sampled_from([1, 2, 3, 0.99, 1.0, 1.5, 2**31 - 1, 2**31, 10**30, "3", "2.0", "0.5", "nan", 1e308, -1e308]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["events", "labels", "assets", "user_id", "x"]), inner, max_size=3),
    ),
    max_leaves=6,
)
names = st.one_of(st.sampled_from(["a", "naïve", "a b", "x" * 64, "名前"]), st.text(min_size=1, max_size=5))
timestamps = st.one_of(
    st.datetimes().map(lambda time: time.isoformat() + "Z"),
    st.datetimes().map(str),
    st.builds(
        "{}-{}-{}{}{}:{}:{}{}{}".format,
        st.sampled_from(["1969", "1970", "2025", "2026", "0001", "9999", "26"]),
        st.sampled_from(["01", "02", "03", "12", "13", "00", "1"]),
        st.sampled_from(["01", "02", "28", "29", "31", "32"]),
        st.sampled_from(["T", " ", "t", "_"]),
        st.sampled_from(["00", "12", "23", "24"]),
        st.sampled_from(["00", "59", "60"]),
        st.sampled_from(["00", "59", "60"]),
        st.sampled_from(["", ".5", ".000001", ".123456", ".1234567", ",5", "."]),
        st.sampled_from(
            ["", "Z", "z", "+00:00", "-00:00", "+14:00", "+23:59", "-23:59", "+24:00", "+0100", "+01", "+01:60"]
        ),
    ),
    st.integers(-(10**13), 10**13),
    st.integers(-(10**13), 10**13).map(str),
    st.floats(),
)
TEMPLATES: dict[str, tuple[str, str, dict[str, Any], dict[str, st.SearchStrategy[Any]]]] = {
    "events": (
        "POST",
        "/events",
        {
            "user_id": "ann",
            "event_timestamp": "2026-02-28T08:00:00Z",
            "event_type": "order",
            "asset_id": "latte",
            "labels": ["am"],
        },
        {
            "event_timestamp": timestamps,
            "user_id": names,
            "event_type": names,
            "asset_id": names,
            "labels": st.lists(names, max_size=3),
            "recommendation_id": st.one_of(names, st.sampled_from(["", "r" * 40, "r" * 41, None, 7])),
            "value": st.one_of(
                st.floats(), st.integers(-9, 9), st.sampled_from([None, True, "1", 1e15, -1e15, 10**15 + 1, 10**400])
            ),
        },
    ),
    "assets": (
        "POST",
        "/assets",
        {"asset_id": "latte", "asset_name": "Caffè latte", "labels": ["milk"]},
        {"asset_id": names, "asset_name": st.one_of(st.none(), names), "labels": st.lists(names, max_size=3)},
    ),
    "labels": (
        "PUT",
        "/labels",
        {"label": "milk", "weight": 2},
        {
            "label": names,
            "weight": st.one_of(st.integers(-9, 9), st.floats(-9, 9), st.floats(), st.sampled_from(["1", "1e3", 1e6])),
        },
    ),
}


@st.composite
def row_calls(draw: st.DrawFn) -> Call:
    """Lists of rows of which some lost a field, gained one, or hold another value."""
    key = draw(st.sampled_from(["events", "events", "events", *TEMPLATES]))
    method, path, template, special = TEMPLATES[key]
    rows: list[Any] = []
    for _ in range(draw(st.integers(0, 3))):
        row: Any = dict(template)
        for name in draw(st.lists(st.sampled_from([*template, *sorted(special.keys() - template), "x"]), max_size=3)):
            if name in special and draw(st.integers(0, 5)):
                row[name] = draw(special[name])
            elif draw(st.integers(0, 3)):
                row[name] = draw(json_values)
            else:
                row.pop(name, None)
        rows.append(row if draw(st.integers(0, 19)) else draw(json_values))
    body: Any = {key: rows} if draw(st.integers(0, 19)) else draw(json_values)
    query_string = draw(st.one_of(st.just(""), st.just("queue_updates=true&process_user_actions=0"), query_strings))
    header = draw(st.sampled_from([JSON_HEADERS, JSON_HEADERS, JSON_HEADERS[1:]]))
    return Call(
        method,
        path,
        query_string,
        header,
        json.dumps(body, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass"),
    )


@THOROUGH
@given(row_calls())
def test_any_rows_are_answered_as_by_fastapi(reference: Reference, call: Call) -> None:
    check(reference, call)


PROGRAM_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "program_id": st.one_of(st.none(), names, st.sampled_from(["p" * 63, "p" * 64, "-p", "P_1-x"])),
    "program_name": names,
    "high_engagement_threshold": st.sampled_from([1, 2, 3, 3.0, "4", True, 2**31 - 1, 2**31]),
    "event_relevance_decay": st.sampled_from([2, 3, 365, 7.0, 7.5, "30", "x"]),
    "action_weight_floor": st.sampled_from([0, 0.5, 0.999, 1, 1.0, -1, "0.1", True, None]),
    "description": st.sampled_from(["", "tab\t", "d" * 4096, "d" * 4097]),
    "horizon_days": st.sampled_from([0, 1, 14, 365, 366, 7.0, 7.5, "30", "x", True, None]),
    "decay": st.integers(),
    "decision_share": st.sampled_from([0, 0.25, 1, 1.0, 1.5, -0.1, "0.5", "x", True, None]),
    "never_recommended": st.sampled_from(
        [[], ["return"], [" a ", "b\x85"], ["", "x"], ["r" * 257], ["r"] * 101, "return", [1], None]
    ),
    "done_once": st.sampled_from([[], ["sign_up"], [""], ["r" * 257], ["r"] * 101, "sign_up", None]),
    "event_type_order": st.sampled_from(
        [
            [],
            [{"event_type": "upgrade", "after": ["sign_up"]}],
            [{"event_type": "upgrade", "after": []}],
            [{"event_type": "upgrade"}],
            [{"event_type": "upgrade", "after": ["sign_up"], "before": ["leave"]}],
            [{"event_type": "", "after": ["x" * 257]}],
            [["upgrade", ["sign_up"]]],
            {"upgrade": ["sign_up"]},
            None,
        ]
    ),
    "rest_rules": st.sampled_from(
        [
            [],
            [{"event_types": ["view", " decline "], "after": 3, "within_days": 7, "rest_days": 14}],
            [{"event_types": ["view"], "after": 1, "within_days": 1, "rest_days": 365, "for_event_types": ["buy"]}],
            [{"event_types": ["view"], "after": 1, "within_days": 1, "rest_days": 3, "for_event_types": ["view"]}],
            [{"event_types": [], "after": 1, "within_days": 1, "rest_days": 3}],
            [{"event_types": ["view"], "after": 0, "within_days": 366, "rest_days": 0}],
            [{"event_types": ["view"], "after": 1.5, "within_days": "7", "rest_days": None}],
            [{"event_types": ["view"], "after": 1, "within_days": 1, "rest_days": 3, "for": ["buy"]}],
            [["view"]],
            {"view": 3},
            None,
        ]
    ),
    "most_per_list": st.sampled_from(
        [
            {},
            {"view": 2, " buy ": 100},
            {"view": 0},
            {"view": 101, "": 1},
            {"view": "2", "buy": 1.5},
            {"view": None},
            {"r" * 257: 1},
            {f"type {number}": 1 for number in range(101)},
            [["view", 2]],
            None,
        ]
    ),
    "goal": st.sampled_from(
        [
            [],
            [{"event_type": "upgrade", "value": 100}, {"event_type": " purchase ", "value": 0.5}],
            [{"event_type": "upgrade"}],
            [{"event_type": "upgrade", "value": 0}],
            [{"event_type": "upgrade", "value": 1e10}],
            [{"event_type": "upgrade", "value": "100"}],
            [{"event_type": "upgrade", "value": None}],
            [{"event_type": "upgrade"}, {"event_type": "upgrade", "value": 2}],
            [{"event_type": "", "values": 1}],
            ["upgrade"],
            {"upgrade": 100},
            None,
        ]
    ),
}


@st.composite
def program_calls(draw: st.DrawFn) -> Call:
    settings_: dict[str, Any] = {"program_name": "Cafe"} if draw(st.integers(0, 5)) else {}
    for name in draw(st.lists(st.sampled_from(list(PROGRAM_FIELDS)), max_size=3)):
        settings_[name] = draw(PROGRAM_FIELDS[name] if draw(st.integers(0, 3)) else json_values)
    method, path = draw(st.sampled_from([("POST", "/programs"), ("PUT", "/program")]))
    return Call(
        method, path, "", draw(st.sampled_from([JSON_HEADERS, JSON_HEADERS[1:]])), json.dumps(settings_).encode()
    )


@settings(THOROUGH, max_examples=800)
@given(program_calls())
def test_any_settings_are_answered_as_by_fastapi(reference: Reference, call: Call) -> None:
    check(reference, call)


CONTENT_TYPES = [
    None,
    "",
    "application/json",
    "Application/JSON; charset=utf-8",
    " application/json ;x",
    "application/vnd.api+json",
    "text/json",
    "application/x-www-form-urlencoded",
    "text/plain",
    "application",
    "application/json/x",
    "multipart/form-data; boundary=x",
    "application/jsonp",
    "json",
    "application/+json",
    ";application/json",
    "application/json,text/plain",
]
VALID = json.dumps({"events": [TEMPLATES["events"][2]]}).encode()
BODIES = [
    b"",
    b" ",
    b"{",
    b"{}",
    b"[]",
    b"null",
    b'""',
    b"1",
    b"NaN",
    b"Infinity",
    b"1e999",
    b'{"events": NaN}',
    b'{"events": [NaN]}',
    b"\xff",
    b"\xef\xbb\xbf" + VALID,
    b"\xef\xbb\xbf{",
    VALID.decode().encode("utf-16"),
    VALID.decode().encode("utf-32-le"),
    VALID[:-1],
    VALID + b"x",
    VALID.replace(b"ann", b"\xff"),
    VALID.replace(b"ann", b"\\ud800"),
    VALID.replace(b"ann", b"\\ud83d\\ude00"),
    VALID.replace(b"ann", b"a\nb"),
    VALID.replace(b'"ann"', b"9" * 5000),
    VALID.replace(b"}]", b"},]"),
    b"{'events': []}",
    b"[" * 100_000,
    b"[" * 500 + b"]" * 500,
    b'{"events": ' + b"[" * 300 + b"]" * 300 + b"}",
    b'{"events": [], "events": [1]}',
]


@settings(THOROUGH, max_examples=600)
@given(
    st.sampled_from(CONTENT_TYPES),
    st.one_of(
        st.sampled_from(BODIES),
        st.binary(max_size=20),
        st.integers(0, len(VALID)).map(lambda end: VALID[:end]),
        st.tuples(st.integers(0, len(VALID)), st.binary(max_size=2)).map(
            lambda cut: VALID[: cut[0]] + cut[1] + VALID[cut[0] + 1 :]
        ),
    ),
)
@example("application/json", VALID)
def test_any_bytes_and_content_type_are_answered_as_by_fastapi(
    reference: Reference, content_type: str | None, body: bytes
) -> None:
    header = JSON_HEADERS[:1] if content_type is None else (*JSON_HEADERS[:1], ("content-type", content_type))
    check(reference, Call("POST", "/events", "", header, body))


def test_every_odd_body_under_every_content_type_is_answered_as_by_fastapi(
    reference: Reference,
) -> None:
    for content_type in CONTENT_TYPES:
        header = JSON_HEADERS[:1] if content_type is None else (*JSON_HEADERS[:1], ("content-type", content_type))
        for body in BODIES:
            check(reference, Call("POST", "/events", "", header, body))


def test_a_body_over_the_limit_is_answered_as_by_fastapi(reference: Reference) -> None:
    check(reference, Call("POST", "/events", "", JSON_HEADERS, b" " * (4 * 1024 * 1024 + 1)))


@pytest.mark.parametrize("key", TEMPLATES)
def test_the_most_rows_and_one_more_are_answered_as_by_fastapi(reference: Reference, key: str) -> None:
    method, path, row, _ = TEMPLATES[key]
    for count in (1000, 1001):
        body = json.dumps({key: [row] * count}).encode()
        check(reference, Call(method, path, "", JSON_HEADERS, body))
