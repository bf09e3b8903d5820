"""Long lists in pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from nextbest.console.visits import Visit

ROWS_OF_A_PAGE = 100

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class ListPage(Generic[Row]):
    """Some rows of a list: those of page ``number`` (from 1) of ``count``, of ``total`` rows in all."""

    rows: Sequence[Row]
    number: int
    count: int
    total: int


def page_of(rows: Sequence[Row], visit: Visit, *, rows_of_a_page: int = ROWS_OF_A_PAGE) -> ListPage[Row]:
    """The page of a list that the query parameter ``page`` names; the nearest where there is none."""
    count = max(1, -(-len(rows) // rows_of_a_page))
    number = min(max(visit.whole_number("page", most_digits=8) or 1, 1), count)
    first = (number - 1) * rows_of_a_page
    return ListPage(rows[first : first + rows_of_a_page], number, count, len(rows))
