"""Programs, keys, labels, assets and named resources in DynamoDB.

The program item is read with every request, so it is small: settings, the pointers to the model and the catalogue,
and the catalogue's revision. Assets are stored three times for three readers: a row each (the truth, for paging), a row
per change (for warm readers), and from time to time a written catalogue (for cold readers).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from nextbest.aws.table import Item, ItemKey, Table, WriteRefused, data, key_of, number, to_json
from nextbest.domain.access_keys import AccessKey
from nextbest.domain.assets import Asset
from nextbest.domain.programs import Program
from nextbest.errors import AlreadyExists, InUse, NotFound
from nextbest.store import keys
from nextbest.store.base import CataloguePointer, ModelPointer, ProgramState, SegmentsPointer, Status

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import PutTypeDef, TransactWriteItemTypeDef

ASSETS_PER_CHANGE = 90  # DynamoDB takes 100 items a transaction; some are ours
_CHANGE_BYTES = 300_000  # DynamoDB takes 400 KB an item
_ATTEMPTS = 20


class Configuration:
    """Everything of one table that is not a user's."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def program_state(self, program_id: str) -> ProgramState | None:
        """Settings and pointers of a program."""
        return decode_program(self._table.get(program_key(program_id)))

    def create_program(self, program: Program) -> None:
        """Raises AlreadyExists.

        The index entry is written first: an entry without a program is skipped, a program without one would be lost.
        """
        self._table.put(ItemKey(keys.PROGRAMS, keys.escape(program.program_id)), {})
        try:
            self._table.put(
                program_key(program.program_id), {"body_json": {"S": to_json(asdict(program))}}, only_new=True
            )
        except WriteRefused as refused:
            raise AlreadyExists(f"program {program.program_id} exists already") from refused

    def update_program(self, program: Program) -> None:
        """Replace the settings of a program. Raises NotFound."""
        self._update_program(program.program_id, "SET body_json = :body", {":body": {"S": to_json(asdict(program))}})

    def _update_program(self, program_id: str, expression: str, values: Item, condition: str = "") -> bool:
        """Update the program item; False where ``condition`` did not hold. Raises NotFound."""
        key = program_key(program_id)
        exists = "attribute_exists(pk)"
        try:
            self._table.update(
                key, expression, values,
                condition=f"{exists} AND ({condition})" if condition else exists,
            )  # fmt: skip
        except WriteRefused as refused:
            if self._table.get(key) is None:
                raise NotFound(f"program {program_id} does not exist") from refused
            return False
        return True

    def list_programs(self) -> list[Program]:
        """All programs of the deployment."""
        ids = [keys.unescape(item["sk"]["S"]) for item in self._table.query(keys.PROGRAMS)]
        states = (self.program_state(program_id) for program_id in ids)
        return [state.program for state in states if state is not None]

    def point_to_model(self, program_id: str, pointer: ModelPointer) -> bool:
        """Make ``pointer`` the program's model unless a newer one is in use; whether it was changed."""
        return self._update_program(
            program_id,
            "SET previous_model_json = if_not_exists(model_json, :none), model_json = :model, model_version = :version",
            {
                ":model": {"S": to_json(asdict(pointer))},
                ":version": {"S": pointer.version},
                ":none": {"S": "null"},
            },
            "attribute_not_exists(model_version) OR model_version < :version",
        )

    def forget_model(self, program_id: str) -> None:
        """Leave the program without a model until the next rebase. Raises NotFound."""
        self._update_program(program_id, "REMOVE model_json, model_version, previous_model_json", {})

    def segments(self, program_id: str) -> SegmentsPointer | None:
        """Where the program's segments are; None before they were first computed."""
        item = self._table.get(_segments_key(program_id))
        return SegmentsPointer(**data(item)) if item else None

    def point_to_segments(
        self, program_id: str, pointer: SegmentsPointer, *, instead_of: SegmentsPointer | None = None
    ) -> bool:
        """Make ``pointer`` the program's segments unless newer ones are in use; whether it was changed.

        With ``instead_of``: only if those are in use.
        """
        values: dict[str, Any] = {":body": {"S": to_json(asdict(pointer))}, ":version": {"S": pointer.version}}
        condition = "attribute_not_exists(segments_version) OR segments_version < :version"
        if instead_of is not None:
            condition, values[":old"] = "segments_version = :old", {"S": instead_of.version}
        expression = "SET body_json = :body, segments_version = :version"
        try:
            self._table.update(_segments_key(program_id), expression, values, condition=condition)
        except WriteRefused:
            return False
        return True

    def forget_segments(self, program_id: str) -> None:
        """Leave the program without segments until they are computed again."""
        self._table.delete(_segments_key(program_id))

    def point_to_catalogue(self, program_id: str, pointer: CataloguePointer) -> bool:
        """Make ``pointer`` the written catalogue unless a newer one was written; whether it was changed."""
        return self._update_program(
            program_id,
            "SET catalogue_json = :catalogue, catalogue_base = :revision",
            {":catalogue": {"S": to_json(asdict(pointer))}, ":revision": {"N": str(pointer.revision)}},
            "attribute_not_exists(catalogue_base) OR catalogue_base < :revision",
        )

    def put_label_weights(self, program_id: str, weights: Mapping[str, float]) -> None:
        """Set the weights of some labels; other labels keep theirs."""
        state = self.program_state(program_id)
        if state is None:
            raise NotFound(f"program {program_id} does not exist")
        merged = {**state.label_weights, **weights}
        self._update_program(program_id, "SET label_weights_json = :weights", {":weights": {"S": to_json(merged)}})

    def put_status(self, status: Status) -> None:
        """Record the progress of a rebase."""
        self._table.put(
            ItemKey(keys.program_pk(status.program_id), keys.STATUS), {"body_json": {"S": to_json(asdict(status))}}
        )

    def status(self, program_id: str) -> Status | None:
        """The latest recorded progress."""
        item = self._table.get(ItemKey(keys.program_pk(program_id), keys.STATUS))
        return Status(**data(item)) if item else None

    def import_locations(self, program_id: str) -> tuple[str, ...]:
        """The folders that the operator lets a program import from, each as ``s3://<bucket>/<prefix>/``.

        An item apart from the program's settings: those are the program's own to change.
        """
        item = self._table.get(_import_locations_key(program_id))
        return tuple(data(item)) if item else ()

    def put_import_locations(self, program_id: str, locations: Sequence[str]) -> None:
        """Replace these folders."""
        self._table.put(_import_locations_key(program_id), {"body_json": {"S": to_json(list(locations))}})

    def put_access_key(self, key: AccessKey) -> None:
        """Store or replace a key."""
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

    def change_access_key(self, key_id: str, change: Callable[[AccessKey | None], AccessKey]) -> AccessKey:
        """Replace a key by what ``change`` makes of it, without losing another writer's change; the new one.

        ``change`` gets None where there is no such key, and may raise. Raises InUse.
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
        raise InUse("the key is being changed by others at the same moment; try again")

    def put_assets(self, program_id: str, assets: Sequence[Asset]) -> int:
        """Store assets, the last of equal ids winning; the catalogue's new revision. Raises NotFound, InUse."""
        distinct = list({asset.asset_id: asset for asset in assets}.values())
        revision = 0
        for change in _changes(distinct):
            revision = self._put_change(program_id, change)
        return revision

    def _put_change(self, program_id: str, assets: Sequence[Asset]) -> int:
        """One revision: the counter, the change row and the asset rows together, so no reader sees half of it."""
        rows = [asdict(asset) for asset in assets]
        for _ in range(_ATTEMPTS):
            state = self.program_state(program_id)
            if state is None:
                raise NotFound(f"program {program_id} does not exist")
            old, new = state.catalogue_revision, state.catalogue_revision + 1
            puts: list[TransactWriteItemTypeDef] = [
                {"Put": self._put(ItemKey(keys.assets_pk(program_id), keys.escape(row["asset_id"])), row)}
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
                                "ConditionExpression": "attribute_not_exists(catalogue_revision)"
                                if old == 0
                                else "catalogue_revision = :old",
                                "ExpressionAttributeValues": {":new": {"N": str(new)}}
                                | ({":old": {"N": str(old)}} if old else {}),
                            }
                        },
                        {"Put": self._put(ItemKey(keys.asset_changes_pk(program_id), keys.revision_sk(new)), rows)},
                        *puts,
                    ]
                )
            except WriteRefused:
                continue
            return new
        raise InUse(f"the catalogue of {program_id} is being changed by too many writers at once")

    def _put(self, key: ItemKey, value: object) -> PutTypeDef:
        return {"TableName": self._table.name, "Item": {**key_of(key), "body_json": {"S": to_json(value)}}}

    def assets(self, program_id: str) -> Iterator[Asset]:
        """All assets, in order of their ids."""
        for item in self._table.query(keys.assets_pk(program_id)):
            yield decode_asset(data(item))

    def asset_changes(self, program_id: str, after: int, until: int) -> list[tuple[int, list[Asset]]]:
        """The changes of revisions after ``after`` up to ``until``, oldest first; gaps where they were cleared away."""
        between = (keys.revision_sk(after + 1), keys.revision_sk(until))
        return [
            (int(item["sk"]["S"]), [decode_asset(row) for row in data(item)])
            for item in self._table.query(keys.asset_changes_pk(program_id), between=between)
        ]

    def create_resource(self, kind: str, name: str, resource: Mapping[str, Any]) -> None:
        """Raises AlreadyExists."""
        try:
            self._table.put(ItemKey(kind, name), {"body_json": {"S": to_json(resource)}}, only_new=True)
        except WriteRefused as refused:
            raise AlreadyExists(f"Another resource with the name {name} already exists.") from refused

    def put_resource(self, kind: str, name: str, resource: Mapping[str, Any]) -> None:
        """Store or replace a resource."""
        self._table.put(ItemKey(kind, name), {"body_json": {"S": to_json(resource)}})

    def resource(self, kind: str, name: str) -> Mapping[str, Any] | None:
        """A resource by name."""
        return decode_resource(self._table.get(ItemKey(kind, name)))

    def delete_resource(self, kind: str, name: str) -> None:
        """Raises NotFound."""
        if not self._table.delete(ItemKey(kind, name)):
            raise NotFound(f"{kind} {name} does not exist")

    def list_resources(self, kind: str) -> Iterator[Mapping[str, Any]]:
        """All resources of a kind, in order of their names."""
        for item in self._table.query(kind):
            yield data(item)


def program_key(program_id: str) -> ItemKey:
    return ItemKey(keys.program_pk(program_id), keys.PROGRAM)


def _segments_key(program_id: str) -> ItemKey:
    return ItemKey(keys.program_pk(program_id), keys.SEGMENTS)


def _import_locations_key(program_id: str) -> ItemKey:
    return ItemKey(keys.program_pk(program_id), keys.IMPORT_LOCATIONS)


def access_key_key(key_id: str) -> ItemKey:
    return ItemKey(keys.ACCESS_KEYS, keys.escape(key_id))


def decode_program(item: Item | None) -> ProgramState | None:
    """The state that a program item holds."""
    if item is None:
        return None
    return ProgramState(
        Program(**data(item)),
        _model_pointer(item, "model_json"),
        CataloguePointer(**data(item, "catalogue_json")) if "catalogue_json" in item else None,
        number(item, "catalogue_revision"),
        data(item, "label_weights_json") if "label_weights_json" in item else {},
        _model_pointer(item, "previous_model_json"),
    )


def _model_pointer(item: Item, name: str) -> ModelPointer | None:
    pointer = data(item, name) if name in item else None
    return ModelPointer(**pointer) if pointer is not None else None


def decode_access_key(item: Item | None) -> AccessKey | None:
    """The key that an item holds."""
    if item is None:
        return None
    stored = AccessKey(**data(item))
    return replace(stored, programs=tuple(stored.programs), scopes=tuple(stored.scopes))


def decode_asset(row: Mapping[str, Any]) -> Asset:
    """The asset that a row holds."""
    return Asset(row["asset_id"], row["asset_name"], tuple(row["labels"]), row["fields"])


def decode_resource(item: Item | None) -> Mapping[str, Any] | None:
    """The resource that an item holds."""
    if item is None:
        return None
    resource: Mapping[str, Any] = data(item)
    return resource


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
