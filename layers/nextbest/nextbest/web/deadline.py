"""Turns Lambda's timeout into a 503: a function that times out is killed, and its caller gets no explanation.

The clients' timeouts bound each call to a service, not their sum. So a timer interrupts the request shortly before
Lambda would. Every write may be repeated, so an interruption between two of them loses nothing.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Protocol, runtime_checkable

from nextbest.errors import Unavailable

RESERVE_SECONDS = 1.0
"""The time left to write the response and finish."""


@runtime_checkable
class TimedContext(Protocol):
    """The part of Lambda's context object that is about time."""

    def get_remaining_time_in_millis(self) -> int: ...


class _TimeIsUp(BaseException):
    """Not an Exception: botocore would take one raised during its requests for a network failure, and retry."""


@contextmanager
def in_time(context: object) -> Iterator[None]:
    """Run the body in the main thread, and raise Unavailable in it ``RESERVE_SECONDS`` before the function's timeout.

    Without Lambda's context (in a test or a tool) there is no deadline.
    """
    if not isinstance(context, TimedContext):
        yield
        return
    left_seconds = context.get_remaining_time_in_millis() / 1000 - RESERVE_SECONDS
    previous = signal.signal(signal.SIGALRM, _interrupt)
    # Zero would mean no timer at all.
    signal.setitimer(signal.ITIMER_REAL, max(left_seconds, 0.001))
    try:
        yield
    except _TimeIsUp as up:
        raise Unavailable("This took longer than it may; please try again") from up
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise _TimeIsUp
