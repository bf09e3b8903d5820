"""The rows of the event log: how an event is written into one, and what readers take from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from nextbest.aws.table import Item, ItemKey, data, text, to_json
from nextbest.domain.actions import Action
from nextbest.domain.events import Event
from nextbest.domain.history import HistoryEvent, identity_of
from nextbest.domain.programs import Program
from nextbest.errors import EventCorrupt
from nextbest.observability import logger
from nextbest.store import keys
from nextbest.store.staged import STAGED, ImportState

if TYPE_CHECKING:
    from nextbest.domain.event_columns import EventColumnsBuilder

_PROGRESS_EVENTS = 10_000


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


def add_events(
    builder: EventColumnsBuilder,
    rows: Iterable[Item],
    imports: ImportState,
    *,
    progress: Callable[[int], object] = lambda _: None,
) -> set[str]:
    """Add the events in rows of the log that count by ``imports``; the users of those that cannot be read.

    Now and then ``progress`` is called with how many events the builder holds; what it raises ends the reading.
    """
    unreadable = set()
    for row in rows:
        if STAGED in row and not imports.counts(text(row, STAGED)):
            continue
        user_id = keys.parse_user_pk(row["pk"]["S"])
        try:
            timestamp_us, event_type, asset_id, _ = keys.parse_event_sk(row["sk"]["S"])
            builder.add(user_id, event_type, asset_id, timestamp_us)
        except (EventCorrupt, OverflowError):
            unreadable.add(user_id)
            continue
        if len(builder) % _PROGRESS_EVENTS == 0:
            progress(len(builder))
    return unreadable
