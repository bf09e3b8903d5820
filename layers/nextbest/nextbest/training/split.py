"""The time split: what the model may know, and the window it is judged on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nextbest.scoring.kernels import DAY_SECONDS
from nextbest.training.table import EventTable, Moments, no_entries
from nextbest.training.transitions import targets_of, without_seen

WINDOW_SHARE = 0.1
"""A tuning window holds at least this share of the events, where the horizon is shorter."""
LARGEST_WINDOW_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class Window:
    """Users known at ``cut`` who did something from there to ``end``: ``targets`` (users, actions) in one mode.

    In discoveries mode the targets leave out what the user had done, and ``seen`` marks it; in repeats mode ``seen``
    is empty. ``moments`` point into ``table``, which goes on after the cut.
    """

    table: EventTable
    cut: float
    end: float
    moments: Moments
    targets: sparse.csr_array
    seen: sparse.csr_array

    def mask(self, scores: NDArray[np.float32]) -> None:
        """Take what was seen out of the ranking, in place."""
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


def window_of(
    table: EventTable,
    cut: float,
    end: float,
    *,
    allow_repeats: bool,
    most_users: int,
    random: np.random.Generator,
) -> Window:
    """The window from ``cut`` to ``end`` (exclusive), with at most ``most_users`` users, drawn at random."""
    begins, ends = table.ends_before(cut), table.ends_before(end)
    users = np.flatnonzero((begins > table.starts[:-1]) & (ends > begins))
    users = users[random.permutation(len(users))]
    moments = Moments(users, begins[users], np.full(len(users), cut))
    targets = targets_of(table, begins[users], ends[users])
    seen = no_entries(*targets.shape)
    if not allow_repeats:
        seen = targets_of(table, table.starts[users], begins[users])
        targets = without_seen(targets, seen)
    chosen = np.sort(np.flatnonzero(np.diff(targets.indptr))[:most_users])
    moments = Moments(moments.users[chosen], moments.ends[chosen], moments.nows[chosen])
    return Window(table, cut, end, moments, targets[chosen], seen[chosen])
