"""Which names the gateway answers to, and what opens the doors of the engines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING
from wsgiref.util import setup_testing_defaults

import pytest

from tools.local.doors import forward_by_service, require_token
from tools.local.gateway import Server
from tools.local.hosts import LOOPBACK_NAMES, allowed_names, host_name, require_host
from tools.local.private_network import listen

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

TOKEN = "the-token-of-this-start"


def engine(_: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [])
    return [b"data"]


def call(application: WSGIApplication, variables: Mapping[str, str]) -> tuple[str, list[tuple[str, str]], bytes]:
    """Status, headers and body of a request with these WSGI variables."""
    environment: WSGIEnvironment = dict(variables)
    setup_testing_defaults(environment)
    environment.setdefault("QUERY_STRING", "")
    environment["HTTP_HOST"] = variables.get("HTTP_HOST", "")
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], *_: object) -> None:
        started.append((status, headers))

    body = b"".join(application(environment, start_response))  # type: ignore[arg-type]
    ((status, headers),) = started
    return status, headers, body


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("localhost", "localhost"),
        ("LocalHost:3000", "localhost"),
        ("127.0.0.1:3000", "127.0.0.1"),
        ("[::1]:3000", "[::1]"),
        ("[::1]", "[::1]"),
        ("evil.example:3000", "evil.example"),
        ("127.0.0.1:3000, evil.example", "127.0.0.1:3000, evil.example"),
        ("", ""),
    ],
)
def test_name_of_a_host_header_is_without_port_and_in_lower_case(header: str, name: str) -> None:
    assert host_name(header) == name


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:3000", "127.0.0.1:3000", "[::1]:3000", "[::1]"])
def test_requests_to_loopback_names_are_served(host: str) -> None:
    assert call(require_host(engine, LOOPBACK_NAMES), {"HTTP_HOST": host})[0] == "200 OK"


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "evil.example:3000",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "127.0.0.1:3000, evil.example",
        "127.0.0.1:x",
        "evil.example:3000:127.0.0.1",
        "0.0.0.0:3000",
    ],
)
def test_requests_to_other_names_are_refused_with_the_way_out(host: str) -> None:
    status, headers, body = call(require_host(engine, LOOPBACK_NAMES), {"HTTP_HOST": host})

    assert status == "403 Forbidden"
    assert not [name for name, _ in headers if name.lower().startswith("access-control")]
    assert b"NEXTBEST_ALLOWED_HOSTS" in body


def test_other_names_can_be_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEXTBEST_ALLOWED_HOSTS", "Laptop.example, dev.example,,")

    assert allowed_names() == LOOPBACK_NAMES | {"laptop.example", "dev.example"}
    assert call(require_host(engine, allowed_names()), {"HTTP_HOST": "laptop.example:8080"})[0] == "200 OK"
    assert call(require_host(engine, allowed_names()), {"HTTP_HOST": "evil.example"})[0] == "403 Forbidden"


@pytest.mark.parametrize(
    "carrying",
    [
        {"HTTP_X_AMZ_SECURITY_TOKEN": TOKEN},
        {"QUERY_STRING": f"a=b&X-Amz-Security-Token={TOKEN}"},
        {"QUERY_STRING": f"x-amz-security-token={TOKEN}"},
    ],
)
def test_token_opens_a_door(carrying: dict[str, str]) -> None:
    request = {"HTTP_HOST": "127.0.0.1:4566", **carrying}

    assert call(require_token(engine, TOKEN, LOOPBACK_NAMES), request)[0] == "200 OK"


@pytest.mark.parametrize(
    "changed",
    [
        {"HTTP_X_AMZ_SECURITY_TOKEN": ""},
        {"HTTP_X_AMZ_SECURITY_TOKEN": "local"},
        {"HTTP_X_AMZ_SECURITY_TOKEN": TOKEN[:-1]},
        {"HTTP_X_AMZ_SECURITY_TOKEN": "caf\u00e9"},
        {"HTTP_X_AMZ_SECURITY_TOKEN": "", "QUERY_STRING": f"X-Amz-Security-Token={TOKEN}x"},
        {"HTTP_ORIGIN": "https://evil.example"},
        {"HTTP_ORIGIN": "null"},
        {"HTTP_HOST": "evil.example:4566"},
        {"HTTP_HOST": ""},
    ],
)
def test_door_stays_shut(changed: dict[str, str]) -> None:
    request = {"HTTP_HOST": "127.0.0.1:4566", "HTTP_X_AMZ_SECURITY_TOKEN": TOKEN, **changed}

    status, headers, body = call(require_token(engine, TOKEN, LOOPBACK_NAMES), request)

    assert status == "403 Forbidden"
    assert not [name for name, _ in headers if name.lower().startswith("access-control")]
    assert TOKEN.encode() not in body


def request_signed_for(service: str) -> dict[str, str]:
    """The variables of a request that an AWS client signed."""
    scope = f"local/20261128/us-east-1/{service}/aws4_request"
    authorization = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0123"
    return {"HTTP_HOST": "host.docker.internal:4566", "HTTP_AUTHORIZATION": authorization, "REQUEST_URI": "/"}


def test_request_goes_to_the_service_that_it_is_signed_for_under_the_name_of_that_engine() -> None:
    def named(name: str) -> WSGIApplication:
        def respond(environment: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            start_response("200 OK", [])
            return [f"{name} at {environment['HTTP_HOST']}".encode()]

        return respond

    servers = {service: Server(listen("127.0.0.1", 0), threads=1) for service in ("s3", "lambda")}
    try:
        for service, server in servers.items():
            server.run(named(service))
        door = forward_by_service({service: server.urls[0] for service, server in servers.items()})
        for service, server in servers.items():
            body = call(door, request_signed_for(service))[2].decode()
            assert body == f"{service} at {server.urls[0].removeprefix('http://')}"
    finally:
        for server in servers.values():
            server.close()


@pytest.mark.parametrize("variables", [request_signed_for("sts"), {"HTTP_HOST": "localhost", "REQUEST_URI": "/"}])
def test_request_for_no_service_that_runs_here_is_refused(variables: dict[str, str]) -> None:
    status, _, body = call(forward_by_service({"s3": "http://127.0.0.1:1"}), variables)

    assert status == "400 Bad Request"
    assert b"here are s3" in body
