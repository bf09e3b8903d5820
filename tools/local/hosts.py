"""Which names a request may call this machine by.

A page on the internet can point its own name at 127.0.0.1 (DNS rebinding), and its requests then count as its own
site's. They still carry that name in ``Host``, so a server on loopback that knows its names refuses them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
VARIABLE = "NEXTBEST_ALLOWED_HOSTS"


def allowed_names() -> frozenset[str]:
    """The names of loopback, and those that NEXTBEST_ALLOWED_HOSTS lists, separated by commas."""
    listed = os.environ.get(VARIABLE, "").split(",")
    return LOOPBACK_NAMES | {name.strip().lower() for name in listed if name.strip()}


def host_name(header: str) -> str:
    """The name in a ``Host`` header, in lower case and without its port."""
    name, colon, port = header.strip().lower().rpartition(":")
    return name if colon and (port.isascii() and port.isdigit()) else header.strip().lower()


def require_host(application: WSGIApplication, names: Collection[str]) -> WSGIApplication:
    """The application for requests to these names; all others get a 403."""

    def check(environment: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if host_name(environment.get("HTTP_HOST", "")) in names:
            return application(environment, start_response)
        message = f"Host is not a name of this machine; to serve it under other names, list them in {VARIABLE}"
        return respond(start_response, "403 Forbidden", message)

    return check


def respond(start_response: StartResponse, status: str, message: str) -> Iterable[bytes]:
    """A response that is a message alone, and grants no web page anything."""
    body = json.dumps({"message": message}).encode()
    start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
