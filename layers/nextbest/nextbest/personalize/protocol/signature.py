"""Verifies AWS Signature Version 4 as the SDKs put it in the Authorization header.

    credential = parse_authorization(request.headers)        the claim
    secret = ...                                             of credential.access_key_id; unknown: UnrecognizedClient
    verify(request, credential, secret, now=now)

The arithmetic is ``aws/sigv4.py``'s, which signs our own requests too. Checked here is that the signature covers what
matters, fits this service, and is fresh. A session token is ignored: our keys have none.

Errors have the codes and the texts that AWS uses, and never echo the request:

    MissingAuthenticationTokenException  403   no Authorization header; a presigned URL, whose signature is in the query
    IncompleteSignatureException         400   a header that cannot be read, no date, or an unsigned body
    UnrecognizedClientException          403   unknown key
    InvalidSignatureException            403   anything else: wrong, stale, for another service, or covering too little
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from hashlib import sha256
from urllib.parse import quote

from nextbest.aws.sigv4 import (
    ALGORITHM,
    CONTENT_HASH,
    DATE,
    TERMINATOR,
    TIMESTAMP_FORMAT,
    canonical_path,
    canonical_query,
    canonical_request,
    signature,
)
from nextbest.domain.access_keys import KEY_ID
from nextbest.errors import Forbidden
from nextbest.personalize.protocol.errors import Refused
from nextbest.personalize.protocol.wire import TARGET
from nextbest.web.request import Request

SERVICE = "personalize"
MAX_SKEW_SECONDS = 300

_BASIC_FORMAT = re.compile(r"[0-9]{8}T[0-9]{6}Z")
_SIGNATURE = re.compile(r"[0-9a-f]{64}")
# Headers that change what a request means must be signed wherever they are present.
_COVERED = (DATE, TARGET, CONTENT_HASH)
_PRESIGNED = {"x-amz-signature", "x-amz-credential", "x-amz-algorithm"}
_MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key "
    "and signing method. Consult the service documentation for details."
)


class SignatureRefused(Refused, Forbidden):
    """A request whose signature does not prove who sent it. ``code`` is the exception's name on the wire."""

    status_of_kind = 403

    def __init__(self, message: str) -> None:
        super().__init__(f"{type(self).__name__}Exception", message, status=self.status_of_kind)

    @property
    def code(self) -> str:
        """The AWS error code."""
        return self.exception


class MissingAuthenticationToken(SignatureRefused):
    """The request is not signed at all."""


class IncompleteSignature(SignatureRefused):
    """The signature cannot be read."""

    status_of_kind = 400


class InvalidSignature(SignatureRefused):
    """The signature is wrong, stale, for another service, or covers too little."""


class UnrecognizedClient(SignatureRefused):
    """The access key id does not exist. Raised by the callers of this module too."""

    def __init__(self) -> None:
        super().__init__("The security token included in the request is invalid.")


@dataclass(frozen=True, slots=True)
class Credential:
    """What an Authorization header claims. ``date`` is YYYYMMDD; ``signed_headers`` are lower-case names, as sent."""

    access_key_id: str
    date: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str


def parse_authorization(headers: Mapping[str, str]) -> Credential:
    """The claim in the Authorization header; ``headers`` has lower-case names.

    Raises MissingAuthenticationToken, IncompleteSignature; InvalidSignature for a scope that is not this service's, and
    UnrecognizedClient for an id that no key can have.
    """
    algorithm, _, rest = headers.get("authorization", "").strip().partition(" ")
    if not algorithm:
        raise MissingAuthenticationToken("Missing Authentication Token")
    if algorithm != ALGORITHM or not rest.isascii():
        raise IncompleteSignature(f"The Authorization header must begin with {ALGORITHM}.")
    elements = dict(_element(text) for text in rest.split(","))
    lacking = [name for name in ("Credential", "Signature", "SignedHeaders") if not elements.get(name)]
    if lacking:
        raise IncompleteSignature(" ".join(f"Authorization header requires '{name}' parameter." for name in lacking))
    # An id that is not one may hold slashes; the four elements of the scope cannot.
    scope = elements["Credential"].rsplit("/", 4)
    if len(scope) != 5 or not all(scope):
        raise IncompleteSignature(
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term."
        )
    access_key_id, date, region, service, terminator = scope
    if service != SERVICE:
        raise InvalidSignature(f"Credential should be scoped to correct service: '{SERVICE}'.")
    if terminator != TERMINATOR:
        raise InvalidSignature(f"Credential should be scoped with a valid terminator: '{TERMINATOR}'.")
    if not KEY_ID.fullmatch(access_key_id):
        raise UnrecognizedClient
    signed_headers = tuple(elements["SignedHeaders"].lower().split(";"))
    return Credential(access_key_id, date, region, service, signed_headers, elements["Signature"])


def refuse_presigned(request: Request) -> None:
    """Raise MissingAuthenticationToken for a presigned URL, and say that it is one.

    No SDK presigns the requests of this service for itself: each has a body, which a presigned URL would not cover.
    """
    if "authorization" not in request.headers and any(name.lower() in _PRESIGNED for name, _ in request.query):
        raise MissingAuthenticationToken(
            "Missing Authentication Token: presigned URLs are not supported (X-Amz-Signature is in the query string). "
            "Sign the request in the Authorization header, as SDKs do when they send it."
        )


def verify(request: Request, credential: Credential, secret: str, *, now: float) -> None:
    """Raise unless ``request`` was signed with ``secret`` within 5 minutes of ``now`` (seconds since 1970).

    Raises IncompleteSignature, InvalidSignature. Compares in constant time.
    """
    timestamp, signed_at = _signed_at(request.headers)
    if credential.date != timestamp[:8]:
        raise InvalidSignature(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP."
        )
    _check_freshness(signed_at, now)
    signed_headers = _signed_headers(request.headers, credential)
    sent = credential.signature
    expected = (
        _signature(request, path, signed_headers, credential, secret, timestamp) for path in _signed_paths(request)
    )
    if not _SIGNATURE.fullmatch(sent) or not any(hmac.compare_digest(text, sent) for text in expected):
        raise InvalidSignature(_MISMATCH)


def _signed_paths(request: Request) -> Iterator[str]:
    """The paths that the client may have signed, decoded, the likeliest first.

    What precedes ``request.path`` is a named stage, a base path of a custom domain, or both. A domain that is mapped
    to a stage shows clients no stage. Each of them leads to this very route, so trying them all weakens nothing.
    """
    prefix = request.path_prefix
    _, _, after_first = prefix[1:].partition("/")
    for candidate in dict.fromkeys((prefix, f"/{after_first}" if after_first else "", "")):
        yield f"{candidate}{request.path}"


def _signature(
    request: Request, path: str, signed_headers: Mapping[str, str], credential: Credential, secret: str, timestamp: str
) -> str:
    """The signature this request should have, in hex."""
    # The gateway decoded the path once; SDKs encode what goes over the wire once more.
    canonical = canonical_request(
        request.method,
        canonical_path(quote(path, safe="/~", errors="replace")),
        canonical_query(request.query),
        signed_headers,
        # Computed from the body that arrived, whatever hash the client claims.
        sha256(request.body).hexdigest(),
    )
    return signature(canonical, secret, timestamp=timestamp, region=credential.region, service=credential.service)


def _element(text: str) -> tuple[str, str]:
    name, _, value = text.strip().partition("=")
    return name, value


def _signed_at(headers: Mapping[str, str]) -> tuple[str, float]:
    """When the client signed, to the second: X-Amz-Date, else Date; as a timestamp and in seconds since 1970."""
    sent = headers.get(DATE) or headers.get("date")
    if not sent:
        raise IncompleteSignature(
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."
        )
    try:
        if _BASIC_FORMAT.fullmatch(sent):
            return sent, datetime.fromisoformat(sent).timestamp()
        moment = parsedate_to_datetime(sent)
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
        return f"{moment:{TIMESTAMP_FORMAT}}", moment.timestamp()
    except (ValueError, OverflowError) as error:
        raise IncompleteSignature("Date must be in ISO-8601 'basic format'.") from error


def _check_freshness(signed_at: float, now: float) -> None:
    """Both in seconds since 1970."""
    if signed_at < now - MAX_SKEW_SECONDS:
        limit, here = _stamp(now - MAX_SKEW_SECONDS), _stamp(now)
        raise InvalidSignature(f"Signature expired: {_stamp(signed_at)} is now earlier than {limit} ({here} - 5 min.)")
    if signed_at > now + MAX_SKEW_SECONDS:
        limit, here = _stamp(now + MAX_SKEW_SECONDS), _stamp(now)
        raise InvalidSignature(
            f"Signature not yet current: {_stamp(signed_at)} is still later than {limit} ({here} + 5 min.)"
        )


def _stamp(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):{TIMESTAMP_FORMAT}}"


def _signed_headers(headers: Mapping[str, str], credential: Credential) -> dict[str, str]:
    """The headers that the client signed, with the values that arrived, once they cover all that matters."""
    if "host" not in credential.signed_headers:
        raise InvalidSignature("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")
    for name in _COVERED:
        if name in headers and name not in credential.signed_headers:
            raise InvalidSignature(f"'{name}' must be a 'SignedHeader' in the AWS Authorization.")
    claimed = headers.get(CONTENT_HASH, "")
    if claimed == "UNSIGNED-PAYLOAD" or claimed.startswith("STREAMING-"):
        # No SDK sends these to this service. Accepting them would allow a body to be replaced while the signature is
        # fresh.
        raise IncompleteSignature(f"'{CONTENT_HASH}' must be the SHA-256 of the body: payloads must be signed.")
    signed: dict[str, str] = {}
    for name in set(credential.signed_headers):
        # A header that is missing, or has no UTF-8 form to hash, cannot be what was signed.
        if name not in headers or not headers[name].isprintable():
            raise InvalidSignature(_MISMATCH)
        signed[name] = headers[name]
    return signed
