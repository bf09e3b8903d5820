"""Several calls at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

_CALLS_AT_ONCE = 8


def in_parallel(call: Callable[[T], R], values: Iterable[T]) -> list[R]:
    """``call`` of each value, in order. When one fails, those that have not started are cancelled, and it is raised.

    Waits for those that have started, unless it is interrupted itself (``nextbest.web.deadline``).
    """
    values = list(values)
    if len(values) <= 1:
        return [call(value) for value in values]
    # Imported late: hot reads make one call.
    from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

    pool = ThreadPoolExecutor(min(_CALLS_AT_ONCE, len(values)))
    waited = False
    try:
        futures = [pool.submit(call, value) for value in values]
        wait(futures, return_when=FIRST_EXCEPTION)
        waited = True
    finally:
        pool.shutdown(wait=waited, cancel_futures=True)
    # Calls start in order, so the one that failed comes before those that were cancelled.
    return [future.result() for future in futures]
