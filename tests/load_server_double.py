"""A server that keeps the contract of programs and ``POST /events``, for the tests of the loader."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

KEY = "demo.secret"
HEADER = "user_id,event_type,asset_id,timestamp,labels\n"


@dataclass
class Contract:
    """What the server double knows and does: programs, events, and the answers it gives instead, in order.

    ``statuses`` are those of a rebase, in order; the last one stays.
    """

    programs: set[str] = field(default_factory=lambda: {"shop"})
    events: set[tuple[str, ...]] = field(default_factory=set)
    posts: list[list[dict[str, Any]]] = field(default_factory=list)
    queries: list[dict[str, list[str]]] = field(default_factory=list)
    connections: set[int] = field(default_factory=set)
    instead: list[int] = field(default_factory=list)
    largest_body: int = 4 * 1024 * 1024
    bodies: list[bytes] = field(default_factory=list)
    statuses: list[tuple[str, str]] = field(default_factory=list)
    rebases: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, method: str, path: str, headers: dict[str, str], body: Any) -> tuple[int, Any]:
        """Status and body of a response."""
        if headers.get("actionhub-key") != KEY:
            return 403, {"detail": "Could not validate API KEY"}
        if (method, path) == ("POST", "/programs"):
            self.programs.add(body["program_id"])
            return 200, {"api_key": "new.secret", "program_id": body["program_id"]}
        if headers.get("program-id") not in self.programs:
            return 404, {"detail": "Program not found"}
        if (method, path) == ("GET", "/program"):
            return 200, {"program_id": headers["program-id"], "program_name": "Shop"}
        if (method, path) == ("PUT", "/program/rebase"):
            self.rebases += 1
            return 200, {"result": "the rebase was started"}
        if (method, path) == ("GET", "/program/status"):
            status_id, message = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
            return 200, {"program_id": headers["program-id"], "status_id": status_id, "message": message}
        if (method, path) == ("POST", "/events"):
            return self._post(body["events"])
        return 404, {"detail": "Not Found"}

    def _post(self, events: list[dict[str, Any]]) -> tuple[int, Any]:
        with self.lock:
            self.posts.append(events)
            if self.instead and (status := self.instead.pop(0)) != 200:
                return status, {"message": "Service Unavailable"}
            wrong = [index for index, event in enumerate(events) if event["asset_id"].startswith("unknown")]
            if wrong:
                return 422, {
                    "detail": [
                        {"loc": ["body", "events", index, "asset_id"], "msg": "Value is not allowed", "type": "value"}
                        for index in wrong
                    ]
                }
            names = ("user_id", "event_timestamp", "event_type", "asset_id")
            identities = [tuple(str(event[name]) for name in names) for event in events]
            fresh = len(set(identities) - self.events)
            self.events.update(identities)
            known = len(identities) - fresh
            result = f"accepted {fresh} events, {known} duplicates"
            return 200, {"result": result, "accepted": fresh, "duplicates": known}


@dataclass
class Double:
    """The running server double."""

    contract: Contract
    url: str


@contextmanager
def running_double() -> Iterator[Double]:
    """A server on a free port of this machine, stopped at the end."""
    contract = Contract()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            size = int(self.headers.get("content-length", 0))
            raw = self.rfile.read(size)
            body = json.loads(raw) if raw else None
            url = urlsplit(self.path)
            contract.connections.add(self.client_address[1])
            if url.path == "/events":
                contract.bodies.append(raw)
                contract.queries.append(parse_qs(url.query))
            headers = {name.lower(): value for name, value in self.headers.items()}
            if size > contract.largest_body:
                # As a proxy answers before the server is reached.
                status, content = 413, b"<h1>Content Too Large</h1>"
            else:
                status, answer = contract.answer(self.command, url.path, headers, body)
                content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = _serve  # noqa: N815  # the names that http.server calls

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield Double(contract, f"http://127.0.0.1:{server.server_port}")
    server.shutdown()
    thread.join()
    server.server_close()


def write(folder: Path, rows: int) -> Path:
    """A file of so many rows of seven users."""
    path = folder / "events.csv"
    path.write_text(HEADER + "".join(f"user-{row % 7},order,latte,{row},app|morning\n" for row in range(rows)))
    return path


def command(double: Double, path: Path, *more: str) -> list[str]:
    """The arguments that load a file into the double's program."""
    state = str(path.parent / "state")
    return ["load", str(path), "--program", "shop", "--url", double.url, "--key", KEY, "--state", state, *more]
