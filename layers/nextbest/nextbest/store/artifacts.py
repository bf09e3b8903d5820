"""Immutable, versioned files in S3: models and catalogues."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from botocore.exceptions import ClientError

from nextbest.errors import ArtifactError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from nextbest.aws.direct_reads import Endpoint


class S3Artifacts:
    """Artifacts in one bucket. Implements ``base.ArtifactStore``."""

    def __init__(self, client: S3Client, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def put(self, key: str, data: bytes) -> None:
        """Write one artifact. Keys contain a version, so an artifact is never overwritten with another."""
        self._client.put_object(Bucket=self._bucket, Key=key, Body=data)

    def get(self, key: str) -> bytes:
        """Read one artifact. Raises ArtifactError when it does not exist."""
        try:
            return self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] in ("NoSuchKey", "404"):
                raise ArtifactError(f"artifact {key} does not exist") from error
            raise

    def names(self, prefix: str) -> list[str]:
        """The keys that begin with ``prefix``, in their order."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    def delete_all(self, prefix: str, *, before: str | None = None) -> int:
        """Delete every artifact whose key begins with ``prefix``, with all its versions; the number deleted.

        With ``before`` only those whose keys sort before it.
        """
        count = 0
        for page in self._client.get_paginator("list_object_versions").paginate(Bucket=self._bucket, Prefix=prefix):
            for version in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
                if before is not None and version["Key"] >= before:
                    continue
                self._client.delete_object(Bucket=self._bucket, Key=version["Key"], VersionId=version["VersionId"])
                count += 1
        return count


class DirectArtifacts(S3Artifacts):
    """Artifacts that are read without the SDK, and with it where that fails."""

    def __init__(self, client: S3Client, bucket: str, endpoint: Endpoint) -> None:
        super().__init__(client, bucket)
        self._endpoint = endpoint

    def get(self, key: str) -> bytes:
        """Read one artifact. Raises ArtifactError when it does not exist."""
        response = self._endpoint.send("GET", f"/{self._bucket}/{quote(key, safe='/~')}", {})
        return response.content if response is not None else super().get(key)
