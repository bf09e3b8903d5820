"""Anonymous visitors: what a session did before its user was known becomes the user's.

A visitor without a user id is stored as a user whose id is the session's. The first event with both ids joins them:
the session's anonymous events are added to the user's, at once rather than at the next training. Source:
docs/contracts/personalize.md, section 5.3.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

from nextbest.domain.programs import Program
from nextbest.personalize.datasets.sources import ANONYMOUS
from nextbest.store.base import Store

JOINED_SESSION = "joined-session"
"""The kind of the resources that record which session of a program was joined to which user: by digests of their ids,
which fit in a key however long an id is."""


def join_session(store: Store, program: Program, *, session_id: str, user_id: str) -> int:
    """Add the session's anonymous events to the user's; how many are new. Idempotent.

    The first user whom a session names keeps it: on a shared device the next one does not inherit the history.
    """
    if session_id == user_id:
        return 0
    events = [event for event in store.events_of(program.incarnation, session_id) if event.source == ANONYMOUS]
    if not events:
        return 0
    session, user = _digest(program, session_id), _digest(program, user_id)
    owner = store.resource(program.incarnation, JOINED_SESSION, session)
    if owner is not None and (owner["user"] != user or owner["events"] == len(events)):
        return 0
    # Recorded first, so that the session stays this user's if storing is interrupted; the next event goes on with it.
    store.put_resource(program.incarnation, JOINED_SESSION, session, {"user": user, "events": 0})
    stored = store.append(program, [replace(event, user_id=user_id) for event in events])
    store.put_resource(program.incarnation, JOINED_SESSION, session, {"user": user, "events": len(events)})
    return stored.accepted


def _digest(program: Program, user_id: str) -> str:
    return sha256(f"{program.incarnation}\0{user_id}".encode()).hexdigest()
