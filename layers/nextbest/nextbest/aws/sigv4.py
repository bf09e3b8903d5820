"""AWS Signature Version 4 for the few requests that ``direct.py`` sends.

botocore signs too, but importing its signer costs a cold start as much as numpy does (measured: docs/performance.md).
A property test holds both against each other. Source: AWS, "Create a signed AWS API request".
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from time import gmtime, strftime

_ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What requests are signed with. ``token`` is empty for long-lived keys."""

    access_key: str
    secret_key: str
    token: str = ""


def signed_headers(
    method: str,
    path: str,
    headers: Mapping[str, str],
    body: bytes,
    credentials: Credentials,
    *,
    region: str,
    service: str,
    now: float,
) -> dict[str, str]:
    """``headers`` with those that prove who sends the request; ``now`` is seconds since 1970.

    ``path`` is percent-encoded as it goes over the wire, without a query. ``headers`` has lower-case names, ``host``
    among them, and all of them are signed.
    """
    timestamp = strftime("%Y%m%dT%H%M%SZ", gmtime(now))
    digest = sha256(body).hexdigest()
    headers = {**headers, "x-amz-date": timestamp, "x-amz-content-sha256": digest}
    if credentials.token:
        headers["x-amz-security-token"] = credentials.token
    names = sorted(headers)
    lines = "".join(f"{name}:{headers[name]}\n" for name in names)
    signed = ";".join(names)
    canonical = f"{method}\n{path}\n\n{lines}\n{signed}\n{digest}"
    scope = f"{timestamp[:8]}/{region}/{service}/aws4_request"
    to_sign = f"{_ALGORITHM}\n{timestamp}\n{scope}\n{sha256(canonical.encode()).hexdigest()}"
    key = _signing_key(credentials.secret_key, timestamp[:8], region, service)
    signature = hmac.new(key, to_sign.encode(), sha256).hexdigest()
    proof = f"Credential={credentials.access_key}/{scope}, SignedHeaders={signed}, Signature={signature}"
    return {**headers, "authorization": f"{_ALGORITHM} {proof}"}


@lru_cache(maxsize=8)
def _signing_key(secret_key: str, date: str, region: str, service: str) -> bytes:
    """The key of one day, derived in four steps."""
    key = f"AWS4{secret_key}".encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
