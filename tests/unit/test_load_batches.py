"""Rows in batches, how the progress of a load is kept, and its summary."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from nextbest.event_files.reader import RejectedRow, read_rows
from nextbest.event_files.row_counts import DISTINCT_REASONS, EXAMPLES_PER_REASON, OTHER_REASONS, Counts
from nextbest.event_files.rows import STANDS_FOR_NOTHING, RowRules
from tools.cli.load import summary
from tools.cli.load_batches import WINDOW_ROWS, Batch, batches_of
from tools.cli.load_errors import ProgressUnusable
from tools.cli.load_progress import Progress, progress_path

HEADER = "user_id,event_type,asset_id,timestamp\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "events.csv"
    path.write_text(text)
    return path


def read_batches(
    path: Path, batch_size: int, done: Sequence[tuple[int, int]] = (), window_rows: int = WINDOW_ROWS
) -> list[Batch]:
    return list(batches_of(read_rows(path, RowRules(now=1e9)), batch_size, done, window_rows=window_rows))


def lines(batches: Sequence[Batch]) -> list[list[int]]:
    return [[row.line for row in batch.rows] for batch in batches]


def test_every_good_or_bad_row_is_covered_once(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER + "ada,order,latte,0\nada,order,,1\n\nada,order,tea,2\nada,order,scone,3\n")
    batches = read_batches(path, batch_size=2)
    assert lines(batches) == [[2], [5, 6]]
    assert [batch.ranges for batch in batches] == [[(1, 3)], [(3, 5)]]
    assert batches[0].rejected == [RejectedRow(number=2, line=3, reason="asset_id is empty")]


def test_rows_done_earlier_do_not_come_again(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER + "".join(f"ada,order,latte,{second}\n" for second in range(6)))
    batches = read_batches(path, batch_size=10, done=((1, 3), (5, 6)))
    assert lines(batches) == [[4, 5, 7]]
    assert batches[0].ranges == [(3, 5), (6, 7)]


def test_rows_of_a_user_stand_together_within_the_window(tmp_path: Path) -> None:
    text = "".join(f"{user},order,latte,{second}\n" for second, user in enumerate("abcabcab"))
    path = write(tmp_path, HEADER + text)
    batches = read_batches(path, batch_size=3, window_rows=6)
    users = ["".join(row.event.user_id for row in batch.rows) for batch in batches]
    assert users == ["aab", "bcc", "ab"]
    assert lines(batches) == [[2, 5, 3], [6, 4, 7], [8, 9]]
    assert [batch.ranges for batch in batches] == [[(1, 3), (4, 5)], [(3, 4), (5, 7)], [(7, 9)]]


def test_each_of_more_wrong_rows_than_a_batch_holds_is_answered_for_once(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER + "a,order,,0\n" * 5 + "a,order,tea,0\n")
    batches = read_batches(path, batch_size=2)
    assert [batch.covered for batch in batches] == [2, 2, 2]
    assert lines(batches) == [[], [], [7]]
    assert [len(batch.rejected) for batch in batches] == [2, 2, 1]


def test_ranges_done_out_of_order_merge() -> None:
    progress = Progress()
    progress.add([(10, 20)], Counts(accepted=10))
    progress.add([(2, 5), (7, 8)], Counts(accepted=3, duplicates=1))
    progress.add([(5, 7)], Counts(accepted=2))
    assert progress.ranges == [(2, 8), (10, 20)]
    assert (progress.counts.accepted, progress.counts.duplicates) == (15, 1)


def test_saved_progress_is_read_whole(tmp_path: Path) -> None:
    counts = Counts(accepted=3, duplicates=2)
    counts.reject(RejectedRow(8, 9, "asset_id is empty"))
    progress = Progress()
    progress.add([(2, 8)], counts)
    progress.save(tmp_path / "deep" / "progress.json")
    assert Progress.read(tmp_path / "deep" / "progress.json") == progress
    assert Progress.read(tmp_path / "none.json") == Progress()


@pytest.mark.parametrize("text", ["", "[]", '{"ranges": []}', '{"ranges": [[1]], "counts": {"reasons": {}}}'])
def test_a_damaged_progress_file_is_refused_with_the_option_to_restart(tmp_path: Path, text: str) -> None:
    path = tmp_path / "progress.json"
    path.write_text(text)
    with pytest.raises(ProgressUnusable, match="--restart"):
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
        counts.reject(RejectedRow(row, row, f"reason {row}"))
    assert len(counts.reasons) == DISTINCT_REASONS + 1
    assert counts.reasons[OTHER_REASONS].count == 10
    assert counts.rejected == DISTINCT_REASONS + 10


def test_reasons_come_by_weight_with_their_first_lines() -> None:
    counts = Counts(accepted=1_200, duplicates=3)
    counts.reject(RejectedRow(6, 7, "asset_id is empty"))
    for line in (50, 12, 31, 99, *range(200, 200 + EXAMPLES_PER_REASON)):
        counts.reject(RejectedRow(line - 1, line, "timestamp is empty"))
    for line in (8, 5):
        counts.reject(RejectedRow(line, line, f"user_id {STANDS_FOR_NOTHING}"))
    assert summary(counts, sent=600, seconds=2.0).splitlines() == [
        "1,220 rows: accepted 1,200, duplicate 3, rejected 17 (2.0 s, 300 rows/s)",
        "  rejected 14: timestamp is empty (line 12, 31, 50, 99, 200, 201, 202, 203, 204, 205, ...)",
        f"  rejected 2: user_id {STANDS_FOR_NOTHING}; --literal-nulls takes it as text (line 5, 8)",
        "  rejected 1: asset_id is empty (line 7)",
    ]
    assert summary(counts, sent=0, seconds=0.0, unit="row").endswith("asset_id is empty (row 7)")
