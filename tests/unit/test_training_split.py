"""The windows that training and evaluation judge on."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from nextbest.scoring.kernels import DAY_SECONDS
from nextbest.training.split import (
    ENOUGH_USERS,
    MOST_WINDOWS,
    RowKind,
    Window,
    tuning_cut,
    tuning_cuts,
    visits_of,
    window_of,
)
from nextbest.training.table import EventTable

DAY = DAY_SECONDS
TEA, CUP, POT = range(3)
EVENTS = (
    # Ann: tea on day 0; on day 10 a basket, minutes later a pot, next day tea again, and the day after
    ("ann", "tea", 0.0),
    ("ann", "cup", 10 * DAY),
    ("ann", "tea", 10 * DAY),
    ("ann", "pot", 10 * DAY + 300),
    ("ann", "tea", 11 * DAY),
    ("ann", "pot", 12 * DAY),
    # Bob: not known before the cut; Eve: never came back
    ("bob", "tea", 10 * DAY),
    ("eve", "pot", 1 * DAY),
)
CUT, END = 9 * DAY, 20 * DAY


def table_of(events: tuple[tuple[str, str, float], ...]) -> EventTable:
    user, asset, at = zip(*events, strict=True)
    return EventTable.of(
        {"user_id": user, "event_type": ["do"] * len(at), "asset_id": asset, "timestamp": at}, max(at) + 1
    )


def named(window: Window) -> list[tuple[str, float, list[str]]]:
    """Each row as its user, its moment in days, and its targets."""
    targets: NDArray[np.bool_] = window.targets.toarray() > 0
    return [
        (
            window.table.user_ids[int(user)],
            float(now) / DAY,
            [window.table.actions[action].asset_id for action in np.flatnonzero(row).tolist()],
        )
        for user, now, row in zip(window.moments.users, window.moments.nows, targets, strict=True)
    ]


def visits(allow_repeats: bool, visits_per_user: int = 9, inside_per_user: int = 0, most_rows: int = 9) -> Window:
    table = table_of(EVENTS)
    return visits_of(
        table,
        CUT,
        END,
        np.array([table.user_ids.index("ann")]),
        allow_repeats=allow_repeats,
        visits_per_user=visits_per_user,
        inside_per_user=inside_per_user,
        most_rows=most_rows,
    )


def test_a_visit_is_its_first_basket_at_its_own_moment() -> None:
    assert named(visits(allow_repeats=True)) == [
        ("ann", 10.0, ["cup", "tea"]),
        ("ann", 11.0, ["tea"]),
        ("ann", 12.0, ["pot"]),
    ]


def test_for_discoveries_only_what_was_new_at_that_moment_counts() -> None:
    # The pot of day 12 was no discovery any more: minutes after the first basket it had been done
    assert named(visits(allow_repeats=False)) == [("ann", 10.0, ["cup"])]


@pytest.mark.parametrize(("visits_per_user", "most_rows", "days"), [(2, 9, [10.0, 11.0]), (9, 1, [10.0])])
def test_the_later_visits_go_first(visits_per_user: int, most_rows: int, days: list[float]) -> None:
    assert [at for _, at, _ in named(visits(True, visits_per_user, 0, most_rows))] == days


@pytest.mark.parametrize("allow_repeats", [True, False])
def test_a_basket_within_a_visit_is_a_row_of_its_own(allow_repeats: bool) -> None:
    found = visits(allow_repeats, visits_per_user=0, inside_per_user=9)
    assert named(found) == [("ann", 10.0 + 300 / DAY, ["pot"])]


def test_what_is_no_discovery_within_a_visit_is_no_row() -> None:
    again = table_of(
        (("ann", "tea", 0.0), ("ann", "tea", 10 * DAY), ("ann", "tea", 10 * DAY + 60), ("ann", "pot", 10 * DAY + 120))
    )
    window = visits_of(
        again,
        CUT,
        END,
        np.array([0]),
        allow_repeats=False,
        visits_per_user=9,
        inside_per_user=9,
        most_rows=9,
    )
    assert named(window) == [("ann", 10.0 + 120 / DAY, ["pot"])]


def test_a_window_with_visits_holds_the_whole_and_the_visits_of_those_who_were_known() -> None:
    window = window_of(
        table_of(EVENTS),
        CUT,
        END,
        allow_repeats=True,
        most_users=10,
        random=np.random.default_rng(1),
        visits_per_user=3,
    )
    assert named(window)[0] == ("ann", 9.0, ["cup", "pot", "tea"])
    assert window.kinds.tolist() == [RowKind.WHOLE, RowKind.VISIT, RowKind.INSIDE, RowKind.VISIT, RowKind.VISIT]
    assert {user for user, _, _ in named(window)} == {"ann"}


def regulars(users: int, days: int) -> EventTable:
    """Every user does something every day."""
    return table_of(
        tuple((f"u{user}", f"a{day % 3}", day * DAY + user) for user in range(users) for day in range(days))
    )


def test_few_users_are_judged_on_several_windows_that_follow_one_another() -> None:
    table, now = regulars(5, 60), 60 * DAY
    cuts = tuning_cuts(table, now, 5)
    assert len(cuts) == MOST_WINDOWS
    assert cuts[-1] == tuning_cut(table, now, 5)
    assert cuts[-2] == tuning_cut(table.before(cuts[-1]), cuts[-1], 5)
    assert cuts == sorted(cuts)


def test_many_users_need_one_window() -> None:
    assert len(tuning_cuts(regulars(2 * ENOUGH_USERS, 4), 4 * DAY, 1)) == 1


def test_no_window_is_added_in_which_nobody_came_back() -> None:
    assert len(tuning_cuts(table_of(EVENTS[:2]), 11 * DAY, 14)) == 1


def test_most_users_are_drawn_from_all() -> None:
    table = regulars(40, 10)
    drawn = [
        window_of(table, 8 * DAY, 10 * DAY, allow_repeats=True, most_users=5, random=np.random.default_rng(seed))
        for seed in range(30)
    ]
    assert {int(user) for window in drawn for user in window.moments.users} == set(range(40))
