"""The actions of a program with what is known of each: names, labels and fields, who does them, whom they are for."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from nextbest.domain.actions import Action
from nextbest.domain.assets import EXPIRY, Asset
from nextbest.domain.catalogue import Catalogue
from nextbest.domain.events import DAY_SECONDS
from nextbest.logic.segment_reading import StoredSegments


class Validity(StrEnum):
    """Until when an asset may be recommended: only Amazon Personalize's answers leave out what expired."""

    EXPIRING = "expiring"
    EXPIRED = "expired"
    VALID = "valid"


@dataclass(frozen=True, slots=True)
class ActionCounts:
    """How many users did an action, are recommended it, and have it as their likeliest action.

    ``mean_weight`` is the mean growth weight of the users who are recommended it, 0 where there are none;
    ``expected`` the sum: how many of them are expected to do it within the horizon.
    """

    takers: int = 0
    recommended: int = 0
    likeliest: int = 0
    mean_weight: float = 0.0
    expected: float = 0.0


class ActionStatistics:
    """Counts of every action of a program, from its segments of the kinds growth and base. Raises ArtifactError."""

    def __init__(self, growth: StoredSegments, base: StoredSegments) -> None:
        self.users = len(base.users)
        did = np.flatnonzero(base.sums.counts).tolist()
        self._takers = {base.actions[place]: int(base.sums.counts[place]) for place in did}
        self._recommended = growth.sums
        self._place = {growth.actions[place]: place for place in np.flatnonzero(growth.sums.counts).tolist()}

    @property
    def actions(self) -> Iterable[Action]:
        """Every action that somebody did or is recommended."""
        return dict.fromkeys((*self._takers, *self._place))

    def of(self, action: Action) -> ActionCounts:
        """The counts of an action."""
        takers, place = self._takers.get(action, 0), self._place.get(action)
        if place is None:
            return ActionCounts(takers)
        sums = self._recommended
        recommended, expected = int(sums.counts[place]), float(sums.totals[place])
        return ActionCounts(takers, recommended, int(sums.likeliest[place]), expected / recommended, expected)


@dataclass(frozen=True, slots=True)
class ListedAction:
    """One action. Its event type is empty for an asset of the catalogue that no known action is about."""

    action: Action
    asset: Asset
    validity: Validity
    counts: ActionCounts


SORT_ORDERS = ("takers", "recommended", "likeliest", "expiry", "name")
"""By what a list can be ordered: counts from the largest, expiry from the earliest."""


def list_actions(
    actions: Iterable[Action],
    catalogue: Catalogue,
    statistics: ActionStatistics | None,
    *,
    search: str,
    validity: Validity | None,
    order: str,
    horizon_days: float,
    now: float,
) -> list[ListedAction]:
    """The ``actions``, those of ``statistics`` and the assets of the catalogue, as far as they match.

    ``search`` is part of the event type or of the asset's id, name or a label, upper and lower case alike. Expiring is
    what expires within ``horizon_days`` of ``now`` (seconds since 1970). ``order`` is one of ``SORT_ORDERS``.
    """
    every = dict.fromkeys((*actions, *(statistics.actions if statistics is not None else ())))
    acted_on = {action.asset_id for action in every}
    every |= dict.fromkeys(Action("", asset_id) for asset_id in catalogue.assets if asset_id not in acted_on)
    wanted = search.casefold()
    listed = []
    for action in every:
        asset = catalogue.assets.get(action.asset_id) or Asset(action.asset_id)
        texts = (action.event_type, asset.asset_id, asset.asset_name, *asset.labels)
        if wanted and not any(wanted in text.casefold() for text in texts):
            continue
        own = validity_of(asset, horizon_days=horizon_days, now=now)
        if validity is None or own is validity:
            counts = statistics.of(action) if statistics is not None else ActionCounts()
            listed.append(ListedAction(action, asset, own, counts))
    listed.sort(key=lambda entry: ((entry.asset.asset_name or entry.asset.asset_id).casefold(), entry.action))
    match order:
        case "takers":
            listed.sort(key=lambda entry: -entry.counts.takers)
        case "recommended":
            listed.sort(key=lambda entry: -entry.counts.recommended)
        case "likeliest":
            listed.sort(key=lambda entry: -entry.counts.likeliest)
        case "expiry":
            listed.sort(key=lambda entry: _expires_at(entry.asset))
    return listed


def validity_of(asset: Asset, *, horizon_days: float, now: float) -> Validity:
    """Whether an asset expired, or does so within ``horizon_days``."""
    expires_at = _expires_at(asset)
    if expires_at > now + horizon_days * DAY_SECONDS:
        return Validity.VALID
    return Validity.EXPIRED if expires_at <= now else Validity.EXPIRING


def _expires_at(asset: Asset) -> float:
    """When an asset expires, in seconds since 1970; infinite for never."""
    value = asset.fields.get(EXPIRY)
    return float(value) if isinstance(value, int | float) else math.inf
