"""What training judges is what serving computes, and the switches of ``train``."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from nextbest.domain.history import History
from nextbest.domain.programs import GoalEventType, Program
from nextbest.scoring import Model, recommend
from nextbest.scoring.kernels import DAY_SECONDS
from nextbest.training import train
from nextbest.training.build import score_matrix
from nextbest.training.examples import seen_of
from nextbest.training.table import EventTable, Moments
from tests.factories import columns_of_rows

NOW = 400 * DAY_SECONDS
PROGRAM = Program("serving")


@pytest.fixture(scope="module")
def events() -> dict[str, list[Any]]:
    """Sixty users; each walks through the twelve assets in order, with a favourite in between."""
    random = np.random.default_rng(3)
    rows = []
    for user in range(60):
        begin = int(random.integers(12))
        for step in range(int(random.integers(3, 25))):
            asset = user % 4 if step % 3 == 2 else (begin + step) % 12
            rows.append((f"u{user}", "do", f"a{asset}", NOW - DAY_SECONDS * float(200 - 8 * step + random.random())))
    return columns_of_rows(rows)


@pytest.fixture(scope="module")
def model(events: dict[str, list[Any]]) -> Model:
    return train(events, program=PROGRAM, now=NOW, seed=1, time_budget_seconds=5.0)


@pytest.mark.parametrize("allow_repeats", [True, False])
def test_training_and_serving_compute_the_same_scores(
    events: dict[str, list[Any]], model: Model, allow_repeats: bool
) -> None:
    now = max(events["timestamp"]) + DAY_SECONDS
    table = EventTable.of(events, now)
    moments = Moments.at(table, np.arange(60), now)
    repeats, discoveries = (score_matrix(mode, table, moments) for mode in (model.repeats, model.discoveries))
    matrix = np.where(seen_of(table, moments), repeats, discoveries)
    for user in range(60):
        places = slice(int(table.starts[user]), int(table.starts[user + 1]))
        history = History.from_events(
            (*table.actions[action], at)
            for action, at in zip(table.action[places].tolist(), table.time[places].tolist(), strict=True)
        )
        for item in recommend(model, history, now=now, limit=12, allow_repeats=allow_repeats):
            served = model.places_by_type[item.event_type][item.asset_id]
            assert item.score == pytest.approx(matrix[user, served], rel=1e-4, abs=1e-5)


def test_what_is_learned_years_after_the_last_event_is_what_was_learned_then(events: dict[str, list[Any]]) -> None:
    last = max(events["timestamp"])
    then = train(events, program=PROGRAM, now=last, seed=1, time_budget_seconds=5.0)
    later = train(events, program=PROGRAM, now=last + 5000 * DAY_SECONDS, seed=1, time_budget_seconds=5.0)
    for allow_repeats in (True, False):
        answers = [
            recommend(model, History.empty(), now=model.trained_at, limit=12, allow_repeats=allow_repeats)
            for model in (then, later)
        ]
        assert answers[0] == answers[1]
        assert len({item.score for item in answers[1]}) > 1


def test_something_was_learned_about_what_comes_next(model: Model) -> None:
    parts = {part["part"] for part in model.report["modes"]["repeats"]["parts"]}
    assert parts > {"prior"}


def test_asset_values_rank_by_expected_value(events: dict[str, list[Any]], model: Model) -> None:
    valued = train(events, program=PROGRAM, now=NOW, seed=1, time_budget_seconds=5.0, values={"a11": 1e6})
    plain = recommend(model, History.empty(), now=NOW, limit=12, allow_repeats=True)
    ranked = recommend(valued, History.empty(), now=NOW, limit=12, allow_repeats=True)
    assert ranked[0].asset_id == "a11"
    assert {item.asset_id: item.growth_weight for item in plain} == {
        item.asset_id: item.growth_weight for item in ranked
    }


def test_learning_from_the_highly_engaged_is_a_switch_and_compared(events: dict[str, list[Any]]) -> None:
    demanding = replace(PROGRAM, high_engagement_threshold=15)
    engaged = train(events, program=demanding, now=NOW, seed=1, time_budget_seconds=5.0, learn_from="highly_engaged")
    everyone = train(events, program=demanding, now=NOW, seed=1, time_budget_seconds=5.0)
    one, other = (each.report["modes"]["repeats"]["learners"] for each in (engaged, everyone))
    assert one["chosen_users"] == other["other_users"] < other["chosen_users"] == one["other_users"]


def test_beyond_the_dense_limit_the_sparse_method_still_learns(events: dict[str, list[Any]]) -> None:
    # Given a catalogue of 3,000 further assets, each taken once by one user, and a budget for few of them
    extra = [("far", "do", f"x{number}", NOW - number * 1000.0) for number in range(3000)]
    names = ("user_id", "event_type", "asset_id", "timestamp")
    wide = {name: [*events[name], *(row[place] for row in extra)] for place, name in enumerate(names)}
    model = train(wide, program=PROGRAM, now=NOW, seed=1, time_budget_seconds=0.5)
    assert model.report["dense_actions"] < len(model.actions)
    assert len(recommend(model, History.empty(), now=NOW, limit=10, allow_repeats=True)) == 10


def test_a_goal_changes_nothing_else_of_a_model(events: dict[str, list[Any]], model: Model) -> None:
    program = replace(PROGRAM, goal=(GoalEventType("do", 2.0),))
    aiming = train(events, program=program, now=NOW, seed=1, time_budget_seconds=5.0)

    assert aiming.goal_effects is not None
    assert aiming.goal_effects.counted.tolist() == [2.0] * len(model.actions)
    assert aiming.report["goal"]["actions"]["goal"] == len(model.actions)
    assert replace(aiming, goal_effects=None, report=model.report).to_bytes() == model.to_bytes()
