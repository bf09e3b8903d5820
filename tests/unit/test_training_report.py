"""What a report says beside the model: events a day, and how well lists rank that need no model."""

from __future__ import annotations

import pytest

from nextbest.domain.programs import Program
from nextbest.scoring.kernels import DAY_SECONDS
from nextbest.training import train
from nextbest.training.activity import DAYS, MOST_EVENT_TYPES, events_a_day
from nextbest.training.partitions import OnePartition
from nextbest.training.table import EventTable
from tests.factories import columns_of_events, columns_of_rows, drink_events

TODAY = 20_000 * DAY_SECONDS
NOW = TODAY + 3_600.0


def test_events_are_counted_by_utc_day_and_type() -> None:
    rows = [
        ("u", "order", "tea", NOW),
        ("u", "order", "latte", TODAY),
        ("u", "order", "tea", TODAY - 1.0),
        ("v", "view", "tea", TODAY - (DAYS - 1) * DAY_SECONDS),
        ("v", "view", "tea", TODAY - (DAYS - 1) * DAY_SECONDS - 1.0),
    ]

    counted = events_a_day(OnePartition(EventTable.of(columns_of_rows(rows), NOW)), NOW)

    assert counted["first_day"] == TODAY - (DAYS - 1) * DAY_SECONDS
    assert counted["event_types"] == {"order": [0] * (DAYS - 2) + [1, 2], "view": [1] + [0] * (DAYS - 1)}
    assert "others" not in counted


def test_the_rarest_of_many_event_types_are_counted_together() -> None:
    rows = [
        ("u", f"type-{kind:02}", "tea", NOW - place) for kind in range(12) for place in range(20 - kind)
    ]  # the first ones are the most frequent

    counted = events_a_day(OnePartition(EventTable.of(columns_of_rows(rows), NOW)), NOW)

    assert list(counted["event_types"]) == [f"type-{kind:02}" for kind in range(MOST_EVENT_TYPES)]
    assert sum(counted["others"]) == sum(20 - kind for kind in range(MOST_EVENT_TYPES, 12))


def test_without_events_nothing_is_counted() -> None:
    assert events_a_day(OnePartition(EventTable.of(columns_of_rows([]), NOW)), NOW) == {}


def test_the_report_has_both_and_is_the_same_for_the_same_seed() -> None:
    columns = columns_of_events(drink_events(now=NOW))
    first, second = (train(columns, program=Program("drinks"), now=NOW, seed=3) for _ in range(2))

    assert first.to_bytes() == second.to_bytes()
    assert sum(first.report["events_a_day"]["event_types"]["order"]) == first.report["events"]
    modes = first.report["modes"]
    assert set(modes["repeats"]["classic_ndcg_at_10"]) == {
        *("most_popular", "popular_lately", "done_most_often", "done_last", "similar_actions"),
    }
    assert set(modes["discoveries"]["classic_ndcg_at_10"]) == {"most_popular", "popular_lately", "similar_actions"}
    assert all(0.0 <= value <= 1.0 for mode in modes.values() for value in mode["classic_ndcg_at_10"].values())
    for mode in modes.values():
        assert mode["ndcg_without"].keys() == {part["part"] for part in mode["parts"]}
        assert all(0.0 <= value <= 1.0 for value in mode["ndcg_without"].values())
    # Everyone orders one drink for 20 days: what they had last ranks before what most people have.
    ranked = modes["repeats"]["classic_ndcg_at_10"]
    assert ranked["done_last"] > ranked["most_popular"]


@pytest.mark.parametrize("rows", [[("u", "do", "a", NOW - 5.0)], []])
def test_where_there_is_nobody_to_validate_on_there_is_no_comparison(rows: list[tuple[str, str, str, float]]) -> None:
    model = train(columns_of_rows(rows), program=Program("small"), now=NOW, seed=0)

    assert model.report["modes"]["repeats"]["classic_ndcg_at_10"] == {}
