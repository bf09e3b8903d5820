"""Bulk removal: events of an import, assets of a dataset, a whole program. Scans the table; not for requests.

Every removal can be repeated: items that are already gone are no error, and items that others need are removed last.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import Any, Protocol

from nextbest.aws.parallel import in_parallel
from nextbest.aws.table import Item, ItemKey, WriteRefused
from nextbest.domain.events import Event
from nextbest.domain.programs import Incarnation, Program, program_id_of
from nextbest.errors import ProgramNotFound
from nextbest.store import keys
from nextbest.store.configuration import (
    REMOVAL,
    incarnation_in,
    is_incarnation,
    note_change,
    program_key,
    while_it_lives,
)
from nextbest.store.event_removal import EventRemoval, event_id_keys
from nextbest.store.histories import decode_attributes
from nextbest.store.imports import ImportStore
from nextbest.store.leases import LeaseStore
from nextbest.store.log_rows import logged_events
from nextbest.store.staged import STAGED, STAGED_JSON, CurrentVersions

_SWEEPS = 20


@dataclass(slots=True)
class RemovedItems:
    """How many items of the table were removed, and how many of them were events, assets, and users' histories."""

    items: int = 0
    events: int = 0
    assets: int = 0
    histories: int = 0

    def count(self, key: ItemKey, incarnation: Incarnation) -> None:
        """Count one item more."""
        self.items += 1
        self.events += key.sk.startswith(keys.EVENT_PREFIX)
        self.assets += key.pk == keys.assets_pk(incarnation)
        self.histories += key.sk == keys.TAIL


class BulkStore(LeaseStore, ImportStore, Protocol):
    """A store that can also replace and remove in bulk."""

    def event_keys(self, incarnation: Incarnation, wanted: Callable[[Event], bool]) -> set[ItemKey]:
        """The keys of some of a program's events."""
        ...

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

    def begin_removal(self, incarnation: Incarnation) -> None:
        """Mark a program: from now on nobody finds it, and its id is taken until it is gone. Raises NotFound."""
        ...

    def unfinished_removal(self, program_id: str) -> Incarnation | None:
        """The incarnation of a program that is marked and not gone yet."""
        ...

    def remove_items(self, incarnation: Incarnation) -> RemovedItems:
        """Remove all items of a program but its own."""
        ...

    def close_program(self, incarnation: Incarnation) -> tuple[int, int]:
        """Let no key open a program: how many were removed, and how many open other programs still. Raises InUse."""
        ...

    def remove_idempotency_records(self, program_id: str) -> int:
        """Remove what creating calls answered of a program; how many."""
        ...

    def end_removal(self, incarnation: Incarnation) -> None:
        """Remove the marked program itself; its id is free then."""
        ...


class BulkRemoval(EventRemoval):
    """Removal from one table. A part of ``DynamoStore``."""

    def remove_events(self, program: Program, unwanted: Callable[[Event], bool]) -> int:
        """Remove events and rebuild their users' histories; the number of events."""
        note_change(self._table, program)
        unwanted_keys = self.event_keys(program.incarnation, unwanted)
        self._table.delete_many(event_id_keys(unwanted_keys))
        removed = self._table.delete_many(unwanted_keys)
        users = {keys.parse_user_pk(key.pk) for key in unwanted_keys}
        in_parallel(lambda user_id: self._rebuild_without_tail(program, user_id), users)
        return removed

    def event_keys(self, incarnation: Incarnation, wanted: Callable[[Event], bool]) -> set[ItemKey]:
        """The keys of some of a program's events."""
        versions = CurrentVersions(self._table, incarnation)
        projection = f"pk, sk, body_json, {STAGED}, {STAGED_JSON}"
        found = set()
        for row in self._table.scan(keys.users_prefix(incarnation), keys.EVENT_PREFIX, projection=projection):
            key = ItemKey(row["pk"]["S"], row["sk"]["S"])
            item = versions.of(row)
            if item is not None and any(map(wanted, logged_events(keys.parse_user_pk(key.pk), [item]))):
                found.add(key)
        return found

    def all_user_attributes(self, incarnation: Incarnation) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """The users of a program who have attributes, and these."""
        versions = CurrentVersions(self._table, incarnation)
        projection = f"pk, attributes_json, {STAGED}, {STAGED_JSON}"
        for item in self._table.scan(keys.users_prefix(incarnation), keys.HISTORY, projection=projection):
            attributes = decode_attributes(versions.of(item, "attributes_json"))
            if attributes is not None:
                yield keys.parse_user_pk(item["pk"]["S"]), attributes

    def remove_user_attributes(self, incarnation: Incarnation, user_ids: Iterable[str]) -> None:
        """Forget the attributes of users; their events stay."""
        for user_id in user_ids:
            key = ItemKey(keys.user_pk(incarnation, user_id), keys.HISTORY)
            self._table.update(key, f"REMOVE attributes_json, {STAGED}, {STAGED_JSON}", {})

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
                raise ProgramNotFound(program_id_of(incarnation)) from refused
        return removed

    def begin_removal(self, incarnation: Incarnation) -> None:
        """Mark a program: from now on nobody finds it, and its id is taken until it is gone. Raises NotFound."""
        condition, values = is_incarnation(incarnation)
        key = program_key(program_id_of(incarnation))
        try:
            self._table.update(key, "SET removal = :true", {**values, ":true": {"BOOL": True}}, condition=condition)
        except WriteRefused as refused:
            raise ProgramNotFound(program_id_of(incarnation)) from refused

    def unfinished_removal(self, program_id: str) -> Incarnation | None:
        """The incarnation of a program that is marked and not gone yet."""
        item = self._table.get(program_key(program_id))
        return incarnation_in(item, program_id) if item is not None and REMOVAL in item else None

    def remove_items(self, incarnation: Incarnation) -> RemovedItems:
        """Remove all items of a program but its own.

        Repeats until nothing is left, so that what is written by calls that began before the removal goes too.
        """
        removed = RemovedItems()
        for _ in range(_SWEEPS):
            if not self._table.delete_many(self._counted(incarnation, removed)):
                break
        return removed

    def _counted(self, incarnation: Incarnation, removed: RemovedItems) -> Iterator[ItemKey]:
        """The keys of all items of a program but its own."""
        items = chain(
            self._table.scan(keys.incarnation_prefix(incarnation), projection="pk, sk"),
            self._table.query(keys.incarnation_pk(incarnation)),
        )
        for item in items:
            key = ItemKey(item["pk"]["S"], item["sk"]["S"])
            if key.sk != keys.PROGRAM:
                removed.count(key, incarnation)
                yield key

    def remove_idempotency_records(self, program_id: str) -> int:
        """Remove what creating calls answered of a program; how many."""
        records = self._table.query(keys.IDEMPOTENCY)
        return self._table.delete_many(
            ItemKey(item["pk"]["S"], item["sk"]["S"]) for item in records if _names(item, program_id)
        )

    def end_removal(self, incarnation: Incarnation) -> None:
        """Remove the marked program itself; its id is free then.

        The index entry goes first, as it comes first: a program that is in no index would be lost.
        """
        program_id = program_id_of(incarnation)
        condition, values = is_incarnation(incarnation)
        self._table.delete(ItemKey(keys.PROGRAMS, keys.escape(program_id)))
        with suppress(WriteRefused):  # somebody else ended it
            self._table.delete(program_key(program_id), condition=condition, values=values)


def _names(record: Item, program_id: str) -> bool:
    """Whether an answer is about a program: it was created, or a key that opens it."""
    answer = json.loads(record["data"]["S"]) if "data" in record else {}
    return program_id == answer.get("program_id") or program_id in answer.get("programs", ())
