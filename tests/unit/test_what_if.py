"""What a list of recommendations becomes after one more event, and which users an id's beginning finds."""

from __future__ import annotations

import pytest

from nextbest.domain.actions import Action, Recommendation
from nextbest.domain.events import Event
from nextbest.domain.history import WINDOW, History, HistoryEvent
from nextbest.errors import InvalidInput
from nextbest.logic.users import users_beginning_with
from nextbest.logic.what_if import changes, with_event


def recommended(*assets: str) -> list[Recommendation]:
    return [Recommendation("order", asset, 0.5, 0.0, 1.0) for asset in assets]


def test_changes_are_in_the_order_of_the_new_answer_and_then_what_left_it() -> None:
    changed = changes(recommended("a", "b", "c", "d", "e"), recommended("b", "e", "c", "f", "d", "a"), limit=4)

    assert [(entry.action.asset_id, entry.change, entry.rank_before, entry.rank_after) for entry in changed] == [
        ("b", "up", 2, 1),
        ("e", "new", 5, 2),
        ("c", "same", 3, 3),
        ("f", "new", 0, 4),
        ("a", "gone", 1, 6),
        ("d", "gone", 4, 5),
    ]


def test_an_action_that_is_not_recommended_any_more_has_no_place() -> None:
    moved, gone = changes(recommended("a", "b"), recommended("b"), limit=10)

    assert (moved.change, moved.rank_before, moved.rank_after) == ("up", 2, 1)
    assert (gone.change, gone.after, gone.rank_after) == ("gone", None, 0)
    assert [entry.change for entry in changes(recommended("a", "b"), recommended("c", "a"), limit=2)] == [
        "new",
        "down",
        "gone",
    ]
    assert changes([], [], limit=10) == []


def test_an_event_is_added_to_a_history_that_stays_as_it_was() -> None:
    history = History.from_events([("order", "tea", 1_000.0)])

    after = with_event(history, Event("ann", 2_000_000_000, "join", "club"))

    assert after.base_weights(1, 2_000.0)[Action("join", "club")] == 1.0
    assert [action.asset_id for action in history.actions] == ["tea"]


def test_an_event_older_than_what_is_summed_up_is_refused() -> None:
    later = [HistoryEvent.of(Event("ann", 10_000_000 + n, "order", "tea")) for n in range(WINDOW + 1)]
    history = History.from_history_events(later).fold(365)

    with pytest.raises(InvalidInput, match="lie in the future"):
        with_event(history, Event("ann", 5_000_000, "order", "tea"))


USERS = sorted(["", "a", "ab", "ab/1", "abc", "b", "é", "😀", "😀a", "\U0010ffff", "\U0010ffffz"])


@pytest.mark.parametrize("prefix", ["", "a", "ab", "abc", "abcd", "b", "c", "é", "😀", "\U0010ffff", "zz"])
def test_a_prefix_finds_exactly_the_ids_that_begin_with_it(prefix: str) -> None:
    expected = [user_id for user_id in USERS if user_id.startswith(prefix)]

    assert users_beginning_with(USERS, prefix, limit=100) == (expected, len(expected))
    assert users_beginning_with(USERS, prefix, limit=2) == (expected[:2], len(expected))
