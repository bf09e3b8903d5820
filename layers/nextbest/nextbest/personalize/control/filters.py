"""Filters: CreateFilter, DescribeFilter, ListFilters, DeleteFilter (docs/contracts/personalize.md, section 4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nextbest.logic import filters
from nextbest.personalize.control.dataset_groups import group_named, list_of_group
from nextbest.personalize.control.resources import (
    MOST_RESOURCES,
    ControlCall,
    Operation,
    Resource,
    dates,
    tags_of,
)
from nextbest.personalize.datasets.filter_schema import filter_schema
from nextbest.personalize.protocol.arns import DATASET_GROUP, FILTER, owner_of


def create_filter(call: ControlCall) -> Mapping[str, Any]:
    program, name = group_named(call, call.request["datasetGroupArn"]), call.request["name"]
    with call.naming(FILTER, name):
        filters.create_filter(
            call.store,
            call.key,
            program.incarnation,
            name,
            call.request["filterExpression"],
            lambda: filter_schema(call.store, program, call.store.assets(program.incarnation)),
            tags=tags_of(call.request.get("tags", [])),
            now=call.now,
            most=MOST_RESOURCES[FILTER],
            owner_noun="dataset group",
        )
    return {"filterArn": call.arn(FILTER, name)}


def describe_filter(call: ControlCall) -> Mapping[str, Any]:
    resource = call.find(FILTER, "filterArn")
    return {"filter": {**_summary(call, resource), "filterExpression": resource["expression"]}}


def list_filters(call: ControlCall) -> Mapping[str, Any]:
    # The capital F is AWS's own, here alone.
    return list_of_group(call, FILTER, "Filters", _summary)


def delete_filter(call: ControlCall) -> None:
    resource = call.find(FILTER, "filterArn")
    filters.delete_filter(call.store, owner_of(resource), resource["name"])


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
