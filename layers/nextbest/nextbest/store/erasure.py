"""Erasure: deletes all data of a user and of their sessions, and records the deletion for a while.

Events that were queued before a deletion may arrive after it. So a deletion leaves a tombstone, and ``ingest`` drops
events that were sent before it; events sent later are stored as those of a new user. A tombstone holds a digest instead
of the user's id, and DynamoDB removes it once no queue can hold messages as old (its TTL attribute, ``ttl``).

Decisions name a user by a hash (``domain/decisions.py``). The user's salt goes with the history, and the program gets
another decision key, so that what was decided for a deleted user cannot be tied to them any more.

A session without a known user is a user whose id is the session's. It belongs to the first user it is joined to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from hashlib import sha256

from nextbest.aws.table import Item, ItemKey, WriteRefused, number, text
from nextbest.domain.events import DAY_SECONDS, Event, to_microseconds
from nextbest.domain.programs import Incarnation, program_id_of
from nextbest.store import keys
from nextbest.store.base import Erased
from nextbest.store.configuration import (
    UNCHANGED,
    decode_program,
    program_key,
    while_it_lives,
)
from nextbest.store.event_removal import EventRemoval
from nextbest.store.log_rows import logged_events
from nextbest.store.salts import DECISION_KEY, new_decision_key

TOMBSTONE_DAYS = 35
"""The queue keeps messages for 14 days and the dead-letter queue for as many; a week is left to redrive the last."""

_KEYS_PER_READ = 100
_SWEEPS = 20


class Erasure(EventRemoval):
    """Deleted users of one table, and whose the sessions are."""

    def erase_user(self, incarnation: Incarnation, user_id: str, *, now: float) -> Erased:
        """Delete the user's log, history and attributes, and those of their sessions; leave tombstones.

        Repeats until nothing is left, so that concurrent writes do not survive. Sessions go before the events that
        name them, so that a deletion which was interrupted can be repeated.
        """
        self._put_tombstone(incarnation, user_id, now)
        self._replace_decision_key(incarnation)
        events = histories = attributes = 0
        sessions: set[str] = set()
        for _ in range(_SWEEPS):
            items = list(self._table.query(keys.user_pk(incarnation, user_id)))
            if not items:
                break
            for session_id in {event.session_id for event in _events(user_id, items)} - {"", user_id} - sessions:
                if self._erase_session(incarnation, session_id, user_id, now):
                    sessions.add(session_id)
            events += sum(item["sk"]["S"].startswith(keys.EVENT_PREFIX) for item in items)
            histories += any("packed" in item or "tail_events" in item for item in items)
            attributes += any("attributes_json" in item for item in items)
            self._table.delete_many(ItemKey(item["pk"]["S"], item["sk"]["S"]) for item in items)
        return Erased(events, histories, attributes, frozenset(sessions))

    def _erase_session(self, incarnation: Incarnation, session_id: str, user_id: str, now: float) -> bool:
        """Delete what a session did while its user was not known, unless the session is another user's.

        A client may have named a session like a user: that user's own events and attributes stay.
        """
        pk = keys.user_pk(incarnation, session_id)
        for _ in range(_SWEEPS):
            items = list(self._table.query(pk))
            owner = _owner(items)
            if owner not in (None, _digest(incarnation, user_id)):
                return False
            events = list(_events(session_id, items))
            anonymous = [event for event in events if event.is_anonymous]
            if not items:
                return True
            if len(anonymous) == len(events) and not any("attributes_json" in item for item in items):
                self._put_tombstone(incarnation, session_id, now)
                self._table.delete_many(ItemKey(item["pk"]["S"], item["sk"]["S"]) for item in items)
                continue
            if not anonymous and owner is None:
                return True
            self._table.delete(ItemKey(pk, keys.SESSION_OWNER))
            state = decode_program(self._table.get(program_key(program_id_of(incarnation))))
            if state is not None:
                self.forget_events(state.program, session_id, anonymous)
        return True

    def claim_session(self, incarnation: Incarnation, session_id: str, user_id: str) -> bool:
        """Whether a session is the user's: it belongs to the first who claims it."""
        key = ItemKey(keys.user_pk(incarnation, session_id), keys.SESSION_OWNER)
        digest = _digest(incarnation, user_id)
        for _ in range(2):
            item = self._table.get(key)
            if item is not None:
                return text(item, "owner") == digest
            try:
                self._table.put(key, {"owner": {"S": digest}}, only_new=True)
            except WriteRefused:
                continue  # somebody else was first
            return True
        return False

    def _replace_decision_key(self, incarnation: Incarnation) -> None:
        """Let nobody derive the salts of before again; those of other users are stored with their histories."""
        condition, values = while_it_lives(incarnation)
        key, expression = program_key(program_id_of(incarnation)), f"SET {DECISION_KEY} = :key REMOVE {UNCHANGED}"
        with suppress(WriteRefused):  # the program is gone, and the key with it
            self._table.update(key, expression, {":key": new_decision_key(), **values}, condition=condition)

    def _put_tombstone(self, incarnation: Incarnation, user_id: str, now: float) -> None:
        tombstone: Item = {
            "erased_us": {"N": str(to_microseconds(now))},
            "ttl": {"N": str(int(now) + int(TOMBSTONE_DAYS * DAY_SECONDS))},
        }
        self._table.put(_tombstone_key(incarnation, user_id), tombstone)

    def last_erased_us(self, incarnation: Incarnation, user_ids: Sequence[str]) -> int:
        """When the last of up to 100 users was erased, in microseconds since 1970; -1 where none was."""
        tombstones = self._table.get_many([_tombstone_key(incarnation, user_id) for user_id in user_ids])
        return max((number(item, "erased_us") for item in tombstones.values()), default=-1)

    def erased_since(self, incarnation: Incarnation, user_ids: Sequence[str], since_us: int) -> set[str]:
        """Those of ``user_ids`` who were erased at ``since_us`` (microseconds since 1970) or later."""
        if len(user_ids) <= _KEYS_PER_READ:
            user_of = {_tombstone_key(incarnation, user_id): user_id for user_id in user_ids}
            tombstones = self._table.get_many(list(user_of)) if user_of else {}
            return {user_of[key] for key, item in tombstones.items() if number(item, "erased_us") >= since_us}
        # Of millions of users few are erased, and nobody is looked up where none was.
        digests = {
            item["sk"]["S"]
            for item in self._table.query(keys.tombstones_pk(incarnation))
            if number(item, "erased_us") >= since_us
        }
        return {user_id for user_id in user_ids if _digest(incarnation, user_id) in digests} if digests else set()


def _events(user_id: str, items: Iterable[Item]) -> Iterator[Event]:
    return logged_events(user_id, (item for item in items if item["sk"]["S"].startswith(keys.EVENT_PREFIX)))


def _owner(items: Iterable[Item]) -> str | None:
    return next((text(item, "owner") for item in items if item["sk"]["S"] == keys.SESSION_OWNER), None)


def _digest(incarnation: Incarnation, user_id: str) -> str:
    return sha256(f"{incarnation}\0{user_id}".encode()).hexdigest()


def _tombstone_key(incarnation: Incarnation, user_id: str) -> ItemKey:
    return ItemKey(keys.tombstones_pk(incarnation), _digest(incarnation, user_id))
