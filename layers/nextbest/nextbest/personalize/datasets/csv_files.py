"""CSV files of a bulk import: the rows of a dataset, each read by its schema.

Source: docs/contracts/personalize.md, section 6.6.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TextIO

from nextbest.domain.assets import FieldValue
from nextbest.domain.events import BLANKS, MICROSECONDS, Event, check_event_value
from nextbest.domain.ids import check_id
from nextbest.domain.times import parse_seconds
from nextbest.errors import InvalidInput, InvalidTime
from nextbest.personalize.datasets.event_types import action_event_type
from nextbest.personalize.datasets.item_event_types import item_event_type
from nextbest.personalize.datasets.properties import field_name
from nextbest.personalize.datasets.schema import (
    ACTION_INTERACTIONS,
    EVENT_VALUE,
    INTERACTIONS,
    TYPES,
    USERS,
    DatasetSchema,
)
from nextbest.personalize.protocol.ids import MAX_ID_CHARACTERS
from nextbest.store.keys import event_sk

DEFAULT_ITEM_EVENT = "interaction"
"""The event type of item interactions that come without one."""

MAX_FIELD_CHARACTERS = 1 << 20
MAX_ROW_CHARACTERS = 4 << 20
"""Of the text of a row, which may be of many lines. A file with a longer one is refused: memory is bounded by it."""

MAX_USER_BYTES = 100_000
MAX_ASSET_BYTES = 300_000
"""Of the values of a user or an asset: DynamoDB takes 400 KB an item, which holds more than these."""

_MAX_REASON_CHARACTERS = 400
_INTERACTION_IDS = ("USER_ID", "ITEM_ID", "ACTION_ID", "EVENT_TYPE", "RECOMMENDATION_ID")

Row = Mapping[str, FieldValue]


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A row that cannot be imported. ``line`` counts from 1, the header included."""

    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        reason = self.reason
        if len(reason) > _MAX_REASON_CHARACTERS:
            reason = f"{reason[:_MAX_REASON_CHARACTERS]}…"
        return f"{self.file}, line {self.line}: {reason}"


class _Lines:
    """The lines of a text, for a CSV reader: ``csv`` itself would read a line of any length."""

    def __init__(self, name: str, text: TextIO) -> None:
        self._name = name
        self._text = text
        self._number = 0
        self.begin_row()

    def begin_row(self) -> None:
        """Let the next row be as long as any."""
        self._left = MAX_ROW_CHARACTERS

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._text.readline(self._left + 1)
        if not line:
            raise StopIteration
        self._number += 1
        self._left -= len(line)
        if self._left < 0:
            problem = f"the row is longer than {MAX_ROW_CHARACTERS:,} characters; is a quote or a line break missing?"
            raise InvalidInput(f"{self._name}, line {self._number}: {problem}")
        return line


def read_rows(
    name: str, text: TextIO, schema: DatasetSchema, dataset_type: str, *, now: float
) -> Iterator[Row | RefusedRow]:
    """The rows of one file, typed by the schema, under upper-case names. ``now`` is in seconds since 1970.

    Raises InvalidInput for a file that is no CSV in UTF-8, whose header lacks columns of the schema, or that has an
    overlong row. Columns the schema does not have are left out. Reads no more than a row at once.
    """
    lines = _Lines(name, text)
    reader = csv.reader(lines, doublequote=True, escapechar="\\", strict=True)
    csv.field_size_limit(MAX_FIELD_CHARACTERS)
    try:
        header = next(reader, None)
        if header is None:
            raise InvalidInput(f"{name} is empty: the first line must name the columns")
        places = _places(name, header, schema)
        lines.begin_row()
        for cells in reader:
            lines.begin_row()
            if cells:  # a blank line is not a row
                yield _row(name, reader.line_num, cells, len(header), places, schema, dataset_type, now)
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{name} is not valid UTF-8") from error
    except csv.Error as error:
        raise InvalidInput(f"{name}, line {reader.line_num}: not valid CSV: {error}") from error


def _places(name: str, header: list[str], schema: DatasetSchema) -> dict[str, int]:
    """The column of each field of the schema."""
    columns = {column.strip().upper(): place for place, column in enumerate(header)}
    lacking = [field.name for field in schema.fields if field.name.upper() not in columns]
    if lacking:
        raise InvalidInput(f"Input CSV is missing the following columns:[{', '.join(lacking)}] ({name})")
    return {field.name: columns[field.name.upper()] for field in schema.fields}


def _row(
    name: str,
    line: int,
    cells: list[str],
    width: int,
    places: Mapping[str, int],
    schema: DatasetSchema,
    dataset_type: str,
    now: float,
) -> Row | RefusedRow:
    if len(cells) != width:
        return RefusedRow(name, line, f"it has {len(cells)} columns; the header has {width}")
    try:
        # An empty cell is null, also in a column of strings.
        row = {field_name(field): field.read(cells[places[field.name]] or None) for field in schema.fields}
        are_interactions = dataset_type in (ACTION_INTERACTIONS, INTERACTIONS)
        id_names = _INTERACTION_IDS if are_interactions else TYPES[dataset_type].id_names
        row |= {id_name: _id(id_name, row[id_name]) for id_name in id_names if row.get(id_name) is not None}
        if are_interactions:
            _check_time(row["TIMESTAMP"], now)
            event_sk(event_of(row, dataset_type, ""))
        else:
            _check_size(row, MAX_USER_BYTES if dataset_type == USERS else MAX_ASSET_BYTES)
    except InvalidInput as error:
        return RefusedRow(name, line, error.message)
    return row


def _id(name: str, value: FieldValue) -> str:
    text = str(value)
    if len(text) > MAX_ID_CHARACTERS:
        raise InvalidInput(f"Length cannot be more than {MAX_ID_CHARACTERS} characters for {name}")
    return check_id(text, max_characters=MAX_ID_CHARACTERS, field=name)


def _check_time(value: FieldValue, now: float) -> None:
    assert isinstance(value, int)
    try:
        parse_seconds(value, now=now)
    except InvalidTime as error:
        problem = f"TIMESTAMP must be in seconds (not milliseconds) since 1970: it {error.problem}"
        raise InvalidInput(problem) from error


def _check_size(row: Row, most: int) -> None:
    stored = len(json.dumps(row, ensure_ascii=False).encode())
    if stored > most:
        raise InvalidInput(f"its values have {stored:,} bytes; at most {most:,} can be stored")


def item_event_type_of(row: Row) -> str:
    """The event type in a row of item interactions, which need not have one."""
    return item_event_type(str(row.get("EVENT_TYPE") or DEFAULT_ITEM_EVENT))


def event_of(row: Row, dataset_type: str, source: str) -> Event:
    """The event in a row of interactions. Raises InvalidInput for an event type that Personalize does not have."""
    timestamp = row["TIMESTAMP"]
    assert isinstance(timestamp, int)
    actions = dataset_type == ACTION_INTERACTIONS
    return Event(
        user_id=str(row["USER_ID"]),
        timestamp_us=timestamp * MICROSECONDS,
        event_type=action_event_type(str(row["EVENT_TYPE"]), path="EVENT_TYPE") if actions else item_event_type_of(row),
        asset_id=str(row["ACTION_ID" if actions else "ITEM_ID"]),
        source=source,
        recommendation_id=str(row.get("RECOMMENDATION_ID") or ""),
        event_value=_value_of(row),
        impression=_impression_of(row),
    )


def _value_of(row: Row) -> float | None:
    """What an interaction is worth; a column of action interactions that is no number is metadata of its own."""
    value = row.get(EVENT_VALUE)
    return check_event_value(value, field=EVENT_VALUE) if isinstance(value, int | float) else None


def _impression_of(row: Row) -> tuple[str, ...]:
    """The ids that were shown, in order; in the file there is ``|`` between them."""
    ids = str(row.get("IMPRESSION") or "").split("|")
    return tuple(_id("IMPRESSION", shown) for shown in ids if shown.strip(BLANKS))
