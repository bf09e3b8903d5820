"""The pairs that calibration is fitted on: users and actions of a held-out window, and whether they were taken.

Users are seen at the cut, wherever they are in their lives, and right after some of their events: most requests are
made within a visit, when far more is taken than at a time drawn at random. Which moments these are must not depend on
what follows them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nextbest.scoring.calibration import Calibration, activity_of
from nextbest.scoring.kernels import DAY_SECONDS
from nextbest.scoring.model import Mode
from nextbest.training.build import score_matrix
from nextbest.training.calibrate import CalibrationPairs, crossed_reliability, fit_calibration, pairs_of
from nextbest.training.examples import seen_of, spread, targets_of
from nextbest.training.table import EventTable, Moments

_CELLS = 8_000_000
"""Users times actions at most."""
_GROUP = 256
_LEAST_GROUPS = 8
"""Users are scored in groups, to bound memory; a few at least, since reliability is measured across groups."""
_MOMENTS_AFTER_EVENTS = 2
"""Of each user, evenly spread."""
_CUT_OFF = 0.2
"""Where the window is hardly longer than the horizon, moments come from its first fifth: a tenth of the horizon is cut
off on average, and what is taken within a visit is not."""


@dataclass(frozen=True, slots=True)
class HeldOutPairs:
    """Groups of users: pairs of users and what they had done, and pairs of users and all other actions, over
    ``days``."""

    repeats: list[CalibrationPairs]
    discoveries: list[CalibrationPairs]
    days: float

    @classmethod
    def of(
        cls,
        repeats: Mode,
        discoveries: Mode,
        table: EventTable,
        *,
        cut: float,
        now: float,
        horizon_days: float,
        random: np.random.Generator,
    ) -> HeldOutPairs:
        """Pairs from ``cut`` to ``now`` (seconds), scored by modes that were learned before the cut."""
        end = float(np.nextafter(now, np.inf))
        horizon_seconds = min(horizon_days * DAY_SECONDS, end - cut)
        moments = _moments(table, cut, end, horizon_seconds)
        users = np.unique(moments.users)
        limit = max(1, _CELLS // max(len(table.actions), 1))
        if len(users) > limit:
            users = np.sort(random.choice(users, limit, replace=False))
        size = int(np.clip(len(users) // _LEAST_GROUPS, 1, _GROUP))
        pairs = cls([], [], horizon_seconds / DAY_SECONDS)
        for begin in range(0, len(users), size):
            group = moments[np.flatnonzero(np.isin(moments.users, users[begin : begin + size]))]
            ends = _ends_before(table, group, np.minimum(group.nows + horizon_seconds, end))
            taken = targets_of(table, group.ends, ends).toarray() > 0
            seen = seen_of(table, group)
            activity = _activity(table, group, horizon_days)
            count = len(np.unique(group.users))
            for mode, possible, groups in (
                (repeats, seen, pairs.repeats),
                (discoveries, ~seen, pairs.discoveries),
            ):
                scores = score_matrix(mode, table, group)
                groups.append(pairs_of(scores, taken, possible, activity, random, users=count))
        return pairs

    def fit(self) -> tuple[Calibration, Calibration]:
        """The maps of repeats and of discoveries."""
        repeats, discoveries = (fit_calibration(CalibrationPairs.join(groups)) for groups in self._kinds())
        return repeats, discoveries

    def reliability(self, allow_repeats: bool) -> dict[str, object]:
        """Of everything that the mode recommends, each half of the users measured with the maps of the other half."""
        kinds = self._kinds() if allow_repeats else (self.discoveries,)
        halves = [(CalibrationPairs.join(groups[::2]), CalibrationPairs.join(groups[1::2])) for groups in kinds]
        return crossed_reliability(halves)

    def _kinds(self) -> tuple[list[CalibrationPairs], list[CalibrationPairs]]:
        return self.repeats, self.discoveries


def _moments(table: EventTable, cut: float, end: float, horizon_seconds: float) -> Moments:
    """All users known at ``cut``, and users right after their events from there on, as long as the horizon ends before
    ``end``."""
    known = np.flatnonzero(table.ends_before(cut) > table.starts[:-1])
    latest = max(end - horizon_seconds, cut + _CUT_OFF * (end - cut))
    last_of_basket = table.tie_end - 1 == np.arange(len(table.time))
    after = np.flatnonzero(last_of_basket & (table.time >= cut) & (table.time < latest))
    owners = table.user
    after = after[spread(owners[after], _MOMENTS_AFTER_EVENTS)]
    return Moments.joined(
        [Moments.at(table, known, cut), Moments(owners[after], table.tie_end[after], table.time[after])]
    )


def _ends_before(table: EventTable, moments: Moments, times: NDArray[np.float64]) -> NDArray[np.int64]:
    """For each row, one past the user's last event strictly before a time."""
    ends = [
        begin + int(np.searchsorted(table.time[begin:stop], time, side="left"))
        for begin, stop, time in zip(
            table.starts[moments.users].tolist(), table.starts[moments.users + 1].tolist(), times.tolist(), strict=True
        )
    ]
    return np.array(ends, np.int64)


def _activity(table: EventTable, moments: Moments, horizon_days: float) -> NDArray[np.float64]:
    return np.array(
        [
            activity_of(table.time[begin:end], now, horizon_days)
            for begin, end, now in zip(
                table.starts[moments.users].tolist(), moments.ends.tolist(), moments.nows.tolist(), strict=True
            )
        ]
    )
