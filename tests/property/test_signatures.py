"""Our Signature Version 4 against botocore's, on requests that no SDK would think of."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from unittest import mock
from urllib.parse import quote

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials
from hypothesis import given, settings
from hypothesis import strategies as st

from nextbest.aws.sigv4 import AwsCredentials, signed_headers
from nextbest.personalize.protocol.signature import InvalidSignature, parse_authorization, verify
from nextbest.web.request import Request

KEY_ID = "NBKEY1"
SECRET = "p7Qq_secret-of-the-key"
REGION = "eu-west-1"
SERVICE = "personalize"
HOST = "nextbest.example.com:8443"
NOW = 1_790_000_000

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
PATHS = st.lists(
    st.one_of(st.sampled_from(["", ".", "..", "...", "a b", "é", "%41", "~", "personalize"]), TEXTS), max_size=5
).map(lambda segments: "/" + "/".join(segment.replace("\0", "") for segment in segments))
QUERIES = st.lists(st.tuples(TEXTS, TEXTS), max_size=4).map(tuple)
HEADERS = st.dictionaries(
    st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=8).map("x-nextbest-".__add__),
    # What a header may hold: printable text. White space inside counts once, and at the ends not at all.
    st.lists(
        st.one_of(st.sampled_from(["", "  a", "b   c ", "é€"]), TEXTS.filter(str.isprintable)), min_size=1, max_size=3
    ).map("  ".join),
    max_size=3,
)
REQUESTS = st.builds(
    Request,
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH"]),
    path=PATHS,
    query=QUERIES,
    headers=HEADERS,
    body=st.binary(max_size=64),
)


def signed_by_botocore(request: Request, headers: Mapping[str, str] | None = None, *, prefix: str = "") -> Request:
    """``request`` as the gateway hands it on, after botocore signed it for the path that begins with ``prefix``."""
    query = "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in request.query)
    url = f"https://{HOST}{quote(prefix + request.path, safe='/~')}?{query}"
    signed = AWSRequest(request.method, url, {**request.headers, **(headers or {})}, request.body)
    with mock.patch("botocore.auth.get_current_datetime", return_value=datetime.fromtimestamp(NOW, UTC)):
        SigV4Auth(BotocoreCredentials(KEY_ID, SECRET), SERVICE, REGION).add_auth(signed)
    arrived = {name.lower(): str(value) for name, value in signed.headers.items()}
    return Request(request.method, request.path, {}, request.query, {"host": HOST, **arrived}, request.body, prefix)


def check(request: Request) -> None:
    verify(request, parse_authorization(request.headers), SECRET, now=NOW)


@given(REQUESTS, st.sampled_from(["", "/prod", "/a base/v1"]))
@settings(deadline=None)
def test_what_botocore_signs_is_verified(request: Request, prefix: str) -> None:
    check(signed_by_botocore(request, prefix=prefix))


@given(REQUESTS, st.data())
@settings(deadline=None)
def test_what_was_changed_on_its_way_is_refused(request: Request, data: st.DataObject) -> None:
    arrived = signed_by_botocore(request)
    name = data.draw(st.sampled_from(["method", "path", "query", "body"]))
    changed = {
        "method": f"{request.method}X",
        "path": f"{request.path}/more",
        "query": (*request.query, ("more", "")),
        "body": request.body + b"\0",
    }
    values = {field: getattr(arrived, field) for field in ("method", "path", "query", "headers", "body")}

    with pytest.raises(InvalidSignature, match="does not match"):
        check(Request(**{**values, name: changed[name]}))


@given(REQUESTS)
@settings(deadline=None)
def test_our_signer_writes_what_botocore_s_does(request: Request) -> None:
    ours = signed_headers(
        request.method,
        quote(request.path, safe="/~"),
        {"host": HOST, **request.headers},
        request.body,
        AwsCredentials(KEY_ID, SECRET),
        region=REGION,
        service=SERVICE,
        now=NOW,
        query=request.query,
    )
    theirs = signed_by_botocore(request, {"x-amz-content-sha256": ours["x-amz-content-sha256"]})

    assert ours == theirs.headers
    check(Request(request.method, request.path, {}, request.query, ours, request.body))
