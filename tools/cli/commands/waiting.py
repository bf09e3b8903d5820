"""Calls whose result is computed in the background: have it computed, wait, print."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tools.cli.load_client import Server

_SECONDS = 300.0

Result = Mapping[str, Any]


def await_result(
    server: Server,
    path: str,
    place: str,
    *,
    body: Result | None = None,
    made_at: Callable[[Result], float],
    lines: Callable[[Result], list[str]],
    prefix: str,
) -> int:
    """PUT ``path``, wait until what GET ``place`` answers is newer than before, and print its ``lines``.

    Returns the exit status; problems are printed after the ``prefix``.
    """
    from tools.cli.load_client import refusal

    status, before = server.call("GET", place, None)
    previous = made_at(before) if status == 200 else 0.0
    status, answer = server.call("PUT", path, json.dumps(body).encode() if body is not None else None)
    deadline = time.monotonic() + _SECONDS
    while status == 200:
        found, result = server.call("GET", place, None)
        if found == 200 and made_at(result) > previous:
            print("\n".join(lines(result)))
            return 0
        if time.monotonic() > deadline:
            print(f"{prefix}: there is no result after five minutes; see the log of rebase", file=sys.stderr)
            return 1
        time.sleep(1.0)
    print(f"{prefix}: {refusal(status, answer)}", file=sys.stderr)
    return 1
