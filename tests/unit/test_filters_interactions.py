"""Which of a user's events a filter sees."""

from __future__ import annotations

import numpy as np
import pytest

from nextbest.filters.interactions import Interactions, normalised_event_type


@pytest.mark.parametrize("spelling", ["NOT_TAKEN", "Not Taken", "not taken", "Not-Taken"])
def test_the_spellings_of_not_taken_are_one(spelling: str) -> None:
    assert normalised_event_type(spelling) == "not_taken"


def test_each_event_type_keeps_its_newest_events() -> None:
    actions = [("Taken", "a"), ("TAKEN", "b"), ("taken", "c"), ("Viewed", "a")]
    oldest_first = np.array([0, 3, 1, 2, 2])

    seen = Interactions.newest(actions, oldest_first, window=3)

    assert seen.assets == {"taken": {"b", "c"}, "viewed": {"a"}}


def test_older_actions_count_in_a_window_that_is_not_full() -> None:
    actions = [("Taken", "a"), ("Taken", "b"), ("Viewed", "b"), ("Viewed", "c")]
    recent = np.array([0, 2, 2])

    seen = Interactions.newest(actions, recent, older=[1, 3], window=2)

    assert seen.assets == {"taken": {"a", "b"}, "viewed": {"b"}}


def test_the_default_window_forgets_the_first_of_301_assets() -> None:
    actions = [("Taken", f"asset-{number:03}") for number in range(301)]

    seen = Interactions.newest(actions, np.arange(301))

    assert len(seen.assets["taken"]) == 300
    assert "asset-000" not in seen.assets["taken"]


def test_without_events_there_is_nothing_to_see() -> None:
    assert Interactions.newest([], np.zeros(0, np.int32)) == Interactions()
