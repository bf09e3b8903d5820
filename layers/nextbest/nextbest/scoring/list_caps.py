"""Caps of a list: at most so many actions of an event type (the program's ``most_per_list``).

A list within its caps is that of before without the weakest actions of a capped type, filled with what is weaker.
Imported only where a program has caps.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from nextbest.domain.programs import ListCap
from nextbest.scoring.model import Model
from nextbest.scoring.selection import Key, strongest
from nextbest.scoring.unknown import UnknownActions


def strongest_of_types(
    model: Model, unknown: UnknownActions | None, *keys: Key, at: NDArray[np.int64] | None = None
) -> Key:
    """The first of ``keys`` (n,), -inf for what cannot be in a list: weaker than as many of its type as a list has.

    Entries are at the places ``at`` (n,) in the scores, or at 0 to n - 1. Keys order as in ``selection.strongest``.
    """
    first = keys[0].copy()
    for cap in model.most_per_list:
        entries = _places(model, unknown, cap)
        if at is not None:
            entries = np.flatnonzero(np.isin(at, entries))
        best = entries[strongest(cap.most, *(key[entries] for key in keys))]
        values = first[best]
        first[entries] = -np.inf
        first[best] = values
    return first


def within_caps(model: Model, unknown: UnknownActions | None, places: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of ``places`` (n,) in the scores, best first, are in the list."""
    is_listed = np.ones(places.shape[0], np.bool_)
    for cap in model.most_per_list:
        is_listed &= is_within(np.isin(places, _places(model, unknown, cap)), cap.most)
    return is_listed


def is_within(is_capped: NDArray[np.bool_], most: int) -> NDArray[np.bool_]:
    """What stays of a list, best first, when of those that ``is_capped`` (n,) marks only the first ``most`` do."""
    return ~is_capped | (np.cumsum(is_capped) <= most)


def event_types_within(event_types: Sequence[str], caps: Iterable[ListCap]) -> NDArray[np.bool_]:
    """What stays of a list of actions of these event types, best first."""
    types = np.array(event_types, np.object_)
    is_listed = np.ones(len(event_types), np.bool_)
    for cap in caps:
        is_listed &= is_within(types == cap.event_type, cap.most)
    return is_listed


def _places(model: Model, unknown: UnknownActions | None, cap: ListCap) -> NDArray[np.int64]:
    """Places in the scores of the actions of a capped type."""
    places = model.places_of((cap.event_type,))
    return places if unknown is None else np.concatenate([places, unknown.places_of((cap.event_type,))])
