"""An answer before time is up: Lambda ends a function at its timeout, and the caller learns nothing.

Time-outs of clients bound each call to a service, not their sum. So an alarm rings a little before the end, and what is
under way stops where it stands. Every write of ours may be made again, so stopping between two of them loses nothing.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Protocol, runtime_checkable

from nextbest.errors import Unavailable

RESERVE_SECONDS = 1.0
"""What is left to write the answer and to end."""


@runtime_checkable
class TimedContext(Protocol):
    """What Lambda tells a function of its invocation, as far as time is concerned."""

    def get_remaining_time_in_millis(self) -> int: ...


class _TimeIsUp(BaseException):
    """Not an Exception: botocore takes those that meet its requests for failures of the network, and tries again."""


@contextmanager
def in_time(context: object) -> Iterator[None]:
    """Run the body in the main thread, and raise Unavailable in it ``RESERVE_SECONDS`` before the function's timeout.

    Without Lambda's context (in a test or a tool) there is no end to keep.
    """
    if not isinstance(context, TimedContext):
        yield
        return
    left_seconds = context.get_remaining_time_in_millis() / 1000 - RESERVE_SECONDS
    before = signal.signal(signal.SIGALRM, _ring)
    # Zero would mean no alarm at all.
    signal.setitimer(signal.ITIMER_REAL, max(left_seconds, 0.001))
    try:
        yield
    except _TimeIsUp as up:
        raise Unavailable("This took longer than it may; please try again") from up
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _ring(_signal: int, _frame: FrameType | None) -> None:
    raise _TimeIsUp
