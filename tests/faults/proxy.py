"""A proxy before a local engine that can do to any call what networks and services do: refuse, delay, lose.

It stands where the functions believe the service to be, so every fault takes the real path through sockets, clients,
their time-outs and their retries.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from tools.local.processes import HOST

_LONGEST_HOLD_SECONDS = 60.0
_PASSED_ON = ("content-type", "x-amz-crc32", "etag", "x-amz-version-id", "x-amzn-requestid")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a caller is told."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Call:
    """One call to the engine. ``operation`` is DynamoDB's or SQS's name, or method and path of S3."""

    operation: str
    body: bytes
    forward: Callable[[], Answer]


Fault = Callable[[Call], Answer | None]
"""What becomes of a call; None ends the connection without an answer."""


@dataclass(slots=True)
class _Rule:
    operation: str
    fault: Fault
    left: float
    met: int = 0


@dataclass(frozen=True, slots=True)
class Injected:
    """A fault in place. ``met`` counts the calls that met it."""

    rule: _Rule

    @property
    def met(self) -> int:
        return self.rule.met


class Proxy:
    """Passes calls on to ``target``, but those that a fault is in place for."""

    def __init__(self, target: str) -> None:
        self._rules: list[_Rule] = []
        self._lock = threading.Lock()
        self._calls_under_way = 0
        self._server = ThreadingHTTPServer((HOST, 0), _handler(self, urlsplit(target).netloc))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"http://{HOST}:{self._server.server_port}"

    @contextmanager
    def failing(self, operation: str, fault: Fault, *, times: float = float("inf")) -> Iterator[Injected]:
        """Let ``fault`` happen to the next ``times`` calls whose operation begins so, while the context lasts."""
        rule = _Rule(operation, fault, times)
        with self._lock:
            self._rules.append(rule)
        try:
            yield Injected(rule)
        finally:
            with self._lock:
                self._rules.remove(rule)

    def fault_for(self, operation: str) -> Fault | None:
        """The fault that the next call meets, if any."""
        with self._lock:
            for rule in self._rules:
                if rule.left > 0 and operation.startswith(rule.operation):
                    rule.left -= 1
                    rule.met += 1
                    return rule.fault
        return None

    @property
    def calls_under_way(self) -> int:
        """Calls that have come and are not answered yet, those included whose callers wait no longer."""
        return self._calls_under_way

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count a call as under way while the context lasts."""
        with self._lock:
            self._calls_under_way += 1
        try:
            yield
        finally:
            with self._lock:
                self._calls_under_way -= 1

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(proxy: Proxy, target: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except ConnectionError:  # the caller did not wait for the answer
                self.close_connection = True

        def handle_expect_100(self) -> bool:
            agreed = super().handle_expect_100()
            self.wfile.flush()  # the caller waits a second for it otherwise
            return agreed

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            operation = self.headers.get("x-amz-target", "").rpartition(".")[2] or f"{self.command} {self.path}"
            call = Call(operation, body, lambda: self._forward(body))
            with proxy.counting():
                fault = proxy.fault_for(operation)
                answer = fault(call) if fault is not None else call.forward()
            if answer is None:
                self.close_connection = True
                return
            self.send_response(answer.status)
            for name, value in {**answer.headers, "content-length": str(len(answer.body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)
            self.wfile.flush()

        def _forward(self, body: bytes) -> Answer:
            connection = HTTPConnection(target, timeout=30)
            try:
                connection.request(self.command, self.path, body, dict(self.headers.items()))
                response = connection.getresponse()
                headers = {name: response.headers[name] for name in _PASSED_ON if name in response.headers}
                return Answer(response.status, response.read(), headers)
            finally:
                connection.close()

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve  # noqa: N815 - names that http.server looks for

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def refused(status: int, code: str) -> Fault:
    """The service answers with an error, in DynamoDB's form and in S3's."""
    as_json = json.dumps({"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "injected"}).encode()
    as_xml = f"<Error><Code>{code}</Code><Message>injected</Message></Error>".encode()

    def fault(call: Call) -> Answer:
        is_s3 = " " in call.operation
        return Answer(status, as_xml if is_s3 else as_json)

    return fault


throttled = refused(400, "ProvisionedThroughputExceededException")
broken = refused(500, "InternalServerError")


def lost(_call: Call) -> None:
    """The call never arrives."""


def done_but_lost(call: Call) -> None:
    """The service does what it is asked to do, and its answer is lost."""
    call.forward()


def slow(seconds: float) -> Fault:
    """The service takes its time."""

    def fault(call: Call) -> Answer:
        time.sleep(seconds)
        return call.forward()

    return fault


def held_until(released: threading.Event) -> Fault:
    """The service does nothing until it is released, which callers may not live to see."""

    def fault(call: Call) -> Answer:
        released.wait(_LONGEST_HOLD_SECONDS)
        return call.forward()

    return fault


def rewritten(change: Callable[[bytes], bytes]) -> Fault:
    """The service does it, and tells something else."""

    def fault(call: Call) -> Answer:
        answer = call.forward()
        return Answer(answer.status, change(answer.body), {"content-type": answer.headers.get("content-type", "")})

    return fault
