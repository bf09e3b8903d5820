"""Fitting the calibration: from scores and outcomes on a held-out window to probabilities.

Isotonic regression of the outcome on the score, shrunk to a Platt fit where pairs are few, then a small logistic
regression on that level and the user's activity, then isotonic regression again on the result (the maps are those of
``nextbest.scoring.calibration``). The pairs are all actions of all users of the window, not only the recommended ones
(``nextbest.training.held_out``).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from nextbest.scoring.calibration import ACTIVITY_NAMES, UNINFORMED_RATE, Calibration

SHRINKAGE_PAIRS = 3.0
"""Pseudo-pairs from the smooth fit added to each step of the isotonic one."""
_SHRINKAGE_USERS = 3.0
"""Pseudo-users at the uninformed rate."""
_UNINFORMED_LOGIT = math.log(UNINFORMED_RATE / (1.0 - UNINFORMED_RATE))
MAXIMUM_KNOTS = 64
_BINS = (8, 512)
"""Fewest and most bins of the isotonic regression."""
_POSITIVES_PER_BIN = 20.0
"""Pairs taken in each bin: with fewer, the shrinkage would flatten the top scores (measured: ``docs/scoring.md``)."""
_IDENTITY = (np.array([-20.0, 20.0]), np.array([-20.0, 20.0]))
"""A second map that changes nothing, over all logits that occur."""
_RELIABILITY_BINS = 10
_PAIRS_PER_ROW = 50
"""The best scored pairs of each row that are used, and as many drawn from the others."""
_FLAT_LOGITS = 0.5
"""How far the nearly constant map rises and falls around the base rate, in logits: scores stay ordered."""
_LEAST_SLOPE = 0.05
"""Growth must rise with the score, however little the scores predict."""
_PENALTY = np.array([5.0, 1.0, 1.0, 1.0, 1e-3])
"""Pull of slope, activities and intercept to 1, 0 and 0, in pairs: it decides where pairs are few."""
_SMOOTH_PENALTY = 1e-2
_LARGEST_LOGIT = 40.0
"""Beyond it the exponential adds nothing but overflow."""
_MOST_TIMES_LONGER = 4.0
"""How many times the window a horizon may be: beyond it nobody can say how takings go on."""
_LEAST_RATE = 1e-9
_LEAST_STEP = 1e-12
_NEWTON_STEPS, _NEWTON_TOLERANCE, _LARGEST_STEP = 50, 1e-8, 2.0
"""A bounded step keeps Newton's method from overshooting where the curvature is small."""


@dataclass(frozen=True, slots=True)
class CalibrationPairs:
    """User-action pairs of the held-out window, thinned: ``weight`` says how many pairs each stands for. They are those
    of ``users`` users, and ``taken_soon`` of them were taken within its first half."""

    score: NDArray[np.float64]
    taken: NDArray[np.bool_]
    activity: NDArray[np.float64]
    weight: NDArray[np.float64]
    users: int = 0
    taken_soon: int = 0

    @classmethod
    def join(cls, parts: Iterable[CalibrationPairs]) -> CalibrationPairs:
        """All pairs of ``parts``, in their order."""
        listed = [NO_PAIRS, *parts]
        return cls(
            np.concatenate([part.score for part in listed]),
            np.concatenate([part.taken for part in listed]),
            np.concatenate([part.activity for part in listed]),
            np.concatenate([part.weight for part in listed]),
            sum(part.users for part in listed),
            sum(part.taken_soon for part in listed),
        )


NO_PAIRS = CalibrationPairs(np.zeros(0), np.zeros(0, np.bool_), np.zeros((0, len(ACTIVITY_NAMES))), np.zeros(0))


def pairs_of(
    scores: NDArray[np.floating[Any]],
    taken: NDArray[np.bool_],
    possible: NDArray[np.bool_],
    activity: NDArray[np.float64],
    random: np.random.Generator,
    top: int = _PAIRS_PER_ROW,
    others: int = _PAIRS_PER_ROW,
    users: int | None = None,
    soon: NDArray[np.bool_] | None = None,
) -> CalibrationPairs:
    """Thin the ``possible`` pairs of each row (all arrays (rows, actions); ``activity`` (rows, activities)).

    A row is a user at a moment; the rows are those of ``users`` users (None: one each). What is left of each are all
    that were taken, the ``top`` best scored, and ``others`` drawn at random, weighted up. ``soon`` says what was taken
    within the first half of the window.
    """
    rows, actions = scores.shape
    keep = taken & possible
    masked = np.where(possible, scores, -np.inf)
    if top < actions:
        threshold = np.partition(masked, actions - top, axis=1)[:, actions - top]
        keep |= (masked > threshold[:, None]) & possible
    else:
        keep |= possible
    rest = possible & ~keep
    rest_counts = rest.sum(axis=1)
    chance = np.minimum(1.0, others / np.maximum(rest_counts, 1))
    drawn = rest & (random.random((rows, actions), dtype=np.float32) < chance[:, None])
    drawn_counts = drawn.sum(axis=1)
    row, column = np.nonzero(keep | drawn)
    drawn_weight = np.where(drawn_counts > 0, rest_counts / np.maximum(drawn_counts, 1), 1.0)
    weight = np.where(drawn[row, column], drawn_weight[row], 1.0)
    score = scores[row, column].astype(np.float64)
    taken_soon = 0 if soon is None else int((soon & possible).sum())
    users = rows if users is None else users
    return CalibrationPairs(score, taken[row, column], activity[row], weight, users, taken_soon)


def fit_calibration(pairs: CalibrationPairs, times_longer: float = 1.0) -> Calibration:
    """The map for ``pairs``; with no pair, or none taken, a nearly constant one at the (shrunk) base rate.

    It is for a horizon so many times as long as the window of the pairs (``_within_horizon``).
    Weights above the uninformed rate are shrunk to it where users are few: pairs of one user are no independent
    evidence, however many there are.
    """
    total = float(pairs.weight.sum())
    positives = float(pairs.weight[pairs.taken].sum())
    rate = (positives + UNINFORMED_RATE) / (total + 1.0)  # one pseudo-pair, at the uninformed rate
    base = float(np.log(rate / (1.0 - rate)))
    if positives < 1.0 or positives > total - 1.0 or np.ptp(pairs.score) == 0.0:
        return _flat(pairs, base)
    knots, levels = _monotone_levels(pairs.score, pairs.taken, pairs.weight, base)
    features = np.column_stack([np.interp(pairs.score, knots, levels), pairs.activity, np.ones(len(pairs.score))])
    prior = np.zeros(features.shape[1])
    prior[0] = 1.0
    solution = _logistic(features, pairs.taken, pairs.weight, prior, _PENALTY)
    slope = float(max(solution[0], _LEAST_SLOPE))
    seen = np.stack([pairs.activity.min(axis=0), pairs.activity.max(axis=0)])
    tilt = Calibration(knots, levels, slope, solution[1:-1], float(solution[-1]), *_IDENTITY, seen)
    tilted = tilt.tilted(pairs.score[:, None], pairs.activity)[:, 0]
    tilted_knots, logits = _monotone_levels(tilted, pairs.taken, pairs.weight, base)
    logits = _within_horizon(logits, pairs, times_longer)
    return replace(tilt, tilted_knots=tilted_knots, logits=_shrunk(logits, pairs.users))


def _within_horizon(logits: NDArray[np.float64], pairs: CalibrationPairs, times_longer: float) -> NDArray[np.float64]:
    """Logits of being taken within the window, as those within a horizon that is longer.

    The cumulated hazard, -log(1 - probability), grows with a power of time, between 0 (all is taken at once) and 1 (as
    much at any time). The power is that of the window: its whole against its first half, as if one more pair had been
    taken in each half.
    """
    if times_longer <= 1.0:
        return logits
    total = float(pairs.weight.sum()) + 2.0
    whole = -math.log1p(-(float(pairs.weight[pairs.taken].sum()) + 2.0) / (total + 1.0))
    half = -math.log1p(-(pairs.taken_soon + 1.0) / (total + 1.0))
    power = float(np.clip(math.log2(whole / half), 0.0, 1.0))
    hazard = np.logaddexp(0.0, logits) * min(times_longer, _MOST_TIMES_LONGER) ** power
    return np.asarray(hazard + np.log(-np.expm1(-hazard)), np.float64)


def _shrunk(logits: NDArray[np.float64], users: int) -> NDArray[np.float64]:
    """Logits above the uninformed one, moved to it as if ``_SHRINKAGE_USERS`` users had shown just that."""
    excess = np.maximum(logits - _UNINFORMED_LOGIT, 0.0)
    return np.asarray(logits - excess * (_SHRINKAGE_USERS / (users + _SHRINKAGE_USERS)))


def _flat(pairs: CalibrationPairs, base: float) -> Calibration:
    low = float(pairs.score.min()) if len(pairs.score) else 0.0
    high = float(pairs.score.max()) if len(pairs.score) else 1.0
    high = high if high > low else low + 1.0
    return Calibration(
        np.array([low, high]),
        _shrunk(np.array([base - _FLAT_LOGITS, base + _FLAT_LOGITS]), pairs.users),
        1.0,
        np.zeros(len(ACTIVITY_NAMES)),
        0.0,
        *_IDENTITY,
    )


def _monotone_levels(
    score: NDArray[np.float64], taken: NDArray[np.bool_], weight: NDArray[np.float64], base: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Knots of the score and their logits: isotonic, shrunk to a Platt fit on the rank of the score."""
    order = np.argsort(score, kind="stable")
    score, weight = score[order], weight[order]
    positive = taken[order].astype(np.float64)
    # Bins of about equal numbers of positives and of pairs, so that the sparse top of the scores keeps its detail.
    mass = np.cumsum(weight) / weight.sum() + np.cumsum(weight * positive) / (weight * positive).sum()
    most = int(np.clip(weight @ positive / _POSITIVES_PER_BIN, *_BINS))
    bins = np.minimum((mass * (most / 2)).astype(np.int64), most - 1)
    fresh = np.concatenate(([True], np.diff(score) > 0))
    bins = bins[np.maximum.accumulate(np.where(fresh, np.arange(len(score)), 0))]  # equal scores share a bin
    _, bins = np.unique(bins, return_inverse=True)
    pair_count = np.bincount(bins, weight).astype(np.float64)
    positive_count = np.bincount(bins, weight * positive).astype(np.float64)
    centre = np.bincount(bins, weight * score) / pair_count
    log_rank = np.log(np.arange(1, len(centre) + 1))
    features = np.column_stack([log_rank, np.ones(len(centre))])
    smooth = _logistic_counts(features, positive_count, pair_count, np.array([1.0, base]))
    smooth_rate = _sigmoid(features @ smooth)
    rate = (positive_count + SHRINKAGE_PAIRS * smooth_rate) / (pair_count + SHRINKAGE_PAIRS)
    isotonic = optimize.isotonic_regression(rate, weights=pair_count + SHRINKAGE_PAIRS)
    edges = isotonic.blocks
    block_score = np.add.reduceat(pair_count * centre, edges[:-1]) / np.add.reduceat(pair_count, edges[:-1])
    block_rate = np.clip(isotonic.x[edges[:-1]], _LEAST_RATE, 1.0 - _LEAST_RATE)
    if len(block_score) > MAXIMUM_KNOTS:
        chosen = np.unique(np.linspace(0, len(block_score) - 1, MAXIMUM_KNOTS).astype(np.int64))
        block_score, block_rate = block_score[chosen], block_rate[chosen]
    return block_score, np.log(block_rate / (1.0 - block_rate))


def _logistic(
    features: NDArray[np.float64],
    taken: NDArray[np.bool_],
    weight: NDArray[np.float64],
    prior: NDArray[np.float64],
    penalty: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Weighted logistic regression with a quadratic pull to ``prior``, by Newton's method."""
    solution = prior.copy()
    for _ in range(_NEWTON_STEPS):
        rate = _sigmoid(features @ solution)
        gradient = features.T @ (weight * (rate - taken)) + penalty * (solution - prior)
        curvature = weight * rate * (1.0 - rate)
        hessian = (features * curvature[:, None]).T @ features + np.diag(penalty)
        step = np.linalg.solve(hessian, gradient)
        step *= min(1.0, _LARGEST_STEP / max(float(np.abs(step).max()), _LEAST_STEP))
        solution = solution - step
        if float(np.abs(step).max()) < _NEWTON_TOLERANCE:
            break
    return solution


def _sigmoid(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 / (1 + e^-logit), without overflow."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(logits, -_LARGEST_LOGIT, _LARGEST_LOGIT))))


def _logistic_counts(
    features: NDArray[np.float64],
    positives: NDArray[np.float64],
    pairs: NDArray[np.float64],
    prior: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Logistic regression on grouped counts: one row for the taken and one for the others of each group."""
    doubled = np.vstack([features, features])
    taken = np.repeat([True, False], len(features))
    weight = np.concatenate([positives, pairs - positives])
    return _logistic(doubled, taken, weight, prior, np.full(features.shape[1], _SMOOTH_PENALTY))


def reliability(growth: NDArray[np.float64], taken: NDArray[np.bool_], weight: NDArray[np.float64]) -> dict[str, Any]:
    """Expected calibration error and a reliability table over bins with about equal numbers of expected takings.

    ECE = Σ_bins share of pairs · |mean growth - observed rate|, over the bins of the table.
    """
    if not len(growth):
        return {"expected_calibration_error": None, "pairs": 0, "table": []}
    order = np.argsort(growth, kind="stable")
    growth, taken, weight = growth[order], taken[order], weight[order]
    mass = np.cumsum(weight * growth)
    bins = np.minimum((mass / mass[-1] * _RELIABILITY_BINS).astype(np.int64), _RELIABILITY_BINS - 1)
    rows = []
    error = 0.0
    for number in range(_RELIABILITY_BINS):
        inside = bins == number
        pairs = float(weight[inside].sum())
        if pairs:
            predicted = float((weight * growth)[inside].sum() / pairs)
            observed = float((weight * taken)[inside].sum() / pairs)
            error += pairs * abs(predicted - observed)
            rows.append({"pairs": round(pairs), "predicted": predicted, "observed": observed})
    return {
        "expected_calibration_error": error / float(weight.sum()),
        "pairs": round(float(weight.sum())),
        "table": rows,
    }
