"""The prior: how popular each action is now."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nextbest.scoring.kernels import DAY_SECONDS
from nextbest.training.table import EventTable


def recent_popularity(table: EventTable, now: float, half_life_days: float) -> NDArray[np.float64]:
    """Decayed users per action, shape (actions,), at most 1: Σ_users 0.5^(age of the user's last / half life), over
    the largest.

    Users rather than events, so that one busy user is not a crowd; the newest event of each counts.
    """
    size = len(table.actions)
    if not len(table.time):
        return np.zeros(size)
    keys = table.user * size + table.action
    order = np.lexsort((table.time, keys))
    last = order[np.append(np.diff(keys[order]) != 0, True)]
    ages_days = np.maximum(now - table.time[last], 0.0) / DAY_SECONDS
    popularity = np.bincount(table.action[last], np.exp2(-ages_days / half_life_days), minlength=size)
    return popularity / max(float(popularity.max()), 1e-12)
