"""What is known of a user at a moment of decision: the features that make users similar.

The user's decayed base weights (one by one for the most frequent actions, and summed by event type), those of the
action in question and of everything else with its asset, how active the user was, and since when. Among users who are
present also how far their visit has come, which decides how much is still to follow in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nextbest.scoring.kernels import DAY_SECONDS, Kernel
from nextbest.training.goal_moments import DecisionMoments
from nextbest.training.split import VISIT_GAP_SECONDS
from nextbest.training.table import EventTable, inputs_of

_MOST_ONE_BY_ONE = 12
"""Most frequent actions, and most frequent event types, whose weights are features of their own."""
_LEAST_DAYS_SINCE = VISIT_GAP_SECONDS / DAY_SECONDS
"""That a visit goes on says nothing of how regular a user is; and at any time, hardly anybody is within one."""
_KNOTS = 6
_VISIT_KNOTS = np.log1p([30.0, 300.0, 3_600.0])
"""Half a minute, five, and an hour, since a visit began."""


@dataclass(frozen=True, slots=True)
class UsersAtMoments:
    """Users at ``moments``: their decayed base weights by kernel, each (rows, actions), and ``features`` that do not
    depend on the action in question, and ``visit`` (rows, features) says how far their visit has come."""

    moments: DecisionMoments
    weights: tuple[sparse.csc_array, ...]
    features: NDArray[np.float64]
    visit: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.moments)

    def __getitem__(self, rows: NDArray[np.int64]) -> UsersAtMoments:
        """Some of the rows."""
        weights = tuple(weights[rows] for weights in self.weights)
        return UsersAtMoments(self.moments[rows], weights, self.features[rows], self.visit[rows])


class FeatureReader:
    """Reads features from a ``table`` of events up to ``now`` (seconds). ``typical`` are moments in ordinary lives,
    which say where features may bend."""

    def __init__(
        self, table: EventTable, typical: DecisionMoments, *, now: float, half_lives_days: Sequence[float]
    ) -> None:
        self._table = table
        self._now = now
        self._kernels = [Kernel(scale=scale) for scale in sorted(set(half_lives_days))]
        _, self._asset = np.unique([action.asset_id for action in table.actions], return_inverse=True)
        self._groups = _groups(table)
        self._knots = _knots(self._activity(typical))
        silence = np.diff(table.time, prepend=-np.inf)
        opens = (silence > VISIT_GAP_SECONDS) | (np.diff(table.user, prepend=-1) != 0)
        self._visit_start = np.maximum.accumulate(np.where(opens, np.arange(len(opens)), 0))

    def read(self, moments: DecisionMoments) -> UsersAtMoments:
        """The users at ``moments``."""
        weights = tuple(sparse.csc_array(inputs_of(self._table, moments.before, kernel)) for kernel in self._kernels)
        activity = self._activity(moments)
        # Straight lines become piecewise linear by what each is above its knots.
        bends = np.maximum(activity[:, :, None] - self._knots, 0.0).reshape(len(moments), self._knots.size)
        sums = [np.log1p((matrix @ self._groups).toarray()) for matrix in weights]
        return UsersAtMoments(moments, weights, np.column_stack([activity, bends, *sums]), self._visit(moments))

    def features(self, users: UsersAtMoments, action: int, *, present: bool) -> NDArray[np.float64]:
        """All features for one action, shape (rows, features); ``present`` where all rows are within visits."""
        others = np.flatnonzero(self._asset == self._asset[action])
        others = others[others != action]
        own = [matrix[:, [action]].toarray().ravel() for matrix in users.weights]
        same_asset = [np.asarray(matrix[:, others].sum(axis=1)).ravel() for matrix in users.weights]
        visit = [users.visit] if present else []
        return np.column_stack([users.features, *np.log1p(own), *np.log1p(same_asset), *visit])

    def _activity(self, moments: DecisionMoments) -> NDArray[np.float64]:
        """Time since the last event and since the first, the pace of events, and the season: (rows, 4)."""
        table, before = self._table, moments.before
        first, last = table.time[table.starts[before.users]], table.time[before.ends - 1]
        since = np.log(np.maximum((before.nows - last) / DAY_SECONDS, _LEAST_DAYS_SINCE))
        life = np.log1p((before.nows - first) / DAY_SECONDS)
        pace = np.log1p(before.ends - table.starts[before.users]) - life
        return np.column_stack([since, life, pace, (self._now - before.nows) / DAY_SECONDS])

    def _visit(self, moments: DecisionMoments) -> NDArray[np.float64]:
        """How long the visit of each user has lasted, and how much they did in it; nothing where it only begins."""
        last = moments.before.ends - 1
        start = self._visit_start[last]
        goes_on = moments.before.nows - self._table.time[last] <= VISIT_GAP_SECONDS
        seconds = np.log1p(np.where(goes_on, moments.before.nows - self._table.time[start], 0.0))
        count = np.log1p(np.where(goes_on, last + 1 - start, 0))
        bends = np.maximum(seconds[:, None] - _VISIT_KNOTS, 0.0)
        return np.column_stack([goes_on, seconds, count, bends])


def _groups(table: EventTable) -> sparse.csc_array:
    """Which actions each feature sums over, as ones: (actions, features); frequent actions, and event types."""
    counts = np.bincount(table.action, minlength=len(table.actions))
    _, type_of = np.unique([action.event_type for action in table.actions], return_inverse=True)
    type_counts = np.bincount(type_of, counts)
    actions = np.argsort(-counts, kind="stable")[:_MOST_ONE_BY_ONE]
    types = np.argsort(-type_counts, kind="stable")[:_MOST_ONE_BY_ONE]
    columns = [np.arange(len(counts)) == action for action in actions] + [type_of == number for number in types]
    distinct = np.unique(np.array(columns, np.float64), axis=0)
    return sparse.csc_array(distinct.T)


def _knots(activity: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where each kind of activity may bend, (kinds, knots): at equal shares of the rows."""
    if not len(activity):
        return np.zeros((activity.shape[1], 0))
    return np.asarray(np.quantile(activity, np.linspace(0.0, 1.0, _KNOTS + 2)[1:-1], axis=0).T)
