"""Creates the template's tables, buckets, queues and master secret in the engines. What exists is left as it is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

import boto3
from botocore.config import Config

from nextbest.aws.table import Table
from nextbest.store.dynamo import DynamoStore
from tools.local.engines import CREDENTIALS, REGION, Engines
from tools.local.key import IMPORT_BUCKET, MASTER_SECRET
from tools.local.template import Application, Properties

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

_TABLE_PROPERTIES = (
    "AttributeDefinitions",
    "KeySchema",
    "BillingMode",
    "GlobalSecondaryIndexes",
    "LocalSecondaryIndexes",
    "StreamSpecification",
)
_CLIENT_ARGUMENTS: dict[str, Any] = {
    "region_name": REGION,
    **{name.lower(): value for name, value in CREDENTIALS.items()},
    "config": Config(retries={"mode": "standard", "max_attempts": 3}, s3={"addressing_style": "path"}),
}


def create_resources(application: Application, engines: Engines) -> None:
    """Create the application's tables, buckets and queues, and what local stacks have besides: a bucket, the secret."""
    dynamodb = dynamodb_client(engines)
    for name, properties in application.tables.items():
        _create_table(dynamodb, name, properties)
    s3 = s3_client(engines)
    for name, properties in application.buckets.items():
        _create_bucket(s3, name, properties)
    _create_bucket(s3, IMPORT_BUCKET, {})
    sqs = sqs_client(engines)
    # A dead-letter queue has to exist before the queues that refer to it.
    for name, properties in sorted(application.queues.items(), key=lambda item: "RedrivePolicy" in item[1]):
        sqs.create_queue(QueueName=name, Attributes=cast(Any, _queue_attributes(properties)))
    _store_master_secret(application, engines)


def _store_master_secret(application: Application, engines: Engines) -> None:
    """Put the public master secret of local stacks where the functions look for it."""
    names = {function.variables.get("MASTER_SECRET_PARAMETER") for function in application.functions} - {None}
    client = boto3.client("ssm", endpoint_url=engines.ssm_url, **_CLIENT_ARGUMENTS)
    for name in names:
        client.put_parameter(Name=name, Value=MASTER_SECRET, Type="SecureString", Overwrite=True)


def open_store(application: Application, engines: Engines) -> DynamoStore:
    """The store in the application's one table."""
    (table,) = application.tables
    return DynamoStore(Table(dynamodb_client(engines), table))


def dynamodb_client(engines: Engines) -> DynamoDBClient:
    return boto3.client("dynamodb", endpoint_url=engines.dynamodb_url, **_CLIENT_ARGUMENTS)


def s3_client(engines: Engines) -> S3Client:
    return boto3.client("s3", endpoint_url=engines.s3_url, **_CLIENT_ARGUMENTS)


def sqs_client(engines: Engines) -> SQSClient:
    return boto3.client("sqs", endpoint_url=engines.sqs_url, **_CLIENT_ARGUMENTS)


def _create_table(dynamodb: DynamoDBClient, name: str, properties: Properties) -> None:
    if name in dynamodb.list_tables()["TableNames"]:
        return
    settings: Any = {key: properties[key] for key in _TABLE_PROPERTIES if key in properties}
    if "StreamSpecification" in settings:
        # The API requires this member, which CloudFormation implies.
        settings["StreamSpecification"] = {"StreamEnabled": True, **settings["StreamSpecification"]}
    dynamodb.create_table(TableName=name, **settings)
    dynamodb.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    if "TimeToLiveSpecification" in properties:
        dynamodb.update_time_to_live(TableName=name, TimeToLiveSpecification=properties["TimeToLiveSpecification"])


def _create_bucket(s3: S3Client, name: str, properties: Properties) -> None:
    if name not in {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}:
        s3.create_bucket(Bucket=name)
    if "VersioningConfiguration" in properties:
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration=properties["VersioningConfiguration"])


def _queue_attributes(properties: Properties) -> dict[str, str]:
    names = ("VisibilityTimeout", "MessageRetentionPeriod", "ReceiveMessageWaitTimeSeconds", "DelaySeconds")
    attributes = {name: str(properties[name]) for name in names if name in properties}
    if "RedrivePolicy" in properties:
        attributes["RedrivePolicy"] = json.dumps(properties["RedrivePolicy"])
    return attributes


def end_leases(store: DynamoStore) -> None:
    """Let nothing wait for trainings that ended with the stack that ran them; what waited begins with the next one."""
    incarnations = [state.program.incarnation for state in store.program_states(store.program_ids())]
    for incarnation, lease in store.leases(incarnations).items():
        store.release_lease(incarnation, lease.holder)
