"""Timing of repeats: whether an action is due, from its own typical gap (after SLRC, WWW 2019, and TAIW, RecSys 2023).

    gap_i    = exp of the mean log gap between a user's events with i, shrunk to the program's mean
    factor_b = takings observed / takings expected from the personal weight alone, among pairs whose time since last,
               relative to the gap, falls into bin b; shrunk to 1

The factor multiplies the personal weight alone, and is used only where it improves the ranking of the tuning window.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nextbest.domain.history import WINDOW
from nextbest.scoring.kernels import DAY_SECONDS, Kernel
from nextbest.scoring.model import RepeatTiming
from nextbest.training.context import FitContext
from nextbest.training.rows import FitRows
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


def fit_timing(context: FitContext, kernel: Kernel) -> RepeatTiming | None:
    """The timing factor on top of a personal weight with ``kernel``; None where nothing was ever repeated."""
    gaps = typical_gaps_days(context)
    if gaps is None or not context.example_count:
        return None
    takings = context.total(_Takings(kernel, gaps))
    observed, inputs = takings["observed"], takings["inputs"]
    expected = inputs * (observed.sum() / max(inputs.sum(), _LEAST_SUM))
    factors = np.clip((observed + _FACTOR_SHRINKAGE) / (expected + _FACTOR_SHRINKAGE), *_FACTOR_RANGE)
    return RepeatTiming(gaps, LOG2_RATIOS, factors)


def typical_gaps_days(context: FitContext) -> NDArray[np.float32] | None:
    """The typical gap of each action in days, shape (actions,); None where nothing was ever repeated."""
    gaps = context.total(_log_gaps)
    logs, counts = gaps["logs"], gaps["counts"]
    if not counts.any():
        return None
    mean = logs.sum() / counts.sum()
    return np.asarray(np.exp((logs + _GAP_SHRINKAGE * mean) / (counts + _GAP_SHRINKAGE)), np.float32)


def _log_gaps(rows: FitRows) -> dict[str, NDArray[Any]]:
    """The ``logs`` of all gaps of each action, and the ``counts`` of gaps; each of shape (actions,)."""
    table, size = rows.table, len(rows.table.actions)
    keys = table.user * size + table.action
    order = np.lexsort((table.time, keys))
    again = np.diff(keys[order]) == 0
    gaps = np.maximum(np.diff(table.time[order])[again] / DAY_SECONDS, _LEAST_DAYS)
    action = table.action[order][1:][again]
    logs = np.bincount(action, np.log(gaps), minlength=size)
    return {"logs": logs.astype(np.float64), "counts": np.bincount(action, minlength=size)}


@dataclass(frozen=True, slots=True, eq=False)
class _Takings:
    """By the time since last relative to the gap: the personal weights (``inputs``) of the examples, and how many of
    the actions were taken (``observed``); each of shape (bins,)."""

    kernel: Kernel
    gaps_days: NDArray[np.float32]

    def __call__(self, rows: FitRows) -> dict[str, NDArray[Any]]:
        x = rows.examples.inputs(self.kernel)
        taken = np.isin(_keys(x), _keys(rows.targets))
        since = np.maximum(since_days(rows.table, rows.examples.moments, x), _LEAST_DAYS)
        ratios = np.log2(since / self.gaps_days[x.indices])
        bins = np.clip(np.rint(ratios - LOG2_RATIOS[0]), 0, len(LOG2_RATIOS) - 1).astype(np.int64)
        inputs = np.bincount(bins, x.data, minlength=len(LOG2_RATIOS)).astype(np.float64)
        return {"observed": np.bincount(bins[taken], minlength=len(LOG2_RATIOS)), "inputs": inputs}


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
