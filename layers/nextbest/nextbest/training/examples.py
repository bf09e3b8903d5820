"""Training examples: moments in the past of each user, with the actions that followed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nextbest.scoring.kernels import DAY_SECONDS
from nextbest.training.table import EventTable, Moments, expand


@dataclass(frozen=True, slots=True)
class Examples:
    """``moments`` just before a new event, and ``targets`` (rows, actions): 1 for each action that followed."""

    moments: Moments
    targets: sparse.csr_array


def examples_of(table: EventTable, *, horizon_days: float, moments_per_user: int, targets_per_moment: int) -> Examples:
    """Up to ``moments_per_user`` moments of each user, spread evenly over their events, always including the last.

    A moment stands just before the first event of a new time (never inside a basket), at the time of that event, with
    at least one event before it. Its targets are the next ``targets_per_moment`` events within the horizon, and the
    whole of the first basket.
    """
    size = len(table.time)
    positions = np.arange(size)
    opens = np.ones(size, np.bool_)
    opens[1:] = table.tie_end[1:] != table.tie_end[:-1]
    user = table.user
    opens &= positions > table.starts[user]
    candidates = positions[opens]
    chosen = candidates[spread(user[candidates], moments_per_user)]
    users = user[chosen]
    limit = np.minimum(table.starts[users + 1], chosen + targets_per_moment)
    ends = np.maximum(_within(table, chosen, limit, horizon_days), table.tie_end[chosen])
    return Examples(Moments(users, chosen, table.time[chosen]), targets_of(table, chosen, ends))


def targets_of(table: EventTable, begins: NDArray[np.int64], ends: NDArray[np.int64]) -> sparse.csr_array:
    """Distinct actions of each range of events as ones: float32, shape (rows, actions)."""
    positions, rows = expand(begins, ends)
    shape = (len(begins), len(table.actions))
    targets = sparse.csr_array(
        sparse.coo_array((np.ones(len(rows), np.float32), (rows, table.action[positions])), shape=shape)
    )
    targets.data[:] = 1.0
    return targets


def seen_of(table: EventTable, moments: Moments) -> NDArray[np.bool_]:
    """What each user had ever done at ``moments``, over their whole history; shape (rows, actions)."""
    return targets_of(table, table.starts[moments.users], moments.ends).toarray() > 0


def without_seen(targets: sparse.csr_array, inputs: sparse.csr_array) -> sparse.csr_array:
    """``targets`` without what the user had done before: the discoveries."""
    seen = inputs.copy()
    seen.data = np.ones_like(seen.data)
    discoveries = sparse.csr_array(targets - targets.multiply(seen))
    discoveries.eliminate_zeros()
    return discoveries


def spread(owners: NDArray[np.int64], limit: int) -> NDArray[np.int64]:
    """Indices of at most ``limit`` entries of each owner (owners sorted), evenly spread, always including the last."""
    begins = np.flatnonzero(np.diff(owners, prepend=-1))
    counts = np.diff(np.append(begins, len(owners)))
    place = np.arange(len(owners)) - np.repeat(begins, counts)
    count = np.repeat(counts, counts)
    from_last = count - 1 - place
    # The k-th chosen entry stands k · count / limit from the end: it is chosen where that multiple reaches a new whole
    # number.
    keep = (count <= limit) | ((from_last * limit) // count != ((from_last - 1) * limit) // count)
    return np.flatnonzero(keep)


def _within(
    table: EventTable, begins: NDArray[np.int64], limits: NDArray[np.int64], horizon_days: float
) -> NDArray[np.int64]:
    """For each range ``begins:limits``, one past its last event within ``horizon_days`` of its first."""
    positions, rows = expand(begins, limits)
    inside = table.time[positions] <= table.time[begins][rows] + horizon_days * DAY_SECONDS
    return begins + np.bincount(rows, inside, minlength=len(begins)).astype(np.int64)
