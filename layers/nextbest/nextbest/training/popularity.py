"""Popularity: how many users take each action, each counted once; by the age of their event, or lately."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nextbest.scoring.calibration import UNINFORMED_RATE
from nextbest.scoring.kernels import DAY_SECONDS
from nextbest.training.table import EventTable


@dataclass(frozen=True, slots=True)
class UserActionPairs:
    """One entry for each pair of a user and an action they took, with the ``first`` and the ``last`` time (seconds);
    all of shape (pairs,)."""

    action: NDArray[np.int64]
    first: NDArray[np.float64]
    last: NDArray[np.float64]
    action_count: int

    @classmethod
    def of(cls, table: EventTable) -> UserActionPairs:
        """The pairs of ``table``."""
        size = len(table.actions)
        keys = table.user * size + table.action
        order = np.argsort(keys, kind="stable")  # within a pair the events stay in the order of time
        opens = np.diff(keys[order], prepend=-1) != 0
        closes = np.append(opens[1:], True)[: len(order)]
        time = table.time[order]
        return cls(table.action[order][opens].astype(np.int64), time[opens], time[closes], size)

    def decayed_users(self, half_life_days: float, now: float, *, newcomers: bool = False) -> NDArray[np.float64]:
        """Decayed users per action, shape (actions,): Σ_users 0.5^(age / half life).

        The age is that of the user's last event with the action, with ``newcomers`` that of their first. Users are
        counted rather than events, so that one busy user does not make an action popular.
        """
        ages_days = np.maximum(now - (self.first if newcomers else self.last), 0.0) / DAY_SECONDS
        users = np.bincount(self.action, np.exp2(-ages_days / half_life_days), minlength=self.action_count)
        return np.asarray(users, np.float64)

    def takers_after(self, time: float) -> NDArray[np.int64]:
        """How many users took each action after ``time`` (seconds), shape (actions,)."""
        return np.bincount(self.action[self.last > time], minlength=self.action_count).astype(np.int64)


def popularity(decayed_users: NDArray[np.float64]) -> NDArray[np.float64]:
    """The ``decayed_users`` of each action over the largest, shape (actions,): at most 1."""
    return decayed_users / (decayed_users.max(initial=0.0) or 1.0)


def base_rates(takers: NDArray[np.int64], users: int) -> NDArray[np.float32]:
    """How likely any of all ``users`` takes each action within the horizon, shape (actions,).

    The share who did within the last horizon (``takers``), with one more user who takes everything at the uninformed
    rate: nothing is impossible only because few users were seen.
    """
    return np.asarray((takers + UNINFORMED_RATE) / (users + 1.0), np.float32)
