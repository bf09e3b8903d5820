"""CSV and TSV, strictly: every line of the file is in a row that is read, or in one that is rejected with its line.

A quote that is opened and not closed would swallow the lines that follow, silently if another stray quote closes it.
So a record that cannot be read, or that swallowed a line which is a row of its own, is rejected with its first line
alone, and reading continues with the second one.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence

DELIMITERS = ",\t;|"
# How far a quote that is not closed is followed.
MAX_CELL_CHARACTERS = 128 * 1024

_REASONS = {
    "unexpected end of data": "a quote is opened and not closed",
    "field larger than field limit": "a quote is opened and not closed, or a cell is too long",
    "expected after": "text follows a closing quote: quotes inside a quoted cell must be doubled",
    "new-line character": "a carriage return stands in a cell that is not quoted",
}
SWALLOWED_ROWS = "a quoted cell runs on over lines that look like rows: a quote is not closed"


class _Lines:
    """Lines with their numbers, of which the latest can be given back."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self._given_back: list[str] = []
        self.record: list[str] = []
        """The lines taken since it was last cleared."""
        self.number = 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._given_back.pop() if self._given_back else next(self._lines)
        self.number += 1
        self.record.append(line)
        return line

    def give_back_all_but_the_first(self) -> None:
        self._given_back.extend(reversed(self.record[1:]))
        self.number -= len(self.record) - 1


def delimiter_of(header: str, wanted: Callable[[Sequence[str]], int]) -> str:
    """The delimiter of a header line: the one that makes most of the ``wanted`` columns; in doubt the comma."""

    def wanted_with(delimiter: str) -> int:
        try:
            return wanted(next(csv.reader([header], delimiter=delimiter), []))
        except csv.Error:
            return 0

    return max(DELIMITERS, key=wanted_with)


def read_records(
    lines: Iterator[str], delimiter: str, is_row: Callable[[Sequence[str]], bool]
) -> Iterator[tuple[int, list[str] | str]]:
    """The number of each record's first line, and its cells or, as text, the reason why they cannot be read.

    The header comes first; blank lines are left out, and rows may be shorter than the header, but not longer.
    ``is_row`` tells whether cells are a row of their own.
    """
    csv.field_size_limit(MAX_CELL_CHARACTERS)
    source = _Lines(lines)
    reader = csv.reader(source, delimiter=delimiter, strict=True)
    width = 0
    while True:
        first = source.number + 1
        source.record.clear()
        try:
            cells = next(reader, None)
        except csv.Error as error:
            source.give_back_all_but_the_first()
            yield first, _reason(error)
            continue
        if cells is None:
            return
        if len(cells) < 2 and not "".join(source.record).strip():
            continue
        width = width or len(cells)
        if len(source.record) > 1 and _swallowed_rows(source.record, cells, width, delimiter, is_row):
            source.give_back_all_but_the_first()
            yield first, SWALLOWED_ROWS
        elif len(cells) > width:
            yield first, "more cells than the header has columns"
        else:
            yield first, cells


def _swallowed_rows(
    record: Sequence[str], cells: Sequence[str], width: int, delimiter: str, is_row: Callable[[Sequence[str]], bool]
) -> bool:
    """Whether a record of several lines came about by a quote that is not closed.

    Of a proper record no line is a row, but for one: where the first cell has line breaks, the last line ends that cell
    and has all others. There the first line is looked at without its quote.
    """
    first_cell_goes_on = any(end in cells[0] for end in "\r\n")
    suspects = [*record[1:-1], record[0].removeprefix('"') if first_cell_goes_on else record[-1]]
    return len(cells) != width or any(_is_row_alone(line, delimiter, is_row) for line in suspects)


def _is_row_alone(line: str, delimiter: str, is_row: Callable[[Sequence[str]], bool]) -> bool:
    try:
        return is_row(next(csv.reader([line], delimiter=delimiter, strict=True), []))
    except csv.Error:
        return False


def _reason(error: csv.Error) -> str:
    text = str(error)
    return next((reason for part, reason in _REASONS.items() if part in text), f"not valid CSV: {text}")
