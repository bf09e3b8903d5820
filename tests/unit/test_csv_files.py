"""Rows of an import: typed or refused with their line, whatever the file, and a row at a time."""

from __future__ import annotations

import gzip
import io
import json
import tracemalloc
from collections.abc import Iterator
from itertools import chain, repeat
from typing import Any, TextIO

import pytest

from nextbest.aws.s3_files import S3Files
from nextbest.domain.events import Event
from nextbest.errors import InvalidInput
from nextbest.personalize.datasets.csv_files import (
    MAX_FIELD_CHARACTERS,
    MAX_ROW_CHARACTERS,
    RefusedRow,
    event_of,
    read_rows,
)
from nextbest.personalize.datasets.schema import parse_schema
from tests.contract.personalize_clients import SCHEMAS

MEGABYTE = 1 << 20
NOW = 1_800_000_000.0
HEADERS = {
    "Users": "USER_ID,MEMBERSHIP,AGE\n",
    "Items": "ITEM_ID,GENRE,CREATION_TIMESTAMP\n",
    "Action_Interactions": "USER_ID,ACTION_ID,EVENT_TYPE,TIMESTAMP\n",
    "Interactions": "USER_ID,ITEM_ID,EVENT_TYPE,TIMESTAMP\n",
}


def rows(text: TextIO | str, schema: str = "Users") -> Iterator[Any]:
    dataset_type, fields = parse_schema(json.dumps(SCHEMAS[schema]))
    stream: Any = io.StringIO(text, newline="") if isinstance(text, str) else text
    return read_rows("file.csv", stream, fields, dataset_type, now=NOW)


class Endless:
    """A body in S3: a beginning, then pieces without end; it counts what was read."""

    def __init__(self, begin: bytes, piece: bytes) -> None:
        self._pieces = chain([begin], repeat(piece))
        self._rest = b""
        self.read_bytes = 0

    def read(self, size: int) -> bytes:
        while len(self._rest) < size:
            self._rest += next(self._pieces)
        part, self._rest = self._rest[:size], self._rest[size:]
        self.read_bytes += len(part)
        return part

    def close(self) -> None:
        pass


class Bucket:
    """As much of an S3 client as reads one object."""

    def __init__(self, body: Any) -> None:
        self._body = body

    def get_object(self, **_: str) -> dict[str, Any]:
        return {"Body": self._body}


def imported(body: Endless) -> Iterator[Any]:
    """The rows of a file of users in S3, as a job reads them."""
    client: Any = Bucket(body)
    for _, text in S3Files(client).files("bucket", "file.csv"):
        yield from rows(text)


PIECES: dict[str, bytes] = {
    "one line": b"x" * MEGABYTE,
    "one quoted field": b'"' + b"x" * MEGABYTE,
    "many columns": b"x," * (MEGABYTE // 2),
    "many quoted lines of one field": (b"x" * 999 + b"\n") * 1000,
    "many quoted lines of many fields": (b"x" * 999 + b'\n","') * 1000,
    "four bytes a character": "\N{TEACUP WITHOUT HANDLE}".encode() * (MEGABYTE // 4),
}


@pytest.mark.parametrize("kind", PIECES)
def test_a_row_of_any_length_is_refused_with_its_line_in_bounded_memory(kind: str) -> None:
    begin = b"USER_ID,MEMBERSHIP,AGE\nann,Gold,7\n" + (b'"' if "quoted" in kind else b"")
    body = Endless(begin, PIECES[kind])
    tracemalloc.start()
    with pytest.raises(InvalidInput, match=r"file\.csv, line \d+: ") as refused:
        list(imported(body))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    line = int(refused.value.message.partition("line ")[2].partition(":")[0])
    assert line >= 3
    assert body.read_bytes < 24 * MEGABYTE
    assert peak < 160 * MEGABYTE


def test_a_long_file_of_short_rows_is_read_a_row_at_a_time() -> None:
    body = Endless(b"USER_ID,MEMBERSHIP,AGE\n", b"ann,Gold,7\n" * 10_000)
    read = imported(body)
    for _ in range(20_000):
        next(read)

    assert body.read_bytes <= 2 * MEGABYTE


def test_the_bound_is_that_of_a_row_and_not_of_a_file() -> None:
    row = f'"{"x" * (MAX_FIELD_CHARACTERS - 1)}",' * 3 + "\n"
    text = HEADERS["Users"] + row * 3
    assert len(text) > MAX_ROW_CHARACTERS
    assert [type(read) for read in rows(text)] == [RefusedRow] * 3  # for their number of columns


def test_a_field_over_its_bound_is_refused_with_its_line() -> None:
    with pytest.raises(InvalidInput, match=r"line 3: not valid CSV: field larger than field limit"):
        list(rows(f"{HEADERS['Users']}ann,Gold,7\n{'x' * (MAX_FIELD_CHARACTERS + 1)},Gold,7\n"))


def test_values_that_the_store_would_not_take_are_refused_with_their_line() -> None:
    many = "|".join(["x" * 900] * 120)
    (user,) = rows(f"{HEADERS['Users']}ann,{many},7\n")
    assert "line 2: its values have 108," in str(user)
    (item,) = rows(f"{HEADERS['Items']}tea,{many},7\n", "Items")
    assert not isinstance(item, RefusedRow)
    (item,) = rows(f"{HEADERS['Items']}tea,{'|'.join([many] * 3)},7\n", "Items")
    assert "at most 300,000 can be stored" in str(item)
    (event,) = rows(f"{HEADERS['Interactions']}ann,{'茶' * 256},{'e' * 256},7\n", "Interactions")
    assert "line 2: the type of the event, the id of what it is about and its own id together exceed" in str(event)


def test_a_reason_repeats_no_more_of_a_row_than_helps() -> None:
    (event,) = rows(f"{HEADERS['Action_Interactions']}ann,tea,{'e' * 200},7\n", "Action_Interactions")
    assert "line 2: 'EVENT_TYPE' is 'eee" in str(event)
    assert len(str(RefusedRow("file.csv", 2, "x" * 9000))) < 500


def test_what_is_compressed_is_not_unpacked() -> None:
    packed = gzip.compress(b"USER_ID,MEMBERSHIP,AGE\n" + b"x" * MEGABYTE)
    text = io.TextIOWrapper(io.BytesIO(packed), "utf-8-sig", newline="")
    with pytest.raises(InvalidInput, match="not valid UTF-8"):
        list(rows(text))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_as_they_like(end: str) -> None:
    text = end.join(["USER_ID,MEMBERSHIP,AGE", "ann,Gold,7", "", f'"bob","Sil{end}ver",8', ""])
    read = [dict(row) for row in rows(text)]
    assert read == [
        {"USER_ID": "ann", "MEMBERSHIP": "Gold", "AGE": 7},
        {"USER_ID": "bob", "MEMBERSHIP": f"Sil{end}ver", "AGE": 8},
    ]


REQUIRED = {
    "Interactions": {"USER_ID": "string", "ITEM_ID": "string", "EVENT_TYPE": "string", "TIMESTAMP": "long"},
    "ActionInteractions": {"USER_ID": "string", "ACTION_ID": "string", "EVENT_TYPE": "string", "TIMESTAMP": "long"},
}


def interaction(schema: str, column: str, kind: str, cell: str) -> Event | str:
    """The event in a row with one column more, of a nullable type; or why it is refused."""
    fields = [{"name": name, "type": of} for name, of in REQUIRED[schema].items()]
    text = json.dumps({"type": "record", "name": schema, "fields": [*fields, {"name": column, "type": [kind, "null"]}]})
    dataset_type, parsed = parse_schema(text)
    file = io.StringIO(f"{','.join([*REQUIRED[schema], column])}\nann,tea,taken,0,{cell}\n", newline="")
    (row,) = read_rows("file.csv", file, parsed, dataset_type, now=NOW)
    return row.reason if isinstance(row, RefusedRow) else event_of(row, dataset_type, "test")


@pytest.mark.parametrize("schema", REQUIRED)
@pytest.mark.parametrize(
    ("kind", "cell", "value"),
    [("float", "2.5", 2.5), ("double", "-19.99", -19.99), ("float", "", None), ("double", "1e15", 1e15)],
)
def test_the_value_of_an_interaction_is_kept(schema: str, kind: str, cell: str, value: float | None) -> None:
    event = interaction(schema, "EVENT_VALUE", kind, cell)

    assert isinstance(event, Event)
    assert event.event_value == value


@pytest.mark.parametrize("schema", REQUIRED)
@pytest.mark.parametrize("cell", ["dear", "1e16", "-1e300", "1e999", "true", "1_000"])
def test_a_value_that_is_none_costs_its_row_and_names_the_column(schema: str, cell: str) -> None:
    reason = interaction(schema, "EVENT_VALUE", "double", cell)

    assert isinstance(reason, str)
    assert reason.startswith("EVENT_VALUE ")


def test_a_column_of_action_interactions_that_is_no_number_is_no_value() -> None:
    event = interaction("ActionInteractions", "EVENT_VALUE", "string", "high")

    assert isinstance(event, Event)
    assert event.event_value is None


@pytest.mark.parametrize("schema", REQUIRED)
@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ("club", ("club",)),
        (" club |app|club", ("club", "app", "club")),
        ("|club||", ("club",)),
        ("", ()),
        (" | ", ()),
        ("|".join("x" * 9 for _ in range(100)), ("x" * 9,) * 100),
    ],
)
def test_the_impression_of_an_interaction_is_kept_in_order(schema: str, cell: str, shown: tuple[str, ...]) -> None:
    event = interaction(schema, "IMPRESSION", "string", cell)

    assert isinstance(event, Event)
    assert event.impression == shown


@pytest.mark.parametrize("schema", REQUIRED)
@pytest.mark.parametrize(
    ("cell", "problem"),
    [
        ("|".join("x" * 9 for _ in range(101)), "Length cannot be more than 1000 characters for IMPRESSION"),
        (f"club|{'x' * 257}", "Length cannot be more than 256 characters for IMPRESSION"),
        ("club|a\x00b", "IMPRESSION holds a line break or another control character"),
    ],
)
def test_an_impression_that_is_none_costs_its_row_and_names_the_column(schema: str, cell: str, problem: str) -> None:
    assert interaction(schema, "IMPRESSION", "string", cell) == problem
