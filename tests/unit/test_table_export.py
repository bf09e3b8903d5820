"""Events out of DynamoDB's export of the table, as the local stack writes it."""

from __future__ import annotations

import json
import pickle
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from nextbest.aws.table import ItemKey, Table
from nextbest.domain.event_columns import EventColumns
from nextbest.domain.events import Event
from nextbest.domain.programs import Incarnation, Program
from nextbest.errors import TableExportError
from nextbest.store import keys, table_export
from nextbest.store.dynamo import DynamoStore
from nextbest.store.staged import ADDED, REMOVED, STAGED, import_state_key, mark_of
from nextbest.store.table_export import TableExport, TableExports, items, read_events
from tests.mocked_aws import mocked_aws
from tools.local.engines import ACCOUNT_ID, REGION
from tools.local.table_exports import TableExporter

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

BUCKET = "artifacts"
TABLE_ARN = f"arn:aws:dynamodb:{REGION}:{ACCOUNT_ID}:table/table"
TEA = Program("tea", "Tea shop", half_life_days=30, incarnation=Incarnation("tea@aaaaaaaaaa"))
OTHER = Program("tea2", "Tea shop", half_life_days=30, incarnation=Incarnation("tea@aaaaaaaaab"))


class ExportingClient:
    """A client of moto's DynamoDB, whose exports lack manifests, with those of the local stack.

    ``requests`` are those for exports; before each of them, ``before_export`` is called.
    """

    def __init__(self, client: Any, exporter: TableExporter) -> None:
        self._client = client
        self._exporter = exporter
        self.requests: list[dict[str, Any]] = []
        self.before_export: Callable[[], object] = lambda: None

    def export_table_to_point_in_time(self, **request: Any) -> Any:
        self.requests.append(request)
        self.before_export()
        return self._exporter.export(request)

    def describe_export(self, **request: Any) -> Any:
        return self._exporter.describe(request)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


@dataclass(slots=True)
class World:
    """A table, a bucket, and exports from the one to the other."""

    table: Table
    client: ExportingClient
    s3: S3Client
    exports: TableExports
    store: DynamoStore
    unreadable: list[str] = field(default_factory=list)

    def export(self, program: Program = TEA) -> TableExport:
        return self.exports.wait(self.exports.request(program.incarnation, token="run-1"))

    def rows(self, export: TableExport) -> list[tuple[str, int, str, str]]:
        """All events of the export, in order."""
        return sorted(
            row
            for file in export.files
            for part in read_events(self.s3, export, file, unreadable=self.unreadable.append)
            for row in part
        )


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with mocked_aws():
        dynamodb, s3 = boto3.client("dynamodb", region_name=REGION), boto3.client("s3", region_name=REGION)
        dynamodb.create_table(
            TableName="table",
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
            BillingMode="PAY_PER_REQUEST",
        )
        s3.create_bucket(Bucket=BUCKET)
        s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        exporter = TableExporter(dynamodb, s3)
        client: Any = ExportingClient(dynamodb, exporter)
        table = Table(client, "table")
        store = DynamoStore(table)
        for program in (TEA, OTHER):
            store.create_program(program)
        yield World(
            table, client, s3, TableExports(table, TABLE_ARN, s3, BUCKET, sleep=lambda _: time.sleep(0.001)), store
        )
        exporter.close()


def event(user_id: str, time_us: int, asset_id: str = "green", **more: Any) -> Event:
    return Event(user_id, time_us, "buy", asset_id, **more)


def as_scanned(store: DynamoStore, program: Program = TEA) -> list[tuple[str, int, str, str]]:
    return sorted(store.scan_events(program.incarnation))


def test_an_export_has_the_events_of_the_scan_of_one_program(world: World) -> None:
    """Given users with all kinds of ids, histories with bytes, settings and assets, then the log alone is read."""
    ids = ("ada", "a#U#b", "%23", "Zoë", "李", "😀", 'quo"te', "back\\slash", "new\nline", "E#0#x#y")
    events = [event(user, 1_000 + place, asset, event_id=asset) for place, user in enumerate(ids) for asset in ids]
    world.store.append(TEA, events)
    world.store.rebuild_history(TEA, "ada")
    world.store.put_user_attributes(TEA.incarnation, "ada", {"city": "Wien"})
    world.store.append(OTHER, [event("ada", 5), event("eve", 6)])

    export = world.export()

    assert len(events) == len(as_scanned(world.store))
    assert world.rows(export) == as_scanned(world.store)
    assert world.rows(world.export(OTHER)) == [("ada", 5, "buy", "green"), ("eve", 6, "buy", "green")]
    assert world.unreadable == []


def test_an_item_is_read_as_a_client_returns_it(world: World) -> None:
    """Given binary values at every depth, numbers, sets and text, then they are what they were before the export."""
    item: Any = {
        "packed": {"B": b"\x00\xff\x01"},
        "tail_events": {"BS": [b"\x00", b"\xfe\xff"]},
        "nested": {"M": {"deep": {"L": [{"B": b"\x80"}, {"NULL": True}, {"BOOL": False}]}}},
        "amount": {"N": "12.50"},
        "amounts": {"NS": ["1", "2.5"]},
        "names": {"SS": ["李", "a#b"]},
        "empty": {"S": ""},
    }
    world.table.put(ItemKey("x", "y"), item)

    export = world.export()
    exported = [one for file in export.files for one in items(world.s3, export, file) if one["pk"]["S"] == "x"]

    assert exported == [{"pk": {"S": "x"}, "sk": {"S": "y"}, **item}]
    assert exported == [world.table.get(ItemKey("x", "y"))]
    assert export.items == sum(1 for file in export.files for _ in items(world.s3, export, file))


@pytest.mark.parametrize("sk", ["E#no time#buy#green", "E#1", "E#1#buy#green#id#more", f"E#{2**63}#buy#green"])
def test_rows_that_cannot_be_read_set_their_user_aside(world: World, sk: str) -> None:
    world.store.append(TEA, [event("ada", 1), event("b#b", 2)])
    world.table.put(ItemKey(keys.user_pk(TEA.incarnation, "b#b"), sk), {})

    assert world.rows(world.export()) == [("ada", 1, "buy", "green"), ("b#b", 2, "buy", "green")]
    assert world.unreadable == ["b#b"]


def test_users_whose_history_is_marked_are_named(world: World) -> None:
    world.store.append(TEA, [event("ada", 1), event("eve", 2)])
    world.store.append(TEA, [event("b#b", 3)], refresh_histories=False)
    world.store.append(OTHER, [event("zoe", 4)], refresh_histories=False)
    export, marked = world.export(), list[str]()

    count = sum(
        len(part) for file in export.files for part in read_events(world.s3, export, file, marked=marked.append)
    )

    assert count == 3
    assert marked == ["b#b"]


def put_import_state(world: World, **state: Any) -> None:
    body = {"attempts": 2, **state}
    item: Any = {"state_version": {"N": "1"}, "body_json": {"S": json.dumps(body)}}
    world.table.put(import_state_key(TEA.incarnation), item)


def stage(world: World, user_id: str, attempt: int, change: str) -> None:
    key = ItemKey(keys.user_pk(TEA.incarnation, user_id), keys.event_sk(event(user_id, 7)))
    world.table.put(key, {STAGED: {"S": mark_of(attempt, change)}})


def test_rows_that_an_import_stages_count_once_it_is_committed(world: World) -> None:
    for attempt, of in ((1, "done"), (2, "open")):
        for change in (ADDED, REMOVED):
            stage(world, f"{of}{change}", attempt, change)
    put_import_state(world, committed={"Interactions": 1}, open={"Interactions": 2})

    assert [row[0] for row in world.rows(world.export())] == ["done+", "open-"]
    assert [row[0] for row in as_scanned(world.store)] == ["done+", "open-"]


def test_an_import_that_is_committed_around_an_export_has_another_one_requested(world: World) -> None:
    """Given a commit between the first look at the imports and the export, then no row is read by the wrong state."""
    stage(world, "new", 1, ADDED)
    put_import_state(world, committed={}, open={"Interactions": 1})

    def commit() -> None:
        if len(world.client.requests) == 1:
            put_import_state(world, committed={"Interactions": 1})

    world.client.before_export = commit
    export = world.export()

    first, second = world.client.requests
    assert first["ClientToken"] != second["ClientToken"]
    assert export.imports.committed == {"Interactions": 1}
    assert [row[0] for row in world.rows(export)] == ["new"]


def test_the_same_token_is_answered_with_the_same_export(world: World) -> None:
    first = world.exports.request(TEA.incarnation, token="run-1")

    assert world.exports.request(TEA.incarnation, token="run-1") == first
    assert world.exports.request(TEA.incarnation, token="run-2").arn != first.arn
    assert world.exports.request(OTHER.incarnation, token="run-1").arn != first.arn
    assert all(len(request["ClientToken"]) <= 64 for request in world.client.requests)


def test_a_part_holds_so_many_events(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_export, "PART_EVENTS", 2)
    world.store.append(TEA, [event("ada", time_us) for time_us in range(1, 6)])
    export = world.export()

    parts = [part for file in export.files for part in read_events(world.s3, export, file)]

    assert [len(part) for part in parts] == [2, 2, 1]
    assert all(isinstance(part, EventColumns) for part in parts)


def test_an_export_can_be_sent_to_another_process(world: World) -> None:
    world.store.append(TEA, [event("ada", 1)])
    export: TableExport = pickle.loads(pickle.dumps(world.export()))

    assert world.rows(export) == [("ada", 1, "buy", "green")]


def test_deleting_an_export_leaves_no_version_of_its_files(world: World) -> None:
    world.s3.put_object(Bucket=BUCKET, Key="models/tea/1.nbm", Body=b"model")
    export = world.export()

    assert world.exports.delete(export) == len(export.files) + 5  # two manifests, their checksums, _started
    left = world.s3.list_object_versions(Bucket=BUCKET)
    assert [version["Key"] for version in left["Versions"]] == ["models/tea/1.nbm"]
    assert "DeleteMarkers" not in left


def test_waiting_asks_whether_to_go_on(world: World) -> None:
    request = world.exports.request(TEA.incarnation, token="run-1")

    def stop() -> None:
        raise TimeoutError("cancelled")

    with pytest.raises(TimeoutError, match="cancelled"):
        world.exports.wait(request, check=stop)


def test_waiting_pauses_longer_and_longer(world: World) -> None:
    """Given an export that takes long, then DescribeExport is called at growing intervals until it is done."""
    request = world.exports.request(TEA.incarnation, token="run-1")
    done = world.exports.wait(request)
    description = world.client.describe_export(ExportArn=request.arn)["ExportDescription"]
    statuses = ["IN_PROGRESS"] * 8 + ["COMPLETED"]
    pauses: list[float] = []

    def describe(**_: Any) -> Any:
        return {"ExportDescription": {**description, "ExportStatus": statuses.pop(0)}}

    client: Any = world.client
    client.describe_export = describe
    assert TableExports(world.table, TABLE_ARN, world.s3, BUCKET, sleep=pauses.append).wait(request) == done
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30]


def test_a_failed_export_says_why(world: World) -> None:
    exports = TableExports(world.table, TABLE_ARN, world.s3, "no-such-bucket", sleep=lambda _: time.sleep(0.001))

    with pytest.raises(TableExportError, match=r"could not export the table: .* \(S3NoSuchBucket\)"):
        exports.wait(exports.request(TEA.incarnation, token="run-1"))
