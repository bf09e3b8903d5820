"""Guarded ways to the engines for the processes outside the stack's network: the command line, tests, an AWS CLI.

Every request must carry the stack's own session token, which is drawn at each start and written to ``stack.json``
alone; all AWS clients send AWS_SESSION_TOKEN with what they sign. Requests of web pages (``Origin``) and to other names
(``Host``) are refused whatever they carry, and no response grants a page anything.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit
from wsgiref.util import is_hop_by_hop

import urllib3

from tools.local.hosts import host_name, respond

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_CONNECTIONS = 32
# Longer than SQS lets a receiver wait.
_TIMEOUT_SECONDS = 60.0
_TOKEN = "x-amz-security-token"
_CORS_PREFIX = "access-control-"
# The scope of a signature: key id, day, region, service.
_SERVICE = re.compile(r"Credential=[^/,]+/\d{8}/[^/,]+/([^/,]+)/aws4_request")


def require_token(application: WSGIApplication, token: str, names: Collection[str]) -> WSGIApplication:
    """The application for callers that hold ``token`` and call it by one of ``names``; all others get a 403."""

    def check(environment: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if "HTTP_ORIGIN" in environment or host_name(environment.get("HTTP_HOST", "")) not in names:
            return respond(start_response, "403 Forbidden", "no web page may call this")
        if not hmac.compare_digest(_token_of(environment).encode(), token.encode()):
            return respond(
                start_response,
                "403 Forbidden",
                "the session token is not that of the running stack (AWS_SESSION_TOKEN)",
            )
        return application(environment, start_response)

    return check


def forward_by_service(urls: Mapping[str, str]) -> WSGIApplication:
    """An application that is all of AWS at one address: each request is passed on to the service it was signed for.

    ``urls`` has the engine of each service. An engine is called by its own name, whatever the caller called it.
    """
    engines = {service: forward_to(url, host=urlsplit(url).netloc) for service, url in urls.items()}

    def forward(environment: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        scope = _SERVICE.search(environment.get("HTTP_AUTHORIZATION", ""))
        service = scope[1] if scope else "none"
        if service not in engines:
            message = f"signed for the service {service}; here are {', '.join(sorted(engines))}"
            return respond(start_response, "400 Bad Request", message)
        return engines[service](environment, start_response)

    return forward


def forward_to(url: str, *, host: str | None = None, timeout_seconds: float = _TIMEOUT_SECONDS) -> WSGIApplication:
    """An application that passes requests on to the engine at ``url``, and its responses back.

    With ``host``, the engine reads that in ``Host`` in place of what the caller wrote there.
    """
    engine = urlsplit(url)
    pool = urllib3.HTTPConnectionPool(
        engine.hostname or "", engine.port, maxsize=_CONNECTIONS, timeout=timeout_seconds, retries=False
    )
    replaced = {} if host is None else {"HOST": host}

    def forward(environment: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        length = int(environment.get("CONTENT_LENGTH") or 0)
        headers = {
            name.removeprefix("HTTP_").replace("_", "-"): value
            for name, value in environment.items()
            if name.startswith("HTTP_") or name in ("CONTENT_TYPE", "CONTENT_LENGTH")
        }
        try:
            response = pool.urlopen(
                environment["REQUEST_METHOD"],
                environment["REQUEST_URI"],
                body=environment["wsgi.input"].read(length) if length else None,
                headers={
                    name: value
                    for name, value in {**headers, **replaced}.items()
                    if not is_hop_by_hop(name) and name != "EXPECT"
                },
                redirect=False,
                assert_same_host=False,
                decode_content=False,
            )
        except urllib3.exceptions.HTTPError as error:
            return respond(start_response, "502 Bad Gateway", f"the engine does not answer: {error}")
        start_response(
            f"{response.status} {response.reason}",
            [
                (name, value)
                for name, value in response.headers.items()
                if not is_hop_by_hop(name) and not name.lower().startswith(_CORS_PREFIX)
            ],
        )
        return [response.data]

    return forward


def _token_of(environment: WSGIEnvironment) -> str:
    """The session token of a signed request, from its header, or from the query of a presigned URL."""
    if header := environment.get(f"HTTP_{_TOKEN.upper().replace('-', '_')}"):
        return str(header)
    return next((value for name, value in parse_qsl(environment["QUERY_STRING"]) if name.lower() == _TOKEN), "")
