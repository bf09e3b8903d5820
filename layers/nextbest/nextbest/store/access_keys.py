"""Access keys in DynamoDB: an item a key, and for each program an index of the keys that open it.

A row of the index is written before its key, and removed after it: a row without a key is skipped, a key without a row
would be missing from lists. Keys that open every program are in no index.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

from nextbest.aws.table import Item, ItemKey, Table, WriteRefused, data, to_json
from nextbest.domain.access_keys import AccessKey
from nextbest.domain.programs import Incarnation, program_id_of
from nextbest.errors import InUse
from nextbest.store import keys

_ATTEMPTS = 20
_COMPLETE = "#"  # sorts before all ids of keys, and is none
"""The row of an index that has every key of a program from before there were indexes."""


class AccessKeys:
    """The keys of one table."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def put_access_key(self, key: AccessKey) -> None:
        """Store or replace a key."""
        for incarnation in key.programs:
            self._table.put(_index_key(incarnation, key.key_id), {})
        self._table.put(access_key_key(key.key_id), {"body_json": {"S": to_json(asdict(key))}})

    def access_key(self, key_id: str) -> AccessKey | None:
        """A key by its id."""
        return decode_access_key(self._table.get(access_key_key(key_id)))

    def access_keys(self) -> Iterator[AccessKey]:
        """All keys of the deployment, in order of their ids."""
        for item in self._table.query(keys.ACCESS_KEYS):
            key = decode_access_key(item)
            assert key is not None
            yield key

    def page_of_access_keys(self, after: str | None, limit: int) -> tuple[list[AccessKey], str | None]:
        """Up to ``limit`` keys whose ids come after ``after``; and the id to go on after, None at the end."""
        rows, last = self._table.query_page(
            keys.ACCESS_KEYS, after=None if after is None else keys.escape(after), limit=limit
        )
        decoded = (decode_access_key(row) for row in rows)
        return [key for key in decoded if key is not None], None if last is None else keys.unescape(last)

    def page_of_access_keys_of(
        self, incarnations: Sequence[Incarnation], after: str | None, limit: int
    ) -> tuple[list[AccessKey], str | None]:
        """The same of the keys that name one of these programs. A read a program, and one of the keys."""
        key_ids = sorted(
            {key_id for incarnation in incarnations for key_id in self._some_key_ids_of(incarnation, after, limit)}
        )
        item_keys = [access_key_key(key_id) for key_id in key_ids[:limit]]
        items = self._table.get_all(item_keys)
        decoded = (decode_access_key(items.get(item_key)) for item_key in item_keys)
        reached = [key for key in decoded if key is not None and not set(incarnations).isdisjoint(key.programs)]
        return reached, key_ids[limit - 1] if len(key_ids) >= limit else None

    def _some_key_ids_of(self, incarnation: Incarnation, after: str | None, limit: int) -> list[str]:
        """Up to ``limit`` ids after ``after`` of the keys that name a program."""
        if incarnation == program_id_of(incarnation):  # of before there were indexes: its index may not be complete
            return [key_id for key_id in self._key_ids_of(incarnation) if after is None or key_id > after][:limit]
        start = None if after is None else keys.escape(after)
        rows, _ = self._table.query_page(keys.access_keys_pk(incarnation), after=start, limit=limit + 1)
        return [keys.unescape(row["sk"]["S"]) for row in rows if row["sk"]["S"] != _COMPLETE]

    def access_keys_of(self, incarnation: Incarnation) -> list[AccessKey]:
        """The keys that name this program, in order of their ids. Costs by these keys alone."""
        item_keys = [access_key_key(key_id) for key_id in self._key_ids_of(incarnation)]
        items = self._table.get_all(item_keys)
        found = (decode_access_key(items.get(item_key)) for item_key in item_keys)
        return [key for key in found if key is not None and incarnation in key.programs]

    def count_access_keys_of(self, incarnation: Incarnation) -> int:
        """How many keys name this program."""
        return len(self._key_ids_of(incarnation))

    def _key_ids_of(self, incarnation: Incarnation) -> list[str]:
        ids = [item["sk"]["S"] for item in self._table.query(keys.access_keys_pk(incarnation))]
        if ids[:1] == [_COMPLETE]:
            return [keys.unescape(key_id) for key_id in ids[1:]]
        if incarnation != program_id_of(incarnation):
            return [keys.unescape(key_id) for key_id in ids]
        # A program from before there were indexes: its keys are looked for among all, once.
        found = [key.key_id for key in self.access_keys() if incarnation in key.programs]
        for key_id in found:
            self._table.put(_index_key(incarnation, key_id), {})
        self._table.put(ItemKey(keys.access_keys_pk(incarnation), _COMPLETE), {})
        return found

    def change_access_key(self, key_id: str, change: Callable[[AccessKey | None], AccessKey]) -> AccessKey:
        """Replace a key by what ``change`` makes of it, without losing another writer's change; the new one.

        ``change`` gets None where there is no such key, and may raise; it leaves the programs as they are. Raises
        InUse.
        """
        for _ in range(_ATTEMPTS):
            item = self._table.get(access_key_key(key_id))
            key = change(decode_access_key(item))
            values: dict[str, Any] = {":new": {"S": to_json(asdict(key))}}
            if item is not None:
                values[":old"] = item["body_json"]
            condition = "attribute_not_exists(pk)" if item is None else "body_json = :old"
            try:
                self._table.update(access_key_key(key_id), "SET body_json = :new", values, condition=condition)
            except WriteRefused:
                continue
            return key
        raise _busy()

    def remove_access_key(self, key: AccessKey) -> None:
        """Remove a key; from then on it opens nothing."""
        self._table.delete(access_key_key(key.key_id))
        for incarnation in key.programs:
            self._table.delete(_index_key(incarnation, key.key_id))

    def close_program(self, incarnation: Incarnation) -> tuple[int, int]:
        """Let no key open a program: how many were removed, and how many open other programs still. Raises InUse."""
        removed = changed = 0
        for key in list(self.access_keys()):
            if incarnation in key.programs:
                is_left = self._close(key.key_id, incarnation)
                changed += is_left
                removed += not is_left
        return removed, changed

    def _close(self, key_id: str, incarnation: Incarnation) -> bool:
        """Take a program from a key; whether the key is left.

        A key that named no other program is removed: without any it would be taken for one that opens every program.
        """
        for _ in range(_ATTEMPTS):
            item = self._table.get(access_key_key(key_id))
            key = decode_access_key(item)
            if item is None or key is None:
                return False
            programs = tuple(program for program in key.programs if program != incarnation)
            if programs == key.programs:
                return True
            unchanged: Item = {":old": item["body_json"]}
            try:
                if programs:
                    body: Item = {":new": {"S": to_json(asdict(replace(key, programs=programs)))}}
                    values = {**unchanged, **body}
                    self._table.update(
                        access_key_key(key_id), "SET body_json = :new", values, condition="body_json = :old"
                    )
                else:
                    self._table.delete(access_key_key(key_id), condition="body_json = :old", values=unchanged)
            except WriteRefused:
                continue
            return bool(programs)
        raise _busy()


def access_key_key(key_id: str) -> ItemKey:
    return ItemKey(keys.ACCESS_KEYS, keys.escape(key_id))


def _index_key(incarnation: Incarnation, key_id: str) -> ItemKey:
    return ItemKey(keys.access_keys_pk(incarnation), keys.escape(key_id))


def decode_access_key(item: Item | None) -> AccessKey | None:
    """The key that an item holds."""
    if item is None:
        return None
    stored = AccessKey(**data(item))
    return replace(stored, programs=tuple(stored.programs), scopes=tuple(stored.scopes))


def _busy() -> InUse:
    return InUse("the key is being changed by others at the same moment; try again")
