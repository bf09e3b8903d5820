"""Imports that replace a dataset: all of the new data count, or all of the old.

1. ``begin_import`` gives the attempt a number. An earlier attempt at the dataset that is still open has lost then: of
   two at once the one that began later wins.
2. ``stage_…`` stores the new versions next to those that count (``staged.py``). A reader notices nothing, and what a
   client puts meanwhile takes the place of both.
3. ``commit_import`` is one transaction, in which the attempt must still be the open one. From then on the new data are
   the data.
4. ``finish_imports`` moves the new versions to where they belong, rebuilds histories and records the outcome. It can
   be interrupted at any point and repeated by anybody: the next run of the job, the next import, the next rebase.

An attempt that fails or is killed before it is committed leaves versions that never count; the next one removes them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from typing import Any, Protocol

from nextbest.aws.parallel import in_parallel
from nextbest.aws.table import Item, ItemKey, Table, Update, WriteRefused, key_of, text, to_json
from nextbest.domain.assets import Asset
from nextbest.domain.events import Event
from nextbest.domain.programs import Incarnation, Program, program_id_of
from nextbest.errors import InUse, NotFound, ProgramNotFound
from nextbest.store import keys
from nextbest.store.configuration import UNCHANGED, decode_program, program_key, while_it_lives
from nextbest.store.log_rows import log_row
from nextbest.store.rebuilds import Rebuilds
from nextbest.store.staged import (
    ADDED,
    REMOVED,
    REPLACED,
    STAGED,
    STAGED_JSON,
    ImportState,
    attempt_of,
    import_state_key,
    mark_of,
    read_import_state,
)

UPDATES_PER_TRANSACTION = 50
_TRIES = 20
_NOTHING_ELSE = (
    f"attribute_not_exists(packed) AND attribute_not_exists(attributes_json) AND attribute_not_exists({STAGED})"
)
_MAY_BE_STAGED = f"(attribute_not_exists({STAGED}) OR {STAGED} < :next)"

Outcome = tuple[str, str, Mapping[str, Any]]
"""Kind, name and body of a resource that records the outcome of an import."""


class ImportStore(Protocol):
    """A store in which a dataset can be replaced as a whole."""

    def import_state(self, incarnation: Incarnation) -> ImportState:
        """The attempts at imports of a program."""
        ...

    def begin_import(self, program: Program, dataset: str) -> int:
        """The number of a new attempt; what earlier ones left is finished or removed. Raises NotFound."""
        ...

    def stage_events(self, program: Program, attempt: int, events: Sequence[Event], old: set[ItemKey]) -> set[ItemKey]:
        """Stage events, of which ``old`` may be there already; the keys of those that the import stores."""
        ...

    def stage_event_removals(self, attempt: int, old: Iterable[ItemKey]) -> None: ...

    def stage_assets(self, incarnation: Incarnation, attempt: int, assets: Iterable[Asset], old: set[str]) -> None:
        """Stage assets, of which those with the ids ``old`` are there already."""
        ...

    def stage_asset_removals(self, incarnation: Incarnation, attempt: int, asset_ids: Iterable[str]) -> None: ...

    def stage_user_attributes(
        self, incarnation: Incarnation, attempt: int, attributes_of: Mapping[str, Mapping[str, Any]]
    ) -> None: ...

    def stage_user_attribute_removals(
        self, incarnation: Incarnation, attempt: int, user_ids: Iterable[str]
    ) -> None: ...

    def commit_import(
        self,
        program: Program,
        dataset: str,
        attempt: int,
        outcome: Outcome,
        *,
        assets_change: bool = False,
        also: Sequence[Outcome] = (),
    ) -> None:
        """Let the staged versions count, and put the resources ``also``. Raises InUse, NotFound."""
        ...

    def finish_imports(self, program: Program) -> None:
        """Finish what was committed: move the versions, rebuild histories, and put the outcomes."""
        ...

    def discard_import(self, program: Program, dataset: str, attempt: int) -> None:
        """Remove what an attempt staged that was not committed."""
        ...


class Imports(Rebuilds):
    """Imports into one table. A part of ``DynamoStore``."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def import_state(self, incarnation: Incarnation) -> ImportState:
        """The attempts at imports of a program."""
        return read_import_state(self._table, incarnation)

    def begin_import(self, program: Program, dataset: str) -> int:
        """The number of a new attempt; what earlier ones left is finished or removed. Raises NotFound."""
        self.finish_imports(program)
        was_open = dataset in self.import_state(program.incarnation).open

        def begun(state: ImportState) -> ImportState:
            attempt = state.attempts + 1
            return replace(state, attempts=attempt, open={**state.open, dataset: attempt})

        attempt = self._change(program.incarnation, begun).open[dataset]
        if was_open:
            self._discard(program.incarnation)
        return attempt

    def _change(
        self,
        incarnation: Incarnation,
        change: Callable[[ImportState], ImportState],
        *,
        update: str = "",
        values: Item | None = None,
        also: Sequence[Outcome] = (),
    ) -> ImportState:
        """Change the state of the imports while the program lives, and ``update`` its item. Raises NotFound, InUse."""
        lives, lives_values = while_it_lives(incarnation)
        program: dict[str, Any] = {
            "TableName": self._table.name,
            "Key": key_of(program_key(program_id_of(incarnation))),
            "ConditionExpression": lives,
            "ExpressionAttributeValues": {**lives_values, **(values or {})},
        }
        if update:
            program["UpdateExpression"] = update
        for _ in range(_TRIES):
            old = self.import_state(incarnation)
            new = replace(change(old), version=old.version + 1)
            operations: list[Any] = [
                {"Update" if update else "ConditionCheck": program},
                {"Update": self._state_update(incarnation, old, new)},
                *({"Put": self._resource_put(incarnation, *resource)} for resource in also),
            ]
            try:
                self._table.transact(operations)
            except WriteRefused as refused:
                present = decode_program(self._table.get(program_key(program_id_of(incarnation))))
                if present is None or present.program.incarnation != incarnation:
                    raise ProgramNotFound(program_id_of(incarnation)) from refused
                continue
            return new
        raise InUse(f"too many imports into {program_id_of(incarnation)} begin and end at once")

    def _state_update(self, incarnation: Incarnation, old: ImportState, new: ImportState) -> dict[str, Any]:
        body = asdict(new)
        del body["version"]
        values: dict[str, Any] = {":body": {"S": to_json(body)}, ":new": {"N": str(new.version)}}
        if old.version:
            values[":old"] = {"N": str(old.version)}
        return {
            "TableName": self._table.name,
            "Key": key_of(import_state_key(incarnation)),
            "UpdateExpression": "SET body_json = :body, state_version = :new",
            "ConditionExpression": "state_version = :old" if old.version else "attribute_not_exists(state_version)",
            "ExpressionAttributeValues": values,
        }

    def _resource_put(self, incarnation: Incarnation, kind: str, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        key = ItemKey(keys.resources_pk(incarnation), keys.resource_sk(kind, name))
        return {"TableName": self._table.name, "Item": {**key_of(key), "body_json": {"S": to_json(body)}}}

    # ---- staging

    def stage_events(self, program: Program, attempt: int, events: Sequence[Event], old: set[ItemKey]) -> set[ItemKey]:
        """Stage events, of which ``old`` may be there already; the keys of those that the import stores."""
        rows = {key: attributes["body_json"] for key, attributes in (log_row(program, event) for event in events)}
        kept = [key for key in rows if key in old]
        self._write_all([_staged(key, attempt, REPLACED, rows[key]) for key in kept])
        added = [key for key in rows if key not in old]
        mark = mark_of(attempt, ADDED)
        new = self._table.insert_new([(key, {STAGED: mark, STAGED_JSON: rows[key]}) for key in added])
        stored = {key for key, is_new in zip(added, new, strict=True) if is_new}
        # The others are events that clients sent too, or were staged already: by this attempt or by one that lost.
        again = [
            _staged(key, attempt, ADDED, rows[key], f"attribute_exists({STAGED}) AND attribute_not_exists(body_json)")
            for key in added
            if key not in stored
        ]
        in_parallel(self._write_one, again)
        return stored | set(kept)

    def stage_event_removals(self, attempt: int, old: Iterable[ItemKey]) -> None:
        """Stage the removal of events."""
        self._write_all([_staged(key, attempt, REMOVED) for key in old])

    def stage_assets(self, incarnation: Incarnation, attempt: int, assets: Iterable[Asset], old: set[str]) -> None:
        """Stage assets, of which those with the ids ``old`` are there already."""
        pk = keys.assets_pk(incarnation)
        in_parallel(
            self._write_one,
            [
                _staged(
                    ItemKey(pk, keys.escape(asset.asset_id)),
                    attempt,
                    REPLACED if asset.asset_id in old else ADDED,
                    to_json(asdict(asset)),
                    "attribute_exists(body_json)" if asset.asset_id in old else "attribute_not_exists(body_json)",
                )
                for asset in assets
            ],
        )

    def stage_asset_removals(self, incarnation: Incarnation, attempt: int, asset_ids: Iterable[str]) -> None:
        """Stage the removal of assets."""
        pk = keys.assets_pk(incarnation)
        self._write_all([_staged(ItemKey(pk, keys.escape(asset_id)), attempt, REMOVED) for asset_id in asset_ids])

    def stage_user_attributes(
        self, incarnation: Incarnation, attempt: int, attributes_of: Mapping[str, Mapping[str, Any]]
    ) -> None:
        """Stage the attributes of users."""

        def stage(user_id: str) -> None:
            key = ItemKey(keys.user_pk(incarnation, user_id), keys.HISTORY)
            value = to_json(attributes_of[user_id])
            for change, condition in ((REPLACED, "attribute_exists"), (ADDED, "attribute_not_exists")):
                if self._write_one(_staged(key, attempt, change, value, f"{condition}(attributes_json)")):
                    return

        in_parallel(stage, attributes_of)

    def stage_user_attribute_removals(self, incarnation: Incarnation, attempt: int, user_ids: Iterable[str]) -> None:
        """Stage that users have no attributes."""
        items = (ItemKey(keys.user_pk(incarnation, user_id), keys.HISTORY) for user_id in user_ids)
        self._write_all([_staged(key, attempt, REMOVED) for key in items])

    # ---- files of events, which are added as they are read

    def mark_users(self, program: Program, user_ids: Iterable[str]) -> None:
        """Mark the histories of users as lacking events of the log; the next rebase rebuilds them."""
        mark: Item = {":mark": {"S": os.urandom(8).hex()}}
        users = (ItemKey(keys.user_pk(program.incarnation, user_id), keys.TAIL) for user_id in user_ids)
        self._write_all([Update(key, "SET backfilled = :mark", mark) for key in users])

    # ---- the end

    def commit_import(
        self,
        program: Program,
        dataset: str,
        attempt: int,
        outcome: Outcome,
        *,
        assets_change: bool = False,
        also: Sequence[Outcome] = (),
    ) -> None:
        """Let the staged versions count, and put the resources ``also``. Raises InUse, NotFound."""

        def committed(state: ImportState) -> ImportState:
            if state.committed.get(dataset) == attempt:
                return state  # the response to an earlier try was lost
            if state.open.get(dataset) != attempt:
                raise InUse("Another FULL import of the dataset began later, and replaces the data instead")
            return replace(
                state,
                open={name: number for name, number in state.open.items() if name != dataset},
                committed={**state.committed, dataset: attempt},
                unfinished={**state.unfinished, dataset: (attempt, outcome)},
            )

        update = f"REMOVE {UNCHANGED}"
        values: Item = {}
        if assets_change:
            # A revision without a row of changes: readers that lack it read the assets themselves.
            update, values = f"{update} ADD catalogue_revision :one", {":one": {"N": "1"}}
        self._change(program.incarnation, committed, update=update, values=values, also=also)

    def finish_imports(self, program: Program) -> None:
        """Finish what was committed: move the versions, rebuild histories, and put the outcomes."""
        unfinished = self.import_state(program.incarnation).unfinished
        if not unfinished:
            return
        attempts = {attempt for attempt, _ in unfinished.values()}
        self._move(program, attempts)
        for kind, name, body in (outcome for _, outcome in unfinished.values()):
            self._table.client.put_item(**self._resource_put(program.incarnation, kind, name, body))
        with suppress(NotFound):
            self._change(
                program.incarnation,
                lambda state: replace(
                    state,
                    unfinished={name: last for name, last in state.unfinished.items() if last[0] not in attempts},
                ),
            )

    def _move(self, program: Program, attempts: set[int]) -> None:
        rows = [row for row in self._staged_items(program.incarnation) if attempt_of(text(row, STAGED)) in attempts]
        users = {keys.parse_user_pk(key.pk) for key in map(_key, rows) if key.sk.startswith(keys.EVENT_PREFIX)}
        # First, so that whoever is killed in between leaves word of the histories that lack something.
        in_parallel(lambda user_id: self._mark_backfilled(program, user_id), users)
        events = [row for row in rows if _key(row).sk.startswith(keys.EVENT_PREFIX)]
        others = [row for row in rows if not _key(row).sk.startswith(keys.EVENT_PREFIX)]
        self._write_all([_moved(row) for row in events if _adds(row)])
        in_parallel(self._write_one, [_moved(row) for row in others if _adds(row) or not _is_row(row)])
        self._delete_all(row for row in rows if _is_row(row) and not _adds(row))
        # Those that cannot be rebuilt stay marked, and each rebase says so.
        self.rebuild_histories(program, self.backfilled_users(program.incarnation))

    def discard_import(self, program: Program, dataset: str, attempt: int) -> None:
        """Remove what an attempt staged that was not committed."""
        self._discard(program.incarnation, attempt)

        def ended(state: ImportState) -> ImportState:
            is_open = {name: number for name, number in state.open.items() if number != attempt or name != dataset}
            return replace(state, open=is_open)

        self._change(program.incarnation, ended)

    def _discard(self, incarnation: Incarnation, attempt: int | None = None) -> None:
        """Remove the staged versions of an attempt, or of all that can no longer be committed."""
        state = self.import_state(incarnation)
        counting = {*state.open.values(), *state.committed.values()} - {attempt}
        if attempt in state.committed.values():
            return
        rows = [row for row in self._staged_items(incarnation) if attempt_of(text(row, STAGED)) not in counting]
        self._delete_all(row for row in rows if _is_row(row) and text(row, STAGED)[-1] == ADDED)
        forgotten = [row for row in rows if not (_is_row(row) and text(row, STAGED)[-1] == ADDED)]
        self._write_all([_changed(row, f"REMOVE {STAGED}, {STAGED_JSON}") for row in forgotten])
        for row in forgotten:
            if text(row, STAGED)[-1] == ADDED:  # a user of whom nothing else may be known
                with suppress(WriteRefused):
                    self._table.delete(_key(row), condition=_NOTHING_ELSE)

    def _staged_items(self, incarnation: Incarnation) -> Iterator[Item]:
        for item in self._table.scan(
            keys.incarnation_prefix(incarnation), projection=f"pk, sk, {STAGED}, {STAGED_JSON}"
        ):
            if STAGED in item:
                yield item

    def _delete_all(self, rows: Iterable[Item]) -> None:
        def delete(row: Item) -> None:
            with suppress(WriteRefused):
                values: Item = {":mark": row[STAGED]}
                self._table.delete(_key(row), condition=f"{STAGED} = :mark", values=values)

        in_parallel(delete, rows)

    def _write_all(self, updates: Sequence[Update]) -> None:
        """Make small updates, many to a call."""
        size = UPDATES_PER_TRANSACTION
        in_parallel(self._write_chunk, [updates[start : start + size] for start in range(0, len(updates), size)])

    def _write_chunk(self, updates: Sequence[Update]) -> None:
        try:
            self._table.update_all(updates)
        except WriteRefused:
            for update in updates:
                self._write_one(update)


def _staged(key: ItemKey, attempt: int, change: str, value: str | None = None, condition: str = "") -> Update:
    values: dict[str, Any] = {":mark": {"S": mark_of(attempt, change)}, ":next": {"S": mark_of(attempt + 1, "")}}
    expression = f"SET {STAGED} = :mark REMOVE {STAGED_JSON}"
    if value is not None:
        expression = f"SET {STAGED} = :mark, {STAGED_JSON} = :value"
        values[":value"] = {"S": value}
    # An item that is gone was removed by somebody else meanwhile, such as with its user.
    return Update(key, expression, values, f"{condition or 'attribute_exists(pk)'} AND {_MAY_BE_STAGED}")


def _moved(row: Item) -> Update:
    """The update by which the staged version takes the other's place."""
    name = "body_json" if _is_row(row) else "attributes_json"
    if not _adds(row):
        return _changed(row, f"REMOVE {name}, {STAGED}, {STAGED_JSON}")
    return _changed(row, f"SET {name} = {STAGED_JSON} REMOVE {STAGED}, {STAGED_JSON}")


def _changed(row: Item, expression: str) -> Update:
    return Update(_key(row), expression, {":mark": row[STAGED]}, f"{STAGED} = :mark")


def _adds(row: Item) -> bool:
    return text(row, STAGED)[-1] != REMOVED


def _is_row(row: Item) -> bool:
    """Whether the item is an event or an asset of its own; the attributes of a user share theirs with the history."""
    return text(row, "sk") != keys.HISTORY or not keys.is_user_pk(text(row, "pk"))


def _key(item: Item) -> ItemKey:
    return ItemKey(text(item, "pk"), text(item, "sk"))
