"""A deployment: its resources, from a CloudFormation stack or from the state folder of a local stack.

OperationFailed     a command cannot go on; the message is for the user
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3

from nextbest.aws.queue import SqsQueue
from nextbest.aws.table import Table
from nextbest.store.artifacts import S3Artifacts
from nextbest.store.dead_letters import SqsDeadLetters
from nextbest.store.dynamo import DynamoStore
from nextbest.store.master_secret import PUBLIC_MASTER_SECRET

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient

_NEVER_MADE = ("CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED", "REVIEW_IN_PROGRESS")
_BEGINNINGS = ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "IMPORT_IN_PROGRESS", "DELETE_IN_PROGRESS")
_OUTPUTS = (
    *("ApiUrl", "TableName", "ArtifactBucket", "QueueUrl", "DeadLettersUrl", "FailedInvocationsUrl"),
    "MasterSecretParameter",
)


class OperationFailed(Exception):
    """A command cannot go on; the message is for the user."""


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource of a stack: its type, and the name that CloudFormation gave it."""

    kind: str
    physical_id: str


@dataclass(frozen=True, slots=True)
class Stack:
    """A stack of CloudFormation: its name, its status, and what it was deployed with."""

    name: str
    status: str
    parameters: Mapping[str, str]
    resources: tuple[Resource, ...]

    def physical_ids(self, kind: str) -> tuple[str, ...]:
        """The names of its resources of one type."""
        return tuple(resource.physical_id for resource in self.resources if resource.kind == kind)


@dataclass(frozen=True, slots=True)
class Deployment:
    """One deployment: the names of its resources, and clients for them. ``stack`` is None for a local stack."""

    url: str
    table_name: str
    bucket: str
    queue_url: str
    dead_letters_url: str
    failed_invocations_url: str
    master_secret_parameter: str
    stack: Stack | None
    session: boto3.Session
    endpoints: Mapping[str, str]

    @property
    def is_local(self) -> bool:
        """Whether this is a local stack, with engines on this machine in place of AWS."""
        return bool(self.endpoints)

    @property
    def token(self) -> str:
        """The session token of its credentials; of a local stack, what opens its doors."""
        credentials = self.session.get_credentials()
        return (credentials.token if credentials else None) or ""

    def client(self, service: str) -> Any:
        """A client of one AWS service; ``Any``, because the service is known only at run time."""
        make: Any = self.session.client
        return make(service, endpoint_url=self.endpoints.get(service))

    def master_secret(self) -> str:
        """What access keys are derived from. Raises OperationFailed where it is not stored, or is the public one."""
        if self.is_local:
            return PUBLIC_MASTER_SECRET
        client = self.client("ssm")
        try:
            response = client.get_parameter(Name=self.master_secret_parameter, WithDecryption=True)
        except client.exceptions.ParameterNotFound as error:
            raise OperationFailed(f"there is no master secret: {self._how_to_store_one()}") from error
        if response["Parameter"]["Type"] != "SecureString":
            raise OperationFailed(f"the master secret is not encrypted: {self._how_to_store_one()} --overwrite")
        secret: str = response["Parameter"]["Value"]
        if secret == PUBLIC_MASTER_SECRET:
            raise OperationFailed(
                f"the master secret is the public one of local stacks: {self._how_to_store_one()} --overwrite, "
                "and issue new keys"
            )
        return secret

    def _how_to_store_one(self) -> str:
        return (
            f"aws ssm put-parameter --type SecureString --name {self.master_secret_parameter} "
            '--value "$(openssl rand -base64 48)"'
        )

    def store(self) -> DynamoStore:
        """The store in the deployment's table."""
        return DynamoStore(Table(self.client("dynamodb"), self.table_name))

    def dead_letters(self) -> SqsDeadLetters:
        """The messages that could not be ingested."""
        return SqsDeadLetters(self.client("sqs"), self.dead_letters_url)

    def failed_invocations(self) -> SqsDeadLetters:
        """The reports of invocations that failed for good."""
        return SqsDeadLetters(self.client("sqs"), self.failed_invocations_url)

    def queue(self) -> SqsQueue:
        """The queue of events."""
        return SqsQueue(self.client("sqs"), self.queue_url)

    def artifacts(self) -> S3Artifacts:
        """The artifacts in the deployment's bucket."""
        return S3Artifacts(self.client("s3"), self.bucket)


def local_deployment(state: Path) -> Deployment:
    """The local stack that keeps its state in ``state``. Raises OperationFailed if none is running."""
    description = state / "stack.json"
    if not description.exists():
        raise OperationFailed(f"no local stack is running with the state folder {state}: `make start` starts one")
    content = json.loads(description.read_text())
    variables, queues = content["variables"], content["queues"]
    services = ("dynamodb", "s3", "sqs", "ssm", "lambda")
    session = boto3.Session(
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        aws_session_token=variables["AWS_SESSION_TOKEN"],
        region_name=variables["AWS_REGION"],
    )
    return Deployment(
        url=content["url"],
        table_name=content["tables"][0],
        bucket=next(name for name in content["buckets"] if name.startswith("artifacts")),
        queue_url=queues["Queue"],
        dead_letters_url=queues["DeadLetters"],
        failed_invocations_url=queues["FailedInvocations"],
        master_secret_parameter="",
        stack=None,
        session=session,
        endpoints={service: variables[f"AWS_ENDPOINT_URL_{service.upper()}"] for service in services},
    )


def stack_deployment(stack_name: str, session: boto3.Session) -> Deployment:
    """The deployment of a CloudFormation stack. Raises OperationFailed for others, and one that was not made."""
    cloudformation = session.client("cloudformation")
    (description,) = cloudformation.describe_stacks(StackName=stack_name)["Stacks"]
    status = description["StackStatus"]
    if status in _NEVER_MADE:
        reason = first_failure(cloudformation, stack_name)
        raise OperationFailed(
            f"the stack {stack_name} is {status}{reason and f': {reason}'}; remove the cause, then "
            f"`sam delete --stack-name {stack_name}`, and deploy again"
        )
    outputs = {output["OutputKey"]: output["OutputValue"] for output in description.get("Outputs", [])}
    missing = [name for name in _OUTPUTS if name not in outputs]
    if missing:
        raise OperationFailed(f"the stack {stack_name} has no outputs {', '.join(missing)}: is it a stack of Nextbest?")
    pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack_name)
    stack = Stack(
        name=stack_name,
        status=status,
        parameters={entry["ParameterKey"]: entry["ParameterValue"] for entry in description.get("Parameters", [])},
        resources=tuple(
            Resource(resource["ResourceType"], resource["PhysicalResourceId"])
            for page in pages
            for resource in page["StackResourceSummaries"]
            if "PhysicalResourceId" in resource
        ),
    )
    return Deployment(
        url=outputs["ApiUrl"],
        table_name=outputs["TableName"],
        bucket=outputs["ArtifactBucket"],
        queue_url=outputs["QueueUrl"],
        dead_letters_url=outputs["DeadLettersUrl"],
        failed_invocations_url=outputs["FailedInvocationsUrl"],
        master_secret_parameter=outputs["MasterSecretParameter"],
        stack=stack,
        session=session,
        endpoints={},
    )


def first_failure(cloudformation: CloudFormationClient, stack_name: str) -> str:
    """What failed first in the last deployment of a stack, and why; empty if nothing is known."""
    failure = ""
    pages = cloudformation.get_paginator("describe_stack_events").paginate(StackName=stack_name)
    # The latest comes first.
    for event in (event for page in pages for event in page["StackEvents"]):
        status = event["ResourceStatus"]
        is_stack = event.get("PhysicalResourceId") == event["StackId"]
        if is_stack and status in _BEGINNINGS:
            return failure
        if status.endswith("_FAILED") and not is_stack:
            failure = f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', status)}"
    return failure
