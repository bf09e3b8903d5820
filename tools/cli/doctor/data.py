"""The table and the bucket: whether what is in them is safe."""

from __future__ import annotations

import json
from collections.abc import Iterator

from botocore.exceptions import ClientError

from nextbest.logic.health import Finding
from tools.cli.deployment import Deployment
from tools.cli.doctor.policies import refuses_plain_http


def check_table(deployment: Deployment) -> Iterator[Finding]:
    """Whether the table is there, cannot be deleted by mistake, and can be restored."""
    dynamodb = deployment.client("dynamodb")
    table = dynamodb.describe_table(TableName=deployment.table_name)["Table"]
    status = table["TableStatus"]
    fix = "" if status == "ACTIVE" else "wait until it is ACTIVE, or restore it from a backup"
    yield Finding("table", f"{deployment.table_name} is {status}", fix)
    if deployment.is_local:
        return
    protected = table.get("DeletionProtectionEnabled", False)
    fix = "" if protected else "deploy again, or turn it on: without it all data can be deleted by mistake"
    yield Finding("table", f"deletion protection: {protected}", fix)
    backups = dynamodb.describe_continuous_backups(TableName=deployment.table_name)["ContinuousBackupsDescription"]
    recovery = backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"]
    fix = "" if recovery == "ENABLED" else "deploy again: without it a mistake cannot be undone"
    yield Finding("table", f"point-in-time recovery: {recovery}", fix)


def check_bucket(deployment: Deployment) -> Iterator[Finding]:
    """Whether the bucket keeps old versions, is closed to the public, and refuses plain HTTP."""
    s3 = deployment.client("s3")
    versioning = s3.get_bucket_versioning(Bucket=deployment.bucket).get("Status", "off")
    fix = "" if versioning == "Enabled" else "deploy again: without versioning deleted artifacts cannot be restored"
    yield Finding("bucket", f"{deployment.bucket}, versioning {versioning}", fix)
    if deployment.is_local:
        return
    block = s3.get_public_access_block(Bucket=deployment.bucket)["PublicAccessBlockConfiguration"]
    fix = "" if all(block.values()) else "deploy again, or turn on Block Public Access for the bucket"
    yield Finding("bucket", f"public access blocked: {all(block.values())}", fix)
    try:
        policy = json.loads(s3.get_bucket_policy(Bucket=deployment.bucket)["Policy"])
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchBucketPolicy":
            raise
        policy = {}
    encrypted = refuses_plain_http(policy, "s3:*")
    fix = "" if encrypted else "deploy again: its policy lets requests through that are not encrypted"
    yield Finding("bucket", f"reached over TLS only: {encrypted}", fix)
