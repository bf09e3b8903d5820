"""One HTTP request, and how it is read from the gateway's event."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

DEFAULT = "$default"
"""What the gateway calls the route, and the stage, without a name."""
PERSONALIZE = "/personalize"
"""What the paths of Personalize's clients begin with."""

USERS = "/users/"
"""What precedes a user id in a path."""

CONTROL_PLANE = f"{PERSONALIZE}/"
"""Where SDKs post the control plane. No route may end in a slash (template.yaml), so the default route serves it."""


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request, decoded.

    ``path`` and ``path_parameters`` are percent-decoded once; ``query`` keeps order, repeats and empty values;
    ``headers`` has lower-case names, ``cookies`` are ``name=value``; ``body`` is empty where there is none.
    ``path_prefix`` is what preceded ``path`` where the gateway saw it: a named stage (``/prod``) or the base path of a
    custom domain, which clients sign. ``route`` is the gateway's key of the route, such as ``POST /events``;
    ``account_id`` that of the AWS account which serves the request.
    """

    method: str
    path: str
    path_parameters: Mapping[str, str] = field(default_factory=dict)
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    path_prefix: str = ""
    route: str = DEFAULT
    request_id: str = ""
    account_id: str = ""
    cookies: tuple[str, ...] = ()


def from_payload_v2(event: Mapping[str, Any]) -> Request:
    """Read an API Gateway HTTP API event, payload format 2.0.

    The gateway percent-decodes ``rawPath`` before it routes, so the path is used as it is: a second decoding would turn
    ``%2541`` into ``A``. Path parameters are read from that path with the route's template, because the event's own
    ``pathParameters`` may or may not be decoded. The query comes from ``rawQueryString``, which alone keeps repeated
    keys apart (``queryStringParameters`` joins them with commas).

    ``rawPath`` may begin with a named stage, with the base path of a custom domain, or with both, which are no part of
    the route. No member of the event names a base path, but the route's template shows which segments are the route's.

    A path whose user id has a slash fits no route, and takes the default one; its parameters are left to whoever
    serves that (``actionhub/manage.py``).
    """
    context, raw_path = event["requestContext"], event["rawPath"]
    method, route = context["http"]["method"], event.get("routeKey", DEFAULT)
    template = _template(route, method, raw_path)
    prefix = _prefix(context, template, method, raw_path)
    path = raw_path[len(prefix) :]
    return Request(
        method=method,
        path=path,
        path_parameters=_path_parameters(template, path),
        query=tuple(parse_qsl(event.get("rawQueryString") or "", keep_blank_values=True)),
        headers={name.lower(): value for name, value in (event.get("headers") or {}).items()},
        body=_body(event),
        path_prefix=prefix,
        route=route,
        request_id=context.get("requestId", ""),
        account_id=context.get("accountId", ""),
        cookies=tuple(event.get("cookies") or ()),
    )


def _template(route_key: str, method: str, path: str) -> str:
    """The path of the route, ``/users/{user_id}`` for instance; empty for the default route."""
    _, _, template = route_key.partition(" ")
    if not template and method == "POST" and path.endswith(CONTROL_PLANE):
        return CONTROL_PLANE
    return template


def _prefix(context: Mapping[str, Any], template: str, method: str, path: str) -> str:
    """What precedes the route's own path in ``path``."""
    stage = "" if context.get("stage", DEFAULT) == DEFAULT else f"/{context['stage']}"
    names, segments = template.split("/")[1:], path.split("/")[1:]
    if names and names[-1].endswith("+}"):
        return _prefix_of_greedy(names[:-1], segments)
    start = len(segments) - len(names)
    if names and start >= 0 and all(map(_fits, names, segments[start:])):
        prefix = "".join(f"/{segment}" for segment in segments[:start])
        # The API's own domain has no base path: anything else in front belongs to an id with slashes.
        if prefix in ("", stage) or not _is_own_domain(context):
            return prefix
    if not template and context.get("domainName") and not _is_own_domain(context):
        base_path, _, rest = path.partition(USERS)
        # Of a user without a slash the gateway would have found the route, if what is in front were a base path.
        if rest.count("/") >= (1 if method == "DELETE" else 2):
            return base_path
    return stage if path.startswith(f"{stage}/") else ""


def _prefix_of_greedy(names: Sequence[str], segments: Sequence[str]) -> str:
    """What precedes a route such as ``/console/{path+}``, whose last parameter spans segments."""
    starts = range(len(segments) - len(names))
    start = next((start for start in starts if all(map(_fits, names, segments[start:]))), 0)
    return "".join(f"/{segment}" for segment in segments[:start])


def _is_own_domain(context: Mapping[str, Any]) -> bool:
    return bool(context.get("domainName", "").startswith(f"{context.get('apiId')}.execute-api."))


def _fits(name: str, segment: str) -> bool:
    """Whether a template's segment matches that of a path."""
    return name.startswith("{") or name == segment


def _path_parameters(template: str, path: str) -> dict[str, str]:
    names, values = template.split("/"), path.split("/")
    if len(names) != len(values) or template.endswith("+}"):
        return {}
    return {name[1:-1]: value for name, value in zip(names, values, strict=True) if name.startswith("{")}


def _body(event: Mapping[str, Any]) -> bytes:
    body = event.get("body") or ""
    # What is broken is let through as bytes that no decoder accepts, so the caller gets a 400: base64 that ends too
    # early, and a lone surrogate, which has no UTF-8 form.
    if event.get("isBase64Encoded"):
        try:
            return base64.b64decode(body)
        except ValueError:
            return b"\xff"
    return str(body).encode("utf-8", "surrogatepass")
