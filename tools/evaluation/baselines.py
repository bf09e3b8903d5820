"""The classic methods that our model is compared with, each with the same prior and tie-break and its own tuning.

Every baseline offers a list of settings; the one with the best NDCG@10 on the tuning window gets the prior (half-life
and weight tuned likewise) and is fitted again on all events before the test window. Ties are broken by recent
popularity, the same for all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nextbest.scoring.kernels import Kernel
from nextbest.training.context import FitContext
from nextbest.training.grid import LEARNED_KERNELS, PERSONAL_KERNELS, PRIOR_HALF_LIVES_DAYS
from nextbest.training.learners import Ease, FitTask, ItemLearner, Neighbours, Prior
from nextbest.training.rows import Rows

Scorer = Callable[[Rows], NDArray[np.float32]]
ALL_TIME_DAYS = 1e6
"""A half-life so long that nothing decays."""
COUNT = Kernel("time", "exponential", ALL_TIME_DAYS)
_WEIGHTS_PER_ACTION = 200
_LEAST_LENGTH = 1e-12
"""Keeps the division finite for users without a known action."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A fitted baseline: how it scores, and how many bytes it has to keep."""

    score: Scorer
    artifact_bytes: int


@dataclass(frozen=True, slots=True)
class Setting:
    """One candidate of a baseline's tuning."""

    description: str
    fit: Callable[[FitContext], Fitted]


@dataclass(frozen=True, slots=True)
class Baseline:
    """A named method and the settings it is tuned over."""

    name: str
    settings: Sequence[Setting]
    takes_prior: bool = True
    """False for those that are a prior."""


def baselines(head_limit: int, *, allow_repeats: bool) -> list[Baseline]:
    """The methods of the table. The closed forms solve for the ``head_limit`` most frequent actions."""
    learned = [replace(kernel, damping=damping) for kernel in LEARNED_KERNELS[:5] for damping in (0.5, 1.0)]
    methods = [
        Baseline("popularity", [_popularity(ALL_TIME_DAYS)], takes_prior=False),
        Baseline("recent popularity", [_popularity(days) for days in PRIOR_HALF_LIVES_DAYS], takes_prior=False),
    ]
    if allow_repeats:
        methods += [
            Baseline("personal count, ties by popularity", [_personal(COUNT)]),
            Baseline("decayed personal count", [_personal(kernel) for kernel in PERSONAL_KERNELS]),
        ]
    return [
        *methods,
        Baseline("item-kNN", [_item_weights(Neighbours(k, r), head_limit) for k in learned for r in (0.03, 1.0)]),
        Baseline("EASE", [_item_weights(Ease(k, r), head_limit) for k in learned for r in (0.1, 1.0, 10.0)]),
        Baseline(
            "TIFU-kNN",
            [
                _user_neighbours(kernel, count, own)
                for kernel in (*PERSONAL_KERNELS[:2], PERSONAL_KERNELS[3])
                for count in (100, 300, 900)
                for own in ((0.2, 0.5, 0.8) if allow_repeats else (0.2,))
            ],
        ),
    ]


def with_prior(fitted: Fitted, popularity: NDArray[np.float64], weight: float) -> Fitted:
    """``fitted`` with ``weight`` times the ``popularity`` (actions,) added to its scores."""
    added = popularity.astype(np.float32) * np.float32(weight)
    return Fitted(lambda rows: fitted.score(rows) + added, fitted.artifact_bytes + added.nbytes)


def _popularity(half_life_days: float) -> Setting:
    def fit(context: FitContext) -> Fitted:
        prior = Prior(half_life_days).popularity(context).astype(np.float32)
        return Fitted(lambda rows: np.tile(prior, (len(rows), 1)), prior.nbytes)

    return Setting(f"half-life {half_life_days:g}d", fit)


def _personal(kernel: Kernel) -> Setting:
    def score(rows: Rows) -> NDArray[np.float32]:
        return np.asarray(rows.inputs(kernel).toarray(), np.float32)

    return Setting(str(kernel), lambda context: Fitted(score, 4 * len(context.actions)))


def _item_weights(learner: ItemLearner, head_limit: int) -> Setting:
    def fit(context: FitContext) -> Fitted:
        weights = learner.weights(FitTask(context, context.head(head_limit), True, _WEIGHTS_PER_ACTION))

        def score(rows: Rows) -> NDArray[np.float32]:
            return np.asarray((rows.inputs(learner.kernel) @ weights).toarray(), np.float32)

        return Fitted(score, weights.data.nbytes + weights.indices.nbytes + weights.indptr.nbytes)

    return Setting(str(learner), fit)


def _user_neighbours(kernel: Kernel, count: int, own_share: float) -> Setting:
    """TIFU-kNN (Hu 2020): the user's decayed vector blended with the mean of the nearest users' vectors."""

    def fit(context: FitContext) -> Fitted:
        [known] = context.each(lambda rows: rows.users_now)
        vectors = known.inputs(kernel)
        units = _unit_rows(vectors)
        users = known.moments.users

        def score(rows: Rows) -> NDArray[np.float32]:
            own = rows.inputs(kernel)
            similarity = np.asarray((_unit_rows(own) @ units.T).toarray(), np.float32)
            similarity[users[None, :] == rows.moments.users[:, None]] = -1.0
            near = min(count, max(similarity.shape[1] - 1, 1))
            chosen = np.argpartition(similarity, similarity.shape[1] - near, axis=1)[:, similarity.shape[1] - near :]
            places = np.repeat(np.arange(len(rows)), near)
            weights = np.full(chosen.size, 1.0 / near, np.float32)
            pick = sparse.csr_array(sparse.coo_array((weights, (places, chosen.ravel())), shape=similarity.shape))
            neighbours = (pick @ vectors).toarray()
            return np.asarray(own_share * own.toarray() + (1.0 - own_share) * neighbours, np.float32)

        return Fitted(score, vectors.data.nbytes + vectors.indices.nbytes + vectors.indptr.nbytes)

    return Setting(f"{kernel}, {count} neighbours, own share {own_share:g}", fit)


def _unit_rows(x: sparse.csr_array) -> sparse.csr_array:
    lengths = np.sqrt(np.asarray(x.multiply(x).sum(axis=1)).ravel())
    scaled = x.copy()
    scaled.data = x.data / np.repeat(np.maximum(lengths, _LEAST_LENGTH), np.diff(x.indptr)).astype(np.float32)
    return scaled
