"""Several calls at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

_CALLS_AT_ONCE = 8


def in_parallel(call: Callable[[T], R], values: Iterable[T]) -> list[R]:
    """``call`` of each value, in order. When one fails, those that have not begun are given up, and it is raised."""
    values = list(values)
    if len(values) <= 1:
        return [call(value) for value in values]
    # Imported late: hot reads make one call.
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(min(_CALLS_AT_ONCE, len(values))) as pool:
        futures = [pool.submit(call, value) for value in values]
        try:
            return [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()
