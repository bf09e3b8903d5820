"""Moments of decision: users who took an action, or did not, what they had done before, and when the goal followed.

For every action there are three kinds of moments, each with the history strictly before it:

    taken      the user took the action
    present    the user did something else, and did not take the action within a day
    any time   drawn evenly from the users' lives; the user did not take the action within a day
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nextbest.scoring.kernels import DAY_SECONDS
from nextbest.training.examples import spread
from nextbest.training.table import EventTable, Moments

_MOMENTS_PER_USER = 20


@dataclass(frozen=True, slots=True)
class DecisionMoments:
    """``before`` has the history before each moment; ``after`` (rows,) is the position in the table of the user's first
    event later than the moment, or one past their last."""

    before: Moments
    after: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.after)

    def __getitem__(self, rows: NDArray[np.int64]) -> DecisionMoments:
        """Some of the rows."""
        return DecisionMoments(self.before[rows], self.after[rows])


class DecisionTable:
    """The moments of decision in a ``table`` of events up to ``now`` (seconds), each followed for ``horizon_days``."""

    def __init__(self, table: EventTable, now: float, horizon_days: float) -> None:
        self._table = table
        self._latest = now - horizon_days * DAY_SECONDS
        self._user = table.user
        order = np.argsort(table.action, kind="stable")
        self._positions = np.split(order, np.searchsorted(table.action[order], np.arange(1, len(table.actions))))
        opens = np.ones(len(table.time), np.bool_)
        opens[1:] = table.tie_end[1:] != table.tie_end[:-1]
        self._tie_start = np.maximum.accumulate(np.where(opens, np.arange(len(table.time)), 0))

    def positions_of(self, actions: Sequence[int]) -> NDArray[np.int64]:
        """Where in the table the events of these actions are, ascending."""
        return np.sort(np.concatenate([np.zeros(0, np.int64), *(self._positions[action] for action in actions)]))

    def at_events(self, positions: NDArray[np.int64], limit: int, random: np.random.Generator) -> DecisionMoments:
        """Moments at some of these events: one of a user a day, drawn at random, at most 20 of a user and ``limit`` in
        all."""
        table = self._table
        usable = (self._tie_start[positions] > table.starts[self._user[positions]]) & (
            table.time[positions] <= self._latest
        )
        positions = positions[usable]
        days = np.floor((self._latest - table.time[positions]) / DAY_SECONDS).astype(np.int64)
        new_day = np.ones(len(positions), np.bool_)
        new_day[1:] = (np.diff(days) != 0) | (np.diff(self._user[positions]) != 0)
        first = np.flatnonzero(new_day)
        of_day = np.diff(np.append(first, len(positions)))
        positions = positions[first + (random.random(len(first)) * of_day).astype(np.int64)]
        positions = positions[spread(self._user[positions], _MOMENTS_PER_USER)]
        if len(positions) > limit:
            positions = np.sort(random.choice(positions, limit, replace=False))
        moments = Moments(self._user[positions], self._tie_start[positions], table.time[positions])
        return DecisionMoments(moments, table.tie_end[positions])

    def at_any_time(self, count: int, random: np.random.Generator) -> DecisionMoments:
        """About ``count`` moments, spread evenly over the lives of all users, from their first event on."""
        table = self._table
        users = np.flatnonzero(np.diff(table.starts))
        first = table.time[table.starts[users]]
        lives = np.cumsum(np.maximum(self._latest - first, 0.0))
        if not len(lives) or not lives[-1]:
            nothing = np.zeros(0, np.int64)
            return DecisionMoments(Moments(nothing, nothing, np.zeros(0)), nothing)
        # Equal steps from a random start: fewer draws of chance than as many independent ones.
        points = (np.arange(count) + random.random()) * (lives[-1] / count)
        row = np.searchsorted(lives, points, side="right")
        times = self._latest - (lives[row] - points)
        users = users[row]
        after = self._positions_after(users, times)
        return DecisionMoments(Moments(users, after, times), after)

    def _positions_after(self, users: NDArray[np.int64], times: NDArray[np.float64]) -> NDArray[np.int64]:
        """The position of each user's first event later than a time, or one past their last."""
        table = self._table
        is_query = np.repeat([False, True], [len(table.time), len(users)])
        order = np.lexsort((is_query, np.append(table.time, times), np.append(self._user, users)))
        events_before = np.cumsum(~is_query[order])
        positions = np.empty(len(order), np.int64)
        positions[order] = events_before
        return positions[len(table.time) :]

    def seconds_until(self, positions: NDArray[np.int64], moments: DecisionMoments) -> NDArray[np.float64]:
        """How long after each moment its user's next event at one of ``positions`` is; infinite where there is none."""
        table, before = self._table, moments.before
        place = np.searchsorted(positions, moments.after)
        following = np.append(positions, len(table.time))[place]
        there = following < table.starts[before.users + 1]
        time = np.append(table.time, np.inf)[following]
        return np.where(there, time - before.nows, np.inf)
