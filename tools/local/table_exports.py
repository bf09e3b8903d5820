"""Exports of a table to S3, in front of a DynamoDB engine that has none: the two calls, and the files that AWS writes.

Source: "DynamoDB table export output format", Amazon DynamoDB Developer Guide. Unlike in AWS, an export is not of one
moment: what is written while the table is read may be in it or not. Exports are forgotten when the stack stops; their
files stay.
"""

from __future__ import annotations

import base64
import gzip
import json
import logging
import secrets
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import md5
from typing import IO, TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from tools.local.engines import ACCOUNT_ID, REGION

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client

_LOG = logging.getLogger(__name__)
_TARGET = "DynamoDB_20120810."
_SEGMENTS = 4
"""Files of an export; in AWS, one or more for each partition of the table."""
_TOKEN_SECONDS = 8 * 3600.0
_DEFAULTS = {"ExportFormat": "DYNAMODB_JSON", "ExportType": "FULL_EXPORT", "S3SseAlgorithm": "AES256"}
_MEMBERS = {"TableArn", "ClientToken", "S3Bucket", "S3Prefix", *_DEFAULTS}

Members = Mapping[str, Any]


class ExportRefused(Exception):
    """A call that DynamoDB would refuse, with the name of the error."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name
        self.message = message


@dataclass(slots=True)
class _Export:
    """What DescribeExport says of an export, and the request that it was made with."""

    description: dict[str, Any]
    request: Members
    folder: str
    began: float = field(default_factory=time.monotonic)


class TableExporter:
    """``ExportTableToPointInTime`` and ``DescribeExport`` of the tables of an engine. Exports run one after another."""

    def __init__(self, dynamodb: DynamoDBClient, s3: S3Client) -> None:
        self._dynamodb = dynamodb
        self._s3 = s3
        self._exports: dict[str, _Export] = {}
        self._lock = threading.Lock()
        self._background = ThreadPoolExecutor(1, thread_name_prefix="table-export")

    def close(self) -> None:
        """Begin no export any more."""
        self._background.shutdown(wait=False, cancel_futures=True)

    def export(self, request: Members) -> dict[str, Any]:
        """Begin an export; the one that was begun with the same token. Raises ExportRefused."""
        if unknown := request.keys() - _MEMBERS:
            raise ExportRefused("ValidationException", f"the local stack knows no {', '.join(sorted(unknown))}")
        request = {**_DEFAULTS, "S3Prefix": "", "ClientToken": secrets.token_hex(16), **request}
        for name, value in _DEFAULTS.items():
            if request[name] != value:
                raise ExportRefused("ValidationException", f"the local stack has no {name} but {value}")
        for name in ("TableArn", "S3Bucket"):
            if not request.get(name):
                raise ExportRefused("ValidationException", f"{name} is required")
        table = str(request["TableArn"]).rpartition("/")[2]
        try:
            self._dynamodb.describe_table(TableName=table)
        except self._dynamodb.exceptions.ResourceNotFoundException as error:
            raise ExportRefused("TableNotFoundException", f"Table not found: {request['TableArn']}") from error
        with self._lock:
            for known in self._exports.values():
                if (
                    known.request["ClientToken"] == request["ClientToken"]
                    and time.monotonic() - known.began < _TOKEN_SECONDS
                ):
                    if known.request != request:
                        raise ExportRefused(
                            "ExportConflictException", "the client token was used with other parameters"
                        )
                    return {"ExportDescription": dict(known.description)}
            export = self._new(request, table)
            self._exports[export.description["ExportArn"]] = export
            response = {"ExportDescription": dict(export.description)}
        self._background.submit(self._run, export, table)
        return response

    def describe(self, request: Members) -> dict[str, Any]:
        """How far an export is. Raises ExportRefused."""
        with self._lock:
            export = self._exports.get(str(request.get("ExportArn")))
            if export is None:
                raise ExportRefused("ExportNotFoundException", f"Export not found: {request.get('ExportArn')}")
            return {"ExportDescription": dict(export.description)}

    def _new(self, request: Members, table: str) -> _Export:
        now = time.time()
        export_id = f"{round(now * 1000):014d}-{secrets.token_hex(4)}"
        prefix = str(request["S3Prefix"])
        description = {
            **request,
            "ExportArn": f"arn:aws:dynamodb:{REGION}:{ACCOUNT_ID}:table/{table}/export/{export_id}",
            "ExportStatus": "IN_PROGRESS",
            "StartTime": now,
            "ExportTime": now,
            "TableId": "00000000-0000-4000-8000-000000000000",
        }
        return _Export(
            description, request, f"{prefix}/AWSDynamoDB/{export_id}" if prefix else f"AWSDynamoDB/{export_id}"
        )

    def _run(self, export: _Export, table: str) -> None:
        try:
            result = self._write(export, table)
        except (BotoCoreError, ClientError) as error:
            _LOG.exception("an export of %s failed", table)
            code = error.response["Error"]["Code"] if isinstance(error, ClientError) else type(error).__name__
            result = {"ExportStatus": "FAILED", "FailureCode": f"S3{code}", "FailureMessage": str(error)}
        with self._lock:
            export.description |= {"EndTime": time.time(), **result}

    def _write(self, export: _Export, table: str) -> dict[str, Any]:
        """Write the files of an export; what DescribeExport says of it then."""
        description, bucket = export.description, export.request["S3Bucket"]
        self._put(bucket, f"{export.folder}/_started", b"")
        files = [self._write_segment(table, number, bucket, f"{export.folder}/data") for number in range(_SEGMENTS)]
        self._put_manifest(
            bucket, f"{export.folder}/manifest-files", "".join(f"{json.dumps(file)}\n" for file in files)
        )
        items = sum(file["itemCount"] for file in files)
        summary = {
            "version": "2023-08-01",
            "exportArn": description["ExportArn"],
            "startTime": _time_text(description["StartTime"]),
            "endTime": _time_text(time.time()),
            "tableArn": description["TableArn"],
            "tableId": description["TableId"],
            "exportTime": _time_text(description["ExportTime"]),
            "s3Bucket": bucket,
            "s3Prefix": description["S3Prefix"] or None,
            "s3SseAlgorithm": description["S3SseAlgorithm"],
            "s3SseKmsKeyId": None,
            "manifestFilesS3Key": f"{export.folder}/manifest-files.json",
            "billedSizeBytes": 0,
            "itemCount": items,
            "outputFormat": description["ExportFormat"],
            "exportType": description["ExportType"],
        }
        self._put_manifest(bucket, f"{export.folder}/manifest-summary", json.dumps(summary))
        manifest = f"{export.folder}/manifest-summary.json"
        return {"ExportStatus": "COMPLETED", "ExportManifest": manifest, "ItemCount": items, "BilledSizeBytes": 0}

    def _write_segment(self, table: str, number: int, bucket: str, folder: str) -> dict[str, Any]:
        """Write one part of the table as a data file; its line in the manifest."""
        key = f"{folder}/{secrets.token_hex(13)}.json.gz"
        pages = self._dynamodb.get_paginator("scan").paginate(
            TableName=table, ConsistentRead=True, Segment=number, TotalSegments=_SEGMENTS
        )
        count = 0
        with tempfile.TemporaryFile() as file:
            with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=1) as packed:
                for page in pages:
                    for item in page["Items"]:
                        packed.write(item_line(item))
                        count += 1
            digest = _md5(file)
            response = self._s3.put_object(Bucket=bucket, Key=key, Body=file)
        return {
            "itemCount": count,
            "md5Checksum": digest,
            "etag": response["ETag"].strip('"'),
            "dataFileS3Key": key,
        }

    def _put_manifest(self, bucket: str, name: str, text: str) -> None:
        data = text.encode()
        self._put(bucket, f"{name}.json", data)
        self._put(bucket, f"{name}.checksum", base64.b64encode(md5(data, usedforsecurity=False).digest()))

    def _put(self, bucket: str, key: str, data: bytes) -> None:
        self._s3.put_object(Bucket=bucket, Key=key, Body=data)


def with_exports(engine: WSGIApplication, exporter: TableExporter) -> WSGIApplication:
    """An engine's application that has the two calls as well."""
    calls: Mapping[str, Callable[[Members], dict[str, Any]]] = {
        f"{_TARGET}ExportTableToPointInTime": exporter.export,
        f"{_TARGET}DescribeExport": exporter.describe,
    }

    def respond(environment: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        call = calls.get(environment.get("HTTP_X_AMZ_TARGET", ""))
        if call is None:
            return engine(environment, start_response)
        status = "200 OK"
        try:
            content = call(_json_body(environment))
        except ExportRefused as error:
            status, content = "400 Bad Request", _error(error)
        body = json.dumps(content).encode()
        headers = [("Content-Type", "application/x-amz-json-1.0"), ("Content-Length", str(len(body)))]
        start_response(status, headers)
        return [body]

    return respond


def item_line(item: Mapping[str, Any]) -> bytes:
    """An item, as a client of DynamoDB returns it, as a line of a data file."""
    content = {name: _exported(value) for name, value in item.items()}
    return json.dumps({"Item": content}, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _exported(value: Mapping[str, Any]) -> dict[str, Any]:
    """A typed attribute value as an export has it: bytes as base64."""
    ((kind, content),) = value.items()
    match kind:
        case "B":
            content = base64.b64encode(content).decode()
        case "BS":
            content = [base64.b64encode(member).decode() for member in content]
        case "M":
            content = {name: _exported(member) for name, member in content.items()}
        case "L":
            content = [_exported(member) for member in content]
    return {kind: content}


def _md5(file: IO[bytes]) -> str:
    """The MD5 of a file in base64; the file is at its beginning then."""
    digest = md5(usedforsecurity=False)
    file.seek(0)
    while piece := file.read(1 << 20):
        digest.update(piece)
    file.seek(0)
    return base64.b64encode(digest.digest()).decode()


def _json_body(environment: WSGIEnvironment) -> Members:
    body = environment["wsgi.input"].read(int(environment.get("CONTENT_LENGTH") or 0))
    with suppress(ValueError):
        content = json.loads(body)
        if isinstance(content, dict):
            return content
    raise ExportRefused("SerializationException", "the body is no JSON object")


def _error(error: ExportRefused) -> dict[str, Any]:
    return {"__type": f"com.amazonaws.dynamodb.v20120810#{error.name}", "message": error.message}


def _time_text(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
