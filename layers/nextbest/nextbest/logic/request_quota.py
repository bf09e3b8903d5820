"""How many requests a second a program may make, so that one tenant cannot slow down the others.

Counted in the memory of each execution environment, after the key was checked: exact counting would cost every read a
second round trip (docs/decisions/0014). With several environments busy, a program can make as many times this number;
the gateway's own limit bounds the sum over all programs (docs/security.md).
"""

from __future__ import annotations

from nextbest.domain.programs import Incarnation
from nextbest.errors import TooManyRequests

BURST_SECONDS = 2.0
"""How many seconds' worth of requests may come at once."""

_MOST_PROGRAMS = 10_000


class RequestQuota:
    """A token bucket for each program. ``per_second`` 0 is no limit."""

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._most = max(1.0, per_second * BURST_SECONDS)
        self._buckets: dict[Incarnation, tuple[float, float]] = {}

    def take(self, incarnation: Incarnation, *, now: float) -> None:
        """Count one request at ``now`` (seconds since 1970). Raises TooManyRequests; refused requests do not count."""
        if not self._per_second:
            return
        tokens, counted_at = self._buckets.get(incarnation, (self._most, now))
        tokens = min(self._most, tokens + max(0.0, now - counted_at) * self._per_second)
        if tokens < 1.0:
            raise TooManyRequests(f"These are more than {self._per_second:g} requests a second; try again later")
        if len(self._buckets) >= _MOST_PROGRAMS:
            self._buckets.clear()
        self._buckets[incarnation] = (tokens - 1.0, now)
