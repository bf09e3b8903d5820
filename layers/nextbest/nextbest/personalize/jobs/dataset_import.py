"""A dataset import: every row of its files is checked, then stored (docs/contracts/personalize.md, section 6.6).

A job reads its files twice: first to check every row, then to store them; ``failureReason`` names the rows that were
refused. A FULL import replaces the data in one step, once all rows are stored (``store/imports.py``): whatever fails
before leaves the old data as they were. An INCREMENTAL one adds row by row; each row counts once however often it is
stored, so whatever fails on the way is completed by importing the same files again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from nextbest.aws.s3_files import ImportSource
from nextbest.domain.import_locations import ImportRules, S3Location
from nextbest.domain.programs import Incarnation, Program, program_id_of
from nextbest.domain.resource_statuses import ACTIVE, CREATE_FAILED, CREATE_IN_PROGRESS, UNFINISHED
from nextbest.errors import InvalidInput, NextbestError, NotFound
from nextbest.personalize.datasets.csv_files import RefusedRow, Row, event_of, item_event_type_of, read_rows
from nextbest.personalize.datasets.item_event_types import (
    MAX_EVENT_TYPES,
    item_event_types,
    remember_item_events,
    with_event_types,
)
from nextbest.personalize.datasets.schema import ACTIONS, INTERACTIONS, ITEMS, USERS, DatasetSchema
from nextbest.personalize.jobs.replacing import (
    EVENTS_PER_CALL,
    ROWS_PER_CALL,
    asset_of,
    attributes_of,
    bulk_source,
    replace_dataset,
)
from nextbest.personalize.protocol.arns import DATASET, IMPORT_JOB, owner_of
from nextbest.store.base import ConfigurationStore
from nextbest.store.bulk import BulkStore

FULL = "FULL"
INCREMENTAL = "INCREMENTAL"

Job = Mapping[str, Any]
"""The stored resource of an import job."""

_REPORTED_ROWS = 10
_PARTLY_STORED = "Rows before that may be stored; importing them again stores each once"


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
    interruption: storing a row twice has the effect of storing it once, and new data that count already are kept. A job
    whose data count never fails: what is left to do is done by its next run, or by the next import or rebase.
    """
    job = store.resource(incarnation, IMPORT_JOB, name)
    if job is None or job["status"] not in UNFINISHED:
        return
    if _is_committed(store, job):
        store.finish_imports(_program_of(store, job))
        return
    _record(store, job, clock(), status=CREATE_IN_PROGRESS)
    failure = "The import was interrupted"
    try:
        _import(store, source, rules, job, clock)
        failure = ""
    except NextbestError as error:
        if _is_committed(store, job):
            raise
        failure = error.message
    finally:
        if failure and not _is_committed(store, job) and _is_unfinished(store, job):
            _record(store, job, clock(), status=CREATE_FAILED, failure=failure)


def _is_committed(store: BulkStore, job: Job) -> bool:
    """Whether the data of the job count, and something is left to do."""
    for _, (kind, name, outcome) in store.import_state(owner_of(job)).unfinished.values():
        if (kind, name, outcome.get("created")) == (IMPORT_JOB, job["name"], job.get("created")):
            return True
    return False


def _is_unfinished(store: BulkStore, job: Job) -> bool:
    current = store.resource(owner_of(job), IMPORT_JOB, job["name"])
    return current is not None and current["status"] in UNFINISHED


def _record(store: BulkStore, job: Job, now: float, **members: Any) -> None:
    store.put_resource(owner_of(job), IMPORT_JOB, job["name"], _with(job, now, **members))


def _with(job: Job, now: float, **members: Any) -> Job:
    return {**job, **members, "updated": now}


def _program_of(store: BulkStore, job: Job) -> Program:
    """The job's program. Raises NotFound."""
    state = store.program_state(program_id_of(owner_of(job)))
    if state is None or state.program.incarnation != owner_of(job):
        raise NotFound("The dataset was deleted before the import began")
    return state.program


@dataclass(frozen=True, slots=True)
class _Files:
    """The files of a job, to be read as often as needed."""

    source: ImportSource
    location: S3Location
    schema: DatasetSchema
    dataset_type: str
    now: float

    def rows(self) -> Iterator[Row | RefusedRow]:
        for name, text in self.source.files(self.location.bucket, self.location.key):
            yield from read_rows(name, text, self.schema, self.dataset_type, now=self.now)

    def good_rows(self, count: int) -> Iterator[Row]:
        """The rows, once more. Raises InvalidInput where they are no longer the ``count`` rows that were checked."""
        for row in self.rows():
            if isinstance(row, RefusedRow):
                raise InvalidInput(f"The files were changed during the import: {row}")
            count -= 1
            yield row
        if count:
            raise InvalidInput("The files were changed during the import: they have another number of rows")


def _import(store: BulkStore, source: ImportSource, rules: ImportRules, job: Job, clock: Callable[[], float]) -> None:
    incarnation = owner_of(job)
    dataset = store.resource(incarnation, DATASET, job["dataset"])
    program = _program_of(store, job)
    if dataset is None:
        raise NotFound("The dataset was deleted before the import began")
    dataset_type = dataset["dataset_type"]
    # Again: the operator may have changed what the program may read since the job was created.
    location = readable_location(store, rules, incarnation, job["location"])
    files = _Files(source, location, DatasetSchema.from_json(dataset["fields"]), dataset_type, clock())
    read = _check(files, item_event_types(store, incarnation))
    rows = files.good_rows(read)
    if job["mode"] == FULL:
        replace_dataset(
            store,
            program,
            dataset_type,
            rows,
            job["name"],
            lambda counts: _with(job, clock(), status=ACTIVE, counts={"read": read, **counts}),
        )
        return
    store.finish_imports(program)
    try:
        stored = _add(store, program, dataset_type, rows, job["name"])
    except InvalidInput as error:
        raise InvalidInput(f"{error.message.rstrip('.')}. {_PARTLY_STORED}", field=error.field) from error
    _record(store, job, clock(), status=ACTIVE, counts={"read": read, **stored, "removed": 0})


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
            types.add(item_event_type_of(row))
    if count:
        reasons = "; ".join(map(str, refused))
        more = f"; and {count - len(refused)} more" if count > len(refused) else ""
        raise InvalidInput(f"{count} of {read} rows were refused and nothing was imported: {reasons}{more}")
    if not read:
        raise InvalidInput("There are no rows to import")
    with_event_types(known_types, types)
    return read


def _add(store: BulkStore, program: Program, dataset_type: str, rows: Iterator[Row], job: str) -> dict[str, int]:
    """Store rows beside the data that are there; how many."""
    if dataset_type in (ACTIONS, ITEMS):
        return _add_assets(store, program.incarnation, dataset_type, rows)
    if dataset_type == USERS:
        return _add_users(store, program.incarnation, rows)
    return _add_events(store, program, dataset_type, rows, job)


def _add_events(store: BulkStore, program: Program, dataset_type: str, rows: Iterator[Row], job: str) -> dict[str, int]:
    """Log the events; every history that they affect is rebuilt once, at the end."""
    accepted = duplicates = 0
    events = (event_of(row, dataset_type, bulk_source(job)) for row in rows)
    while batch := list(islice(events, EVENTS_PER_CALL)):
        if dataset_type == INTERACTIONS:
            remember_item_events(store, program.incarnation, {event.event_type for event in batch})
        appended = store.append(program, batch, refresh_histories=False)
        accepted += appended.accepted
        duplicates += appended.duplicates
    store.rebuild_histories(program, store.backfilled_users(program.incarnation))
    return {"stored": accepted, "duplicates": duplicates}


def _add_assets(store: BulkStore, incarnation: Incarnation, dataset_type: str, rows: Iterator[Row]) -> dict[str, int]:
    known = {asset.asset_id: asset for asset in store.assets(incarnation)}
    imported: set[str] = set()
    assets = (asset_of(row, dataset_type, known) for row in rows)
    while batch := list(islice(assets, ROWS_PER_CALL)):
        store.put_assets(incarnation, batch)
        imported.update(asset.asset_id for asset in batch)
    return {"stored": len(imported)}


def _add_users(store: BulkStore, incarnation: Incarnation, rows: Iterator[Row]) -> dict[str, int]:
    imported: set[str] = set()
    for user_id, attributes in map(attributes_of, rows):
        store.put_user_attributes(incarnation, user_id, attributes)
        imported.add(user_id)
    return {"stored": len(imported)}
