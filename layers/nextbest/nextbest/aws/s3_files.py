"""Files to import: CSV objects in S3, read as text streams, piece by piece and never as a whole."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Protocol, TextIO

from botocore.exceptions import ClientError

from nextbest.errors import InvalidInput

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client

_BUFFER_BYTES = 1 << 20
# What whoever names or owns the files can put right: they are missing, locked, archived, or in another region.
_THEIR_OWN = {
    *("NoSuchKey", "NoSuchBucket", "NoSuchVersion", "AccessDenied", "AllAccessDisabled", "InvalidObjectState"),
    *("MethodNotAllowed", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "PermanentRedirect"),
    *("301", "400", "403", "404"),
}


class ImportSource(Protocol):
    """Where the files of an import come from."""

    def files(self, bucket: str, key: str) -> Iterator[tuple[str, TextIO]]:
        """Each file at a location: its name, and its text. Raises InvalidInput where there is none."""
        ...


class S3Files:
    """Files in S3. A key that is empty or ends in ``/`` is a folder: its files, but not those of folders within."""

    def __init__(self, client: S3Client) -> None:
        self._client = client

    def files(self, bucket: str, key: str) -> Iterator[tuple[str, TextIO]]:
        """Each file at ``s3://bucket/key``: its name, and its text. Raises InvalidInput where there is none."""
        keys = self._folder(bucket, key) if not key or key.endswith("/") else iter((key,))
        empty = True
        for name in keys:
            empty = False
            with closing(self._open(bucket, name)) as body:
                # "utf-8-sig" also reads files that begin with a byte order mark.
                yield name, io.TextIOWrapper(io.BufferedReader(body, _BUFFER_BYTES), "utf-8-sig", newline="")
        if empty:
            raise InvalidInput(f"Invalid Data location: there is no file in s3://{bucket}/{key}")

    def _folder(self, bucket: str, prefix: str) -> Iterator[str]:
        try:
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, Delimiter="/")
            for page in pages:
                names = (entry["Key"].removeprefix(prefix) for entry in page.get("Contents", []))
                yield from (prefix + name for name in names if name and "/" not in name)
        except ClientError as error:
            raise _unreadable(f"s3://{bucket}/{prefix}", error) from error

    def _open(self, bucket: str, key: str) -> _Body:
        try:
            return _Body(self._client.get_object(Bucket=bucket, Key=key)["Body"])
        except ClientError as error:
            raise _unreadable(f"s3://{bucket}/{key}", error) from error


def _unreadable(location: str, error: ClientError) -> Exception:
    """InvalidInput for what the caller can fix; any other error unchanged."""
    code = error.response["Error"]["Code"]
    if code in _THEIR_OWN or code.startswith("KMS."):
        return InvalidInput(f"Invalid Data location: {location} cannot be read ({code})")
    return error


class _Body(io.RawIOBase):
    """botocore's stream of a body as a raw stream of Python's io, which then buffers and decodes it."""

    def __init__(self, body: StreamingBody) -> None:
        super().__init__()
        self._body = body

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # io calls it with a memoryview
        piece = self._body.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        if not self.closed:
            self._body.close()
        super().close()
