"""Schemas: CreateSchema, DescribeSchema, ListSchemas, DeleteSchema. They belong to no dataset group.

A schema belongs to each of the programs that the key which made it names, and so to the holders of all their keys; what
an operator makes belongs to the deployment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nextbest.domain.access_keys import ADMIN
from nextbest.domain.programs import Incarnation
from nextbest.errors import Forbidden, InUse
from nextbest.personalize.control.implicit import IMPLICIT, schema_text
from nextbest.personalize.control.recipes import refuse_domain
from nextbest.personalize.control.resources import ControlCall, Operation, Resource, dates, page
from nextbest.personalize.datasets.schema import parse_schema
from nextbest.personalize.protocol.arns import DATASET, SCHEMA, missing, name_in, owner_of
from nextbest.store.base import DEPLOYMENT


def create_schema(call: ControlCall) -> Mapping[str, Any]:
    _require_admin(call)
    refuse_domain(call)
    dataset_type, schema = parse_schema(call.request["schema"])
    members = {
        "schema": call.request["schema"],
        "dataset_type": dataset_type,
        "fields": schema.to_json(),
    }
    name, owners = call.request["name"], _owners(call)
    call.require_free(SCHEMA, name, owners)
    for owner in owners:
        call.add(SCHEMA, name, owner, members)
    return {"schemaArn": call.arn(SCHEMA, name)}


def describe_schema(call: ControlCall) -> Mapping[str, Any]:
    arn = call.request["schemaArn"]
    name = name_in(arn, SCHEMA, field="schemaArn")
    if "/" in name:  # that of an implicit dataset, which is named like it
        dataset = call.find_named(DATASET, name, arn)
        if not dataset.get(IMPLICIT):
            raise missing(arn)
        program = call.program(dataset["program_id"], arn=arn).program
        text = schema_text(call.store, program, dataset["dataset_type"])
        return {"schema": {**_summary(call, dataset), "schema": text}}
    schema = schema_named(call, arn)
    return {"schema": {**_summary(call, schema), "schema": schema["schema"]}}


def list_schemas(call: ControlCall) -> Mapping[str, Any]:
    _require_admin(call)
    by_name = {row["name"]: row for row in call.store.list_resources(_owners(call), SCHEMA)}
    by_name |= {row["name"]: row for row in call.listed(DATASET) if row.get(IMPLICIT)}
    return page(call, by_name.values(), "schemas", lambda row: _summary(call, row))


def delete_schema(call: ControlCall) -> None:
    schema = schema_named(call, call.request["schemaArn"])
    copies = [schema] if call.key.opens_every_program else _own(call, schema["name"])
    owners = [owner_of(copy) for copy in copies]
    for dataset in call.resources(DATASET):
        if dataset["schema"] == schema["name"] and dataset["schema_owner"] in owners:
            raise InUse(f"The schema is in use by the dataset {call.arn(DATASET, dataset['name'])}")
    for copy in copies:
        call.delete(SCHEMA, copy)


def schema_named(call: ControlCall, arn: str, *, within: Incarnation | None = None) -> Resource:
    """The schema that an ARN names: the caller's own, of the program ``within`` where several have it.

    An operator may also name a program's. Raises InvalidInput, NotFound, Forbidden.
    """
    name = name_in(arn, SCHEMA, field="schemaArn")
    own = _own(call, name)
    if not own and call.key.opens_every_program:
        return call.find_named(SCHEMA, name, arn, within=within)
    if not own:
        raise missing(arn)
    _require_admin(call)
    return next((schema for schema in own if owner_of(schema) == within), own[0])


def _own(call: ControlCall, name: str) -> list[Resource]:
    """The caller's own schemas of this name."""
    return call.resources_named(SCHEMA, name, _owners(call))


def _owners(call: ControlCall) -> Sequence[Incarnation]:
    """Where the caller's own schemas are."""
    return [DEPLOYMENT] if call.key.opens_every_program else call.key.programs


def _require_admin(call: ControlCall) -> None:
    if not call.key.allows(ADMIN):
        raise Forbidden(f"the access key lacks the scope {ADMIN}")


def _summary(call: ControlCall, schema: Resource) -> dict[str, Any]:
    return {"name": schema["name"], "schemaArn": call.arn(SCHEMA, schema["name"]), **dates(schema)}


OPERATIONS: dict[str, Operation] = {
    "CreateSchema": create_schema,
    "DescribeSchema": describe_schema,
    "ListSchemas": list_schemas,
    "DeleteSchema": delete_schema,
}
