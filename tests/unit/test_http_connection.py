"""One connection: what is written, and which responses are read."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from http.client import BadStatusLine, HTTPConnection, HTTPException, IncompleteRead

import pytest

from nextbest.aws.http_connection import PersistentConnection


class Wire(HTTPConnection):
    """A connection to nowhere: the other end has written ``reply`` already."""

    def __init__(self, reply: bytes) -> None:
        super().__init__("example.com", timeout=5)
        self._reply = reply
        self.writes: list[bytes] = []

    def connect(self) -> None:
        self.sock, other = socket.socketpair()
        with other:
            other.sendall(self._reply)

    def send(self, data: object) -> None:
        assert isinstance(data, bytes)
        self.writes.append(data)


@pytest.fixture
def wire() -> Iterator[Callable[[bytes], Wire]]:
    """Makes connections with what the other end writes, which are closed in the end."""
    wires: list[Wire] = []

    def make(reply: bytes) -> Wire:
        wires.append(Wire(reply))
        return wires[-1]

    yield make
    for each in wires:
        each.close()


def test_a_request_is_one_write(wire: Callable[[bytes], Wire]) -> None:
    there = wire(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Amz-Crc32:  7 \r\n\r\n{}")
    reply = PersistentConnection(there).exchange("POST", "/", {"host": "example.com"}, b"body")

    assert there.writes == [b"POST / HTTP/1.1\r\nhost: example.com\r\ncontent-length: 4\r\n\r\nbody"]
    assert (reply.status, reply.headers["x-amz-crc32"], reply.content, reply.is_last) == (200, "7", b"{}", False)


def test_responses_follow_each_other(wire: Callable[[bytes], Wire]) -> None:
    one, two = b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n1", b"HTTP/1.1 503 Busy\r\ncontent-length: 1\r\n\r\n2"
    connection = PersistentConnection(wire(one + two))
    replies = [connection.exchange("GET", "/", {}, b"") for _ in range(2)]
    connection.close()

    assert [(reply.status, reply.content) for reply in replies] == [(200, b"1"), (503, b"2")]


@pytest.mark.parametrize("head", [b"HTTP/1.0 200 OK\r\n", b"HTTP/1.1 200 OK\r\nConnection: Close\r\n"])
def test_the_other_end_closes(wire: Callable[[bytes], Wire], head: bytes) -> None:
    there = wire(head + b"content-length: 0\r\n\r\n")
    assert PersistentConnection(there).exchange("GET", "/", {}, b"").is_last


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (b"", HTTPException),
        (b"HTTP/1.1 200 OK\r\ncontent-le", HTTPException),
        (b"SSH-2.0-OpenSSH_9.9\r\n", BadStatusLine),
        (b"HTTP/1.1 OK\r\n\r\n", BadStatusLine),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", HTTPException),
        (b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", HTTPException),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", HTTPException),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n{}", IncompleteRead),
        (b"HTTP/1.1 200 " + b"O" * 65_536 + b"\r\n", HTTPException),
        (b"HTTP/1.1 200 OK\r\n" + b"".join(b"x%d: 1\r\n" % n for n in range(101)), HTTPException),
    ],
    ids=lambda value: value[:40].decode() if isinstance(value, bytes) else value.__name__,
)
def test_other_responses_are_refused(wire: Callable[[bytes], Wire], reply: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        PersistentConnection(wire(reply)).exchange("GET", "/", {}, b"")
