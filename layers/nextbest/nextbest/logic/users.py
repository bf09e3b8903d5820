"""One user: their history, label weights and recalculation; the export of all that is held, and deletion."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from random import Random
from typing import Any

from nextbest.domain.actions import Action
from nextbest.domain.catalogue import Catalogue
from nextbest.domain.events import DAY_SECONDS, FUTURE_SKEW_SECONDS, Event
from nextbest.domain.programs import Incarnation, Program
from nextbest.domain.times import format_time
from nextbest.errors import NotFound
from nextbest.logic.segment_writing import forget_users
from nextbest.logic.segments import memberships_of
from nextbest.store.base import ArtifactStore, Erased, EventPage, ProgramState, Store
from nextbest.store.keys import event_sk

USER_NOT_FOUND = "User not found"
_USERS_TO_CHOOSE_FROM = 100

EXPORT_BYTES = 3_000_000
"""Of events in one answer: Lambda answers 6 MB at most."""

_EVENT_BYTES = 180  # the names of an exported event's fields, its time and punctuation


@dataclass(frozen=True, slots=True)
class Export:
    """A part of what is held on a user: ``events`` in order of time, and with the first of them everything else.

    ``next_position`` is where the following part begins, None where there is none.
    """

    events: Sequence[Event]
    attributes: Mapping[str, Any] | None
    memberships: Mapping[str, Sequence[tuple[Action, float]]]
    next_position: str | None


@dataclass(frozen=True, slots=True)
class Deletion:
    """What deleting a user removed: from the table, and from the segments."""

    erased: Erased
    memberships: int


def events_of_user(store: Store, incarnation: Incarnation, user_id: str) -> Iterator[Event]:
    """The user's events, latest first, read as they are needed. Raises NotFound where there are none."""
    events = _newest_first(store, incarnation, user_id)
    first = next(events, None)
    if first is None:
        raise NotFound(USER_NOT_FOUND)
    return chain([first], events)


def _newest_first(store: Store, incarnation: Incarnation, user_id: str) -> Iterator[Event]:
    position = None
    while True:
        page = store.page_of_events(incarnation, user_id, after=position, newest_first=True)
        yield from page.events
        position = page.next_position
        if position is None:
            return


def page_of_user(store: Store, incarnation: Incarnation, user_id: str, *, after: str | None, limit: int) -> EventPage:
    """At most ``limit`` of the user's events, latest first, beyond a position: one bounded read.

    Raises InvalidInput for a position that is none, and NotFound for a user without events.
    """
    page = store.page_of_events(incarnation, user_id, after=after, limit=limit, newest_first=True)
    if after is None and not page.events and page.next_position is None:
        raise NotFound(USER_NOT_FOUND)
    return page


def position_after(event: Event) -> str:
    """Where to go on after an event."""
    return event_sk(event)


def label_weights(
    state: ProgramState, catalogue: Catalogue, events: Iterable[Event], *, now: float
) -> dict[str, float]:
    """Weights of the labels in a user's events: Σ 0.5^(age_days / half_life_days) over the events that carry the label.

    Highest weight first, equal weights by label. An event carries its own labels and those of its asset, each once; a
    weight set by the operator multiplies. Source: docs/contracts/actionhub.md, section 6.
    """
    weights: dict[str, float] = {}
    half_life_seconds = state.program.half_life_days * DAY_SECONDS
    for event in events:
        asset = catalogue.assets.get(event.asset_id)
        # Imported events may lie far ahead, where the power would overflow.
        age_seconds = max(now - event.timestamp, -FUTURE_SKEW_SECONDS)
        weight = 0.5 ** (age_seconds / half_life_seconds)
        for label in {*event.labels, *(asset.labels if asset else ())}:
            weights[label] = weights.get(label, 0.0) + weight
    weights = {label: weight * state.label_weights.get(label, 1.0) for label, weight in weights.items()}
    return dict(sorted(weights.items(), key=lambda item: (-item[1], item[0])))


def rebuild_user(store: Store, program: Program, user_id: str) -> None:
    """Recalculate the user's history from the event log. Raises NotFound for a user without events."""
    if not store.rebuild_history(program, user_id):
        raise NotFound(USER_NOT_FOUND)


def users_beginning_with(user_ids: Sequence[str], prefix: str, *, limit: int) -> tuple[Sequence[str], int]:
    """The first ``limit`` of sorted ``user_ids`` that begin with ``prefix``, and how many there are."""
    begin = bisect_left(user_ids, prefix)
    end = bisect_right(user_ids, prefix, lo=begin, key=lambda user_id: user_id[: len(prefix)])
    return user_ids[begin : min(end, begin + limit)], end - begin


def random_user_id(store: Store, incarnation: Incarnation, *, random: Random) -> str:
    """Some user of the program, one of the first hundred that the store comes by. Raises NotFound."""
    users = list(islice(store.users(incarnation), _USERS_TO_CHOOSE_FROM))
    if not users:
        raise NotFound(USER_NOT_FOUND)
    return random.choice(users)


def export_user(
    store: Store, artifacts: ArtifactStore, incarnation: Incarnation, user_id: str, *, after: str | None = None
) -> Export:
    """All that is held on a user, of the events those beyond a position; as much of it as one answer holds.

    A part costs one bounded read. The history and its weights are made of the events and hold nothing else. Raises
    InvalidInput for a position that is none, and NotFound where nothing is held.
    """
    page = store.page_of_events(incarnation, user_id, after=after)
    events = list(_within(page.events, EXPORT_BYTES))
    next_position = page.next_position if len(events) == len(page.events) else position_after(events[-1])
    if after is not None:
        return Export(events, None, {}, next_position)
    attributes = store.user_attributes(incarnation, user_id)
    memberships = memberships_of(store, artifacts, incarnation, user_id)
    if not events and next_position is None and attributes is None and not any(memberships.values()):
        raise NotFound(USER_NOT_FOUND)
    return Export(events, attributes, memberships, next_position)


def export_body(export: Export, program_id: str, user_id: str, *, next_token: str | None) -> dict[str, Any]:
    """An export as JSON: the answer to GET /users/{user_id}/export."""
    return {
        "program_id": program_id,
        "user_id": user_id,
        "events": [exported_event(event) for event in export.events],
        "attributes": dict(export.attributes) if export.attributes is not None else None,
        "memberships": [
            {"segment_type": kind, "event_type": action.event_type, "asset_id": action.asset_id, "weight": weight}
            for kind, memberships in export.memberships.items()
            for action, weight in memberships
        ],
        "next_token": next_token,
    }


def exported_event(event: Event) -> dict[str, Any]:
    """An event as exports have it."""
    value = {} if event.event_value is None else {"event_value": event.event_value}
    return {
        "timestamp": format_time(event.timestamp_us),
        "event_type": event.event_type,
        "asset_id": event.asset_id,
        "event_id": event.event_id,
        "labels": list(event.labels),
        "source": event.source,
        "recommendation_id": event.recommendation_id,
        "session_id": event.session_id,
        **value,
        **({"impression": list(event.impression)} if event.impression else {}),
    }


def _within(events: Sequence[Event], most_bytes: int) -> Iterator[Event]:
    """As many of the events as have so many bytes in an answer, and one at least."""
    size = 0
    for place, event in enumerate(events):
        names = (event.event_type, event.asset_id, event.event_id, event.source, event.recommendation_id)
        texts = (*names, event.session_id, *event.labels, *event.impression)
        size += _EVENT_BYTES + sum(len(text.encode()) + 4 for text in texts)
        if place and size > most_bytes:
            return
        yield event


def delete_user(
    store: Store, artifacts: ArtifactStore, incarnation: Incarnation, user_id: str, *, now: float
) -> Deletion:
    """Forget a user and their sessions: log, history, attributes and segments; the next model learns without them.

    Models hold weights of actions and nothing of any user. What is queued of the user is dropped when it arrives, even
    where nothing was stored yet. Raises NotFound where nothing was, and InUse.
    """
    erased = store.erase_user(incarnation, user_id, now=now)
    memberships = forget_users(store, artifacts, incarnation, {user_id, *erased.sessions})
    deletion = Deletion(erased, memberships)
    if deletion == Deletion(Erased(0, 0, 0), 0):
        raise NotFound(USER_NOT_FOUND)
    return deletion
