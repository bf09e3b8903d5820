"""Calibration: the map at any time, and the one right after an event."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nextbest.scoring.calibration import Calibration, activity_of

SAME = np.array([-20.0, 20.0])
NOW = 1_000_000.0
HOUR = 3_600.0


def maps() -> Calibration:
    """At any time the logit is the score; right after an event it is 2 more."""
    anywhen = Calibration(SAME, SAME, 1.0, np.zeros(3), 0.0, SAME, SAME)
    return replace(anywhen, after_event=replace(anywhen, intercept=2.0))


@pytest.mark.parametrize(("hours", "logit"), [(0.0, 3.0), (1.0, 2.0), (2.0, 1.5), (24.0, 1.0), (2_400.0, 1.0)])
def test_what_is_left_of_a_visit_halves_every_hour(hours: float, logit: float) -> None:
    activity = activity_of(np.array([NOW - hours * HOUR]), NOW, 14.0)
    growth = maps().growth(np.array([1.0]), activity)
    assert growth == pytest.approx(1.0 / (1.0 + np.exp(-logit)), rel=1e-3)


def test_many_users_are_each_at_their_own_time() -> None:
    times = [np.array([NOW - hours * HOUR]) for hours in (0.0, 1.0, 240.0)]
    activity = np.array([activity_of(each, NOW, 14.0) for each in times])
    scores = np.array([[0.0, 1.0]] * 3)
    together = maps().growth(scores, activity)
    for row in range(3):
        assert together[row] == pytest.approx(maps().growth(scores[row], activity[row]), rel=2e-3)


def test_who_did_nothing_is_in_no_visit() -> None:
    growth = maps().growth(np.array([1.0]), activity_of(np.zeros(0), NOW, 14.0))
    assert growth == pytest.approx(1.0 / (1.0 + np.exp(-1.0)))
