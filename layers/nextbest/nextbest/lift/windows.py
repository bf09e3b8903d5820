"""Intention to treat: each user's window, from the first decision in the experiment to the end of the horizon.

What counts is what a user does in the window, whoever or whatever caused it. Only complete windows are compared: every
user is then seen for equally long, and their outcome, once complete, never changes. That makes users a sequence of
independent draws, which intervals for looking every day need.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nextbest.scoring.kernels import DAY_SECONDS

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class UserWindows:
    """One row a user with a decision in the experiment, in the order in which they were first seen.

    ``user`` and ``decision`` (users,) are the user and the row of their first decision; ``opens`` and ``closes``
    (users,) in seconds, both included; ``complete`` (users,) says whether the whole horizon has passed.
    """

    user: Integers
    decision: Integers
    opens: Floats
    closes: Floats
    complete: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.user)


def open_windows(
    user: Integers,
    time: Floats,
    *,
    started_at: float,
    stopped_at: float | None = None,
    horizon_days: float,
    now: float,
) -> UserWindows:
    """The windows of the users of the decisions with ``user`` and ``time`` (decisions,), in any order.

    A user enters with the first decision from ``started_at`` on; nobody enters after ``stopped_at`` or ``now``. The end
    of the horizon closes the window, or ``now`` where that is earlier. Raises ``ValueError`` unless the horizon is
    above zero.
    """
    horizon = seconds_of(horizon_days)
    end = now if stopped_at is None else min(now, stopped_at)
    rows = np.flatnonzero((time >= started_at) & (time <= end))
    rows = rows[np.lexsort((user[rows], time[rows]))]
    _, first = np.unique(user[rows], return_index=True)
    rows = rows[np.sort(first)]
    opens = time[rows]
    return UserWindows(user[rows], rows, opens, np.minimum(opens + horizon, now), opens + horizon <= now)


def outcomes_within(windows: UserWindows, user: Integers, time: Floats, value: Floats) -> tuple[Integers, Floats]:
    """The number and summed value, both (users,), of the outcomes in each user's window; outcomes are in any order.

    An outcome worth less than nothing, such as a refund, is in the sum and not in the number: it takes something back,
    and reaches nothing.
    """
    return _sums(windows, windows.opens, windows.closes, user, time, value)


def outcomes_before(
    windows: UserWindows, user: Integers, time: Floats, value: Floats, *, started_at: float, days: float
) -> tuple[Integers, Floats]:
    """The number and summed value, as in ``outcomes_within``, of the outcomes in the ``days`` before the experiment
    started.

    No variant can have influenced them, so that they may adjust the comparison. Raises ``ValueError`` unless the days
    are above zero.
    """
    begin = started_at - seconds_of(days)
    # Both ends of a window are included, but the start belongs to the experiment.
    end = np.nextafter(started_at, -np.inf)
    size = len(windows)
    return _sums(windows, np.full(size, begin), np.full(size, end), user, time, value)


def seconds_of(days: float) -> float:
    """Days above zero in seconds; raises ``ValueError`` for anything else."""
    if not 0.0 < days < np.inf:
        raise ValueError(f"{days} days: a number above 0 is needed")
    return days * DAY_SECONDS


def _sums(
    windows: UserWindows, begin: Floats, end: Floats, user: Integers, time: Floats, value: Floats
) -> tuple[Integers, Floats]:
    size = len(windows)
    row_of_user = np.full(max(int(windows.user.max(initial=-1)), int(user.max(initial=-1))) + 1, -1, np.int64)
    row_of_user[windows.user] = np.arange(size)
    row = row_of_user[user]
    known = np.flatnonzero(row >= 0)
    row = row[known]
    inside = (time[known] >= begin[row]) & (time[known] <= end[row])
    row, known = row[inside], known[inside]
    total = np.asarray(np.bincount(row, value[known], minlength=size), np.float64)
    return np.bincount(row[value[known] > 0.0], minlength=size).astype(np.int64), total
