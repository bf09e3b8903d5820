"""Whether what Spark jobs run is there, and of this version."""

from __future__ import annotations

from collections.abc import Iterator

import nextbest
from nextbest.logic.health import Finding
from tools.cli.deployment import Deployment, Stack
from tools.cli.spark_archive import ARCHIVE, ENTRY_POINT, PREFIX, VERSION

_APPLICATION = "AWS::EMRServerless::Application"


def check_spark(deployment: Deployment, stack: Stack) -> Iterator[Finding]:
    """One finding for each file of the job; none where there are no Spark jobs."""
    if not stack.physical_ids(_APPLICATION):
        return
    s3 = deployment.client("s3")
    fix = f"make spark-archive; ./nextbest upload-spark --stack {stack.name}"
    for name in (ARCHIVE, ENTRY_POINT):
        try:
            stored = s3.head_object(Bucket=deployment.bucket, Key=f"{PREFIX}{name}")["Metadata"].get(VERSION, "unknown")
        except s3.exceptions.ClientError as error:
            if error.response["Error"]["Code"] != "404":
                raise
            yield Finding("Spark jobs", f"{name} is missing: every job will fail", fix)
            continue
        is_same = stored == nextbest.__version__
        yield Finding("Spark jobs", f"{name} is of version {stored}", "" if is_same else fix)
