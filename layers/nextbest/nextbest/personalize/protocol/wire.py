"""Request and response bodies: the JSON of both protocols (docs/contracts/personalize.md, sections 1.2 and 1.3)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from nextbest.errors import InvalidInput, NextbestError
from nextbest.personalize.protocol.errors import Protocol, wire_error
from nextbest.web.response import Response

MAX_BODY_BYTES = 1_000_000
TARGET = "x-amz-target"
"""The header in which the control plane names its operation; the other two clients have a path for each."""


def read_body(body: bytes) -> dict[str, Any]:
    """The members of a request. An empty body has none. Raises InvalidInput for anything but a JSON object."""
    if len(body) > MAX_BODY_BYTES:
        raise InvalidInput(f"The request has {len(body)} bytes; at most {MAX_BODY_BYTES} are allowed")
    if not body.strip():
        return {}
    try:
        members = parse_json(body.decode())
    except ValueError as error:
        raise InvalidInput("The request body is not valid JSON") from error
    if not isinstance(members, dict):
        raise InvalidInput("The request body must be a JSON object")
    return members


def parse_json(text: str) -> Any:
    """``text`` as strict JSON: without NaN and Infinity, which Python would read. Raises ValueError."""
    try:
        return json.loads(text, parse_constant=_no_number)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no JSON number")


def success(
    members: Mapping[str, Any] | None,
    *,
    protocol: Protocol,
    request_id: str,
    headers: Mapping[str, str] | None = None,
    fields: Mapping[str, Any] | None = None,
) -> Response:
    """200 with ``members``; None for an operation without an output. Members that are None are left out."""
    present = {name: value for name, value in (members or {}).items() if value is not None}
    return Response(200, _render(present), {**_headers(protocol, request_id), **(headers or {})}, fields or {})


def failure(error: NextbestError, *, protocol: Protocol, request_id: str) -> Response:
    """The response that every AWS SDK turns into the right exception."""
    exception, status, message = wire_error(error, protocol)
    headers = {**_headers(protocol, request_id), "x-amzn-ErrorType": exception}
    return Response(status, _render({"__type": exception, "message": message}), headers, {"error": exception})


def _headers(protocol: Protocol, request_id: str) -> dict[str, str]:
    return {"content-type": protocol.value, "x-amzn-RequestId": request_id}


def _render(members: Mapping[str, Any]) -> bytes:
    # ASCII alone: text without a UTF-8 form (lone surrogates) survives as an escape.
    return json.dumps(members, separators=(",", ":"), allow_nan=False).encode("ascii")
