"""Experiments whose truth is known: how often intervals cover it, and how often they see what is not there.

Run with ``-s`` to read the figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from nextbest.lift.comparison import Contrast, compare_variants
from nextbest.lift.power import users_needed

RUNS = 200
DAYS = 28
NAMES = ("holdout", "model")

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Experiment:
    """Users in the order in which they came, ``users_a_day`` of them, ``share`` of them treated: ``draw`` gives each
    user's outcome and, where something is known, what was before; ``effect`` is the true difference of means."""

    users_a_day: int
    share: float
    effect: float
    draw: Callable[[np.random.Generator, NDArray[np.bool_]], tuple[Floats, Floats | None]]

    def contrasts(self, seed: int, days: range) -> list[Contrast]:
        """What is decisive after each of these days."""
        random = np.random.default_rng(seed)
        treated = random.random(self.users_a_day * DAYS) < self.share
        outcome, before = self.draw(random, treated)
        variant = treated.astype(np.int64)
        found = []
        for day in days:
            seen = slice(0, day * self.users_a_day)
            known = None if before is None else before[seen]
            found.append(compare_variants(NAMES, variant[seen], outcome[seen], known)[0].decisive)
        return found


def rate(base: float, effect: float = 0.0) -> Callable[..., tuple[Floats, None]]:
    def draw(random: np.random.Generator, treated: NDArray[np.bool_]) -> tuple[Floats, None]:
        return (random.random(len(treated)) < base + effect * treated).astype(np.float64), None

    return draw


def money(payers: float, effect: float = 0.0) -> Callable[..., tuple[Floats, None]]:
    """Few pay, and few of them much: a lognormal amount with a deviation of 1.5, scaled to a mean of 1."""

    def draw(random: np.random.Generator, treated: NDArray[np.bool_]) -> tuple[Floats, None]:
        amount = random.lognormal(-1.125, 1.5, len(treated))
        return (random.random(len(treated)) < payers + effect * treated) * amount, None

    return draw


def habits(effect: float = 0.0) -> Callable[..., tuple[Floats, Floats]]:
    """Each user has a taste; what was before shows it with noise, and so does the outcome."""

    def draw(random: np.random.Generator, treated: NDArray[np.bool_]) -> tuple[Floats, Floats]:
        taste = random.gamma(1.0, 2.0, len(treated))
        return random.poisson(taste + effect * treated).astype(np.float64), random.poisson(taste).astype(np.float64)

    return draw


NOTHING = {
    "rate": Experiment(200, 0.5, 0.0, rate(0.1)),
    "rare, small holdout": Experiment(1_000, 0.95, 0.0, rate(0.02)),
    "money, small holdout": Experiment(1_000, 0.9, 0.0, money(0.2)),
    "adjusted": Experiment(100, 0.5, 0.0, habits()),
}
SOMETHING = {
    "rate": Experiment(200, 0.5, 0.03, rate(0.1, 0.03)),
    "rare, small holdout": Experiment(1_000, 0.95, 0.01, rate(0.02, 0.01)),
    "money, small holdout": Experiment(1_000, 0.9, 0.05, money(0.2, 0.05)),
    "adjusted": Experiment(100, 0.5, 0.3, habits(0.3)),
}


@pytest.mark.parametrize("name", NOTHING)
def test_looking_daily_for_four_weeks_sees_nothing_where_there_is_nothing(name: str) -> None:
    always, fixed = 0, 0
    for seed in range(RUNS):
        differences = [contrast.difference for contrast in NOTHING[name].contrasts(seed, range(1, DAYS + 1))]
        always += any(each.always_valid is not None and each.always_valid.excludes(0.0) for each in differences)
        fixed += any(each.fixed is not None and each.fixed.excludes(0.0) for each in differences)
    print(f"{name}: runs that exclude zero: always valid {always / RUNS:.1%}, fixed {fixed / RUNS:.1%}")
    # At most 5 % of the runs ever exclude zero, where the fixed interval does so far more often
    assert always <= 0.05 * RUNS
    assert fixed > always


@pytest.mark.parametrize("name", SOMETHING)
def test_intervals_cover_the_true_effect(name: str) -> None:
    experiment = SOMETHING[name]
    covered_always, covered_fixed, refused = 0, 0, 0
    for seed in range(RUNS):
        differences = [contrast.difference for contrast in experiment.contrasts(seed, range(4, DAYS + 1, 4))]
        # At every look at once
        intervals = [each.always_valid for each in differences if each.always_valid is not None]
        covered_always += not any(interval.excludes(experiment.effect) for interval in intervals)
        last = differences[-1].fixed
        refused += last is None
        covered_fixed += last is not None and not last.excludes(experiment.effect)
    assert refused <= 0.05 * RUNS
    assert covered_always >= 0.95 * RUNS
    assert covered_fixed >= 0.9 * (RUNS - refused)
    print(f"{name}: covered: always valid {covered_always / RUNS:.1%}, fixed {covered_fixed / (RUNS - refused):.1%}")


def test_the_ratio_covers_its_truth() -> None:
    experiment = SOMETHING["rate"]
    ratios = [experiment.contrasts(seed, range(DAYS, DAYS + 1))[0].ratio for seed in range(RUNS)]
    intervals = [(each.always_valid, each.fixed) for each in ratios]
    assert sum(always is not None and not always.excludes(1.3) for always, _ in intervals) >= 0.95 * RUNS
    assert sum(fixed is not None and not fixed.excludes(1.3) for _, fixed in intervals) >= 0.9 * RUNS


def test_the_adjustment_narrows_and_moves_nothing() -> None:
    # Given what was before that explains half of the variance of the outcome
    experiment, plain, adjusted, removed = SOMETHING["adjusted"], [], [], []
    for seed in range(RUNS):
        random = np.random.default_rng(seed)
        treated = random.random(2_000) < experiment.share
        outcome, before = experiment.draw(random, treated)
        comparison = compare_variants(NAMES, treated.astype(np.int64), outcome, before)[0]
        assert comparison.adjusted is not None and comparison.variance_removed is not None
        plain.append(comparison.plain.difference.value)
        adjusted.append(comparison.adjusted.difference.value)
        removed.append(comparison.variance_removed)
    # Then it is right on average, and varies less from run to run, by what it says
    values, before_values = np.array(adjusted, np.float64), np.array(plain, np.float64)
    assert values.mean() == pytest.approx(experiment.effect, abs=3.0 * values.std() / np.sqrt(RUNS))
    assert 1.0 - values.var() / before_values.var() == pytest.approx(float(np.mean(removed)), abs=0.12)
    # By theory: correlation² = (4 / 6)², as the taste has variance 4 and both counts 2 more
    assert np.mean(removed) == pytest.approx((4.0 / 6.0) ** 2, abs=0.03)


def test_the_number_of_users_that_power_asks_for_is_enough() -> None:
    # Given the users that 80 % power needs for an effect of 4 points on 10 %
    base, effect = 0.1, 0.04
    variance = 2.0 * (base * (1.0 - base) + (base + effect) * (1.0 - base - effect))
    users = users_needed(effect, variance)
    assert users is not None
    seen = 0
    for seed in range(RUNS):
        random = np.random.default_rng(seed)
        treated = random.random(users) < 0.5
        outcome, _ = rate(base, effect)(random, treated)
        interval = compare_variants(NAMES, treated.astype(np.int64), outcome)[0].plain.difference.always_valid
        seen += interval is not None and interval.excludes(0.0)
    # Then as many runs see it, within three standard errors
    assert seen / RUNS == pytest.approx(0.8, abs=3.0 * np.sqrt(0.16 / RUNS))
