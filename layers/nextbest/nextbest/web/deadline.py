"""Turns Lambda's timeout into a 503: a function that times out is killed, and its caller gets no explanation.

The clients' timeouts bound each call to a service, not their sum. So a timer interrupts the request shortly before
Lambda would. Every write may be repeated, so an interruption between two of them loses nothing.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from nextbest.errors import Unavailable

RESERVE_SECONDS = 1.0
"""The time left to write the response and finish."""


class _TimeIsUp(BaseException):
    """Not an Exception: botocore would take one raised during its requests for a network failure, and retry."""


def remaining_seconds(context: object) -> float | None:
    """The time until Lambda's timeout; None for what is not its context."""
    # Not a protocol that is checked at runtime: that would take most of the time of this module.
    remaining_ms: Callable[[], int] | None = getattr(context, "get_remaining_time_in_millis", None)
    return remaining_ms() / 1000 if remaining_ms is not None else None


@contextmanager
def in_time(context: object) -> Iterator[None]:
    """Run the body in the main thread, and raise Unavailable in it ``RESERVE_SECONDS`` before the function's timeout.

    Without Lambda's context (in a test or a tool) there is no deadline.
    """
    left_seconds = remaining_seconds(context)
    if left_seconds is None:
        yield
        return
    previous = signal.signal(signal.SIGALRM, _interrupt)
    # Zero would mean no timer at all.
    signal.setitimer(signal.ITIMER_REAL, max(left_seconds - RESERVE_SECONDS, 0.001))
    try:
        yield
    except _TimeIsUp as up:
        raise Unavailable("This took longer than it may; please try again") from up
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise _TimeIsUp
