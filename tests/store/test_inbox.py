"""Files dropped into the inbox: stored, reported on, or rejected with the reason; never lost, never twice."""

from __future__ import annotations

import gzip
import json
import uuid
from collections.abc import Callable
from dataclasses import replace
from hashlib import md5
from pathlib import Path
from typing import Any

import pytest

from nextbest.aws.table import Table
from nextbest.domain.events import MICROSECONDS, Event
from nextbest.domain.programs import Incarnation
from nextbest.errors import InvalidInput
from nextbest.logic import inbox as module
from nextbest.logic.inbox import Inbox, InboxTask, Report, is_inbox_task
from nextbest.store import keys
from nextbest.store.dynamo import DynamoStore
from tests.store.conftest import PROGRAM, create_table, dynamodb

OWNER = PROGRAM.incarnation
NOW = 1_785_000_000.0
HEADER = "user_id,event_type,asset_id,timestamp,labels"
ROWS = [f"user-{n % 4},order,drink-{n % 3},{1_780_000_000 + n}," for n in range(10)]


def csv(*rows: str) -> bytes:
    return "".join(f"{line}\n" for line in (HEADER, *rows)).encode()


class MemoryBucket:
    """Objects by key. Implements ``logic.inbox.InboxBucket``."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def describe(self, key: str) -> tuple[str, int] | None:
        return (etag_of(self.objects[key]), len(self.objects[key])) if key in self.objects else None

    def download(self, key: str, etag: str, path: Path) -> bool:
        path.write_bytes(self.objects[key])
        return etag_of(self.objects[key]) == etag

    def read(self, key: str) -> bytes | None:
        return self.objects.get(key)

    def write(self, key: str, content: bytes) -> None:
        self.objects[key] = content

    def move(self, key: str, to: str) -> None:
        self.objects[to] = self.objects.pop(key)


class MemoryQueue:
    """Messages in order. Implements ``store.base.MessageQueue``."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def send(self, messages: Any) -> None:
        self.messages += messages


def etag_of(content: bytes) -> str:
    return md5(content, usedforsecurity=False).hexdigest()


class Dropped:
    """An inbox, and files that are dropped into it."""

    def __init__(self, store: DynamoStore, table: Table) -> None:
        self.store, self.table = store, table
        self.bucket, self.queue = MemoryBucket(), MemoryQueue()
        self.now = self.dropped_at = NOW
        self.inbox = Inbox(store, self.bucket, self.queue, clock=self.clock)

    def clock(self) -> float:
        self.now += 0.001
        return self.now

    def task(self, key: str, content: bytes) -> InboxTask:
        self.bucket.objects[key] = content
        return InboxTask(key, etag_of(content), round(self.dropped_at * MICROSECONDS))

    def drop(self, content: bytes, name: str = "orders.csv", *, program: str = "coffee") -> Report | None:
        """Drop a file, and run it and what follows from it to the end."""
        return self.finish(self.task(f"inbox/{program}/{name}", content))

    def finish(self, task: InboxTask) -> Report | None:
        report = self.inbox.run(task, until=NOW * 2)
        while self.queue.messages:
            report = self.inbox.run(InboxTask.from_json(self.queue.messages.pop(0)), until=NOW * 2)
        return report

    def report(self, key: str) -> dict[str, Any]:
        report: dict[str, Any] = json.loads(self.bucket.objects[f"{key}.report.json"])
        return report

    def logged(self) -> int:
        return len(list(self.store.scan_events(OWNER)))


@pytest.fixture
def dropped(start_engine: Callable[[str], str]) -> Dropped:
    """One engine: what is stored here is stored as in the tests of the store."""
    table = create_table(dynamodb(start_engine("dynoxide")), f"test-{uuid.uuid4().hex}")
    store = DynamoStore(table)
    store.create_program(PROGRAM)
    return Dropped(store, table)


def history_size(store: DynamoStore, user_id: str) -> int:
    history = store.read_user(OWNER, user_id).history
    return 0 if history is None else len(history.timestamps_us)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("orders.csv", csv(*ROWS)),
        ("orders.csv.gz", gzip.compress(csv(*ROWS), mtime=0)),
        ("nested/folder/orders of 100% & more+ü.tsv", csv(*ROWS).replace(b",", b"\t")),
        (
            "orders.jsonl",
            "".join(
                json.dumps(dict(zip(HEADER.split(",")[:4], row.split(","), strict=False))) + "\n" for row in ROWS
            ).encode(),
        ),
    ],
)
def test_a_small_file_is_stored_and_seen_at_once(dropped: Dropped, name: str, content: bytes) -> None:
    report = dropped.drop(content, name)

    assert report is not None
    assert (report.status, report.rows, report.stored, report.duplicates, report.rejected) == ("done", 10, 10, 0, 0)
    assert history_size(dropped.store, "user-0") == 3
    assert dropped.report(f"inbox/coffee/{name}")["histories"] == "refreshed at once"
    assert dropped.bucket.objects[f"inbox/coffee/{name}"] == content


def test_rows_that_are_no_events_are_reported_with_line_and_reason(dropped: Dropped) -> None:
    rows = [*ROWS[:3], "user-9,order,tea,yesterday,", "NULL,order,tea,1780000000,", *ROWS[3:], *ROWS[:2]]
    dropped.drop(csv(*rows))

    report = dropped.report("inbox/coffee/orders.csv")
    assert (report["stored"], report["duplicates"], report["rejected"], report["rows"]) == (10, 2, 2, 14)
    assert [row["line"] for row in report["rejected_rows"]] == [5, 6]
    assert "timestamp" in report["rejected_rows"][0]["reason"]
    assert "user-9" not in json.dumps(report)


def test_the_same_file_twice_counts_once(dropped: Dropped) -> None:
    dropped.drop(csv(*ROWS))
    # S3 may tell of a file twice, which is no second drop
    assert dropped.drop(csv(*ROWS)) is None
    dropped.dropped_at = NOW + 60
    again = dropped.drop(csv(*ROWS))
    other_name = dropped.drop(csv(*ROWS), "copy.csv")

    assert again is not None
    assert (again.status, again.stored) == ("done", 10)
    assert "dropped again" in again.reason
    assert other_name is not None
    assert (other_name.stored, other_name.duplicates) == (0, 10)
    assert dropped.logged() == 10


def test_a_large_file_is_stored_in_turns_and_marks_histories(dropped: Dropped, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given turns of few rows, and a file of many
    monkeypatch.setattr(module, "SMALL_FILE_ROWS", 5)
    monkeypatch.setattr(module, "_ROWS_AT_A_TIME", 3)
    monkeypatch.setattr(module, "MAX_USERS_PER_TURN", 2)
    task = dropped.task("inbox/coffee/orders.csv", csv(*ROWS, "bad row"))
    turns = 1
    dropped.inbox.run(task, until=NOW * 2)
    while dropped.queue.messages:
        # When every task comes twice, as messages may
        (message,) = dropped.queue.messages
        assert is_inbox_task(message)
        dropped.queue.messages.clear()
        assert dropped.report("inbox/coffee/orders.csv")["status"] == "running"
        dropped.inbox.run(InboxTask.from_json(message), until=NOW * 2)
        first = list(dropped.queue.messages)
        dropped.queue.messages.clear()
        dropped.inbox.run(InboxTask.from_json(message), until=NOW * 2)
        dropped.queue.messages[:] = first or dropped.queue.messages
        turns += 1
    # Then every row is stored once, and the histories wait for a rebase
    assert turns > 2
    report = dropped.report("inbox/coffee/orders.csv")
    assert (report["status"], report["rows"], report["rejected"]) == ("done", 11, 1)
    assert report["stored"] + report["duplicates"] == 10
    assert dropped.logged() == 10
    assert report["histories"] == "refreshed by the next rebase"
    assert history_size(dropped.store, "user-0") == 0
    users = sorted(dropped.store.backfilled_users(OWNER))
    assert users == ["user-0", "user-1", "user-2", "user-3"]
    assert dropped.store.rebuild_histories(PROGRAM, users) == []
    assert history_size(dropped.store, "user-0") == 3
    assert list(dropped.store.backfilled_users(OWNER)) == []


def test_a_turn_without_time_left_goes_back_to_the_queue(dropped: Dropped) -> None:
    task = dropped.task("inbox/coffee/orders.csv", csv(*ROWS))

    assert dropped.inbox.run(task, until=NOW - 1) is None
    assert [InboxTask.from_json(message) for message in dropped.queue.messages] == [task]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (b"\n\n", "broken is empty"),
        (b"a,b\n1,2\n", "missing column user_id"),
        (gzip.compress(csv(*ROWS), mtime=0)[:-9], "cannot read broken"),
        (csv(*ROWS).decode().encode("utf-16"), "UTF-16"),
        (b"PAR1" + b"x" * 40, "Parquet file, and what reads those is too large"),
        (b"PK\x03\x04", "zip file or a spreadsheet"),
        (b"\x00\xff\xfe" * 50, "is not UTF-8 text"),
    ],
)
def test_a_broken_file_moves_with_the_reason(dropped: Dropped, content: bytes, reason: str) -> None:
    dropped.drop(content, "deep/broken")

    report = dropped.report("rejected/coffee/deep/broken")
    assert report["status"] == "rejected"
    assert reason in report["reason"]
    assert "/tmp" not in report["reason"]
    assert dropped.bucket.objects.keys() == {"rejected/coffee/deep/broken", "rejected/coffee/deep/broken.report.json"}
    assert dropped.bucket.objects["rejected/coffee/deep/broken"] == content
    assert dropped.logged() == 0


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("inbox/orders.csv", "the folder of no program"),
        ("inbox/nobody/orders.csv", "program nobody does not exist"),
        ("inbox/a#b/orders.csv", "program a#b does not exist"),
        ("inbox//orders.csv", "program  does not exist"),
        ("inbox/coffee/" + "x" * 1005, "leaves no room"),
    ],
)
def test_a_file_for_nobody_moves_with_the_reason(dropped: Dropped, key: str, reason: str) -> None:
    dropped.finish(dropped.task(key, csv(*ROWS)))

    assert key not in dropped.bucket.objects
    (report,) = (json.loads(text) for name, text in dropped.bucket.objects.items() if name.endswith(".report.json"))
    assert reason in report["reason"]
    assert all(name.startswith("rejected/") and len(name.encode()) <= 1024 for name in dropped.bucket.objects)


def test_a_file_that_is_too_large_moves_with_the_reason(dropped: Dropped, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 1 << 20)
    dropped.drop(b"x" * ((1 << 20) + 1), "big.csv")

    assert "larger than 1 MB: pack it" in dropped.report("rejected/coffee/big.csv")["reason"]


@pytest.mark.parametrize("key", ["inbox/coffee/a.report.json", "inbox/coffee/", "models/x", "rejected/coffee/a"])
def test_reports_folders_and_other_objects_are_left_alone(dropped: Dropped, key: str) -> None:
    assert dropped.finish(dropped.task(key, csv(*ROWS))) is None
    assert dropped.bucket.objects.keys() == {key}


def test_a_file_that_was_replaced_or_is_gone_is_left_to_its_own_task(dropped: Dropped) -> None:
    task = dropped.task("inbox/coffee/orders.csv", csv(*ROWS))
    dropped.bucket.objects[task.key] = csv(ROWS[0])

    assert dropped.inbox.run(task, until=NOW * 2) is None
    del dropped.bucket.objects[task.key]
    assert dropped.inbox.run(task, until=NOW * 2) is None
    assert dropped.logged() == 0


def test_a_file_of_too_many_rows_moves_with_the_reason(dropped: Dropped, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ROWS", 9)
    dropped.drop(csv(*ROWS))

    assert "more than 9 rows: cut it" in dropped.report("rejected/coffee/orders.csv")["reason"]
    assert dropped.logged() == 0


@pytest.mark.parametrize("small", [10, 5])
def test_rows_of_users_deleted_since_are_not_stored(
    dropped: Dropped, monkeypatch: pytest.MonkeyPatch, small: int
) -> None:
    monkeypatch.setattr(module, "SMALL_FILE_ROWS", small)
    task = dropped.task("inbox/coffee/orders.csv", csv(*ROWS))
    dropped.store.append(PROGRAM, [Event("user-1", 1, "order", "tea")])
    dropped.store.erase_user(OWNER, "user-1", now=NOW + 1)
    report = dropped.finish(task)

    assert report is not None
    assert (report.stored, report.rejected) == (7, 3)
    assert "deleted after" in report.rejected_rows[0]["reason"]
    assert list(dropped.table.query(keys.user_pk(OWNER, "user-1"))) == []


def test_a_user_deleted_while_their_rows_are_stored_leaves_nothing(
    dropped: Dropped, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SMALL_FILE_ROWS", 5)
    mark = dropped.store.mark_users

    def deleted_before_marked(*arguments: Any) -> None:
        dropped.store.erase_user(OWNER, "user-1", now=NOW + 1)
        mark(*arguments)

    monkeypatch.setattr(dropped.store, "mark_users", deleted_before_marked)
    dropped.drop(csv(*ROWS))

    assert list(dropped.table.query(keys.user_pk(OWNER, "user-1"))) == []
    assert len(list(dropped.store.events_of(OWNER, "user-0"))) == 3


def test_rows_that_an_interrupted_turn_stored_of_a_user_deleted_meanwhile_are_removed(
    dropped: Dropped, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a turn that stores rows of a user deleted in the meantime, and is killed before it looks again."""
    task = dropped.task("inbox/coffee/orders.csv", csv(*ROWS))
    append = dropped.store.append

    def killed_after(*arguments: Any, **settings: Any) -> None:
        monkeypatch.setattr(dropped.store, "append", append)  # the next turn is not killed
        dropped.store.erase_user(OWNER, "user-1", now=NOW + 1)
        append(*arguments, **settings)
        raise InterruptedError

    monkeypatch.setattr(dropped.store, "append", killed_after)
    with pytest.raises(InterruptedError):
        dropped.inbox.run(task, until=dropped.now + 60)
    dropped.finish(task)

    assert list(dropped.table.query(keys.user_pk(OWNER, "user-1"))) == []
    assert len(list(dropped.store.events_of(OWNER, "user-0"))) == 3


def test_the_rest_of_a_file_is_never_stored_in_another_program_of_the_same_id(dropped: Dropped) -> None:
    task = dropped.task("inbox/coffee/orders.csv", csv(*ROWS))
    dropped.finish(replace(task, rows_done=3, row_count=10, incarnation=Incarnation("coffee@bbbbbbbbbb")))

    assert "deleted before all of the file was stored" in dropped.report("rejected/coffee/orders.csv")["reason"]
    assert dropped.logged() == 0


@pytest.mark.parametrize("text", ['{"inbox":1}', '{"inbox":{"key":1}}', '{"inbox":', '{"inbox":{"other":"x"}}'])
def test_a_task_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="not a task"):
        InboxTask.from_json(text)


@pytest.mark.parametrize("event", [{}, {"detail": {"object": {"key": "a"}}}, {"detail": [], "time": "x"}])
def test_an_event_that_is_none_of_s3_is_refused(event: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="not an event"):
        InboxTask.from_event(event)
