"""Files dropped into the local stack's bucket: seen by the API, reported on, or moved with the reason."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from tests.contract.conftest import Program
from tests.contract.stacks import RunningStack
from tests.waiting import wait_until

pytestmark = pytest.mark.stack

T0 = 1_780_000_000
ROWS = [{"user_id": "ada", "event_type": "order", "asset_id": f"drink-{n}", "timestamp": T0 + n} for n in range(5)]
CSV = "user_id,event_type,asset_id,timestamp\n" + "".join(f"{','.join(map(str, row.values()))}\n" for row in ROWS)


class Inbox:
    """The inbox of one program of a running stack."""

    def __init__(self, stack: RunningStack, program: Program) -> None:
        self._stack = stack
        self._program = program
        (self._bucket,) = stack.buckets

    def drop(self, name: str, content: bytes) -> None:
        self._stack.s3.put_object(Bucket=self._bucket, Key=f"inbox/{self._program.program_id}/{name}", Body=content)

    def names(self, folder: str = "inbox") -> set[str]:
        prefix = f"{folder}/{self._program.program_id}/"
        listed = self._stack.s3.list_objects_v2(Bucket=self._bucket, Prefix=prefix).get("Contents", [])
        return {entry["Key"].removeprefix(prefix) for entry in listed}

    def report(self, name: str, folder: str = "inbox") -> Any:
        """The report on a file, once all is done."""
        reports: list[Any] = []

        def is_done() -> bool:
            if f"{name}.report.json" not in self.names(folder):
                return False
            key = f"{folder}/{self._program.program_id}/{name}.report.json"
            body = self._stack.s3.get_object(Bucket=self._bucket, Key=key)["Body"]
            reports.append(json.loads(body.read()))
            return bool(reports[-1]["status"] != "running")

        wait_until(is_done, seconds=60)
        return reports[-1]

    def events(self, user_id: str = "ada") -> set[str]:
        """The assets of the user's events, by the API."""
        answer = self._program.http.get(f"/users/{user_id}/events")
        return {event["asset_id"] for event in answer.json()["history"]} if answer.status_code == 200 else set()


@pytest.fixture
def inbox(stack: RunningStack, program: Program) -> Inbox:
    return Inbox(stack, program)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("orders of october + 100%.csv", CSV.encode()),
        ("nested/café.jsonl.gz", gzip.compress("".join(f"{json.dumps(row)}\n" for row in ROWS).encode(), mtime=0)),
    ],
)
def test_a_dropped_file_is_seen_by_the_api(inbox: Inbox, program: Program, name: str, content: bytes) -> None:
    inbox.drop(name, content)

    report = inbox.report(name)
    assert (report["status"], report["stored"], report["rejected"]) == ("done", 5, 0)
    assert inbox.events() == {f"drink-{n}" for n in range(5)}
    assert program.http.get("/users/ada/actions").json()["actions"]
    assert inbox.names() == {name, f"{name}.report.json"}


def test_a_broken_file_moves_with_the_reason_and_stops_no_other(inbox: Inbox) -> None:
    inbox.drop("broken.csv.gz", gzip.compress(CSV.encode())[:-4])
    inbox.drop("good.csv", CSV.encode())

    assert inbox.report("good.csv")["stored"] == 5
    report = inbox.report("broken.csv.gz", "rejected")
    assert report["status"] == "rejected"
    assert "broken.csv.gz" in report["reason"]
    # The file itself goes last, so that its report is there whenever it is gone.
    wait_until(lambda: inbox.names() == {"good.csv", "good.csv.report.json"}, seconds=60)


def test_a_file_of_many_rows_is_stored_and_waits_for_a_rebase(inbox: Inbox, program: Program) -> None:
    rows = [f"user-{n % 700},order,drink-{n % 40},{1_780_000_000 + n}" for n in range(12_000)]
    inbox.drop("many.csv", "\n".join(["user_id,event_type,asset_id,timestamp", *rows]).encode())

    report = inbox.report("many.csv")
    assert (report["status"], report["rows"], report["stored"]) == ("done", 12_000, 12_000)
    assert report["histories"] == "refreshed by the next rebase"
    assert inbox.events("user-7") == {f"drink-{(7 + 700 * n) % 40}" for n in range(17)}
    assert program.http.get("/users/user-7/actions").status_code == 404
    assert program.http.put("/program/rebase").status_code == 200
    wait_until(lambda: program.http.get("/users/user-7/actions").status_code == 200, seconds=120)
