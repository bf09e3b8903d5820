"""A client of one program's ``POST /events``: batches in, results out; failed requests are repeated."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import urllib3

from nextbest.domain.events import Event
from nextbest.domain.times import format_time
from nextbest.event_files.reader import RejectedRow
from tools.cli.load_batches import Batch
from tools.cli.load_errors import ServerRefuses

# Half of what the server takes, because a gateway may wrap and escape a body on its way.
LARGEST_BODY_BYTES = 2 * 1024 * 1024
ATTEMPTS = 8
# Report a server that is not running soon; be patient with one that fails during a load.
FIRST_CONTACT_ATTEMPTS = 3
FIRST_BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS = 0.25, 15.0
TIMEOUT = urllib3.Timeout(connect=5.0, read=60.0)


@dataclass(slots=True)
class PostResult:
    """The result of a batch: how many rows were accepted or known already, and which were rejected."""

    accepted: int = 0
    duplicates: int = 0
    rejected: list[RejectedRow] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Server:
    """One program on one server, over kept-alive connections.

    ``generator`` draws the jitter of repeated attempts; ``pause`` waits that many seconds.
    """

    url: str
    program: str
    key: str
    pool: urllib3.PoolManager
    generator: random.Random
    pause: Callable[[float], None]

    def open_program(self) -> bool:
        """Create the program if it does not exist; True if it was created. Raises ServerRefuses."""
        if self._program_opens():
            return False
        body = {"program_name": self.program, "program_id": self.program}
        status, answer = self.call("POST", "/programs", _encode(body))
        if status != 200:
            raise ServerRefuses(f"cannot open or create program {self.program}: {refusal(status, answer)}")
        if not self._program_opens():
            raise ServerRefuses(f"created program {self.program}, but this key does not open it; use an admin key")
        return True

    def post(self, batch: Batch, *, process_user_actions: bool = True) -> PostResult:
        """Send a batch: in halves where it is too large, and again without the rows that the server names in a 422.

        Raises ServerRefuses for any other error.
        """
        result = PostResult(rejected=list(batch.rejected))
        path = f"/events?process_user_actions={str(process_user_actions).lower()}"
        pending = [batch.rows]
        while pending:
            rows = pending.pop()
            if not rows:
                continue
            content = _encode({"events": [_event_body(row.event) for row in rows]})
            half = len(rows) // 2
            if half and len(content) > LARGEST_BODY_BYTES:
                pending += [rows[half:], rows[:half]]
                continue
            status, answer = self.call("POST", path, content)
            wrong = _wrong_events(answer, len(rows)) if status == 422 else {}
            if status == 200:
                accepted, duplicates = _posted(answer)
                result.accepted += accepted
                result.duplicates += duplicates
            elif status == 413 and half:
                pending += [rows[half:], rows[:half]]
            elif status == 413:
                result.rejected.append(RejectedRow(rows[0].number, rows[0].line, "larger than the server takes (413)"))
            elif wrong:
                result.rejected += [RejectedRow(rows[i].number, rows[i].line, wrong[i]) for i in sorted(wrong)]
                pending.append([row for index, row in enumerate(rows) if index not in wrong])
            else:
                lines = [row.line for row in rows]
                span = f"{len(rows)} rows between line {min(lines)} and line {max(lines)}"
                raise ServerRefuses(f"the server refused {span}: {refusal(status, answer)}")
        return result

    def call(self, method: str, path: str, content: bytes | None = None, attempts: int = ATTEMPTS) -> tuple[int, Any]:
        """Status and decoded JSON of one request, sent as ``send`` does; no JSON where the body was too large (413).

        Raises ServerRefuses when the last attempt fails too, or when the answer is not JSON.
        """
        status, data = self.send(method, path, content, attempts)
        # Whatever stands between may answer this one without JSON.
        return status, None if status == 413 else decode(status, data)

    def send(self, method: str, path: str, content: bytes | None = None, attempts: int = ATTEMPTS) -> tuple[int, bytes]:
        """Status and body of one request; 429, 5xx and lost connections are tried again after longer pauses.

        Raises ServerRefuses when the last attempt fails too.
        """
        headers = {"program-id": self.program, "actionhub-key": self.key, "content-type": "application/json"}
        for attempt in range(attempts):
            if attempt:
                longest = min(LONGEST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2 ** (attempt - 1))
                self.pause(longest * self.generator.uniform(0.5, 1.0))
            try:
                response = self.pool.request(
                    method, self.url + path, body=content, headers=headers, timeout=TIMEOUT, retries=False
                )
            except urllib3.exceptions.HTTPError as error:
                why = str(error).rpartition(": ")[2]
                problem = f"no answer from {self.url} ({why}). Is it running? `make start` starts the local stack"
                continue
            if response.status != 429 and response.status < 500:
                return response.status, response.data
            problem = f"{self.url} kept answering {response.status} to {method} {path}"
        raise ServerRefuses(f"{problem}; gave up after {attempts} attempts")

    def _program_opens(self) -> bool:
        """Whether the key opens the program; a 403 says no more than a 404, so that keys cannot probe for names."""
        status, answer = self.call("GET", "/program", attempts=FIRST_CONTACT_ATTEMPTS)
        if status in (200, 403, 404):
            return status == 200
        raise ServerRefuses(f"cannot open program {self.program}: {refusal(status, answer)}")


def _event_body(event: Event) -> dict[str, object]:
    return {
        "user_id": event.user_id,
        "event_timestamp": format_time(event.timestamp_us),
        "event_type": event.event_type,
        "asset_id": event.asset_id,
        "labels": event.labels,
        **({} if event.event_value is None else {"value": event.event_value}),
    }


def _encode(body: object) -> bytes:
    """JSON in UTF-8: escapes would take twice the bytes for most of the world's scripts."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def decode(status: int, data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        raise ServerRefuses(f"the server answered {status} without JSON: is this a Nextbest server?") from None


def _posted(answer: Any) -> tuple[int, int]:
    """Accepted and duplicate events of a 200 to POST /events."""
    accepted, duplicates = (
        (answer.get("accepted"), answer.get("duplicates")) if isinstance(answer, dict) else (None,) * 2
    )
    if not isinstance(accepted, int) or not isinstance(duplicates, int):
        raise ServerRefuses("the server's answer lacks the counts `accepted` and `duplicates`")
    return accepted, duplicates


def _wrong_events(answer: Any, size: int) -> dict[int, str]:
    """The events that a 422 names, by index, each with its first reason."""
    wrong: dict[int, str] = {}
    details = answer.get("detail") if isinstance(answer, dict) else None
    for detail in details if isinstance(details, list) else []:
        place = detail.get("loc", []) if isinstance(detail, dict) else []
        if place[:2] == ["body", "events"] and len(place) > 2 and isinstance(place[2], int) and 0 <= place[2] < size:
            field_name = ".".join(str(part) for part in place[3:])
            wrong.setdefault(place[2], f"{field_name}: {detail.get('msg', '')}".removeprefix(": "))
    return wrong


def refusal(status: int, answer: Any) -> str:
    """The status and the server's own message."""
    detail = answer.get("detail", answer) if isinstance(answer, dict) else answer
    if isinstance(detail, list) and all(isinstance(wrong, dict) and {"loc", "msg"} <= wrong.keys() for wrong in detail):
        text = "; ".join(f"{'.'.join(str(part) for part in wrong['loc'][1:])}: {wrong['msg']}" for wrong in detail)
    else:
        text = detail if isinstance(detail, str) else json.dumps(detail)
    return f"{status} {text}"
