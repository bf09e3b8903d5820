"""Typical gaps and how due an action is, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from nextbest.domain.actions import Action
from nextbest.scoring.kernels import DAY_SECONDS, Kernel
from nextbest.training.context import FitContext
from nextbest.training.partitions import OnePartition
from nextbest.training.table import EventTable, Moments, inputs_of
from nextbest.training.timing import fit_timing, since_days, typical_gaps_days


def table_of(events: list[tuple[int, int, float]]) -> EventTable:
    """Events as (user, action, day)."""
    users, actions, days = (np.array(column) for column in zip(*events, strict=True))
    names = tuple(Action("do", f"a{number}") for number in range(int(actions.max()) + 1))
    return EventTable.from_codes(
        [f"u{number}" for number in range(int(users.max()) + 1)], names, users, actions, days * DAY_SECONDS
    )


def context_of(table: EventTable) -> FitContext:
    return FitContext(OnePartition(table), float(table.time.max()), horizon_days=2.0, cells=1_000_000)


def test_gaps_are_shrunk_to_the_programs_mean() -> None:
    # Given action 0 repeated after 4 days, action 1 after 16 days, and action 2 never
    gaps = typical_gaps_days(context_of(table_of([(0, 0, 0), (0, 0, 4), (0, 1, 0), (0, 1, 16), (0, 2, 3)])))
    # Then the program's geometric mean is 8 days, and one gap of its own counts 1 against 5
    assert gaps is not None
    assert gaps == pytest.approx([8 * 0.5 ** (1 / 6), 8 * 2 ** (1 / 6), 8.0])


def test_without_repeats_there_is_no_gap() -> None:
    assert typical_gaps_days(context_of(table_of([(0, 0, 0), (0, 1, 4)]))) is None


def test_time_since_last_counts_from_the_newest_event() -> None:
    table = table_of([(0, 0, 0), (0, 0, 4), (0, 1, 1)])
    moments = Moments.at(table, np.array([0]), 10 * DAY_SECONDS)
    x = inputs_of(table, moments, Kernel())
    assert since_days(table, moments, x) == pytest.approx([6.0, 9.0])


def test_what_is_due_gets_a_larger_factor_than_what_was_just_done() -> None:
    # Given 40 users who take action 0 every 8 days and action 1 on the days between
    events = [(user, 0, 8.0 * week) for user in range(40) for week in range(6)]
    events += [(user, 1, 8.0 * week + 3.0) for user in range(40) for week in range(6)]
    timing = fit_timing(context_of(table_of(events)), Kernel("time", "exponential", 30.0))
    # Then an action is three times as likely a whole gap after its last time as a third of a gap after it
    assert timing is not None
    early, due = np.interp([-1.4, 0.0], timing.log2_ratios, timing.factors)
    assert due > 3 * early
