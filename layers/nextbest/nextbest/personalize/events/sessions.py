"""Anonymous visitors: what a session did before its user was known becomes the user's.

A visitor without a user id is stored as a user whose id is the session's. The first event with both ids joins them:
the session's anonymous events are added to the user's, at once rather than at the next training. Source:
docs/contracts/personalize.md, section 5.3.
"""

from __future__ import annotations

from dataclasses import replace

from nextbest.domain.programs import Program
from nextbest.personalize.datasets.joined_sessions import joined_sessions
from nextbest.personalize.datasets.sources import ANONYMOUS
from nextbest.store.base import Store


def join_session(store: Store, program: Program, *, session_id: str, user_id: str) -> int:
    """Add the session's anonymous events to the user's; how many are new. Idempotent.

    The first user whom a session names keeps it: on a shared device the next one does not inherit the history.
    """
    if session_id == user_id:
        return 0
    events = [event for event in store.events_of(program.incarnation, session_id) if event.source == ANONYMOUS]
    if not events:
        return 0
    kind = joined_sessions(program.incarnation)
    owner = store.resource(kind, session_id)
    if owner is not None and (owner["user_id"] != user_id or owner["events"] == len(events)):
        return 0
    # A session that was joined is left out of training, where its events would count twice.
    store.put_resource(kind, session_id, {"session_id": session_id, "user_id": user_id, "events": 0})
    stored = store.append(program, [replace(event, user_id=user_id) for event in events])
    store.put_resource(kind, session_id, {"session_id": session_id, "user_id": user_id, "events": len(events)})
    return stored.accepted
