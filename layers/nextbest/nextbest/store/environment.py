"""The deployment that the environment variables name: made once per process, at import of a function.

No connection is made and no credential fetched before the first request, so a snapshot of the process (SnapStart) holds
nothing that goes stale. botocore is imported on first use; hot reads do not use it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

from nextbest.aws.clients import dynamodb_client, lazily, s3_client, shared_session, ssm_client
from nextbest.aws.direct_reads import TIMEOUT_SECONDS, DirectTable, DirectWrites, Endpoint
from nextbest.aws.sigv4 import AwsCredentials
from nextbest.store.artifacts import DirectArtifacts
from nextbest.store.dynamo import DynamoStore
from nextbest.store.master_secret import StoredSecret

if TYPE_CHECKING:
    from botocore.credentials import Credentials as SdkCredentials

    from nextbest.aws.spark_jobs import SparkJobs
    from nextbest.store.table_export import TableExports


_WRITE_SECONDS = 2.0
"""As long as the SDK waits for an answer: what is given up and repeated counts as a duplicate."""

_PATIENT_SECONDS = 5.0


def open_store(*, clock: Callable[[], float]) -> DynamoStore:
    """The store in the table TABLE_NAME. ``clock`` gives seconds since 1970.

    SCAN_SEGMENT_ITEMS, which local stacks set, divides scans of the table into segments of about so many items.
    """
    endpoint = _endpoint("dynamodb", clock)
    items = int(os.environ.get("SCAN_SEGMENT_ITEMS", "0"))
    return DynamoStore(
        DirectTable(lazily(dynamodb_client), os.environ["TABLE_NAME"], endpoint, items_per_segment=items)
    )


def open_store_for_events(*, clock: Callable[[], float]) -> DynamoStore:
    """The same, for storing events that somebody waits for."""
    endpoint = _endpoint("dynamodb", clock, timeout_seconds=_WRITE_SECONDS)
    return DynamoStore(DirectWrites(lazily(dynamodb_client), os.environ["TABLE_NAME"], endpoint))


def open_store_for_files(*, clock: Callable[[], float]) -> DynamoStore:
    """The same, for storing many events at once: nobody waits, and an insert that is repeated counts as a duplicate."""
    endpoint = _endpoint("dynamodb", clock, timeout_seconds=_PATIENT_SECONDS)
    return DynamoStore(DirectWrites(lazily(dynamodb_client), os.environ["TABLE_NAME"], endpoint))


def open_artifacts(*, clock: Callable[[], float]) -> DirectArtifacts:
    """The artifacts in the bucket ARTIFACT_BUCKET."""
    return DirectArtifacts(lazily(s3_client), os.environ["ARTIFACT_BUCKET"], _endpoint("s3", clock))


def open_master_secret(*, clock: Callable[[], float]) -> StoredSecret:
    """The secret in the parameter MASTER_SECRET_PARAMETER."""
    name = os.environ["MASTER_SECRET_PARAMETER"]
    return StoredSecret(name, _endpoint("ssm", clock), lazily(ssm_client), clock=clock)


def open_table_exports() -> TableExports:
    """Exports of the table TABLE_NAME, whose ARN is TABLE_ARN, to the bucket ARTIFACT_BUCKET."""
    from nextbest.aws.table import Table
    from nextbest.store.table_export import TableExports

    table = Table(dynamodb_client(), os.environ["TABLE_NAME"])
    return TableExports(table, os.environ["TABLE_ARN"], s3_client(), os.environ["ARTIFACT_BUCKET"])


_OF_SPARK_JOBS = (
    *("ARTIFACT_BUCKET", "AWS_ENDPOINT_URL", "AWS_REGION", "LOG_LEVEL", "METRICS_NAMESPACE", "STAGE"),
    *("TABLE_ARN", "TABLE_NAME", "URL_SUFFIX"),
)
"""The variables of the function ``rebase`` that a Spark job gets too."""


def open_spark_jobs() -> SparkJobs:
    """The jobs of the application SPARK_APPLICATION_ID, with their code in the folder ``spark/`` of the bucket."""
    from nextbest.aws.clients import emr_serverless_client
    from nextbest.aws.spark_jobs import SparkApplication, SparkJobs

    variables = os.environ
    application = SparkApplication(
        application_id=variables["SPARK_APPLICATION_ID"],
        role_arn=variables["SPARK_JOB_ROLE_ARN"],
        log_group=variables["SPARK_LOG_GROUP"],
        folder=f"s3://{variables['ARTIFACT_BUCKET']}/spark/",
    )
    return SparkJobs(emr_serverless_client(), application)


def variables_of_spark_jobs() -> dict[str, str]:
    """The environment of a Spark job: where the deployment is, and the function that starts what waited for the job."""
    variables = {name: os.environ[name] for name in _OF_SPARK_JOBS if os.environ.get(name)}
    return {**variables, "REBASE_FUNCTION_NAME": os.environ["AWS_LAMBDA_FUNCTION_NAME"]}


def _endpoint(service: str, clock: Callable[[], float], *, timeout_seconds: float = TIMEOUT_SECONDS) -> Endpoint:
    """The endpoint of a service, from the variables that every SDK reads; URL_SUFFIX is the partition's."""
    region = os.environ["AWS_REGION"]
    url = (
        os.environ.get(f"AWS_ENDPOINT_URL_{service.upper()}")
        or os.environ.get("AWS_ENDPOINT_URL")
        or f"https://{service}.{region}.{os.environ.get('URL_SUFFIX', 'amazonaws.com')}"
    )
    if os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start":
        # Credentials will have to be fetched after the restore: keep what fetches them in the snapshot.
        shared_session()
    return Endpoint(service, url, region, current_credentials, clock, timeout_seconds=timeout_seconds)


def current_credentials() -> AwsCredentials:
    """Those in the environment, which stay valid as long as it exists; otherwise those that the SDK finds and renews.

    A function that was restored from a snapshot gets no keys from Lambda, but a URL to fetch them from. Raises
    NoCredentialsError.
    """
    variables = os.environ
    if "AWS_SECRET_ACCESS_KEY" in variables and "AWS_CONTAINER_CREDENTIALS_FULL_URI" not in variables:
        token = variables.get("AWS_SESSION_TOKEN", "")
        return AwsCredentials(variables["AWS_ACCESS_KEY_ID"], variables["AWS_SECRET_ACCESS_KEY"], token)
    credentials = _sdk_credentials().get_frozen_credentials()
    return AwsCredentials(credentials.access_key or "", credentials.secret_key or "", credentials.token or "")


@cache
def _sdk_credentials() -> SdkCredentials:
    from botocore.exceptions import NoCredentialsError

    credentials = shared_session().get_credentials()
    if credentials is None:
        raise NoCredentialsError
    return credentials
