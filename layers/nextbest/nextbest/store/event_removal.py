"""Removal of single events of a user, from the log and from the history that is made of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from contextlib import suppress

from nextbest.aws.table import Item, ItemKey, Table, WriteRefused
from nextbest.domain.events import Event
from nextbest.domain.history import History
from nextbest.domain.programs import Program
from nextbest.errors import EventCorrupt
from nextbest.store import keys
from nextbest.store.configuration import note_change
from nextbest.store.log_rows import history_events
from nextbest.store.staged import CurrentVersions

_NO_EVENTS = "attribute_not_exists(tail_events) AND attribute_not_exists(backfilled)"


class EventRemoval:
    """Removes events from one table."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def forget_events(self, program: Program, user_id: str, events: Sequence[Event]) -> None:
        """Remove events of a user from the history, then from the log, so that it can be repeated if interrupted."""
        note_change(self._table, program)
        pk = keys.user_pk(program.incarnation, user_id)
        unwanted = {keys.event_sk(event) for event in events}
        self._rebuild_without_tail(program, user_id, unwanted)
        # Records of event ids go before the events: an id that is taken by no event is worse than one that is free.
        unwanted_keys = [ItemKey(pk, sk) for sk in sorted(unwanted)]
        self._table.delete_many(event_id_keys(unwanted_keys))
        self._table.delete_many(unwanted_keys)

    def _rebuild_without_tail(self, program: Program, user_id: str, unwanted: Set[str] = frozenset()) -> None:
        """Rebuild a history from the log, but for the rows with the ``unwanted`` sort keys.

        The tail is emptied first: for a moment the user's newest events may be missing, but none is counted twice.
        """
        pk = keys.user_pk(program.incarnation, user_id)
        tail_key = ItemKey(pk, keys.TAIL)
        with suppress(WriteRefused):
            expression = "REMOVE tail_events, folded_until_us, backfilled"  # the user's salt stays
            self._table.update(tail_key, expression, {}, condition="attribute_exists(pk)")
        # After the tail: whatever is added to it from now on was logged before, or is not in it yet.
        versions = CurrentVersions(self._table, program.incarnation)
        rows = filter(None, map(versions.of, self._table.query(pk, prefix=keys.EVENT_PREFIX)))
        events = list(history_events(item for item in rows if item["sk"]["S"] not in unwanted))
        if events:
            packed = History.from_history_events(events).encode(program.half_life_days)
            values: Item = {":packed": {"B": packed}, ":version": {"N": "1"}}
            self._table.update(ItemKey(pk, keys.HISTORY), "SET packed = :packed, history_version = :version", values)
            return
        with suppress(WriteRefused):  # events came in meanwhile
            self._table.delete(tail_key, condition=_NO_EVENTS)
        try:
            self._table.delete(ItemKey(pk, keys.HISTORY), condition="attribute_not_exists(attributes_json)")
        except WriteRefused:
            self._table.update(ItemKey(pk, keys.HISTORY), "REMOVE packed, history_version", {})


def event_id_keys(event_keys: Iterable[ItemKey]) -> set[ItemKey]:
    """The keys of the records of these events' ids; none for events without a client's id."""
    found = set()
    for pk, sk in event_keys:
        with suppress(EventCorrupt):  # what is not an event has no id
            if event_id := keys.parse_event_sk(sk)[3]:
                found.add(ItemKey(pk, keys.event_id_sk(event_id)))
    return found
