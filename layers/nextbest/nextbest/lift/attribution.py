"""Outcomes credited to decisions: to the last one, to any, and to none: intention to treat.

    last decision        an outcome counts for the user's latest decision that showed its action
    any decision         it counts for each of the user's decisions that showed its action
    intention to treat   it counts for the user, whatever was shown: from their first decision in the experiment on

All three look at outcomes within the horizon. The first two describe; only the third compares variants without bias,
since it depends on nothing that a variant can change (Montori and Guyatt 2001, "Intention-to-treat principle"; Gupta et
al. 2018, "The Anatomy of a Large-Scale Experimentation Platform", on users as the unit of analysis).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nextbest.lift.windows import seconds_of

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

ANY_ACTION = -1
"""The action of an outcome that any decision may be credited with, such as a purchase after a recommended view."""
NOT_NAMED = -1
"""The recommendation of an outcome that names none."""
NO_DECISION = -1


@dataclass(frozen=True, slots=True)
class DecisionColumns:
    """Decisions: ``user`` (decisions,) below the number of users, ``time`` (decisions,) in seconds, ``recommendation``
    (decisions,) the index of the recommendation id, and what was shown: decision i showed the actions
    ``shown[starts[i]:starts[i + 1]]``, with ``starts`` (decisions + 1,) and ``shown`` (starts[-1],) action indices.

    Raises ``ValueError`` where columns do not fit together, or a number is not finite or an index below zero.
    """

    user: Integers
    time: Floats
    recommendation: Integers
    starts: Integers
    shown: Integers

    def __post_init__(self) -> None:
        rows = len(self.user)
        if not len(self.time) == len(self.recommendation) == len(self.starts) - 1 == rows:
            raise ValueError("user, time and recommendation need one row a decision, starts one more")
        if self.starts[0] != 0 or self.starts[-1] != len(self.shown) or np.any(np.diff(self.starts) < 0):
            raise ValueError("starts has to rise from 0 to the number of shown actions")
        if not np.isfinite(self.time).all():
            raise ValueError("time has to be finite")
        if any(len(column) and column.min() < 0 for column in (self.user, self.recommendation, self.shown)):
            raise ValueError("user, recommendation and shown are indices from 0")

    def __len__(self) -> int:
        return len(self.user)


@dataclass(frozen=True, slots=True)
class OutcomeColumns:
    """Outcomes: ``user``, ``time`` in seconds, ``action`` (an index, or ``ANY_ACTION``), ``value``, and the
    ``recommendation`` that it names (an index, or ``NOT_NAMED``); all (outcomes,).

    Raises ``ValueError`` where columns differ in length, or a time or value is not finite.
    """

    user: Integers
    time: Floats
    action: Integers
    value: Floats
    recommendation: Integers

    def __post_init__(self) -> None:
        if not len(self.user) == len(self.time) == len(self.action) == len(self.value) == len(self.recommendation):
            raise ValueError("user, time, action, value and recommendation need one row an outcome")
        if not (np.isfinite(self.time).all() and np.isfinite(self.value).all()):
            raise ValueError("time and value have to be finite")
        if len(self.user) and self.user.min() < 0:
            raise ValueError("user is an index from 0")

    def __len__(self) -> int:
        return len(self.user)


@dataclass(frozen=True, slots=True)
class Attribution:
    """Outcomes credited to decisions.

    For each outcome, ``last`` (outcomes,) is the decision it is credited to, or ``NO_DECISION``, and ``decisions``
    (outcomes,) the number of decisions that may be credited. For each decision, ``last_count`` and ``last_value``
    (decisions,) sum the outcomes of which it is the last, ``any_count`` and ``any_value`` all that it may be credited
    with. ``shown_count`` (shown,) counts for each shown action the outcomes with just that action that followed.
    """

    last: Integers
    decisions: Integers
    last_count: Integers
    last_value: Floats
    any_count: Integers
    any_value: Floats
    shown_count: Integers


def attribute(decisions: DecisionColumns, outcomes: OutcomeColumns, horizon_days: float) -> Attribution:
    """Credit each outcome to the decisions of its user at most ``horizon_days`` before it, or in the same second.

    A decision may be credited if it showed the outcome's action; for ``ANY_ACTION``, whatever it showed. An outcome
    that names a recommendation of its user within the horizon is credited to that one alone, whatever it showed; a name
    that does not fit is ignored. ``shown_count`` is about what came true, so names do not matter there. Raises
    ``ValueError`` unless the horizon is above zero.
    """
    horizon = seconds_of(horizon_days)
    last = np.full(len(outcomes), NO_DECISION, np.int64)
    number = np.zeros(len(outcomes), np.int64)
    any_count, any_value = np.zeros(len(decisions), np.int64), np.zeros(len(decisions))
    shown_count = np.zeros(len(decisions.shown), np.int64)

    def credit(rows: Integers, keys: Integers, decision: Integers, row_keys: Integers) -> Integers:
        """Credit the outcomes ``rows`` with these ``keys`` to decisions with the same keys; returns their counts."""
        matches = _match(row_keys, decisions.time[decision], keys, outcomes.time[rows], outcomes.value[rows], horizon)
        credited = matches.last >= 0
        last[rows[credited]] = decision[matches.last[credited]]
        number[rows] = matches.number
        np.add.at(any_count, decision, matches.count)
        np.add.at(any_value, decision, matches.value)
        return matches.count

    named, decision = _named(decisions, outcomes, horizon)
    last[named], number[named] = decision, 1
    np.add.at(any_count, decision, 1)
    np.add.at(any_value, decision, outcomes.value[named])
    is_named = np.zeros(len(outcomes), np.bool_)
    is_named[named] = True

    of_any = np.flatnonzero((outcomes.action < 0) & ~is_named)
    credit(of_any, outcomes.user[of_any], np.arange(len(decisions)), decisions.user)

    of_action = np.flatnonzero(outcomes.action >= 0)
    actions = int(max(decisions.shown.max(initial=-1), outcomes.action.max(initial=-1))) + 1
    keys = outcomes.user[of_action] * actions + outcomes.action[of_action]
    row_of_shown = np.repeat(np.arange(len(decisions)), np.diff(decisions.starts))
    keys_of_shown = decisions.user[row_of_shown] * actions + decisions.shown
    # Most of what is shown is never taken: what no outcome is about need not be sorted.
    wanted = np.flatnonzero(_contains(np.unique(keys), keys_of_shown))
    # A list that shows an action twice is one decision.
    _, first, place = np.unique(
        row_of_shown[wanted] * actions + decisions.shown[wanted], return_index=True, return_inverse=True
    )
    pairs = wanted[first]
    showing, keys_of_showing = row_of_shown[pairs], keys_of_shown[pairs]
    names = is_named[of_action]
    came_true = credit(of_action[~names], keys[~names], showing, keys_of_showing)
    naming, times = of_action[names], decisions.time[showing]
    of_naming = _match(keys_of_showing, times, keys[names], outcomes.time[naming], outcomes.value[naming], horizon)
    shown_count[wanted] = (came_true + of_naming.count)[place]

    credited = last >= 0
    return Attribution(
        last=last,
        decisions=number,
        last_count=np.bincount(last[credited], minlength=len(decisions)).astype(np.int64),
        last_value=np.asarray(
            np.bincount(last[credited], outcomes.value[credited], minlength=len(decisions)), np.float64
        ),
        any_count=any_count,
        any_value=any_value,
        shown_count=shown_count,
    )


@dataclass(frozen=True, slots=True)
class _Matches:
    """For each outcome the ``last`` row of its key within the horizon (or -1) and the ``number`` of them; for each row
    the ``count`` and ``value`` of the outcomes that it precedes."""

    last: Integers
    number: Integers
    count: Integers
    value: Floats


def _match(
    keys: Integers, times: Floats, outcome_keys: Integers, outcome_times: Floats, values: Floats, horizon: float
) -> _Matches:
    order = np.lexsort((times, keys))
    instants, ranks = np.unique(times, return_inverse=True)
    size = len(instants) + 1
    sorted_rows = keys[order] * size + ranks[order]
    # The first instant that is too late, and the first that is early enough
    end = np.searchsorted(sorted_rows, outcome_keys * size + np.searchsorted(instants, outcome_times, side="right"))
    begin = np.searchsorted(sorted_rows, outcome_keys * size + np.searchsorted(instants, outcome_times - horizon))
    number = end - begin
    last = np.full(len(outcome_keys), -1, np.int64)
    last[number > 0] = order[end[number > 0] - 1]
    count, value = np.zeros(len(keys), np.int64), np.zeros(len(keys))
    count[order] = _covered(begin, end, np.ones(len(values), np.int64), len(keys)).astype(np.int64)
    value[order] = _covered(begin, end, values, len(keys))
    # A sum that goes up and down again does not come back to zero exactly.
    value[count == 0] = 0.0
    return _Matches(last, number, count, value)


def _covered(begin: Integers, end: Integers, weights: Integers | Floats, size: int) -> Floats:
    """For each of ``size`` places the sum of the weights of the intervals [begin, end) that it is in."""
    change = np.bincount(begin, weights, size + 1) - np.bincount(end, weights, size + 1)
    return np.asarray(np.cumsum(change)[:size], np.float64)


def _named(decisions: DecisionColumns, outcomes: OutcomeColumns, horizon: float) -> tuple[Integers, Integers]:
    """The outcomes that name a decision of their user within the horizon, and that decision: its latest answer where
    an id was answered more than once."""
    naming = np.flatnonzero(outcomes.recommendation >= 0)
    order = np.lexsort((decisions.time, decisions.recommendation))
    place = np.searchsorted(decisions.recommendation[order], outcomes.recommendation[naming], side="right") - 1
    if not len(order):
        return naming[:0], naming[:0]
    decision = order[np.maximum(place, 0)]
    waited = outcomes.time[naming] - decisions.time[decision]
    fits = (
        (decisions.recommendation[decision] == outcomes.recommendation[naming])
        & (decisions.user[decision] == outcomes.user[naming])
        & (waited >= 0.0)
        & (waited <= horizon)
    )
    return naming[fits], decision[fits]


def _contains(ascending: Integers, values: Integers) -> NDArray[np.bool_]:
    if not len(ascending):
        return np.zeros(len(values), np.bool_)
    place = np.minimum(np.searchsorted(ascending, values), len(ascending) - 1)
    return np.asarray(ascending[place] == values)
