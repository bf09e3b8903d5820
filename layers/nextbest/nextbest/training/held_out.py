"""The pairs that calibration is fitted on: users and actions of a held-out window, and whether they were taken.

Users are seen at the cut, wherever they are in their lives, and right after events that are drawn from all: most
requests are made within a visit, when far more is taken. Which moments these are must not depend on what follows them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nextbest.scoring.calibration import ACTIVITY_NAMES, Calibration, activity_of
from nextbest.scoring.kernels import DAY_SECONDS
from nextbest.scoring.model import Mode
from nextbest.training.build import score_matrix
from nextbest.training.calibrate import CalibrationPairs, fit_calibration, pairs_of, reliability
from nextbest.training.examples import seen_of, spread, targets_of
from nextbest.training.table import EventTable, Moments

_CELLS = 8_000_000
"""Users times actions at most, at the cut, and as many right after events."""
_GROUP = 256
_LEAST_GROUPS = 8
"""Users are scored in groups, to bound memory; a few at least, since reliability is measured across groups."""
_EVENTS_PER_USER = 20
"""Right after which a user is seen at most, evenly spread."""
_LEAST_MOMENTS = 500
_CUT_OFF = 0.2
"""Where the window is hardly longer than the horizon, events come from its first fifth: a tenth of the horizon is cut
off on average, and what is taken within a visit is not."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """Groups of pairs of one kind, each group of other users: at the cut, and right after events. The horizon is so
    many times as long as what was seen of it."""

    times_longer: float = 1.0
    at_cut: list[CalibrationPairs] = field(default_factory=list)
    after_events: list[CalibrationPairs] = field(default_factory=list)

    def fit(self) -> Calibration:
        """The maps of all groups, for the horizon."""
        return self._fit(slice(None), self.times_longer)

    def fit_window(self, groups: slice) -> Calibration:
        """The maps of some of the groups, for what was seen of the horizon."""
        return self._fit(groups, 1.0)

    def _fit(self, groups: slice, times_longer: float) -> Calibration:
        calibration = fit_calibration(CalibrationPairs.join(self.at_cut[groups]), times_longer)
        after = CalibrationPairs.join(self.after_events[groups])
        if not after.taken.any():
            return calibration
        return replace(calibration, after_event=fit_calibration(after, times_longer))

    def all_pairs(self, groups: slice) -> CalibrationPairs:
        """Some of the groups, at the cut and after events."""
        return CalibrationPairs.join([*self.at_cut[groups], *self.after_events[groups]])


@dataclass(frozen=True, slots=True)
class HeldOutPairs:
    """Pairs of users and what they had done, and of users and everything else, with what was taken in ``days``: the
    horizon, or the window where that is shorter."""

    repeats: _Kind
    discoveries: _Kind
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
        limit = max(1, _CELLS // max(len(table.actions), 1))
        at_cut = _at_cut(table, cut, limit, random)
        latest = max(end - horizon_seconds, cut + _CUT_OFF * (end - cut))
        after_events = _after_events(table, cut, latest, min(limit, max(len(at_cut), _LEAST_MOMENTS)), random)
        times_longer = horizon_days * DAY_SECONDS / horizon_seconds
        pairs = cls(_Kind(times_longer), _Kind(times_longer), horizon_seconds / DAY_SECONDS)
        users = np.union1d(at_cut.users, after_events.users)
        size = int(np.clip(len(users) // _LEAST_GROUPS, 1, _GROUP))
        for begin in range(0, len(users), size):
            for moments, name in ((at_cut, "at_cut"), (after_events, "after_events")):
                chunk = moments[np.flatnonzero(np.isin(moments.users, users[begin : begin + size]))]
                taken, soon = (
                    targets_of(table, chunk.ends, _ends_before(table, chunk, np.minimum(chunk.nows + seconds, end)))
                    .toarray()
                    .astype(np.bool_)
                    for seconds in (horizon_seconds, horizon_seconds / 2.0)
                )
                seen = seen_of(table, chunk)
                activity = _activity(table, chunk, horizon_days)
                count = len(np.unique(chunk.users))
                for kind, mode, possible in ((pairs.repeats, repeats, seen), (pairs.discoveries, discoveries, ~seen)):
                    scores = score_matrix(mode, table, chunk)
                    groups: list[CalibrationPairs] = getattr(kind, name)
                    groups.append(pairs_of(scores, taken, possible, activity, random, users=count, soon=soon))
        return pairs

    def reliability(self, *, allow_repeats: bool) -> dict[str, Any]:
        """Of everything that is recommended with repeats or without, each half of the users measured with the maps that
        are fitted on the other half."""
        kinds: Sequence[_Kind] = (self.repeats, self.discoveries) if allow_repeats else (self.discoveries,)
        halves = (slice(0, None, 2), slice(1, None, 2))
        growth, measured = [], []
        for kind in kinds:
            for fitted, other in (halves, halves[::-1]):
                pairs = kind.all_pairs(other)
                growth.append(kind.fit_window(fitted).growth(pairs.score[:, None], pairs.activity)[:, 0])
                measured.append(pairs)
        everything = CalibrationPairs.join(measured)
        return reliability(np.concatenate(growth), everything.taken, everything.weight)


def _at_cut(table: EventTable, cut: float, limit: int, random: np.random.Generator) -> Moments:
    """At most ``limit`` of the users known at ``cut``."""
    users = np.flatnonzero(table.ends_before(cut) > table.starts[:-1])
    if len(users) > limit:
        users = np.sort(random.choice(users, limit, replace=False))
    return Moments.at(table, users, cut)


def _after_events(table: EventTable, cut: float, latest: float, limit: int, random: np.random.Generator) -> Moments:
    """Users right after at most ``limit`` of the events from ``cut`` up to ``latest``, as requests are distributed."""
    last_of_basket = table.tie_end - 1 == np.arange(len(table.time))
    events = np.flatnonzero(last_of_basket & (table.time >= cut) & (table.time < latest))
    owners = table.user
    events = events[spread(owners[events], _EVENTS_PER_USER)]
    if len(events) > limit:
        events = np.sort(random.choice(events, limit, replace=False))
    return Moments(owners[events], table.tie_end[events], table.time[events])


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
    activity = np.zeros((len(moments), len(ACTIVITY_NAMES)))
    begins = table.starts[moments.users].tolist()
    for row, (begin, end, now) in enumerate(zip(begins, moments.ends.tolist(), moments.nows.tolist(), strict=True)):
        activity[row] = activity_of(table.time[begin:end], now, horizon_days)
    return activity
