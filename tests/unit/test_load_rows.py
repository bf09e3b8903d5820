"""Rows of an event file: what is read from them, what is refused, and how progress is kept."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from tools.cli.load import summary
from tools.cli.load_errors import FileUnusable
from tools.cli.load_progress import DISTINCT_REASONS, OTHER_REASONS, Counts, Progress, progress_path
from tools.cli.load_rows import column_indexes, count_rows, parse_labels, parse_row, parse_timestamp, read_batches

COLUMNS = {"user_id": 0, "event_type": 1, "asset_id": 2, "timestamp": 3, "labels": 4}
HEADER = "user_id,event_type,asset_id,timestamp\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "events.csv"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", "1970-01-01T00:00:00Z"),
        ("1700000000", "2023-11-14T22:13:20Z"),
        ("1700000000.25", "2023-11-14T22:13:20.250000Z"),
        ("1.7e9", "2023-11-14T22:13:20Z"),
        ("-1", "1969-12-31T23:59:59Z"),
        ("2023-11-14T22:13:20", "2023-11-14T22:13:20Z"),
        ("2023-11-14 22:13:20Z", "2023-11-14T22:13:20Z"),
        ("2023-11-15T00:13:20.5+02:00", "2023-11-14T22:13:20.500000Z"),
        ("2023-11-14", "2023-11-14T00:00:00Z"),
    ],
)
def test_a_timestamp_is_iso_8601_in_utc(text: str, expected: str) -> None:
    assert parse_timestamp(text) == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("1700000000000", "not milliseconds"),
        ("1e400", "outside the years"),
        ("yesterday", "neither epoch seconds nor ISO 8601"),
        ("nan", "neither epoch seconds nor ISO 8601"),
        ("1_000", "neither epoch seconds nor ISO 8601"),
        ("0001-01-01T00:00:00+14:00", "outside the years"),
    ],
)
def test_what_is_no_timestamp_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_timestamp(text)


def test_labels_with_both_separators_keep_their_order_and_lose_repetitions() -> None:
    assert parse_labels(" morning |app;; morning|in-store ") == ["morning", "app", "in-store"]
    assert parse_labels("") == []


def test_a_row_is_an_event_of_the_contract() -> None:
    assert parse_row(["ada", " order", "flat-white ", "1700000000", "app|morning"], COLUMNS) == {
        "user_id": "ada",
        "event_type": "order",
        "asset_id": "flat-white",
        "event_timestamp": "2023-11-14T22:13:20Z",
        "labels": ["app", "morning"],
    }


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (["ada", "order", "latte", "0"], "too few fields"),
        ([" ", "order", "latte", "0", ""], "user_id is empty"),
        (["ada", "", "latte", "0", ""], "event_type is empty"),
        (["ada", "order", "", "0", ""], "asset_id is empty"),
        (["ada", "order", "latte", "", ""], "timestamp is empty"),
    ],
)
def test_an_incomplete_row_is_refused_with_the_reason(row: list[str], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_row(row, COLUMNS)


def test_columns_in_any_order_are_found_by_name() -> None:
    header = ["Timestamp", "colour", " asset_id", "USER_ID", "event_type"]
    assert column_indexes(header) == {"user_id": 3, "event_type": 4, "asset_id": 2, "timestamp": 0}


@pytest.mark.parametrize(
    ("header", "why"),
    [
        (["user_id", "timestamp"], "missing column event_type, asset_id; found user_id, timestamp"),
        (["user_id", "event_type", "asset_id", "timestamp", "user_id"], "user_id appears more than once"),
    ],
)
def test_a_wrong_header_is_refused_with_what_is_needed(header: list[str], why: str) -> None:
    with pytest.raises(FileUnusable, match=why):
        column_indexes(header)


def test_every_good_or_bad_row_is_covered_once(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER + "ada,order,latte,0\nada,order,,1\n\nada,order,tea,2\nada,order,scone,3\n")
    batches = list(read_batches(path, batch_size=2))
    assert [batch.rows for batch in batches] == [[2], [5, 6]]
    assert [batch.ranges for batch in batches] == [[(2, 4)], [(5, 7)]]
    assert batches[0].rejected.reasons["asset_id is empty"].rows == [3]


def test_rows_done_earlier_do_not_come_again(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER + "".join(f"ada,order,latte,{second}\n" for second in range(6)))
    batches = list(read_batches(path, batch_size=10, done=((2, 4), (6, 7))))
    assert [batch.rows for batch in batches] == [[4, 5, 7]]
    assert batches[0].ranges == [(4, 6), (7, 8)]


def test_rows_of_a_user_stand_together_within_the_window(tmp_path: Path) -> None:
    text = "".join(f"{user},order,latte,{second}\n" for second, user in enumerate("abcabcab"))
    path = write(tmp_path, HEADER + text)
    batches = list(read_batches(path, batch_size=3, window_rows=6))
    users = ["".join(event["user_id"] for event in batch.events) for batch in batches]
    assert users == ["aab", "bcc", "ab"]
    assert [batch.rows for batch in batches] == [[2, 5, 3], [6, 4, 7], [8, 9]]
    assert [batch.ranges for batch in batches] == [[(2, 4), (5, 6)], [(4, 5), (6, 8)], [(8, 10)]]


def test_each_of_more_wrong_rows_than_a_batch_holds_is_answered_for_once(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER + "a,order,,0\n" * 5 + "a,order,tea,0\n")
    batches = list(read_batches(path, batch_size=2))
    assert [batch.covered for batch in batches] == [2, 2, 2]
    assert [batch.rows for batch in batches] == [[], [], [7]]
    assert [batch.rejected.rejected for batch in batches] == [2, 2, 1]


def test_the_same_rows_plain_and_gzipped_are_the_same(tmp_path: Path) -> None:
    text = "\ufeff" + HEADER + 'ada,order,"flat, white",0\n'
    plain, packed = tmp_path / "plain.csv", tmp_path / "packed.csv.gz"
    plain.write_bytes(text.encode())
    packed.write_bytes(gzip.compress(text.encode(), mtime=0))
    assert [batch.events for batch in read_batches(plain, 10)] == [batch.events for batch in read_batches(packed, 10)]
    assert next(read_batches(plain, 10)).events[0]["asset_id"] == "flat, white"
    assert count_rows(packed) == 1


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is empty"),
        (gzip.compress(HEADER.encode() * 500, mtime=0)[:40], "cannot read"),
        (b"user_id,event_type,asset_id,timestamp\n\xff\xfe,a,b,0\n", "cannot read"),
    ],
)
def test_reading_an_unusable_file_says_so(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "events.csv"
    path.write_bytes(content)
    with pytest.raises(FileUnusable, match=why):
        list(read_batches(path, 10))


def test_reading_no_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileUnusable, match="there is no file"):
        count_rows(tmp_path / "nothing.csv")


def test_ranges_done_out_of_order_merge() -> None:
    progress = Progress()
    progress.add([(10, 20)], Counts(accepted=10))
    progress.add([(2, 5), (7, 8)], Counts(accepted=3, duplicates=1))
    progress.add([(5, 7)], Counts(accepted=2))
    assert progress.ranges == [(2, 8), (10, 20)]
    assert (progress.counts.accepted, progress.counts.duplicates) == (15, 1)


def test_saved_progress_is_read_whole(tmp_path: Path) -> None:
    counts = Counts(accepted=3, duplicates=2)
    counts.reject(9, "asset_id is empty")
    progress = Progress()
    progress.add([(2, 8)], counts)
    progress.save(tmp_path / "deep" / "progress.json")
    assert Progress.read(tmp_path / "deep" / "progress.json") == progress
    assert Progress.read(tmp_path / "none.json") == Progress()


@pytest.mark.parametrize("text", ["", "[]", '{"ranges": []}', '{"ranges": [[1]], "counts": {"reasons": {}}}'])
def test_a_damaged_progress_file_is_refused_with_the_option_to_restart(tmp_path: Path, text: str) -> None:
    path = tmp_path / "progress.json"
    path.write_text(text)
    with pytest.raises(FileUnusable, match="--restart"):
        Progress.read(path)


def test_progress_is_kept_apart_by_content_program_and_server(tmp_path: Path) -> None:
    one, other = tmp_path / "one.csv", tmp_path / "other.csv"
    one.write_text("a")
    other.write_text("b")
    paths = {
        progress_path(tmp_path, file, program, url)
        for file in (one, other)
        for program in ("shop", "cafe")
        for url in ("http://a", "http://b")
    }
    assert len(paths) == 8
    copy = tmp_path / "copy.csv"
    copy.write_text("a")
    assert progress_path(tmp_path, copy, "shop", "http://a") == progress_path(tmp_path, one, "shop", "http://a")


def test_memory_stays_bounded_for_reasons_without_end() -> None:
    counts = Counts()
    for row in range(2, 2 + DISTINCT_REASONS + 10):
        counts.reject(row, f"reason {row}")
    assert len(counts.reasons) == DISTINCT_REASONS + 1
    assert counts.reasons[OTHER_REASONS].count == 10
    assert counts.rejected == DISTINCT_REASONS + 10


def test_reasons_come_by_weight_with_their_first_rows() -> None:
    counts = Counts(accepted=1_200, duplicates=3)
    counts.reject(7, "asset_id is empty")
    for row in (50, 12, 31, 99):
        counts.reject(row, "timestamp is empty")
    assert summary(counts, sent=600, seconds=2.0).splitlines() == [
        "1,208 rows: accepted 1,200, duplicate 3, rejected 5 (2.0 s, 300 rows/s)",
        "  rejected 4: timestamp is empty (row 12, 31, 50, ...)",
        "  rejected 1: asset_id is empty (row 7)",
    ]
