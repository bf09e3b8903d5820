"""Events: who did what with which asset, when. Immutable, and identified by their content."""

from __future__ import annotations

from dataclasses import dataclass, field

from nextbest.errors import InvalidInput

MICROSECONDS = 1_000_000
"""Microseconds in a second."""

DAY_SECONDS = 86_400.0
FUTURE_SKEW_SECONDS = DAY_SECONDS
"""How far ahead of the server's clock an event may be: a day covers local times that were sent as UTC."""

DAY_US = 86_400 * MICROSECONDS
# 9999-12-31T23:59:59.999999Z: the last instant that ISO 8601 clients can write.
LATEST_TIMESTAMP_US = 253_402_300_799_999_999

# ActionHub's bounds, and ours where it gives none.
MAX_USER_ID_CHARACTERS = 256
# Time, event type and asset id share a sort key of 1,024 bytes, of which a character may take four.
MAX_EVENT_TYPE_CHARACTERS = 128
MAX_ASSET_ID_CHARACTERS = 64
MAX_LABEL_CHARACTERS = 64
MAX_LABELS = 100
# Personalize's bounds.
MAX_RECOMMENDATION_ID_CHARACTERS = 40
MAX_IMPRESSION = 25
MAX_LABEL_WEIGHT = 1_000_000
"""Either side of zero: sums over any history stay finite."""

MAX_EVENT_VALUE = 1e15
"""Either side of zero: a refund takes back. A double still has every cent of it, and sums over any log stay finite."""

BLANKS = " \t"
"""What is cut from both ends of an id (``domain/ids.py``). A line break is not: ids that hold one are refused."""


@dataclass(frozen=True, slots=True, order=True)
class Event:
    """One event of one user.

    The identity of an event is (user, time, type, asset, client's event id): the same event sent twice is one event.
    Of events of one user with the same client's event id only the first that is stored is one; the others are that one.
    ``timestamp_us`` is whole microseconds since 1970, so that identity never depends on a float. Labels, source,
    recommendation id and session id describe the event and are not part of its identity. ``session_id`` is the session
    in which it was done, where one was named: deleting the user deletes what the session did anonymously.
    ``event_value`` is what it is worth, a number that the client gave with it, such as a price; below zero it takes
    back, as a refund does. ``impression`` are the ids that were shown when it was done, in order. No model learns from
    either; reports of experiments count values (``domain/outcomes.py``).
    """

    user_id: str
    timestamp_us: int
    event_type: str
    asset_id: str
    event_id: str = ""
    labels: tuple[str, ...] = ()
    source: str = ""
    recommendation_id: str = ""
    session_id: str = ""
    event_value: float | None = field(default=None, compare=False)
    impression: tuple[str, ...] = ()

    @property
    def timestamp(self) -> float:
        """Seconds since 1970."""
        return self.timestamp_us / MICROSECONDS

    @property
    def is_anonymous(self) -> bool:
        """Whether a session did it whose user was not known: the session takes the place of the user."""
        return bool(self.session_id) and self.session_id == self.user_id


def check_event_value(value: object, *, field: str) -> float:
    """The value of an event. Raises InvalidInput, which names the field, for anything but a number within bounds."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= MAX_EVENT_VALUE:
        problem = f"{field} must be a number from -{MAX_EVENT_VALUE:g} to {MAX_EVENT_VALUE:g}"
        raise InvalidInput(problem, field=field)
    return float(value)


def to_microseconds(timestamp: float) -> int:
    """Seconds since 1970 to whole microseconds, rounded to nearest."""
    return round(timestamp * MICROSECONDS)
