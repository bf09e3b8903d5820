"""What marks the stored events and assets of this dialect: their sources, types and ids.

Hot path: standard library alone.
"""

from __future__ import annotations

from nextbest.domain.assets import Asset

# The event types of action interactions.
TAKEN = "TAKEN"
NOT_TAKEN = "NOT_TAKEN"
VIEWED = "VIEWED"
EVENT_TYPES = (TAKEN, NOT_TAKEN, VIEWED)

SOURCE = "personalize"
"""The source of events that were put with a user id."""

ANONYMOUS = "personalize-anonymous"
"""The source of events that came with a session id alone: only these may be joined to a user later."""

BULK_SOURCE = "personalize-import"
"""The source of imported events: this, a colon and the name of the import job."""

ITEM_ID = "ITEM_ID"
"""The field by which items are distinguished from actions among a program's assets."""

ACTION_ID = "ACTION_ID"
"""The field of an action that has no other: by it the action is distinguished from an asset that was put elsewhere."""


def is_item(asset: Asset) -> bool:
    """Whether an asset is of the Items dataset."""
    return asset.fields.get(ITEM_ID) is not None


def is_action(asset: Asset) -> bool:
    """Whether an asset is of the Actions dataset: it was put or imported as an action.

    Assets that were named through ActionHub alone have no fields, and are in no dataset.
    """
    return bool(asset.fields) and not is_item(asset)
