"""Training examples: moments in the past of each user, with the actions that followed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nextbest.scoring.kernels import DAY_SECONDS
from nextbest.training.table import EventTable, Moments, expand

TARGETS_PER_MOMENT = 10
"""As many as a list of recommendations usually holds."""


def example_moments(table: EventTable, moments_per_user: int) -> Moments:
    """Up to ``moments_per_user`` moments of each user, spread evenly over their events, always including the last.

    A moment stands just before the first event of a new time (never inside a basket), at the time of that event, with
    at least one event before it.
    """
    size = len(table.time)
    positions = np.arange(size)
    opens = np.ones(size, np.bool_)
    opens[1:] = table.tie_end[1:] != table.tie_end[:-1]
    user = table.user
    opens &= positions > table.starts[user]
    candidates = positions[opens]
    chosen = candidates[spread(user[candidates], moments_per_user)]
    return Moments(user[chosen], chosen, table.time[chosen])


def followed_by(table: EventTable, moments: Moments, horizon_days: float) -> sparse.csr_array:
    """What followed each of ``moments``, which stand before an event each: 1 for each of the next
    ``TARGETS_PER_MOMENT`` events within the horizon, and the whole of the first basket; shape (rows, actions)."""
    begins = moments.ends
    limit = np.minimum(table.starts[moments.users + 1], begins + TARGETS_PER_MOMENT)
    ends = np.maximum(_within(table, begins, limit, horizon_days), table.tie_end[begins])
    return targets_of(table, begins, ends)


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
