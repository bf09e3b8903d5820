"""Assets: the things acted on, with their names, labels and the Personalize action fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

FieldValue = str | int | float | None

# The fields of a Personalize action that the service itself acts on.
VALUE = "VALUE"
CREATION = "CREATION_TIMESTAMP"
EXPIRY = "ACTION_EXPIRATION_TIMESTAMP"
EXPIRY_ALIAS = "EXPIRATION_TIMESTAMP"  # AWS's guide spells it in both ways
REPEAT_FREQUENCY = "REPEAT_FREQUENCY"


@dataclass(frozen=True, slots=True)
class Asset:
    """One asset.

    ``fields`` are the schema fields of a Personalize Actions row, under their upper-case names: VALUE,
    CREATION_TIMESTAMP, ACTION_EXPIRATION_TIMESTAMP and REPEAT_FREQUENCY are numbers; categorical strings may have
    several values separated by ``|``.
    """

    asset_id: str
    asset_name: str = ""
    labels: tuple[str, ...] = ()
    fields: Mapping[str, FieldValue] = field(default_factory=dict)
