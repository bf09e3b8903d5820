"""Retries with exponential backoff, for calls that a service could not serve at the moment.

Pauses grow exponentially, with full jitter, so that callers who collided do not collide again. Source: M. Brooker,
"Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass


def _draw() -> float:
    """A random number from the kernel: a generator in the process would repeat itself in every copy of a snapshot."""
    return int.from_bytes(os.urandom(4), "big") / 2**32


@dataclass(frozen=True, slots=True)
class Backoff:
    """``attempts`` tries with pauses between: evenly from 0 to a ceiling that doubles from ``first_seconds`` on.

    ``sleep`` takes seconds; ``draw`` gives a random number from 0 to 1. All pauses together last 3.6 s at most.
    """

    sleep: Callable[[float], None] = time.sleep
    draw: Callable[[], float] = _draw
    attempts: int = 8
    first_seconds: float = 0.05
    longest_seconds: float = 1.0

    def tries(self) -> Iterator[int]:
        """Number each try, after the pause that is due before it."""
        for attempt in range(self.attempts):
            if attempt:
                self.sleep(self.draw() * min(self.longest_seconds, self.first_seconds * 2 ** (attempt - 1)))
            yield attempt
