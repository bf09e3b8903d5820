"""Programs, labels and assets in DynamoDB.

The program item is read with every request, so it is small: settings, the pointers to the model and the catalogue,
and the catalogue's revision. It is found by the program id and names the incarnation: every change of it is made for
one incarnation, and refused where another one has the id by then.

Assets are stored three times for three readers: a row each (the truth, for paging), a row per change (for warm
readers), and from time to time a written catalogue (for cold readers).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from nextbest.aws.table import Item, ItemKey, Table, WriteRefused, data, key_of, number, text, to_json
from nextbest.domain.assets import Asset
from nextbest.domain.programs import Incarnation, Program, program_id_of
from nextbest.errors import AlreadyExists, InUse, NotFound, ProgramNotFound
from nextbest.store import keys
from nextbest.store.base import CataloguePointer, ModelPointer, ProgramState, SegmentsPointer, Status
from nextbest.store.salts import DECISION_KEY, KEY_IF_NONE, decision_key_in, new_decision_key
from nextbest.store.staged import CurrentVersions

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import PutTypeDef, TransactWriteItemTypeDef

    from nextbest.domain.experiments import Experiment

ASSETS_PER_CHANGE = 90  # DynamoDB takes 100 items a transaction; some are ours
_CHANGE_BYTES = 300_000  # DynamoDB takes 400 KB an item
_ATTEMPTS = 20

REMOVAL = "removal"
"""The attribute that marks a program which is being removed."""

UNCHANGED = "unchanged_since"
"""The attribute with the time since which nothing changed that a rebase learns from; absent once something did.

The next rebase sets it as it begins. Whoever writes events has just read the program's item, and removes it where it is
there before they write: so that costs one write after a rebase, and nothing afterwards."""

EXPERIMENTS = "experiments_json"
"""The attribute with the experiments that run; absent where none does."""


class Configuration:
    """Programs, labels and assets of one table."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def program_state(self, program_id: str) -> ProgramState | None:
        """Settings and pointers of a program."""
        return decode_program(self._table.get(program_key(program_id)))

    def create_program(self, program: Program) -> None:
        """Store a new program under its id. Raises AlreadyExists.

        The index entry is written first: an entry without a program is skipped, a program without one would be lost.
        """
        self._table.put(ItemKey(keys.PROGRAMS, keys.escape(program.program_id)), {})
        try:
            attributes: Item = {
                "body_json": {"S": settings_json(program)},
                "incarnation": {"S": program.incarnation},
                "created_at": {"N": repr(program.created_at)},
                DECISION_KEY: new_decision_key(),
            }
            self._table.put(program_key(program.program_id), attributes, only_new=True)
        except WriteRefused as refused:
            item = self._table.get(program_key(program.program_id)) or {}
            problem = "is being deleted; delete it again to have the rest done" if REMOVAL in item else "exists already"
            raise AlreadyExists(f"program {program.program_id} {problem}") from refused

    def update_program(self, program: Program) -> None:
        """Replace the settings of a program. Raises NotFound."""
        values: Item = {":body": {"S": settings_json(program)}, ":key": new_decision_key()}
        self._update_program(program.incarnation, f"SET body_json = :body, {KEY_IF_NONE} REMOVE {UNCHANGED}", values)

    def change_program(self, incarnation: Incarnation, change: Callable[[Program], Program]) -> Program:
        """Replace the settings of a program by what ``change`` makes of them, without losing another writer's change.

        The program as it is then. Raises NotFound, InUse, and what ``change`` raises.
        """
        for _ in range(_ATTEMPTS):
            item = self._table.get(program_key(program_id_of(incarnation)))
            state = decode_program(item)
            if item is None or state is None or state.program.incarnation != incarnation:
                raise _gone(incarnation)
            program = change(state.program)
            values: Item = {
                ":body": {"S": settings_json(program)},
                ":old": item["body_json"],
                ":key": new_decision_key(),
            }
            expression = f"SET body_json = :body, {KEY_IF_NONE} REMOVE {UNCHANGED}"
            if self._update_program(incarnation, expression, values, "body_json = :old"):
                return program
        raise InUse(f"the settings of {program_id_of(incarnation)} are being changed by too many writers at once")

    def _update_program(self, incarnation: Incarnation, expression: str, values: Item, condition: str = "") -> bool:
        """Update the program item; False where ``condition`` did not hold. Raises NotFound."""
        lives, lives_values = while_it_lives(incarnation)
        try:
            self._table.update(
                program_key(program_id_of(incarnation)),
                expression,
                {**values, **lives_values},
                condition=f"{lives} AND ({condition})" if condition else lives,
            )
        except WriteRefused as refused:
            if not self._lives(incarnation):
                raise _gone(incarnation) from refused
            return False
        return True

    def _lives(self, incarnation: Incarnation) -> bool:
        state = self.program_state(program_id_of(incarnation))
        return state is not None and state.program.incarnation == incarnation

    def _write_while_it_lives(self, incarnation: Incarnation, operation: TransactWriteItemTypeDef) -> bool:
        """Write an item under an incarnation; False where the write's own condition failed. Raises NotFound."""
        condition, values = while_it_lives(incarnation)
        check: TransactWriteItemTypeDef = {
            "ConditionCheck": {
                "TableName": self._table.name,
                "Key": key_of(program_key(program_id_of(incarnation))),
                "ConditionExpression": condition,
                "ExpressionAttributeValues": values,
            }
        }
        try:
            self._table.transact([check, operation])
        except WriteRefused as refused:
            if not self._lives(incarnation):
                raise _gone(incarnation) from refused
            return False
        return True

    def list_programs(self) -> list[Program]:
        """All programs of the deployment, in order of their ids. A round trip for every 100."""
        return self._programs(self.program_ids())

    def page_of_programs(self, after: str | None, limit: int) -> tuple[list[Program], str | None]:
        """Up to ``limit`` programs whose ids come after ``after``; and the id to go on after, None at the end."""
        rows, last = self._table.query_page(
            keys.PROGRAMS, after=None if after is None else keys.escape(after), limit=limit
        )
        programs = self._programs([keys.unescape(row["sk"]["S"]) for row in rows])
        return programs, None if last is None else keys.unescape(last)

    def program_states(self, program_ids: Iterable[str]) -> list[ProgramState]:
        """The programs of these ids that there are, in the ids' order. A round trip for every 100."""
        item_keys = list(map(program_key, program_ids))
        items = self._table.get_all(item_keys)
        states = (decode_program(items.get(item_key)) for item_key in item_keys)
        return [state for state in states if state is not None]

    def _programs(self, program_ids: Iterable[str]) -> list[Program]:
        return [state.program for state in self.program_states(program_ids)]

    def program_ids(self) -> list[str]:
        """The ids of all programs, with those that are being removed."""
        return [keys.unescape(item["sk"]["S"]) for item in self._table.query(keys.PROGRAMS)]

    def point_to_model(self, incarnation: Incarnation, pointer: ModelPointer) -> bool:
        """Make ``pointer`` the program's model unless a newer one is in use; whether it was changed."""
        return self._update_program(
            incarnation,
            "SET previous_model_json = if_not_exists(model_json, :none), model_json = :model, "
            f"model_version = :version, {KEY_IF_NONE}",
            {
                ":key": new_decision_key(),
                ":model": {"S": to_json(asdict(pointer))},
                ":version": {"S": pointer.version},
                ":none": {"S": "null"},
            },
            "attribute_not_exists(model_version) OR model_version < :version",
        )

    def exchange_models(self, incarnation: Incarnation, serving: ModelPointer, previous: ModelPointer) -> bool:
        """Serve ``previous`` instead of ``serving``, which becomes the previous one; whether both were as given.

        Models of rebases that began before the newest one stay older than it, whichever serves. Raises NotFound.
        """
        return self._update_program(
            incarnation,
            "SET model_json = :previous, previous_model_json = :serving",
            {":previous": {"S": to_json(asdict(previous))}, ":serving": {"S": to_json(asdict(serving))}},
            "model_json = :serving AND previous_model_json = :previous",
        )

    def note_rebase(self, incarnation: Incarnation, *, now: float) -> None:
        """Note that a rebase begins, unless nothing has changed since an earlier one did. Raises NotFound."""
        expression = f"SET {UNCHANGED} = if_not_exists({UNCHANGED}, :now)"
        self._update_program(incarnation, expression, {":now": {"N": repr(now)}})

    def note_unfinished_rebase(self, incarnation: Incarnation) -> None:
        """Note that the next rebase has something to do even if nothing changes. Raises NotFound."""
        self._update_program(incarnation, f"REMOVE {UNCHANGED}", {})

    def forget_model(self, incarnation: Incarnation) -> None:
        """Leave the program without a model until the next rebase. Raises NotFound."""
        self._update_program(incarnation, "REMOVE model_json, model_version, previous_model_json", {})

    def segments(self, incarnation: Incarnation) -> SegmentsPointer | None:
        """Where the program's segments are; None before they were first computed."""
        item = self._table.get(_segments_key(incarnation))
        return SegmentsPointer(**data(item)) if item else None

    def point_to_segments(
        self, incarnation: Incarnation, pointer: SegmentsPointer, *, instead_of: SegmentsPointer | None = None
    ) -> bool:
        """Make ``pointer`` the program's segments unless newer ones are in use; whether it was changed.

        With ``instead_of``: only if those are in use. Raises NotFound.
        """
        values: dict[str, Any] = {":body": {"S": to_json(asdict(pointer))}, ":version": {"S": pointer.version}}
        condition = "attribute_not_exists(segments_version) OR segments_version < :version"
        if instead_of is not None:
            condition, values[":old"] = "segments_version = :old", {"S": instead_of.version}
        return self._write_while_it_lives(
            incarnation,
            {
                "Update": {
                    "TableName": self._table.name,
                    "Key": key_of(_segments_key(incarnation)),
                    "UpdateExpression": "SET body_json = :body, segments_version = :version",
                    "ConditionExpression": condition,
                    "ExpressionAttributeValues": values,
                }
            },
        )

    def forget_segments(self, incarnation: Incarnation) -> None:
        """Leave the program without segments until they are computed again."""
        self._table.delete(_segments_key(incarnation))

    def point_to_catalogue(self, incarnation: Incarnation, pointer: CataloguePointer) -> bool:
        """Make ``pointer`` the written catalogue unless a newer one was written; whether it was changed."""
        return self._update_program(
            incarnation,
            "SET catalogue_json = :catalogue, catalogue_base = :revision",
            {":catalogue": {"S": to_json(asdict(pointer))}, ":revision": {"N": str(pointer.revision)}},
            "attribute_not_exists(catalogue_base) OR catalogue_base < :revision",
        )

    def put_label_weights(self, incarnation: Incarnation, weights: Mapping[str, float]) -> None:
        """Set the weights of some labels; other labels keep theirs. Raises NotFound."""
        state = self.program_state(program_id_of(incarnation))
        if state is None:
            raise _gone(incarnation)
        merged = {**state.label_weights, **weights}
        self._update_program(incarnation, "SET label_weights_json = :weights", {":weights": {"S": to_json(merged)}})

    def put_status(self, status: Status) -> None:
        """Record the progress of a rebase. Raises NotFound."""
        put = self._put(_status_key(status.incarnation), asdict(status))
        self._write_while_it_lives(status.incarnation, {"Put": put})

    def status(self, incarnation: Incarnation) -> Status | None:
        """The latest recorded progress."""
        item = self._table.get(_status_key(incarnation))
        if item is None:
            return None
        row = data(item)
        return Status(incarnation, row["status_id"], row["message"], row["timestamp"])

    def replace_status(self, old: Status, new: Status) -> bool:
        """Put ``new`` in place of ``old``; False where that is not the latest status any more."""
        return self._replace(_status_key(old.incarnation), asdict(old), asdict(new))

    def _replace(self, key: ItemKey, old: object, new: object) -> bool:
        values: Item = {":old": {"S": to_json(old)}, ":new": {"S": to_json(new)}}
        try:
            self._table.update(key, "SET body_json = :new", values, condition="body_json = :old")
        except WriteRefused:
            return False
        return True

    def import_locations(self, incarnation: Incarnation) -> tuple[str, ...]:
        """The folders that the operator lets a program import from, each as ``s3://<bucket>/<prefix>/``.

        An item apart from the program's settings: those are the program's own to change.
        """
        item = self._table.get(_import_locations_key(incarnation))
        return tuple(data(item)) if item else ()

    def put_import_locations(self, incarnation: Incarnation, locations: Sequence[str]) -> None:
        """Replace these folders. Raises NotFound."""
        put = self._put(_import_locations_key(incarnation), list(locations))
        self._write_while_it_lives(incarnation, {"Put": put})

    def put_assets(self, incarnation: Incarnation, assets: Sequence[Asset]) -> int:
        """Store assets, the last of equal ids winning; the catalogue's new revision. Raises NotFound, InUse."""
        distinct = list({asset.asset_id: asset for asset in assets}.values())
        revision = 0
        for change in _changes(distinct):
            revision = self._put_change(incarnation, change)
        return revision

    def _put_change(self, incarnation: Incarnation, assets: Sequence[Asset]) -> int:
        """One revision: the counter, the change row and the asset rows together, so no reader sees half of it."""
        rows = [asdict(asset) for asset in assets]
        program_id = program_id_of(incarnation)
        lives, lives_values = while_it_lives(incarnation)
        for _ in range(_ATTEMPTS):
            state = self.program_state(program_id)
            if state is None or state.program.incarnation != incarnation:
                raise _gone(incarnation)
            old, new = state.catalogue_revision, state.catalogue_revision + 1
            puts: list[TransactWriteItemTypeDef] = [
                {"Put": self._put(ItemKey(keys.assets_pk(incarnation), keys.escape(row["asset_id"])), row)}
                for row in rows
            ]
            try:
                self._table.transact(
                    [
                        {
                            "Update": {
                                "TableName": self._table.name,
                                "Key": key_of(program_key(program_id)),
                                "UpdateExpression": "SET catalogue_revision = :new",
                                "ConditionExpression": f"{lives} AND "
                                + ("catalogue_revision = :old" if old else "attribute_not_exists(catalogue_revision)"),
                                "ExpressionAttributeValues": {
                                    **lives_values,
                                    ":new": {"N": str(new)},
                                    **({":old": {"N": str(old)}} if old else {}),
                                },
                            }
                        },
                        {"Put": self._put(ItemKey(keys.asset_changes_pk(incarnation), keys.revision_sk(new)), rows)},
                        *puts,
                    ]
                )
            except WriteRefused:
                continue
            return new
        raise InUse(f"the catalogue of {program_id} is being changed by too many writers at once")

    def _put(self, key: ItemKey, value: object) -> PutTypeDef:
        return {"TableName": self._table.name, "Item": {**key_of(key), "body_json": {"S": to_json(value)}}}

    def assets(self, incarnation: Incarnation) -> Iterator[Asset]:
        """All assets, in order of their ids."""
        versions = CurrentVersions(self._table, incarnation)
        for row in self._table.query(keys.assets_pk(incarnation)):
            item = versions.of(row)
            if item is not None:
                yield decode_asset(data(item))

    def asset_changes(self, incarnation: Incarnation, after: int, until: int) -> list[tuple[int, list[Asset]]]:
        """The changes of revisions after ``after`` up to ``until``, oldest first; gaps where they were cleared away."""
        between = (keys.revision_sk(after + 1), keys.revision_sk(until))
        return [
            (int(item["sk"]["S"]), [decode_asset(row) for row in data(item)])
            for item in self._table.query(keys.asset_changes_pk(incarnation), between=between)
        ]


def note_change(table: Table, program: Program) -> None:
    """Note that what a rebase learns from is about to change; nothing to do where that was noted since the last one."""
    if not program.unchanged_since:
        return
    lives, values = while_it_lives(program.incarnation)
    with suppress(WriteRefused):  # the program was deleted
        table.update(program_key(program.program_id), f"REMOVE {UNCHANGED}", values, condition=lives)


def program_key(program_id: str) -> ItemKey:
    return ItemKey(keys.program_pk(program_id), keys.PROGRAM)


def while_it_lives(incarnation: Incarnation) -> tuple[str, Item]:
    """The condition, on the program item, that the program is this incarnation and not being removed; its values."""
    condition, values = is_incarnation(incarnation)
    return f"{condition} AND attribute_not_exists({REMOVAL})", values


def is_incarnation(incarnation: Incarnation) -> tuple[str, Item]:
    """The condition, on the program item, that the program is this incarnation; and its values."""
    condition = "incarnation = :incarnation"
    if incarnation == program_id_of(incarnation):  # items from before there were incarnations have no attribute for it
        condition = f"(attribute_exists(pk) AND attribute_not_exists(incarnation) OR {condition})"
    return condition, {":incarnation": {"S": incarnation}}


def incarnation_in(item: Item, program_id: str) -> Incarnation:
    """The incarnation that a program item names."""
    return Incarnation(text(item, "incarnation") if "incarnation" in item else program_id)


def _gone(incarnation: Incarnation) -> NotFound:
    return ProgramNotFound(program_id_of(incarnation))


def settings_json(program: Program) -> str:
    """The settings of a program as its item holds them."""
    settings = asdict(program)
    del settings["incarnation"]  # an attribute of its own, which conditions can name
    del settings["created_at"]  # likewise: it never changes
    del settings["decision_key"]  # likewise: deleting a user replaces it
    del settings["unchanged_since"]  # likewise: rebases set it, and changes remove it
    return to_json(settings)


def _segments_key(incarnation: Incarnation) -> ItemKey:
    return ItemKey(keys.incarnation_pk(incarnation), keys.SEGMENTS)


def _status_key(incarnation: Incarnation) -> ItemKey:
    return ItemKey(keys.incarnation_pk(incarnation), keys.STATUS)


def _import_locations_key(incarnation: Incarnation) -> ItemKey:
    return ItemKey(keys.incarnation_pk(incarnation), keys.IMPORT_LOCATIONS)


def decode_program(item: Item | None) -> ProgramState | None:
    """The state that a program item holds; None for a program that is being removed, as for one that is gone."""
    if item is None or REMOVAL in item:
        return None
    settings = data(item)
    created_at = float(item["created_at"]["N"]) if "created_at" in item else 0.0
    incarnation, decision_key = incarnation_in(item, settings["program_id"]), decision_key_in(item)
    return ProgramState(
        Program(
            **settings,
            incarnation=incarnation,
            created_at=created_at,
            decision_key=decision_key,
            unchanged_since=float(item[UNCHANGED]["N"]) if UNCHANGED in item else 0.0,
        ),
        _model_pointer(item, "model_json"),
        CataloguePointer(**data(item, "catalogue_json")) if "catalogue_json" in item else None,
        number(item, "catalogue_revision"),
        data(item, "label_weights_json") if "label_weights_json" in item else {},
        _model_pointer(item, "previous_model_json"),
        running_experiments(item[EXPERIMENTS]["S"]) if EXPERIMENTS in item else (),
    )


@lru_cache(maxsize=64)
def running_experiments(text: str) -> tuple[Experiment, ...]:
    """The experiments that a program item holds; requests of one program read the same text again and again."""
    # Imported here: few programs run experiments.
    from nextbest.domain.experiments import Experiment

    return tuple(map(Experiment.from_json, json.loads(text)))


def _model_pointer(item: Item, name: str) -> ModelPointer | None:
    pointer = data(item, name) if name in item else None
    return ModelPointer(**pointer) if pointer is not None else None


def decode_asset(row: Mapping[str, Any]) -> Asset:
    """The asset that a row holds."""
    return Asset(row["asset_id"], row["asset_name"], tuple(row["labels"]), row["fields"])


def _changes(assets: Sequence[Asset]) -> Iterator[list[Asset]]:
    """Runs of assets that fit in one transaction and one item."""
    run: list[Asset] = []
    size = 0
    for asset in assets:
        asset_size = len(to_json(asdict(asset)).encode())
        if run and (len(run) == ASSETS_PER_CHANGE or size + asset_size > _CHANGE_BYTES):
            yield run
            run, size = [], 0
        run.append(asset)
        size += asset_size
    if run:
        yield run
