"""Assets: the things acted on, with their names, labels and the Personalize action fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

FieldValue = str | int | float | None


@dataclass(frozen=True, slots=True)
class Asset:
    """One asset. ``fields`` are the schema fields of a Personalize Actions row, under their upper-case names:
    VALUE, CREATION_TIMESTAMP, ACTION_EXPIRATION_TIMESTAMP and REPEAT_FREQUENCY are numbers; categorical strings may
    hold several values separated by ``|``."""

    asset_id: str
    asset_name: str = ""
    labels: tuple[str, ...] = ()
    fields: Mapping[str, FieldValue] = field(default_factory=dict)
