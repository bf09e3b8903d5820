"""Events in ranges of users, and sums over them, are those of one process."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse

from nextbest.domain.event_columns import EventColumns, joined
from nextbest.errors import TableExportError
from nextbest.training.partitions import Block, Partition
from nextbest.training.table import EventTable

pytest.importorskip("pyspark", reason="pyspark is not installed: make install-spark")

from tools.spark.event_files import EventRanges, SourceNotes, read_ranges
from tools.spark.partitions import SparkPartitions

if TYPE_CHECKING:
    from pyspark import SparkContext

NOW = 1_760_000_000.0
FILES = 5


@dataclass(frozen=True)
class Drawn:
    """Events of a seed, a file each; some are after ``NOW``, and every tenth file has a row that cannot be read."""

    events: int = 4_000
    users: int = 300
    actions: int = 40

    def __call__(self, seed: int, notes: SourceNotes) -> Iterator[EventColumns]:
        notes.unreadable.add(f"unreadable-{seed}")
        random = np.random.default_rng(seed)
        size = self.events // FILES
        for part in range(2):
            yield EventColumns.of(
                {
                    "user_id": [f"user-{number}" for number in random.zipf(1.3, size) % self.users],
                    "event_type": [("view", "buy")[number] for number in random.integers(2, size=size)],
                    "asset_id": [f"asset-{number}" for number in random.integers(self.actions // 2, size=size)],
                    "timestamp_us": (NOW * 1e6 - random.integers(0, 10**13, size) + part * 10**10).astype(np.int64),
                }
            )


def damaged(seed: int, _notes: SourceNotes) -> Iterator[EventColumns]:
    """A source that breaks off."""
    yield EventColumns.of({"user_id": ["u"], "event_type": ["t"], "asset_id": ["a"], "timestamp_us": [seed]})
    if seed == 3:
        raise TableExportError("the export is incomplete: file 3 is missing")


def nothing(_seed: int, _notes: SourceNotes) -> Iterator[EventColumns]:
    """A source without events."""
    return iter(())


@pytest.fixture(scope="module")
def whole() -> EventColumns:
    return joined(columns for seed in range(FILES) for columns in Drawn()(seed, SourceNotes()))


@pytest.fixture(scope="module")
def ranges(context: SparkContext) -> EventRanges:
    return read_ranges(context, range(FILES), Drawn(), tasks=3, range_events=900)


@pytest.fixture(scope="module")
def partitions(ranges: EventRanges) -> Iterator[SparkPartitions]:
    made = SparkPartitions(ranges, NOW)
    yield made
    made.close()


def table_of(partition: Partition) -> EventTable:
    return partition.table


def counts(partition: Partition) -> dict[str, NDArray[Any]]:
    table = partition.table
    return {
        "events": np.bincount(table.action, minlength=len(table.actions)),
        "users": np.array([table.user_count]),
    }


def taken(partition: Partition) -> sparse.csr_array:
    table = partition.table
    ones = np.ones(len(table.time))
    return sparse.csr_array((ones, (table.user, table.action)), shape=(table.user_count, len(table.actions)))


def product_rows(partition: Partition) -> Iterable[tuple[int, Block]]:
    """XᵀX in blocks of seven rows; every other one sparse, and the last one missing where it is zero."""
    x = taken(partition)
    for number, begin in enumerate(range(0, x.shape[1], 7)):
        block = sparse.csr_array(x[:, begin : begin + 7].T @ x)
        if block.nnz:
            yield number, block if number % 2 else block.toarray()


def finished(number: int, block: Block) -> tuple[int, NDArray[Any]]:
    return number, block.toarray() if isinstance(block, sparse.csr_array) else block


def test_ranges_hold_all_events_of_their_users_in_order(ranges: EventRanges, whole: EventColumns) -> None:
    collected = ranges.ranges.collect()

    assert [each.number for each in collected] == list(range(len(collected)))
    assert len(collected) > 3
    users = [user_id for each in collected for user_id in each.columns.user_ids]
    assert users == list(whole.user_ids)
    assert [event for each in collected for event in each.columns] == list(whole)
    assert (ranges.events, sum(ranges.users)) == (len(whole), len(whole.user_ids))
    assert ranges.unreadable == {f"unreadable-{seed}" for seed in range(FILES)}
    assert sorted(ranges.first_us) == list(whole.actions()[0])


def test_ranges_have_about_as_many_events(ranges: EventRanges) -> None:
    sizes = ranges.ranges.map(lambda each: len(each.columns)).collect()

    busiest = 2_000  # of one user, who is in one range
    assert max(sizes) < 900 + busiest


def test_partitions_are_the_table_of_one_process(partitions: SparkPartitions, whole: EventColumns) -> None:
    table = EventTable.of(whole, NOW)
    tables = partitions.each(table_of)

    assert partitions.actions == table.actions
    assert {part.actions for part in tables} == {table.actions}
    assert [user_id for part in tables for user_id in part.user_ids] == list(table.user_ids)
    assert np.array_equal(np.concatenate([part.action for part in tables]), table.action)
    assert np.array_equal(np.concatenate([part.time for part in tables]), table.time)


def test_totals_are_those_of_one_process(partitions: SparkPartitions, whole: EventColumns) -> None:
    expected = counts(Partition(0, EventTable.of(whole, NOW)))
    total = partitions.total(counts)

    assert total.keys() == expected.keys()
    assert all(np.array_equal(total[name], expected[name]) for name in expected)


def test_blocks_are_those_of_one_process_in_order(partitions: SparkPartitions, whole: EventColumns) -> None:
    x = taken(Partition(0, EventTable.of(whole, NOW)))
    blocks = list(partitions.blocks(product_rows, finished))

    assert [number for number, _ in blocks] == sorted(number for number, _ in blocks)
    assert all(number == handed for number, (handed, _) in blocks)
    assert np.array_equal(np.concatenate([block for _, (_, block) in blocks]), (x.T @ x).toarray())


@dataclass(frozen=True)
class DiesOnce:
    """Kills the process that it runs in, the first time that it comes to a partition."""

    folder: Path

    def __call__(self, partition: Partition) -> int:
        mark = self.folder / str(partition.number)
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return partition.table.user_count


def test_a_worker_that_is_killed_is_replaced(partitions: SparkPartitions, whole: EventColumns, tmp_path: Path) -> None:
    """Given a worker that dies at the first partition, then its task is tried again, and the results are whole."""
    for number in range(1, 99):
        (tmp_path / str(number)).touch()

    users = partitions.each(DiesOnce(tmp_path))

    assert sum(users) == EventTable.of(whole, NOW).user_count
    assert (tmp_path / "0").exists()


def test_a_damaged_file_is_named(context: SparkContext) -> None:
    with pytest.raises(TableExportError, match="file 3 is missing"):
        read_ranges(context, range(FILES), damaged, tasks=2)


def test_no_events_are_one_empty_partition(context: SparkContext) -> None:
    ranges = read_ranges(context, [0], nothing, tasks=2)

    assert (ranges.events, ranges.users) == (0, [0])
    assert SparkPartitions(ranges, NOW).each(table_of)[0].user_count == 0
