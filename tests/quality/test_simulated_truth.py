"""Quality against known truth: the simulator says how likely every action of every customer is."""

from __future__ import annotations

import numpy as np
import pytest

from nextbest.domain.actions import Action
from nextbest.domain.history import History
from nextbest.domain.programs import Program
from nextbest.scoring import Model, recommend
from nextbest.training import train
from tests.factories import columns_of_events, histories_of
from tools.simulator import Population, checkerboard_population, demo_population

NOW = 1_760_000_000.0
PROGRAM = Program("simulated")


@pytest.fixture(scope="module")
def population() -> Population:
    return demo_population(seed=7, now=NOW, customers=800)


@pytest.fixture(scope="module")
def model(population: Population) -> Model:
    return train(columns_of_events(population.events), program=PROGRAM, now=NOW, seed=1, time_budget_seconds=60.0)


def test_growth_weights_agree_with_the_true_probabilities(population: Population, model: Model) -> None:
    # Given the growth weight of every action of every customer with a history, and the truth
    truth = population.true_probabilities(PROGRAM.horizon_days)
    row = {user_id: place for place, user_id in enumerate(population.user_ids)}
    column = {action: place for place, action in enumerate(population.actions)}
    estimated, true = [], []
    for user_id, history in histories_of(population.events).items():
        for item in recommend(model, history, now=NOW, limit=len(model.actions), allow_repeats=True):
            estimated.append(item.growth_weight)
            true.append(truth[row[user_id], column[Action(item.event_type, item.asset_id)]])
    # When sorted into tenths of the expected takings
    order = np.argsort(estimated)
    guess, fact = np.array(estimated)[order], np.array(true)[order]
    tenth = np.minimum((np.cumsum(guess) / guess.sum() * 10).astype(int), 9)
    # Then estimate and truth agree in each, and over all
    for number in range(10):
        inside = tenth == number
        assert guess[inside].mean() == pytest.approx(fact[inside].mean(), rel=0.3, abs=0.005)
    assert guess.mean() == pytest.approx(fact.mean(), rel=0.1)


def test_weights_rise_with_the_horizon_beyond_what_was_seen_of_it() -> None:
    # Given half a year of events, so that no more than a quarter of them, about 37 days, can be held out
    population = demo_population(seed=3, now=NOW, customers=300)
    columns, histories = columns_of_events(population.events), histories_of(population.events)
    row = {user_id: place for place, user_id in enumerate(population.user_ids)}
    estimated, true = [], []
    for horizon_days in (28, 84):
        program = Program("simulated", horizon_days=horizon_days)
        model = train(columns, program=program, now=NOW, seed=1, time_budget_seconds=2.0)
        weights = [
            item.growth_weight
            for history in histories.values()
            for item in recommend(model, history, now=NOW, limit=len(model.actions), allow_repeats=True)
        ]
        columns_of_model = [population.actions.index(action) for action in model.actions]
        truth = population.true_probabilities(horizon_days)[[row[user_id] for user_id in histories]]
        estimated.append(float(np.mean(weights)))
        true.append(float(truth[:, columns_of_model].mean()))
    assert model.report["modes"]["repeats"]["calibration_window_days"] < 50.0
    # Then what is told for the longer horizon is higher on average, and true within a fifth, though nobody saw it
    assert estimated[0] < estimated[1]
    assert estimated == pytest.approx(true, rel=0.2)


@pytest.mark.parametrize(("allow_repeats", "most_regret"), [(True, 0.12), (False, 0.30)])
def test_regret_against_the_best_possible_ranking(
    population: Population, model: Model, allow_repeats: bool, most_regret: float
) -> None:
    # Given the expected number of takings among five recommendations, for the best ranking there is and for ours
    best = ours = popular = 0.0
    crowd = recommend(model, History.empty(), now=NOW, limit=len(model.actions), allow_repeats=True)
    for user_id, history in histories_of(population.events).items():
        truth = population.true_probability(user_id, PROGRAM.horizon_days)
        ranking = population.best_ranking(user_id, PROGRAM.horizon_days, allow_repeats)[:5]
        best += sum(truth[action] for action in ranking)
        answer = recommend(model, history, now=NOW, limit=5, allow_repeats=allow_repeats)
        ours += sum(truth[Action(item.event_type, item.asset_id)] for item in answer)
        taken = set(history.actions) if not allow_repeats else set()
        known = [
            Action(item.event_type, item.asset_id)
            for item in crowd
            if Action(item.event_type, item.asset_id) not in taken
        ]
        popular += sum(truth[action] for action in known[:5])
    # Then little is lost against the best, and much is won against the crowd
    assert 1.0 - ours / best < most_regret
    assert ours > 1.1 * popular


def test_the_checkerboard_is_solved() -> None:
    # Given users of two kinds, each lacking one action of their own kind
    board = checkerboard_population(NOW, size=10)
    model = train(columns_of_events(board.events), program=PROGRAM, now=NOW, seed=1)
    # Then that action is everyone's first discovery
    first = {
        user_id: recommend(model, history, now=NOW, limit=1, allow_repeats=False)[0]
        for user_id, history in histories_of(board.events).items()
    }
    assert {user_id: Action(item.event_type, item.asset_id) for user_id, item in first.items()} == dict(
        board.right_answers
    )
