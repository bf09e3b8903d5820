"""Ranking and explanations of a model small enough to compute by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nextbest.domain.actions import Action
from nextbest.domain.history import History
from nextbest.errors import InvalidInput, NotFound
from nextbest.scoring import Model, explain, recommend, recommend_many
from nextbest.scoring.calibration import Calibration
from nextbest.scoring.kernels import DAY_SECONDS, Kernel
from nextbest.scoring.model import Influence, Mode, RepeatTiming, Term

NOW = 100 * DAY_SECONDS
SAME = np.array([-20.0, 20.0])
TEA, CUP, POT = Action("buy", "tea"), Action("buy", "cup"), Action("buy", "pot")


def influence(rows: list[dict[int, float]], scale: float = 1.0) -> Influence:
    starts = np.cumsum([0, *(len(row) for row in rows)]).astype(np.int64)
    columns = np.array([column for row in rows for column in row], np.uint16)
    weights = np.array([weight for row in rows for weight in row.values()], np.float16)
    return Influence(starts, columns, weights, scale)


def calibration() -> Calibration:
    """Score 0 means logit -2, score 1 logit 2, whoever the user is."""
    return Calibration(np.array([0.0, 1.0]), np.array([-2.0, 2.0]), 1.0, np.zeros(3), 0.0, SAME, SAME)


@pytest.fixture
def model() -> Model:
    """Actions cup, pot, tea (sorted). Half-life 10 days. Tea leads to the cup (0.5) and the pot (0.25)."""
    kernel = Kernel("time", "exponential", 10.0)
    leads = influence([{}, {}, {0: 0.5, 1: 0.25}])
    prior = np.array([0.0, 0.1, 0.05], np.float32)
    repeats = Mode(prior, (Term("own", kernel, np.full(3, 0.4, np.float32), leads),), calibration())
    discoveries = Mode(prior, (Term("leads", kernel, None, leads),), calibration())
    return Model([CUP, POT, TEA], repeats, discoveries, 10.0, 14.0, 0.0, NOW)


def history(*events: tuple[Action, float]) -> History:
    return History.from_events((action.event_type, action.asset_id, day * DAY_SECONDS) for action, day in events)


def test_scores_are_prior_plus_own_weight_plus_influences(model: Model) -> None:
    # Given tea taken one half-life ago (x = 0.5) and now (x = 1): 1.5 in all
    taken = history((TEA, 90.0), (TEA, 100.0))
    # When repeats are allowed
    best = recommend(model, taken, now=NOW, limit=10, allow_repeats=True)
    # Then cup = 1.5 · 0.5; tea = 0.05 + 1.5 · 0.4; pot = 0.1 + 1.5 · 0.25
    assert {item.asset_id: item.score for item in best} == pytest.approx({"cup": 0.75, "tea": 0.65, "pot": 0.475})
    assert [item.asset_id for item in best] == ["cup", "tea", "pot"]
    assert [item.base_weight for item in best] == [0.0, 1.5, 0.0]
    assert best[0].growth_weight == pytest.approx(1 / (1 + np.exp(-1.0)))


def test_discoveries_leave_out_what_was_done(model: Model) -> None:
    best = recommend(model, history((TEA, 100.0)), now=NOW, limit=10, allow_repeats=False)
    assert [item.asset_id for item in best] == ["cup", "pot"]


def test_a_user_without_history_gets_the_prior(model: Model) -> None:
    best = recommend(model, History.empty(), now=NOW, limit=2, allow_repeats=True)
    assert [item.asset_id for item in best] == ["pot", "tea"]
    assert [item.score for item in best] == pytest.approx([0.1, 0.05])


def test_unknown_actions_count_for_nothing(model: Model) -> None:
    strange = history((Action("buy", "anvil"), 99.0))
    assert recommend(model, strange, now=NOW, limit=3, allow_repeats=True) == recommend(
        model, History.empty(), now=NOW, limit=3, allow_repeats=True
    )


def test_the_mask_applies_before_the_limit(model: Model) -> None:
    allowed = np.array([False, True, False])
    best = recommend(model, history((TEA, 100.0)), now=NOW, limit=2, allow_repeats=True, allowed=allowed)
    assert [item.asset_id for item in best] == ["pot"]


def test_the_floor_leaves_out_improbable_actions(model: Model) -> None:
    # Given growth at score 0.05 is 1 / (1 + e^1.8) = 0.142, at 0.1 it is 0.168
    floored = replace(model, action_weight_floor=0.15)
    best = recommend(floored, History.empty(), now=NOW, limit=3, allow_repeats=True)
    assert [item.asset_id for item in best] == ["pot"]


def test_values_change_the_order_but_not_the_probability(model: Model) -> None:
    plain = recommend(model, history((TEA, 100.0)), now=NOW, limit=3, allow_repeats=True)
    valued = recommend(
        model, history((TEA, 100.0)), now=NOW, limit=3, allow_repeats=True, values=np.array([1.0, 50.0, 1.0])
    )
    assert valued[0].asset_id == "pot"
    assert {item.asset_id: item.growth_weight for item in plain} == {
        item.asset_id: item.growth_weight for item in valued
    }


def test_the_floor_comes_before_the_limit_where_values_order(model: Model) -> None:
    # Given growth of 0.168 for the pot, and less for the others, of which the cup is worth most
    floored = replace(model, action_weight_floor=0.15)
    values = np.array([100.0 if action.asset_id == "cup" else 1.0 for action in model.actions])
    # When the one best is asked for, then the cup, which is under the floor, does not take its place
    best = recommend(floored, History.empty(), now=NOW, limit=1, allow_repeats=True, values=values)
    assert [item.asset_id for item in best] == ["pot"]


def test_ties_do_not_follow_the_order_of_the_arrays(model: Model) -> None:
    # Given a model in which all scores are equal, and the same with its actions reversed
    flat = Mode(np.zeros(3, np.float32), (), calibration())
    one = replace(model, repeats=flat, discoveries=flat)
    other = Model([TEA, POT, CUP], flat, flat, 10.0, 14.0, 0.0, NOW)
    # Then both answer alike, at every limit
    for limit in (1, 2, 3):
        names = [
            [item.asset_id for item in recommend(each, History.empty(), now=NOW, limit=limit, allow_repeats=True)]
            for each in (one, other)
        ]
        assert names[0] == names[1]


def test_repeat_timing_scales_the_own_weight(model: Model) -> None:
    # Given tea every 10 days, a factor of 0 right after and of 1 from one gap on
    timing = RepeatTiming(np.full(3, 10.0, np.float32), np.array([-1.0, 0.0]), np.array([0.0, 1.0]))
    own = Term("own", Kernel("time", "exponential", 10.0), np.full(3, 0.4, np.float32), None, timing)
    timed = replace(model, repeats=Mode(model.repeats.prior, (own,), calibration()))
    # When it was taken 10 days ago, and when 5 days ago
    due, early = (recommend(timed, history((TEA, day)), now=NOW, limit=3, allow_repeats=True) for day in (90.0, 95.0))
    # Then 0.05 + 0.4 · 0.5 · 1 when due; the prior alone when early
    assert next(item.score for item in due if item.asset_id == "tea") == pytest.approx(0.25)
    assert next(item.score for item in early if item.asset_id == "tea") == pytest.approx(0.05)


def test_many_users_are_scored_as_one_by_one(model: Model) -> None:
    users = [history((TEA, 50.0), (CUP, 90.0)), History.empty(), history((POT, 99.0))]
    together = list(recommend_many(model, users, now=NOW, limit=2, allow_repeats=True))
    assert together == [recommend(model, user, now=NOW, limit=2, allow_repeats=True) for user in users]


def test_explanations_add_up(model: Model) -> None:
    taken = history((TEA, 90.0), (CUP, 100.0))
    (cup,) = explain(model, taken, [CUP], now=NOW)
    # Then cup = prior 0 + itself 1 · 0.4 + tea 0.5 · 0.5
    assert [part.action for part in cup.contributions] == [CUP, TEA]
    assert [part.share for part in cup.contributions] == pytest.approx([0.4, 0.25])
    assert [part.base_weight for part in cup.contributions] == pytest.approx([1.0, 0.5])
    assert cup.prior_share + sum(part.share for part in cup.contributions) + cup.other_share == pytest.approx(cup.score)


def test_unlisted_contributions_are_summed(model: Model) -> None:
    taken = history((TEA, 90.0), (CUP, 100.0))
    (cup,) = explain(model, taken, [CUP], now=NOW, strongest=1)
    assert len(cup.contributions) == 1
    assert cup.other_share == pytest.approx(0.25)


def test_explaining_an_unknown_action_is_refused(model: Model) -> None:
    with pytest.raises(NotFound, match="anvil"):
        explain(model, History.empty(), [Action("buy", "anvil")], now=NOW)


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_below_one_is_refused(model: Model, limit: int) -> None:
    with pytest.raises(InvalidInput, match="at least 1"):
        recommend(model, History.empty(), now=NOW, limit=limit, allow_repeats=True)


def test_a_mask_of_the_wrong_shape_is_refused(model: Model) -> None:
    with pytest.raises(InvalidInput, match="3 actions"):
        recommend(model, History.empty(), now=NOW, limit=1, allow_repeats=True, allowed=np.ones(2, np.bool_))


def test_years_after_the_last_event_the_ranking_is_that_of_its_day(model: Model) -> None:
    # Given a program and a user who stopped at the same time
    stopped = replace(model, last_event_at=NOW)
    one = history((TEA, 100.0))
    then = recommend(stopped, one, now=NOW, limit=3, allow_repeats=True)
    # When they are asked for ten years later, then all is as it was, but for the base weights, which tell of the past
    later = recommend(stopped, one, now=NOW + 3650 * DAY_SECONDS, limit=3, allow_repeats=True)
    assert [replace(item, base_weight=0.0) for item in later] == [replace(item, base_weight=0.0) for item in then]
    assert max(item.base_weight for item in later) < 1e-9
    # And a few days without events are just days
    soon = recommend(stopped, one, now=NOW + 5 * DAY_SECONDS, limit=3, allow_repeats=True)
    assert [item.score for item in soon] != [item.score for item in then]
