"""Policies that never served, and growth weights in production, where the truth is known.

Run with ``-s`` to read the figures.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from nextbest.lift.calibration import agreement_by_week
from nextbest.lift.draws import Draw, logged_choices, pools_of
from nextbest.lift.intervals import Estimate
from nextbest.lift.off_policy import LoggedChoices, PolicyValue, value_of_candidate

RUNS = 200
USERS, CHOICES_PER_USER, ACTIONS = 500, 4, 5

Floats = NDArray[np.float64]


def softmax(scores: Floats) -> Floats:
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def evaluated(seed: int, *, predictions_are_right: bool) -> tuple[PolicyValue, float]:
    """A log of draws by one policy, a candidate evaluated on it, and the candidate's true value in this population."""
    random = np.random.default_rng(seed)
    taste = random.normal(size=(USERS, ACTIONS))
    user = np.repeat(np.arange(USERS), CHOICES_PER_USER)
    chance = 1.0 / (1.0 + np.exp(2.0 - taste))
    # Users differ in what no model knows, so that the choices of one depend on each other
    own = random.normal(size=(USERS, 1)) * 0.1
    true = np.clip(chance + own, 0.0, 1.0)
    logging, candidate = softmax(0.5 * taste), softmax(1.5 * taste)
    action = (random.random((len(user), 1)) > np.cumsum(logging[user], axis=1)[:, :-1]).sum(axis=1)
    rows = (user, action)
    predicted = chance if predictions_are_right else np.full_like(chance, 0.5)
    log = LoggedChoices(
        user=user,
        reward=(random.random(len(user)) < true[rows]).astype(np.float64),
        propensity=logging[rows],
        candidate=candidate[rows],
        predicted=predicted[rows],
        predicted_candidate=(candidate * predicted).sum(axis=1)[user],
    )
    return value_of_candidate(log), float((candidate * true).sum(axis=1).mean())


def covers(estimate: Estimate, truth: float) -> bool:
    assert estimate.fixed is not None
    return not estimate.fixed.excludes(truth)


def width(estimate: Estimate) -> float:
    assert estimate.fixed is not None
    return estimate.fixed.high - estimate.fixed.low


@pytest.mark.parametrize("predictions_are_right", [True, False], ids=["good predictions", "useless predictions"])
def test_every_estimator_covers_the_true_value(predictions_are_right: bool) -> None:
    results = [evaluated(seed, predictions_are_right=predictions_are_right) for seed in range(RUNS)]
    covered = {
        "ips": np.mean([covers(result.ips, truth) for result, truth in results]),
        "snips": np.mean([covers(result.snips, truth) for result, truth in results]),
        "doubly robust": np.mean([covers(result.doubly_robust, truth) for result, truth in results]),
        "logged": np.mean([covers(result.logged, truth) for result, truth in results]),
    }
    print({name: f"{share:.1%}" for name, share in covered.items()})
    # What was logged is something else: the candidate is better
    assert covered["logged"] < 0.1
    assert min(covered["ips"], covered["snips"], covered["doubly robust"]) >= 0.9
    widths = {
        name: np.mean([width(estimate) for estimate in estimates])
        for name, estimates in (
            ("ips", [result.ips for result, _ in results]),
            ("snips", [result.snips for result, _ in results]),
            ("doubly robust", [result.doubly_robust for result, _ in results]),
        )
    }
    # Then weights that sum up narrow the interval, and good predictions further
    assert widths["snips"] < widths["ips"]
    if predictions_are_right:
        assert widths["doubly robust"] < widths["snips"]


def explored(seed: int) -> tuple[LoggedChoices, float, float]:
    """Draws of exploration with what a model would have chosen that knows tastes, but not exactly; the share of the
    draws that is usable, and the model's true value.

    A tenth of the users may not be shown one of the actions, each of them another one.
    """
    random = np.random.default_rng(seed)
    actions = [("TAKEN", str(number)) for number in range(ACTIONS)]
    true = random.beta(1.0, 4.0, (USERS, ACTIONS))
    weights = np.clip(true + random.normal(size=true.shape) * 0.05, 0.01, 1.0)
    draws, came_true = [], []
    for user in range(USERS):
        pool = random.permutation(ACTIONS)[: ACTIONS - 1 if user % 10 == 0 else ACTIONS]
        for place in range(CHOICES_PER_USER):
            action = int(random.choice(pool))
            draws.append(Draw(str(user), float(place), actions[action], len(pool), "served"))
            came_true.append(bool(random.random() < true[user, action]))
    choices = logged_choices(draws, pools_of(draws), came_true, lambda draw, _: weights[int(draw.user)].tolist())
    asked = np.arange(USERS) % 10 != 0
    truth = float(true[asked, weights[asked].argmax(axis=1)].mean())
    return choices, len(choices) / len(draws), truth


def test_what_exploration_drew_covers_the_true_value_of_a_model_that_never_served() -> None:
    covered, runs = np.zeros(2), RUNS // 2
    for seed in range(runs):
        choices, usable, truth = explored(seed)
        value = value_of_candidate(choices)
        covered += np.array([covers(value.snips, truth), covers(value.doubly_robust, truth)])
        assert usable == 0.9
        # What was drawn at random is worse
        assert value.logged.value is not None and value.logged.value < truth
    print(f"covered by SNIPS and doubly robust: {covered / runs}")
    assert covered.min() >= 0.9 * runs


@pytest.mark.parametrize(
    ("factor", "least", "most"), [(1.0, 0.9, 1.0), (1.5, 0.0, 0.2)], ids=["right", "half as much again"]
)
def test_growth_weights_agree_or_do_not(factor: float, least: float, most: float) -> None:
    # Given users who are shown five actions twice, and take what they take whether it was shown once or twice
    covered = 0
    for seed in range(RUNS):
        random = np.random.default_rng(seed)
        chance = random.beta(1.0, 9.0, (400, 5)) * random.gamma(4.0, 0.25, (400, 1))
        chance = np.clip(chance, 0.0, 0.6)
        taken = random.random(chance.shape) < chance
        weight = np.clip(np.tile(chance.ravel(), 2) * factor, 0.0, 1.0)
        user = np.tile(np.repeat(np.arange(400), 5), 2)
        (week,) = agreement_by_week(
            user, np.zeros(len(user)), weight, np.tile(taken.ravel(), 2), horizon_days=14.0, now=1e7
        )
        assert week.agreement.interval is not None
        covered += not week.agreement.interval.excludes(1.0)
    print(f"{factor}: {covered / RUNS:.1%}")
    assert least <= covered / RUNS <= most
