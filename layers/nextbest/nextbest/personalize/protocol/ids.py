"""The ids in a request, held to the rule of all ids (``domain/ids.py``); their lengths are checked by their shapes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from nextbest.domain.ids import check_id

MAX_ID_CHARACTERS = 256


def with_clean_ids(members: Mapping[str, Any], names: Iterable[str], path: str = "") -> dict[str, Any]:
    """``members`` with the ids among them as they are stored. Raises InvalidInput, which names the member."""
    prefix = f"{path}." if path else ""
    ids = {
        name: check_id(members[name], max_characters=MAX_ID_CHARACTERS, field=f"{prefix}{name}")
        for name in names
        if name in members
    }
    return {**members, **ids}
