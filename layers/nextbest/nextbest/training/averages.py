"""The inputs of the average user, for explanations (``scoring.averages``)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from nextbest.scoring.model import Mode, Term
from nextbest.training.table import EventTable, Moments, inputs_of
from nextbest.training.timing import timed_inputs

_MOST_USERS = 20_000
"""Of more users an even sample is as good: a mean of so many is off by less than a hundredth of the inputs' spread."""


def with_averages(mode: Mode, table: EventTable, now: float) -> Mode:
    """``mode`` with the mean input of each action in each term, over all users at ``now`` (seconds)."""
    users = np.flatnonzero(table.starts[1:] > table.starts[:-1])
    if not len(users):
        return mode
    users = users[:: -(-len(users) // _MOST_USERS)]
    moments = Moments.at(table, users, now)
    return replace(mode, terms=tuple(replace(term, mean_input=_mean(term, table, moments)) for term in mode.terms))


def _mean(term: Term, table: EventTable, moments: Moments) -> NDArray[np.float32]:
    if term.timing is None:
        inputs = inputs_of(table, moments, term.kernel)
    else:
        inputs = timed_inputs(table, moments, term.kernel, term.timing)
    totals = np.asarray(inputs.sum(axis=0), np.float64).ravel()
    return (totals / len(moments)).astype(np.float32)
