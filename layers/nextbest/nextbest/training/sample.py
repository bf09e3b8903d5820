"""The users that a training is tuned on where there are more events than one process holds comfortably."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from nextbest.training.table import EventTable

SAMPLE_EVENTS = 1_000_000
"""About as many events as one process tunes on with 2 to 3 GB (``docs/scale.md``)."""
_HASH_BYTES = 8


def sample_share(event_count: int) -> float:
    """The share of users that have about ``SAMPLE_EVENTS`` of ``event_count`` events; 1 where that is everybody."""
    return min(1.0, SAMPLE_EVENTS / max(event_count, 1))


def sampled(table: EventTable, share: float, seed: int) -> EventTable:
    """The events of a ``share`` (0..1) of the users of ``table``, with the actions of all of them."""
    if share >= 1.0:
        return table
    chosen = in_sample(table.user_ids, share, seed)
    rows = chosen[table.user]
    user = (np.cumsum(chosen) - 1)[table.user[rows]]
    user_ids = [user_id for user_id, is_chosen in zip(table.user_ids, chosen.tolist(), strict=True) if is_chosen]
    return EventTable.from_codes(user_ids, table.actions, user, table.action[rows], table.time[rows])


def in_sample(user_ids: Sequence[str], share: float, seed: int) -> NDArray[np.bool_]:
    """Whether each user is in the sample of a ``share`` (0..1) of all users; shape (users,).

    It is drawn by a hash of the seed and the user id: the same users, however they are divided into partitions.
    """
    if share >= 1.0:
        return np.ones(len(user_ids), np.bool_)
    limit = int(share * 2 ** (8 * _HASH_BYTES))
    start = blake2b(str(seed).encode() + b"/", digest_size=_HASH_BYTES)

    def hashed(user_id: str) -> int:
        value = start.copy()
        value.update(user_id.encode())
        return int.from_bytes(value.digest())

    return np.fromiter((hashed(user_id) < limit for user_id in user_ids), np.bool_, len(user_ids))
