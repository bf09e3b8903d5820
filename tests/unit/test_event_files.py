"""Rows of CSV files: each one is an event, or is rejected with its line and the reason.

The kinds of faults are those that people met with real exports.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from nextbest.domain.times import format_time
from nextbest.errors import FileUnusable, InvalidInput
from nextbest.event_files.columns import ColumnNames
from nextbest.event_files.delimited import SWALLOWED_ROWS
from nextbest.event_files.reader import EventRow, RejectedRow, read_rows
from nextbest.event_files.rows import NAMES_OF_NOTHING, RowRules

NOW = 1_800_000_000.0
HEADER = "user_id,event_type,asset_id,timestamp,labels\n"


def read(
    folder: Path, content: str | bytes, columns: str = "", *, literal_nulls: bool = False, name: str = "events.csv"
) -> list[EventRow | RejectedRow]:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    names = ColumnNames.parse([columns] if columns else [])
    return list(read_rows(path, RowRules(NOW, names, literal_nulls)))


def accepted(rows: list[EventRow | RejectedRow]) -> list[tuple[int, str]]:
    return [(row.line, row.event.asset_id) for row in rows if isinstance(row, EventRow)]


def rejected(rows: list[EventRow | RejectedRow]) -> list[tuple[int, str]]:
    return [(row.line, row.reason) for row in rows if isinstance(row, RejectedRow)]


def test_a_row_is_an_event(tmp_path: Path) -> None:
    (row,) = read(tmp_path, HEADER + "ada, order,flat-white ,1700000000,app|morning\n")

    assert isinstance(row, EventRow)
    assert (row.number, row.line) == (1, 2)
    assert (row.event.user_id, row.event.event_type, row.event.asset_id) == ("ada", "order", "flat-white")
    assert format_time(row.event.timestamp_us) == "2023-11-14T22:13:20Z"
    assert row.event.labels == ("app", "morning")


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        *(("12.50", 12.5), (" -3 ", -3.0), (".5", 0.5), ("1e3", 1000.0), ("0", 0.0), ("-1000000000000000", -1e15)),
        *(("", None), (" ", None), ("NaN", None), ("NULL", None), ("n/a", None)),
    ],
)
@pytest.mark.parametrize("column", ["value", " Value"])
def test_a_row_may_say_what_its_event_is_worth(tmp_path: Path, column: str, cell: str, value: float | None) -> None:
    (row,) = read(tmp_path, f"user_id,event_type,asset_id,timestamp,{column}\nada,order,tea,0,{cell}\n")

    assert isinstance(row, EventRow)
    assert row.event.event_value == value


@pytest.mark.parametrize("cell", ["dear", '"1,5"', "12 €", "true", "inf", "1e16", "-1e400", "0x1f", "1_000", "١"])
def test_a_row_whose_value_is_no_number_is_rejected(tmp_path: Path, cell: str) -> None:
    rows = read(tmp_path, f"user_id,event_type,asset_id,timestamp,value\nada,order,tea,0,{cell}\nada,order,tea,1,1\n")

    assert rejected(rows) == [(2, "value must be a number from -1e+15 to 1e+15")]
    assert accepted(rows) == [(3, "tea")]


def test_a_column_with_another_name_is_mapped_to_the_value(tmp_path: Path) -> None:
    content = "user_id,event_type,asset_id,timestamp,price,value\nada,order,tea,0,2.5,high\n"
    (row,) = read(tmp_path, content, "price=value")

    assert isinstance(row, EventRow)
    assert row.event.event_value == 2.5


def test_two_columns_of_values_are_one_too_many(tmp_path: Path) -> None:
    with pytest.raises(FileUnusable, match="appears more than once"):
        read(tmp_path, "user_id,event_type,asset_id,timestamp,value,VALUE\nada,order,tea,0,1,2\n")


def test_a_stray_quote_in_a_column_that_is_not_read_costs_its_own_row_alone(tmp_path: Path) -> None:
    """Given two stray quotes, fifteen rows apart, when read as CSV, then they must not pair up."""
    descriptions = {5: '"5 inch pipe', 20: '"7 inch pipe'}
    lines = [f"u{n},buy,a{n},{1_700_000_000 + n},{descriptions.get(n, f'plain text {n}')}" for n in range(40)]
    rows = read(tmp_path, "\n".join(["user_id,event_type,asset_id,timestamp,description", *lines]) + "\n")

    assert accepted(rows) == [(n + 2, f"a{n}") for n in range(40) if n not in descriptions]
    assert [line for line, _ in rejected(rows)] == [7, 22]
    assert "closing quote" in rejected(rows)[0][1]
    assert "not closed" in rejected(rows)[1][1]


def test_stray_quotes_that_make_a_proper_cell_are_noticed_by_the_rows_in_it(tmp_path: Path) -> None:
    text = 'u1,buy,a1,1,"5 inch\nu2,buy,a2,2,plain\nu3,buy,a3,3,pipe of 5"\nu4,buy,a4,4,plain\n'
    rows = read(tmp_path, "user_id,event_type,asset_id,timestamp,description\n" + text)

    assert rejected(rows) == [(2, SWALLOWED_ROWS)]
    assert accepted(rows) == [(3, "a2"), (4, "a3"), (5, "a4")]


def test_stray_quotes_in_the_first_column_are_noticed_by_the_row_before_them(tmp_path: Path) -> None:
    text = "description,user_id,event_type,asset_id,timestamp\n"
    text += '"5 inch,u1,buy,a1,1\npipe of 5",u2,buy,a2,2\n"of two\nlines",u3,buy,a3,3\n'
    rows = read(tmp_path, text)

    assert rejected(rows) == [(2, SWALLOWED_ROWS)]
    assert accepted(rows) == [(3, "a2"), (4, "a3")]


def test_stray_quotes_that_shift_cells_over_lines_are_noticed_by_the_width(tmp_path: Path) -> None:
    text = 'u1,buy,a1,1,"x\nu2,",buy,a2",2,plain\nu3,buy,a3,3,\n'
    rows = read(tmp_path, HEADER + text)

    assert accepted(rows) == [(4, "a3")]
    assert [line for line, _ in rejected(rows)] == [2, 3]


@pytest.mark.parametrize(
    "end", ['u1,buy,a1,1,"never closed\nu2,buy,a2,2,\n', 'u1,buy,a1,1,"never closed\nu2,buy,a2,2,']
)
def test_a_quote_that_is_never_closed_costs_its_own_row_alone(tmp_path: Path, end: str) -> None:
    rows = read(tmp_path, HEADER + end)

    assert rejected(rows) == [(2, "a quote is opened and not closed")]
    assert accepted(rows) == [(3, "a2")]


def test_a_quote_that_is_not_closed_for_very_long_costs_its_own_row_alone(tmp_path: Path) -> None:
    later = "".join(f"u,buy,a,{1_700_000_000 + n},\n" for n in range(20_000))
    rows = read(tmp_path, HEADER + 'u1,buy,a1,1,"never closed\n' + later)

    assert rejected(rows) == [(2, "a quote is opened and not closed, or a cell is too long")]
    assert len(accepted(rows)) == 20_000


def test_quotes_within_a_cell_that_is_not_quoted_are_text(tmp_path: Path) -> None:
    assert accepted(read(tmp_path, HEADER + 'u1,buy,5" pipe,1,\n')) == [(2, '5" pipe')]


def test_line_numbers_are_those_of_an_editor(tmp_path: Path) -> None:
    """Given blank lines and cells with line breaks of both kinds, then each row has the line on which it begins."""
    text = (
        "\n" + "note,user_id,event_type,asset_id,timestamp\r\n"
        'plain,u1,buy,a1,1\n"two\nlines",u2,buy,a2,2\n\n   \n"three\r\nmore\r\nlines",u3,buy,a3,3\n'
        "plain,u4,buy,,4\nplain,u5,buy,a5,5"
    )
    rows = read(tmp_path, text)

    assert accepted(rows) == [(3, "a1"), (4, "a2"), (8, "a3"), (12, "a5")]
    assert rejected(rows) == [(11, "asset_id is empty")]
    assert [row.number for row in rows] == [1, 2, 3, 4, 5]


def test_the_first_line_end_rules(tmp_path: Path) -> None:
    old_mac = HEADER.replace("\n", "\r") + "u1,buy,a1,1,\ru2,buy,a2,2,\r"
    assert accepted(read(tmp_path, old_mac)) == [(2, "a1"), (3, "a2")]
    rows = read(tmp_path, HEADER + "u1,buy,a\r1,1,\nu2,buy,a2,2,\n")
    assert rejected(rows) == [(2, "a carriage return stands in a cell that is not quoted")]
    assert accepted(rows) == [(3, "a2")]


def test_a_row_that_is_longer_than_the_header_is_rejected(tmp_path: Path) -> None:
    """Given an unquoted comma in a name, then no cell is taken for its neighbour's column."""
    text = (
        "user_id,event_type,product_name,asset_id,timestamp,price\n"
        "u1,buy,Coffee,85123,1700000000,9\nu2,buy,Tea, green,85124,1700000000,9\n"
        'u3,buy,"Tea, black",85125,1700000000,9\n'
    )
    rows = read(tmp_path, text)

    assert accepted(rows) == [(2, "85123"), (4, "85125")]
    assert rejected(rows) == [(3, "more cells than the header has columns")]


def test_cells_that_a_spreadsheet_left_out_at_the_end_are_empty_where_they_are_optional(tmp_path: Path) -> None:
    rows = read(tmp_path, HEADER + "u1,buy,a1,1700000000,x\nu2,buy,a2,1700000000\nu3,buy,a3\nu4\n")

    assert accepted(rows) == [(2, "a1"), (3, "a2")]
    assert rejected(rows) == [(4, "too few cells"), (5, "too few cells")]


def test_a_required_column_at_the_end_is_not_padded(tmp_path: Path) -> None:
    rows = read(tmp_path, "labels,user_id,event_type,asset_id,timestamp\nx,u1,buy,a1,1\nx,u2,buy,a2\n")

    assert accepted(rows) == [(2, "a1")]
    assert rejected(rows) == [(3, "too few cells")]


@pytest.mark.parametrize("name", [*sorted(NAMES_OF_NOTHING), "NULL", "NaN", "None", r"\N", "N/A", " Null "])
def test_names_of_nothing_in_required_columns_are_rejected_unless_they_are_meant(tmp_path: Path, name: str) -> None:
    text = HEADER + "".join(
        f"{row}\n"
        for row in (f"{name},buy,a,1,", f"u,{name},a,2,", f"u,buy,{name},3,", f"u,buy,a,{name},", "u,buy,a,5,")
    )
    rows = read(tmp_path, text)

    assert [line for line, _ in accepted(rows)] == [6]
    reason = "stands for nothing (NULL, NaN, None or the like)"
    assert rejected(rows) == [
        (2, f"user_id {reason}"),
        (3, f"event_type {reason}"),
        (4, f"asset_id {reason}"),
        (5, f"timestamp {reason}"),
    ]
    literal = read(tmp_path, text, literal_nulls=True)
    assert [line for line, _ in accepted(literal)] == [2, 3, 4, 6]


def test_words_that_only_contain_a_name_of_nothing_are_ids(tmp_path: Path) -> None:
    assert len(accepted(read(tmp_path, HEADER + "nullah,nanny,nonesuch,1,\nundefined-1,buy,0,2,\n"))) == 2


@pytest.mark.parametrize(
    ("timestamp", "expected"),
    [
        ("20240221", "2024-02-21T00:00:00Z"),
        ("2019-10-01 00:00:00 UTC", "2019-10-01T00:00:00Z"),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z"),
    ],
)
def test_times_are_read_by_the_one_rule(tmp_path: Path, timestamp: str, expected: str) -> None:
    (row,) = read(tmp_path, HEADER + f"u,buy,a,{timestamp},\n")

    assert isinstance(row, EventRow)
    assert format_time(row.event.timestamp_us) == expected


@pytest.mark.parametrize("timestamp", ["2024", "202402", "45343", "1700000000000", "9999-12-31", "1969-12-31", "soon"])
def test_what_is_no_time_is_rejected_by_the_one_rule(tmp_path: Path, timestamp: str) -> None:
    ((line, reason),) = rejected(read(tmp_path, HEADER + f"u,buy,a,{timestamp},\n"))

    assert line == 2
    assert reason.startswith("timestamp ")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (f"{'u' * 257},buy,a,1,", "user_id is longer than 256 characters"),
        (f"u,{'b' * 129},a,1,", "event_type is longer than 128 characters"),
        (f"u,buy,{'é' * 65},1,", "asset_id is longer than 64 characters"),
        (f"u,buy,a,1,{'y' * 65}", "a label is longer than 64 characters"),
        (f"u,buy,a,1,{'|'.join(str(n) for n in range(101))}", "labels are more than 100"),
        ('"u\nv",buy,a,1,', "user_id holds a line break or another control character"),
        ('"u\n",buy,a,1,', "user_id holds a line break or another control character"),
        ("u,bu\x00y,a,1,", "event_type holds a line break or another control character"),
        ("u,buy,a\tb,1,", "asset_id holds a line break or another control character"),
        ("u,buy,a\x7f,1,", "asset_id holds a line break or another control character"),
        ('u,buy,a,1,"x\ny"', "a label holds a line break or another control character"),
        (" ,buy,a,1,", "user_id is empty"),
        ("u,,a,1,", "event_type is empty"),
        ('u,buy,"",1,', "asset_id is empty"),
        ("u,buy,a,,", "timestamp is empty"),
    ],
)
def test_ids_and_labels_are_those_that_post_events_takes(tmp_path: Path, row: str, reason: str) -> None:
    assert rejected(read(tmp_path, HEADER + row + "\n")) == [(2, reason)]


def test_ids_of_the_largest_length_are_accepted(tmp_path: Path) -> None:
    row = f"{'é' * 256},{'b' * 128},{'語' * 64},1,{'|'.join('y' * 60 + str(n) for n in range(100))}"
    assert len(accepted(read(tmp_path, HEADER + row + "\n"))) == 1


@pytest.mark.parametrize(
    ("cell", "labels"),
    [
        ('"[""app"",""morning""]"', ("app", "morning")),
        ("app|morning|app", ("app", "morning")),
        (" morning |app;; morning|in-store ", ("morning", "app", "in-store")),
        ('"app,morning"', ("app,morning",)),
        ("[app", ("[app",)),
        ("[]", ()),
        ("", ()),
        ("NULL", ()),
    ],
)
def test_labels_are_a_list_or_stand_between_bars_or_semicolons(
    tmp_path: Path, cell: str, labels: tuple[str, ...]
) -> None:
    (row,) = read(tmp_path, HEADER + f"u,buy,a,1,{cell}\n")

    assert isinstance(row, EventRow)
    assert row.event.labels == labels


@pytest.mark.parametrize("delimiter", ["\t", ";", "|"])
def test_the_delimiter_is_the_header_s(tmp_path: Path, delimiter: str) -> None:
    rows = [
        ["price", *HEADER.strip().split(",")],
        ["1,5", "u1", "buy", "a,1", "1"],
        [f'"1{delimiter}5"', "u2", "buy", "a2", "2"],
    ]

    assert accepted(read(tmp_path, "".join(f"{delimiter.join(row)}\n" for row in rows))) == [(2, "a,1"), (3, "a2")]


def test_columns_in_any_order_are_known_by_name(tmp_path: Path) -> None:
    (row,) = read(tmp_path, "Event_Timestamp, colour, asset_id ,USER_ID,event_type\n1,red,a,u,buy\n")

    assert isinstance(row, EventRow)
    assert (row.event.user_id, row.event.asset_id, row.event.timestamp_us) == ("u", "a", 1_000_000)


def test_columns_with_other_names_are_mapped(tmp_path: Path) -> None:
    text = "event_time,event_type,product_id,user_id,timestamp\n2019-10-01 00:00:00 UTC,view,1000,u0,x\n"
    (row,) = read(tmp_path, text, "event_time=timestamp, Product_ID = asset_id")

    assert isinstance(row, EventRow)
    assert row.event.asset_id == "1000"
    assert format_time(row.event.timestamp_us) == "2019-10-01T00:00:00Z"


def test_names_with_commas_and_equals_signs_are_mapped_quoted(tmp_path: Path) -> None:
    text = '"user, id",a=b,event_type,timestamp\nu,x,buy,1\n'
    assert accepted(read(tmp_path, text, '"user, id=user_id",a=b=asset_id')) == [(2, "x")]


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ("user", "'user' is not a pair of a column and its meaning"),
        ("=user_id", "is not a pair"),
        ("user=", "is not one of user_id, event_type"),
        (
            "user_id=user",
            "user is not one of user_id, event_type, asset_id, timestamp, labels, value; write user=user_id",
        ),
        ("a=user_id,b=user_id", "user_id is mapped more than once"),
        ('"a=user_id', "is not a list of pairs"),
    ],
)
def test_a_wrong_mapping_is_refused(columns: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        ColumnNames.parse([columns])


@pytest.mark.parametrize(
    ("header", "columns", "reason"),
    [
        ("user_id,timestamp", "", "missing column event_type, asset_id; found user_id, timestamp. Needed: user_id, "),
        ("user_id,event_type,asset_id,timestamp,user_id", "", "user_id appears more than once"),
        ("user_id,event_type,asset_id,timestamp,event_timestamp", "", "timestamp appears more than once"),
        ("user_id,event_type,asset_id,timestamp", "user=user_id", "missing column user; found user_id"),
        ("user_id,event_type,asset_id,timestamp", "tags=labels", "missing column tags"),
        ("u1,buy,a1,1700000000", "", "missing column user_id"),
        ('"user_id', "", "line 1: the header cannot be read: a quote is opened and not closed"),
    ],
)
def test_a_wrong_header_is_refused_with_what_is_needed(tmp_path: Path, header: str, columns: str, reason: str) -> None:
    with pytest.raises(FileUnusable, match=reason):
        read(tmp_path, header + "\n", columns)
