"""Datasets: a schema for one kind of data of a dataset group (docs/contracts/personalize.md, section 6)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from nextbest.domain.programs import Incarnation
from nextbest.domain.resource_statuses import ACTIVE, UNFINISHED
from nextbest.errors import InUse, InvalidInput
from nextbest.personalize.control.dataset_groups import group_named, list_of_group
from nextbest.personalize.control.resources import ControlCall, Operation, Resource, dates
from nextbest.personalize.control.schemas import schema_named
from nextbest.personalize.control.solution_versions import unfinished_version
from nextbest.personalize.datasets.removal import clear_dataset, remove_tracking_id
from nextbest.personalize.datasets.schema import (
    ACTION_INTERACTIONS,
    DATASET_TYPES,
    INTERACTIONS,
    ITEMS,
    USERS,
    DatasetSchema,
    dataset_type_named,
)
from nextbest.personalize.datasets.tracking_ids import TRACKING_ID, tracker_resource
from nextbest.personalize.protocol.arns import (
    DATASET,
    DATASET_GROUP,
    EVENT_TRACKER,
    FILTER,
    IMPORT_JOB,
    SCHEMA,
    owner_of,
)
from nextbest.store.base import DEPLOYMENT


def create_dataset(call: ControlCall) -> Mapping[str, Any]:
    program = group_named(call, call.request["datasetGroupArn"])
    dataset_type = dataset_type_named(call.request["datasetType"])
    if dataset_type is None:
        raise InvalidInput(f"The datasetType must be one of {', '.join(DATASET_TYPES)}", field="datasetType")
    schema = _schema_for(call, dataset_type, program.incarnation)
    tracking_id = new_tracking_id(call) if dataset_type == ACTION_INTERACTIONS else None
    members = {
        "dataset_name": call.request["name"],
        "dataset_type": dataset_type,
        **_schema_members(schema),
        "tracking_id": tracking_id,
    }
    name = f"{program.program_id}/{dataset_type}"
    call.create(DATASET, name, program.incarnation, members)
    if tracking_id is not None:
        tracker = tracker_resource(program, dataset_type, DatasetSchema.from_json(schema["fields"]))
        call.store.create_resource(DEPLOYMENT, TRACKING_ID, tracking_id, tracker)
    return {"datasetArn": call.arn(DATASET, name)}


def new_tracking_id(call: ControlCall) -> str:
    """A UUID."""
    return str(UUID(int=call.deployment.random.getrandbits(128), version=4))


def _schema_for(call: ControlCall, dataset_type: str, owner: Incarnation) -> Resource:
    schema = schema_named(call, call.request["schemaArn"], within=owner)
    if schema["dataset_type"] != dataset_type:
        problem = f"The schema is for a dataset of type {schema['dataset_type']}, not {dataset_type}"
        raise InvalidInput(problem, field="schemaArn")
    return schema


def _schema_members(schema: Resource) -> dict[str, Any]:
    """What a dataset records of its schema: whose it is too, because another may have the same name."""
    return {"schema": schema["name"], "schema_owner": owner_of(schema), "fields": schema["fields"]}


def describe_dataset(call: ControlCall) -> Mapping[str, Any]:
    dataset = call.find(DATASET, "datasetArn")
    described = {
        **_summary(call, dataset),
        "datasetGroupArn": call.arn(DATASET_GROUP, dataset["program_id"]),
        "schemaArn": call.arn(SCHEMA, dataset["schema"]),
    }
    if dataset["tracking_id"] is not None:
        described["trackingId"] = dataset["tracking_id"]
    if "update" in dataset:
        described["latestDatasetUpdate"] = {
            "schemaArn": call.arn(SCHEMA, dataset["schema"]),
            "status": ACTIVE,
            "creationDateTime": round(dataset["update"], 3),
            "lastUpdatedDateTime": round(dataset["update"], 3),
        }
    return {"dataset": described}


def list_datasets(call: ControlCall) -> Mapping[str, Any]:
    return list_of_group(call, DATASET, "datasets", _summary)


def update_dataset(call: ControlCall) -> Mapping[str, Any]:
    dataset = call.find(DATASET, "datasetArn")
    call.require_stored(DATASET, dataset)
    if dataset["dataset_type"] not in (ITEMS, USERS):
        raise InvalidInput(
            f"The schema of a dataset of type {dataset['dataset_type']} cannot change", field="schemaArn"
        )
    schema = _schema_for(call, dataset["dataset_type"], owner_of(dataset))
    before, after = DatasetSchema.from_json(dataset["fields"]), DatasetSchema.from_json(schema["fields"])
    dropped = [field.name for field in before.fields if field not in after.fields]
    if dropped:
        raise InvalidInput(f"The new schema must keep the field {dropped[0]} as it is", field="schemaArn")
    strict = [field.name for field in after.fields if field not in before.fields and not field.nullable]
    if strict:
        raise InvalidInput(f"The new field {strict[0]} must be nullable", field="schemaArn")
    call.change(DATASET, dataset, **_schema_members(schema), update=call.now)
    return {"datasetArn": call.arn(DATASET, dataset["name"])}


def delete_dataset(call: ControlCall) -> None:
    """Remove a dataset with its data. Its filters and event trackers must be deleted first (section 8.3)."""
    dataset = call.find(DATASET, "datasetArn")
    call.require_stored(DATASET, dataset)
    owner = owner_of(dataset)
    blocking = [FILTER, EVENT_TRACKER] if dataset["dataset_type"] == INTERACTIONS else [FILTER]
    for kind in blocking:
        blocker = next(call.resources(kind, of=owner), None)
        if blocker is not None:
            raise InUse(f"The dataset cannot be deleted before {call.arn(kind, blocker['name'])}")
    jobs = list(call.resources(IMPORT_JOB, of=owner, dataset=dataset["name"]))
    for job in jobs:
        if job["status"] in UNFINISHED:
            raise InUse(f"The dataset cannot be deleted while {call.arn(IMPORT_JOB, job['name'])} runs")
    version = unfinished_version(call, owner)
    if version is not None:
        raise InUse(f"The dataset cannot be deleted while {version} is trained")
    clear_dataset(call.store, owner, dataset["dataset_type"])
    remove_tracking_id(call.store, dataset["tracking_id"])
    for job in jobs:
        call.delete(IMPORT_JOB, job)
    call.delete(DATASET, dataset)


def _summary(call: ControlCall, dataset: Resource) -> dict[str, Any]:
    return {
        "name": dataset["dataset_name"],
        "datasetArn": call.arn(DATASET, dataset["name"]),
        "datasetType": dataset["dataset_type"],
        "status": ACTIVE,
        **dates(dataset),
    }


OPERATIONS: dict[str, Operation] = {
    "CreateDataset": create_dataset,
    "DescribeDataset": describe_dataset,
    "ListDatasets": list_datasets,
    "UpdateDataset": update_dataset,
    "DeleteDataset": delete_dataset,
}
