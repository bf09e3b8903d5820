"""Waiting for conditions, never for a time."""

from __future__ import annotations

import time
from collections.abc import Callable

PAUSE_SECONDS = 0.05


def wait_until(condition: Callable[[], object], *, seconds: float) -> None:
    """Return as soon as ``condition()`` holds; TimeoutError if it does not within ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:.0f} s")
        time.sleep(PAUSE_SECONDS)
