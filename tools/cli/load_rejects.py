"""How rejected rows are shown: a file with a CSV line for each, and a summary with a line for each reason."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from nextbest.event_files.reader import RejectedRow
from nextbest.event_files.row_counts import Counts
from nextbest.event_files.rows import STANDS_FOR_NOTHING
from tools.cli.load_errors import ProgressUnusable

HEADER = ("file", "line", "reason")


@contextmanager
def open_rejects(
    path: Path | None, files: Sequence[Path], *, append: bool
) -> Iterator[Callable[[Path, RejectedRow], object]]:
    """A function that notes a rejected row of a file; it does nothing where ``path`` is None.

    An older file of rejected rows is replaced, or continued with ``append``. Raises ProgressUnusable where the file
    cannot be written, or is some other file, which must not be lost.
    """
    if path is None:
        yield lambda _file, _row: None
        return
    try:
        is_old = path.exists() and path.stat().st_size > 0
        if is_old and (path.resolve() in {file.resolve() for file in files} or not _holds_rejects(path)):
            raise ProgressUnusable(f"{path} exists and holds no rejected rows; name another file for --rejects")
        output = path.open("a" if append else "w", encoding="utf-8", newline="", buffering=1)
    except (OSError, UnicodeDecodeError) as error:
        raise ProgressUnusable(f"cannot write the rejected rows to {path}: {error}") from error
    with output:
        writer = csv.writer(output, lineterminator="\n")
        if not (append and is_old):
            writer.writerow(HEADER)
        yield lambda file, row: writer.writerow((file, row.line, row.reason))


def _holds_rejects(path: Path) -> bool:
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.readline(100).strip() == ",".join(HEADER)


def reason_lines(counts: Counts, unit: str) -> list[str]:
    """A line for each reason, with the option that takes such rows where there is one; ``unit`` is line or row."""
    hint = f"{STANDS_FOR_NOTHING}; --literal-nulls takes it as text"
    return [line.replace(STANDS_FOR_NOTHING, hint) for line in counts.reason_lines(unit)]
