"""Ranking by the goal, on a model small enough to compute by hand, and what the model file holds of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from nextbest.domain.actions import Action
from nextbest.domain.history import History
from nextbest.domain.programs import GoalEventType
from nextbest.errors import ArtifactError, InvalidInput
from nextbest.scoring import Model, artifact, recommend
from nextbest.scoring.calibration import Calibration
from nextbest.scoring.goal_effects import Basis, GoalEffects
from nextbest.scoring.goal_ranking import effects_on, impacts_of, recommend_for_goal
from nextbest.scoring.kernels import DAY_SECONDS, Kernel
from nextbest.scoring.model import Mode, Term
from nextbest.scoring.unknown import Pooled

NOW = 100 * DAY_SECONDS
SAME = np.array([-20.0, 20.0])
BUY, CALL, TRY, VIEW = (Action(name, "plan") for name in ("buy", "call", "try", "view"))
ACTIONS = [BUY, CALL, TRY, VIEW]
GOAL = (GoalEventType("buy", 20.0),)
GROWTH = {BUY: 0.1, CALL: 0.5, TRY: 0.4, VIEW: 0.9}
EFFECTS = {
    BUY: (20.0, Basis.GOAL),
    CALL: (3.0, Basis.UNCERTAIN),
    TRY: (6.0, Basis.ASSOCIATION),
    VIEW: (-1.0, Basis.ASSOCIATION),
}
NOBODY = History.empty()


def effects(**changed: Any) -> GoalEffects:
    effect = np.array([EFFECTS[action][0] for action in ACTIONS])
    error = np.array([0.0, 2.0, 1.0, 0.25])
    basis = np.array([EFFECTS[action][1] for action in ACTIONS], np.uint8)
    users = np.array([0, 40, 90, 200], np.uint32)
    return replace(GoalEffects(GOAL, effect, error, effect - 2 * error, effect + 2 * error, users, basis), **changed)


@pytest.fixture
def model() -> Model:
    """Everybody has the growth weights of GROWTH: a score is its logit."""
    straight = Calibration(SAME, SAME, 1.0, np.zeros(3), 0.0, SAME, SAME)
    prior = np.array([np.log(GROWTH[action] / (1 - GROWTH[action])) for action in ACTIONS], np.float32)
    pooled = Pooled(np.zeros(5, np.float32), np.zeros((0, 0), np.float32), 10.0)
    term = Term("own", Kernel(), np.zeros(4, np.float32), pooled=pooled)
    mode = Mode(prior, (term,), straight, pooled_prior=np.zeros(5, np.float32))
    return Model(ACTIONS, mode, mode, 365.0, 14.0, 0.0, NOW, goal_effects=effects())


def ranked(model: Model, history: History = NOBODY, limit: int = 10, **options: Any) -> list[Action]:
    assert model.goal_effects is not None
    listed = recommend_for_goal(model, model.goal_effects, history, now=NOW, limit=limit, allow_repeats=True, **options)
    return [Action(entry.event_type, entry.asset_id) for entry in listed]


def test_the_order_is_that_of_growth_weight_times_effect(model: Model) -> None:
    # 0.4 · 6 · 35/36, then 0.1 · 20, then 0.5 · 3 · 5/9; viewing keeps from the goal
    assert ranked(model) == [TRY, BUY, CALL, VIEW]
    assert ranked(model, limit=1) == [TRY]
    assert [
        Action(each.event_type, each.asset_id)
        for each in recommend(model, NOBODY, now=NOW, limit=10, allow_repeats=True)
    ] == [VIEW, CALL, TRY, BUY]


def test_an_effect_within_its_standard_error_counts_for_nothing() -> None:
    barely = effects(standard_error=np.array([0.0, 3.0, 7.0, 0.5]))
    assert barely.counted.tolist() == pytest.approx([20.0, 0.0, 0.0, -0.75])


def test_growth_weights_are_those_of_any_other_ranking(model: Model) -> None:
    assert model.goal_effects is not None
    by_goal = recommend_for_goal(model, model.goal_effects, NOBODY, now=NOW, limit=10, allow_repeats=True)
    by_growth = recommend(model, NOBODY, now=NOW, limit=10, allow_repeats=True)
    assert sorted(by_goal, key=lambda entry: entry.event_type) == sorted(by_growth, key=lambda entry: entry.event_type)


def test_without_any_effect_the_order_is_that_of_growth_weights(model: Model) -> None:
    nothing = effects(effect=np.zeros(4), basis=np.full(4, Basis.TOO_FEW_USERS, np.uint8))
    assert ranked(replace(model, goal_effects=nothing)) == [VIEW, CALL, TRY, BUY]


def test_filters_settings_and_the_floor_hold_here_too(model: Model) -> None:
    assert ranked(model, allowed=np.array([True, True, False, True])) == [BUY, CALL, VIEW]
    assert ranked(replace(model, never_recommended=("try", "view"))) == [BUY, CALL]
    assert ranked(replace(model, action_weight_floor=0.45)) == [CALL, VIEW]
    with pytest.raises(InvalidInput, match="limit is 0"):
        ranked(model, limit=0)


def test_an_impact_is_growth_weight_times_effect_with_its_interval(model: Model) -> None:
    assert model.goal_effects is not None
    listed = recommend_for_goal(model, model.goal_effects, NOBODY, now=NOW, limit=10, allow_repeats=True)
    trial, purchase, call, _ = impacts_of(model, model.goal_effects, listed)
    assert (trial.impact, trial.impact_low, trial.impact_high) == pytest.approx((0.4 * 6.0 * 35.0 / 36.0, 1.6, 3.2))
    assert (trial.effect, trial.low, trial.high, trial.standard_error, trial.users) == (6.0, 4.0, 8.0, 1.0, 90)
    # The goal itself is worth its value
    assert (purchase.impact, purchase.impact_low, purchase.effect) == pytest.approx((2.0, 2.0, 20.0))
    # What may be chance counts in part
    assert (call.effect, call.basis) == (3.0, Basis.UNCERTAIN)
    assert (call.counted, call.impact) == pytest.approx((3.0 * 5.0 / 9.0, 0.5 * 3.0 * 5.0 / 9.0))
    assert call.impact_low == pytest.approx(-0.5)


def test_what_the_model_does_not_know_is_worth_something_only_where_it_is_the_goal(model: Model) -> None:
    # Given a user who bought and tried something new since the rebase
    new, trial = Action("buy", "extra"), Action("try", "extra")
    history = History.from_events([(*new, NOW - 9.0), (*trial, NOW - 9.0)])
    # When ranked by the goal, at an even chance of both
    order = ranked(model, history)
    # Then the purchase is first, and the trial among what is worth nothing
    assert order[0] == new
    assert order.index(trial) > order.index(BUY)
    assert model.goal_effects is not None
    listed = recommend_for_goal(model, model.goal_effects, history, now=NOW, limit=10, allow_repeats=True)
    impacts = dict(zip(order, impacts_of(model, model.goal_effects, listed), strict=True))
    assert (impacts[new].basis, impacts[new].effect) == (Basis.GOAL, 20.0)
    assert (impacts[trial].basis, impacts[trial].impact, impacts[trial].effect) == (Basis.NOT_ESTIMATED, 0.0, None)


def test_a_goal_needs_effects_of_just_that_goal(model: Model) -> None:
    assert effects_on(GOAL, model) is model.goal_effects
    with pytest.raises(InvalidInput, match="no goal"):
        effects_on((), model)
    with pytest.raises(InvalidInput, match="no estimate for the program's goal yet"):
        effects_on((GoalEventType("buy", 21.0),), model)
    with pytest.raises(InvalidInput, match="no estimate for the program's goal yet"):
        effects_on(GOAL, replace(model, goal_effects=None))


def test_effects_survive_the_model_file(model: Model) -> None:
    stored = Model.from_bytes(model.to_bytes())
    assert stored.goal_effects is not None
    assert stored.goal_effects.goal == GOAL
    for name, array in effects().to_arrays().items():
        np.testing.assert_array_equal(stored.goal_effects.to_arrays()[name], array)
    assert stored.to_bytes() == model.to_bytes()


def test_a_file_without_a_goal_is_as_before_and_is_read(model: Model) -> None:
    plain = replace(model, goal_effects=None)
    header, arrays = artifact.decode(plain.to_bytes())
    assert "goal" not in header
    assert not any(name.startswith("goal") for name in arrays)
    assert Model.from_bytes(plain.to_bytes()).goal_effects is None


@pytest.mark.parametrize(
    ("damaged", "goal"),
    [
        ({"goal.low": None}, [["buy", 20.0]]),
        ({"goal.effect": np.array([np.nan, 0.0, 0.0, 0.0])}, [["buy", 20.0]]),
        ({"goal.effect": np.zeros(3)}, [["buy", 20.0]]),
        ({"goal.basis": np.full(4, 7, np.uint8)}, [["buy", 20.0]]),
        ({"goal.users": np.zeros(4)}, [["buy", 20.0]]),
        ({}, [["buy", 0.0]]),
        ({}, [["buy"]]),
        ({}, 7),
    ],
    ids=["missing", "not a number", "too short", "unknown basis", "no counts", "no value", "half an entry", "no list"],
)
def test_damaged_effects_are_refused_when_read(model: Model, damaged: dict[str, Any], goal: Any) -> None:
    header, arrays = artifact.decode(model.to_bytes())
    arrays = {name: array for name, array in (arrays | damaged).items() if array is not None}
    with pytest.raises(ArtifactError):
        Model.from_bytes(artifact.encode({**header, "goal": goal}, arrays))
