"""Requests that no honest client sends: samples of the routes with anything in them replaced."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from hypothesis import strategies as st

from tests.infrastructure.test_events import names_of_kind, sample
from tools.local.samples import sign_again

EMOJI = "\N{GRINNING FACE}"
HALF_A_PAIR = "\ud800"
TEXTS = (
    *("", " ", ".", "..", "/", "#", "%", "%23", "%2F", "%00", "\0", "\n", "\r\nx: y", "\x7f", "\ufffd", "e\u0301"),
    *("'", '"', "{", "$", ",", HALF_A_PAIR, "null", "NaN", "true", "-1", "1e999"),
    *("key", "programs", "P", "H0", "E#1#x#y", "#idempotency", "demo#U#ada"),
    *(EMOJI * count for count in (1, 64, 128, 256, 257, 1025)),
    *("#" * 256, "%" * 256, "x" * 1025, "x" * 10_000, "9" * 20, "9" * 400, "9" * 5000),
    *("0000-00-00T00:00:00Z", "9999-12-31T23:59:59Z"),
)
NUMBERS = (0, -1, 1, 2, 2**31, 2**63 - 1, 2**63, 2**64, 10**400, 253_402_300_799, 0.1, 5e-324, 1e308, -1e308)
OTHERS: tuple[Any, ...] = (None, True, [], {}, [[]], [None], {"": ""}, float("nan"), float("inf"), [""] * 2000)
BODIES = (
    *(b"", b" ", b"null", b"[]", b"{}", b'""', b"1", b"NaN", b"\xff", b"\xef\xbb\xbf{}", b"{", b"9" * 5000),
    *(b"[" * 500 + b"]" * 500, b"[" * 200_000, b'{"a":' * 100_000, b"x" * 4_200_000),
    *(gzip.compress(b"{}"), "{}".encode("utf-16"), b'{"a":1e999}', b'{"a":"\\ud800"}'),
)
PROPERTIES = (
    *("{}", "[]", "null", "1", '{"a":1e999}', '{"a":1e308}', '{"a":NaN}', '{"a":"\\ud800"}', '{"\\ud800":1}'),
    *('{"a":[[]]}', "[" * 900, '{"value":"1e999"}', '{"value":1e301}', '{"value":' + "9" * 400 + "}"),
    *('{"expirationTimestamp":1e300}', '{"creationTimestamp":-1e300}', '{"repeatFrequency":1e300}'),
    *(json.dumps({"ß" * 900: 1}, ensure_ascii=False), json.dumps({"a": EMOJI * 500}, ensure_ascii=False)),
)
PARAMETERS = (
    *(
        "limit",
        "allow_repeats",
        "explain",
        "page",
        "size",
        "next_token",
        "after",
        "search",
        "min_weight",
        "labels",
        "asset_ids",
    ),
    *("segment_type", "force_refresh", "queue_updates", "process_user_actions", "overlap_seconds", "x"),
)
QUERIES = ("%", "%zz", "&&=&", ";", "=", "limit=%ff", "limit=1&limit=2", "a" * 5000, "&".join(["p=1"] * 3000))
HEADERS = (
    *("program-id", "actionhub-key", "idempotency-key", "content-type", "content-encoding", "cookie", "host"),
    *("x-http-method-override", "x-amz-security-token", "x-amz-content-sha256", "x-amz-date", "date", "authorization"),
)
METHODS = ("HEAD", "OPTIONS", "PATCH", "TRACE", "get", "", "G\nET")
PATH_ENDS = ("/", "//", "/x", "\n", "%2F", ";a=b", HALF_A_PAIR)
STAGES = ("prod", "", "users", HALF_A_PAIR)

KEY_IDS = ("NBKLOCALSTACKDEMOKEY", "P", "a/b", "/" * 9, "#" * 400, "x" * 1025)
SCOPES = (
    *("/20261101/us-east-1/personalize/aws4_request", "/00000101/x/personalize/aws4_request"),
    *("", "/////", "/1/2/3/4/5"),
)
SIGNED_HEADERS = ("host;x-amz-date", "", ";;;", "host", "host;host;x-amz-date", "HOST;X-AMZ-DATE", "nothing")
DATES = ("", "x", "00000101T000000Z", "00010101T000000Z", "20260230T000000Z", "20260101T246060Z", "99991231T235959Z")
RFC_DATES = (
    *("Mon, 1 Jan 0001 00:00:00 +2359", "Mon, 31 Dec 9999 23:59:59 -2359", "Mon, 32 Foo 2026 25:61:61 GMT"),
    *("1 Jan 99999999999 00:00:00 +0000", "Thu, 1 Jan 1970 00:00:00 +99999999", "1 Jan 2026 1:2"),
    *("0", "()", '"', "Mon,", EMOJI),
)
# The members of the control plane's operations are tested apart.
NAMES = [name for name in names_of_kind("HttpApi") if name != "manage/personalize-control-plane"]


@dataclass(frozen=True, slots=True)
class Sent:
    """A request, and the function that the gateway gives it to."""

    function: str
    event: Mapping[str, Any]

    @property
    def is_personalize(self) -> bool:
        return bool(self.event["rawPath"].startswith("/personalize"))


def changed(name: str, *, headers: Mapping[str, str] | None = None, **members: Any) -> Sent:
    """The sample with these members and headers, signed as it is then unless ``authorization`` is among them."""
    event = sample(name) | members
    event["headers"] |= headers or {}
    if "authorization" in sample(name)["headers"]:
        with suppress(ValueError):  # nothing that a signer signs
            event = sign_again(event)
        event["headers"] |= headers or {}
    return Sent(name.split("/")[0], event)


def authorization(key_id: str, scope: str = SCOPES[0], headers: str = SIGNED_HEADERS[0], proof: str = "a" * 64) -> str:
    return f"AWS4-HMAC-SHA256 Credential={key_id}{scope}, SignedHeaders={headers}, Signature={proof}"


texts = st.one_of(st.sampled_from(TEXTS), st.text(max_size=20))
values: st.SearchStrategy[Any] = st.one_of(
    texts, st.sampled_from(NUMBERS), st.sampled_from(OTHERS), st.dictionaries(texts, texts, max_size=3)
)
queries = st.one_of(
    st.sampled_from(QUERIES),
    st.lists(st.tuples(st.sampled_from(PARAMETERS), texts), min_size=1, max_size=3).map(
        lambda pairs: "&".join(f"{name}={quote(value, safe='', errors='surrogatepass')}" for name, value in pairs)
    ),
)
authorizations = st.one_of(
    st.builds(
        authorization,
        st.sampled_from(KEY_IDS),
        st.sampled_from(SCOPES),
        st.sampled_from(SIGNED_HEADERS),
        st.sampled_from(("a" * 64, "", "é", "0" * 65)),
    ),
    st.sampled_from(("AWS4-HMAC-SHA256 " + "," * 5000, "AWS4-HMAC-SHA256 =", "Bearer x", EMOJI)),
)
signatures: st.SearchStrategy[dict[str, str]] = st.fixed_dictionaries(
    {},
    optional={
        "authorization": authorizations,
        "x-amz-date": st.sampled_from(DATES),
        "date": st.sampled_from(RFC_DATES),
    },
)


@st.composite
def hostile_requests(draw: st.DrawFn) -> Sent:
    """A sample with something in it replaced."""
    name = draw(st.sampled_from(NAMES))
    event, headers = sample(name), {}
    body = event.get("body", "")
    if event["isBase64Encoded"]:
        body = base64.b64decode(body).decode()
    parameter = next(iter(event.get("pathParameters", {}).values()), "")
    members: dict[str, Any] = {}
    match draw(
        st.sampled_from(("path", "query", "query", "header", "body", "member", "member", "method", "signature"))
    ):
        case "path" if parameter:
            members = {"rawPath": event["rawPath"].replace(parameter, draw(texts), 1)}
        case "path":
            members = {"rawPath": event["rawPath"] + draw(st.sampled_from(PATH_ENDS))}
        case "query":
            members = {"rawQueryString": draw(queries)}
        case "header":
            headers = {draw(st.sampled_from(HEADERS)): draw(texts)}
        case "member" if body.startswith(("{", "[")):  # the console's forms are not JSON
            content = json.dumps(with_a_change(draw, json.loads(body)), ensure_ascii=draw(st.booleans()))
            members = {"body": content, "isBase64Encoded": False}
        case "body" | "member":
            content = base64.b64encode(draw(st.sampled_from(BODIES))).decode()
            members = {"body": content[draw(st.integers(0, 3)) :], "isBase64Encoded": True}
        case "method":
            context, http = event["requestContext"], event["requestContext"]["http"]
            http |= {"method": draw(st.sampled_from(METHODS))}
            members = {"requestContext": context | {"stage": draw(st.sampled_from(STAGES))}}
        case "signature":
            headers = draw(signatures)
    return changed(name, headers=headers, **members)


def with_a_change(draw: st.DrawFn, content: Any) -> Any:
    """JSON with one of its values replaced, or one more member, or one less."""
    if not isinstance(content, dict | list) or not content:
        return draw(values)
    content = content.copy()
    place = draw(st.sampled_from(list(content) if isinstance(content, dict) else range(len(content))))
    kind = draw(st.sampled_from(("inside", "inside", "replaced", "added", "removed")))
    if kind == "inside":
        content[place] = with_a_change(draw, content[place])
    elif kind == "removed":
        del content[place]
    elif kind == "added" and isinstance(content, dict):
        content |= draw(
            st.one_of(
                st.builds(lambda text: {"properties": text}, st.sampled_from(PROPERTIES)),
                st.dictionaries(
                    st.sampled_from(("eventId", "impression", "labels", "userId", "x")), values, max_size=1
                ),
            )
        )
    else:
        content[place] = draw(values)
    return content
