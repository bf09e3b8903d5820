"""Selection: the best few of many, without sorting them all, however many are equal.

``np.partition`` alone is slow where most values are equal and few are above them: 16 ms for 100,000 scores. Here the
maxima of strided slices give a bound first, and only what is above it is partitioned, from the high end, where equal
values cost nothing. What was measured is in ``docs/scoring.md``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_SLICED_FROM = 16_384
"""With fewer values a bound costs more than it saves."""
_MOST_VALUES_PER_SLICE = 64

Key = NDArray[np.float64]


def strongest(limit: int, *keys: Key) -> NDArray[np.int64]:
    """Places of the ``limit`` best, best first: by the first of ``keys`` descending, equal ones by the next, and so on.

    Keys have shape (n,). Places that are -inf in the first key are left out; those equal in every key keep their order.
    """
    if limit < 1:
        return np.zeros(0, np.int64)
    first = keys[0]
    if limit >= first.shape[0]:
        places = (first > -np.inf).nonzero()[0]
    else:
        maxima = _maxima(first, limit)
        bound = -np.inf if maxima is None else kth_largest(maxima, limit)
        if maxima is not None and (candidates := _candidates(first, maxima, bound, 2 * limit)) is not None:
            # Hardly more than the best reach the bound: to sort them is faster than to select again.
            order = np.lexsort([-key.take(candidates) for key in reversed(keys)])
            return candidates[order[:limit]]
        threshold = _kth_above(bound, first, limit)
        reaching = first >= threshold if threshold > -np.inf else first > threshold
        tied = np.count_nonzero(reaching) > limit
        places = _tied(limit, first, threshold, keys[1:]) if tied else reaching.nonzero()[0]
    return places[np.lexsort([-key[places] for key in reversed(keys)])]


def _candidates(values: Key, maxima: Key, bound: float, most_slices: int) -> NDArray[np.int64] | None:
    """Places of all ``values`` that reach ``bound``, ascending, looked for in the slices with ``maxima`` that do; None
    where these are more than ``most_slices``: many values are equal."""
    strong = (maxima >= bound).nonzero()[0]
    if strong.shape[0] > most_slices:
        return None
    slices = maxima.shape[0]
    sliced = values.shape[0] // slices * slices
    rows, columns = (values[:sliced].reshape(-1, slices).take(strong, axis=1) >= bound).nonzero()
    rest = (values[sliced:] >= bound).nonzero()[0]
    return np.concatenate([rows * slices + strong[columns], rest + sliced])


def _tied(limit: int, first: Key, threshold: float, others: tuple[Key, ...]) -> NDArray[np.int64]:
    """What ``others`` leave of the places that reach ``threshold`` in the ``first`` key: too many do."""
    chosen = [np.flatnonzero(first > threshold)]
    tied = np.flatnonzero(first == threshold)  # what the keys so far cannot tell apart
    for key in others:
        limit -= chosen[-1].shape[0]
        values = key if tied.shape[0] == key.shape[0] else key[tied]
        threshold = kth_largest(values, limit)
        chosen.append(tied[np.flatnonzero(values > threshold)])
        tied = tied[np.flatnonzero(values == threshold)]
    limit -= chosen[-1].shape[0]
    return np.sort(np.concatenate([*chosen, tied[:limit]]))


def kth_largest(values: Key, k: int) -> float:
    """The ``k``-th largest of ``values`` (n,), counted from 1 up to n."""
    maxima = _maxima(values, k)
    return _kth_above(-np.inf if maxima is None else kth_largest(maxima, k), values, k)


def _kth_above(bound: float, values: Key, k: int) -> float:
    """The same, where at least ``k`` of ``values`` reach ``bound``, and few are above it."""
    if bound > -np.inf:
        values = values[values > bound]
        if values.shape[0] < k:
            return bound
    return float(-np.partition(-values, k - 1)[k - 1])


def _maxima(values: Key, k: int) -> Key | None:
    """The maxima of strided slices of ``values``, several times ``k`` of them: slice s holds all places s + i · slices.
    The last places, too few for all slices, are in none. None where there are not enough values."""
    size = values.shape[0]
    per_slice = min(_MOST_VALUES_PER_SLICE, size // (4 * k))
    if size < _SLICED_FROM or per_slice < 2:
        return None
    slices = size // per_slice
    maxima: Key = values[: slices * per_slice].reshape(per_slice, slices).max(axis=0)
    return maxima
