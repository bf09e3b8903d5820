"""Dataset import jobs: Create, Describe and List (docs/contracts/personalize.md, section 6.6). ``jobs`` runs them.

A job reads its files twice: first to check every row, then to store them. So either all rows are stored, or none, and
``failureReason`` names the rows that were refused. DescribeDatasetImportJob has the counts in ``nextbestCounts``.
A job reads only where the operator lets its program read; ``roleArn`` is stored and shown, and never assumed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nextbest.domain.resource_statuses import ACTIVE, CREATE_PENDING, UNFINISHED
from nextbest.errors import InvalidInput, QuotaExceeded
from nextbest.personalize.control.implicit import IMPLICIT
from nextbest.personalize.control.resources import ControlCall, Operation, Resource, dates, narrowed_to, page
from nextbest.personalize.jobs.dataset_import import FULL, INCREMENTAL, readable_location
from nextbest.personalize.protocol.arns import DATASET, IMPORT_JOB, owner_of

MAX_UNFINISHED = 5


def create_dataset_import_job(call: ControlCall) -> Mapping[str, Any]:
    dataset = call.find(DATASET, "datasetArn")
    if dataset.get(IMPLICIT):
        problem = f"The dataset {call.request['datasetArn']} has no schema to import by: create the dataset first"
        raise InvalidInput(problem, field="datasetArn")
    location = call.request["dataSource"].get("dataLocation", "")
    readable_location(call.store, call.deployment.import_rules, owner_of(dataset), location)
    if call.request.get("publishAttributionMetricsToS3"):
        problem = "publishAttributionMetricsToS3 is not supported: there are no metric attributions here"
        raise InvalidInput(problem, field="publishAttributionMetricsToS3")
    mode = call.request.get("importMode", FULL)
    jobs = list(call.resources(IMPORT_JOB, of=owner_of(dataset)))
    if sum(job["status"] in UNFINISHED for job in jobs) >= MAX_UNFINISHED:
        raise QuotaExceeded(f"More than {MAX_UNFINISHED} resources with PENDING or IN_PROGRESS status.")
    imported = any(job["dataset"] == dataset["name"] and job["status"] == ACTIVE for job in jobs)
    if mode == INCREMENTAL and not imported:
        raise InvalidInput("An INCREMENTAL import needs an earlier bulk import of the dataset", field="importMode")
    members = {
        "dataset": dataset["name"],
        "location": location,
        "mode": mode,
        "role": call.request.get("roleArn"),
        "status": CREATE_PENDING,
    }
    name = call.request["jobName"]
    job = call.create(IMPORT_JOB, name, owner_of(dataset), members)
    with call.kept_if_started(IMPORT_JOB, job):
        call.deployment.start_import(owner_of(dataset), name)
    return {"datasetImportJobArn": call.arn(IMPORT_JOB, name)}


def describe_dataset_import_job(call: ControlCall) -> Mapping[str, Any]:
    job = call.find(IMPORT_JOB, "datasetImportJobArn")
    described = {
        **_summary(call, job),
        "datasetArn": call.arn(DATASET, job["dataset"]),
        "dataSource": {"dataLocation": job["location"]},
        "publishAttributionMetricsToS3": False,
    }
    if job["role"] is not None:
        described["roleArn"] = job["role"]
    if "counts" in job:
        described["nextbestCounts"] = job["counts"]
    return {"datasetImportJob": described}


def list_dataset_import_jobs(call: ControlCall) -> Mapping[str, Any]:
    dataset = narrowed_to(call, DATASET, "datasetArn")
    matches = (
        call.resources(IMPORT_JOB, of=owner_of(dataset), dataset=dataset["name"])
        if dataset is not None
        else call.resources(IMPORT_JOB)
    )
    scope = dataset["name"] if dataset is not None else ""
    return page(call, matches, "datasetImportJobs", lambda row: _summary(call, row), scope=scope)


def _summary(call: ControlCall, job: Resource) -> dict[str, Any]:
    failure = {"failureReason": job["failure"]} if "failure" in job else {}
    return {
        "jobName": job["name"],
        "datasetImportJobArn": call.arn(IMPORT_JOB, job["name"]),
        "importMode": job["mode"],
        "status": job["status"],
        **failure,
        **dates(job),
    }


OPERATIONS: dict[str, Operation] = {
    "CreateDatasetImportJob": create_dataset_import_job,
    "DescribeDatasetImportJob": describe_dataset_import_job,
    "ListDatasetImportJobs": list_dataset_import_jobs,
}
