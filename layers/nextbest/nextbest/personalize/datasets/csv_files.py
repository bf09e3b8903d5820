"""CSV files of a bulk import: the rows of a dataset, each read by its schema.

Source: docs/contracts/personalize.md, section 6.6.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TextIO

from nextbest.domain.assets import FieldValue
from nextbest.domain.events import LATEST_TIMESTAMP_US, MICROSECONDS, Event
from nextbest.errors import InvalidInput
from nextbest.personalize.datasets.event_types import action_event_type
from nextbest.personalize.datasets.properties import field_name
from nextbest.personalize.datasets.schema import ACTION_INTERACTIONS, INTERACTIONS, TYPES, DatasetSchema

MAX_ID_CHARACTERS = 256
DEFAULT_ITEM_EVENT = "interaction"
"""The event type of item interactions that come without one."""

_MAX_FIELD_BYTES = 1 << 20

Row = Mapping[str, FieldValue]


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A row that cannot be imported. ``line`` counts from 1, the header included."""

    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}: {self.reason}"


def read_rows(name: str, text: TextIO, schema: DatasetSchema, dataset_type: str) -> Iterator[Row | RefusedRow]:
    """The rows of one file, typed by the schema, under upper-case names.

    Raises InvalidInput for a file that is no CSV in UTF-8, or whose header lacks columns of the schema. Columns the
    schema does not have are left out.
    """
    reader = csv.reader(text, doublequote=True, escapechar="\\", strict=True)
    csv.field_size_limit(_MAX_FIELD_BYTES)
    try:
        header = next(reader, None)
        if header is None:
            raise InvalidInput(f"{name} is empty: the first line must name the columns")
        places = _places(name, header, schema)
        for cells in reader:
            if cells:  # a blank line is no row
                yield _row(name, reader.line_num, cells, len(header), places, schema, dataset_type)
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
) -> Row | RefusedRow:
    if len(cells) != width:
        return RefusedRow(name, line, f"it has {len(cells)} columns; the header has {width}")
    try:
        # An empty cell is null, also in a column of strings.
        row = {field_name(field): field.read(cells[places[field.name]] or None) for field in schema.fields}
        for id_name in TYPES[dataset_type].id_names:
            _check_id(id_name, row[id_name])
        if dataset_type in (ACTION_INTERACTIONS, INTERACTIONS):
            _check_time(row["TIMESTAMP"])
        if dataset_type == ACTION_INTERACTIONS:
            action_event_type(str(row["EVENT_TYPE"]), path="EVENT_TYPE")
    except InvalidInput as error:
        return RefusedRow(name, line, error.message)
    return row


def _check_id(name: str, value: FieldValue) -> None:
    if isinstance(value, str) and len(value) > MAX_ID_CHARACTERS:
        raise InvalidInput(f"Length cannot be more than {MAX_ID_CHARACTERS} characters for {name}")


def _check_time(value: FieldValue) -> None:
    if not isinstance(value, int) or not 0 <= value <= LATEST_TIMESTAMP_US // MICROSECONDS:
        raise InvalidInput("TIMESTAMP must be in seconds (not milliseconds) since 1970")


def item_event_type(row: Row) -> str:
    """The event type in a row of item interactions, which need not have one."""
    return str(row.get("EVENT_TYPE") or DEFAULT_ITEM_EVENT)


def event_of(row: Row, dataset_type: str, source: str) -> Event:
    """The event in a row of interactions."""
    timestamp = row["TIMESTAMP"]
    assert isinstance(timestamp, int)
    actions = dataset_type == ACTION_INTERACTIONS
    return Event(
        user_id=str(row["USER_ID"]),
        timestamp_us=timestamp * MICROSECONDS,
        event_type=action_event_type(str(row["EVENT_TYPE"]), path="EVENT_TYPE") if actions else item_event_type(row),
        asset_id=str(row["ACTION_ID" if actions else "ITEM_ID"]),
        source=source,
        recommendation_id=str(row.get("RECOMMENDATION_ID") or ""),
    )
