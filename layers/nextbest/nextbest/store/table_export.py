"""The events of a program out of DynamoDB's export of the table to S3: for programs that one process cannot scan.

An export is the whole table at one moment, with all programs, and takes no capacity of the table. DynamoDB writes it
under a prefix of the bucket::

    <prefix>/AWSDynamoDB/<export id>/manifest-summary.json   what was exported; how many items; where the next one is
    <prefix>/AWSDynamoDB/<export id>/manifest-files.json     a line a data file: key, number of items, MD5, ETag
    <prefix>/AWSDynamoDB/<export id>/data/<name>.json.gz     a line an item: {"Item": {"pk": {"S": "..."}, ...}}

Source: "DynamoDB table export output format", Amazon DynamoDB Developer Guide. The checksum files next to the manifests
are not read: the manifests are checked against each other, against DescribeExport, and against the files.

``TableExports`` requests an export, waits for it and checks that it is complete; the rest may be done elsewhere, a file
at a time: a ``TableExport`` can be pickled, and ``read_events`` needs nothing but it and a client.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import md5, sha256
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import ClientError

from nextbest.aws.table import Item, Table, to_json
from nextbest.domain.event_columns import EventColumns, EventColumnsBuilder
from nextbest.domain.programs import Incarnation
from nextbest.errors import TableExportError
from nextbest.store import keys
from nextbest.store.artifacts import S3Artifacts
from nextbest.store.log_rows import add_events
from nextbest.store.staged import ImportState, read_import_state

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef, ExportDescriptionTypeDef
    from mypy_boto3_s3 import S3Client

EXPORTS = "exports/"
"""What the keys of all exports begin with."""

PART_EVENTS = 1_000_000
"""Of one file that are held at once, as columns of 20 bytes an event."""

_DECODER = json.JSONDecoder()
_BUFFER_BYTES = 1 << 20
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 30.0
_NAMED_FILES = 3


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """An export that was requested, and the imports of the program at its moment."""

    arn: str
    incarnation: Incarnation
    imports: ImportState


@dataclass(frozen=True, slots=True)
class ExportFile:
    """A data file: its key, how many items of the table it has, the MD5 of its bytes in base64, and its ETag."""

    key: str
    items: int
    md5: str
    etag: str


@dataclass(frozen=True, slots=True)
class TableExport:
    """A complete export, for the events of one program. ``items`` are all items of the table."""

    bucket: str
    prefix: str
    items: int
    files: tuple[ExportFile, ...]
    incarnation: Incarnation
    imports: ImportState


class TableExports:
    """Exports of one table, which has the ARN ``table_arn`` and point-in-time recovery, to one bucket.

    Methods raise ClientError where a service rejects a call. ``sleep`` takes seconds.
    """

    def __init__(
        self,
        table: Table,
        table_arn: str,
        s3: S3Client,
        bucket: str,
        *,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._table = table
        self._table_arn = table_arn
        self._s3 = s3
        self._bucket = bucket
        self._sleep = sleep

    def request(self, incarnation: Incarnation, *, token: str) -> ExportRequest:
        """Request an export for a program. For eight hours, the same ``token`` is answered with the same export.

        An import that was committed at about the moment of the export would count for a part of its rows: then another
        export is requested. The client token names what was committed before, so that one that was requested by a
        process which ended is taken again only where nothing was committed since.
        """
        state = read_import_state(self._table, incarnation)
        while True:
            committed = dict(sorted(state.committed.items()))
            name = sha256(to_json([incarnation, token, committed]).encode()).hexdigest()
            response = self._table.client.export_table_to_point_in_time(
                TableArn=self._table_arn,
                ClientToken=name,
                S3Bucket=self._bucket,
                S3Prefix=f"{EXPORTS}{incarnation}",
                ExportFormat="DYNAMODB_JSON",
                ExportType="FULL_EXPORT",
            )
            before, state = state, read_import_state(self._table, incarnation)
            if state.committed == before.committed:
                return ExportRequest(response["ExportDescription"]["ExportArn"], incarnation, state)

    def wait(self, request: ExportRequest, *, check: Callable[[], object] = lambda: None) -> TableExport:
        """The export, once it is complete. Raises TableExportError, which names what failed or is missing.

        ``check`` is called before each look; what it raises ends the waiting.
        """
        pause_seconds = _FIRST_PAUSE_SECONDS
        while True:
            check()
            description = self._table.client.describe_export(ExportArn=request.arn)["ExportDescription"]
            if description["ExportStatus"] != "IN_PROGRESS":
                return self._complete(request, description)
            self._sleep(pause_seconds)
            pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)

    def delete(self, export: TableExport) -> int:
        """Delete the files of an export, which hold the data of all programs; how many there were."""
        return S3Artifacts(self._s3, self._bucket).delete_all(export.prefix)

    def _complete(self, request: ExportRequest, description: ExportDescriptionTypeDef) -> TableExport:
        """The export that DescribeExport describes, where all of it is there."""
        if description["ExportStatus"] != "COMPLETED":
            code, message = description.get("FailureCode", "no code"), description.get("FailureMessage", "no reason")
            raise TableExportError(f"DynamoDB could not export the table: {message} ({code})")
        prefix = description.get("S3Prefix", "")
        summary_key = _under(prefix, description.get("ExportManifest", ""))
        summary = self._summary(summary_key, request.arn)
        files = self._files(_under(prefix, _member(summary, "manifestFilesS3Key", str, summary_key)), prefix)
        items, counted = _member(summary, "itemCount", int, summary_key), sum(file.items for file in files)
        if counted != items or description.get("ItemCount", items) != items:
            raise TableExportError(
                f"the export is incomplete: its files have {counted:,} items, its manifest says {items:,}, and "
                f"DescribeExport {description.get('ItemCount', items):,}"
            )
        folder = f"{summary_key.rpartition('/')[0]}/"
        self._check_presence(files)
        return TableExport(self._bucket, folder, items, files, request.incarnation, request.imports)

    def _summary(self, key: str, arn: str) -> dict[str, Any]:
        summary = _json_object(self._text(key), key)
        for name, value in (("exportArn", arn), ("outputFormat", "DYNAMODB_JSON")):
            if summary.get(name) != value:
                raise TableExportError(f"{key} is not of the export that was requested: {name} is not {value}")
        return summary

    def _files(self, key: str, prefix: str) -> tuple[ExportFile, ...]:
        """The data files that a manifest lists, in order of their keys."""
        files = []
        for line in self._text(key).splitlines():
            entry = _json_object(line, key)
            files.append(
                ExportFile(
                    _under(prefix, _member(entry, "dataFileS3Key", str, key)),
                    _member(entry, "itemCount", int, key),
                    _member(entry, "md5Checksum", str, key),
                    _member(entry, "etag", str, key),
                )
            )
        return tuple(sorted(files, key=lambda file: file.key))

    def _check_presence(self, files: tuple[ExportFile, ...]) -> None:
        """Raise TableExportError unless all files are there and none was replaced."""
        folders = {file.key.rpartition("/")[0] for file in files}
        pages = self._s3.get_paginator("list_objects_v2")
        etags = {
            entry["Key"]: entry["ETag"].strip('"')
            for folder in folders
            for page in pages.paginate(Bucket=self._bucket, Prefix=f"{folder}/")
            for entry in page.get("Contents", [])
        }
        if missing := [file.key for file in files if file.key not in etags]:
            raise TableExportError(f"the export is incomplete: {_listed(missing)} missing of {len(files):,} files")
        if replaced := [file.key for file in files if file.etag.strip('"') != etags[file.key]]:
            raise TableExportError(f"the export is not as it was written: {_listed(replaced)} replaced")

    def _text(self, key: str) -> str:
        """A manifest. Raises TableExportError where it is missing or no text."""
        try:
            return self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read().decode()
        except ClientError as error:
            if _is_missing(error):
                raise TableExportError(f"the export is incomplete: its manifest {key} is missing") from error
            raise
        except UnicodeDecodeError as error:
            raise TableExportError(f"{key} is no text") from error


def read_events(
    s3: S3Client,
    export: TableExport,
    file: ExportFile,
    *,
    unreadable: Callable[[str], object] = lambda _: None,
    marked: Callable[[str], object] = lambda _: None,
) -> Iterator[EventColumns]:
    """The program's events in a file, as ``scan_events`` reads them, in parts of at most ``PART_EVENTS``.

    ``unreadable`` is called with the user of each row that cannot be read, ``marked`` with each user whose history is
    marked as lacking events. Raises TableExportError where the file is missing, damaged or not the one of the manifest,
    at the latest after the last part: until then, nothing may be done with what was read that cannot be undone.
    """
    rows = log_rows(s3, export, file, marked=marked)
    builder = EventColumnsBuilder()
    for first in rows:
        for user_id in sorted(add_events(builder, chain([first], islice(rows, PART_EVENTS - 1)), export.imports)):
            unreadable(user_id)
        if len(builder):
            yield builder.build()


def log_rows(
    s3: S3Client, export: TableExport, file: ExportFile, *, marked: Callable[[str], object] = lambda _: None
) -> Iterator[Item]:
    """The rows of the program's log in a file, also those that an import only stages. Raises TableExportError.

    ``marked`` is called with each user of the file whose history is marked as lacking events.
    """
    prefix = keys.users_prefix(export.incarnation)
    for item in _lines(s3, export, file):
        pk, sk = item["pk"]["S"], item["sk"]["S"]
        if not pk.startswith(prefix):
            continue
        # Nothing in a row is binary, so it is what a client returns without being decoded.
        if sk.startswith(keys.EVENT_PREFIX):
            yield item
        elif sk == keys.TAIL and "backfilled" in item:
            marked(keys.parse_user_pk(pk))


def items(s3: S3Client, export: TableExport, file: ExportFile) -> Iterator[Item]:
    """All items of the table in a file, of all programs, as a client of DynamoDB returns them.

    Raises TableExportError where the file is missing, damaged or not the one of the manifest, at the latest at its end.
    """
    for number, item in enumerate(_lines(s3, export, file), start=1):
        try:
            yield {name: _decoded(value) for name, value in item.items()}
        except (ValueError, TypeError, AttributeError) as error:
            raise _no_item(number, file, error) from error


def _lines(s3: S3Client, export: TableExport, file: ExportFile) -> Iterator[dict[str, Any]]:
    """The items of a file as they are in its lines, binary values as text."""
    raw = _HashedBody(s3, export.bucket, file.key)
    body = io.BufferedReader(raw, _BUFFER_BYTES)
    count = 0
    try:
        with gzip.GzipFile(fileobj=body) as lines:
            for line in lines:
                count += 1
                yield _item_in(line)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise TableExportError(f"{file.key} of the export is damaged: {error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise _no_item(count, file, error) from error
    if raw.md5() != file.md5:
        raise TableExportError(f"{file.key} of the export is not as it was written: its MD5 is not {file.md5}")
    if count != file.items:
        raise TableExportError(f"{file.key} of the export has {count:,} items, and its manifest says {file.items:,}")


def _no_item(number: int, file: ExportFile, error: Exception) -> TableExportError:
    return TableExportError(f"line {number} of {file.key} of the export is no item ({error})")


class _HashedBody(io.RawIOBase):
    """The bytes of an object as a raw stream, hashed on the way."""

    def __init__(self, s3: S3Client, bucket: str, key: str) -> None:
        super().__init__()
        try:
            self._body = s3.get_object(Bucket=bucket, Key=key)["Body"]
        except ClientError as error:
            if _is_missing(error):
                raise TableExportError(f"the export is incomplete: {key} is missing") from error
            raise
        self._hash = md5(usedforsecurity=False)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._body.read(len(buffer))
        self._hash.update(piece)
        buffer[: len(piece)] = piece
        return len(piece)

    def md5(self) -> str:
        """The MD5 of what was read, in base64."""
        return base64.b64encode(self._hash.digest()).decode()


def _item_in(line: bytes) -> dict[str, Any]:
    """The item in a line. Raises ValueError, KeyError, TypeError."""
    text = line.decode()
    # Not json.loads, which takes a third longer: it looks for the encoding, and for spaces around.
    content, end = _DECODER.raw_decode(text)
    if text[end:] not in ("\n", ""):
        raise ValueError("something follows its JSON")
    item: dict[str, Any] = content["Item"]
    if type(item["pk"]["S"]) is not str or type(item["sk"]["S"]) is not str:
        raise ValueError("its key is no text")
    return item


def _decoded(value: Any) -> AttributeValueTypeDef:
    """A typed attribute value as a client of DynamoDB returns it: the export has bytes as base64."""
    ((kind, content),) = value.items()
    if kind == "B":
        content = base64.b64decode(content, validate=True)
    elif kind == "BS":
        content = [base64.b64decode(member, validate=True) for member in content]
    elif kind == "M":
        content = {name: _decoded(member) for name, member in content.items()}
    elif kind == "L":
        content = [_decoded(member) for member in content]
    return cast("AttributeValueTypeDef", {kind: content})


def _under(prefix: str, key: str) -> str:
    """A key of the export with its prefix, which the documentation's examples leave out and real exports have."""
    return key if not prefix or key.startswith(f"{prefix}/") else f"{prefix}/{key}"


def _json_object(text: str, key: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise TableExportError(f"{key} of the export is no JSON ({error})") from error
    if not isinstance(value, dict):
        raise TableExportError(f"{key} of the export is no JSON object")
    return value


def _member(value: dict[str, Any], name: str, kind: type[Any], key: str) -> Any:
    member = value.get(name)
    if not isinstance(member, kind) or isinstance(member, bool):
        raise TableExportError(f"{key} of the export has no {name}")
    return member


def _listed(names: list[str]) -> str:
    """A few names, with the verb that follows them."""
    more = f" and {len(names) - _NAMED_FILES:,} more" if len(names) > _NAMED_FILES else ""
    return f"{', '.join(names[:_NAMED_FILES])}{more} {'is' if len(names) == 1 else 'are'}"


def _is_missing(error: ClientError) -> bool:
    return error.response["Error"]["Code"] in ("NoSuchKey", "404")
