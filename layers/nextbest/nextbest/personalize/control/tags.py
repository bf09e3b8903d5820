"""Tags of resources: TagResource, UntagResource, ListTagsForResource."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nextbest.errors import InvalidInput
from nextbest.personalize.control.resources import ControlCall, Operation, Resource, check_tags, tags_of
from nextbest.personalize.protocol.arns import (
    CAMPAIGN,
    DATASET,
    DATASET_GROUP,
    EVENT_TRACKER,
    FILTER,
    IMPORT_JOB,
    SCHEMA,
    SOLUTION,
    VERSION,
    missing,
    split_arn,
)

_TAGGED = (DATASET_GROUP, DATASET, IMPORT_JOB, EVENT_TRACKER, SOLUTION, CAMPAIGN, FILTER)


def tag_resource(call: ControlCall) -> Mapping[str, Any]:
    kind, resource = _find(call)
    tags = {**resource["tags"], **tags_of(call.request["tags"])}
    check_tags(tags)
    call.change(kind, resource, tags=tags)
    return {}


def untag_resource(call: ControlCall) -> Mapping[str, Any]:
    kind, resource = _find(call)
    dropped = set(call.request["tagKeys"])
    call.change(kind, resource, tags={key: value for key, value in resource["tags"].items() if key not in dropped})
    return {}


def list_tags_for_resource(call: ControlCall) -> Mapping[str, Any]:
    _, resource = _find(call)
    return {"tags": [{"tagKey": key, "tagValue": value} for key, value in resource["tags"].items()]}


def _find(call: ControlCall) -> tuple[str, Resource]:
    kind, name = split_arn(call.request["resourceArn"], field="resourceArn")
    if kind == SCHEMA:
        raise InvalidInput("Schemas cannot be tagged", field="resourceArn")
    if kind not in _TAGGED:
        raise missing(call.request["resourceArn"])
    kind = VERSION if kind == SOLUTION and "/" in name else kind
    resource = call.find_named(kind, name, call.request["resourceArn"])
    if "tags" not in resource:  # nobody created it
        raise missing(call.request["resourceArn"])
    return kind, resource


OPERATIONS: dict[str, Operation] = {
    "TagResource": tag_resource,
    "UntagResource": untag_resource,
    "ListTagsForResource": list_tags_for_resource,
}
