"""Kinds of files of events: packed text, JSON Lines, Parquet; one that is damaged is refused in one line."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from sys import version_info

import pytest

from nextbest.errors import FileUnusable
from nextbest.event_files.columns import ColumnNames
from nextbest.event_files.reader import EventRow, RejectedRow, check_file, read_rows
from nextbest.event_files.rows import RowRules

NOW = 1_800_000_000.0
HEADER = "user_id,event_type,asset_id,timestamp,labels\n"
MILLISECONDS = "looks like milliseconds since 1970: divide by 1,000 to get seconds"


def read(
    folder: Path, content: str | bytes, columns: str = "", name: str = "events.csv"
) -> list[EventRow | RejectedRow]:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(read_rows(path, RowRules(NOW, ColumnNames.parse([columns] if columns else []))))


def check(folder: Path, content: bytes, name: str = "events.csv") -> int:
    path = folder / name
    path.write_bytes(content)
    return check_file(path, RowRules(NOW))


def accepted(rows: list[EventRow | RejectedRow]) -> list[tuple[int, str]]:
    return [(row.line, row.event.asset_id) for row in rows if isinstance(row, EventRow)]


def rejected(rows: list[EventRow | RejectedRow]) -> list[tuple[int, str]]:
    return [(row.line, row.reason) for row in rows if isinstance(row, RejectedRow)]


def compress_zstd(content: bytes) -> bytes:
    zstd = import_module("compression.zstd" if version_info >= (3, 14) else "backports.zstd")
    # As the command zstd does; without a checksum damage may pass unseen.
    compressed: bytes = zstd.compress(content, options={zstd.CompressionParameter.checksum_flag: 1})
    return compressed


@pytest.mark.parametrize("name", ["events.csv", "events", "events.parquet"])
def test_the_same_rows_are_read_however_they_are_packed_and_named(tmp_path: Path, name: str) -> None:
    content = ("\ufeff" + HEADER + 'ada,order,"flat, white",0,\n').encode()
    packed = [content, gzip.compress(content), gzip.compress(content[:20]) + gzip.compress(content[20:])]

    for file in (*packed, compress_zstd(content)):
        assert accepted(read(tmp_path, file, name=name)) == [(2, "flat, white")]
        assert check(tmp_path, file, name) == 2


GOOD = (HEADER + "".join(f"u{n},buy,a{n % 97},{1_700_000_000 + n},\n" for n in range(2_000))).encode()


def damaged(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (gzip.compress(b"", mtime=0), "is empty"),
        (HEADER.encode(), "has no rows"),
        (damaged(gzip.compress(GOOD, mtime=0), 2_000), "cannot read"),
        (damaged(gzip.compress(GOOD, mtime=0), -6), "cannot read"),
        (damaged(gzip.compress(GOOD, mtime=0), -2), "cannot read"),
        (gzip.compress(GOOD, mtime=0)[:-3], "cannot read"),
        (gzip.compress(GOOD, mtime=0)[:2_000], "cannot read"),
        (gzip.compress(GOOD, mtime=0) + b"rubbish", "cannot read"),
        (damaged(compress_zstd(GOOD), 1_000), "cannot read"),
        (compress_zstd(GOOD)[:-3], "cannot read"),
        (GOOD + b"\xff\xfe,a,b,0,\n", "line 2002 is not UTF-8 text"),
        (GOOD + "é".encode()[:1], "cut off within a character"),
        ("\ufeff".encode("utf-16") + GOOD, "UTF-16"),
        (b"PK\x03\x04" + GOOD, "a zip file or a spreadsheet"),
        (b"BZh91AY" + GOOD, "bzip2"),
        (b"\xfd7zXZ\x00" + GOOD, "xz"),
        (b"PAR1" + GOOD, "cannot read"),
        (b"[" + json.dumps({"user_id": "u"}).encode() + b"]", "one JSON array; an object a line"),
        (b"x" * 200_000 + b"\n" + GOOD, "the header cannot be read"),
        (b"x" * (1 << 20) + GOOD, "a line of more than"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_whole_is_refused_in_one_line(tmp_path: Path, content: bytes, reason: str) -> None:
    with pytest.raises(FileUnusable) as refusal:
        check(tmp_path, content)

    assert reason in refusal.value.message
    assert str(tmp_path / "events.csv") in refusal.value.message
    assert "\n" not in refusal.value.message


def test_wherever_a_gzip_file_is_damaged_or_cut_off_nothing_is_taken_for_whole(tmp_path: Path) -> None:
    packed = gzip.compress(GOOD, mtime=0)
    header_bytes = 10  # name, time and system, of which a change harms nothing

    for place in range(header_bytes, len(packed), 211):
        for content in (damaged(packed, place), packed[:place]):
            with pytest.raises(FileUnusable):
                check(tmp_path, content)


def test_no_regular_file_is_refused(tmp_path: Path) -> None:
    for path, reason in (
        (tmp_path / "none.csv", "there is no file"),
        (tmp_path, "is a folder"),
        (Path("/dev/null"), "regular"),
    ):
        with pytest.raises(FileUnusable, match=reason):
            check_file(path, RowRules(NOW))


JSON_ROW = {"user_id": "u", "event_type": "buy", "asset_id": "a", "timestamp": 1700000000}


def json_lines(*rows: object) -> str:
    return "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)


def test_json_lines_are_read_by_the_same_rules(tmp_path: Path) -> None:
    rows = read(
        tmp_path,
        json_lines(
            JSON_ROW | {"labels": ["app", " morning "], "more": {"x": [1]}, "value": 2.5},
            "",
            JSON_ROW | {"asset_id": 85123, "labels": "app|morning", "value": "-3"},
            JSON_ROW | {"timestamp": "2024-02-21", "labels": None, "value": float("nan")},
            '{"user_id": "u", "event_type": "buy", "asset_id": 12345678901234567890, "timestamp": 1700000000.123456}',
        ),
        name="events.jsonl",
    )

    assert accepted(rows) == [(1, "a"), (3, "85123"), (4, "a"), (5, "12345678901234567890")]
    events = [row.event for row in rows if isinstance(row, EventRow)]
    assert [event.labels for event in events] == [("app", "morning"), ("app", "morning"), (), ()]
    assert [event.event_value for event in events] == [2.5, -3.0, None, None]
    assert events[-1].timestamp_us == 1_700_000_000_123_456


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("{nonsense", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("[1]", "not a JSON object"),
        (JSON_ROW | {"user_id": None}, "user_id is missing"),
        ({"user_id": "u"}, "event_type is missing"),
        (JSON_ROW | {"user_id": True}, "user_id is not text"),
        (JSON_ROW | {"user_id": ["u"]}, "user_id is not text"),
        (JSON_ROW | {"asset_id": {"id": 1}}, "asset_id is not text"),
        (JSON_ROW | {"user_id": "a\nb"}, "user_id holds a line break or another control character"),
        (JSON_ROW | {"user_id": "\ud800"}, "user_id holds a line break or another control character"),
        (JSON_ROW | {"labels": [1, None]}, "a label is not text"),
        (JSON_ROW | {"labels": {"a": 1}}, "labels is not text"),
        (JSON_ROW | {"user_id": float("nan")}, "user_id stands for nothing (NULL, NaN, None or the like)"),
        (JSON_ROW | {"timestamp": 1700000000000}, f"timestamp {MILLISECONDS}"),
        (JSON_ROW | {"value": True}, "value is not a number"),
        (JSON_ROW | {"value": [1]}, "value is not a number"),
        (JSON_ROW | {"value": float("inf")}, "value must be a number from -1e+15 to 1e+15"),
        (JSON_ROW | {"value": 10**400}, "value must be a number from -1e+15 to 1e+15"),
    ],
)  # fmt: skip
def test_an_object_that_is_no_event_is_rejected(tmp_path: Path, row: object, reason: str) -> None:
    rows = read(tmp_path, json_lines(JSON_ROW, row, JSON_ROW))

    assert rejected(rows) == [(2, reason)]
    assert [line for line, _ in accepted(rows)] == [1, 3]


def test_json_lines_with_other_names_are_mapped(tmp_path: Path) -> None:
    text = json_lines({"who": "u", "event_type": "buy", "asset_id": "a", "event_timestamp": "2024-02-21"})

    assert accepted(read(tmp_path, text, "who=user_id")) == [(1, "a")]
    with pytest.raises(FileUnusable, match="missing column user_id; found who"):
        read(tmp_path, text)


def test_damage_is_found_where_the_checksum_alone_shows_it() -> None:
    """The case that many readers miss: the stream unpacks, and only its checksum tells that it is another one."""
    packed = gzip.compress(GOOD)

    assert zlib.decompress(damaged(packed, -6)[10:-8], -zlib.MAX_WBITS) == GOOD


PARQUET_COLUMNS = {
    "user_id": "'u' || i",
    "event_type": "'buy'",
    "asset_id": "i",
    "timestamp": "to_timestamp(1700000000 + i)",
    "labels": "['app', 'x' || i]",
    "more": "{'a': i}",
}


def write_parquet(path: Path, rows: int = 3, columns: Mapping[str, str] | None = None) -> Path:
    import duckdb

    selected = ", ".join(
        f'{value} AS "{name}"' for name, value in {**PARQUET_COLUMNS, **(columns or {})}.items() if value
    )
    with duckdb.connect(":memory:") as connection:
        connection.execute(f"CREATE TABLE events AS SELECT {selected} FROM range({rows}) numbers(i)")
        connection.table("events").write_parquet(str(path), compression="zstd")
    return path


def test_parquet_is_read_by_the_same_rules(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "events.parquet", columns={"user_id": "nullif('u' || i, 'u1')"})
    rows = list(read_rows(path, RowRules(NOW)))

    assert check_file(path, RowRules(NOW)) == 3
    assert accepted(rows) == [(1, "0"), (3, "2")]
    assert rejected(rows) == [(2, "user_id is missing")]
    (first, _, _) = rows
    assert isinstance(first, EventRow)
    assert (first.event.user_id, first.event.labels) == ("u0", ("app", "x0"))
    assert first.event.timestamp_us == 1_700_000_000_000_000


@pytest.mark.parametrize(
    ("timestamp", "expected_us"),
    [
        ("1700000000 + i", 1_700_000_000_000_000),
        ("1700000000.25::DOUBLE + i", 1_700_000_000_250_000),
        ("make_timestamp(1700000000123456 + i)", 1_700_000_000_123_456),
        ("make_timestamp(1700000000123456 + i)::TIMESTAMPTZ", 1_700_000_000_123_456),
        ("DATE '2023-11-14'", 1_699_920_000_000_000),
        ("'2023-11-14T22:13:20Z'", 1_700_000_000_000_000),
        ("'1700000000'::BLOB", 1_700_000_000_000_000),
    ],
)
def test_times_of_every_type_of_parquet_are_read(tmp_path: Path, timestamp: str, expected_us: int) -> None:
    rows = list(read_rows(write_parquet(tmp_path / "events", 1, {"timestamp": timestamp, "labels": ""}), RowRules(NOW)))

    assert [row.event.timestamp_us for row in rows if isinstance(row, EventRow)] == [expected_us]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *(("2.5::DOUBLE", 2.5), ("-19.99::DECIMAL(38, 2)", -19.99), ("7::BIGINT", 7.0), ("'1e3'", 1000.0)),
        *(("NULL::DOUBLE", None), ("'NaN'::DOUBLE", None), ("1e-7::DOUBLE", 1e-7)),
    ],
)
def test_values_of_every_type_of_parquet_are_read(tmp_path: Path, value: str, expected: float | None) -> None:
    rows = list(read_rows(write_parquet(tmp_path / "events", 1, {"value": value}), RowRules(NOW)))

    assert [row.event.event_value for row in rows if isinstance(row, EventRow)] == [expected]


@pytest.mark.parametrize("value", ["true", "'infinity'::DOUBLE", "1e20", "DATE '2023-11-14'"])
def test_values_of_parquet_that_are_no_numbers_are_rejected(tmp_path: Path, value: str) -> None:
    rows = list(read_rows(write_parquet(tmp_path / "events", 1, {"value": value}), RowRules(NOW)))

    assert rejected(rows) == [(1, "value must be a number from -1e+15 to 1e+15")]


def test_milliseconds_in_parquet_are_refused_as_elsewhere(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "events", 1, {"timestamp": "1700000000000 + i"})
    assert rejected(list(read_rows(path, RowRules(NOW)))) == [(1, f"timestamp {MILLISECONDS}")]


@pytest.mark.parametrize(
    ("columns", "mapping", "reason"),
    [
        ({"user_id": ""}, "", "missing column user_id; found event_type"),
        ({"asset_id": "{'a': 1}"}, "", "column asset_id holds STRUCT values, not asset_id"),
        ({"asset_id": "[1]"}, "", "column asset_id holds INTEGER[] values, not asset_id"),
        ({"labels": "[1]"}, "", "column labels holds INTEGER[] values, not labels"),
        ({"value": "[1.5]"}, "", "column value holds DECIMAL"),
        ({}, "x=user_id", "missing column x; found user_id"),
    ],
)
def test_a_parquet_file_with_other_columns_is_refused(
    tmp_path: Path, columns: dict[str, str], mapping: str, reason: str
) -> None:
    path = write_parquet(tmp_path / "events.parquet", columns=columns)
    with pytest.raises(FileUnusable) as refusal:
        check_file(path, RowRules(NOW, ColumnNames.parse([mapping] if mapping else [])))

    assert reason in refusal.value.message


def test_columns_of_parquet_with_any_name_are_mapped(tmp_path: Path) -> None:
    name = 'a""; DROP TABLE x --'
    path = write_parquet(tmp_path / "events", 1, {"user_id": "", name: "'u'"})
    rules = RowRules(NOW, ColumnNames({"user_id": name.replace('""', '"')}))

    assert accepted(list(read_rows(path, rules))) == [(1, "0")]


@pytest.mark.parametrize("name", ["a*.parquet", "a[1].parquet", "it's.parquet", "$(x) `y`.parquet", "a?.csv"])
def test_the_name_of_a_file_is_no_pattern_and_no_sql(tmp_path: Path, name: str) -> None:
    write_parquet(tmp_path / "a1.parquet", rows=5)
    write_parquet(tmp_path / "a1.csv", rows=5)
    other = write_parquet(tmp_path / "other", rows=2)

    assert len(list(read_rows(other.rename(tmp_path / name), RowRules(NOW)))) == 2


def test_damaged_parquet_is_refused_in_one_line(tmp_path: Path) -> None:
    content = write_parquet(tmp_path / "whole.parquet", rows=5_000).read_bytes()
    middle = len(content) // 4
    for damage in (
        content[:8],
        content[:-20],
        content[:-8] + bytes(8),
        content[:middle] + bytes(40) + content[middle + 40 :],
    ):
        with pytest.raises(FileUnusable, match="cannot read") as refusal:
            check(tmp_path, damage, "events.parquet")

        assert str(tmp_path / "events.parquet") in refusal.value.message
        assert "\n" not in refusal.value.message


def test_a_parquet_file_without_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileUnusable, match="has no rows"):
        check_file(write_parquet(tmp_path / "events.parquet", rows=0), RowRules(NOW))
