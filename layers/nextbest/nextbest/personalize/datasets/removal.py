"""Removing the data of a dataset, and none of the program's other data."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from nextbest.domain.assets import Asset
from nextbest.domain.events import Event
from nextbest.domain.programs import Incarnation, program_id_of
from nextbest.errors import NotFound
from nextbest.personalize.datasets.item_event_types import item_event_types
from nextbest.personalize.datasets.schema import ACTION_INTERACTIONS, ACTIONS, INTERACTIONS, ITEMS, USERS
from nextbest.personalize.datasets.sources import ANONYMOUS, BULK_SOURCE, SOURCE, is_action, is_item
from nextbest.personalize.datasets.tracking_ids import TRACKING_ID
from nextbest.personalize.protocol.arns import DATASET, EVENT_TRACKER
from nextbest.store.base import DEPLOYMENT, ConfigurationStore
from nextbest.store.bulk import BulkStore


def is_of(dataset_type: str, item_types: frozenset[str]) -> Callable[[Event], bool]:
    """Whether an event belongs to a dataset: it came through this dialect, and is about items or about actions."""

    def belongs(event: Event) -> bool:
        ours = event.source in (SOURCE, ANONYMOUS) or event.source.startswith(f"{BULK_SOURCE}:")
        return ours and (event.event_type in item_types) == (dataset_type == INTERACTIONS)

    return belongs


def is_in(dataset_type: str) -> Callable[[Asset], bool]:
    """Whether an asset belongs to a dataset: of items or of actions. What ActionHub alone put is in none."""
    return is_item if dataset_type == ITEMS else is_action


def remove_tracking_ids(store: ConfigurationStore, incarnation: Incarnation) -> int:
    """Remove the tracking ids of a program, which are not among its own items; how many."""
    removed = 0
    for kind in (DATASET, EVENT_TRACKER):
        for resource in store.list_resources([incarnation], kind):
            removed += remove_tracking_id(store, resource["tracking_id"])
    return removed


def remove_tracking_id(store: ConfigurationStore, tracking_id: str | None) -> bool:
    """Remove a tracking id; False where there is none, as of most datasets or after an interruption."""
    if tracking_id is None:
        return False
    with suppress(NotFound):
        store.delete_resource(DEPLOYMENT, TRACKING_ID, tracking_id)
        return True
    return False


def clear_dataset(store: BulkStore, incarnation: Incarnation, dataset_type: str) -> None:
    """Remove the data of a dataset. Events and labels that came through ActionHub stay."""
    state = store.program_state(program_id_of(incarnation))
    if state is None or state.program.incarnation != incarnation:
        return
    # Of an import that was killed nothing is left: its staged rows are no data yet, and would not be seen below.
    attempt = store.begin_import(state.program, dataset_type)
    store.discard_import(state.program, dataset_type, attempt)
    if dataset_type in (ACTIONS, ITEMS):
        unwanted = is_in(dataset_type)
        store.remove_assets(incarnation, [asset.asset_id for asset in store.assets(incarnation) if unwanted(asset)])
    elif dataset_type == USERS:
        users = [user_id for user_id, _ in store.all_user_attributes(incarnation)]
        store.remove_user_attributes(incarnation, users)
    elif dataset_type in (ACTION_INTERACTIONS, INTERACTIONS):
        store.remove_events(state.program, is_of(dataset_type, item_event_types(store, incarnation)))
