"""The times in a request, by the rule of all times of events (``domain/times.py``)."""

from __future__ import annotations

from nextbest.domain.times import parse_seconds, parse_time
from nextbest.errors import InvalidInput, InvalidTime


def read_time(value: str | int | float, path: str, *, now: float) -> int:
    """Microseconds since 1970 of a ``Moment``, by the rule of all times (``domain/times.py``). Raises InvalidInput."""
    try:
        return parse_time(value, now=now) if isinstance(value, str) else parse_seconds(value, now=now)
    except InvalidTime as error:
        raise InvalidInput(
            f"Member '{path}' must be in seconds (not milliseconds) since 1970: it {error.problem}", field=path
        ) from error
