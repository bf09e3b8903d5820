"""One HTTP/1.1 connection for requests that users wait for: written at once, and read without a parser of mails.

``http.client`` sends head and body of a request one after the other and reads the headers of a response as those of a
mail; that took 5 % of the processor time of a whole request. Connecting, TLS included, stays its. What AWS's
services never send here (chunks, a body until the end of the connection) is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http.client import BadStatusLine, HTTPConnection, HTTPException, IncompleteRead
from io import BufferedReader

_MAX_LINE_BYTES = 65_536
_MAX_HEADERS = 100


@dataclass(frozen=True, slots=True)
class HttpReply:
    """A response. Names of ``headers`` are in lower case; ``is_last`` where the connection ends with it."""

    status: int
    headers: Mapping[str, str]
    content: bytes
    is_last: bool


class PersistentConnection:
    """Sends requests over one connection, which is opened by the first. Not thread-safe."""

    def __init__(self, connection: HTTPConnection) -> None:
        self._connection = connection
        self._reader: BufferedReader | None = None

    def exchange(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> HttpReply:
        """The response to a request, whose ``headers`` include ``host``. Raises OSError and HTTPException."""
        length = {"content-length": str(len(body))} if body else {}
        lines = "".join(f"{name}: {value}\r\n" for name, value in {**headers, **length}.items())
        if self._reader is None:
            self._connection.connect()
            self._reader = self._connection.sock.makefile("rb")
        self._connection.send(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + body)
        return _read_reply(self._reader)

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
        self._connection.close()


def _read_reply(reader: BufferedReader) -> HttpReply:
    version, _, rest = _line(reader).partition(" ")
    status = rest[:3]
    if not version.startswith("HTTP/1.") or not (status.isascii() and status.isdecimal()):
        raise BadStatusLine(version)
    headers = _read_headers(reader)
    length = headers.get("content-length", "")
    if not (length.isascii() and length.isdecimal()) or "transfer-encoding" in headers:
        raise HTTPException("a response does not say how long it is")
    content = reader.read(int(length))
    if len(content) < int(length):
        raise IncompleteRead(content, int(length) - len(content))
    is_last = version == "HTTP/1.0" or headers.get("connection", "").lower() == "close"
    return HttpReply(int(status), headers, content, is_last)


def _read_headers(reader: BufferedReader) -> dict[str, str]:
    headers: dict[str, str] = {}
    while line := _line(reader):
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
        if len(headers) > _MAX_HEADERS:
            raise HTTPException(f"a response has more than {_MAX_HEADERS} headers")
    return headers


def _line(reader: BufferedReader) -> str:
    line = reader.readline(_MAX_LINE_BYTES)
    if not line.endswith(b"\n"):
        raise HTTPException("a line of a response is cut off, or too long")
    return line.rstrip(b"\r\n").decode("latin-1")
