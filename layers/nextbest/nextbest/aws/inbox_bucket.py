"""The objects of an inbox in S3: described, downloaded, written and moved."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_PIECE_BYTES = 1 << 20
_MISSING = frozenset({"404", "NoSuchKey", "NotFound"})


class S3InboxBucket:
    """One bucket. Methods raise ClientError where S3 refuses a call."""

    def __init__(self, client: S3Client, name: str) -> None:
        self._client = client
        self._name = name

    def describe(self, key: str) -> tuple[str, int] | None:
        """The entity tag, without quotes, and the size in bytes of an object; None where there is none."""
        try:
            response = self._client.head_object(Bucket=self._name, Key=key)
        except ClientError as error:
            if error.response["Error"]["Code"] in _MISSING:
                return None
            raise
        return response["ETag"].strip('"'), response["ContentLength"]

    def download(self, key: str, etag: str, path: Path) -> bool:
        """Write an object to a file, piece by piece; False where it is no longer the one with this entity tag."""
        response = self._client.get_object(Bucket=self._name, Key=key)
        if response["ETag"].strip('"') != etag:
            response["Body"].close()
            return False
        with path.open("wb") as file:
            for piece in response["Body"].iter_chunks(_PIECE_BYTES):
                file.write(piece)
        return True

    def read(self, key: str) -> bytes | None:
        """An object's content; None where there is none."""
        try:
            return self._client.get_object(Bucket=self._name, Key=key)["Body"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] in _MISSING:
                return None
            raise

    def write(self, key: str, content: bytes) -> None:
        """Put a JSON document."""
        self._client.put_object(Bucket=self._name, Key=key, Body=content, ContentType="application/json")

    def move(self, key: str, to: str) -> None:
        """Copy an object, then delete it: an interruption leaves it where it was."""
        self._client.copy_object(Bucket=self._name, Key=to, CopySource={"Bucket": self._name, "Key": key})
        self._client.delete_object(Bucket=self._name, Key=key)
