"""Erasure: deletes all data of a user, and records the deletion for a while.

Events that were queued before a deletion may arrive after it. So a deletion leaves a tombstone, and ``ingest`` drops
events that were sent before it; events sent later are stored as those of a new user. A tombstone holds a digest instead
of the user's id, and DynamoDB removes it once no queue can hold messages as old (its TTL attribute, ``ttl``).
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from nextbest.aws.table import Item, ItemKey, Table, number
from nextbest.domain.events import DAY_SECONDS, to_microseconds
from nextbest.domain.programs import Incarnation
from nextbest.store import keys
from nextbest.store.base import Erased

TOMBSTONE_DAYS = 35
"""The queue keeps messages for 14 days and the dead-letter queue for as many; a week is left to redrive the last."""

_KEYS_PER_READ = 100
_SWEEPS = 20


class Erasure:
    """Deleted users of one table."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def erase_user(self, incarnation: Incarnation, user_id: str, *, now: float) -> Erased:
        """Delete the user's log, history and attributes, and leave a tombstone; what was removed.

        Repeats until nothing is left, so that concurrent writes do not survive.
        """
        tombstone: Item = {
            "erased_us": {"N": str(to_microseconds(now))},
            "ttl": {"N": str(int(now) + int(TOMBSTONE_DAYS * DAY_SECONDS))},
        }
        self._table.put(_tombstone_key(incarnation, user_id), tombstone)
        events = histories = attributes = 0
        for _ in range(_SWEEPS):
            items = list(self._table.query(keys.user_pk(incarnation, user_id)))
            if not items:
                break
            events += sum(item["sk"]["S"].startswith(keys.EVENT_PREFIX) for item in items)
            histories += any("packed" in item or "tail_events" in item for item in items)
            attributes += any("attributes_json" in item for item in items)
            self._table.delete_many(ItemKey(item["pk"]["S"], item["sk"]["S"]) for item in items)
        return Erased(events, histories, attributes)

    def erased_since(self, incarnation: Incarnation, user_ids: Sequence[str], since_us: int) -> set[str]:
        """Those of ``user_ids`` who were erased at ``since_us`` (microseconds since 1970) or later."""
        user_of = {_tombstone_key(incarnation, user_id): user_id for user_id in user_ids}
        if len(user_of) <= _KEYS_PER_READ:
            tombstones = list(self._table.get_many(list(user_of)).values()) if user_of else []
        else:
            tombstones = list(self._table.query(keys.tombstones_pk(incarnation)))
        erased = (
            ItemKey(item["pk"]["S"], item["sk"]["S"]) for item in tombstones if number(item, "erased_us") >= since_us
        )
        return {user_of[key] for key in erased if key in user_of}


def _tombstone_key(incarnation: Incarnation, user_id: str) -> ItemKey:
    digest = sha256(f"{incarnation}\0{user_id}".encode()).hexdigest()
    return ItemKey(keys.tombstones_pk(incarnation), digest)
