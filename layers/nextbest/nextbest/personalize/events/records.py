"""PutActions, PutUsers and PutItems: one to ten records of actions, users and items a call.

An action or an item becomes an asset with fields, a user's record the attributes of the user. A record replaces the
previous one (docs/contracts/personalize.md, section 5.3); an asset's name and labels, set through ActionHub, stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from nextbest.domain.access_keys import WRITE, AccessKey
from nextbest.domain.assets import Asset, FieldValue
from nextbest.errors import InvalidInput
from nextbest.logic.authorization import open_program
from nextbest.personalize.datasets.properties import fields_of, read_properties
from nextbest.personalize.datasets.schema import ACTIONS, ITEMS, TYPES, USERS, DatasetSchema
from nextbest.personalize.datasets.sources import ACTION_ID, ITEM_ID
from nextbest.personalize.events.interactions import ID
from nextbest.personalize.protocol.arns import (
    ARN_PATTERN,
    DATASET,
    DATASET_GROUP,
    MAX_ARN_CHARACTERS,
    missing,
    name_in,
)
from nextbest.personalize.protocol.ids import with_clean_ids
from nextbest.personalize.protocol.shapes import Listing, Members, Text
from nextbest.store.base import ProgramState, Store
from nextbest.store.cache import CatalogueCache

_DATASET_ARN = Text(0, MAX_ARN_CHARACTERS, ARN_PATTERN)


def _records(id_name: str, list_name: str, characters: int) -> Members:
    record = Members({f"{id_name}!": ID, "properties": Text(1, characters)})
    return Members({"datasetArn!": _DATASET_ARN, f"{list_name}!": Listing(record, 1, 10)})


PUT_ACTIONS = _records("actionId", "actions", 32_000)
PUT_USERS = _records("userId", "users", 24_000)
PUT_ITEMS = _records("itemId", "items", 32_000)


@dataclass(frozen=True, slots=True)
class OpenDataset:
    """A dataset that the caller may write to. ``schema`` is None where none was declared: then any field is allowed."""

    state: ProgramState
    schema: DatasetSchema | None


def open_dataset(store: Store, key: AccessKey, arn: str, dataset_type: str) -> OpenDataset:
    """The dataset that ``arn`` names. Raises InvalidInput for one of another type, NotFound, Forbidden.

    A program that was not created as a dataset group implicitly has datasets of all types.
    """
    name = name_in(arn, DATASET, field="datasetArn")
    program_id, _, named_type = name.partition("/")
    if named_type.upper() != dataset_type:
        raise InvalidInput(f"The dataset must be of type {dataset_type}", field="datasetArn")
    state = open_program(store, key, program_id, WRITE, hidden=missing(arn))
    resource = store.resource(state.program.incarnation, DATASET, f"{program_id}/{dataset_type}")
    if resource is not None:
        return OpenDataset(state, DatasetSchema.from_json(resource["fields"]))
    if store.resource(state.program.incarnation, DATASET_GROUP, program_id) is not None:
        raise missing(arn)
    return OpenDataset(state, None)


def put_actions(store: Store, catalogues: CatalogueCache, key: AccessKey, body: dict[str, Any]) -> int:
    """Store actions; how many. Raises InvalidInput, NotFound, Forbidden."""
    request = PUT_ACTIONS.check(body)
    dataset = open_dataset(store, key, request["datasetArn"], ACTIONS)
    rows = {
        row["actionId"]: _fields(row, dataset, ACTIONS, f"actions.{n}.member") or {ACTION_ID: row["actionId"]}
        for n, row in _numbered(request, "actions", "actionId")
    }
    put_assets(store, catalogues, dataset.state, rows)
    return len(request["actions"])


def put_items(store: Store, catalogues: CatalogueCache, key: AccessKey, body: dict[str, Any]) -> int:
    """Store items; how many. Raises InvalidInput, NotFound, Forbidden."""
    request = PUT_ITEMS.check(body)
    dataset = open_dataset(store, key, request["datasetArn"], ITEMS)
    rows = {
        row["itemId"]: {**_fields(row, dataset, ITEMS, f"items.{n}.member"), ITEM_ID: row["itemId"]}
        for n, row in _numbered(request, "items", "itemId")
    }
    put_assets(store, catalogues, dataset.state, rows)
    return len(request["items"])


def put_users(store: Store, key: AccessKey, body: dict[str, Any]) -> int:
    """Store attributes of users; how many. Raises InvalidInput, NotFound, Forbidden."""
    request = PUT_USERS.check(body)
    dataset = open_dataset(store, key, request["datasetArn"], USERS)
    rows = [
        (row["userId"], _fields(row, dataset, USERS, f"users.{n}.member"))
        for n, row in _numbered(request, "users", "userId")
    ]
    for user_id, fields in rows:
        store.put_user_attributes(dataset.state.program.incarnation, user_id, fields)
    return len(rows)


def put_assets(
    store: Store, catalogues: CatalogueCache, state: ProgramState, rows: Mapping[str, Mapping[str, FieldValue]]
) -> None:
    """Replace the fields of assets."""
    known = catalogues.catalogue_of(state).assets
    assets = [replace(known.get(asset_id, Asset(asset_id)), fields=dict(fields)) for asset_id, fields in rows.items()]
    store.put_assets(state.program.incarnation, assets)


def _numbered(request: Mapping[str, Any], list_name: str, id_name: str) -> list[tuple[int, dict[str, Any]]]:
    """The records, from 1, with their ids as they are stored. Raises InvalidInput."""
    return [
        (place, with_clean_ids(row, (id_name,), f"{list_name}.{place}.member"))
        for place, row in enumerate(request[list_name], 1)
    ]


def _fields(row: Mapping[str, Any], dataset: OpenDataset, dataset_type: str, path: str) -> dict[str, FieldValue]:
    schema = dataset.schema.without(TYPES[dataset_type].id_names) if dataset.schema is not None else None
    path = f"{path}.properties"
    return fields_of(read_properties(row.get("properties"), path=path), schema, path=path)
