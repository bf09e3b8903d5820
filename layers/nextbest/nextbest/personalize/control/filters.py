"""Filters: CreateFilter, DescribeFilter, ListFilters, DeleteFilter (docs/contracts/personalize.md, section 4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nextbest.domain.programs import Program
from nextbest.domain.resource_statuses import ACTIVE
from nextbest.filters import Dataset, Schema, bind, check_dataset_group, parse
from nextbest.filters.stored import bind_stored, schema_to_json
from nextbest.personalize.control.dataset_groups import group_named, list_of_group
from nextbest.personalize.control.resources import ControlCall, Operation, Resource, dates
from nextbest.personalize.datasets.schema import ACTION_INTERACTIONS, ACTIONS, INTERACTIONS, ITEMS, USERS, DatasetSchema
from nextbest.personalize.protocol.arns import DATASET, DATASET_GROUP, FILTER

_DATASETS = {
    ACTIONS: Dataset.ACTIONS,
    ACTION_INTERACTIONS: Dataset.ACTION_INTERACTIONS,
    ITEMS: Dataset.ITEMS,
    INTERACTIONS: Dataset.INTERACTIONS,
    USERS: Dataset.USERS,
}


def create_filter(call: ControlCall) -> Mapping[str, Any]:
    program, expression = group_named(call, call.request["datasetGroupArn"]), call.request["filterExpression"]
    name = call.request["name"]
    call.require_free(FILTER, name, [program.incarnation])
    bound = bind(parse(expression), _schema_of(call, program))
    check_dataset_group([bound, *(bind_stored(other) for other in call.resources(FILTER, of=program.incarnation))])
    members = {"expression": expression, "schema": schema_to_json(bound), "status": ACTIVE}
    call.add(FILTER, name, program.incarnation, members)
    return {"filterArn": call.arn(FILTER, name)}


def _schema_of(call: ControlCall, program: Program) -> Schema:
    """What a filter of the program may name: the datasets that were created.

    A program that was not created as a dataset group implicitly has every dataset; its actions have the fields that
    occur among its assets, or any where there are none yet.
    """
    declared = {
        _DATASETS[dataset["dataset_type"]]: {
            field.name: field.filter_type for field in DatasetSchema.from_json(dataset["fields"]).fields
        }
        for dataset in call.resources(DATASET, of=program.incarnation)
    }
    if call.store.resource(program.incarnation, DATASET_GROUP, program.program_id) is not None:
        return Schema.declared(declared)
    implicit = Schema.implicit(call.store.assets(program.incarnation))
    return Schema({**implicit.datasets, **Schema.declared(declared).datasets})


def describe_filter(call: ControlCall) -> Mapping[str, Any]:
    resource = call.find(FILTER, "filterArn")
    return {"filter": {**_summary(call, resource), "filterExpression": resource["expression"]}}


def list_filters(call: ControlCall) -> Mapping[str, Any]:
    # The capital F is AWS's own, here alone.
    return list_of_group(call, FILTER, "Filters", _summary)


def delete_filter(call: ControlCall) -> None:
    call.delete(FILTER, call.find(FILTER, "filterArn"))


def _summary(call: ControlCall, resource: Resource) -> dict[str, Any]:
    return {
        "name": resource["name"],
        "filterArn": call.arn(FILTER, resource["name"]),
        "datasetGroupArn": call.arn(DATASET_GROUP, resource["program_id"]),
        "status": resource["status"],
        **dates(resource),
    }


OPERATIONS: dict[str, Operation] = {
    "CreateFilter": create_filter,
    "DescribeFilter": describe_filter,
    "ListFilters": list_filters,
    "DeleteFilter": delete_filter,
}
