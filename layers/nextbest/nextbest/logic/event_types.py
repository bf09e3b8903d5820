"""Event types as requests name them: a misspelt one is an error, not a reason for an empty answer."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from nextbest.errors import InvalidInput

_LISTED_EVENT_TYPES = 50


def require_known(event_types: Sequence[str], known: AbstractSet[str], *, field: str) -> None:
    """Raise InvalidInput, which lists the ``known`` ones, unless all ``event_types`` are known."""
    unknown = [event_type for event_type in event_types if event_type not in known]
    if unknown:
        listed = sorted(known)
        more = f" and {len(listed) - _LISTED_EVENT_TYPES} more" if len(listed) > _LISTED_EVENT_TYPES else ""
        raise InvalidInput(
            f"Unknown event types: {', '.join(map(repr, unknown))}. Known since the last rebase: "
            f"{', '.join(map(repr, listed[:_LISTED_EVENT_TYPES])) or 'none'}{more}",
            field=field,
        )
