"""A program's rebase, through the public API of the server that holds it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nextbest.domain.rebase_status import COMPLETE, FAILED
from tools.cli.load_client import Server, refusal
from tools.cli.load_errors import ServerRefuses

_POLL_SECONDS = 0.5


def rebase(
    server: Server, *, timeout_seconds: float, clock: Callable[[], float], report: Callable[[str], object]
) -> str:
    """Start a rebase, wait for its end, and return the last message of its status. ``report`` gets each new one.

    ``clock`` is a monotonic clock in seconds. Raises ServerRefuses, also where the rebase fails or takes longer.
    """
    _json(server, "PUT", "/program/rebase")
    deadline = clock() + timeout_seconds
    last = ""
    while True:
        status = _json(server, "GET", "/program/status")
        message = str(status["message"])
        if status["status_id"] == COMPLETE:
            return message
        if status["status_id"] == FAILED:
            raise ServerRefuses(f"the rebase of program {server.program} failed: {message}")
        if message != last:
            report(message)
            last = message
        if clock() > deadline:
            raise ServerRefuses(f"the rebase of program {server.program} has not ended: {message}")
        server.pause(_POLL_SECONDS)


def _json(server: Server, method: str, path: str) -> Any:
    status, answer = server.call(method, path)
    if status != 200:
        raise ServerRefuses(f"program {server.program}: {refusal(status, answer)}")
    return answer
