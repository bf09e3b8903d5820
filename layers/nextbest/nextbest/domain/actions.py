"""Actions: what users take, and what is recommended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


class Action(NamedTuple):
    """The pair (event type, asset). Equal to the plain tuple, so either can be a key."""

    event_type: str
    asset_id: str


@dataclass(frozen=True, slots=True)
class Narrowing:
    """Which actions one request is about; what is empty narrows nothing.

    ``event_types`` are all there are to be, ``exclude_event_types`` are left out. ``filter`` is the name of a filter of
    the program, or an expression; ``filter_values`` are the values of its parameters.
    """

    event_types: tuple[str, ...] = ()
    exclude_event_types: tuple[str, ...] = ()
    filter: str = ""
    filter_values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recommendation:
    """One recommended action for one user.

    ``growth_weight`` is the calibrated probability (0..1) that the user takes the action within the program's horizon;
    ``base_weight`` the half-life sum of the user's own events with it (0 when never taken); ``score`` the uncalibrated
    model score, which orders the list.
    """

    event_type: str
    asset_id: str
    growth_weight: float
    base_weight: float
    score: float
