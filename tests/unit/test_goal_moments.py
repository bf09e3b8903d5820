"""Moments of decision: the history strictly before them, the goal strictly after."""

from __future__ import annotations

import numpy as np
import pytest

from nextbest.domain.actions import Action
from nextbest.domain.programs import GoalEventType
from nextbest.scoring.goal_effects import Basis
from nextbest.scoring.kernels import DAY_SECONDS
from nextbest.training.goal_effects import LEAST_USERS, estimate_goal_effects
from nextbest.training.goal_moments import DecisionTable
from nextbest.training.table import EventTable
from tests.factories import columns_of_rows

NOW = 1_790_000_000.0
VIEW, TRY, BUY = Action("view", "page"), Action("try", "trial"), Action("buy", "plan")
Row = tuple[str, str, str, float]


def row(user: str, action: Action, days_ago: float) -> Row:
    return (user, *action, NOW - days_ago * DAY_SECONDS)


def table_of(*rows: Row) -> EventTable:
    return EventTable.of(columns_of_rows(rows), NOW)


ANN = [row("ann", VIEW, 60), row("ann", TRY, 50), row("ann", BUY, 50), row("ann", VIEW, 50), row("ann", BUY, 41)]
BOB = [row("bob", TRY, 50), row("bob", VIEW, 49), row("bob", TRY, 9)]


def test_what_happens_at_the_moment_is_neither_before_nor_after_it() -> None:
    table = table_of(*ANN, *BOB)
    decisions = DecisionTable(table, NOW, 14.0)

    taken = decisions.at_events(decisions.positions_of([table.actions.index(TRY)]), 100, np.random.default_rng(0))

    # Ann's trial; Bob's first came without a history, and his last is too young to be followed for 14 days.
    assert taken.before.users.tolist() == [0]
    assert table.action[table.starts[0] : taken.before.ends[0]].tolist() == [table.actions.index(VIEW)]
    buys = decisions.positions_of([table.actions.index(BUY)])
    assert decisions.seconds_until(buys, taken).tolist() == pytest.approx([9 * DAY_SECONDS])


def test_nobody_elses_goal_counts() -> None:
    table = table_of(row("ann", VIEW, 60), row("ann", TRY, 50), row("bob", BUY, 45))
    decisions = DecisionTable(table, NOW, 14.0)
    taken = decisions.at_events(decisions.positions_of([table.actions.index(TRY)]), 100, np.random.default_rng(0))
    buys = decisions.positions_of([table.actions.index(BUY)])
    assert decisions.seconds_until(buys, taken).tolist() == [np.inf]


def test_one_moment_of_a_user_a_day() -> None:
    table = table_of(row("ann", VIEW, 60), *(row("ann", TRY, 40.0 + hour / 24.0) for hour in range(48)))
    decisions = DecisionTable(table, NOW, 14.0)
    taken = decisions.at_events(decisions.positions_of([table.actions.index(TRY)]), 100, np.random.default_rng(0))
    assert len(taken) in (2, 3)


def test_moments_at_any_time_are_spread_over_lives_and_all_can_be_followed() -> None:
    table = table_of(row("ann", VIEW, 114), row("bob", VIEW, 39), row("cid", VIEW, 3))
    decisions = DecisionTable(table, NOW, 14.0)

    moments = decisions.at_any_time(1_000, np.random.default_rng(0))

    # Ann is known for 100 days that can be followed for 14, Bob for 25, and Cid for none.
    assert np.bincount(moments.before.users, minlength=3).tolist() == [800, 200, 0]
    assert moments.before.nows.max() <= NOW - 14 * DAY_SECONDS
    assert (moments.before.ends == table.starts[moments.before.users] + 1).all()


@pytest.mark.parametrize("rows", [[], [row("ann", TRY, 1)], ANN + BOB], ids=["nothing", "one event", "two users"])
def test_too_little_evidence_is_no_effect(rows: list[Row]) -> None:
    table = table_of(*rows)
    effects = estimate_goal_effects(
        table,
        (GoalEventType("buy", 20.0),),
        now=NOW,
        horizon_days=14.0,
        half_life_days=365.0,
        time_budget_seconds=5.0,
        seed=0,
    )
    expected = {"buy": Basis.GOAL}
    assert effects.basis.tolist() == [expected.get(each.event_type, Basis.TOO_FEW_USERS) for each in table.actions]
    assert effects.counted.tolist() == [20.0 if each.event_type == "buy" else 0.0 for each in table.actions]


def crowd(users: int, buyers: int) -> list[Row]:
    """Users who each view every third day for 90 days; the even ones try, and ``buyers`` of all buy, at any time."""
    random = np.random.default_rng(0)
    rows = []
    for number in range(users):
        name = f"user-{number:03d}"
        rows += [row(name, VIEW, days + number / users) for days in range(90, 0, -3)]
        rows += [row(name, TRY, random.uniform(15, 85))] if number % 2 == 0 else []
        rows += [row(name, BUY, random.uniform(1, 85))] if number < buyers else []
    return rows


@pytest.mark.parametrize(
    ("users", "buyers", "basis"),
    [
        (2 * LEAST_USERS - 4, 40, Basis.TOO_FEW_USERS),
        (120, 6, Basis.TOO_FEW_GOALS),
        (240, 200, Basis.UNCERTAIN),
    ],
)
def test_the_reason_for_no_effect_is_the_right_one(users: int, buyers: int, basis: Basis) -> None:
    table = table_of(*crowd(users, buyers))
    effects = estimate_goal_effects(
        table,
        (GoalEventType("buy", 1.0),),
        now=NOW,
        horizon_days=14.0,
        half_life_days=365.0,
        time_budget_seconds=5.0,
        seed=0,
    )
    place = table.actions.index(TRY)
    assert Basis(effects.basis[place]) is basis
    assert bool(effects.effect[place]) is (basis is Basis.UNCERTAIN)
    assert abs(effects.counted[place]) <= abs(effects.effect[place])
