"""Where there is no evidence, growth weights are small, and one question gets one answer in both modes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nextbest.domain.history import History
from nextbest.domain.programs import Program
from nextbest.logic.recommendations import from_history_alone
from nextbest.scoring import Model, recommend
from nextbest.scoring.calibration import ACTIVITY_NAMES, UNINFORMED_RATE, Calibration
from nextbest.scoring.kernels import DAY_SECONDS
from nextbest.training import train
from nextbest.training.calibrate import NO_PAIRS, CalibrationPairs, fit_calibration
from tests.factories import columns_of_rows

NOW = 400 * DAY_SECONDS
PROGRAM = Program("evidence")
MOST_WITHOUT_EVIDENCE = 0.06
ACTIVITIES = len(ACTIVITY_NAMES)


def drawn(users: int, each: int, assets: int = 22) -> list[tuple[str, str, str, float]]:
    random = np.random.default_rng(users)
    return [
        (f"u{user}", "do", f"a{random.integers(assets)}", NOW - DAY_SECONDS * float(random.random()) * 300)
        for user in range(users)
        for _ in range(each)
    ]


ALONE = [("u0", "do", f"a{number % 20}", NOW - number * DAY_SECONDS / 4) for number in range(2000)]
PROGRAMS = {
    "one event": [("u0", "do", "a0", NOW - 3600.0)],
    "two events": [("u0", "do", "a0", NOW - 3600.0), ("u0", "do", "a0", NOW - 20 * DAY_SECONDS)],
    "one moment": [(f"u{user}", "do", f"a{user % 7}", NOW - 3600.0) for user in range(50)],
    "one moment long ago": [(f"u{user}", "do", f"a{user % 7}", NOW - 30 * DAY_SECONDS) for user in range(50)],
    "one busy user": ALONE,
    "one busy user and fifty others": [*ALONE, *drawn(50, 3)],
    "ten users": drawn(10, 12, assets=6),
}


def model_of(rows: list[tuple[str, str, str, float]]) -> Model:
    columns: dict[str, list[Any]] = columns_of_rows(rows)
    return train(columns, program=PROGRAM, now=NOW, seed=1, time_budget_seconds=1.0)


@pytest.mark.parametrize("rows", PROGRAMS.values(), ids=PROGRAMS)
def test_a_new_user_gets_the_same_small_weights_in_both_modes(rows: list[tuple[str, str, str, float]]) -> None:
    model = model_of(rows)
    repeats, discoveries = (
        recommend(model, History.empty(), now=NOW, limit=100, allow_repeats=allow_repeats)
        for allow_repeats in (True, False)
    )
    assert repeats == discoveries
    assert len(repeats) == len(model.actions)
    assert max(item.growth_weight for item in repeats) < MOST_WITHOUT_EVIDENCE


@pytest.mark.parametrize("name", ["one event", "two events", "one moment", "one moment long ago"])
@pytest.mark.parametrize("allow_repeats", [True, False])
def test_one_event_or_one_moment_is_no_evidence(name: str, allow_repeats: bool) -> None:
    # Given the history of a user of the program, or of one who did something an hour ago
    rows = PROGRAMS[name]
    own = History.from_events(row[1:] for row in rows if row[0] == "u0")
    recent = History.from_events([("do", "a0", NOW - 3600.0)])
    for history in (own, recent):
        for item in recommend(model_of(rows), history, now=NOW, limit=10, allow_repeats=allow_repeats):
            assert item.growth_weight < MOST_WITHOUT_EVIDENCE


def test_without_pairs_the_map_is_nearly_constant_at_the_uninformed_rate() -> None:
    growth = fit_calibration(NO_PAIRS).growth(np.array([-9.0, 0.0, 1.0, 9.0]), np.zeros(ACTIVITIES))
    assert growth == pytest.approx(UNINFORMED_RATE, abs=0.005)


def pairs(users: int) -> CalibrationPairs:
    """Of each user two pairs: a score of 1, taken, and a score of 0, not taken in nine of ten."""
    score = np.tile([1.0, 0.0], users)
    taken = (score > 0.5) | (np.arange(2 * users) % 20 == 1)
    return CalibrationPairs(score, taken, np.ones((2 * users, ACTIVITIES)), np.ones(2 * users), users)


def test_weights_grow_with_the_number_of_users_behind_them() -> None:
    weights = [
        float(fit_calibration(pairs(users)).growth(np.array([1.0]), np.ones(ACTIVITIES))[0]) for users in (1, 10, 1000)
    ]
    assert weights[0] < 0.1 < weights[1] < weights[2]


def test_activity_beyond_what_was_seen_counts_as_the_edge() -> None:
    same = np.array([-20.0, 20.0])
    seen = np.array([[1.0, 0.0, 0.0], [3.0, 2.0, 1.0]])
    calibration = Calibration(same, same, 1.0, np.array([1.0, -1.0, 1.0]), 0.0, same, same, seen)
    scores = np.zeros(1)
    for beyond, edge in (([11.5, 0.0, 9.0], [3.0, 0.0, 1.0]), ([0.0, 2.7, 0.0], [1.0, 2.0, 0.0])):
        assert calibration.growth(scores, np.array(beyond)) == calibration.growth(scores, np.array(edge))


@pytest.mark.parametrize("half_life_days", [1, 10, 365])
@pytest.mark.parametrize("events", [1, 40])
def test_before_the_first_rebase_one_day_is_no_evidence(half_life_days: int, events: int) -> None:
    program = Program("new", half_life_days=half_life_days)
    history = History.from_events(("do", "a0", NOW - 3600.0 - second) for second in range(events))
    (item,) = from_history_alone(program, history, now=NOW, limit=5, allow_repeats=True)
    assert item.growth_weight <= UNINFORMED_RATE


def test_before_the_first_rebase_a_habit_of_many_days_is_evidence() -> None:
    # Given tea on each of 60 days, and a cup a day ago
    events = [("buy", "tea", NOW - day * DAY_SECONDS) for day in range(1, 61)]
    history = History.from_events([*events, ("buy", "cup", NOW - DAY_SECONDS)])
    tea, cup = from_history_alone(Program("new"), history, now=NOW, limit=5, allow_repeats=True)
    # Then p = 1 - exp(-w · ln 2 / 365 · 14), and 59 of 62 parts of it count
    continued = 1 - np.exp(-tea.base_weight * np.log(2) / 365 * 14)
    assert tea.growth_weight == pytest.approx((59 * continued + 3 * UNINFORMED_RATE) / 62)
    assert cup.growth_weight <= UNINFORMED_RATE
    assert (tea.asset_id, cup.asset_id) == ("tea", "cup")


def test_before_the_first_rebase_growth_weights_are_in_the_order_of_base_weights() -> None:
    # Given a burst of one day that outweighs a habit of three days
    burst = [("do", "burst", NOW - 3600.0 - second) for second in range(20)]
    habit = [("do", "habit", NOW - day * DAY_SECONDS) for day in (1, 2, 3)]
    history = History.from_events([*burst, *habit])
    ranked = from_history_alone(Program("new"), history, now=NOW, limit=5, allow_repeats=True)
    assert [item.asset_id for item in ranked] == ["burst", "habit"]
    assert ranked[0].growth_weight >= ranked[1].growth_weight


@pytest.mark.parametrize(("taken_soon", "share"), [(200, 0.2), (100, 0.36)])
def test_a_horizon_beyond_the_window_goes_on_as_its_second_half_did(taken_soon: int, share: float) -> None:
    # Given that a fifth was taken, all of it or half of it in the first half of the window
    score, taken = np.tile([0.0, 1.0], 500), np.arange(1000) % 5 == 0
    window = CalibrationPairs(score, taken, np.ones((1000, ACTIVITIES)), np.ones(1000), 1000, taken_soon)
    # When the horizon is as long as the window, and twice as long
    scores, activity = np.array([0.0, 0.5, 1.0]), np.ones(ACTIVITIES)
    once, twice, far, farther = (fit_calibration(window, times).growth(scores, activity) for times in (1, 2, 4, 400))
    # Then nothing is added where nothing came later, and as much again where it came at any time
    assert once == pytest.approx(0.2, abs=0.01)
    assert twice == pytest.approx(share, abs=0.01)
    # And nobody says how it goes on beyond four windows
    assert farther == pytest.approx(far)
