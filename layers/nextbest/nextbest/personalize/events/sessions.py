"""Anonymous visitors: what a session did before its user was known becomes the user's.

A visitor without a user id is stored as a user whose id is the session's. The first event with both ids joins them:
the session's anonymous events become the user's, at once rather than at the next training. Source:
docs/contracts/personalize.md, section 5.3.
"""

from __future__ import annotations

from dataclasses import replace

from nextbest.domain.events import Event
from nextbest.domain.programs import Program
from nextbest.personalize.datasets.sources import ANONYMOUS
from nextbest.store.base import Store


def join_session(store: Store, program: Program, *, session_id: str, user_id: str) -> int:
    """Move the session's anonymous events to the user; how many are new there. Idempotent.

    The first user whom a session names keeps it: on a shared device the next one does not inherit the history. What
    was done before the user or the session was deleted stays out.
    """
    if session_id == user_id:
        return 0
    incarnation = program.incarnation
    if not _anonymous_events(store, program, session_id):
        return 0
    if not store.claim_session(incarnation, session_id, user_id):
        return 0
    erased_us = store.last_erased_us(incarnation, (session_id, user_id))
    # Read again, after the tombstones: what a deletion removes from now on is noticed below.
    events = _anonymous_events(store, program, session_id)
    events = [event for event in events if event.timestamp_us > erased_us]
    if not events:
        return 0
    joined = [replace(event, user_id=user_id, session_id=session_id) for event in events]
    # First added, then removed: an interruption loses nothing, and the next event of the session continues it.
    stored = store.append(program, joined)
    if store.last_erased_us(incarnation, (session_id, user_id)) > erased_us:
        store.forget_events(program, user_id, joined)
    store.forget_events(program, session_id, events)
    return stored.accepted


def _anonymous_events(store: Store, program: Program, session_id: str) -> list[Event]:
    return [event for event in store.events_of(program.incarnation, session_id) if event.source == ANONYMOUS]
