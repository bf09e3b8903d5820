"""Rests: which actions a program's rest rules keep from a user for a while, by the recent events of the history.

Only the events that a history keeps one by one count (``domain.history.WINDOW``): what was folded into sums has no
times. Imported only where a program has rest rules.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nextbest.domain.actions import Action
from nextbest.domain.events import DAY_US, to_microseconds
from nextbest.domain.history import History
from nextbest.domain.programs import RestRule
from nextbest.scoring.model import Model
from nextbest.scoring.unknown import UnknownActions


class Rest(NamedTuple):
    """How long an action rests, in microseconds since 1970, and the rule that says so."""

    until_us: int
    rule: RestRule


class _Group(NamedTuple):
    """The latest events with an asset that make actions rest: the time of the first of them, and when the rest ends."""

    first_us: int
    until_us: int


@dataclass(frozen=True, slots=True)
class Rests:
    """What rests for a user at one time.

    ``groups`` has, for each rule that makes anything rest, its groups of events by asset; ``last_us`` when the user
    last did each action with one of these assets.
    """

    groups: Sequence[tuple[RestRule, Mapping[str, _Group]]]
    last_us: Mapping[Action, int]

    @classmethod
    def of(cls, rules: Iterable[RestRule], history: History, *, now: float) -> Rests:
        """What rests at ``now`` (seconds since 1970)."""
        now_us = to_microseconds(now)
        groups = [(rule, by_asset) for rule in rules if (by_asset := _groups(rule, history, now_us))]
        assets = {asset_id for _, by_asset in groups for asset_id in by_asset}
        if not assets:
            return cls((), {})
        last = np.full(len(history.actions), -1, np.int64)
        last[history.action_index] = history.timestamps_us  # ascending, so the last write of an action is its newest
        times = zip(history.actions, last.tolist(), strict=True)
        return cls(groups, {action: time_us for action, time_us in times if action.asset_id in assets})

    @property
    def asset_ids(self) -> frozenset[str]:
        """The assets with which something may rest."""
        return frozenset(asset_id for _, by_asset in self.groups for asset_id in by_asset)

    def rest_of(self, action: Action) -> Rest | None:
        """The longest rest of an action; None for one that does not rest."""
        longest = None
        for rule, by_asset in self.groups:
            group = by_asset.get(action.asset_id)
            if group is None or not rule.is_for(action.event_type):
                continue
            # Events count that came after the user did it, and an earlier group began no later than the latest.
            if group.first_us > self.last_us.get(action, -1) and (longest is None or group.until_us > longest.until_us):
                longest = Rest(group.until_us, rule)
        return longest

    def places(self, model: Model, unknown: UnknownActions | None) -> NDArray[np.int64]:
        """Places in the scores of what rests."""
        possible = (Action(event_type, asset_id) for asset_id in self.asset_ids for event_type in model.type_index)
        places = [
            place
            for action in possible
            if (place := model.place_of(action)) is not None and self.rest_of(action) is not None
        ]
        if unknown is not None:
            numbered = enumerate(unknown.actions, unknown.first)
            places += [place for place, action in numbered if self.rest_of(action) is not None]
        return np.array(places, np.int64)


def _groups(rule: RestRule, history: History, now_us: int) -> dict[str, _Group]:
    """By asset the latest events of the rule that make actions rest at ``now_us``."""
    number_of: dict[str, int] = {}
    numbers = np.full(len(history.actions), -1, np.int64)
    for event_type in rule.event_types:
        for place in _places_of(event_type, history.actions):
            numbers[place] = number_of.setdefault(history.actions[place].asset_id, len(number_of))
    of_event = numbers[history.action_index]
    counted = of_event >= 0
    count, others = np.count_nonzero(counted), rule.after - 1
    if count < rule.after:
        return {}
    order = np.argsort(of_event[counted], kind="stable")  # by asset, and of an asset by time
    assets, times_us = of_event[counted][order], history.timestamps_us[counted][order]
    first, last = slice(0, count - others), slice(others, None)
    until_us = times_us[last] + rule.rest_days * DAY_US
    rests = (
        (assets[first] == assets[last])
        & (times_us[last] - times_us[first] <= rule.within_days * DAY_US)
        & (until_us > now_us)
    )
    names = list(number_of)
    found = zip(assets[last][rests].tolist(), times_us[first][rests].tolist(), until_us[rests].tolist(), strict=True)
    return {names[asset]: _Group(first_us, end_us) for asset, first_us, end_us in found}  # the latest is written last


def _places_of(event_type: str, actions: Sequence[Action]) -> range:
    """The places of an event type's actions among ``actions``, which are sorted."""
    return range(bisect_left(actions, (event_type,)), bisect_left(actions, (f"{event_type}\0",)))
