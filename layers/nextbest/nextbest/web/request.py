"""One HTTP request as the dialect sees it, and how the gateway's event becomes one."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request, decoded.

    ``path`` and ``path_parameters`` are percent-decoded once; ``query`` keeps order, repeats and empty values;
    ``headers`` has lower-case names; ``body`` is empty where there is none. ``route`` is the gateway's key of the
    route, such as ``POST /events``; ``account_id`` that of the AWS account which serves the request.
    """

    method: str
    path: str
    path_parameters: Mapping[str, str] = field(default_factory=dict)
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    route: str = "$default"
    request_id: str = ""
    account_id: str = ""


def from_payload_v2(event: Mapping[str, Any]) -> Request:
    """Read an API Gateway HTTP API event, payload format 2.0.

    The gateway percent-decodes ``rawPath`` before it routes, so the path is taken as it stands: a second decoding would
    turn ``%2541`` into ``A``. Path parameters are read off that path with the route's template, because the event's own
    ``pathParameters`` do not tell whether they are decoded. The query comes from ``rawQueryString``, which alone keeps
    repeated keys apart (``queryStringParameters`` joins them with commas).
    """
    context = event["requestContext"]
    path = _without_stage(event["rawPath"], context.get("stage", "$default"))
    route = event.get("routeKey", "$default")
    _, _, template = route.partition(" ")
    return Request(
        method=context["http"]["method"],
        path=path,
        path_parameters=_path_parameters(template, path),
        query=tuple(parse_qsl(event.get("rawQueryString") or "", keep_blank_values=True)),
        headers={name.lower(): value for name, value in (event.get("headers") or {}).items()},
        body=_body(event),
        route=route,
        request_id=context.get("requestId", ""),
        account_id=context.get("accountId", ""),
    )


def _without_stage(path: str, stage: str) -> str:
    """``rawPath`` starts with the stage's name unless the stage is ``$default``."""
    prefix = f"/{stage}/"
    return path[len(prefix) - 1 :] if stage != "$default" and path.startswith(prefix) else path


def _path_parameters(template: str, path: str) -> dict[str, str]:
    names, values = template.split("/"), path.split("/")
    if len(names) != len(values):
        return {}
    return {
        name[1:-1]: value for name, value in zip(names, values, strict=True) if name.startswith("{") and "+" not in name
    }


def _body(event: Mapping[str, Any]) -> bytes:
    body = event.get("body") or ""
    if event.get("isBase64Encoded"):
        return base64.b64decode(body)
    # A lone surrogate has no UTF-8 form; let it through as bytes that no decoder accepts, so the caller gets a 400.
    return str(body).encode("utf-8", "surrogatepass")
