"""The rows of a file of events, whatever its kind: CSV, TSV or JSON Lines, plain or compressed, or Parquet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from operator import itemgetter
from pathlib import Path
from typing import Any

from nextbest.domain.events import Event
from nextbest.errors import FileUnusable, InvalidInput
from nextbest.event_files.columns import MEMBERS, REQUIRED
from nextbest.event_files.content import check_text, is_parquet, open_lines
from nextbest.event_files.delimited import delimiter_of, read_records
from nextbest.event_files.json_lines import parse_object, read_objects, values_of
from nextbest.event_files.parquet import check_parquet, read_parquet
from nextbest.event_files.rows import RowRules, Values


@dataclass(frozen=True, slots=True)
class EventRow:
    """A row that is an event. ``number`` counts rows from 1; ``line`` is where the row begins in the file.

    The line counts from 1, header and blank lines included; in Parquet files, which have no lines, it is the number.
    """

    number: int
    line: int
    event: Event


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A row that is not an event, and why; numbered as EventRow is."""

    number: int
    line: int
    reason: str


Outcome = tuple[int, Values | str]
"""The line of a row, and its values in the order of MEMBERS or, as text, the reason why it cannot be read."""


def check_file(path: Path, rules: RowRules) -> int:
    """Read a file to its end once, so that damage is found before anything is done with it.

    Returns about how many rows it has: cells with line breaks and blank lines count as rows here. Raises FileUnusable.
    """
    count = check_parquet(path, rules.columns) if is_parquet(path) else check_text(path)
    if next(read_rows(path, rules), None) is None:
        raise FileUnusable(f"{path} has no rows; a header and rows are needed")
    return count


def read_rows(path: Path, rules: RowRules, *, skip: int = 0) -> Iterator[EventRow | RejectedRow]:
    """Every row of a file but the first ``skip``: an event, or rejected with the reason.

    Raises FileUnusable, also on the way.
    """
    for number, (line, values) in enumerate(islice(_outcomes(path, rules), skip, None), start=skip + 1):
        if isinstance(values, str):
            yield RejectedRow(number, line, values)
            continue
        try:
            yield EventRow(number, line, rules.event(values))
        except InvalidInput as error:
            yield RejectedRow(number, line, error.message)


def _outcomes(path: Path, rules: RowRules) -> Iterator[Outcome]:
    if is_parquet(path):
        yield from read_parquet(path, rules.columns)
        return
    with open_lines(path) as lines:
        head = list(_up_to_the_first(lines))
        if not head:
            raise FileUnusable(f"{path} is empty: it has no rows; a header and rows are needed")
        first = head[-1].strip()
        read = _json_rows if first.startswith(("{", "[")) else _delimited_rows
        yield from read(path, chain(head, lines), first, rules)


def _up_to_the_first(lines: Iterator[str]) -> Iterator[str]:
    """Lines up to the first one that is not blank."""
    for line in lines:
        yield line
        if line.strip():
            return


def _json_rows(path: Path, lines: Iterator[str], first: str, rules: RowRules) -> Iterator[Outcome]:
    if first.startswith("["):
        raise FileUnusable(f"{path} is one JSON array; an object a line is needed (jq -c '.[]' makes it)")
    members = parse_object(first)
    names = [rules.columns.mapped.get(member, member) for member in MEMBERS]
    if isinstance(members, dict):
        # Every object is read as the first one is spelled.
        spellings = list(members)
        places = rules.columns.places(spellings, path)
        names = [spellings[places[name]] if name in places else name for name in MEMBERS]
    for line, found in read_objects(lines):
        try:
            yield line, found if isinstance(found, str) else values_of(found, names)
        except InvalidInput as error:
            yield line, error.message


def _delimited_rows(path: Path, lines: Iterator[str], first: str, rules: RowRules) -> Iterator[Outcome]:
    delimiter = delimiter_of(first, rules.columns.count_in)
    width = 0
    values_of_row: Callable[[Sequence[str]], Any] = tuple

    def is_row(cells: Sequence[str]) -> bool:
        if len(cells) != width:
            return False
        try:
            rules.event(values_of_row([*cells, ""]))
        except InvalidInput:
            return False
        return True

    records = read_records(lines, delimiter, is_row)
    line, header = next(records, (1, []))
    if isinstance(header, str):
        raise FileUnusable(f"{path}, line {line}: the header cannot be read: {header}")
    places = rules.columns.places(header, path)
    width = len(header)
    # A place that no row has stands for a column that is not there: every row is padded to it.
    values_of_row = itemgetter(*(places.get(member, width) for member in MEMBERS))
    shortest = 1 + max(places[member] for member in REQUIRED)
    for line, cells in records:
        if isinstance(cells, str):
            yield line, cells
        elif len(cells) < shortest:
            yield line, "too few cells"
        else:
            cells.extend([""] * (width + 1 - len(cells)))
            yield line, values_of_row(cells)
