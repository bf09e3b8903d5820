"""Requests to typed inputs for the two calls that everyone makes, without pydantic where the request is plainly valid.

Importing pydantic costs more than serving either call. So a request in its canonical spelling is read by hand, and
anything else, right or wrong, goes to the models of ``hot_routes.py``; a property test holds both to what FastAPI
answers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeGuard

from nextbest.domain.actions import Narrowing
from nextbest.domain.events import (
    FUTURE_SKEW_SECONDS,
    MAX_ASSET_ID_CHARACTERS,
    MAX_EVENT_TYPE_CHARACTERS,
    MAX_EVENT_VALUE,
    MAX_LABEL_CHARACTERS,
    MAX_LABELS,
    MAX_RECOMMENDATION_ID_CHARACTERS,
    MAX_USER_ID_CHARACTERS,
    Event,
)
from nextbest.domain.ids import UNSTORABLE, clean_id
from nextbest.errors import InvalidInput
from nextbest.web.request import Request

# The contract's bounds, and ours where it gives none; the models and the reading by hand share them.
MAX_ENTRIES = 1000
# Lambda takes 6 MB with the gateway's own envelope and its escapes around the body.
MAX_BODY_BYTES = 4 * 1024 * 1024
MAX_LIMIT = 100

NARROWING = frozenset({"event_types", "exclude_event_types", "filter", "filter_values"})
"""Parameters of GET /users/{user_id}/actions that narrow down what is recommended."""

GROWTH, GOAL = "growth", "goal"
OBJECTIVES = frozenset({GROWTH, GOAL})
"""What GET /users/{user_id}/actions ranks by."""

_LIMITS = {str(limit): limit for limit in range(1, MAX_LIMIT + 1)}
_BOOLEANS = {
    **dict.fromkeys(("true", "1", "t", "yes", "y", "on"), True),
    **dict.fromkeys(("false", "0", "f", "no", "n", "off"), False),
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_NUMBERS = (int, float)
_TIMESTAMP = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ](?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?"
    r"(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])?"
)


@dataclass(frozen=True, slots=True)
class GetActions:
    """The input of GET /users/{user_id}/actions."""

    user_id: str
    program_id: str
    limit: int = 10
    allow_repeats: bool = True
    explain: bool = False
    objective: str = GROWTH
    narrowing: Narrowing | None = None


@dataclass(frozen=True, slots=True)
class PostEvents:
    """The input of POST /events."""

    program_id: str
    events: tuple[Event, ...]
    queue_updates: bool = False
    process_user_actions: bool = True


def parse_get_actions(request: Request) -> GetActions:
    """The input of GET /users/{user_id}/actions. Raises InvalidRequest."""
    user_id = clean_id(request.path_parameters.get("user_id", ""))
    program_id = request.headers.get("program-id")
    query = dict(request.query)
    limit = _LIMITS.get(query.get("limit", "10"))
    allow_repeats = _BOOLEANS.get(query.get("allow_repeats", "true"))
    explain = _BOOLEANS.get(query.get("explain", "false"))
    objective = query.get("objective", GROWTH)
    if (
        program_id is not None
        and 0 < len(user_id) <= MAX_USER_ID_CHARACTERS
        and limit is not None
        and allow_repeats is not None
        and explain is not None
        and objective in OBJECTIVES
    ):
        narrowing = None if query.keys().isdisjoint(NARROWING) else _narrowing(query)
        return GetActions(user_id, program_id, limit, allow_repeats, explain, objective, narrowing)
    from nextbest.actionhub.hot_routes import read_get_actions

    return read_get_actions(request)


def _narrowing(query: Mapping[str, str]) -> Narrowing:
    # Imported here: few requests have any of it.
    from nextbest.actionhub.narrowing import read_narrowing

    return read_narrowing(**{name: query.get(name, "") for name in NARROWING})


def comma_list(text: str) -> tuple[str, ...]:
    """The distinct, stripped, non-empty entries of a comma-separated list, in order."""
    return tuple(dict.fromkeys(entry for entry in (part.strip() for part in text.split(",")) if entry))


def parse_post_events(request: Request, *, now: float) -> PostEvents:
    """The input of POST /events. ``now`` is in seconds since 1970; events later than a day after it are refused.

    Raises InvalidRequest (an event's index is in ``loc``), UnreadableBody and BodyTooLarge.
    """
    latest = datetime.fromtimestamp(now + FUTURE_SKEW_SECONDS, UTC)
    command = _plain_post_events(request, latest)
    if command is not None:
        return command
    from nextbest.actionhub.hot_routes import read_post_events

    return read_post_events(request, now)


def _plain_post_events(request: Request, latest: datetime) -> PostEvents | None:
    """The input, if every part of the request is in its plain spelling and within bounds; else None."""
    program_id = request.headers.get("program-id")
    query = dict(request.query)
    queue_updates = _BOOLEANS.get(query.get("queue_updates", "false"))
    process_user_actions = _BOOLEANS.get(query.get("process_user_actions", "true"))
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if (
        program_id is None
        or queue_updates is None
        or process_user_actions is None
        or content_type != "application/json"
        or len(request.body) > MAX_BODY_BYTES
    ):
        return None
    try:
        body = json.loads(request.body)
    except (ValueError, RecursionError):
        return None
    events = _plain_events(body, latest)
    return None if events is None else PostEvents(program_id, events, queue_updates, process_user_actions)


def parse_event_list(body: object, *, now: float) -> tuple[Event, ...]:
    """The events in a decoded body of POST /events, however it came here. Raises InvalidRequest."""
    latest = datetime.fromtimestamp(now + FUTURE_SKEW_SECONDS, UTC)
    events = _plain_events(body, latest)
    if events is not None:
        return events
    from nextbest.actionhub.hot_routes import read_event_list

    return read_event_list(body, now)


def parse_boolean(value: object, *, field: str) -> bool:
    """A boolean in any spelling that a query may have, or a JSON one. Raises InvalidInput."""
    parsed = _BOOLEANS.get(str(value).lower())
    if parsed is None:
        raise InvalidInput(f"{field} must be true or false", field=field)
    return parsed


def _plain_events(body: object, latest: datetime) -> tuple[Event, ...] | None:
    rows = body.get("events") if isinstance(body, dict) else None
    if type(rows) is not list or not 1 <= len(rows) <= MAX_ENTRIES:
        return None
    events = tuple(event for event in (_plain_event(row, latest) for row in rows) if event is not None)
    return events if len(events) == len(rows) else None


def _plain_event(row: Any, latest: datetime) -> Event | None:
    if type(row) is not dict:
        return None
    user_id, event_type, asset_id = row.get("user_id"), row.get("event_type"), row.get("asset_id")
    labels, timestamp = row.get("labels"), row.get("event_timestamp")
    recommendation_id, value = row.get("recommendation_id", ""), row.get("value")
    if not (
        _is_plain(user_id, MAX_USER_ID_CHARACTERS)
        and _is_plain(event_type, MAX_EVENT_TYPE_CHARACTERS)
        and _is_plain(asset_id, MAX_ASSET_ID_CHARACTERS)
        and type(labels) is list
        and len(labels) <= MAX_LABELS
        and all(_is_plain(label, MAX_LABEL_CHARACTERS) for label in labels)
        and type(timestamp) is str
        and _TIMESTAMP.fullmatch(timestamp)
        and ("recommendation_id" not in row or _is_plain(recommendation_id, MAX_RECOMMENDATION_ID_CHARACTERS))
        and (value is None or (type(value) in _NUMBERS and abs(value) <= MAX_EVENT_VALUE))
    ):
        return None
    try:
        time = datetime.fromisoformat(timestamp)
    except ValueError:  # a month or day that does not exist
        return None
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    if not _EPOCH <= time <= latest:
        return None
    return Event(
        user_id,
        (time - _EPOCH) // _MICROSECOND,
        event_type,
        asset_id,
        labels=tuple(labels),
        recommendation_id=recommendation_id,
        event_value=None if value is None else float(value),
    )


def _is_plain(value: Any, max_characters: int) -> TypeGuard[str]:
    """Whether a value is an id as it is stored (``domain/ids.py``)."""
    return (
        type(value) is str
        and 0 < len(value) <= max_characters
        and value.strip() == value
        # The first test is the cheap one: what is printable is storable.
        and (value.isprintable() or not UNSTORABLE.search(value))
    )
