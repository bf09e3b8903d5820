"""FULL imports: the rows of a job's files in place of what earlier imports stored in the dataset, in one step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

from nextbest.domain.assets import Asset, FieldValue
from nextbest.domain.programs import Incarnation, Program
from nextbest.personalize.datasets.csv_files import Row, event_of
from nextbest.personalize.datasets.item_event_types import ITEM_EVENTS, item_event_types, with_event_types
from nextbest.personalize.datasets.removal import is_in, is_of
from nextbest.personalize.datasets.schema import ACTIONS, INTERACTIONS, ITEMS, TYPES, USERS
from nextbest.personalize.datasets.sources import BULK_SOURCE, ITEM_ID
from nextbest.personalize.protocol.arns import IMPORT_JOB
from nextbest.store.bulk import BulkStore

BULK_FIELD = "_BULK"
"""Marks assets and users of a bulk import: the next FULL import replaces these alone, and nothing that was put. No
schema can have a field of this name."""

EVENTS_PER_CALL = 20_000
"""Each call marks each of its users once, so fewer, larger calls save writes."""

ROWS_PER_CALL = 500

Counts = dict[str, int]


def bulk_source(job: str) -> str:
    """The source of the events of an import job."""
    return f"{BULK_SOURCE}:{job}"


def replace_dataset(
    store: BulkStore,
    program: Program,
    dataset_type: str,
    rows: Iterator[Row],
    job: str,
    outcome: Callable[[Counts], Mapping[str, Any]],
) -> None:
    """Replace what earlier imports stored in a dataset by ``rows``.

    ``outcome`` makes the resource of the job from the numbers of rows; it is stored once all is done. Raises InUse
    where another import of the dataset began meanwhile. On any exception before the data were replaced the old data
    stay.
    """
    attempt = store.begin_import(program, dataset_type)
    types: frozenset[str] = frozenset()
    committed = False
    try:
        if dataset_type in (ACTIONS, ITEMS):
            counts = _stage_assets(store, program.incarnation, attempt, dataset_type, rows)
        elif dataset_type == USERS:
            counts = _stage_users(store, program.incarnation, attempt, rows)
        else:
            counts, types = _stage_events(store, program, attempt, dataset_type, rows, bulk_source(job))
        known = item_event_types(store, program.incarnation)
        current = with_event_types(known, types)
        also = [(*ITEM_EVENTS, {"event_types": sorted(current)})] if current != known else []
        store.commit_import(
            program,
            dataset_type,
            attempt,
            (IMPORT_JOB, job, outcome(counts)),
            assets_change=dataset_type in (ACTIONS, ITEMS),
            also=also,
        )
        committed = True
    finally:
        if not committed:
            store.discard_import(program, dataset_type, attempt)
    store.finish_imports(program)


def _stage_events(
    store: BulkStore, program: Program, attempt: int, dataset_type: str, rows: Iterator[Row], source: str
) -> tuple[Counts, frozenset[str]]:
    of_dataset = is_of(dataset_type, item_event_types(store, program.incarnation))
    bulk = bulk_source("")
    old = store.event_keys(program.incarnation, lambda event: event.source.startswith(bulk) and of_dataset(event))
    stored: set[Any] = set()
    types: set[str] = set()
    read = 0
    events = (event_of(row, dataset_type, source) for row in rows)
    while batch := list(islice(events, EVENTS_PER_CALL)):
        read += len(batch)
        stored |= store.stage_events(program, attempt, batch, old)
        if dataset_type == INTERACTIONS:
            types.update(event.event_type for event in batch)
    store.stage_event_removals(attempt, old - stored)
    return {"stored": len(stored), "duplicates": read - len(stored), "removed": len(old)}, frozenset(types)


def _stage_assets(
    store: BulkStore, incarnation: Incarnation, attempt: int, dataset_type: str, rows: Iterator[Row]
) -> Counts:
    known = {asset.asset_id: asset for asset in store.assets(incarnation)}
    of_dataset = is_in(dataset_type)
    imported: set[str] = set()
    assets = (asset_of(row, dataset_type, known) for row in rows)
    while batch := list(islice(assets, ROWS_PER_CALL)):
        last = {asset.asset_id: asset for asset in batch}
        store.stage_assets(incarnation, attempt, last.values(), set(known))
        imported.update(last)
    stale = [
        asset.asset_id
        for asset in known.values()
        if BULK_FIELD in asset.fields and of_dataset(asset) and asset.asset_id not in imported
    ]
    store.stage_asset_removals(incarnation, attempt, stale)
    return {"stored": len(imported), "removed": len(stale)}


def _stage_users(store: BulkStore, incarnation: Incarnation, attempt: int, rows: Iterator[Row]) -> Counts:
    imported: set[str] = set()
    users = map(attributes_of, rows)
    while batch := dict(islice(users, ROWS_PER_CALL)):
        store.stage_user_attributes(incarnation, attempt, batch)
        imported.update(batch)
    stale = [
        user_id
        for user_id, attributes in store.all_user_attributes(incarnation)
        if BULK_FIELD in attributes and user_id not in imported
    ]
    store.stage_user_attribute_removals(incarnation, attempt, stale)
    return {"stored": len(imported), "removed": len(stale)}


def asset_of(row: Row, dataset_type: str, known: Mapping[str, Asset]) -> Asset:
    """The asset in a row; what is ``known`` of it besides its fields stays."""
    (id_name,) = TYPES[dataset_type].id_names
    asset_id = str(row[id_name])
    fields: dict[str, FieldValue] = {name: value for name, value in row.items() if name != id_name}
    if dataset_type == ITEMS:
        fields[ITEM_ID] = asset_id
    return replace(known.get(asset_id, Asset(asset_id)), fields={**fields, BULK_FIELD: 1})


def attributes_of(row: Row) -> tuple[str, dict[str, FieldValue]]:
    """The user in a row, and the attributes."""
    (id_name,) = TYPES[USERS].id_names
    return str(row[id_name]), {**{name: value for name, value in row.items() if name != id_name}, BULK_FIELD: 1}
