"""One HTTP request as the event that API Gateway sends for an HTTP API (payload format 2.0).

SAM CLI builds this event too, but gives every request of a server the same id and time, seconds for milliseconds,
title-case headers, cookies twice, and fails on binary bodies. This is the form that AWS sends.
"""

from __future__ import annotations

import base64
import itertools
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from tools.local.engines import ACCOUNT_ID, REGION

API_ID = "local"
# What HTTP APIs pass on as text, as observed on AWS (ministackorg/ministack pull request 766); everything else, even a
# form or a body without a type, arrives in base64.
_TEXT_TYPES = re.compile(r"^(text/.*|application/(json|javascript|xml))$")


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request as the gateway received it. ``path`` is percent-decoded, as HTTP APIs pass it on; ``query`` is raw."""

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    source_ip: str
    port: int
    protocol: str = "HTTP/1.1"


def proxy_event(
    request: HttpRequest,
    *,
    route_key: str,
    path_parameters: Mapping[str, str],
    stage: str,
    now: float,
) -> dict[str, Any]:
    """The payload 2.0 event. ``now`` is seconds since 1970; members that do not apply are left out, as on AWS."""
    headers = _joined((name.lower(), value) for name, value in request.headers)
    cookies = [cookie.strip() for cookie in headers.pop("cookie", "").split(";") if cookie.strip()]
    headers.setdefault("x-forwarded-for", request.source_ip)
    headers.setdefault("x-forwarded-port", str(request.port))
    headers.setdefault("x-forwarded-proto", "http")
    headers.setdefault("x-amzn-trace-id", f"Root=1-{int(now):08x}-{secrets.token_hex(12)}")
    query = _joined(parse_qsl(request.query, keep_blank_values=True))
    domain = f"{API_ID}.execute-api.{REGION}.amazonaws.com"
    # The handler sees the host that the client signed and called, as it would through a custom domain.
    host = headers.get("host", domain)
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": route_key,
        "rawPath": request.path,
        "rawQueryString": request.query,
        "headers": headers,
        "requestContext": {
            "accountId": ACCOUNT_ID,
            "apiId": API_ID,
            "domainName": host,
            "domainPrefix": host.split(".")[0],
            "http": {
                "method": request.method,
                "path": request.path,
                "protocol": request.protocol,
                "sourceIp": request.source_ip,
                "userAgent": headers.get("user-agent", ""),
            },
            "requestId": base64.urlsafe_b64encode(secrets.token_bytes(11)).decode(),
            "routeKey": route_key,
            "stage": stage,
            "time": datetime.fromtimestamp(now, UTC).strftime("%d/%b/%Y:%H:%M:%S +0000"),
            "timeEpoch": round(now * 1000),
        },
        "isBase64Encoded": False,
    }
    if cookies:
        event["cookies"] = cookies
    if query:
        event["queryStringParameters"] = query
    if path_parameters:
        event["pathParameters"] = dict(path_parameters)
    if request.body:
        event["body"], event["isBase64Encoded"] = _body(request.body, headers.get("content-type", ""))
    return event


def _joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Values of the same name joined by commas, in order."""
    ordered = sorted(pairs, key=lambda pair: pair[0])
    return {
        name: ",".join(value for _, value in group)
        for name, group in itertools.groupby(ordered, key=lambda pair: pair[0])
    }


def _body(body: bytes, content_type: str) -> tuple[str, bool]:
    """Text as it is, everything else in base64; and whether it is base64."""
    if _TEXT_TYPES.match(content_type.split(";")[0].strip().lower()):
        try:
            return body.decode(), False
        except UnicodeDecodeError:
            pass  # Bytes that are not text can only be sent in base64.
    return base64.b64encode(body).decode(), True
