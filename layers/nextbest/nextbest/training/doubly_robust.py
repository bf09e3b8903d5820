"""Doubly robust comparison: what those who took an action reached, against similar ones who did not.

With treated rows T, control rows C, features x and outcome y, the effect on the treated is

    effect = mean_T(y - m(x)) - Σ_C w(x) · (y - m(x)) / Σ_C w(x),   w(x) = p(x) / (1 - p(x))

where m is the expected outcome without the action, and p the probability of being treated. It is right if either of the
two is (Robins, Rotnitzky and Zhao 1994), and errors of both count only as their product, so both may be learned with
ridge penalties as long as no row is judged by a model that has seen its user: cross-fitting (Chernozhukov et al. 2018,
"Double/debiased machine learning"; theirs is also this form for the treated). Rows that are treated almost for certain
have no similar controls and are left out (Crump et al. 2009). Controls may be a sample: its share cancels out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

FOLDS = 5
HIGHEST_PROPENSITY = 0.95
"""Rows above it are left out: one control would stand for more than nineteen treated rows."""
_OUTCOME_PENALTY = 10.0
"""Of the expected outcome, in rows: features have unit variance."""
_PROPENSITY_PENALTY = 3.0
_NEWTON_STEPS, _NEWTON_TOLERANCE, _LARGEST_STEP = 25, 1e-2, 2.0
_LARGEST_LOGIT = 15.0
_LEAST_SPREAD = 1e-9

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows of one kind: ``features`` (rows, features), ``outcomes`` (rows, outcomes), and the number of each row's
    ``user``."""

    features: Matrix
    outcomes: Matrix
    user: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TreatedEffect:
    """The ``effect`` on each outcome, (outcomes,), and its ``influence`` (users, outcomes): what each user adds to the
    error of the effect, the variance of which is the sum of their squares. ``used`` (treated rows,) marks the treated
    rows that have similar controls."""

    effect: NDArray[np.float64]
    influence: Matrix
    used: NDArray[np.bool_]


def compare(treated: Sample, control: Sample, fold: NDArray[np.int64]) -> TreatedEffect:
    """The effect on the treated; ``fold`` (users,) gives the fold of each user, below ``FOLDS``."""
    features = _standardised(np.concatenate([treated.features, control.features]))
    outcomes = np.concatenate([treated.outcomes, control.outcomes])
    user = np.concatenate([treated.user, control.user])
    is_treated = np.arange(len(user)) < len(treated.user)
    row_fold = fold[user]
    residual = outcomes - _expected(features, outcomes, ~is_treated, row_fold)
    logit = _logit(features, is_treated, row_fold)
    used = expit(logit) <= HIGHEST_PROPENSITY
    mine, theirs = used & is_treated, used & ~is_treated
    influence = np.zeros((len(fold), outcomes.shape[1]))
    if not mine.any() or not theirs.any():
        return TreatedEffect(np.zeros(outcomes.shape[1]), influence, mine[is_treated])
    weight = np.exp(logit[theirs])
    weight /= weight.sum()
    above, below = residual[mine].mean(axis=0), weight @ residual[theirs]
    np.add.at(influence, user[mine], (residual[mine] - above) / np.count_nonzero(mine))
    np.add.at(influence, user[theirs], -weight[:, None] * (residual[theirs] - below))
    return TreatedEffect(above - below, influence, mine[is_treated])


def _standardised(features: Matrix) -> Matrix:
    spread = features.std(axis=0)
    useful = spread > _LEAST_SPREAD
    scaled = (features[:, useful] - features[:, useful].mean(axis=0)) / spread[useful]
    return np.column_stack([np.ones(len(features)), scaled])


def _expected(features: Matrix, outcomes: Matrix, is_control: NDArray[np.bool_], row_fold: NDArray[np.int64]) -> Matrix:
    """The expected outcomes of each row without the action, by ridge regression on the controls of the other folds."""
    parts = [is_control & (row_fold == number) for number in range(FOLDS)]
    grams = [features[part].T @ features[part] for part in parts]
    products = [features[part].T @ outcomes[part] for part in parts]
    gram, product = np.sum(grams, axis=0), np.sum(products, axis=0)
    gram[np.diag_indices_from(gram)] += _penalties(len(gram), _OUTCOME_PENALTY)
    expected = np.zeros_like(outcomes)
    for number in range(FOLDS):
        inside = row_fold == number
        expected[inside] = features[inside] @ np.linalg.solve(gram - grams[number], product - products[number])
    return expected


def _logit(features: Matrix, is_treated: NDArray[np.bool_], row_fold: NDArray[np.int64]) -> NDArray[np.float64]:
    """The logit of each row of being treated, by penalised logistic regression on the other folds."""
    share = float(np.clip(is_treated.mean(), 1e-6, 1.0 - 1e-6))
    start = np.zeros(features.shape[1])
    start[0] = np.log(share / (1.0 - share))
    # Every fold starts where all rows lead to, and converges to its own.
    start = _logistic(features, is_treated, start)
    logit = np.zeros(len(is_treated))
    for number in range(FOLDS):
        inside = row_fold == number
        logit[inside] = features[inside] @ _logistic(features[~inside], is_treated[~inside], start)
    return np.clip(logit, -_LARGEST_LOGIT, _LARGEST_LOGIT)


def _logistic(features: Matrix, is_treated: NDArray[np.bool_], start: NDArray[np.float64]) -> NDArray[np.float64]:
    """The weights of a logistic regression, by Newton's method from ``start``."""
    penalties = _penalties(features.shape[1], _PROPENSITY_PENALTY)
    weights = start.copy()
    for _ in range(_NEWTON_STEPS):
        chance = expit(features @ weights)
        gradient = features.T @ (is_treated - chance) - penalties * weights
        hessian = (features * (chance * (1.0 - chance))[:, None]).T @ features
        hessian[np.diag_indices_from(hessian)] += penalties
        step = np.linalg.solve(hessian, gradient)
        weights += np.clip(step, -_LARGEST_STEP, _LARGEST_STEP)
        if np.abs(step).max() < _NEWTON_TOLERANCE:
            break
    return weights


def _penalties(size: int, penalty: float) -> NDArray[np.float64]:
    """The penalty of each feature; the constant has next to none."""
    penalties = np.full(size, penalty)
    penalties[0] = 1e-6
    return penalties
