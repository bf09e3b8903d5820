"""Exports of the local stack's DynamoDB to its S3: the calls that a stock client makes, and what the library reads."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from nextbest.aws.table import Table
from nextbest.domain.events import Event
from nextbest.store.dynamo import DynamoStore
from nextbest.store.table_export import TableExports, read_events
from tests.store.conftest import PROGRAM, create_table, dynamodb, s3
from tools.local.doors import forward_to
from tools.local.engines import ACCOUNT_ID, REGION
from tools.local.gateway import Server
from tools.local.private_network import listen
from tools.local.processes import HOST
from tools.local.table_exports import TableExporter, with_exports

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client


class Door:
    """The engine with exports in front of it, a table in it, and a bucket."""

    def __init__(self, client: DynamoDBClient, files: S3Client, table: Table, bucket: str) -> None:
        self.client = client
        self.files = files
        self.table = table
        self.bucket = bucket
        self.table_arn = f"arn:aws:dynamodb:{REGION}:{ACCOUNT_ID}:table/{table.name}"

    def export(self, **changes: Any) -> Any:
        request: dict[str, Any] = {"TableArn": self.table_arn, "S3Bucket": self.bucket, **changes}
        return self.client.export_table_to_point_in_time(**request)["ExportDescription"]


@pytest.fixture
def door(start_engine: Callable[[str], str]) -> Iterator[Door]:
    url = start_engine("dynoxide")
    files = s3(start_engine("ministack"))
    bucket = f"exports-{uuid.uuid4().hex}"
    files.create_bucket(Bucket=bucket)
    engine = dynamodb(url)
    exporter, server = TableExporter(engine, files), Server(listen(HOST, 0))
    server.run(with_exports(forward_to(url), exporter))
    client = dynamodb(server.urls[0])
    yield Door(client, files, create_table(client, f"test-{uuid.uuid4().hex}"), bucket)
    server.close()
    exporter.close()
    for each in (client, engine, files):
        each.close()


def test_the_events_of_a_program_are_read_back(door: Door) -> None:
    """Given more events than a page of the engine's, then the export has what a scan finds, in several files."""
    store = DynamoStore(door.table)
    store.create_program(PROGRAM)
    events = [Event(f"user#{number % 40} é", number, "buy", "tea") for number in range(1_000)]
    store.append(PROGRAM, events)
    exports = TableExports(door.table, door.table_arn, door.files, door.bucket, sleep=lambda _: time.sleep(0.01))

    export = exports.wait(exports.request(PROGRAM.incarnation, token="run-1"))
    rows = [row for file in export.files for part in read_events(door.files, export, file) for row in part]

    assert sorted(rows) == sorted(store.scan_events(PROGRAM.incarnation))
    assert len(rows) == len(events)
    assert sum(file.items > 0 for file in export.files) > 1
    assert exports.delete(export) == len(export.files) + 5
    assert door.files.list_objects_v2(Bucket=door.bucket)["KeyCount"] == 0


def test_the_same_token_is_the_same_export(door: Door) -> None:
    first = door.export(ClientToken="a")

    assert door.export(ClientToken="a")["ExportArn"] == first["ExportArn"]
    assert door.export(ClientToken="b")["ExportArn"] != first["ExportArn"]
    with pytest.raises(ClientError, match="ExportConflictException"):
        door.export(ClientToken="a", S3Prefix="elsewhere")


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"TableArn": f"arn:aws:dynamodb:{REGION}:{ACCOUNT_ID}:table/none"}, "TableNotFoundException"),
        ({"ExportType": "INCREMENTAL_EXPORT"}, "ValidationException.*ExportType"),
        ({"ExportFormat": "ION"}, "ValidationException.*ExportFormat"),
        ({"ExportTime": 1_700_000_000}, "ValidationException.*ExportTime"),
    ],
)
def test_what_the_local_stack_would_ignore_is_refused(door: Door, changes: dict[str, Any], error: str) -> None:
    with pytest.raises(ClientError, match=error):
        door.export(**changes)


def test_an_export_that_is_not_there_is_not_found(door: Door) -> None:
    with pytest.raises(ClientError, match="ExportNotFoundException"):
        door.client.describe_export(ExportArn=f"{door.table_arn}/export/01700000000000-a1b2c3d4")
