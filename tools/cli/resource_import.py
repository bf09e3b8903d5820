"""A stack made of the table and the bucket that a deleted stack left behind: CloudFormation's import of resources.

A change set that imports resources may do nothing else, and its template may hold nothing else. So this makes a stack
of these two; the next deployment adds all the others.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import WaiterError
from samcli.yamlhelper import yaml_parse

from tools.cli.deployment import OperationFailed, first_failure

if TYPE_CHECKING:
    from mypy_boto3_cloudformation.type_defs import ParameterTypeDef

_TEMPLATE = Path(__file__).resolve().parents[2] / "template.yaml"
_CHANGE_SET = "import-table-and-bucket"
TABLE, BUCKET = "Table", "Artifacts"
"""Their logical ids in the template."""


def import_resources(session: boto3.Session, stack_name: str, *, table: str, bucket: str) -> None:
    """Make a stack of an existing table and an existing bucket. Raises OperationFailed if CloudFormation refuses."""
    cloudformation = session.client("cloudformation")
    template = retained_part(yaml_parse(_TEMPLATE.read_text()))
    encryption = session.client("dynamodb").describe_table(TableName=table)["Table"].get("SSEDescription", {})
    values = {"TableEncryption": "AWS_MANAGED" if encryption.get("SSEType") == "KMS" else "AWS_OWNED"}
    parameters: list[ParameterTypeDef] = [
        {"ParameterKey": name, "ParameterValue": value} for name, value in values.items()
    ]
    cloudformation.create_change_set(
        StackName=stack_name,
        ChangeSetName=_CHANGE_SET,
        ChangeSetType="IMPORT",
        TemplateBody=json.dumps(template),
        Parameters=parameters,
        ResourcesToImport=[
            {
                "LogicalResourceId": TABLE,
                "ResourceType": template["Resources"][TABLE]["Type"],
                "ResourceIdentifier": {"TableName": table},
            },
            {
                "LogicalResourceId": BUCKET,
                "ResourceType": template["Resources"][BUCKET]["Type"],
                "ResourceIdentifier": {"BucketName": bucket},
            },
        ],
    )
    try:
        cloudformation.get_waiter("change_set_create_complete").wait(StackName=stack_name, ChangeSetName=_CHANGE_SET)
        cloudformation.execute_change_set(StackName=stack_name, ChangeSetName=_CHANGE_SET)
        cloudformation.get_waiter("stack_import_complete").wait(StackName=stack_name)
    except WaiterError as error:
        # The next try takes its name.
        cloudformation.delete_change_set(StackName=stack_name, ChangeSetName=_CHANGE_SET)
        reason = error.last_response.get("StatusReason") or first_failure(cloudformation, stack_name)
        raise OperationFailed(f"the import into {stack_name} failed: {reason or error}") from error


def retained_part(template: dict[str, Any]) -> dict[str, Any]:
    """Of our template, the table and the bucket, and what these refer to."""
    resources = {name: template["Resources"][name] for name in (TABLE, BUCKET)}
    conditions = _named(template["Conditions"], resources)
    parameters = _named(template["Parameters"], [resources, conditions])
    return {
        "AWSTemplateFormatVersion": template["AWSTemplateFormatVersion"],
        "Description": template["Description"],
        "Parameters": parameters,
        "Conditions": conditions,
        "Resources": resources,
    }


def _named(declared: dict[str, Any], document: object) -> dict[str, Any]:
    """Those of the declared names that occur in the document."""
    words = set(_words(document))
    return {name: value for name, value in declared.items() if name in words}


def _words(value: object) -> list[str]:
    if isinstance(value, dict):
        return [word for entry in value.values() for word in _words(entry)]
    if isinstance(value, list):
        return [word for entry in value for word in _words(entry)]
    return [value] if isinstance(value, str) else []
