"""Dataset import jobs: CreateDatasetImportJob, Describe and List, and the import itself (personalize-actions §6.6).

A job reads its files twice: first to check every row, then to store them. So either all rows are stored, or none, and
``failureReason`` names the rows that were refused. Counts stand in ``nextbestCounts`` of DescribeDatasetImportJob.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from nextbest.assets import Asset, FieldValue
from nextbest.errors import InvalidInput, NextbestError, NotFound, QuotaExceeded
from nextbest.personalize.arns import DATASET, IMPORT_JOB, name_in, stored_kind
from nextbest.personalize.avro import ACTIONS, INTERACTIONS, ITEMS, TYPES, USERS, DatasetSchema
from nextbest.personalize.clearing import BULK_SOURCE, is_in, is_of
from nextbest.personalize.csv_rows import RefusedRow, Row, event_of, read_rows
from nextbest.personalize.item_events import item_event_types, remember_item_events
from nextbest.personalize.operations import (
    ACTIVE,
    ARN,
    CREATE_FAILED,
    CREATE_IN_PROGRESS,
    CREATE_PENDING,
    NAME,
    PAGE,
    ROLE_ARN,
    TAGS,
    UNFINISHED,
    Call,
    Operation,
    Resource,
    dates,
    page,
)
from nextbest.personalize.records import ITEM_ID
from nextbest.personalize.shapes import Flag, Members, Text
from nextbest.programs import Program
from nextbest.store.bulk import BulkStore
from nextbest.store.imports import ImportSource
from nextbest.store.parallel import in_parallel

FULL = "FULL"
INCREMENTAL = "INCREMENTAL"
MAX_UNFINISHED = 5
BULK_FIELD = "_BULK"
"""Marks assets and users of a bulk import: the next FULL one replaces them, and nothing that was put. No schema can
have a field of this name."""

_EVENTS_PER_CALL = 20_000
"""Each call marks each of its users once, so many events to a call save writes."""

_ROWS_PER_CALL = 500
_TOLD_ROWS = 10


def create_dataset_import_job(call: Call) -> Mapping[str, Any]:
    dataset = call.find(DATASET, "datasetArn")
    location = call.asked["dataSource"].get("dataLocation", "")
    if not location.startswith("s3://"):
        raise InvalidInput(f"Invalid Data location: {location}; files are read from s3://<bucket>/<key>")
    mode = call.asked.get("importMode", FULL)
    jobs = list(call.resources(IMPORT_JOB, program_id=dataset["program_id"]))
    if sum(job["status"] in UNFINISHED for job in jobs) >= MAX_UNFINISHED:
        raise QuotaExceeded(f"More than {MAX_UNFINISHED} resources with PENDING or IN_PROGRESS status.")
    imported = any(job["dataset"] == dataset["name"] and job["status"] == ACTIVE for job in jobs)
    if mode == INCREMENTAL and not imported:
        raise InvalidInput("An INCREMENTAL import needs an earlier bulk import of the dataset", field="importMode")
    members = {
        "dataset": dataset["name"],
        "location": location,
        "mode": mode,
        "role": call.asked.get("roleArn"),
        "publish_metrics": call.asked.get("publishAttributionMetricsToS3", False),
        "status": CREATE_PENDING,
    }
    name = call.asked["jobName"]
    call.create(IMPORT_JOB, name, dataset["program_id"], members)
    call.deployment.start_import(name)
    return {"datasetImportJobArn": call.arn(IMPORT_JOB, name)}


def describe_dataset_import_job(call: Call) -> Mapping[str, Any]:
    job = call.find(IMPORT_JOB, "datasetImportJobArn")
    described = {
        **_summary(call, job),
        "datasetArn": call.arn(DATASET, job["dataset"]),
        "dataSource": {"dataLocation": job["location"]},
        "publishAttributionMetricsToS3": job["publish_metrics"],
    }
    if job["role"] is not None:
        described["roleArn"] = job["role"]
    if "counts" in job:
        described["nextbestCounts"] = job["counts"]
    return {"datasetImportJob": described}


def list_dataset_import_jobs(call: Call) -> Mapping[str, Any]:
    dataset = name_in(call.asked["datasetArn"], DATASET, field="datasetArn") if "datasetArn" in call.asked else ""
    found = call.resources(IMPORT_JOB, dataset=dataset) if dataset else call.resources(IMPORT_JOB)
    return page(call, found, "datasetImportJobs", lambda row: _summary(call, row), scope=dataset)


def _summary(call: Call, job: Resource) -> dict[str, Any]:
    failure = {"failureReason": job["failure"]} if "failure" in job else {}
    return {
        "jobName": job["name"],
        "datasetImportJobArn": call.arn(IMPORT_JOB, job["name"]),
        "importMode": job["mode"],
        "status": job["status"],
        **failure,
        **dates(job),
    }


def run_import(store: BulkStore, source: ImportSource, name: str, *, clock: Callable[[], float]) -> None:
    """Run the import job ``name`` and record how it went.

    What is wrong with the files is recorded, not raised; whatever else goes wrong is recorded and raised. Can be run
    again after it was interrupted: a row stored twice is stored once.
    """
    job = store.resource(stored_kind(IMPORT_JOB), name)
    if job is None or job["status"] not in UNFINISHED:
        return
    _record(store, job, clock(), status=CREATE_IN_PROGRESS)
    failure = "The import was interrupted"
    counts: dict[str, int] = {}
    try:
        counts = _import(store, source, job)
        failure = ""
    except NextbestError as error:
        failure = error.message
    finally:
        if failure:
            _record(store, job, clock(), status=CREATE_FAILED, failure=failure)
    if not failure:
        _record(store, job, clock(), status=ACTIVE, counts=counts)


def _record(store: BulkStore, job: Resource, now: float, **members: Any) -> None:
    store.put_resource(stored_kind(IMPORT_JOB), job["name"], {**job, **members, "updated": now})


@dataclass(frozen=True, slots=True)
class _Files:
    """The files of a job, to be read as often as needed."""

    source: ImportSource
    location: str
    schema: DatasetSchema
    dataset_type: str

    def rows(self) -> Iterator[Row | RefusedRow]:
        for name, text in self.source.files(self.location):
            yield from read_rows(name, text, self.schema, self.dataset_type)

    def good_rows(self) -> Iterator[Row]:
        return (row for row in self.rows() if not isinstance(row, RefusedRow))


def _import(store: BulkStore, source: ImportSource, job: Resource) -> dict[str, int]:
    dataset = store.resource(stored_kind(DATASET), job["dataset"])
    state = store.program_state(job["program_id"])
    if dataset is None or state is None:
        raise NotFound("The dataset was deleted before the import began")
    dataset_type = dataset["dataset_type"]
    files = _Files(source, job["location"], DatasetSchema.from_json(dataset["fields"]), dataset_type)
    read = _check(files)
    replaces = job["mode"] == FULL
    if dataset_type in (ACTIONS, ITEMS):
        stored = _import_assets(store, state.program.program_id, files, replaces=replaces)
    elif dataset_type == USERS:
        stored = _import_users(store, state.program.program_id, files, replaces=replaces)
    else:
        stored = _import_events(store, state.program, files, job["name"], replaces=replaces)
    return {"read": read, **stored}


def _check(files: _Files) -> int:
    """The number of rows. Raises InvalidInput that tells of the first refused ones, and how many there are."""
    read = 0
    refused: list[RefusedRow] = []
    count = 0
    for row in files.rows():
        read += 1
        if isinstance(row, RefusedRow):
            count += 1
            if len(refused) < _TOLD_ROWS:
                refused.append(row)
    if count:
        told = "; ".join(map(str, refused))
        more = f"; and {count - len(refused)} more" if count > len(refused) else ""
        raise InvalidInput(f"{count} of {read} rows were refused and nothing was imported: {told}{more}")
    if not read:
        raise InvalidInput("There are no rows to import")
    return read


def _import_events(store: BulkStore, program: Program, files: _Files, job: str, *, replaces: bool) -> dict[str, int]:
    """Log the events; every history they touch is made anew once, at the end."""
    source = f"{BULK_SOURCE}:{job}"
    removed = 0
    if replaces:
        of_dataset = is_of(files.dataset_type, item_event_types(store, program.program_id))
        removed = store.remove_events(
            program,
            lambda event: event.source.startswith(f"{BULK_SOURCE}:") and event.source != source and of_dataset(event),
        )
    accepted = duplicates = 0
    events = (event_of(row, files.dataset_type, source) for row in files.good_rows())
    while batch := list(islice(events, _EVENTS_PER_CALL)):
        if files.dataset_type == INTERACTIONS:
            remember_item_events(store, program.program_id, {event.event_type for event in batch})
        appended = store.append(program, batch, refresh_histories=False)
        accepted += appended.accepted
        duplicates += appended.duplicates
    in_parallel(lambda user_id: store.rebuild_history(program, user_id), store.backfilled_users(program.program_id))
    return {"stored": accepted, "duplicates": duplicates, "removed": removed}


def _import_assets(store: BulkStore, program_id: str, files: _Files, *, replaces: bool) -> dict[str, int]:
    (id_name,) = TYPES[files.dataset_type].id_names
    known = {asset.asset_id: asset for asset in store.assets(program_id)}
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
        store.put_assets(program_id, assets)
    stale = [
        asset.asset_id
        for asset in known.values()
        if replaces and BULK_FIELD in asset.fields and of_dataset(asset) and asset.asset_id not in imported
    ]
    return {"stored": len(imported), "removed": store.remove_assets(program_id, stale)}


def _import_users(store: BulkStore, program_id: str, files: _Files, *, replaces: bool) -> dict[str, int]:
    (id_name,) = TYPES[USERS].id_names
    imported: set[str] = set()
    for row in files.good_rows():
        attributes = {name: value for name, value in row.items() if name != id_name}
        store.put_user_attributes(program_id, str(row[id_name]), {**attributes, BULK_FIELD: 1})
        imported.add(str(row[id_name]))
    stale = [
        user_id
        for user_id, attributes in (store.all_user_attributes(program_id) if replaces else ())
        if BULK_FIELD in attributes and user_id not in imported
    ]
    store.remove_user_attributes(program_id, stale)
    return {"stored": len(imported), "removed": len(stale)}


OPERATIONS = {
    "CreateDatasetImportJob": Operation(
        Members(
            {
                "jobName!": NAME,
                "datasetArn!": ARN,
                "dataSource!": Members({"dataLocation": Text(0, 256, r"(s3|http|https)://.+")}),
                "roleArn": ROLE_ARN,
                "tags": TAGS,
                "importMode": Text(one_of=(FULL, INCREMENTAL)),
                "publishAttributionMetricsToS3": Flag(),
            }
        ),
        create_dataset_import_job,
    ),
    "DescribeDatasetImportJob": Operation(Members({"datasetImportJobArn!": ARN}), describe_dataset_import_job),
    "ListDatasetImportJobs": Operation(Members({"datasetArn": ARN, **PAGE}), list_dataset_import_jobs),
}
