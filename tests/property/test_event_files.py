"""Whatever a file holds, each of its lines is in a row that is read as it was written, or in one that is rejected."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from nextbest.actionhub.parsing import parse_event_list
from nextbest.domain.times import format_time
from nextbest.event_files.reader import EventRow, RejectedRow, read_rows
from nextbest.event_files.rows import RowRules

NOW = 1_800_000_000.0
HEADER = ["note", "user_id", "event_type", "asset_id", "timestamp", "labels", "value"]
TEXT = st.text(st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from('",\t\n\r|;\x00 ')), max_size=12)
CELLS = st.one_of(TEXT, st.sampled_from(["u", "NULL", "0", "1700000000", "2024-02-21", "20240221", "soon", "[1]"]))
PLAIN = st.text("abcdefghij 0123456789.-", min_size=1, max_size=8).map(lambda text: f"x{text.strip()}")
JSON_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXT),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(HEADER), inner, max_size=6),
)


def read(content: str) -> list[EventRow | RejectedRow]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events"
        path.write_bytes(content.encode())
        return list(read_rows(path, RowRules(NOW)))


@settings(deadline=None)
@given(st.lists(st.lists(CELLS, min_size=5, max_size=7), max_size=12), st.sampled_from(["\n", "\r\n"]))
def test_each_row_of_a_proper_file_is_read_and_post_events_takes_what_is_accepted(
    table: list[list[str]], line_end: str
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator=line_end, quoting=csv.QUOTE_ALL)
    writer.writerow(HEADER)
    first_lines = []
    for cells in table:
        cells.extend([""] * (len(HEADER) - len(cells)))
        first_lines.append(text.getvalue().count("\n") + 1)
        writer.writerow(cells)

    rows = read(text.getvalue())

    assert [row.line for row in rows] == first_lines
    for row, cells in zip(rows, table, strict=True):
        if isinstance(row, EventRow):
            event = row.event
            assert [event.user_id, event.event_type, event.asset_id] == [cell.strip(" \t") for cell in cells[1:4]]
            body = {
                "user_id": event.user_id,
                "event_timestamp": format_time(event.timestamp_us),
                "event_type": event.event_type,
                "asset_id": event.asset_id,
                "labels": list(event.labels),
                "value": event.event_value,
            }
            (parsed,) = parse_event_list({"events": [body]}, now=NOW)
            assert (parsed, parsed.event_value) == (event, event.event_value)


@settings(deadline=None)
@given(
    st.lists(st.tuples(PLAIN, PLAIN, PLAIN, PLAIN), min_size=1, max_size=12),
    st.lists(st.integers(0, 10_000), max_size=2),
    st.booleans(),
)
def test_stray_quotes_swallow_no_row(
    table: list[tuple[str, str, str, str]], strays: list[int], note_is_last: bool
) -> None:
    """Given up to two stray quotes anywhere in the rows, then every line has a verdict, and no cell is another's."""
    names = ["user_id", "event_type", "asset_id", "timestamp"]
    lines = [[*cells[:3], str(1_700_000_000 + number)] for number, cells in enumerate(table)]
    notes = [cells[3] for cells in table]
    content = "\n".join(
        ",".join([*cells, note] if note_is_last else [note, *cells]) for cells, note in zip(lines, notes, strict=True)
    )
    for stray in strays:
        place = stray % (len(content) + 1)
        content = f'{content[:place]}"{content[place:]}'
    rows = read(",".join([*names, "note"] if note_is_last else ["note", *names]) + "\n" + content)

    assert [row.line for row in rows] == list(range(2, 2 + len(table)))
    for row in rows:
        if isinstance(row, EventRow):
            event = row.event
            *ids, timestamp = lines[row.line - 2]
            assert event.timestamp_us == int(timestamp) * 1_000_000
            assert [text.replace('"', "") for text in (event.user_id, event.event_type, event.asset_id)] == ids


@settings(deadline=None)
@given(st.lists(st.one_of(TEXT, JSON_VALUES.map(json.dumps)), max_size=12))
def test_each_line_of_json_has_a_verdict(lines: list[str]) -> None:
    lines = [" ".join(line.split()) for line in lines]
    first = json.dumps({"user_id": "u", "event_type": "buy", "asset_id": "a", "timestamp": 1})
    rows = read("\n".join([first, *lines]))

    assert [row.line for row in rows] == [1, *(number for number, line in enumerate(lines, start=2) if line)]


@settings(deadline=None)
@given(st.text(st.sampled_from('",\n\ru1 a;'), max_size=60))
def test_any_text_has_a_verdict(text: str) -> None:
    """Given any text after a header, then rows begin on rising lines, and there are none only if all are blank."""
    content = "user_id,event_type,asset_id,timestamp\n" + text
    starts = [row.line for row in read(content)]

    assert starts == sorted(set(starts))
    assert starts or not any(line.strip() for line in content.split("\n")[1:])
