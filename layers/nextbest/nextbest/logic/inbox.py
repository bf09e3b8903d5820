"""Files of events that are dropped into a bucket: checked, stored, and reported on beside the file.

    inbox/<program>/<name>                       a file of events, in any of the kinds of ``event_files``
    inbox/<program>/<name>.report.json           how far it is stored, and which of its rows were rejected
    rejected/<program>/<name>[.report.json]      a file of which nothing can be read, and why

A file is read to its end once before anything is stored. Then its rows are stored in turns that fit into one
invocation; between them a task in the queue says where to continue. A turn that is repeated stores nothing twice, as
the same event is one event. Histories are refreshed at once for a small file. Those of a large one are marked, once its
rows are in the log, and the next rebase rebuilds them.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from nextbest.domain.access_keys import PROGRAM_ID
from nextbest.domain.events import MICROSECONDS
from nextbest.domain.programs import Incarnation, Program
from nextbest.errors import FileUnusable, InvalidInput
from nextbest.event_files.content import is_parquet
from nextbest.event_files.reader import EventRow, RejectedRow, check_file, read_rows
from nextbest.event_files.row_counts import Counts, ReasonCount
from nextbest.event_files.rows import RowRules
from nextbest.logic.events import store_unless_deleted
from nextbest.store.base import MessageQueue, Store

INBOX, REJECTED, REPORT = "inbox/", "rejected/", ".report.json"
MAX_FILE_BYTES = 256 * 1024 * 1024
"""What fits beside everything else into the 512 MB that a function has for files."""

MAX_ROWS = 5_000_000
"""Each turn reads past the rows that are done."""

SMALL_FILE_ROWS = 10_000
"""Up to so many rows histories are refreshed at once."""

MAX_REPORTED_ROWS = 1_000
MAX_USERS_PER_TURN = 20_000
"""Their histories have to be marked within what is left of the turn."""

_ROWS_AT_A_TIME = 5_000
_MAX_KEY_BYTES = 1_024
_NO_PARQUET = (
    "it is a Parquet file, and what reads those is too large for a Lambda function: save it as CSV or JSON Lines, or "
    "load it with ./nextbest load"
)
_DELETED_USER = "its user was deleted after the file was dropped"

Clock = Callable[[], float]


class InboxBucket(Protocol):
    """The bucket that holds the inbox."""

    def describe(self, key: str) -> tuple[str, int] | None:
        """The entity tag and the size in bytes of an object; None where there is none."""
        ...

    def download(self, key: str, etag: str, path: Path) -> bool:
        """Write an object to a file; False where it is no longer the one with this entity tag."""
        ...

    def read(self, key: str) -> bytes | None: ...

    def write(self, key: str, content: bytes) -> None: ...

    def move(self, key: str, to: str) -> None: ...


@dataclass(frozen=True, slots=True)
class InboxTask:
    """Store a file from one of its rows on. ``dropped_us`` is in microseconds since 1970.

    ``incarnation`` is that of the program when the first rows were stored; None before that.
    """

    key: str
    etag: str
    dropped_us: int
    rows_done: int = 0
    row_count: int = 0
    incarnation: Incarnation | None = None

    def to_json(self) -> str:
        return json.dumps({_TASK: asdict(self)}, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> InboxTask:
        """Inverse of ``to_json``. Raises InvalidInput."""
        try:
            return cls(**json.loads(text)[_TASK])
        except (ValueError, TypeError, KeyError) as error:
            raise InvalidInput("this is not a task about a file of the inbox") from error

    @classmethod
    def from_event(cls, event: Mapping[str, Any]) -> InboxTask:
        """The task in an event that S3 sends to EventBridge for a new object. Raises InvalidInput."""
        try:
            thing = event["detail"]["object"]
            dropped = datetime.fromisoformat(event["time"]).timestamp()
            return cls(str(thing["key"]), str(thing["etag"]).strip('"'), round(dropped * MICROSECONDS))
        except (ValueError, TypeError, KeyError) as error:
            raise InvalidInput("this is not an event about an object of S3") from error


_TASK = "inbox"


def is_inbox_task(text: str) -> bool:
    """Whether a message of the queue is a task about a file."""
    return text.startswith(f'{{"{_TASK}":')


@dataclass(slots=True)
class Report:
    """What is written beside a file. ``rows`` is how many of its rows are done, one way or another."""

    file: str
    etag: str
    status: str = "running"
    reason: str = ""
    incarnation: str = ""
    rows: int = 0
    stored: int = 0
    duplicates: int = 0
    rejected: int = 0
    histories: str = ""
    updated_at: str = ""
    reasons: list[dict[str, Any]] = field(default_factory=list)
    rejected_rows: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def read(cls, content: bytes | None) -> Report | None:
        """An earlier report; None where there is none that can be read."""
        try:
            return cls(**json.loads(content)) if content is not None else None
        except (ValueError, TypeError):
            return None

    def counts(self) -> Counts:
        reasons = {entry["reason"]: ReasonCount(entry["rows"], list(entry["lines"])) for entry in self.reasons}
        return Counts(self.stored, self.duplicates, reasons)

    def updated_us(self) -> int:
        """When it was last written, in microseconds since 1970."""
        return round(datetime.fromisoformat(self.updated_at).timestamp() * MICROSECONDS)

    def update(self, counts: Counts) -> None:
        self.stored, self.duplicates, self.rejected = counts.accepted, counts.duplicates, counts.rejected
        self.reasons = [
            {"reason": why, "rows": reason.count, "lines": reason.lines} for why, reason in counts.reasons.items()
        ]


class Inbox:
    """Stores dropped files. ``clock`` gives seconds since 1970."""

    def __init__(self, store: Store, bucket: InboxBucket, queue: MessageQueue, *, clock: Clock) -> None:
        self._store = store
        self._bucket = bucket
        self._queue = queue
        self._clock = clock

    def run(self, task: InboxTask, *, until: float) -> Report | None:
        """Store rows of a file until ``until`` (seconds since 1970), and queue what is left; None if there is nothing.

        Raises Unavailable, and what calls to AWS raise: then the task has to be run again.
        """
        if not task.key.startswith(INBOX) or task.key.endswith((REPORT, "/")):
            return None
        described = self._bucket.describe(task.key)
        if described is None or described[0] != task.etag:
            return None  # gone; or replaced, and there is a task for what replaced it
        if self._clock() >= until:
            self._queue.send([task.to_json()])
            return None
        report_key = task.key + REPORT
        report = Report(task.key, task.etag)
        if len(report_key.encode()) > _MAX_KEY_BYTES:
            return self._reject(task, report, f"its name leaves no room for {REPORT}")
        program, reason = self._program(task)
        if program is None:
            return self._reject(task, report, reason)
        earlier = Report.read(self._bucket.read(report_key))
        if earlier is not None and (earlier.etag, earlier.incarnation) == (task.etag, program.incarnation):
            report = earlier
        if report.status == "done":
            if task.dropped_us <= report.updated_us():
                return None  # S3 told of it twice
            report.reason = "the same content was dropped again, and is stored already"
            self._write(report_key, report)
            return report
        if report.rows > task.rows_done:  # an earlier delivery of this task came further
            task = replace(task, rows_done=report.rows)
        if described[1] == 0:
            return self._reject(task, report, "it is empty")
        if described[1] > MAX_FILE_BYTES:
            limit = f"{MAX_FILE_BYTES // 1024**2} MB"
            return self._reject(task, report, f"it is larger than {limit}: pack it with gzip or zstd, or cut it")
        report.incarnation = program.incarnation
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "file"
            if not self._bucket.download(task.key, task.etag, path):
                return None
            try:
                return self._store_rows(task, program, path, report, until)
            except FileUnusable as error:
                reason = error.message.replace(str(path), task.key.rpartition("/")[2])
                return self._reject(task, report, reason)

    def _program(self, task: InboxTask) -> tuple[Program | None, str]:
        """The program whose inbox a file is in; or None, and why the file cannot be stored."""
        program_id, slash, _ = task.key.removeprefix(INBOX).partition("/")
        if not slash:
            return None, f"it is in the folder of no program: {INBOX}<program id>/<name> is needed"
        state = self._store.program_state(program_id) if PROGRAM_ID.fullmatch(program_id) else None
        if state is None:
            return None, f"program {program_id} does not exist"
        if task.incarnation not in (None, state.program.incarnation):
            return None, f"program {program_id} was deleted before all of the file was stored"
        return state.program, ""

    def _store_rows(self, task: InboxTask, program: Program, path: Path, report: Report, until: float) -> Report:
        rules = RowRules(now=self._clock())
        if is_parquet(path):
            raise FileUnusable(_NO_PARQUET)
        row_count = task.row_count or check_file(path, rules)
        if row_count > MAX_ROWS:
            raise FileUnusable(f"it has more than {MAX_ROWS:,} rows: cut it into several files")
        at_once = row_count <= SMALL_FILE_ROWS
        report.histories = "refreshed at once" if at_once else "refreshed by the next rebase"
        counts = report.counts()
        rows = read_rows(path, rules, skip=task.rows_done)
        users: set[str] = set()
        broken: FileUnusable | None = None
        finished = False
        report.rows = task.rows_done
        while True:  # once at least: every turn comes further
            try:
                batch = list(islice(rows, _ROWS_AT_A_TIME))
            except FileUnusable as error:
                broken = error
                break
            finished = len(batch) < _ROWS_AT_A_TIME
            users |= self._store_batch(task, program, batch, report, counts, at_once=at_once)
            report.rows += len(batch)
            if finished or self._clock() >= until or len(users) >= MAX_USERS_PER_TURN:
                break
        if not at_once:
            # After the rows: whoever rebuilds a history meanwhile leaves a mark that comes later alone.
            self._store.mark_users(program, users)
            for user_id in self._store.erased_since(program.incarnation, list(users), task.dropped_us):
                self._store.forget_events(program, user_id, [])
        report.update(counts)
        if broken is not None:
            raise broken
        report.status = "done" if finished else "running"
        self._write(task.key + REPORT, report)
        if not finished:
            following = replace(task, rows_done=report.rows, row_count=row_count, incarnation=program.incarnation)
            self._queue.send([following.to_json()])
        return report

    def _store_batch(
        self,
        task: InboxTask,
        program: Program,
        batch: Sequence[EventRow | RejectedRow],
        report: Report,
        counts: Counts,
        *,
        at_once: bool,
    ) -> set[str]:
        """Store some rows; the users whose events were stored and who are still there."""
        rows = [row for row in batch if isinstance(row, EventRow)]
        outcome = store_unless_deleted(
            self._store,
            program,
            [row.event for row in rows],
            since_us=task.dropped_us,
            write=self._store.append if at_once else self._store.log_events,
        )
        reasons = {rows[place].number: reason for place, reason in outcome.refused.items()}
        reasons |= {row.number: _DELETED_USER for row in rows if row.event.user_id in outcome.skipped}
        for row in batch:
            if isinstance(row, RejectedRow):
                _reject_row(row, report, counts)
            elif row.number in reasons:
                _reject_row(RejectedRow(row.number, row.line, reasons[row.number]), report, counts)
        counts.accepted += outcome.stored.accepted
        counts.duplicates += outcome.stored.duplicates
        return {row.event.user_id for row in rows} - outcome.deleted

    def _reject(self, task: InboxTask, report: Report, reason: str) -> Report:
        """Move a file of which nothing more can be stored, with its report."""
        name = task.key.removeprefix(INBOX)
        while len(f"{REJECTED}{name}{REPORT}".encode()) > _MAX_KEY_BYTES:
            name = name[1:]
        report.status, report.reason = "rejected", reason
        if report.rows:  # a turn before has left a report that says otherwise
            self._write(task.key + REPORT, report)
        self._write(f"{REJECTED}{name}{REPORT}", report)
        self._bucket.move(task.key, f"{REJECTED}{name}")
        return report

    def _write(self, key: str, report: Report) -> None:
        report.updated_at = datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="seconds")
        self._bucket.write(key, json.dumps(asdict(report), indent=2, ensure_ascii=False).encode())


def _reject_row(row: RejectedRow, report: Report, counts: Counts) -> None:
    counts.reject(row)
    if len(report.rejected_rows) < MAX_REPORTED_ROWS:
        report.rejected_rows.append({"line": row.line, "reason": row.reason})
