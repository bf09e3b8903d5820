"""The rows of the event log: how an event is written into one, and what readers take from it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from nextbest.aws.table import Item, ItemKey, data, to_json
from nextbest.domain.actions import Action
from nextbest.domain.events import Event
from nextbest.domain.history import HistoryEvent, identity_of
from nextbest.domain.programs import Program
from nextbest.errors import EventCorrupt
from nextbest.observability import logger
from nextbest.store import keys


def log_row(program: Program, event: Event) -> tuple[ItemKey, dict[str, str]]:
    """Key and attributes of an event's row in the log."""
    extras = {
        "labels": list(event.labels),
        "source": event.source,
        "recommendation_id": event.recommendation_id,
        "session_id": event.session_id,
        "impression": list(event.impression),
    }
    body: dict[str, object] = {name: value for name, value in extras.items() if value}
    if event.event_value is not None:
        body["event_value"] = event.event_value
    key = ItemKey(keys.user_pk(program.incarnation, event.user_id), keys.event_sk(event))
    return key, {"body_json": to_json(body)} if body else {}


def logged_event(user_id: str, row: Item) -> Event:
    """The event in a row of the log; inverse of ``log_row``. Raises EventCorrupt."""
    timestamp_us, event_type, asset_id, event_id = keys.parse_event_sk(row["sk"]["S"])
    try:
        extras = data(row) if "body_json" in row else {}
        return Event(
            user_id,
            timestamp_us,
            event_type,
            asset_id,
            event_id,
            tuple(extras.get("labels", ())),
            extras.get("source", ""),
            extras.get("recommendation_id", ""),
            extras.get("session_id", ""),
            extras.get("event_value"),
            tuple(extras.get("impression", ())),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EventCorrupt(f"a row of the event log cannot be read ({type(error).__name__})") from error


def logged_events(user_id: str, rows: Iterable[Item]) -> Iterator[Event]:
    """The events in a user's rows of the log; those that cannot be read are left out."""
    for row in rows:
        try:
            yield logged_event(user_id, row)
        except EventCorrupt as error:
            logger.warning("a row of the event log is left out", reason=error.message)


def history_events(rows: Iterable[Item]) -> Iterator[HistoryEvent]:
    """What a history holds of a user's rows of the log; those that cannot be read are left out."""
    for row in rows:
        try:
            timestamp_us, event_type, asset_id, event_id = keys.parse_event_sk(row["sk"]["S"])
        except EventCorrupt as error:
            logger.warning("a row of the event log is left out", reason=error.message)
            continue
        yield HistoryEvent(timestamp_us, Action(event_type, asset_id), identity_of(event_id))
