"""Effects on the goal against the simulator's truth: a planted effect, and a planted confounder."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from nextbest.domain.actions import Action
from nextbest.domain.programs import GoalEventType
from nextbest.scoring.goal_effects import Basis, GoalEffects
from nextbest.scoring.kernels import DAY_SECONDS
from nextbest.training.goal_effects import estimate_goal_effects
from nextbest.training.goal_moments import DecisionTable
from nextbest.training.table import EventTable
from tests.factories import columns_of_events
from tools.simulator.goal import CONFOUNDED, EFFECTIVE, GOAL, GoalPopulation, goal_population, visiting_population

NOW = 1_790_000_000.0
HORIZON_DAYS = 14.0
RUNS = 100
CUSTOMERS = 300
TRUSTED = 90
"""Of the 95 % intervals of a hundred runs at least so many hold the truth."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one population says: estimates, the naive difference with its 95 % interval, and the truth, by action."""

    effects: GoalEffects
    actions: tuple[Action, ...]
    naive: tuple[float, float]
    truth: dict[Action, float]

    def covers(self, action: Action, truth: float) -> bool:
        place = self.actions.index(action)
        return bool(self.effects.low[place] <= truth <= self.effects.high[place])


def estimate(population: GoalPopulation, seed: int) -> Run:
    table = EventTable.of(columns_of_events(population.events), NOW)
    effects = estimate_goal_effects(
        table,
        (GoalEventType(GOAL.event_type, 1.0),),
        now=NOW,
        horizon_days=HORIZON_DAYS,
        half_life_days=365.0,
        time_budget_seconds=60.0,
        seed=seed,
    )
    return Run(effects, table.actions, naive_difference(table, seed), dict(population.true_effects))


def planted(seed: int) -> GoalPopulation:
    return goal_population(seed, NOW, customers=CUSTOMERS, horizon_days=HORIZON_DAYS)


def naive_difference(table: EventTable, seed: int) -> tuple[float, float]:
    """How much more often the goal follows on the confounded action than on any moment: the ends of the interval."""
    random = np.random.default_rng(seed)
    decisions = DecisionTable(table, NOW, HORIZON_DAYS)
    goals, taken = (decisions.positions_of([table.actions.index(action)]) for action in (GOAL, CONFOUNDED))
    with_it, without = (
        decisions.seconds_until(goals, moments) <= HORIZON_DAYS * DAY_SECONDS
        for moments in (decisions.at_events(taken, 1_000, random), decisions.at_any_time(1_000, random))
    )
    difference = with_it.mean() - without.mean()
    margin = 1.96 * np.sqrt(with_it.var() / len(with_it) + without.var() / len(without))
    return difference - margin, difference + margin


@pytest.fixture(scope="module")
def runs() -> list[Run]:
    with threadpool_limits(1, user_api="blas"):
        return [estimate(planted(seed), seed) for seed in range(RUNS)]


def test_intervals_hold_the_planted_effect(runs: list[Run]) -> None:
    truth = runs[0].truth[EFFECTIVE]
    assert truth == pytest.approx(0.115, abs=0.005)
    assert sum(run.covers(EFFECTIVE, truth) for run in runs) >= TRUSTED
    # And they are not so wide that this would mean nothing: all leave out 0.
    place = runs[0].actions.index(EFFECTIVE)
    assert all(run.effects.basis[place] == Basis.ASSOCIATION and run.effects.low[place] > 0.0 for run in runs)


def test_the_planted_confounder_is_seen_through(runs: list[Run]) -> None:
    assert sum(run.covers(CONFOUNDED, 0.0) for run in runs) >= TRUSTED
    # While whoever compares those who took it with all others falls for it.
    assert sum(low > 0.0 for low, _ in (run.naive for run in runs)) >= TRUSTED


def test_the_goal_itself_is_worth_its_value(runs: list[Run]) -> None:
    place = runs[0].actions.index(GOAL)
    effects = runs[0].effects
    assert (effects.effect[place], effects.low[place], effects.high[place]) == (1.0, 1.0, 1.0)
    assert effects.basis[place] == Basis.GOAL


def test_a_seed_gives_the_same_estimates_to_the_byte(runs: list[Run]) -> None:
    with threadpool_limits(1, user_api="blas"):
        again = estimate(planted(0), 0)
    for name, array in runs[0].effects.to_arrays().items():
        assert again.effects.to_arrays()[name].tobytes() == array.tobytes(), name


def test_within_visits_only_the_cause_counts() -> None:
    # Given customers who do everything within visits, where the goal follows on one action at once, and on no other
    with threadpool_limits(1, user_api="blas"):
        runs = [estimate(visiting_population(seed, NOW), seed) for seed in range(10)]
    effective, confounded = (
        np.array([run.effects.effect[run.actions.index(action)] for run in runs]) for action in (EFFECTIVE, CONFOUNDED)
    )
    # Then the one has its effect, less what would have been reached anyway, and the other has none
    assert 0.6 * 0.2 < effective.mean() < 0.2
    assert abs(confounded.mean()) < 0.02
    assert sum(run.covers(CONFOUNDED, 0.0) for run in runs) >= 9
    # Though it seems to lead to the goal, compared with any time
    assert np.mean([low for low, _ in (run.naive for run in runs)]) > 0.05
