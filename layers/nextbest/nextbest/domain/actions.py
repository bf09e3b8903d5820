"""Actions: what users take, and what is recommended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Action(NamedTuple):
    """The pair (event type, asset). Equal to the plain tuple, so either can be a key."""

    event_type: str
    asset_id: str


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
