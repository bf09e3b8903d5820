"""Spark and one process learn the same model from the same events: of the demo, and of both shared sets of data."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from nextbest.domain.event_columns import EventColumns
from nextbest.domain.programs import Program
from nextbest.event_files.rows import RowRules
from nextbest.scoring import Model, recommend
from nextbest.scoring.memberships import histories_of
from nextbest.training import train
from tools.evaluation.events import read_events
from tools.simulator import demo_population

pytest.importorskip("pyspark", reason="pyspark is not installed: make install-spark")

from tests.spark.comparison import differences
from tools.spark.event_files import SourceNotes, read_ranges
from tools.spark.event_log import SparkLog

if TYPE_CHECKING:
    from pyspark import SparkContext

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
PROGRAM = Program("equality")
BUDGET_SECONDS = 0.5
USERS, ACTIONS = 300, 150
FILES, RANGES = 3, 5
SEED = 1


def demo() -> EventColumns:
    """The program that `make start` comes with."""
    events = demo_population(seed=7, now=1_790_000_000.0).events
    names = ("user_id", "event_type", "asset_id", "timestamp_us")
    return EventColumns.of({name: [getattr(event, name) for event in events] for name in names})


def shared(name: str) -> EventColumns:
    """A sample of a shared set: some users, and the most frequent assets."""
    path = DATA / f"{name}.csv.gz"
    if not path.exists():
        pytest.skip(f"{path.name} is not beside the repository")
    columns, _ = read_events([path], RowRules(now=time.time()))
    events = {name: np.asarray(column) for name, column in columns.items()}
    users = np.random.default_rng(SEED).permutation(np.unique(events["user_id"]))[:USERS]
    chosen = np.isin(events["user_id"], users)
    assets, counts = np.unique(events["asset_id"][chosen], return_counts=True)
    chosen &= np.isin(events["asset_id"], assets[np.argsort(-counts, kind="stable")[:ACTIONS]])
    timestamp_us = np.rint(events["timestamp"][chosen] * 1e6).astype(np.int64)
    texts = {name: events[name][chosen] for name in ("user_id", "event_type", "asset_id")}
    return EventColumns.of({**texts, "timestamp_us": timestamp_us})


SETS: dict[str, Callable[[], EventColumns]] = {
    "demo": demo,
    "online_retail": lambda: shared("online_retail"),
    "so_badges": lambda: shared("so_badges"),
}


def given(columns: EventColumns, _notes: SourceNotes) -> Iterator[EventColumns]:
    """A file that is given as its events."""
    yield columns


def never() -> Any:
    raise AssertionError("a training opens no table")


@pytest.mark.parametrize("name", SETS)
def test_spark_and_one_process_learn_the_same(context: SparkContext, name: str) -> None:
    columns = SETS[name]()
    now = float(columns.timestamp_us.max()) / 1e6
    alone = train(columns, program=PROGRAM, now=now, seed=SEED, time_budget_seconds=BUDGET_SECONDS)
    # Files hold users as an export does, by no order of theirs
    place = np.random.default_rng(SEED).integers(FILES, size=len(columns.user_ids))[columns.user]
    files = [columns.select(place == number) for number in range(FILES)]

    ranges = read_ranges(context, files, given, tasks=2, range_events=len(columns) // RANGES)
    log = SparkLog(ranges, never, time_budget_seconds=BUDGET_SECONDS)
    on_spark = log.train(PROGRAM, now=now, seed=SEED)
    log.close()

    assert len(ranges.users) > 2
    assert blend_of(on_spark) == blend_of(alone)
    assert list(differences(on_spark, alone)) == []
    assert lists_of(on_spark, columns, now) == lists_of(alone, columns, now)


def blend_of(model: Model) -> dict[str, list[Any]]:
    """What each mode is made of: parts with their settings and weights."""
    return {name: mode["parts"] for name, mode in model.report["modes"].items()}


def lists_of(model: Model, columns: EventColumns, now: float) -> list[list[tuple[str, str]]]:
    """The ten likeliest actions of every user, with repeats and without."""
    _, histories = histories_of(columns, half_life_days=PROGRAM.half_life_days)
    return [
        [
            (item.event_type, item.asset_id)
            for item in recommend(model, history, now=now, limit=10, allow_repeats=repeats)
        ]
        for history in histories
        for repeats in (True, False)
    ]


def test_the_comparison_sees_what_differs() -> None:
    one = {"weights": np.array([1.0, 2.0]), "names": ["a", "b"], "count": 3}

    assert list(differences(one, {**one, "weights": np.array([1.0, 2.0 + 1e-9])})) == []
    assert list(differences(one, {**one, "weights": np.array([1.0, 2.1])})) == ["model.weights"]
    assert list(differences(one, {**one, "weights": np.array([1.0])})) == ["model.weights"]
    assert list(differences(one, {**one, "names": ["a", "c"], "count": 4})) == ["model.names[1]", "model.count"]
    assert list(differences(one, {"names": ["a", "b"], "count": 3})) == ["model"]
