"""Timing of repeats: whether an action is due, from its own typical gap (after SLRC, WWW 2019, and TAIW, RecSys 2023).

    gap_i    = exp of the mean log gap between a user's events with i, shrunk to the program's mean
    factor_b = takings observed / takings expected from the personal weight alone, among pairs whose time since last,
               relative to the gap, falls into bin b; shrunk to 1

The factor multiplies the personal weight alone, and is used only where it improves the ranking of the tuning window.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nextbest.domain.history import WINDOW
from nextbest.scoring.kernels import DAY_SECONDS, Kernel
from nextbest.scoring.model import RepeatTiming
from nextbest.training.examples import Examples
from nextbest.training.table import EventTable, Moments, expand, inputs_of

LOG2_RATIOS = np.arange(-5.0, 5.0)
"""Bins of the time since last, as powers of two of the gap."""
_GAP_SHRINKAGE = 5.0
"""Gaps of the program's mean that are added to an action's own."""
_FACTOR_SHRINKAGE = 20.0
"""Takings, observed and expected alike, that are added to each bin."""
_FACTOR_RANGE = (0.1, 5.0)
"""A factor beyond it is an accident of few events."""
_LEAST_DAYS = 1e-3
"""Shorter times, about a minute, count as this: they have no meaning and zero no logarithm."""
_LEAST_SUM = 1e-12
"""Keeps the division finite where every input has decayed to nothing."""


def fit_timing(table: EventTable, examples: Examples, kernel: Kernel) -> RepeatTiming | None:
    """The timing factor on top of a personal weight with ``kernel``; None where nothing was ever repeated."""
    gaps = typical_gaps_days(table)
    moments = examples.moments
    if gaps is None or not len(moments):
        return None
    x = inputs_of(table, moments, kernel)
    taken = np.isin(_keys(x), _keys(examples.targets))
    ratios = np.log2(np.maximum(since_days(table, moments, x), _LEAST_DAYS) / gaps[x.indices])
    bins = np.clip(np.rint(ratios - LOG2_RATIOS[0]), 0, len(LOG2_RATIOS) - 1).astype(np.int64)
    rate = float(taken.sum()) / max(float(x.data.sum()), _LEAST_SUM)
    expected = np.bincount(bins, x.data, minlength=len(LOG2_RATIOS)) * rate
    observed = np.bincount(bins, taken, minlength=len(LOG2_RATIOS))
    factors = np.clip((observed + _FACTOR_SHRINKAGE) / (expected + _FACTOR_SHRINKAGE), *_FACTOR_RANGE)
    return RepeatTiming(gaps.astype(np.float32), LOG2_RATIOS, factors)


def typical_gaps_days(table: EventTable) -> NDArray[np.float64] | None:
    """The typical gap of each action in days, shape (actions,); None where nothing was ever repeated."""
    keys = table.user * len(table.actions) + table.action
    order = np.lexsort((table.time, keys))
    again = np.diff(keys[order]) == 0
    gaps = np.maximum(np.diff(table.time[order])[again] / DAY_SECONDS, _LEAST_DAYS)
    if not len(gaps):
        return None
    action = table.action[order][1:][again]
    logs = np.log(gaps)
    sums = np.bincount(action, logs, minlength=len(table.actions))
    counts = np.bincount(action, minlength=len(table.actions))
    shrunk: NDArray[np.float64] = np.exp((sums + _GAP_SHRINKAGE * logs.mean()) / (counts + _GAP_SHRINKAGE))
    return shrunk


def timed_inputs(table: EventTable, moments: Moments, kernel: Kernel, timing: RepeatTiming) -> sparse.csr_array:
    """``inputs_of`` with every entry times its factor."""
    x = inputs_of(table, moments, kernel)
    x.data *= timing.factors_of(timing.gap_days[x.indices], since_days(table, moments, x)).astype(np.float32)
    return x


def since_days(table: EventTable, moments: Moments, x: sparse.csr_array) -> NDArray[np.float64]:
    """Days since the last event of each entry of ``x``, in the order of its data."""
    positions, rows = expand(np.maximum(table.starts[moments.users], moments.ends - WINDOW), moments.ends)
    entries = np.searchsorted(_keys(x), rows * x.shape[1] + table.action[positions])
    last = np.zeros(x.nnz)
    last[entries] = table.time[positions]  # events ascend in time: the last write of an entry is its newest
    nows = np.repeat(moments.nows, np.diff(x.indptr))
    days: NDArray[np.float64] = np.maximum(nows - last, 0.0) / DAY_SECONDS
    return days


def _keys(x: sparse.csr_array) -> NDArray[np.int64]:
    """Row and column of each entry as one ascending number."""
    x.sort_indices()
    return np.repeat(np.arange(x.shape[0]), np.diff(x.indptr)) * x.shape[1] + x.indices
