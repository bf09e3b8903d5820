"""The prior: how popular each action is now, among all, or with those who are new to it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nextbest.scoring.kernels import DAY_SECONDS
from nextbest.training.table import EventTable


@dataclass(frozen=True, slots=True)
class Prior:
    """Users per action, each counted by the age of their last event with it; with ``newcomers`` of their first one,
    which tells what is being discovered from what is merely kept up."""

    half_life_days: float
    newcomers: bool = False

    def __str__(self) -> str:
        return f"half-life {self.half_life_days:g}d" + (", newcomers" if self.newcomers else "")


@dataclass(frozen=True, slots=True)
class Takers:
    """Who took what: one entry for each pair of a user and an action, with the ``first`` and the ``last`` time
    (seconds); all of shape (pairs,)."""

    action: NDArray[np.int64]
    first: NDArray[np.float64]
    last: NDArray[np.float64]
    size: int

    @classmethod
    def of(cls, table: EventTable) -> Takers:
        """The pairs of ``table``."""
        size = len(table.actions)
        keys = table.user * size + table.action
        order = np.argsort(keys, kind="stable")  # within a pair the events stay in the order of time
        opens = np.diff(keys[order], prepend=-1) != 0
        closes = np.append(opens[1:], True)[: len(order)]
        time = table.time[order]
        return cls(table.action[order][opens].astype(np.int64), time[opens], time[closes], size)

    def popularity(self, prior: Prior, now: float) -> NDArray[np.float64]:
        """Decayed users per action, shape (actions,), at most 1: Σ_users 0.5^(age / half life), over the largest.

        Users rather than events, so that one busy user is not a crowd.
        """
        ages_days = np.maximum(now - (self.first if prior.newcomers else self.last), 0.0) / DAY_SECONDS
        found = np.bincount(self.action, np.exp2(-ages_days / prior.half_life_days), minlength=self.size)
        return np.asarray(found / (found.max(initial=0.0) or 1.0), np.float64)
