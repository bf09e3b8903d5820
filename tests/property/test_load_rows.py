"""Whatever a file holds, a load keeps its rows, its instants and its counts."""

from __future__ import annotations

import csv
import io
import tempfile
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tools.cli.load_progress import Counts, Progress
from tools.cli.load_rows import parse_timestamp, read_batches

OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
EARLIEST, LATEST = datetime.fromisoformat("0002-01-01"), datetime.fromisoformat("9998-12-31")
INSTANTS = st.datetimes(min_value=EARLIEST, max_value=LATEST, timezones=OFFSETS)
FIELDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8)
TABLES = st.lists(st.tuples(FIELDS, FIELDS, FIELDS, st.sampled_from(["0", "2024-05-01", "soon", ""])), max_size=30)


@given(INSTANTS)
def test_any_instant_is_parsed_to_the_same_instant(instant: datetime) -> None:
    parsed = datetime.fromisoformat(parse_timestamp(instant.isoformat()))
    assert parsed == instant
    assert parsed.utcoffset() == timedelta(0)


@given(st.integers(0, 4_000_000_000_000_000))
def test_no_microsecond_of_epoch_seconds_is_lost(microseconds: int) -> None:
    text = f"{microseconds // 1_000_000}.{microseconds % 1_000_000:06d}"
    expected = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
    assert datetime.fromisoformat(parse_timestamp(text)) == expected


@given(TABLES, st.integers(1, 7), st.integers(1, 40))
def test_each_row_of_any_table_is_sent_or_rejected_once(
    table: list[tuple[str, str, str, str]], batch_size: int, window_rows: int
) -> None:
    text = io.StringIO()
    csv.writer(text).writerows([("user_id", "event_type", "asset_id", "timestamp"), *table])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.csv"
        path.write_text(text.getvalue(), newline="")
        batches = list(read_batches(path, batch_size, window_rows=window_rows))
    sent = [row for batch in batches for row in batch.rows]
    rejected = sum(batch.rejected.rejected for batch in batches)
    assert len(sent) == len(set(sent))
    assert len(sent) + rejected == len(table) == sum(batch.covered for batch in batches)
    assert all(batch.covered <= batch_size for batch in batches)


@given(st.lists(st.sampled_from("abcd"), max_size=40), st.integers(1, 6), st.integers(1, 12), st.data())
def test_exactly_the_rows_not_done_are_sent_in_each_users_order(
    users: list[str], batch_size: int, window_rows: int, data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.csv"
        rows = "".join(f"{user},order,latte,{second}\n" for second, user in enumerate(users))
        path.write_text("user_id,event_type,asset_id,timestamp\n" + rows)
        first = list(read_batches(path, batch_size, window_rows=window_rows))
        done = Progress()
        kept = data.draw(st.sets(st.integers(0, len(first) - 1))) if first else set()
        for index in kept:
            done.add(first[index].ranges, Counts(accepted=len(first[index].rows)))
        second = list(read_batches(path, batch_size, done.ranges, window_rows=window_rows))
    sent = [row for index in kept for row in first[index].rows] + [row for batch in second for row in batch.rows]
    assert sorted(sent) == list(range(2, 2 + len(users)))
    for user in set(users):
        times = [event["event_timestamp"] for batch in second for event in batch.events if event["user_id"] == user]
        assert times == sorted(times)


@given(st.permutations(range(12)), st.integers(0, 12))
def test_after_batches_done_in_any_order_the_rest_is_sent(order: list[int], done: int) -> None:
    progress = Progress()
    for batch in order[:done]:
        progress.add([(2 + batch, 3 + batch)], Counts(accepted=1))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.csv"
        path.write_text("user_id,event_type,asset_id,timestamp\n" + "ada,order,latte,0\n" * 12)
        sent = [row for batch in read_batches(path, 5, progress.ranges) for row in batch.rows]
    assert sent == sorted(2 + batch for batch in order[done:])
    assert progress.counts.rows == done
