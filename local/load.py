"""Loads a file of events into a program, through the public API.

    python -m local.load events.csv.gz --program shop

The file is CSV, plain or gzipped, with a header that names ``user_id``, ``event_type``, ``asset_id``, ``timestamp``
(epoch seconds, or ISO 8601; no offset means UTC) and, if wanted, ``labels`` (separated by ``|`` or ``;``), in any
order. It is streamed, never held whole. What is done is kept in a small progress file, so that the same command goes on
after an interruption; sending a row twice would do no harm either, for the same event is one event.

    LoadError             what stops a load: the message says why, and what to do
    ├── FileUnusable      missing, empty, wrong columns, not text
    └── ServerRefuses     no server, wrong key, or an answer that the contract does not know
"""

from __future__ import annotations

import argparse
import csv
import gzip
import hashlib
import io
import json
import math
import os
import random
import re
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

import urllib3
from tqdm import tqdm

REQUIRED_COLUMNS = ("user_id", "event_type", "asset_id", "timestamp")
LABELS_COLUMN = "labels"
# The contract's largest POST /events.
LARGEST_BATCH = 1000
ATTEMPTS = 8
# A server that is not there should be said at once; one that stumbles half-way deserves patience.
FIRST_CONTACT_ATTEMPTS = 3
FIRST_BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS = 0.25, 15.0
TIMEOUT = urllib3.Timeout(connect=5.0, read=60.0)
# The header is row 1, as in a spreadsheet, so the first event is row 2.
HEADER_ROW = 1
EXAMPLES_PER_REASON = 3
# Keeps the counts small should every row be wrong in its own words.
DISTINCT_REASONS = 50
OTHER_REASONS = "other reasons"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?")
_SEPARATORS = re.compile(r"[|;]")


class LoadError(Exception):
    """What stops a load, in words for the person at the keyboard."""


class FileUnusable(LoadError):
    """The file is missing, empty, not text, or lacks columns."""


class ServerRefuses(LoadError):
    """The server is not there, does not open the program, or answers outside the contract."""


class Interrupted(Exception):
    """The load was asked to stop."""


# --- rows ---------------------------------------------------------------------------------------------------------


def column_indexes(header: Sequence[str]) -> dict[str, int]:
    """Where each known column stands, by name; case and surrounding blanks do not matter. Raises FileUnusable."""
    names = [name.strip().lower() for name in header]
    missing = [name for name in REQUIRED_COLUMNS if name not in names]
    if missing:
        found = ", ".join(names) or "none"
        raise FileUnusable(f"missing column {', '.join(missing)}; found {found}. Needed: {', '.join(REQUIRED_COLUMNS)}")
    known = [name for name in (*REQUIRED_COLUMNS, LABELS_COLUMN) if name in names]
    twice = [name for name in known if names.count(name) > 1]
    if twice:
        raise FileUnusable(f"column {', '.join(twice)} is there more than once")
    return {name: names.index(name) for name in known}


def parse_row(row: Sequence[str], columns: Mapping[str, int]) -> dict[str, Any]:
    """One row as an event of ``POST /events``. Raises ValueError with the reason, worded alike for alike rows."""
    if len(row) <= max(columns.values()):
        raise ValueError("too few fields")
    values = {name: row[index].strip() for name, index in columns.items()}
    for name in REQUIRED_COLUMNS:
        if not values[name]:
            raise ValueError(f"{name} is empty")
    return {
        "user_id": values["user_id"],
        "event_timestamp": parse_timestamp(values["timestamp"]),
        "event_type": values["event_type"],
        "asset_id": values["asset_id"],
        "labels": parse_labels(values.get(LABELS_COLUMN, "")),
    }


def parse_timestamp(text: str) -> str:
    """Epoch seconds or ISO 8601 to ISO 8601 in UTC, to the microsecond. Raises ValueError with the reason."""
    if _NUMBER.fullmatch(text):
        seconds = float(text)
        try:
            when = _EPOCH + timedelta(microseconds=round(seconds * 1_000_000)) if math.isfinite(seconds) else None
        except OverflowError:
            when = None
        if when is None:
            raise ValueError("timestamp is outside the years 1 to 9999; seconds are needed, not milliseconds")
    else:
        try:
            when = datetime.fromisoformat(text)
        except ValueError:
            raise ValueError("timestamp is neither epoch seconds nor ISO 8601") from None
        try:
            when = when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
        except OverflowError:
            raise ValueError("timestamp is outside the years 1 to 9999") from None
    return when.isoformat().replace("+00:00", "Z")


def parse_labels(text: str) -> list[str]:
    """Labels in their order, without blanks and repetitions."""
    return list(dict.fromkeys(label for part in _SEPARATORS.split(text) if (label := part.strip())))


# --- counts and progress ------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Reason:
    """How many rows were rejected for one reason, and the first of them."""

    count: int = 0
    rows: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Counts:
    """What became of rows: taken in, known already, or rejected and why."""

    accepted: int = 0
    duplicates: int = 0
    reasons: dict[str, Reason] = field(default_factory=dict)

    @property
    def rejected(self) -> int:
        """Rows rejected for any reason."""
        return sum(reason.count for reason in self.reasons.values())

    @property
    def rows(self) -> int:
        """All rows counted."""
        return self.accepted + self.duplicates + self.rejected

    def reject(self, row: int, why: str) -> None:
        """Count one rejected row."""
        self._add_reason(why, 1, [row])

    def add(self, other: Counts) -> None:
        """Add the counts of other rows."""
        self.accepted += other.accepted
        self.duplicates += other.duplicates
        for why, reason in other.reasons.items():
            self._add_reason(why, reason.count, reason.rows)

    def _add_reason(self, why: str, count: int, rows: list[int]) -> None:
        if why not in self.reasons and len(self.reasons) >= DISTINCT_REASONS:
            why = OTHER_REASONS
        reason = self.reasons.setdefault(why, Reason())
        reason.count += count
        reason.rows = sorted([*reason.rows, *rows])[:EXAMPLES_PER_REASON]


@dataclass(slots=True)
class Progress:
    """Which rows are done and what became of them: ``ranges`` of row numbers (first, one past last), sorted, apart."""

    ranges: list[tuple[int, int]] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)

    def add(self, ranges: Iterable[tuple[int, int]], counts: Counts) -> None:
        """Note rows as done."""
        merged: list[tuple[int, int]] = []
        for start, stop in sorted([*self.ranges, *ranges]):
            if merged and start <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
            else:
                merged.append((start, stop))
        self.ranges = merged
        self.counts.add(counts)

    def save(self, path: Path) -> None:
        """Write the progress file, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        reasons = {why: {"count": reason.count, "rows": reason.rows} for why, reason in self.counts.reasons.items()}
        counts = {"accepted": self.counts.accepted, "duplicates": self.counts.duplicates, "reasons": reasons}
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps({"ranges": self.ranges, "counts": counts}))
        partial.replace(path)

    @classmethod
    def read(cls, path: Path) -> Progress:
        """The progress kept at ``path``; none yet where there is no file. Raises FileUnusable if it is damaged."""
        if not path.exists():
            return cls()
        try:
            kept = json.loads(path.read_text())
            reasons = {why: Reason(**reason) for why, reason in kept["counts"].pop("reasons").items()}
            ranges = [(int(start), int(stop)) for start, stop in kept["ranges"]]
            return cls(ranges=ranges, counts=Counts(**kept["counts"], reasons=reasons))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise FileUnusable(f"the progress file {path} is damaged ({error}); --restart begins anew") from error


# --- the file -----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Batch:
    """Rows to send together: events with their row numbers, the rows covered, and those rejected before sending."""

    events: list[dict[str, Any]] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    ranges: list[tuple[int, int]] = field(default_factory=list)
    rejected: Counts = field(default_factory=Counts)

    def cover(self, row: int) -> None:
        """Note that the batch answers for a row; rows come in rising order."""
        if self.ranges and self.ranges[-1][1] == row:
            self.ranges[-1] = (self.ranges[-1][0], row + 1)
        else:
            self.ranges.append((row, row + 1))

    @property
    def covered(self) -> int:
        """How many rows the batch answers for."""
        return sum(stop - start for start, stop in self.ranges)


@contextmanager
def open_text(path: Path) -> Iterator[IO[str]]:
    """The file as text, unpacked if it is gzip (told by its first bytes, not by its name)."""
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        binary = gzip.GzipFile(fileobj=raw) if packed else raw
        with io.TextIOWrapper(binary, encoding="utf-8-sig", newline="") as text:
            yield text


def read_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Row number and fields of each row, header first, blank lines left out. Raises FileUnusable."""
    row = 0
    try:
        with open_text(path) as text:
            for row, fields in enumerate(csv.reader(text), start=HEADER_ROW):
                if fields:
                    yield row, fields
    except FileNotFoundError:
        raise FileUnusable(f"there is no file {path}") from None
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise FileUnusable(f"cannot read {path} after row {row}: {error}") from error


def read_batches(path: Path, batch_size: int, done: Sequence[tuple[int, int]] = ()) -> Iterator[Batch]:
    """The rows outside the ranges ``done``, in batches that cover up to ``batch_size`` rows. Raises FileUnusable."""
    rows = read_rows(path)
    first = next(rows, None)
    if first is None:
        raise FileUnusable(f"{path} is empty; a header and rows are needed")
    columns = column_indexes(first[1])
    batch = Batch()
    for row, fields in rows:
        if any(start <= row < stop for start, stop in done):
            continue
        batch.cover(row)
        try:
            batch.events.append(parse_row(fields, columns))
            batch.rows.append(row)
        except ValueError as error:
            batch.rejected.reject(row, str(error))
        if batch.covered >= batch_size:
            yield batch
            batch = Batch()
    if batch.ranges:
        yield batch


def count_rows(path: Path) -> int:
    """How many event rows the file has. Raises FileUnusable."""
    return max(0, sum(1 for _ in read_rows(path)) - 1)


def progress_path(state: Path, file: Path, program: str, url: str) -> Path:
    """The progress file of one file's content into one program of one server."""
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256")
    digest.update(f"\n{program}\n{url}".encode())
    return state / "load" / f"{digest.hexdigest()[:32]}.json"


# --- the server ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Server:
    """One program on one server, over kept-alive connections.

    ``generator`` draws the jitter of repeated attempts, ``pause`` waits that many seconds; both can be replaced, so
    that tests take no time.
    """

    url: str
    program: str
    key: str
    pool: urllib3.PoolManager
    generator: random.Random
    pause: Callable[[float], None]

    def open_program(self) -> bool:
        """Make sure that the program is there; True if it had to be created. Raises ServerRefuses."""
        if self._program_opens():
            return False
        body = {"program_name": self.program, "program_id": self.program}
        status, answer = self.call("POST", "/programs", body)
        if status != 200:
            raise ServerRefuses(f"cannot open or create program {self.program}: {_refusal(status, answer)}")
        if not self._program_opens():
            raise ServerRefuses(f"created program {self.program}, but this key does not open it; use an admin key")
        return True

    def post(self, batch: Batch, *, process_user_actions: bool = True) -> Counts:
        """Send a batch; rows that the server names in a 422 are counted as rejected and the rest is sent again.

        Raises ServerRefuses for any other refusal.
        """
        counts = Counts()
        counts.add(batch.rejected)
        events, rows = batch.events, batch.rows
        path = f"/events?process_user_actions={str(process_user_actions).lower()}"
        while events:
            status, answer = self.call("POST", path, {"events": events})
            if status == 200:
                accepted, duplicates = _posted(answer)
                counts.accepted += accepted
                counts.duplicates += duplicates
                break
            wrong = _wrong_events(answer, len(events)) if status == 422 else {}
            if not wrong:
                raise ServerRefuses(f"the server refused rows {rows[0]} to {rows[-1]}: {_refusal(status, answer)}")
            for index, why in sorted(wrong.items()):
                counts.reject(rows[index], why)
            events = [event for index, event in enumerate(events) if index not in wrong]
            rows = [row for index, row in enumerate(rows) if index not in wrong]
        return counts

    def call(self, method: str, path: str, body: object = None, attempts: int = ATTEMPTS) -> tuple[int, Any]:
        """Status and decoded JSON of one request; 429, 5xx and lost connections are tried again, later and later.

        Raises ServerRefuses when the last attempt fails too, or when the answer is not JSON.
        """
        headers = {"program-id": self.program, "actionhub-key": self.key, "content-type": "application/json"}
        content = None if body is None else json.dumps(body).encode()
        for attempt in range(attempts):
            if attempt:
                longest = min(LONGEST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2 ** (attempt - 1))
                self.pause(longest * self.generator.uniform(0.5, 1.0))
            try:
                answer = self.pool.request(
                    method, self.url + path, body=content, headers=headers, timeout=TIMEOUT, retries=False
                )
            except urllib3.exceptions.HTTPError as error:
                trouble = f"no answer from {self.url} ({error}). Is it running? `make start` starts the local stack"
                continue
            if answer.status != 429 and answer.status < 500:
                return answer.status, _decode(answer.status, answer.data)
            trouble = f"{self.url} kept answering {answer.status} to {method} {path}"
        raise ServerRefuses(f"{trouble}; gave up after {attempts} attempts")

    def _program_opens(self) -> bool:
        """Whether the key opens the program; a 403 says no more than a 404, so that keys cannot probe for names."""
        status, answer = self.call("GET", "/program", attempts=FIRST_CONTACT_ATTEMPTS)
        if status in (200, 403, 404):
            return status == 200
        raise ServerRefuses(f"cannot open program {self.program}: {_refusal(status, answer)}")


def _decode(status: int, data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        raise ServerRefuses(f"the server answered {status} without JSON: is this a Nextbest server?") from None


def _posted(answer: Any) -> tuple[int, int]:
    """Accepted and duplicate events of a 200 to POST /events."""
    accepted, duplicates = (
        (answer.get("accepted"), answer.get("duplicates")) if isinstance(answer, dict) else (None,) * 2
    )
    if not isinstance(accepted, int) or not isinstance(duplicates, int):
        raise ServerRefuses("the server's answer lacks the counts `accepted` and `duplicates`")
    return accepted, duplicates


def _wrong_events(answer: Any, size: int) -> dict[int, str]:
    """The events that a 422 names, by index, each with its first reason."""
    wrong: dict[int, str] = {}
    details = answer.get("detail") if isinstance(answer, dict) else None
    for detail in details if isinstance(details, list) else []:
        place = detail.get("loc", []) if isinstance(detail, dict) else []
        if place[:2] == ["body", "events"] and len(place) > 2 and isinstance(place[2], int) and 0 <= place[2] < size:
            field_name = ".".join(str(part) for part in place[3:])
            wrong.setdefault(place[2], f"{field_name}: {detail.get('msg', '')}".removeprefix(": "))
    return wrong


def _refusal(status: int, answer: Any) -> str:
    """Status and the server's own words."""
    return f"{status} {json.dumps(answer.get('detail', answer) if isinstance(answer, dict) else answer)}"


# --- the load -----------------------------------------------------------------------------------------------------


def load(
    path: Path,
    server: Server,
    *,
    progress_file: Path,
    stop: threading.Event,
    batch_size: int = LARGEST_BATCH,
    workers: int = 2,
    process_user_actions: bool = True,
    report: Callable[[Batch], object] = lambda _: None,
) -> Counts:
    """Send what is not sent yet, ``workers`` batches at a time, and return the counts of the whole file.

    The progress file is brought up to date after each batch and removed at the end; however a load is cut short, what
    the server has confirmed is noted first. ``stop`` is set when the load ends, so that workers do not linger in a
    pause. ``report`` hears of each batch done. Raises LoadError.
    """
    progress = Progress.read(progress_file)
    pending: dict[Future[Counts], Batch] = {}
    executor = ThreadPoolExecutor(workers, thread_name_prefix="load")

    def settle(futures: Iterable[Future[Counts]]) -> list[Batch]:
        batches = []
        for future in futures:
            counts = future.result()
            batches.append(pending.pop(future))
            progress.add(batches[-1].ranges, counts)
            progress.save(progress_file)
        return batches

    def settle_some() -> None:
        for batch in settle(wait(pending, return_when=FIRST_COMPLETED).done):
            report(batch)

    try:
        for batch in read_batches(path, batch_size, tuple(progress.ranges)):
            # A few batches in waiting keep the workers busy and the memory small.
            if len(pending) >= 2 * workers:
                settle_some()
            pending[executor.submit(server.post, batch, process_user_actions=process_user_actions)] = batch
        while pending:
            settle_some()
    finally:
        stop.set()
        executor.shutdown(cancel_futures=True)
        settle([future for future in pending if not future.cancelled() and future.exception() is None])
    progress_file.unlink(missing_ok=True)
    return progress.counts


def summary(counts: Counts, sent: int, seconds: float) -> str:
    """The last words of a load: the counts of the file, the rate of this run, and each reason with its first rows."""
    rate = f"{sent / seconds:,.0f} rows/s" if seconds > 0 else "at once"
    lines = [
        f"{counts.rows:,} rows: accepted {counts.accepted:,}, duplicate {counts.duplicates:,}, "
        f"rejected {counts.rejected:,} ({seconds:.1f} s, {rate})"
    ]
    for why, reason in sorted(counts.reasons.items(), key=lambda item: -item[1].count):
        rows = ", ".join(str(row) for row in reason.rows)
        lines.append(
            f"  rejected {reason.count:,}: {why} (row {rows}{', ...' if reason.count > len(reason.rows) else ''})"
        )
    return "\n".join(lines)


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line, checked."""
    parser = argparse.ArgumentParser(prog="python -m local.load", description="Load a file of events into a program.")
    parser.add_argument("file", type=Path, help="CSV or CSV.gz with user_id, event_type, asset_id, timestamp, labels")
    parser.add_argument("--program", required=True, help="the program; created if it does not exist")
    parser.add_argument("--url", default="http://127.0.0.1:3000", help="the server (default %(default)s)")
    parser.add_argument("--key", default=os.environ.get("NEXTBEST_KEY"), help="actionhub-key (default $NEXTBEST_KEY)")
    parser.add_argument("--batch", type=int, default=LARGEST_BATCH, help="rows in one request (default %(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="requests at a time (default %(default)s)")
    parser.add_argument("--restart", action="store_true", help="begin with the first row, whatever was done before")
    parser.add_argument("--back-fill", action="store_true", help="send process_user_actions=false")
    parser.add_argument(
        "--state", type=Path, default=Path(".state"), help="where progress is kept (default %(default)s)"
    )
    chosen = parser.parse_args(argv)
    if not 1 <= chosen.batch <= LARGEST_BATCH:
        parser.error(f"--batch is {chosen.batch}; 1 to {LARGEST_BATCH} is allowed")
    if chosen.workers < 1:
        parser.error(f"--workers is {chosen.workers}; at least 1 is needed")
    if not chosen.url.startswith(("http://", "https://")):
        parser.error(f"--url is {chosen.url}; http://host:port or https://host is needed")
    if not chosen.key:
        parser.error("a key is needed: --key, or NEXTBEST_KEY in the environment (`make start` prints the demo key)")
    return chosen


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0 when every row was answered for, 1 when the load could not be done, 130 on Ctrl-C."""
    chosen = arguments(argv)
    stop = threading.Event()
    try:
        return _run(chosen, stop)
    except LoadError as error:
        print(f"load: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, Interrupted):
        print("load: stopped; the same command goes on from here", file=sys.stderr)
        return 130
    finally:
        stop.set()


def _run(chosen: argparse.Namespace, stop: threading.Event) -> int:
    def pause(seconds: float) -> None:
        if stop.wait(seconds):
            raise Interrupted

    total = count_rows(chosen.file)
    if total == 0:
        raise FileUnusable(f"{chosen.file} has no rows; a header and rows are needed")
    url = chosen.url.rstrip("/")
    progress_file = progress_path(chosen.state, chosen.file, chosen.program, url)
    if chosen.restart:
        progress_file.unlink(missing_ok=True)
    pool = urllib3.PoolManager(maxsize=chosen.workers)
    # Jitter only keeps workers out of step; a fixed seed does that and repeats.
    server = Server(url, chosen.program, chosen.key, pool, random.Random(0), pause)
    if server.open_program():
        print(f"created program {chosen.program}")
    before = Progress.read(progress_file).counts.rows
    if before:
        print(f"going on after {before:,} rows done earlier")
    began = time.monotonic()
    with tqdm(total=total, initial=before, unit=" rows", unit_scale=True, desc=chosen.program, disable=None) as bar:
        counts = load(
            chosen.file,
            server,
            progress_file=progress_file,
            stop=stop,
            batch_size=chosen.batch,
            workers=chosen.workers,
            process_user_actions=not chosen.back_fill,
            report=lambda batch: bar.update(batch.covered),
        )
    print(summary(counts, counts.rows - before, time.monotonic() - began))
    return 0


if __name__ == "__main__":
    sys.exit(main())
