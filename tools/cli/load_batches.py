"""The rows of a file in batches to send, those of a user together."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice

from nextbest.event_files.reader import EventRow, RejectedRow
from tools.cli.load_progress import merge_ranges

# The contract's largest POST /events.
LARGEST_BATCH = 1000
# Files are usually ordered by time: a thousand consecutive rows have hundreds of users, and a user's history is one
# write however many events it gets. So the rows of a window are sent user by user. 50,000 take about 50 MB.
WINDOW_ROWS = 50_000


@dataclass(slots=True)
class Batch:
    """Rows to send together, and the rows that were rejected before sending."""

    rows: list[EventRow] = field(default_factory=list)
    rejected: list[RejectedRow] = field(default_factory=list)

    @property
    def covered(self) -> int:
        """How many rows the batch covers, rejected ones included."""
        return len(self.rows) + len(self.rejected)

    @property
    def ranges(self) -> list[tuple[int, int]]:
        """The numbers of the rows that the batch covers, as ranges (first, one past last), sorted and apart."""
        numbers = [*(row.number for row in self.rows), *(row.number for row in self.rejected)]
        return merge_ranges((number, number + 1) for number in numbers)


def batches_of(
    rows: Iterable[EventRow | RejectedRow],
    batch_size: int,
    done: Sequence[tuple[int, int]] = (),
    *,
    window_rows: int = WINDOW_ROWS,
) -> Iterator[Batch]:
    """The rows outside the ranges ``done`` (sorted, apart), in batches that cover up to ``batch_size`` rows.

    Within each window of the file the rows of a user are sent together, in their order.
    """
    pending = _rows_not_done(rows, done) if done else iter(rows)
    while window := list(islice(pending, window_rows)):
        yield from _batches_by_user(window, batch_size)


def _rows_not_done(
    rows: Iterable[EventRow | RejectedRow], done: Sequence[tuple[int, int]]
) -> Iterator[EventRow | RejectedRow]:
    starts = [start for start, _ in done]
    for row in rows:
        index = bisect_right(starts, row.number) - 1
        if index < 0 or row.number >= done[index][1]:
            yield row


def _batches_by_user(window: Sequence[EventRow | RejectedRow], batch_size: int) -> Iterator[Batch]:
    by_user: dict[str, list[EventRow]] = {}
    rejected: list[RejectedRow] = []
    for row in window:
        if isinstance(row, RejectedRow):
            rejected.append(row)
        else:
            by_user.setdefault(row.event.user_id, []).append(row)
    ordered: Iterator[EventRow | RejectedRow] = chain(rejected, *by_user.values())
    while part := list(islice(ordered, batch_size)):
        yield Batch(
            rows=[row for row in part if isinstance(row, EventRow)],
            rejected=[row for row in part if isinstance(row, RejectedRow)],
        )
