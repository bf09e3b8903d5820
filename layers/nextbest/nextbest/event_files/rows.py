"""The rules for one row of a file: an event, or the reason why it is none.

Whatever passes is accepted by ``POST /events`` (docs/contracts/actionhub.md, section 4). Reasons name the column and
never the value, so that alike faults are worded alike.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from nextbest.domain.events import (
    BLANKS,
    MAX_ASSET_ID_CHARACTERS,
    MAX_EVENT_TYPE_CHARACTERS,
    MAX_LABEL_CHARACTERS,
    MAX_LABELS,
    MAX_USER_ID_CHARACTERS,
    Event,
    check_event_value,
)
from nextbest.domain.ids import check_id
from nextbest.domain.times import parse_time
from nextbest.errors import InvalidInput
from nextbest.event_files.columns import VALUE, ColumnNames

# What databases, spreadsheets and programs write where there is no value; in lower case.
NAMES_OF_NOTHING = frozenset(
    {
        *(r"\n", "null", "(null)", "[null]", "<null>", "nil", "none", "undefined"),
        *("nan", "-nan", "na", "n/a", "<na>", "#na", "#n/a", "nat"),
    }
)
STANDS_FOR_NOTHING = "stands for nothing (NULL, NaN, None or the like)"

_SEPARATORS = re.compile(r"[|;]")

_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")

Values = tuple[str | None, str | None, str | None, str | None, str | Sequence[object] | None, str | None]
"""What a reader gives of a row, in the order of MEMBERS: text, for labels also a list, and None where there is none."""


@dataclass(frozen=True, slots=True)
class RowRules:
    """How rows are read. ``now`` is in seconds since 1970; ``literal_nulls`` takes names of nothing as any other text.

    Times more than a day after ``now`` are refused.
    """

    now: float
    columns: ColumnNames = field(default_factory=ColumnNames)
    literal_nulls: bool = False

    def event(self, values: Values) -> Event:
        """The event in a row's values, in the order of MEMBERS. Raises InvalidInput with the reason."""
        user_id, event_type, asset_id, timestamp, labels, value = values
        return Event(
            user_id=_id("user_id", user_id, MAX_USER_ID_CHARACTERS, self.literal_nulls),
            event_type=_id("event_type", event_type, MAX_EVENT_TYPE_CHARACTERS, self.literal_nulls),
            asset_id=_id("asset_id", asset_id, MAX_ASSET_ID_CHARACTERS, self.literal_nulls),
            timestamp_us=parse_time(_text("timestamp", timestamp, self.literal_nulls), now=self.now),
            labels=self._labels(labels) if labels else (),
            event_value=_value(value) if value else None,
        )

    def _labels(self, value: str | Sequence[object]) -> tuple[str, ...]:
        """Labels in their order, without blanks and repetitions: a list, or text with ``|`` or ``;`` between them."""
        parts: Sequence[object]
        if isinstance(value, str):
            text = value.strip()
            if not self.literal_nulls and text.lower() in NAMES_OF_NOTHING:
                return ()
            listed = _json_list(text) if text.startswith("[") else None
            parts = _SEPARATORS.split(text) if listed is None else listed
        else:
            parts = value
        labels = dict.fromkeys(label for part in parts if (label := _label(part)))
        if len(labels) > MAX_LABELS:
            raise InvalidInput(f"labels are more than {MAX_LABELS}")
        for label in labels:
            check_id(label, max_characters=MAX_LABEL_CHARACTERS, field="a label")
        return tuple(labels)


# Ids come again and again.
@lru_cache(maxsize=1 << 15)
def _id(name: str, value: str | None, max_characters: int, literal_nulls: bool) -> str:
    return check_id(_text(name, value, literal_nulls), max_characters=max_characters, field=name)


def _text(name: str, value: str | None, literal_nulls: bool) -> str:
    if value is None:
        raise InvalidInput(f"{name} is missing")
    text = value.strip(BLANKS)
    if not text:
        raise InvalidInput(f"{name} is empty")
    if not literal_nulls and text.lower() in NAMES_OF_NOTHING:
        raise InvalidInput(f"{name} {STANDS_FOR_NOTHING}")
    return text


def _value(value: str) -> float | None:
    """The number in a text; None where it stands for nothing, since no number is spelled so."""
    text = value.strip(BLANKS)
    if not text or text.lower() in NAMES_OF_NOTHING:
        return None
    return check_event_value(float(text) if _NUMBER.fullmatch(text) else None, field=VALUE)


def _label(part: object) -> str:
    if not isinstance(part, str):
        raise InvalidInput("a label is not text")
    return part.strip(BLANKS)


def _json_list(text: str) -> list[object] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, list) else None
