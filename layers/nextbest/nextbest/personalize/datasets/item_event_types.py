"""The event types of a program that are about items: learned from, and never recommended as actions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from nextbest.domain.programs import Incarnation
from nextbest.errors import QuotaExceeded
from nextbest.personalize.datasets.sources import EVENT_TYPES
from nextbest.store.base import ConfigurationStore

ITEM_EVENTS = ("item-event-types", "all")
"""Kind and name of the resource in which a program has them."""

MAX_EVENT_TYPES = 1000
MAX_EVENT_TYPE_BYTES = 300_000
"""Of all of a program's together, as JSON: DynamoDB takes 400 KB an item."""


def item_event_type(text: str) -> str:
    """The type under which an event about an item is stored: TAKEN, NOT_TAKEN and VIEWED are of actions alone."""
    return f"ITEM_{text}" if text in EVENT_TYPES else text


def item_event_types(store: ConfigurationStore, incarnation: Incarnation) -> frozenset[str]:
    """The event types of everything that was put or imported as an item interaction."""
    return types_in(store.resource(incarnation, *ITEM_EVENTS))


def types_in(resource: Mapping[str, Any] | None) -> frozenset[str]:
    """The event types in a program's resource; none where there is no such resource yet."""
    return frozenset(resource["event_types"]) if resource is not None else frozenset()


def remember_item_events(store: ConfigurationStore, incarnation: Incarnation, event_types: AbstractSet[str]) -> None:
    """Add event types, as ``item_event_type`` has them. Raises QuotaExceeded.

    Of two concurrent writers one may be overwritten; the next event of the lost type adds it again.
    """
    known = item_event_types(store, incarnation)
    current = with_event_types(known, event_types)
    if current != known:
        store.put_resource(incarnation, *ITEM_EVENTS, {"event_types": sorted(current)})


def with_event_types(known: frozenset[str], event_types: AbstractSet[str]) -> frozenset[str]:
    """``known`` and more event types. Raises QuotaExceeded for more than a program may have."""
    current = known | event_types
    if current == known:
        return known
    size_bytes = len(json.dumps(sorted(current), ensure_ascii=False).encode())
    if len(current) > MAX_EVENT_TYPES or size_bytes > MAX_EVENT_TYPE_BYTES:
        raise QuotaExceeded(
            f"A dataset group has at most {MAX_EVENT_TYPES:,} event types of items, of at most "
            f"{MAX_EVENT_TYPE_BYTES:,} bytes together",
            field="eventType",
        )
    return current
