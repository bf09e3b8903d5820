"""Signature Version 4: what real AWS clients send is accepted, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from unittest import mock
from urllib.parse import parse_qsl, unquote, urlsplit

import boto3
import botocore.session
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSPreparedRequest, AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from hypothesis import given, settings
from hypothesis import strategies as st

from nextbest.errors import Forbidden
from nextbest.personalize.protocol.errors import Protocol, wire_error
from nextbest.personalize.protocol.signature import (
    Credential,
    IncompleteSignature,
    InvalidSignature,
    MissingAuthenticationToken,
    SignatureRefused,
    UnrecognizedClient,
    parse_authorization,
    verify,
)
from nextbest.personalize.protocol.signed_caller import SignedCaller
from nextbest.web.request import Request

KEY_ID = "NBKEY1"
SECRET = "p7Qq_secret-of-the-key"
SIGNED_AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
NOW = SIGNED_AT.timestamp()


@pytest.fixture(autouse=True)
def signing_clock() -> Iterator[None]:
    """botocore's own clock stands at SIGNED_AT."""
    with mock.patch("botocore.auth.get_current_datetime", return_value=SIGNED_AT.replace(tzinfo=None)):
        yield


def as_gateway_sends(sent: AWSPreparedRequest) -> Request:
    """What API Gateway makes of a request: lower-case headers, a Host, a decoded path."""
    url = urlsplit(sent.url)
    headers = {
        name.lower(): value.decode() if isinstance(value, bytes) else str(value) for name, value in sent.headers.items()
    }
    body = sent.body or b""
    return Request(
        method=sent.method,
        path=unquote(url.path),
        query=tuple(parse_qsl(url.query, keep_blank_values=True)),
        headers={"host": url.netloc, "x-forwarded-for": "192.0.2.1", **headers},
        body=body if isinstance(body, bytes) else str(body).encode(),
    )


def sent_by_client(
    service: str, operation: str, *, endpoint: str = "http://127.0.0.1:3000/personalize", **parameters: Any
) -> Request:
    """The request that a real client prepares and signs; nothing leaves this process."""
    session = botocore.session.get_session()
    session.set_credentials(KEY_ID, SECRET, token=parameters.pop("token", None))
    client = session.create_client(
        service, region_name="eu-west-1", endpoint_url=endpoint, config=Config(retries={"total_max_attempts": 1})
    )
    client.meta.events.register("before-send", _stop)
    with pytest.raises(_Stopped) as stopped:
        getattr(client, operation)(**parameters)
    return as_gateway_sends(stopped.value.request)


class _Stopped(Exception):
    """A request, caught on its way out."""

    def __init__(self, request: AWSPreparedRequest) -> None:
        super().__init__(request.url)
        self.request = request


def _stop(request: AWSPreparedRequest, **_: object) -> None:
    raise _Stopped(request)


def check(request: Request, *, secret: str = SECRET, now: float = NOW) -> Credential:
    credential = parse_authorization(request.headers)
    verify(request, credential, secret, now=now)
    return credential


@pytest.fixture(scope="module")
def recommendations() -> Request:
    with mock.patch("botocore.auth.get_current_datetime", return_value=SIGNED_AT.replace(tzinfo=None)):
        return sent_by_client(
            "personalize-runtime", "get_action_recommendations", campaignArn="arn:c", userId="Zoë", numResults=3
        )


@pytest.mark.parametrize(
    ("service", "operation", "parameters"),
    [
        ("personalize-runtime", "get_action_recommendations", {"campaignArn": "arn:c", "userId": "u"}),
        ("personalize", "list_filters", {}),
        ("personalize", "create_filter", {"name": "f", "datasetGroupArn": "arn:d", "filterExpression": "INCLUDE é"}),
        ("personalize-events", "put_actions", {"datasetArn": "arn:d", "actions": [{"actionId": "a"}]}),
        ("personalize", "list_filters", {"token": "a session token"}),
        ("personalize", "list_filters", {"endpoint": "http://localhost:8080"}),
        ("personalize", "list_filters", {"endpoint": "https://nextbest.example.com/a%20base/"}),
    ],
)
def test_a_request_signed_by_a_real_client_is_verified(
    service: str, operation: str, parameters: dict[str, Any]
) -> None:
    credential = check(sent_by_client(service, operation, **parameters))

    assert credential.access_key_id == KEY_ID
    assert (credential.date, credential.region, credential.service) == ("20260304", "eu-west-1", "personalize")


def test_signatures_of_awss_published_examples_hold() -> None:
    """From the AWS Signature Version 4 test suite: get-vanilla and get-vanilla-query-order-key-case."""
    request = Request("GET", "/", headers={"host": "example.amazonaws.com", "x-amz-date": "20150830T123600Z"})
    scope = ("AKIDEXAMPLE", "20150830", "us-east-1", "service", ("host", "x-amz-date"))
    secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
    now = datetime(2015, 8, 30, 12, 36, tzinfo=UTC).timestamp()
    plain = Credential(*scope, "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31")
    with_query = Credential(*scope, "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500")

    verify(request, plain, secret, now=now)
    verify(replace(request, query=(("Param2", "value2"), ("Param1", "value1"))), with_query, secret, now=now)
    with pytest.raises(InvalidSignature):
        verify(request, with_query, secret, now=now)


def test_a_signed_path_holds_behind_a_named_stage() -> None:
    sent = sent_by_client("personalize", "list_filters", endpoint="https://x.execute-api.example.com/prod/personalize")
    routed = replace(sent, path=sent.path.removeprefix("/prod"))

    check(replace(routed, path_prefix="/prod"))
    with pytest.raises(InvalidSignature, match="does not match"):
        check(routed)
    with pytest.raises(InvalidSignature, match="does not match"):
        check(replace(routed, path_prefix="/dev"))


@pytest.mark.parametrize(
    ("base", "prefix"),
    [
        ("", "/prod"),  # a domain mapped to a stage, which clients do not see
        ("/v1", "/v1"),
        ("/v1", "/prod/v1"),
        ("/next/best", "/next/best"),
        ("/next/best", "/prod/next/best"),
    ],
)
def test_a_signed_path_holds_behind_a_custom_domain(base: str, prefix: str) -> None:
    sent = sent_by_client("personalize", "list_filters", endpoint=f"https://nextbest.example.com{base}/personalize")

    check(replace(sent, path=sent.path.removeprefix(base), path_prefix=prefix))


def test_a_wrong_secret_is_refused_in_the_documented_words(recommendations: Request) -> None:
    with pytest.raises(InvalidSignature) as caught:
        check(recommendations, secret=SECRET + "x")

    assert (caught.value.code, caught.value.status) == ("InvalidSignatureException", 403)
    assert caught.value.message == (
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access "
        "Key and signing method. Consult the service documentation for details."
    )


@pytest.mark.parametrize(
    "change",
    [
        {"method": "PUT"},
        {"path": "/personalize/recommendations"},
        {"query": (("a", "b"),)},
        {"body": b'{"campaignArn":"arn:other","userId":"u"}'},
        {"body": b""},
        {"header": ("host", "elsewhere.example.com")},
        {"header": ("content-type", "text/plain")},
        {"header": ("x-amz-date", "20260304T050608Z")},
        {"header": ("content-type", "\udcff")},
        {"header": ("content-type", None)},
    ],
    ids=str,
)
def test_a_request_with_a_changed_signed_part_is_refused(recommendations: Request, change: dict[str, Any]) -> None:
    check(recommendations)
    if "header" in change:
        name, value = change["header"]
        headers = {**recommendations.headers, name: value}
        change = {"headers": {name: value for name, value in headers.items() if value is not None}}

    with pytest.raises(InvalidSignature, match="does not match"):
        check(replace(recommendations, **change))


def test_a_request_with_an_added_unsigned_header_is_still_verified(
    recommendations: Request,
) -> None:
    check(replace(recommendations, headers={**recommendations.headers, "x-amzn-trace-id": "Root=1", "via": "proxy"}))


@pytest.mark.parametrize("name", ["x-amz-target", "x-amz-content-sha256"])
def test_a_request_with_an_added_header_that_changes_its_meaning_is_refused(
    recommendations: Request, name: str
) -> None:
    headers = {**recommendations.headers, name: "AmazonPersonalize.DeleteFilter"}

    with pytest.raises(InvalidSignature, match=f"'{name}' must be a 'SignedHeader'"):
        check(replace(recommendations, headers=headers))


@pytest.mark.parametrize(
    ("seconds", "problem"),
    [
        (300, None),
        (-300, None),
        (301, "Signature expired: 20260304T050607Z is now earlier than 20260304T050608Z (20260304T051108Z - 5 min.)"),
        (
            -301,
            "Signature not yet current: 20260304T050607Z is still later than 20260304T050606Z "
            "(20260304T050106Z + 5 min.)",
        ),
        (86_400, "Signature expired: "),
    ],
)
def test_a_clock_may_differ_by_five_minutes(recommendations: Request, seconds: int, problem: str | None) -> None:
    if problem is None:
        check(recommendations, now=NOW + seconds)
        return
    with pytest.raises(InvalidSignature) as caught:
        check(recommendations, now=NOW + seconds)
    assert caught.value.message.startswith(problem)


def signed(headers: dict[str, str], *, body: bytes = b"{}", signed_at: datetime = SIGNED_AT) -> Request:
    """A request with these headers, signed by botocore's signer."""
    request = AWSRequest("POST", "http://localhost/personalize/actions", headers=headers, data=body)
    with mock.patch("botocore.auth.get_current_datetime", return_value=signed_at.replace(tzinfo=None)):
        SigV4Auth(Credentials(KEY_ID, SECRET), "personalize", "us-east-1").add_auth(request)
    return as_gateway_sends(request.prepare())


def test_the_date_header_counts_without_x_amz_date() -> None:
    request = signed({"Date": "now"})

    assert request.headers["date"] == format_datetime(SIGNED_AT).replace("+0000", "-0000")
    check(request)
    with pytest.raises(InvalidSignature, match="expired"):
        check(request, now=NOW + 301)


def test_a_scope_of_another_day_is_refused(recommendations: Request) -> None:
    credential = replace(parse_authorization(recommendations.headers), date="20260305")

    with pytest.raises(InvalidSignature, match="Date in Credential scope"):
        verify(recommendations, credential, SECRET, now=NOW)


def test_a_signed_content_hash_that_fits_the_body_is_verified() -> None:
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

    check(signed({"X-Amz-Content-SHA256": empty}, body=b""))
    with pytest.raises(InvalidSignature, match="does not match"):
        check(signed({"X-Amz-Content-SHA256": empty}, body=b"{}"))


@pytest.mark.parametrize("marker", ["UNSIGNED-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"])
def test_a_body_that_is_not_signed_is_refused(marker: str) -> None:
    with pytest.raises(IncompleteSignature, match="payloads must be signed") as caught:
        check(signed({"X-Amz-Content-SHA256": marker}))

    assert (caught.value.code, caught.value.status) == ("IncompleteSignatureException", 400)


SCOPE = f"Credential={KEY_ID}/20260304/us-east-1/personalize/aws4_request"
REST = f"SignedHeaders=host;x-amz-date, Signature={'a' * 64}"


@pytest.mark.parametrize(
    ("authorization", "refusal", "problem"),
    [
        (None, MissingAuthenticationToken, "Missing Authentication Token"),
        (" ", MissingAuthenticationToken, "Missing Authentication Token"),
        ("Bearer abc", IncompleteSignature, "must begin with AWS4-HMAC-SHA256"),
        (f"AWS4-HMAC-SHA256 {SCOPE}, {REST}é", IncompleteSignature, "must begin with"),
        ("AWS4-HMAC-SHA256", IncompleteSignature, "'Credential' parameter.*'Signature'.*'SignedHeaders'"),
        (f"AWS4-HMAC-SHA256 {SCOPE}, Signature=a", IncompleteSignature, "requires 'SignedHeaders' parameter"),
        (f"AWS4-HMAC-SHA256 Credential=a/b/c, {REST}", IncompleteSignature, "exactly 5 slash-delimited elements"),
        (f"AWS4-HMAC-SHA256 {SCOPE.replace('us-east-1', '')}, {REST}", IncompleteSignature, "exactly 5"),
        (f"AWS4-HMAC-SHA256 {SCOPE.replace('personalize', 's3')}, {REST}", InvalidSignature, "correct service"),
        (f"AWS4-HMAC-SHA256 {SCOPE.replace('aws4_', 'aws9_')}, {REST}", InvalidSignature, "valid terminator"),
        (f"AWS4-HMAC-SHA256 {SCOPE}, {REST.replace('host;', '')}", InvalidSignature, "'Host' or ':authority'"),
        (f"AWS4-HMAC-SHA256 {SCOPE}, {REST.replace('aaaa', 'éééé')}", IncompleteSignature, "must begin with"),
        (f"AWS4-HMAC-SHA256 {SCOPE}, {REST}", InvalidSignature, "does not match"),
        (f"AWS4-HMAC-SHA256 {SCOPE},{REST.replace(', ', ',')}b", InvalidSignature, "does not match"),
    ],
)
def test_the_error_of_an_authorization_that_does_not_hold_says_why(
    authorization: str | None, refusal: type[SignatureRefused], problem: str
) -> None:
    headers = {"host": "localhost", "x-amz-date": "20260304T050607Z"}
    if authorization is not None:
        headers["authorization"] = authorization

    with pytest.raises(refusal, match=problem):
        check(Request("POST", "/personalize/actions", headers=headers))


@pytest.mark.parametrize("date", [None, "", "yesterday", "20261399T000000Z", "Fri, 31 Dec 9999 23:59:59 -1200"])
def test_a_request_without_a_readable_date_is_refused(date: str | None) -> None:
    headers = {"host": "localhost", "authorization": f"AWS4-HMAC-SHA256 {SCOPE}, {REST}"}
    if date is not None:
        headers["x-amz-date"] = date

    with pytest.raises(IncompleteSignature, match=r"X-Amz-Date|basic format"):
        check(Request("POST", "/", headers=headers))


@pytest.mark.parametrize(
    ("error", "exception", "status"),
    [
        (MissingAuthenticationToken("m"), "MissingAuthenticationTokenException", 403),
        (UnrecognizedClient(), "UnrecognizedClientException", 403),
        (InvalidSignature("m"), "InvalidSignatureException", 403),
        (IncompleteSignature("m"), "IncompleteSignatureException", 400),
    ],
)
def test_name_and_status_of_a_refusal_are_awss(error: SignatureRefused, exception: str, status: int) -> None:
    assert isinstance(error, Forbidden)
    for protocol in Protocol:
        assert wire_error(error, protocol) == (exception, status, error.message)


@given(st.text(max_size=60), st.text(max_size=30), st.text(max_size=20), st.text(max_size=20))
@settings(max_examples=150, deadline=None)
def test_any_headers_are_refused_and_nothing_breaks(authorization: str, date: str, path: str, host: str) -> None:
    for text in (
        authorization,
        f"AWS4-HMAC-SHA256 {SCOPE}, {REST}",
        f"AWS4-HMAC-SHA256 {SCOPE}, {REST}{authorization}",
    ):
        for name in ("x-amz-date", "date"):
            headers = {"host": host, "authorization": text, name: date, "x-amz-date": "20260304T050607Z"}
            with pytest.raises(SignatureRefused):
                check(Request("POST", path, query=((host, date),), headers=headers))
            with pytest.raises(SignatureRefused):
                check(Request("POST", path, headers={**headers, "x-amz-date": date}))


@pytest.mark.parametrize(
    ("service", "operation", "method"),
    [
        ("personalize-runtime", "get_action_recommendations", "POST"),
        ("personalize-runtime", "get_action_recommendations", "GET"),
        ("personalize", "list_dataset_groups", "POST"),
    ],
)
def test_a_presigned_url_is_refused_and_called_by_its_name(service: str, operation: str, method: str) -> None:
    # Given a URL that a real client presigned, and the request that anybody makes with it
    make: Any = boto3.client
    client = make(
        service, region_name="us-east-1", endpoint_url="http://127.0.0.1:3000/personalize",
        aws_access_key_id=KEY_ID, aws_secret_access_key=SECRET,
    )  # fmt: skip
    url = urlsplit(client.generate_presigned_url(operation, HttpMethod=method))
    query = tuple(parse_qsl(url.query, keep_blank_values=True))
    assert "X-Amz-Signature" in dict(query)
    request = Request(method, unquote(url.path), query=query, headers={"host": url.netloc})

    with pytest.raises(MissingAuthenticationToken, match="presigned URLs are not supported") as refused:
        SignedCaller.of(request, lambda: SECRET)

    assert wire_error(refused.value, Protocol.REST)[:2] == ("MissingAuthenticationTokenException", 403)
    # And without any signature it is called by that name, as ever
    with pytest.raises(MissingAuthenticationToken, match=r"^Missing Authentication Token$"):
        SignedCaller.of(replace(request, query=()), lambda: SECRET)
