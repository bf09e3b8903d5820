"""A model against the popular list, on simulated customers whose tastes are known: from decisions to the lift.

Run with ``-s`` to read the figures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from nextbest.domain.actions import Action
from nextbest.domain.history import History
from nextbest.domain.programs import Program
from nextbest.lift.attribution import NOT_NAMED, DecisionColumns, OutcomeColumns, attribute
from nextbest.lift.comparison import compare_variants
from nextbest.lift.off_policy import LoggedChoices, value_of_candidate
from nextbest.lift.windows import open_windows, outcomes_before, outcomes_within
from nextbest.scoring import recommend
from nextbest.training import train
from tests.factories import columns_of_events, histories_of
from tools.simulator import Population, demo_population

NOW = 1_760_000_000.0
DAY = 86_400.0
HORIZON_DAYS = 14.0
PROGRAM = Program("simulated")
RUNS = 100
INFLUENCE = 0.8
"""Whoever is shown an action takes it once more with so much of the probability that they take it anyway."""
DRAWN = 5
"""Actions that the logging policy draws from."""

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Company:
    """A population, ``truth`` (users, actions) and ``growth_weight`` (users, actions) of taking an action within the
    horizon, by the simulator and by the model; the first action of the ``popular`` list, and that of the model for each
    user, ``best`` (users,)."""

    population: Population
    truth: Floats
    growth_weight: Floats
    popular: int
    best: Integers

    @property
    def effect(self) -> float:
        """How many more actions a user takes on average if the model serves in place of the popular list."""
        users = np.arange(len(self.best))
        return INFLUENCE * float((self.truth[users, self.best] - self.truth[:, self.popular]).mean())


@pytest.fixture(scope="module")
def company() -> Company:
    population = demo_population(seed=7, now=NOW, customers=400)
    model = train(columns_of_events(population.events), program=PROGRAM, now=NOW, seed=1, time_budget_seconds=2.0)
    histories = histories_of(population.events)
    column = {action: place for place, action in enumerate(population.actions)}
    growth_weight = np.zeros((len(population.user_ids), len(population.actions)))
    for row, user_id in enumerate(population.user_ids):
        history = histories.get(user_id, History.empty())
        for item in recommend(model, history, now=NOW, limit=len(model.actions), allow_repeats=True):
            growth_weight[row, column[Action(item.event_type, item.asset_id)]] = item.growth_weight
    crowd = recommend(model, History.empty(), now=NOW, limit=1, allow_repeats=True)[0]
    return Company(
        population=population,
        truth=population.true_probabilities(HORIZON_DAYS),
        growth_weight=growth_weight,
        popular=column[Action(crowd.event_type, crowd.asset_id)],
        best=growth_weight.argmax(axis=1),
    )


def experiment(company: Company, seed: int) -> tuple[DecisionColumns, OutcomeColumns, Integers]:
    """Two decisions for each user, two weeks of outcomes before and after them, and the variant of each user: those of
    variant 1 are shown what the model says."""
    random = np.random.default_rng(seed)
    users = len(company.best)
    variant = (random.random(users) < 0.5).astype(np.int64)
    shown = np.where(variant == 1, company.best, company.popular)
    first = NOW + random.random(users) * DAY
    decisions = DecisionColumns(
        user=np.tile(np.arange(users), 2),
        time=np.concatenate([first, first + DAY]),
        recommendation=np.arange(2 * users),
        starts=np.arange(2 * users + 1),
        shown=np.tile(shown, 2),
    )
    persuaded = np.flatnonzero(random.random(users) < INFLUENCE * company.truth[np.arange(users), shown])
    row = {user_id: place for place, user_id in enumerate(company.population.user_ids)}
    column = {action: place for place, action in enumerate(company.population.actions)}
    anyway = [event for event in company.population.events if event.timestamp_us > (NOW - HORIZON_DAYS * DAY) * 1e6]
    anyway += company.population.future(HORIZON_DAYS + 1.0, seed)
    outcomes = OutcomeColumns(
        user=np.concatenate([np.array([row[event.user_id] for event in anyway]), persuaded]),
        time=np.concatenate([np.array([event.timestamp_us / 1e6 for event in anyway]), first[persuaded] + 2.0 * DAY]),
        action=np.concatenate(
            [np.array([column[Action(event.event_type, event.asset_id)] for event in anyway]), shown[persuaded]]
        ),
        value=np.ones(len(anyway) + len(persuaded)),
        recommendation=np.full(len(anyway) + len(persuaded), NOT_NAMED),
    )
    return decisions, outcomes, variant


def test_the_lift_covers_the_simulator_s_truth(company: Company) -> None:
    covered_always, covered_fixed, removed = 0, 0, []
    for seed in range(RUNS):
        decisions, outcomes, variant = experiment(company, seed)
        windows = open_windows(
            decisions.user,
            decisions.time,
            started_at=NOW,
            horizon_days=HORIZON_DAYS,
            now=NOW + (HORIZON_DAYS + 1.0) * DAY,
        )
        assert windows.complete.all()
        count, _ = outcomes_within(windows, outcomes.user, outcomes.time, outcomes.value)
        before, _ = outcomes_before(
            windows, outcomes.user, outcomes.time, outcomes.value, started_at=NOW, days=HORIZON_DAYS
        )
        comparison = compare_variants(
            ("holdout", "model"),
            variant[windows.user],
            count.astype(np.float64),
            before.astype(np.float64),
        )[0]
        difference = comparison.decisive.difference
        assert difference.always_valid is not None and difference.fixed is not None
        covered_always += not difference.always_valid.excludes(company.effect)
        covered_fixed += not difference.fixed.excludes(company.effect)
        removed.append(comparison.variance_removed)
    print(f"{company.effect:.3f}: covered: always valid {covered_always / RUNS:.1%}, fixed {covered_fixed / RUNS:.1%}")
    assert company.effect > 0.05
    assert covered_always >= 0.95 * RUNS
    assert covered_fixed >= 0.9 * RUNS
    # Customers keep their habits: what they did before explains part of what they do
    assert all(share is not None and share > 0.1 for share in removed)


def test_attribution_alone_would_credit_the_popular_list_with_what_happens_anyway(company: Company) -> None:
    # Given an experiment, when outcomes are credited to the decisions that showed them
    decisions, outcomes, variant = experiment(company, seed=0)
    credited = attribute(decisions, outcomes, HORIZON_DAYS)
    # Then the holdout, whom the list persuaded as well, has many that would have come without any list
    holdout = np.flatnonzero(variant == 0)
    count = np.bincount(decisions.user, credited.last_count, len(variant))[holdout].mean()
    influenced = INFLUENCE * company.truth[holdout, company.popular].mean()
    assert count > 1.5 * influenced


def test_off_policy_estimates_cover_the_simulator_s_truth(company: Company) -> None:
    # Given a log of three draws a user from the five best, and the model's first as the candidate
    users = np.repeat(np.arange(len(company.best)), 3)
    best = company.best[users]
    pool = np.argsort(-company.growth_weight, axis=1)[users, :DRAWN]
    true_value = float(company.truth[users, best].mean())
    covered = np.zeros(3)
    for seed in range(RUNS):
        random = np.random.default_rng(seed)
        action = pool[np.arange(len(users)), random.integers(0, DRAWN, len(users))]
        result = value_of_candidate(
            LoggedChoices(
                user=users,
                reward=(random.random(len(users)) < company.truth[users, action]).astype(np.float64),
                propensity=np.full(len(users), 1.0 / DRAWN),
                candidate=(action == best).astype(np.float64),
                predicted=company.growth_weight[users, action],
                predicted_candidate=company.growth_weight[users, best],
            )
        )
        for place, estimate in enumerate((result.ips, result.snips, result.doubly_robust)):
            covered[place] += estimate.fixed is not None and not estimate.fixed.excludes(true_value)
    print(f"{true_value:.3f}: covered by ips, snips, doubly robust: {covered / RUNS}")
    assert covered.min() >= 0.9 * RUNS
