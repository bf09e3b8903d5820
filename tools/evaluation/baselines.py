"""The classic methods that ours is compared with, each with the same prior, the same tie-break and its own tuning.

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
from nextbest.training.components import Recipe, Workshop
from nextbest.training.priors import Prior
from nextbest.training.table import EventTable, Moments, inputs_of
from nextbest.training.tune import LEARNED_KERNELS, PERSONAL_KERNELS, PRIOR_HALF_LIVES_DAYS

Scorer = Callable[[EventTable, Moments], NDArray[np.float32]]
ALL_TIME_DAYS = 1e6
COUNT = Kernel("time", "exponential", 1e6)


@dataclass(frozen=True, slots=True)
class Fitted:
    """A fitted baseline: how it scores, and how many bytes it has to keep."""

    score: Scorer
    artifact_bytes: int


@dataclass(frozen=True, slots=True)
class Setting:
    """One candidate of a baseline's tuning."""

    description: str
    fit: Callable[[Workshop], Fitted]


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
    found = [
        Baseline("popularity", [_popularity(ALL_TIME_DAYS)], takes_prior=False),
        Baseline("recent popularity", [_popularity(days) for days in PRIOR_HALF_LIVES_DAYS], takes_prior=False),
    ]
    if allow_repeats:
        found += [
            Baseline("personal count, ties by popularity", [_personal(COUNT)]),
            Baseline("decayed personal count", [_personal(kernel) for kernel in PERSONAL_KERNELS]),
        ]
    return [
        *found,
        Baseline("item-kNN", [_item_weights("neighbours", k, r, head_limit) for k in learned for r in (0.03, 1.0)]),
        Baseline("EASE", [_item_weights("ease", k, r, head_limit) for k in learned for r in (0.1, 1.0, 10.0)]),
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


def with_prior(fitted: Fitted, workshop: Workshop, prior: Prior, weight: float) -> Fitted:
    """``fitted`` with ``weight`` times the ``prior`` added to its scores."""
    added = workshop.popularity(prior).astype(np.float32) * np.float32(weight)
    return Fitted(lambda table, moments: fitted.score(table, moments) + added, fitted.artifact_bytes + added.nbytes)


def _popularity(half_life_days: float) -> Setting:
    def fit(workshop: Workshop) -> Fitted:
        prior = workshop.popularity(Prior(half_life_days)).astype(np.float32)
        return Fitted(lambda _table, moments: np.tile(prior, (len(moments), 1)), prior.nbytes)

    return Setting(f"half-life {half_life_days:g}d", fit)


def _personal(kernel: Kernel) -> Setting:
    def score(table: EventTable, moments: Moments) -> NDArray[np.float32]:
        return np.asarray(inputs_of(table, moments, kernel).toarray(), np.float32)

    return Setting(str(kernel), lambda workshop: Fitted(score, 4 * len(workshop.table.actions)))


def _item_weights(kind: str, kernel: Kernel, strength: float, head_limit: int) -> Setting:
    recipe = Recipe("ease" if kind == "ease" else "neighbours", kernel, strength)

    def fit(workshop: Workshop) -> Fitted:
        weights = workshop.fit(recipe, workshop.head(head_limit), 200, True)

        def score(table: EventTable, moments: Moments) -> NDArray[np.float32]:
            return np.asarray((inputs_of(table, moments, kernel) @ weights).toarray(), np.float32)

        return Fitted(score, weights.data.nbytes + weights.indices.nbytes + weights.indptr.nbytes)

    return Setting(str(recipe), fit)


def _user_neighbours(kernel: Kernel, count: int, own_share: float) -> Setting:
    """TIFU-kNN (Hu 2020): the user's decayed vector blended with the mean of the nearest users' vectors."""

    def fit(workshop: Workshop) -> Fitted:
        vectors = inputs_of(workshop.table, workshop.everyone, kernel)
        units = _unit_rows(vectors)
        users = workshop.everyone.users

        def score(table: EventTable, moments: Moments) -> NDArray[np.float32]:
            own = inputs_of(table, moments, kernel)
            likeness = np.asarray((_unit_rows(own) @ units.T).toarray(), np.float32)
            likeness[users[None, :] == moments.users[:, None]] = -1.0
            near = min(count, max(likeness.shape[1] - 1, 1))
            chosen = np.argpartition(likeness, likeness.shape[1] - near, axis=1)[:, likeness.shape[1] - near :]
            rows = np.repeat(np.arange(len(moments)), near)
            weights = np.full(chosen.size, 1.0 / near, np.float32)
            pick = sparse.csr_array(sparse.coo_array((weights, (rows, chosen.ravel())), shape=likeness.shape))
            crowd = (pick @ vectors).toarray()
            return np.asarray(own_share * own.toarray() + (1.0 - own_share) * crowd, np.float32)

        return Fitted(score, vectors.data.nbytes + vectors.indices.nbytes + vectors.indptr.nbytes)

    return Setting(f"{kernel}, {count} neighbours, own share {own_share:g}", fit)


def _unit_rows(x: sparse.csr_array) -> sparse.csr_array:
    lengths = np.sqrt(np.asarray(x.multiply(x).sum(axis=1)).ravel())
    scaled = x.copy()
    scaled.data = x.data / np.repeat(np.maximum(lengths, 1e-12), np.diff(x.indptr)).astype(np.float32)
    return scaled
