"""Immutable, versioned files in S3: models, catalogues, segments."""

from __future__ import annotations

import io
from collections.abc import Container, Iterator, Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

from botocore.exceptions import ClientError

from nextbest.aws.parallel import in_parallel
from nextbest.errors import ArtifactError
from nextbest.store.base import ByteRange

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import GetObjectRequestTypeDef

    from nextbest.aws.direct_reads import Endpoint


_CHUNK_BYTES = 8 << 20
_CHUNKS_AT_ONCE = 3
_MISSING = ("NoSuchKey", "404", "InvalidRange")


class S3Artifacts:
    """Artifacts in one bucket. Implements ``base.ArtifactStore``."""

    def __init__(self, client: S3Client, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def put(self, key: str, data: bytes) -> None:
        """Write one artifact. Keys contain a version, so an artifact is never overwritten with another."""
        self._client.put_object(Bucket=self._bucket, Key=key, Body=data)

    def put_stream(self, key: str, pieces: Iterator[bytes], *, content_type: str, filename: str) -> None:
        """Write one artifact of any size, of which a few megabytes are in memory at a time, for people to download."""
        # Imported late: few requests write a file.
        from boto3.s3.transfer import TransferConfig, create_transfer_manager

        config = TransferConfig(
            multipart_threshold=_CHUNK_BYTES, multipart_chunksize=_CHUNK_BYTES, max_concurrency=_CHUNKS_AT_ONCE
        )
        with create_transfer_manager(self._client, config) as manager:
            stream = io.BufferedReader(_Pieces(pieces))
            headers = {"ContentType": content_type, "ContentDisposition": f'attachment; filename="{filename}"'}
            manager.upload(stream, self._bucket, key, headers).result()

    def get(self, key: str) -> bytes:
        """Read one artifact. Raises ArtifactError when it does not exist."""
        return self._get(key)

    def get_ranges(self, ranges: Sequence[ByteRange]) -> list[bytes]:
        """The bytes of ranges, in order; several are read at once. Raises ArtifactError where they are not there."""
        return in_parallel(self._get_range, ranges)

    def _get_range(self, part: ByteRange) -> bytes:
        if not part.count:
            return b""
        content = self._get(part.key, f"bytes={part.begin}-{part.begin + part.count - 1}")
        if len(content) != part.count:
            raise ArtifactError(f"artifact {part.key} ends before byte {part.begin + part.count}")
        return content

    def _get(self, key: str, byte_range: str = "") -> bytes:
        request: GetObjectRequestTypeDef = {"Bucket": self._bucket, "Key": key}
        if byte_range:
            request["Range"] = byte_range
        try:
            return self._client.get_object(**request)["Body"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] in _MISSING:
                raise ArtifactError(f"artifact {key} does not exist, or ends earlier") from error
            raise

    def download_url(self, key: str, *, seconds: int) -> str:
        """A URL from which anybody can read one artifact, for so many seconds."""
        place = {"Bucket": self._bucket, "Key": key}
        return self._client.generate_presigned_url("get_object", Params=place, ExpiresIn=seconds)

    def names(self, prefix: str) -> list[str]:
        """The keys that begin with ``prefix``, in their order."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    def delete_all(self, prefix: str, *, before: str | None = None, keep: Container[str] = ()) -> int:
        """Delete every artifact whose key begins with ``prefix``, with all its versions; the number deleted.

        With ``before`` only those whose keys sort before it; those in ``keep`` stay.
        """
        pages = self._client.get_paginator("list_object_versions").paginate(Bucket=self._bucket, Prefix=prefix)
        doomed = [
            (version["Key"], version["VersionId"])
            for page in pages
            for version in (*page.get("Versions", ()), *page.get("DeleteMarkers", ()))
            if (before is None or version["Key"] < before) and version["Key"] not in keep
        ]
        in_parallel(self._delete_version, doomed)
        return len(doomed)

    def _delete_version(self, version: tuple[str, str]) -> None:
        key, version_id = version
        self._client.delete_object(Bucket=self._bucket, Key=key, VersionId=version_id)


class _Pieces(io.RawIOBase):
    """Pieces of a file as a stream that is read once."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        super().__init__()
        self._pieces = pieces
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = memoryview(piece)
        target = memoryview(buffer)
        count = min(len(target), len(self._rest))
        target[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


class DirectArtifacts(S3Artifacts):
    """Artifacts that are read without the SDK, and with it where that fails."""

    def __init__(self, client: S3Client, bucket: str, endpoint: Endpoint) -> None:
        super().__init__(client, bucket)
        self._endpoint = endpoint

    def _get(self, key: str, byte_range: str = "") -> bytes:
        headers = {"range": byte_range} if byte_range else {}
        response = self._endpoint.send("GET", f"/{self._bucket}/{quote(key, safe='/~')}", headers)
        return response.content if response is not None else super()._get(key, byte_range)
