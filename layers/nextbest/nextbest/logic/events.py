"""Storing events: at once, or through the queue. The same for both dialects."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from nextbest.domain.access_keys import PROGRAM_ID
from nextbest.domain.events import (
    FUTURE_SKEW_SECONDS,
    MAX_ASSET_ID_CHARACTERS,
    MAX_EVENT_TYPE_CHARACTERS,
    MAX_IMPRESSION,
    MAX_LABEL_CHARACTERS,
    MAX_LABELS,
    MAX_USER_ID_CHARACTERS,
    Event,
    check_event_value,
    to_microseconds,
)
from nextbest.domain.ids import check_id
from nextbest.domain.programs import Incarnation, Program
from nextbest.domain.times import BEFORE_1970, TOO_LATE
from nextbest.errors import InvalidInput, InvalidTime, ProgramNotFound
from nextbest.store.base import Appended, EventsRefused, MessageQueue, Store, UserStore, events_by_user
from nextbest.store.keys import event_sk

MESSAGE_BYTES = 200_000
"""SQS takes 256 KB a message; the difference leaves room for JSON's escapes."""

_LENGTHS = {
    "user_id": MAX_USER_ID_CHARACTERS,
    "event_type": MAX_EVENT_TYPE_CHARACTERS,
    "asset_id": MAX_ASSET_ID_CHARACTERS,
}
_OPTIONAL_IDS = ("event_id", "source", "recommendation_id", "session_id")
_MAX_OPTIONAL_ID_CHARACTERS = 256


@dataclass(frozen=True, slots=True)
class EventMessage:
    """One message of the queue: events of one program.

    ``sent_us`` is when it was sent, in microseconds since 1970: events of users deleted since then are not stored. The
    events are for one ``incarnation`` of the program and never for another that has its id by then; None, for senders
    who know ids alone, is whichever has the id when they are stored. ``refused`` says why rows of a message are no
    events, by their place from 0: they are not among ``events``.
    """

    program_id: str
    events: tuple[Event, ...]
    refresh_histories: bool = True
    sent_us: int = 0
    incarnation: Incarnation | None = None
    refused: Mapping[int, str] = field(default_factory=dict)

    def to_json(self) -> str:
        return json.dumps(
            {
                "program_id": self.program_id,
                "incarnation": self.incarnation,
                "refresh_histories": self.refresh_histories,
                "sent_us": self.sent_us,
                "events": [_row(event) for event in self.events],
            },
            separators=(",", ":"),
        )

    @classmethod
    def from_json(cls, text: str, *, now: float) -> EventMessage:
        """Inverse of ``to_json``. Raises InvalidInput for anything else: a poison message.

        Ids and times are held to the rules of all ways in; ``now`` is in seconds since 1970. One row that is not an
        event does not affect the others. A message without an incarnation was sent before there were any, so it is for
        a program of that time.
        """
        try:
            message = json.loads(text)
            events, refused = _events(message["events"], now)
            refresh, sent_us = bool(message.get("refresh_histories", True)), int(message.get("sent_us", 0))
            program_id = str(message["program_id"])
            incarnation = message.get("incarnation", program_id)
            named = Incarnation(str(incarnation)) if incarnation is not None else None
            return cls(program_id, events, refresh, sent_us, named, refused)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
            raise InvalidInput(f"this is not a message of events: {error!r}") from error


def _row(event: Event) -> dict[str, Any]:
    """The fields of an event without empty ones that are so by default."""
    return {name: value for name, value in asdict(event).items() if value != "" and (name != "impression" or value)}


def _events(rows: Sequence[Mapping[str, Any]], now: float) -> tuple[tuple[Event, ...], dict[int, str]]:
    """The events in the rows of a message, and by its place why a row is not one."""
    events: list[Event] = []
    refused: dict[int, str] = {}
    for place, row in enumerate(rows):
        try:
            events.append(_event(row, now))
        except InvalidInput as error:
            refused[place] = error.message
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            refused[place] = f"{type(error).__name__}: {error}"
    return tuple(events), refused


def _event(row: Mapping[str, Any], now: float) -> Event:
    ids = {name: check_id(row[name], max_characters=most, field=name) for name, most in _LENGTHS.items()}
    ids |= {
        name: check_id(row[name], max_characters=_MAX_OPTIONAL_ID_CHARACTERS, field=name)
        for name in _OPTIONAL_IDS
        if row.get(name, "") != ""
    }
    labels = row.get("labels", ())
    if isinstance(labels, str) or len(labels) > MAX_LABELS:
        raise ValueError(f"labels must be a list of at most {MAX_LABELS}")
    checked = (check_id(label, max_characters=MAX_LABEL_CHARACTERS, field="a label") for label in labels)
    impression = row.get("impression", ())
    if isinstance(impression, str) or len(impression) > MAX_IMPRESSION:
        raise ValueError(f"impression must be a list of at most {MAX_IMPRESSION}")
    shown = (check_id(each, max_characters=_MAX_OPTIONAL_ID_CHARACTERS, field="impression") for each in impression)
    value = row.get("event_value")
    event = Event(
        **{
            **row,
            **ids,
            "labels": tuple(checked),
            "event_value": None if value is None else check_event_value(value, field="event_value"),
            "impression": tuple(shown),
        }
    )
    if isinstance(event.timestamp_us, bool) or not isinstance(event.timestamp_us, int):
        raise ValueError("timestamp_us must be whole microseconds since 1970")
    if event.timestamp_us < 0:
        raise InvalidTime(BEFORE_1970, field="timestamp_us")
    if event.timestamp_us > to_microseconds(now + FUTURE_SKEW_SECONDS):
        raise InvalidTime(TOO_LATE, field="timestamp_us")
    event_sk(event)  # raises InvalidInput for names that are too long together
    return event


def event_now(user_id: str, event_type: str, asset_id: str, *, source: str, now: float) -> Event:
    """An event that happens at ``now`` (seconds since 1970), held to the rules of all ways in. Raises InvalidInput."""
    ids = {"user_id": user_id, "event_type": event_type, "asset_id": asset_id}
    return _event({**ids, "timestamp_us": to_microseconds(now), "source": source}, now)


def store_events(store: UserStore, program: Program, events: Sequence[Event], *, refresh_histories: bool) -> Appended:
    """Store events now; when this returns, the next read of their users shows them."""
    return store.append(program, events, refresh_histories=refresh_histories)


def queue_events(
    queue: MessageQueue, program: Program, events: Sequence[Event], *, refresh_histories: bool, now: float
) -> int:
    """Queue events for ``ingest``; the number of messages. Once this returns, no event can be lost."""
    sent_us = to_microseconds(now)
    messages = [
        EventMessage(program.program_id, run, refresh_histories, sent_us, program.incarnation).to_json()
        for run in _runs(events, MESSAGE_BYTES)
    ]
    queue.send(messages)
    return len(messages)


def ingest(store: Store, message: EventMessage) -> Appended:
    """Store the events of one message, except those of users deleted since it was sent.

    Raises NotFound; and EventsRefused, by their places among the message's events, once all other events are stored.
    """
    state = store.program_state(message.program_id) if PROGRAM_ID.fullmatch(message.program_id) else None
    if state is None or message.incarnation not in (None, state.program.incarnation):
        raise ProgramNotFound(message.program_id)
    refused = dict(message.refused)
    places = [place for place in range(len(message.events) + len(refused)) if place not in refused]
    outcome = store_unless_deleted(
        store,
        state.program,
        message.events,
        since_us=message.sent_us,
        write=partial(store.append, refresh_histories=message.refresh_histories),
    )
    refused |= {places[number]: reason for number, reason in outcome.refused.items()}
    if refused:
        raise EventsRefused.of(refused)
    return outcome.stored


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was stored of events that were sent some time ago.

    ``refused`` has the reasons why events could not be stored, by their places; then all others count as accepted.
    Events of ``skipped`` users were not stored, since these were deleted already; nothing is left of ``deleted`` ones,
    who are these and those deleted in the meantime.
    """

    stored: Appended
    refused: Mapping[int, str]
    skipped: Set[str]
    deleted: Set[str]


def store_unless_deleted(
    store: UserStore,
    program: Program,
    events: Sequence[Event],
    *,
    since_us: int,
    write: Callable[[Program, Sequence[Event]], Appended],
) -> Outcome:
    """Store events by ``write``, except those of users who were deleted since they were sent (``since_us``, in
    microseconds since 1970).

    Users are looked up again afterwards: for deletions in the meantime, also while an earlier delivery of the same
    events stored them and was interrupted.
    """
    by_user = events_by_user(events)
    skipped = store.erased_since(program.incarnation, list(by_user), since_us)
    kept = [place for place, event in enumerate(events) if event.user_id not in skipped]
    refused: dict[int, str] = {}
    try:
        stored = write(program, [events[place] for place in kept])
    except EventsRefused as error:
        refused = {kept[number]: reason for number, reason in error.reasons.items()}
        stored = Appended(len(kept) - len(refused), 0)
    deleted = store.erased_since(program.incarnation, list(by_user), since_us)
    for user_id in deleted:
        store.forget_events(program, user_id, by_user[user_id])
    return Outcome(stored, refused, skipped, deleted)


def _runs(events: Sequence[Event], limit_bytes: int) -> Iterator[tuple[Event, ...]]:
    run: list[Event] = []
    size = 0
    for event in events:
        event_size = len(json.dumps(asdict(event)).encode())
        if run and size + event_size > limit_bytes:
            yield tuple(run)
            run, size = [], 0
        run.append(event)
        size += event_size
    if run:
        yield tuple(run)
