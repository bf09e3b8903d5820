"""A dataset import: every row of its files is checked, then stored (docs/contracts/personalize.md, section 6.6).

A job reads its files twice: first to check every row, then to store them. So either all rows are stored, or none, and
``failureReason`` names the rows that were refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from nextbest.aws.parallel import in_parallel
from nextbest.aws.s3_files import ImportSource
from nextbest.domain.assets import Asset, FieldValue
from nextbest.domain.import_locations import ImportRules, S3Location
from nextbest.domain.programs import Incarnation, Program, program_id_of
from nextbest.errors import InvalidInput, NextbestError, NotFound
from nextbest.personalize.datasets.csv_files import RefusedRow, Row, event_of, item_event_type, read_rows
from nextbest.personalize.datasets.item_event_types import (
    MAX_EVENT_TYPES,
    item_event_types,
    remember_item_events,
    with_event_types,
)
from nextbest.personalize.datasets.removal import is_in, is_of
from nextbest.personalize.datasets.schema import ACTIONS, INTERACTIONS, ITEMS, TYPES, USERS, DatasetSchema
from nextbest.personalize.datasets.sources import BULK_SOURCE, ITEM_ID
from nextbest.personalize.protocol.arns import DATASET, IMPORT_JOB, owner_of
from nextbest.personalize.protocol.statuses import ACTIVE, CREATE_FAILED, CREATE_IN_PROGRESS, UNFINISHED
from nextbest.store.base import ConfigurationStore
from nextbest.store.bulk import BulkStore

FULL = "FULL"
INCREMENTAL = "INCREMENTAL"
BULK_FIELD = "_BULK"
"""Marks assets and users of a bulk import: the next FULL import replaces these alone, and nothing that was put. No
schema can have a field of this name."""

Job = Mapping[str, Any]
"""The stored resource of an import job."""

_EVENTS_PER_CALL = 20_000
"""Each call marks each of its users once, so fewer, larger calls save writes."""

_ROWS_PER_CALL = 500
_REPORTED_ROWS = 10


def readable_location(store: ConfigurationStore, rules: ImportRules, incarnation: Incarnation, text: str) -> S3Location:
    """The ``dataLocation`` of a job, if the program may read it now. Raises InvalidInput."""
    try:
        location = S3Location.parse(text)
        rules.check(location, program_id_of(incarnation), store.import_locations(incarnation))
    except InvalidInput as error:
        field = "dataSource.dataLocation"
        raise InvalidInput(f"Invalid Data location: {field} {error.message}", field=field) from error
    return location


def run_import(
    store: BulkStore,
    source: ImportSource,
    rules: ImportRules,
    incarnation: Incarnation,
    name: str,
    *,
    clock: Callable[[], float],
) -> None:
    """Run the import job ``name`` of a program and record its outcome.

    Errors in the files are recorded, not raised; any other error is recorded and raised. Can be run again after an
    interruption: storing a row twice has the effect of storing it once.
    """
    job = store.resource(incarnation, IMPORT_JOB, name)
    if job is None or job["status"] not in UNFINISHED:
        return
    _record(store, job, clock(), status=CREATE_IN_PROGRESS)
    failure = "The import was interrupted"
    counts: dict[str, int] = {}
    try:
        counts = _import(store, source, rules, job)
        failure = ""
    except NextbestError as error:
        failure = error.message
    finally:
        if failure:
            _record(store, job, clock(), status=CREATE_FAILED, failure=failure)
    if not failure:
        _record(store, job, clock(), status=ACTIVE, counts=counts)


def _record(store: BulkStore, job: Job, now: float, **members: Any) -> None:
    store.put_resource(owner_of(job), IMPORT_JOB, job["name"], {**job, **members, "updated": now})


@dataclass(frozen=True, slots=True)
class _Files:
    """The files of a job, to be read as often as needed."""

    source: ImportSource
    location: S3Location
    schema: DatasetSchema
    dataset_type: str

    def rows(self) -> Iterator[Row | RefusedRow]:
        for name, text in self.source.files(self.location.bucket, self.location.key):
            yield from read_rows(name, text, self.schema, self.dataset_type)

    def good_rows(self) -> Iterator[Row]:
        return (row for row in self.rows() if not isinstance(row, RefusedRow))


def _import(store: BulkStore, source: ImportSource, rules: ImportRules, job: Job) -> dict[str, int]:
    incarnation = owner_of(job)
    dataset = store.resource(incarnation, DATASET, job["dataset"])
    state = store.program_state(program_id_of(incarnation))
    if dataset is None or state is None or state.program.incarnation != incarnation:
        raise NotFound("The dataset was deleted before the import began")
    dataset_type = dataset["dataset_type"]
    # Again: the operator may have changed what the program may read since the job was created.
    location = readable_location(store, rules, incarnation, job["location"])
    files = _Files(source, location, DatasetSchema.from_json(dataset["fields"]), dataset_type)
    read = _check(files, item_event_types(store, incarnation))
    replaces = job["mode"] == FULL
    if dataset_type in (ACTIONS, ITEMS):
        stored = _import_assets(store, incarnation, files, replaces=replaces)
    elif dataset_type == USERS:
        stored = _import_users(store, incarnation, files, replaces=replaces)
    else:
        stored = _import_events(store, state.program, files, job["name"], replaces=replaces)
    return {"read": read, **stored}


def _check(files: _Files, known_types: frozenset[str]) -> int:
    """The number of rows. Raises InvalidInput with the first refused ones, and how many there are; QuotaExceeded."""
    read = 0
    refused: list[RefusedRow] = []
    count = 0
    types: set[str] = set()
    for row in files.rows():
        read += 1
        if isinstance(row, RefusedRow):
            count += 1
            if len(refused) < _REPORTED_ROWS:
                refused.append(row)
        elif files.dataset_type == INTERACTIONS and len(types) <= MAX_EVENT_TYPES:
            types.add(item_event_type(row))
    if count:
        reasons = "; ".join(map(str, refused))
        more = f"; and {count - len(refused)} more" if count > len(refused) else ""
        raise InvalidInput(f"{count} of {read} rows were refused and nothing was imported: {reasons}{more}")
    if not read:
        raise InvalidInput("There are no rows to import")
    with_event_types(known_types, types)
    return read


def _import_events(store: BulkStore, program: Program, files: _Files, job: str, *, replaces: bool) -> dict[str, int]:
    """Log the events; every history that they affect is rebuilt once, at the end."""
    source = f"{BULK_SOURCE}:{job}"
    removed = 0
    if replaces:
        of_dataset = is_of(files.dataset_type, item_event_types(store, program.incarnation))
        removed = store.remove_events(
            program,
            lambda event: event.source.startswith(f"{BULK_SOURCE}:") and event.source != source and of_dataset(event),
        )
    accepted = duplicates = 0
    events = (event_of(row, files.dataset_type, source) for row in files.good_rows())
    while batch := list(islice(events, _EVENTS_PER_CALL)):
        if files.dataset_type == INTERACTIONS:
            remember_item_events(store, program.incarnation, {event.event_type for event in batch})
        appended = store.append(program, batch, refresh_histories=False)
        accepted += appended.accepted
        duplicates += appended.duplicates
    in_parallel(lambda user_id: store.rebuild_history(program, user_id), store.backfilled_users(program.incarnation))
    return {"stored": accepted, "duplicates": duplicates, "removed": removed}


def _import_assets(store: BulkStore, incarnation: Incarnation, files: _Files, *, replaces: bool) -> dict[str, int]:
    (id_name,) = TYPES[files.dataset_type].id_names
    known = {asset.asset_id: asset for asset in store.assets(incarnation)}
    of_dataset = is_in(files.dataset_type)
    imported: set[str] = set()
    rows = files.good_rows()
    while batch := list(islice(rows, _ROWS_PER_CALL)):
        assets = []
        for row in batch:
            asset_id = str(row[id_name])
            fields: dict[str, FieldValue] = {name: value for name, value in row.items() if name != id_name}
            if files.dataset_type == ITEMS:
                fields[ITEM_ID] = asset_id
            assets.append(replace(known.get(asset_id, Asset(asset_id)), fields={**fields, BULK_FIELD: 1}))
            imported.add(asset_id)
        store.put_assets(incarnation, assets)
    stale = [
        asset.asset_id
        for asset in known.values()
        if replaces and BULK_FIELD in asset.fields and of_dataset(asset) and asset.asset_id not in imported
    ]
    return {"stored": len(imported), "removed": store.remove_assets(incarnation, stale)}


def _import_users(store: BulkStore, incarnation: Incarnation, files: _Files, *, replaces: bool) -> dict[str, int]:
    (id_name,) = TYPES[USERS].id_names
    imported: set[str] = set()
    for row in files.good_rows():
        attributes = {name: value for name, value in row.items() if name != id_name}
        store.put_user_attributes(incarnation, str(row[id_name]), {**attributes, BULK_FIELD: 1})
        imported.add(str(row[id_name]))
    stale = [
        user_id
        for user_id, attributes in (store.all_user_attributes(incarnation) if replaces else ())
        if BULK_FIELD in attributes and user_id not in imported
    ]
    store.remove_user_attributes(incarnation, stale)
    return {"stored": len(imported), "removed": len(stale)}
