"""The doubly robust comparison, on rows whose truth is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit

from nextbest.training.doubly_robust import FOLDS, Sample, TreatedEffect, compare

Numbers = NDArray[np.float64]
TRUE_EFFECT = 0.5


def compared(
    features: Numbers, is_treated: NDArray[np.bool_], outcome: Numbers, user: NDArray[np.int64] | None = None
) -> TreatedEffect:
    user = np.arange(len(outcome)) if user is None else user
    fold = np.random.default_rng(0).permutation(int(user.max()) + 1) % FOLDS
    treated, control = (
        Sample(features[rows], outcome[rows, None], user[rows])
        for rows in (np.flatnonzero(is_treated), np.flatnonzero(~is_treated))
    )
    return compare(treated, control, fold)


def standard_error(effect: TreatedEffect) -> float:
    return float(np.sqrt(np.square(effect.influence).sum()))


@pytest.mark.parametrize(
    ("treatment", "outcome"),
    [
        (lambda x: x, lambda x: 2.0 * x),
        (lambda x: x, lambda x: 2.0 * x**2 + x),
        (lambda x: np.abs(x) + x - 1.0, lambda x: 2.0 * x),
    ],
    ids=["both models right", "treatment right, outcome bent", "outcome right, treatment bent"],
)
def test_one_right_model_is_enough(
    treatment: Callable[[Numbers], Numbers], outcome: Callable[[Numbers], Numbers]
) -> None:
    # Given rows of which those with a large x are treated more often, and reach more anyway
    random = np.random.default_rng(3)
    x = random.normal(size=8_000)
    is_treated = random.random(len(x)) < expit(treatment(x) - 1.0)
    reached = outcome(x) + TRUE_EFFECT * is_treated + random.normal(size=len(x))
    # When they are compared
    effect = compared(x[:, None], is_treated, reached)
    # Then the truth is within three standard errors, and the plain difference is far from it
    assert effect.effect[0] == pytest.approx(TRUE_EFFECT, abs=3.0 * standard_error(effect))
    assert reached[is_treated].mean() - reached[~is_treated].mean() > TRUE_EFFECT + 0.5


def test_rows_that_are_always_treated_have_nobody_to_be_compared_with() -> None:
    # Given a tenth of the rows that are always treated and reach far more, whatever they do
    random = np.random.default_rng(4)
    always = np.arange(4_000) % 10 == 0
    is_treated = always | (random.random(len(always)) < 0.3)
    outcome = 10.0 * always + TRUE_EFFECT * is_treated + random.normal(size=len(always))

    effect = compared(always[:, None].astype(float), is_treated, outcome)

    assert not effect.used[always[is_treated]].any()
    assert effect.used[~always[is_treated]].all()
    assert effect.effect[0] == pytest.approx(TRUE_EFFECT, abs=3.0 * standard_error(effect))


def test_many_rows_of_few_users_are_no_more_than_few_users() -> None:
    # Given the same rows of a hundred users, and each five times
    random = np.random.default_rng(5)
    x, is_treated = random.normal(size=(400, 1)), np.arange(400) % 3 == 0
    outcome, user = random.normal(size=400), np.arange(400) % 100

    once = compared(x, is_treated, outcome, user)
    five = compared(np.tile(x, (5, 1)), np.tile(is_treated, 5), np.tile(outcome, 5), np.tile(user, 5))

    assert standard_error(five) == pytest.approx(standard_error(once), rel=0.2)


def test_features_that_never_differ_change_nothing() -> None:
    random = np.random.default_rng(6)
    x, is_treated, outcome = random.normal(size=(600, 1)), np.arange(600) % 4 == 0, random.normal(size=600)

    plain, padded = (compared(each, is_treated, outcome) for each in (x, np.column_stack([np.full(600, 7.0), x])))

    assert padded.effect[0] == pytest.approx(plain.effect[0])
