"""The deployment that the environment variables name: made once per process, at import of a function."""

from __future__ import annotations

import os

from nextbest.store.artifacts import S3Artifacts
from nextbest.store.clients import dynamodb_client, s3_client
from nextbest.store.dynamo import DynamoStore
from nextbest.store.table import Table


def open_store() -> DynamoStore:
    """The store in the table TABLE_NAME."""
    return DynamoStore(Table(dynamodb_client(), os.environ["TABLE_NAME"]))


def open_artifacts() -> S3Artifacts:
    """The artifacts in the bucket ARTIFACT_BUCKET."""
    return S3Artifacts(s3_client(), os.environ["ARTIFACT_BUCKET"])
