"""The rows of an event file: read as a stream, made events of ``POST /events``, and batched by user."""

from __future__ import annotations

import csv
import gzip
import io
import math
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

from tools.cli.load_errors import FileUnusable
from tools.cli.load_progress import Counts, merge_ranges

REQUIRED_COLUMNS = ("user_id", "event_type", "asset_id", "timestamp")
LABELS_COLUMN = "labels"
# The contract's largest POST /events.
LARGEST_BATCH = 1000
# Files are usually ordered by time: a thousand consecutive rows have hundreds of users, and a user's history is one
# write however many events it gets. So the rows of a window are sent user by user. 50,000 take about 50 MB.
WINDOW_ROWS = 50_000
# The header is row 1, as in a spreadsheet, so the first event is row 2.
HEADER_ROW = 1

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?")
_SEPARATORS = re.compile(r"[|;]")


def column_indexes(header: Sequence[str]) -> dict[str, int]:
    """The index of each known column, by name; case and surrounding blanks do not matter. Raises FileUnusable."""
    names = [name.strip().lower() for name in header]
    missing = [name for name in REQUIRED_COLUMNS if name not in names]
    if missing:
        present = ", ".join(names) or "none"
        raise FileUnusable(
            f"missing column {', '.join(missing)}; found {present}. Needed: {', '.join(REQUIRED_COLUMNS)}"
        )
    known = [name for name in (*REQUIRED_COLUMNS, LABELS_COLUMN) if name in names]
    twice = [name for name in known if names.count(name) > 1]
    if twice:
        raise FileUnusable(f"column {', '.join(twice)} appears more than once")
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


@dataclass(slots=True)
class Batch:
    """Rows to send together: events with their row numbers, and the rows rejected before sending."""

    events: list[dict[str, Any]] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    rejected: Counts = field(default_factory=Counts)
    _rejected_rows: list[int] = field(default_factory=list)

    def append(self, row: int, event: dict[str, Any]) -> None:
        """Add a row's event."""
        self.rows.append(row)
        self.events.append(event)

    def reject(self, row: int, why: str) -> None:
        """Count a row that is not sent."""
        self._rejected_rows.append(row)
        self.rejected.reject(row, why)

    @property
    def covered(self) -> int:
        """How many rows the batch covers, rejected ones included."""
        return len(self.rows) + len(self._rejected_rows)

    @property
    def ranges(self) -> list[tuple[int, int]]:
        """The rows the batch covers, as ranges (first, one past last), sorted and apart."""
        return merge_ranges((row, row + 1) for row in (*self.rows, *self._rejected_rows))


@contextmanager
def open_text(path: Path) -> Iterator[IO[str]]:
    """The file as text, decompressed if its first bytes are those of gzip."""
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
    except IsADirectoryError:
        raise FileUnusable(f"{path} is a folder; name one file in it") from None
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise FileUnusable(f"cannot read {path} after row {row}: {error}") from error


def read_batches(
    path: Path, batch_size: int, done: Sequence[tuple[int, int]] = (), *, window_rows: int = WINDOW_ROWS
) -> Iterator[Batch]:
    """The rows outside the ranges ``done`` (sorted, apart), in batches that cover up to ``batch_size`` rows.

    Within each window of the file the rows of a user are sent together, in their order. Raises FileUnusable.
    """
    rows = read_rows(path)
    first = next(rows, None)
    if first is None:
        raise FileUnusable(f"{path} is empty; a header and rows are needed")
    columns = column_indexes(first[1])
    starts = [start for start, _ in done]

    def is_done(row: int) -> bool:
        index = bisect_right(starts, row) - 1
        return index >= 0 and row < done[index][1]

    pending = ((row, fields) for row, fields in rows if not is_done(row))
    while window := list(islice(pending, window_rows)):
        yield from _batches_by_user(window, columns, batch_size)


def _batches_by_user(
    window: Sequence[tuple[int, list[str]]], columns: Mapping[str, int], batch_size: int
) -> Iterator[Batch]:
    batch = Batch()
    by_user: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    for row, fields in window:
        try:
            event = parse_row(fields, columns)
            by_user.setdefault(event["user_id"], []).append((row, event))
        except ValueError as error:
            batch.reject(row, str(error))
            if batch.covered == batch_size:
                yield batch
                batch = Batch()
    for row, event in chain.from_iterable(by_user.values()):
        batch.append(row, event)
        if batch.covered == batch_size:
            yield batch
            batch = Batch()
    if batch.covered:
        yield batch


def count_rows(path: Path) -> int:
    """How many event rows the file has, all of which can be read. Raises FileUnusable where there are none."""
    rows = read_rows(path)
    header = next(rows, None)
    if header is not None:
        column_indexes(header[1])
    count = sum(1 for _ in rows)
    if count == 0:
        raise FileUnusable(f"{path} has no rows; a header and rows are needed")
    return count
