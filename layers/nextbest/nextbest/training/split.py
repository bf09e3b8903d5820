"""The time split: what the model may know, and the window it is validated on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nextbest.scoring.kernels import DAY_SECONDS
from nextbest.training.examples import spread, targets_of, without_seen
from nextbest.training.table import EventTable, Moments, expand, no_entries

WINDOW_SHARE = 0.1
"""A tuning window holds at least this share of the events, where the horizon is shorter."""
LARGEST_WINDOW_SHARE = 0.25
"""At most this share, so that enough is left to learn from; a longer horizon is cut off."""
ENOUGH_USERS = 500
"""Where fewer users came back in a window, chance decides between settings: earlier windows are added."""
MOST_WINDOWS = 3
VISITS_PER_USER = 3
"""Visits validated of each user; more would give busy users all the rows (measured: ``docs/scoring.md``)."""
VISIT_GAP_SECONDS = 43_200.0
"""Half a day of silence ends a visit."""


class RowKind(IntEnum):
    """What a row of a window is to predict: all that follows the cut, how a visit begins, or what comes next in it."""

    WHOLE = 0
    VISIT = 1
    INSIDE = 2


@dataclass(frozen=True, slots=True)
class Window:
    """Users known at ``cut`` who did something from there to ``end``: ``targets`` (users, actions) in one mode.

    In discoveries mode the targets leave out what the user had done, and ``seen`` marks it; in repeats mode ``seen``
    is empty. ``moments`` point into ``table``, which continues after the cut. A window may hold several rows of a user,
    each of the ``RowKind`` in ``kinds`` (rows,).
    """

    table: EventTable
    cut: float
    end: float
    moments: Moments
    targets: sparse.csr_array
    seen: sparse.csr_array
    kinds: NDArray[np.int8]

    @classmethod
    def joined(cls, windows: Sequence[Window]) -> Window:
        """Windows of one table as one, their rows one after another; ``cut`` is the earliest, ``end`` the latest."""
        if len(windows) == 1:
            return windows[0]
        return cls(
            windows[0].table,
            min(window.cut for window in windows),
            max(window.end for window in windows),
            Moments.joined([window.moments for window in windows]),
            sparse.csr_array(sparse.vstack([window.targets for window in windows])),
            sparse.csr_array(sparse.vstack([window.seen for window in windows])),
            np.concatenate([window.kinds for window in windows]),
        )

    def mask(self, scores: NDArray[np.float32]) -> None:
        """Exclude what was seen from the ranking, in place."""
        rows = np.repeat(np.arange(self.seen.shape[0]), np.diff(self.seen.indptr))
        scores[rows, self.seen.indices] = -np.inf


def tuning_cut(table: EventTable, now: float, horizon_days: float) -> float:
    """Where the tuning window begins: the horizon before ``now``, or earlier so that it holds a tenth of the events,
    but never more than a quarter of them unless the horizon itself does."""
    latest = now - horizon_days * DAY_SECONDS
    if not len(table.time):
        return latest
    times = np.sort(table.time)
    tenth = float(times[int(len(times) * (1.0 - WINDOW_SHARE))])
    if times[-1] <= latest or float((table.time >= latest).mean()) > LARGEST_WINDOW_SHARE:
        quarter = float(times[int(len(times) * (1.0 - LARGEST_WINDOW_SHARE))])
        return max(latest, quarter) if times[-1] > latest else tenth
    return min(latest, tenth)


def tuning_cuts(table: EventTable, now: float, horizon_days: float) -> list[float]:
    """Where the tuning windows begin, earliest first: one window, or up to three where too few users came back in the
    last, each ending where the next begins."""
    cuts: list[float] = []
    users, end = 0, now
    while len(cuts) < MOST_WINDOWS and users < ENOUGH_USERS:
        known = table if not cuts else table.before(end)
        cut = tuning_cut(known, end, horizon_days)
        before = table.ends_before(cut)
        back = (before > table.starts[:-1]) & (table.ends_before(end) > before)
        if cuts and not back.any():
            break
        cuts.insert(0, cut)
        users += int(back.sum())
        end = cut
    return cuts


def window_of(
    table: EventTable,
    cut: float,
    end: float,
    *,
    allow_repeats: bool,
    most_users: int,
    random: np.random.Generator,
    visits_per_user: int = 0,
) -> Window:
    """The window from ``cut`` to ``end`` (exclusive), with at most ``most_users`` users, drawn at random.

    Its rows are followed by what came next at up to ``visits_per_user`` of their visits and as often within them
    (``visits_of``), at most ``most_users`` such rows in all.
    """
    begins, ends = table.ends_before(cut), table.ends_before(end)
    users = np.flatnonzero((begins > table.starts[:-1]) & (ends > begins))
    users = users[random.permutation(len(users))]
    targets, seen = _taken(table, users, begins[users], ends[users], allow_repeats)
    chosen = np.flatnonzero(np.diff(targets.indptr))[:most_users]
    chosen = chosen[np.argsort(users[chosen])]
    users = users[chosen]
    moments = Moments(users, begins[users], np.full(len(users), cut))
    kinds = np.full(len(chosen), RowKind.WHOLE, np.int8)
    whole = Window(table, cut, end, moments, targets[chosen], seen[chosen], kinds)
    if not visits_per_user:
        return whole
    visits = visits_of(
        table,
        cut,
        end,
        users,
        allow_repeats=allow_repeats,
        visits_per_user=visits_per_user,
        inside_per_user=visits_per_user,
        most_rows=most_users,
    )
    return Window.joined((whole, visits))


def visits_of(
    table: EventTable,
    cut: float,
    end: float,
    users: NDArray[np.int64],
    *,
    allow_repeats: bool,
    visits_per_user: int,
    inside_per_user: int,
    most_rows: int,
) -> Window:
    """What came next, from ``cut`` to ``end`` (exclusive), each row at its own moment: the first basket of up to
    ``visits_per_user`` visits of each of ``users``, and up to ``inside_per_user`` baskets from within their visits,
    evenly spread.

    ``users`` ascend, and each has an event before the cut. A basket is the events of one time; a visit begins with the
    first event after the cut and after every half day of silence. Beyond ``most_rows``, the later ones of each user go.
    """
    begins, ends = table.ends_before(cut), table.ends_before(end)
    positions, rows = expand(begins[users], ends[users])
    silence = table.time[positions] - table.time[positions - 1]
    opens = (np.diff(rows, prepend=-1) != 0) | (silence > VISIT_GAP_SECONDS)
    holds = np.ones(len(positions), np.bool_)
    if not allow_repeats:
        holds = _discovers(table)[positions]
    first, inside = positions[opens & holds], positions[~opens & (silence > 0.0) & holds]
    first = first[_order(table.user[first]) < visits_per_user]
    inside = inside[spread(table.user[inside], inside_per_user)]
    order = np.concatenate((_order(table.user[first]), _order(table.user[inside])))
    some = np.argsort(order, kind="stable")[:most_rows]
    candidates = np.concatenate((first, inside))
    kinds = np.repeat(np.array([RowKind.VISIT, RowKind.INSIDE], np.int8), (len(first), len(inside)))
    some = some[np.argsort(candidates[some])]
    chosen = candidates[some]
    owners = table.user[chosen]
    targets, seen = _taken(table, owners, chosen, table.tie_end[chosen], allow_repeats)
    moments = Moments(owners, chosen, table.time[chosen])
    return Window(table, cut, end, moments, targets, seen, kinds[some])


def _discovers(table: EventTable) -> NDArray[np.bool_]:
    """Whether the basket from each event on holds something its user had never done."""
    _, first = np.unique(table.user * len(table.actions) + table.action, return_index=True)
    count = np.zeros(len(table.time) + 1, np.int64)
    count[first + 1] = 1
    before = np.cumsum(count)
    return np.asarray(before[table.tie_end] > before[:-1])


def _order(owners: NDArray[np.int64]) -> NDArray[np.int64]:
    """The place of each entry among those of its owner, from 0; owners ascend."""
    return np.arange(len(owners)) - np.searchsorted(owners, owners)


def _taken(
    table: EventTable,
    users: NDArray[np.int64],
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    allow_repeats: bool,
) -> tuple[sparse.csr_array, sparse.csr_array]:
    """What each of ``users`` took in the events ``begins:ends``, and for discoveries what they had done before, which
    is then left out."""
    targets = targets_of(table, begins, ends)
    if allow_repeats:
        return targets, no_entries(*targets.shape)
    seen = targets_of(table, table.starts[users], begins)
    return without_seen(targets, seen), seen
