"""The event types of a program that are about items: learned from, and never recommended as actions."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from nextbest.domain.programs import Incarnation
from nextbest.personalize.datasets.sources import TAKEN
from nextbest.personalize.protocol.arns import stored_kind
from nextbest.store.base import ConfigurationStore

ITEM_EVENTS = stored_kind("item-event-types")
"""The kind of these resources, whose names are the programs' incarnations."""


def item_event_types(store: ConfigurationStore, incarnation: Incarnation) -> frozenset[str]:
    """The event types of everything that was put or imported as an item interaction."""
    return types_in(store.resource(ITEM_EVENTS, incarnation))


def types_in(resource: Mapping[str, Any] | None) -> frozenset[str]:
    """The event types in a program's resource; none where there is no such resource yet."""
    return frozenset(resource["event_types"]) if resource is not None else frozenset()


def remember_item_events(store: ConfigurationStore, incarnation: Incarnation, event_types: AbstractSet[str]) -> None:
    """Add event types, except TAKEN, which is always an action's.

    Of two concurrent writers one may be overwritten; the next event of the lost type adds it again.
    """
    known = item_event_types(store, incarnation)
    current = known | (event_types - {TAKEN})
    if current != known:
        store.put_resource(ITEM_EVENTS, incarnation, {"event_types": sorted(current)})
