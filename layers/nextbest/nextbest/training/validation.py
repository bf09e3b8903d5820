"""Validation: how well scores rank what users did in a held-out window, and whether a gain is more than chance."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nextbest.training.learners import Scores
from nextbest.training.metrics import held_out, ndcg_of_targets
from nextbest.training.split import RowKind, Window

TIE_WEIGHT = 1e-6
"""What equal scores are ordered by is added with this share of the largest score: too little to reorder others."""
LEAST_SCALE = 1e-20
"""Scores this small are all but zero; it keeps divisions by them finite."""
_KIND_WEIGHTS = np.array([2.0, 2.0, 1.0])
"""How much each ``RowKind`` of a user counts. Their NDCGs differ in size: what comes next within a visit is the easiest
to predict. The geometric mean weighs a tenth more of one against a tenth more of another."""
_LEAST_LEVEL = 1e-3
"""Added to each NDCG before its logarithm, or the share of one user where that is more: where an NDCG is no larger, a
tenth more of it is chance and must not count as much as a tenth more of what can be predicted."""
_SMALLEST_GAIN = 2e-4
"""A smaller gain in NDCG is not worth a part, however certain it is."""
_STANDARD_ERRORS = 1.5
"""A part enters when its gain, user by user, is this many standard errors: the best of a hundred worthless settings
looks better than nothing, and in small programs more so."""


@dataclass(slots=True)
class Validation:
    """NDCG@10 on a window, over ``columns`` (the most frequent actions, or all): the mean over the users who have rows
    of a kind, and the weighted geometric mean over kinds. ``ranking_count`` counts the rankings evaluated.

    ``ties`` (columns,) orders equal scores.
    """

    window: Window
    columns: NDArray[np.int64]
    ties: Scores
    ranking_count: int = 0
    _targets: sparse.csr_array = field(init=False)
    _seen: tuple[NDArray[np.int64], NDArray[np.int64]] = field(init=False)
    _rows: NDArray[np.int64] = field(init=False)
    _cells: NDArray[np.int64] = field(init=False)
    _shares: NDArray[np.float64] = field(init=False)
    _users_of_kind: NDArray[np.float64] = field(init=False)
    _weights: NDArray[np.float64] = field(init=False)
    _least: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        targets = sparse.csr_array(self.window.targets[:, self.columns])
        self._rows = np.flatnonzero(np.diff(targets.indptr))
        self._targets = targets[self._rows]
        seen = sparse.coo_array(self.window.seen[self._rows][:, self.columns])
        self._seen = (seen.row.astype(np.int64), seen.col.astype(np.int64))
        _, owners = np.unique(self.window.moments.users[self._rows], return_inverse=True)
        self._cells = owners * len(RowKind) + self.window.kinds[self._rows]
        counts = np.bincount(self._cells, minlength=self.user_count * len(RowKind))
        self._shares = 1.0 / counts[self._cells]
        users = (counts.reshape(-1, len(RowKind)) > 0).sum(axis=0).astype(np.float64)
        weights = _KIND_WEIGHTS * users
        self._weights = weights / max(float(weights.sum()), 1.0)
        self._users_of_kind = np.maximum(users, 1.0)
        self._least = np.maximum(_LEAST_LEVEL, 1.0 / self._users_of_kind)

    @property
    def rows(self) -> NDArray[np.int64]:
        """Rows of the window that have a target among the columns."""
        return self._rows

    @property
    def user_count(self) -> int:
        """How many users have such rows."""
        return int(self._cells.max(initial=-1)) // len(RowKind) + 1

    def per_user(self, scores: Scores) -> NDArray[np.float64]:
        """NDCG@10 of each user over their rows of each kind, shape (users, kinds), 0 where they have none; ``scores``
        (rows, columns)."""
        self.ranking_count += 1
        ranked = self._ranked(scores)
        values: NDArray[np.float64] = ndcg_of_targets(ranked, self._targets) * self._shares
        sums = np.bincount(self._cells, values, self.user_count * len(RowKind))
        return sums.reshape(-1, len(RowKind)).astype(np.float64)

    def _ranked(self, scores: Scores) -> Scores:
        """Scores without ties, and without what is no candidate."""
        ranked = scores + self.ties * np.float32(TIE_WEIGHT * max(float(np.abs(scores).max()), LEAST_SCALE))
        ranked[self._seen] = -np.inf
        return ranked

    def __call__(self, scores: Scores) -> float:
        """The NDCG@10 of the ranking by ``scores``."""
        if not len(self._rows):
            return 0.0
        levels = self._levels(self.per_user(scores))
        return self._mean(levels) - self._mean(np.zeros_like(levels))

    def _levels(self, per_user: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mean NDCG of each kind, shape (kinds,)."""
        return np.asarray(per_user.sum(axis=0) / self._users_of_kind)

    def _mean(self, levels: NDArray[np.float64]) -> float:
        """The weighted geometric mean of ``levels``, the least level added to each."""
        return float(np.exp(self._weights @ np.log(levels + self._least)))

    def improves(self, before: Scores, after: Scores, standard_errors: float = _STANDARD_ERRORS) -> bool:
        """Whether ``after`` ranks better than ``before`` by more than chance explains."""
        gain, error = self._gain(before, after)
        return gain > max(_SMALLEST_GAIN, standard_errors * error)

    def no_worse(self, before: Scores, after: Scores, standard_errors: float = 1.0) -> bool:
        """Whether ``after`` ranks worse than ``before`` by no more than chance explains."""
        gain, error = self._gain(before, after)
        return gain >= -standard_errors * error

    def _gain(self, before: Scores, after: Scores) -> tuple[float, float]:
        """What ``after`` gains over ``before``, user by user, and its standard error.

        Between two rankings the geometric mean is nearly linear, so that each user's share in the gain is known.
        """
        first, then = self.per_user(before), self.per_user(after)
        levels = (self._levels(first) + self._levels(then)) / 2.0
        slopes = self._weights * self._mean(levels) / (levels + self._least)
        gains = (then - first) @ (slopes * self.user_count / self._users_of_kind)
        return float(gains.mean()), float(gains.std()) / max(len(gains), 1) ** 0.5

    def metrics(self, scores: Scores) -> dict[str, float]:
        """All metrics that are reported of a ranking (``metrics.held_out``)."""
        ranked = scores.copy()
        ranked[self._seen] = -np.inf
        return held_out(ranked[self._whole], self._targets[self._whole])

    def ndcg(self, scores: Scores) -> float:
        """The NDCG@10 among these metrics, with equal scores in order; 0 without users."""
        if not len(self._whole):
            return 0.0
        return float(ndcg_of_targets(self._ranked(scores)[self._whole], self._targets[self._whole]).mean())

    @property
    def _whole(self) -> NDArray[np.int64]:
        """Rows that stand for a user's whole window."""
        return np.flatnonzero(self.window.kinds[self._rows] == RowKind.WHOLE)

    def scale_of(self, scores: Scores) -> float:
        """The mean over rows of the best candidate's absolute score: it makes the weights of parts comparable."""
        candidates = np.abs(scores)
        candidates[self._seen] = 0.0
        scale = float(candidates.max(axis=1, initial=0.0).mean())
        return scale if scale > LEAST_SCALE else 1.0
