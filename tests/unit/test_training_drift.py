"""Drift: what the last model told, against what came true since."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nextbest.domain.actions import Action
from nextbest.logic.model_report import describe_drift, has_drifted
from nextbest.scoring import Model
from nextbest.scoring.calibration import Calibration
from nextbest.scoring.kernels import DAY_SECONDS
from nextbest.scoring.model import Mode
from nextbest.training.drift import measure_drift

TRAINED_AT = 100 * DAY_SECONDS
TEA = Action("buy", "tea")
SAME = np.array([-20.0, 20.0])


def model(growth: float) -> Model:
    """Tells everybody that they buy tea within ten days with probability ``growth``."""
    logit = float(np.log(growth / (1 - growth)))
    flat = Calibration(np.array([0.0, 1.0]), np.array([logit, logit]), 1.0, np.zeros(3), 0.0, SAME, SAME)
    mode = Mode(np.zeros(1, np.float32), (), flat)
    return Model([TEA], mode, mode, 30.0, 10.0, 0.0, TRAINED_AT)


def events(takers: int, users: int = 200) -> dict[str, np.ndarray[Any, Any]]:
    """All bought a cup before the model was trained, and ``takers`` of them tea two days after."""
    rows = [(f"u{user:03}", "cup", 50.0) for user in range(users)]
    rows += [(f"u{user:03}", "tea", 102.0) for user in range(takers)]
    names, assets, days = zip(*rows, strict=True)
    return {
        "user_id": np.array(names, object),
        "event_type": np.array(["buy"] * len(rows), object),
        "asset_id": np.array(assets, object),
        "timestamp_us": np.array(days, np.float64).astype(np.int64) * 86_400_000_000,
    }


def test_what_was_told_is_counted_against_what_came_true() -> None:
    # Given 200 users, told a probability of 0.2 each, of whom 60 bought within the horizon
    drift = measure_drift(model(0.2), events(60), TRAINED_AT + 10 * DAY_SECONDS)
    for mode in ("repeats", "discoveries"):
        assert drift[mode] == {"expected": pytest.approx(40.0), "observed": 60.0, "recommendations": 200.0}


def test_a_window_shorter_than_the_horizon_expects_less() -> None:
    # Given half the horizon: 1 - 0.8^0.5 of 200
    drift = measure_drift(model(0.2), events(20), TRAINED_AT + 5 * DAY_SECONDS)
    assert drift["repeats"]["expected"] == pytest.approx(200 * (1 - 0.8**0.5))


def test_without_a_window_nothing_is_measured() -> None:
    assert measure_drift(model(0.2), events(20), TRAINED_AT) == {}


@pytest.mark.parametrize(
    ("expected", "observed", "drifted"),
    [(300.0, 390.0, False), (300.0, 410.0, True), (300.0, 190.0, True), (3.0, 8.0, False), (0.0, 0.0, False)],
)
def test_a_third_off_and_more_than_luck_is_drift(expected: float, observed: float, drifted: bool) -> None:
    assert has_drifted({"expected": expected, "observed": observed, "recommendations": 1000.0}) == drifted


def test_the_description_names_the_mode_and_both_rates() -> None:
    drift = {
        "repeats": {"expected": 27.0, "observed": 490.0, "recommendations": 1000.0},
        "discoveries": {"expected": 10.0, "observed": 11.0, "recommendations": 1000.0},
    }
    text = describe_drift(drift)
    assert "repeats" in text and "0.027" in text and "0.490" in text
    assert "discoveries" not in text
