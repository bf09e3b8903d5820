"""What is computed in the background while its page waits: the page's address says what is awaited, and since when."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from nextbest.console.visits import Visit

MAX_SECONDS = 900.0
"""What takes longer does not come: the function that computes it has no more time."""


@dataclass(frozen=True, slots=True)
class AwaitedResult:
    """Whether the page waits for a newer result than the one there was at ``began`` (seconds since 1970).

    ``name`` is what it is, such as a report. ``query`` is the part of the address that says so, empty once it is there.
    After ``MAX_SECONDS`` it ``is_lost``, and no longer ``is_computing``.
    """

    name: str
    address: str
    began: float
    query: Mapping[str, str]
    is_computing: bool
    is_lost: bool

    @classmethod
    def of(cls, visit: Visit, name: str, page: str, computed_at: float, **query: str) -> AwaitedResult:
        """What the address of a visit awaits, where the newest result was ``computed_at`` (0 without one).

        ``page`` with the ``query`` answers whether it is there.
        """
        before, began = (_seconds(visit.parameter(name)) for name in ("before", "began"))
        is_awaited = began > 0.0 and computed_at <= before
        has_time = visit.now - began < MAX_SECONDS
        awaited = query_of(before, began) if is_awaited else {}
        address = visit.link(page, **query, **awaited)
        return cls(name, address, began, awaited, is_awaited and has_time, is_awaited and not has_time)


def query_of(computed_at: float, now: float) -> dict[str, str]:
    """The part of an address that awaits, from ``now`` on, a newer result than that which was ``computed_at``."""
    return {"before": repr(computed_at), "began": repr(now)}


def _seconds(text: str) -> float:
    """A time of the address; 0 where it is none."""
    try:
        number = float(text)
    except ValueError:
        return 0.0
    return number if math.isfinite(number) else 0.0
