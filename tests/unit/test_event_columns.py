"""Events as columns: the same events make the same columns, and the same model as their texts."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import numpy as np
import pytest

from nextbest.domain.actions import Action
from nextbest.domain.event_columns import EventColumns, EventColumnsBuilder, TimesByUser, merged
from nextbest.domain.programs import Program
from nextbest.scoring.memberships import build_part
from nextbest.training import train
from nextbest.training.table import EventTable
from tests.factories import columns_of_events, drink_events

NOW = 1_750_000_000.0
Row = tuple[str, str, str, int]
ROWS: list[Row] = [
    ("eve", "view", "tea", 30),
    ("ada", "order", "tea", 20),
    ("ada", "order", "tea", 20),
    ("ada", "order", "cake", 20),
    ("ada", "view", "tea", 10),
    ("ål", "order", "z", 5),
]


def columns_of(rows: Sequence[Row], parts: int = 1) -> EventColumns:
    builders = [EventColumnsBuilder() for _ in range(parts)]
    for place, row in enumerate(rows):
        builders[place % parts].add(*row)
    return merged(builders)


def test_events_are_in_order_of_user_time_type_and_asset() -> None:
    columns = columns_of(ROWS)

    assert list(columns) == [
        ("ada", 10, "view", "tea"),
        ("ada", 20, "order", "cake"),
        ("ada", 20, "order", "tea"),
        ("ada", 20, "order", "tea"),
        ("eve", 30, "view", "tea"),
        ("ål", 5, "order", "z"),
    ]
    assert columns.user_starts.tolist() == [0, 4, 5, 6]
    actions, action = columns.actions()
    assert actions == (Action("order", "cake"), Action("order", "tea"), Action("order", "z"), Action("view", "tea"))
    assert action.tolist() == [3, 0, 1, 1, 3, 2]


@pytest.mark.parametrize("parts", [1, 2, 5, 9])
def test_they_are_the_same_in_whatever_order_and_parts_they_were_read(parts: int) -> None:
    shuffled = Random(parts).sample(ROWS, len(ROWS))

    assert list(columns_of(shuffled, parts)) == list(columns_of(ROWS))


def test_a_selection_has_only_the_ids_that_occur() -> None:
    columns = columns_of(ROWS)

    selected = columns.select(columns.timestamp_us == 30)

    assert list(selected) == [("eve", 30, "view", "tea")]
    assert (selected.user_ids, selected.event_types, selected.asset_ids) == (["eve"], ["view"], ["tea"])


def test_no_events_are_columns_too() -> None:
    columns = columns_of([])

    assert list(columns) == []
    assert columns.user_starts.tolist() == [0]
    assert columns.actions()[0] == ()
    assert dict(TimesByUser(columns)) == {}


def test_the_times_of_a_user() -> None:
    times = TimesByUser(columns_of(ROWS))

    assert {user_id: of_user.tolist() for user_id, of_user in times.items()} == {
        "ada": [10, 20, 20, 20],
        "eve": [30],
        "ål": [5],
    }
    assert times.get("nobody", ()) == ()


def test_a_time_that_64_bits_do_not_hold_leaves_no_half_of_an_event() -> None:
    builder = EventColumnsBuilder()
    with pytest.raises(OverflowError):
        builder.add("ada", "order", "tea", 2**63)
    builder.add("eve", "order", "cake", 1)

    assert list(builder.build()) == [("eve", 1, "order", "cake")]


@pytest.mark.parametrize("later", [0.0, 3.5 * 86_400.0], ids=["all", "not those after now"])
def test_they_hold_20_bytes_an_event_and_make_the_same_table(later: float) -> None:
    texts = columns_of_events(drink_events(20, now=NOW))
    columns = EventColumns.of(texts)

    ours, theirs = EventTable.of(columns, NOW - later), EventTable.of(texts, NOW - later)

    for name in ("starts", "action", "time", "tie_end"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name), strict=True)
    assert list(ours.user_ids) == list(theirs.user_ids)
    assert ours.actions == theirs.actions
    held = sum(column.nbytes for column in (columns.user, columns.event_type, columns.asset, columns.timestamp_us))
    assert held == 20 * len(columns)


def test_models_and_segments_are_byte_for_byte_those_of_the_texts() -> None:
    texts = columns_of_events(drink_events(20, now=NOW))
    settings: dict[str, Any] = {"program": Program("coffee"), "now": NOW, "seed": 3, "time_budget_seconds": 1.0}
    ours, theirs = train(EventColumns.of(texts), **settings), train(texts, **settings)

    assert ours.to_bytes() == theirs.to_bytes()
    files = [
        {kind: segments.encode() for kind, segments in build_part(ours, each, half_life_days=30, now=NOW).items()}
        for each in (EventColumns.of(texts), texts)
    ]
    assert files[0] == files[1]
