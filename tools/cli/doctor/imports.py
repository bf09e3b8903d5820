"""The buckets that import jobs may read: whether they are there, and the same for the function and the programs."""

from __future__ import annotations

from collections.abc import Iterator

from botocore.exceptions import ClientError

from nextbest.domain.import_locations import S3Location
from nextbest.logic.health import Finding
from tools.cli.deployment import Deployment, Stack

_PARAMETER = "ImportBucketArns"


def check_import_buckets(deployment: Deployment, stack: Stack) -> Iterator[Finding]:
    """Whether each bucket can be read, and no program was allowed a folder that the function may not read."""
    readable = {arn.rpartition(":")[2] for arn in stack.parameters.get(_PARAMETER, "").split(",") if arn}
    for bucket in sorted(readable):
        yield _bucket(deployment, bucket)
    store = deployment.store()
    for program in store.list_programs():
        named = {S3Location.parse(text).bucket for text in store.import_locations(program.incarnation)}
        for bucket in sorted(named - readable):
            state = f"may import from {bucket}, which the function may not read"
            fix = f"deploy with {_PARAMETER} that has its ARN too, or PUT /program/import_locations without it"
            yield Finding(f"program {program.program_id}", state, fix)


def _bucket(deployment: Deployment, bucket: str) -> Finding:
    subject = f"import bucket {bucket}"
    try:
        deployment.client("s3").list_objects_v2(Bucket=bucket, MaxKeys=1)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        fix = f"{_PARAMETER} names it: create it, correct the name, or let its policy allow the account to list it"
        return Finding(subject, f"cannot be listed with these credentials: {code}", fix)
    return Finding(subject, "can be listed with these credentials")
