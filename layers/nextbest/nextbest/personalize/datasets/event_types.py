"""Event types of action interactions (docs/contracts/personalize.md, section 3.11)."""

from __future__ import annotations

from nextbest.errors import InvalidInput
from nextbest.personalize.datasets.sources import EVENT_TYPES


def action_event_type(text: str, *, path: str) -> str:
    """TAKEN, NOT_TAKEN or VIEWED, from any spelling that AWS itself uses (section 3.11). Raises InvalidInput."""
    event_type = text.strip().upper().replace(" ", "_").replace("-", "_")
    if event_type not in EVENT_TYPES:
        raise InvalidInput(f"'{path}' is '{text}'; it must be one of Taken, Not Taken, Viewed", field=path)
    return event_type
