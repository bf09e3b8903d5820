"""Schemas: CreateSchema, DescribeSchema, ListSchemas, DeleteSchema. They belong to no dataset group.

A schema is seen by the keys of the programs that the key which made it opens, and by operators.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nextbest.domain.access_keys import ADMIN, AccessKey
from nextbest.domain.programs import Incarnation
from nextbest.errors import Forbidden, InUse, InvalidInput
from nextbest.personalize.control.resources import ControlCall, Operation, Resource, dates, page
from nextbest.personalize.datasets.schema import parse_schema
from nextbest.personalize.protocol.arns import DATASET, SCHEMA, missing, name_in, stored_kind


def create_schema(call: ControlCall) -> Mapping[str, Any]:
    _require_admin(call)
    dataset_type, schema = parse_schema(call.request["schema"])
    if "domain" in call.request and dataset_type.startswith("ACTION"):
        raise InvalidInput("Schemas for actions cannot belong to a domain", field="domain")
    members = {
        "schema": call.request["schema"],
        "dataset_type": dataset_type,
        "fields": schema.to_json(),
        "owners": list(call.key.programs),
        "domain": call.request.get("domain"),
    }
    call.create(SCHEMA, call.request["name"], Incarnation(""), members)
    return {"schemaArn": call.arn(SCHEMA, call.request["name"])}


def describe_schema(call: ControlCall) -> Mapping[str, Any]:
    schema = schema_named(call, call.request["schemaArn"])
    return {"schema": {**_summary(call, schema), "schema": schema["schema"]}}


def list_schemas(call: ControlCall) -> Mapping[str, Any]:
    _require_admin(call)
    return page(call, _visible(call), "schemas", lambda row: _summary(call, row))


def delete_schema(call: ControlCall) -> None:
    schema = schema_named(call, call.request["schemaArn"])
    for dataset in call.store.list_resources(stored_kind(DATASET)):
        if dataset["schema"] == schema["name"]:
            raise InUse(f"The schema is in use by the dataset {call.arn(DATASET, dataset['name'])}")
    call.delete(SCHEMA, schema)


def schema_named(call: ControlCall, arn: str) -> Resource:
    """The schema that an ARN names. Raises InvalidInput, NotFound, Forbidden."""
    schema = call.store.resource(stored_kind(SCHEMA), name_in(arn, SCHEMA, field="schemaArn"))
    if schema is None or not _owns(call.key, schema):
        raise missing(arn)
    _require_admin(call)
    return schema


def _visible(call: ControlCall) -> Iterator[Resource]:
    return (row for row in call.store.list_resources(stored_kind(SCHEMA)) if _owns(call.key, row))


def _owns(key: AccessKey, schema: Resource) -> bool:
    return not key.programs or any(map(key.opens, schema["owners"]))


def _require_admin(call: ControlCall) -> None:
    if not call.key.allows(ADMIN):
        raise Forbidden(f"the access key lacks the scope {ADMIN}")


def _summary(call: ControlCall, schema: Resource) -> dict[str, Any]:
    domain = {"domain": schema["domain"]} if schema["domain"] else {}
    return {"name": schema["name"], "schemaArn": call.arn(SCHEMA, schema["name"]), **domain, **dates(schema)}


OPERATIONS: dict[str, Operation] = {
    "CreateSchema": create_schema,
    "DescribeSchema": describe_schema,
    "ListSchemas": list_schemas,
    "DeleteSchema": delete_schema,
}
