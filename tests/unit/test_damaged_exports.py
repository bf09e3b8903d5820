"""Exports of the table that are not whole, or not as their manifests say: they are refused, and it is said why.

The files are written here as the documentation of DynamoDB has them, and not by the local stack.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from hashlib import md5
from typing import Any

import pytest
from botocore.exceptions import ClientError

from nextbest.aws.table import Table
from nextbest.domain.event_columns import EventColumns
from nextbest.domain.programs import Incarnation
from nextbest.errors import TableExportError
from nextbest.store.staged import ImportState
from nextbest.store.table_export import ExportFile, ExportRequest, TableExport, TableExports, items, read_events

TEA = Incarnation("tea@aaaaaaaaaa")
PREFIX = f"exports/{TEA}"
TABLE_ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/table"
ARN = f"{TABLE_ARN}/export/01700000000000-a1b2c3d4"
FOLDER = f"{PREFIX}/AWSDynamoDB/01700000000000-a1b2c3d4"
SUMMARY, FILES = f"{FOLDER}/manifest-summary.json", f"{FOLDER}/manifest-files.json"
NAMES = ("asdl123dasas", "fdsa321uiop", "jghf987mnbv", "zxcv456qwer")

EXPORT = TableExport("artifacts", f"{FOLDER}/", 116, (), TEA, ImportState())


class Bucket:
    """As much of an S3 client as is used, over objects by key."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def get_object(self, **arguments: str) -> Any:
        assert arguments["Bucket"] == "artifacts"
        if arguments["Key"] not in self.objects:
            raise ClientError({"Error": {"Code": "NoSuchKey", "Message": "no such key"}}, "GetObject")
        return {"Body": io.BytesIO(self.objects[arguments["Key"]])}

    def get_paginator(self, name: str) -> Bucket:
        assert name == "list_objects_v2"
        return self

    def paginate(self, **arguments: str) -> Iterator[Any]:
        for key, data in self.objects.items():
            if key.startswith(arguments["Prefix"]):
                yield {"Contents": [{"Key": key, "ETag": f'"{etag(data)}"'}]}
        yield {}


class Service:
    """As much of a DynamoDB client as is used: the description of the one export."""

    def __init__(self) -> None:
        self.description: dict[str, Any] = {}

    def describe_export(self, **arguments: str) -> Any:
        assert arguments == {"ExportArn": ARN}
        return {"ExportDescription": self.description}


def etag(data: bytes) -> str:
    return md5(data, usedforsecurity=False).hexdigest()


def entry(key: str, data: bytes, items: int) -> dict[str, Any]:
    """The line of a file in the manifest."""
    checksum = base64.b64encode(md5(data, usedforsecurity=False).digest()).decode()
    return {"itemCount": items, "md5Checksum": checksum, "etag": etag(data), "dataFileS3Key": key}


def line(user_id: str, time_us: int) -> bytes:
    key = {"pk": {"S": f"{TEA}#U#{user_id}"}, "sk": {"S": f"E#{time_us:018d}#buy#green"}}
    return json.dumps({"Item": key}).encode() + b"\n"


@dataclass(slots=True)
class Written:
    """An export that is complete, to be damaged; ``file`` is one of its files, with 29 events."""

    bucket: Bucket = field(default_factory=Bucket)
    service: Service = field(default_factory=Service)
    entries: list[dict[str, Any]] = field(default_factory=list)

    def wait(self) -> TableExport:
        client: Any = self.service
        bucket: Any = self.bucket
        request = ExportRequest(ARN, TEA, ImportState())
        return TableExports(Table(client, "table"), TABLE_ARN, bucket, "artifacts", sleep=_never).wait(request)

    @property
    def file(self) -> ExportFile:
        file = self.entries[0]
        return ExportFile(file["dataFileS3Key"], file["itemCount"], file["md5Checksum"], file["etag"])

    def read(self, file: ExportFile | None = None) -> list[EventColumns]:
        bucket: Any = self.bucket
        return list(read_events(bucket, EXPORT, file or self.file))

    def change_summary(self, **members: Any) -> None:
        self.bucket.objects[SUMMARY] = json.dumps({**json.loads(self.bucket.objects[SUMMARY]), **members}).encode()

    def change_files(self, change: Callable[[dict[str, Any]], Mapping[str, Any] | None]) -> None:
        """Change the line of ``file`` in the manifest, or take it out."""
        first, *others = self.entries
        changed = [change(first), *others]
        self.bucket.objects[FILES] = b"".join(json.dumps(one).encode() + b"\n" for one in changed if one is not None)

    def replace_file(self, content: bytes, *, items: int | None = None, packed: bool = True) -> ExportFile:
        """Another content of ``file``; what the manifest would say of it."""
        data = gzip.compress(content) if packed else content
        self.bucket.objects[self.file.key] = data
        changed = entry(self.file.key, data, content.count(b"\n") if items is None else items)
        return replace(self.file, md5=changed["md5Checksum"], items=changed["itemCount"])

    @property
    def content(self) -> bytes:
        return self.bucket.objects[self.file.key]

    @property
    def lines(self) -> bytes:
        return gzip.decompress(self.content)


def _never(_: float) -> None:
    raise AssertionError("there is nothing to wait for")


@pytest.fixture
def written() -> Written:
    export = Written()
    for name in NAMES:
        data = gzip.compress(b"".join(line("ada", time_us) for time_us in range(1, 30)))
        key = f"{FOLDER}/data/{name}.json.gz"
        export.bucket.objects[key] = data
        export.entries.append(entry(key, data, 29))
    summary = {
        "version": "2020-06-30",
        "exportArn": ARN,
        "startTime": "2023-11-04T07:28:34.028Z",
        "endTime": "2023-11-04T07:33:43.897Z",
        "tableArn": TABLE_ARN,
        "tableId": "12345a12-abcd-123a-ab12-1234abc12345",
        "exportTime": "2023-11-04T07:28:34.028Z",
        "s3Bucket": "artifacts",
        "s3Prefix": PREFIX,
        "s3SseAlgorithm": "AES256",
        "s3SseKmsKeyId": None,
        "manifestFilesS3Key": FILES,
        "billedSizeBytes": 0,
        "itemCount": 116,
        "outputFormat": "DYNAMODB_JSON",
    }
    export.bucket.objects[SUMMARY] = json.dumps(summary).encode()
    export.change_files(lambda one: one)
    export.service.description = {
        "ExportArn": ARN,
        "ExportStatus": "COMPLETED",
        "ExportManifest": SUMMARY,
        "S3Prefix": PREFIX,
        "ItemCount": 116,
    }
    return export


def test_a_missing_data_file_is_named(written: Written) -> None:
    del written.bucket.objects[written.file.key]

    with pytest.raises(TableExportError, match=f"{written.file.key} is missing of 4 files"):
        written.wait()
    with pytest.raises(TableExportError, match=f"{written.file.key} is missing"):
        written.read()


def test_many_missing_data_files_are_counted(written: Written) -> None:
    for file in written.entries:
        del written.bucket.objects[file["dataFileS3Key"]]

    with pytest.raises(TableExportError, match="and 1 more are missing of 4 files"):
        written.wait()


@pytest.mark.parametrize("name", [SUMMARY, FILES], ids=["summary", "files"])
def test_an_export_without_a_manifest_is_incomplete(written: Written, name: str) -> None:
    """Given an export that was written half, its files and no manifest, then that is said."""
    del written.bucket.objects[name]

    with pytest.raises(TableExportError, match=f"{name} is missing"):
        written.wait()


@pytest.mark.parametrize("name", [SUMMARY, FILES], ids=["summary", "files"])
@pytest.mark.parametrize(
    ("body", "problem"), [(b'{"version": "2023', "no JSON"), (b"[]\n", "no JSON object"), (b"\xff", "no text")]
)
def test_a_manifest_that_breaks_off_is_refused(written: Written, name: str, body: bytes, problem: str) -> None:
    written.bucket.objects[name] = body

    with pytest.raises(TableExportError, match=f"{name} .*{problem}"):
        written.wait()


def test_files_with_fewer_items_than_the_summary_says_are_incomplete(written: Written) -> None:
    written.change_files(lambda _: None)

    with pytest.raises(TableExportError, match="files have 87 items, its manifest says 116"):
        written.wait()


def test_a_summary_that_disagrees_with_the_service_is_refused(written: Written) -> None:
    written.change_summary(itemCount=117)
    written.change_files(lambda entry: {**entry, "itemCount": entry["itemCount"] + 1})

    with pytest.raises(TableExportError, match="DescribeExport 116"):
        written.wait()


@pytest.mark.parametrize(
    ("member", "value"), [("exportArn", "arn:of:another"), ("outputFormat", "ION"), ("itemCount", "7")]
)
def test_a_summary_of_another_export_is_refused(written: Written, member: str, value: object) -> None:
    written.change_summary(**{member: value})

    with pytest.raises(TableExportError, match=f"manifest-summary.json .*{member}"):
        written.wait()


@pytest.mark.parametrize("member", ["dataFileS3Key", "itemCount", "md5Checksum", "etag"])
def test_a_line_of_the_manifest_that_lacks_a_member_is_refused(written: Written, member: str) -> None:
    written.change_files(lambda entry: {name: value for name, value in entry.items() if name != member})

    with pytest.raises(TableExportError, match=f"manifest-files.json of the export has no {member}"):
        written.wait()


def test_a_file_that_was_replaced_is_refused(written: Written) -> None:
    written.replace_file(b"")

    with pytest.raises(TableExportError, match=f"{written.file.key} is replaced"):
        written.wait()


def test_a_file_with_another_md5_is_refused_at_its_end(written: Written) -> None:
    """Given a file with the right number of items, but not the bytes of the manifest, then it is not used."""
    lines = written.lines
    written.replace_file(lines.replace(b"ada", b"eve"))

    with pytest.raises(TableExportError, match=f"{written.file.key} .* its MD5 is not"):
        written.read()


def test_a_file_with_another_number_of_items_is_refused(written: Written) -> None:
    lines = written.lines
    file = written.replace_file(lines, items=1_000)

    with pytest.raises(TableExportError, match="and its manifest says 1,000"):
        written.read(file)


@pytest.mark.parametrize("kept", [0.5, 0.98])
def test_a_file_that_breaks_off_is_damaged(written: Written, kept: float) -> None:
    data = written.content
    file = written.replace_file(data[: int(kept * len(data))], packed=False)

    with pytest.raises(TableExportError, match=f"{written.file.key} of the export is damaged"):
        written.read(file)


def test_a_file_that_is_not_compressed_is_damaged(written: Written) -> None:
    file = written.replace_file(written.lines, packed=False)

    with pytest.raises(TableExportError, match="is damaged: Not a gzipped file"):
        written.read(file)


@pytest.mark.parametrize(
    "damaged",
    [
        b"no JSON",
        b"[]",
        b'{"Key": {}}',
        b'{"Item": []}',
        b'{"Item": {"pk": {"S": "x"}}}',
        b'{"Item": {"pk": {"N": "1"}, "sk": {"S": "y"}}}',
        b'{"Item": {"pk": {"S": 1}, "sk": {"S": "y"}}}',
        b'{"Item": {"pk": {"S": "x"}, "sk": {"S": "y"}}} {}',
        b"",
        b"\xff\xfe",
    ],
)
def test_a_line_that_is_no_item_is_named(written: Written, damaged: bytes) -> None:
    lines = written.lines.splitlines()
    file = written.replace_file(b"\n".join([lines[0], damaged, *lines[1:]]) + b"\n")

    with pytest.raises(TableExportError, match=f"line 2 of {written.file.key} of the export is no item"):
        written.read(file)


@pytest.mark.parametrize("value", [b'{"B": "not base64!"}', b"{}", b'{"M": {"a": {}}}', b'{"L": [1]}'])
def test_a_value_that_is_none_is_named(written: Written, value: bytes) -> None:
    """Given an item whose key can be read, and not all of its attributes, then it is refused where these are wanted."""
    damaged = b'{"Item": {"pk": {"S": "x"}, "sk": {"S": "y"}, "b": %b}}\n' % value
    file = written.replace_file(line("ada", 1) + damaged)
    bucket: Any = written.bucket

    with pytest.raises(TableExportError, match=f"line 2 of {written.file.key} of the export is no item"):
        list(items(bucket, EXPORT, file))


def test_an_empty_file_has_no_items(written: Written) -> None:
    """Given a file of no bytes at all, as there is one for an empty partition, then nothing is read."""
    assert written.read(written.replace_file(b"", packed=False)) == []
    assert written.read(written.replace_file(b"")) == []


def test_a_file_of_several_gzip_members_is_read_whole(written: Written) -> None:
    lines = written.lines.splitlines(keepends=True)
    data = b"".join(gzip.compress(line) for line in lines)
    file = written.replace_file(data, items=len(lines), packed=False)

    assert [len(part) for part in written.read(file)] == [29]


def test_keys_may_be_without_the_prefix(written: Written) -> None:
    """Given manifests as in the documentation's examples, whose keys leave out the prefix, then the files are found."""
    export = written.wait()
    written.change_summary(manifestFilesS3Key=FILES.removeprefix(f"{PREFIX}/"))
    written.change_files(lambda entry: {**entry, "dataFileS3Key": entry["dataFileS3Key"].removeprefix(f"{PREFIX}/")})

    assert written.wait() == export
    assert [file.key for file in export.files] == sorted(one["dataFileS3Key"] for one in written.entries)


def test_a_failed_export_says_why(written: Written) -> None:
    failure = {"FailureCode": "S3NoSuchBucket", "FailureMessage": "The specified bucket does not exist"}
    written.service.description |= {"ExportStatus": "FAILED", **failure}

    with pytest.raises(TableExportError, match=r"The specified bucket does not exist \(S3NoSuchBucket\)"):
        written.wait()


def test_a_service_that_does_not_answer_is_no_damage(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a call that S3 rejects, then its error is raised as it is: it may be made again."""

    def refuse(**_: str) -> Any:
        raise ClientError({"Error": {"Code": "SlowDown", "Message": "slow down"}}, "GetObject")

    export = written.wait()
    monkeypatch.setattr(written.bucket, "get_object", refuse)

    with pytest.raises(ClientError, match="SlowDown"):
        written.wait()
    with pytest.raises(ClientError, match="SlowDown"):
        written.read(export.files[0])
