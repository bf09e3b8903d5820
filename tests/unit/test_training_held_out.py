"""The pairs that calibration is fitted on: who, when, and what counts as taken."""

from __future__ import annotations

import numpy as np
import pytest

from nextbest.domain.actions import Action
from nextbest.scoring.calibration import Calibration
from nextbest.scoring.kernels import DAY_SECONDS, Kernel
from nextbest.scoring.model import Mode, Term
from nextbest.training.calibrate import CalibrationPairs
from nextbest.training.held_out import HeldOutPairs
from nextbest.training.table import EventTable
from tests.factories import columns_of_rows

SAME = np.array([-20.0, 20.0])
CUT = 100.0
Row = tuple[str, float]


def pairs(*events: Row, horizon_days: float = 10.0, now: float = 130.0) -> HeldOutPairs:
    """Pairs of one user from day 100 to ``now``, for events (asset, day); scores are 1 for what was done, else 0."""
    rows = [("ann", "do", asset, day * DAY_SECONDS) for asset, day in events]
    table = EventTable.of(columns_of_rows(rows), now * DAY_SECONDS)
    flat = Calibration(SAME, SAME, 1.0, np.zeros(3), 0.0, SAME, SAME)
    size = len(table.actions)
    own = Term("own", Kernel("time", "exponential", 1e9), np.ones(size, np.float32))
    mode = Mode(np.zeros(size, np.float32), (own,), flat)
    assert table.actions[0] == Action("do", "a")
    return HeldOutPairs.of(
        mode,
        mode,
        table,
        cut=CUT * DAY_SECONDS,
        now=now * DAY_SECONDS,
        horizon_days=horizon_days,
        random=np.random.default_rng(1),
    )


def taken(groups: list[CalibrationPairs]) -> list[tuple[float, bool]]:
    joined = CalibrationPairs.join(groups)
    return sorted(zip(joined.score.tolist(), joined.taken.tolist(), strict=True))


def test_what_was_done_and_what_was_not_are_apart() -> None:
    # Given a done before the cut; a again and b for the first time within ten days; c later
    found = pairs(("a", 90.0), ("a", 105.0), ("b", 106.0), ("c", 129.0))
    assert found.days == 10.0
    assert [round(score, 3) for score, _ in taken(found.repeats.at_cut)] == [1.0]
    assert [taken_at for _, taken_at in taken(found.repeats.at_cut)] == [True]
    assert taken(found.discoveries.at_cut) == [(0.0, False), (0.0, True)]


def test_moments_are_right_after_events_and_see_the_horizon_from_there() -> None:
    # Given the same: after day 105 comes b, after day 106 nothing for ten days, and day 129 is too late to tell
    found = pairs(("a", 90.0), ("a", 105.0), ("b", 106.0), ("c", 129.0))
    assert [taken_at for _, taken_at in taken(found.repeats.after_events)] == [False, False, False]  # a; a, b
    assert [taken_at for _, taken_at in taken(found.discoveries.after_events)] == [False, False, True]  # b, c; c


def test_a_moment_comes_after_all_of_a_basket() -> None:
    found = pairs(("a", 90.0), ("b", 105.0), ("c", 105.0))
    assert len(taken(found.repeats.after_events)) == 3
    assert taken(found.discoveries.after_events) == []


@pytest.mark.parametrize(("day", "seen"), [(105.0, True), (107.0, False)])
def test_where_the_horizon_is_the_window_the_first_fifth_is_seen(day: float, seen: bool) -> None:
    found = pairs(("a", 90.0), ("b", day), horizon_days=100.0)
    assert found.days == pytest.approx(30.0)
    assert bool(taken(found.repeats.after_events)) == seen


def test_without_events_in_the_window_there_is_one_map() -> None:
    found = pairs(("a", 90.0), ("b", 99.0))
    assert found.repeats.fit().after_event is None
    assert found.reliability(allow_repeats=True)["pairs"] == 2


def test_what_is_taken_within_visits_makes_a_map_of_its_own() -> None:
    found = pairs(*[(asset, 90.0) for asset in "ab"], *[("ab"[day % 2], float(day)) for day in range(101, 120)])
    assert found.repeats.fit().after_event is not None
