"""Bulk removal: events of an import, assets of a dataset, a whole program. Scans the table; not for requests.

Every removal can be repeated: items that are already gone are no error, and items that others need are removed last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

from nextbest.aws.parallel import in_parallel
from nextbest.aws.table import Item, ItemKey, Table, WriteRefused, data
from nextbest.domain.events import Event
from nextbest.domain.history import History, HistoryEvent
from nextbest.domain.programs import Incarnation, Program, program_id_of
from nextbest.errors import NotFound
from nextbest.store import keys
from nextbest.store.base import Store
from nextbest.store.configuration import program_key, while_it_lives
from nextbest.store.histories import decode_attributes


class BulkStore(Store, Protocol):
    """A store that can also remove in bulk."""

    def remove_events(self, program: Program, unwanted: Callable[[Event], bool]) -> int:
        """Remove events and rebuild their users' histories; the number of events. Raises NotFound."""
        ...

    def all_user_attributes(self, incarnation: Incarnation) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """The users of a program who have attributes, and these."""
        ...

    def remove_user_attributes(self, incarnation: Incarnation, user_ids: Iterable[str]) -> None:
        """Forget the attributes of users; their events stay."""
        ...

    def remove_assets(self, incarnation: Incarnation, asset_ids: Iterable[str]) -> int:
        """Remove assets from the catalogue; the number of ids, known or not. Raises NotFound."""
        ...

    def remove_program(self, incarnation: Incarnation) -> None:
        """Remove a program with all its events, users, assets and settings."""
        ...


class BulkRemoval:
    """Removal from one table. A part of ``DynamoStore``."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def remove_events(self, program: Program, unwanted: Callable[[Event], bool]) -> int:
        """Remove events and rebuild their users' histories; the number of events."""
        user_of = {key: event.user_id for key, event in self._events(program.incarnation) if unwanted(event)}
        removed = self._table.delete_many(user_of)
        in_parallel(lambda user_id: self._rebuild(program, user_id), set(user_of.values()))
        return removed

    def _events(self, incarnation: Incarnation) -> Iterator[tuple[ItemKey, Event]]:
        rows = self._table.scan(keys.users_prefix(incarnation), keys.EVENT_PREFIX, projection="pk, sk, body_json")
        for item in rows:
            key = ItemKey(item["pk"]["S"], item["sk"]["S"])
            yield key, _event(keys.parse_user_pk(key.pk), key.sk, item)

    def _rebuild(self, program: Program, user_id: str) -> None:
        """Rebuild a history from what is left in the log.

        The tail is deleted first: for a moment the user's newest events may be missing, but none is counted twice.
        """
        pk = keys.user_pk(program.incarnation, user_id)
        rows = self._table.query(pk, prefix=keys.EVENT_PREFIX)
        events = [HistoryEvent.of(_event(user_id, item["sk"]["S"], item)) for item in rows]
        self._table.delete(ItemKey(pk, keys.TAIL))
        if events:
            packed = History.from_history_events(events).encode(program.half_life_days)
            values: Item = {":packed": {"B": packed}, ":version": {"N": "1"}}
            self._table.update(ItemKey(pk, keys.HISTORY), "SET packed = :packed, history_version = :version", values)
        else:
            self._table.update(ItemKey(pk, keys.HISTORY), "REMOVE packed, history_version", {})

    def all_user_attributes(self, incarnation: Incarnation) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """The users of a program who have attributes, and these."""
        rows = self._table.scan(keys.users_prefix(incarnation), keys.HISTORY, projection="pk, attributes_json")
        for item in rows:
            attributes = decode_attributes(item)
            if attributes is not None:
                yield keys.parse_user_pk(item["pk"]["S"]), attributes

    def remove_user_attributes(self, incarnation: Incarnation, user_ids: Iterable[str]) -> None:
        """Forget the attributes of users; their events stay."""
        for user_id in user_ids:
            key = ItemKey(keys.user_pk(incarnation, user_id), keys.HISTORY)
            self._table.update(key, "REMOVE attributes_json", {})

    def remove_assets(self, incarnation: Incarnation, asset_ids: Iterable[str]) -> int:
        """Remove assets from the catalogue; the number of ids, known or not. Raises NotFound."""
        pk = keys.assets_pk(incarnation)
        removed = self._table.delete_many([ItemKey(pk, keys.escape(asset_id)) for asset_id in asset_ids])
        if removed:
            # A revision without a row of changes: readers that lack it read the assets themselves.
            condition, values = while_it_lives(incarnation)
            key = program_key(program_id_of(incarnation))
            try:
                self._table.update(
                    key, "ADD catalogue_revision :one", {":one": {"N": "1"}, **values}, condition=condition
                )
            except WriteRefused as refused:
                raise NotFound(f"program {program_id_of(incarnation)} does not exist") from refused
        return removed

    def remove_program(self, incarnation: Incarnation) -> None:
        """Remove a program with all its events, users, assets and settings. The program itself goes last."""
        for prefix in (keys.EVENT_PREFIX, keys.HISTORY, keys.TAIL):
            self._remove_all(self._table.scan(keys.users_prefix(incarnation), prefix, projection="pk, sk"))
        for pk in _partitions_of(incarnation):
            self._remove_all(item for item in self._table.query(pk) if item["sk"]["S"] != keys.PROGRAM)
        self._table.delete(ItemKey(keys.PROGRAMS, keys.escape(program_id_of(incarnation))))
        self._table.delete(program_key(program_id_of(incarnation)))

    def _remove_all(self, items: Iterable[Item]) -> None:
        self._table.delete_many([ItemKey(item["pk"]["S"], item["sk"]["S"]) for item in items])


def _partitions_of(incarnation: Incarnation) -> tuple[str, ...]:
    """The partitions of a program that are not a user's."""
    return (
        keys.assets_pk(incarnation),
        keys.asset_changes_pk(incarnation),
        keys.tombstones_pk(incarnation),
        keys.resources_pk(incarnation),
        keys.incarnation_pk(incarnation),
    )


def _event(user_id: str, sk: str, item: Item) -> Event:
    timestamp_us, event_type, asset_id, event_id = keys.parse_event_sk(sk)
    source = data(item).get("source", "") if "body_json" in item else ""
    return Event(user_id, timestamp_us, event_type, asset_id, event_id, source=source)
