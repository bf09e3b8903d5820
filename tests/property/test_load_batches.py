"""Whatever a file holds, a load keeps its rows and its counts."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Sequence
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from nextbest.event_files.reader import read_rows
from nextbest.event_files.row_counts import Counts
from nextbest.event_files.rows import RowRules
from tools.cli.load_batches import WINDOW_ROWS, Batch, batches_of
from tools.cli.load_progress import Progress

FIELDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8)
TABLES = st.lists(st.tuples(FIELDS, FIELDS, FIELDS, st.sampled_from(["0", "2024-05-01", "soon", ""])), max_size=30)


def read_batches(
    path: Path, batch_size: int, done: Sequence[tuple[int, int]] = (), window_rows: int = WINDOW_ROWS
) -> list[Batch]:
    return list(batches_of(read_rows(path, RowRules(now=2e9)), batch_size, done, window_rows=window_rows))


@settings(deadline=None)
@given(TABLES, st.integers(1, 7), st.integers(1, 40))
def test_each_row_of_any_table_is_sent_or_rejected_once(
    table: list[tuple[str, str, str, str]], batch_size: int, window_rows: int
) -> None:
    text = io.StringIO()
    csv.writer(text).writerows([("user_id", "event_type", "asset_id", "timestamp"), *table])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.csv"
        path.write_text(text.getvalue(), newline="")
        batches = read_batches(path, batch_size, window_rows=window_rows)
    sent = [row.number for batch in batches for row in batch.rows]
    rejected = sum(len(batch.rejected) for batch in batches)
    assert len(sent) == len(set(sent))
    assert len(sent) + rejected == len(table) == sum(batch.covered for batch in batches)
    assert all(batch.covered <= batch_size for batch in batches)


@settings(deadline=None)
@given(st.lists(st.sampled_from("abcd"), max_size=40), st.integers(1, 6), st.integers(1, 12), st.data())
def test_exactly_the_rows_not_done_are_sent_in_each_users_order(
    users: list[str], batch_size: int, window_rows: int, data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.csv"
        rows = "".join(f"{user},order,latte,{second}\n" for second, user in enumerate(users))
        path.write_text("user_id,event_type,asset_id,timestamp\n" + rows)
        first = read_batches(path, batch_size, window_rows=window_rows)
        done = Progress()
        kept = data.draw(st.sets(st.integers(0, len(first) - 1))) if first else set()
        for index in kept:
            done.add(first[index].ranges, Counts(accepted=len(first[index].rows)))
        second = read_batches(path, batch_size, done.ranges, window_rows=window_rows)
    sent = [row.line for batch in (*(first[index] for index in kept), *second) for row in batch.rows]
    assert sorted(sent) == list(range(2, 2 + len(users)))
    for user in set(users):
        times = [row.event.timestamp_us for batch in second for row in batch.rows if row.event.user_id == user]
        assert times == sorted(times)


@settings(deadline=None)
@given(st.permutations(range(12)), st.integers(0, 12))
def test_after_batches_done_in_any_order_the_rest_is_sent(order: list[int], done: int) -> None:
    progress = Progress()
    for batch in order[:done]:
        progress.add([(1 + batch, 2 + batch)], Counts(accepted=1))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.csv"
        path.write_text("user_id,event_type,asset_id,timestamp\n" + "ada,order,latte,0\n" * 12)
        sent = [row.line for batch in read_batches(path, 5, progress.ranges) for row in batch.rows]
    assert sent == sorted(2 + batch for batch in order[done:])
    assert progress.counts.rows == done
