"""One user: their history, label weights and recalculation; the export of all that is held, and deletion."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import Any

from nextbest.domain.actions import Action
from nextbest.domain.catalogue import Catalogue
from nextbest.domain.events import DAY_SECONDS, FUTURE_SKEW_SECONDS, Event
from nextbest.domain.programs import Incarnation, Program
from nextbest.errors import NotFound
from nextbest.logic.segments import forget_users, memberships_of
from nextbest.store.base import ArtifactStore, Erased, ProgramState, Store

USER_NOT_FOUND = "User not found"
_USERS_TO_CHOOSE_FROM = 100

EXPORT_BYTES = 3_000_000
"""Of events in one answer: Lambda answers 6 MB at most."""

_EVENT_BYTES = 180  # the names of an exported event's fields, its time and punctuation


@dataclass(frozen=True, slots=True)
class Export:
    """A part of what is held on a user: ``events`` in order of time, and with the first of them everything else.

    ``next_skip`` is the ``skip`` of the following part, None where there is none.
    """

    events: Sequence[Event]
    attributes: Mapping[str, Any] | None
    memberships: Mapping[str, Sequence[tuple[Action, float]]]
    next_skip: int | None


@dataclass(frozen=True, slots=True)
class Deletion:
    """What deleting a user removed: from the table, and from the segments."""

    erased: Erased
    memberships: int


def events_of_user(store: Store, incarnation: Incarnation, user_id: str) -> list[Event]:
    """The user's events, latest first. Raises NotFound where there are none."""
    events = list(store.events_of(incarnation, user_id))
    if not events:
        raise NotFound(USER_NOT_FOUND)
    return sorted(events, reverse=True, key=lambda event: (event.timestamp_us, event.event_type, event.asset_id))


def label_weights(
    state: ProgramState, catalogue: Catalogue, events: Sequence[Event], *, now: float
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


def random_user_id(store: Store, incarnation: Incarnation, *, random: Random) -> str:
    """Some user of the program, one of the first hundred that the store comes by. Raises NotFound."""
    users = list(islice(store.users(incarnation), _USERS_TO_CHOOSE_FROM))
    if not users:
        raise NotFound(USER_NOT_FOUND)
    return random.choice(users)


def export_user(
    store: Store, artifacts: ArtifactStore, incarnation: Incarnation, user_id: str, *, skip: int = 0
) -> Export:
    """All that is held on a user, but for the first ``skip`` events; as much of it as one answer holds.

    The history and its weights are made of the events and hold nothing else. Raises NotFound where nothing is held.
    """
    events, next_skip = _part(store.events_of(incarnation, user_id), skip)
    attributes = store.user_attributes(incarnation, user_id) if skip == 0 else None
    memberships = memberships_of(store, artifacts, incarnation, user_id) if skip == 0 else {}
    if not events and attributes is None and not any(memberships.values()):
        raise NotFound(USER_NOT_FOUND)
    return Export(events, attributes, memberships, next_skip)


def _part(log: Iterator[Event], skip: int) -> tuple[list[Event], int | None]:
    events: list[Event] = []
    size = 0
    for event in islice(log, skip, None):
        names = (event.event_type, event.asset_id, event.event_id, event.source, event.recommendation_id)
        texts = (*names, event.session_id, *event.labels)
        size += _EVENT_BYTES + sum(len(text.encode()) + 4 for text in texts)
        if events and size > EXPORT_BYTES:
            return events, skip + len(events)
        events.append(event)
    return events, None


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
