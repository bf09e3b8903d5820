"""What an import has stored, and what does not count before the import is committed.

An item may have a second version next to the one that counts: ``staged`` names the attempt that wrote it, and what it
does to the item; ``staged_json`` is the new value. Once the attempt is committed (``imports.py``), all its versions
count at once, whether or not they were moved to where they belong already.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nextbest.aws.table import Item, ItemKey, Table, data, number, text
from nextbest.domain.programs import Incarnation
from nextbest.store import keys

STAGED = "staged"
STAGED_JSON = "staged_json"

ADDED = "+"
"""There is an item only with the import."""

REPLACED = "="
"""There is an item with and without the import."""

REMOVED = "-"
"""There is an item only without the import."""

_ATTEMPT_DIGITS = 12


@dataclass(frozen=True, slots=True)
class ImportState:
    """The imports of a program; each attempt at one has a number of its own, and a dataset one attempt at once.

    ``open`` has the attempts that may still be committed, by dataset; ``committed`` the last ones that were;
    ``unfinished`` those of them whose versions are being moved, each with the resource that records its outcome, as
    kind, name and body. ``version`` counts the changes of the state itself.
    """

    version: int = 0
    attempts: int = 0
    open: Mapping[str, int] = field(default_factory=dict)
    committed: Mapping[str, int] = field(default_factory=dict)
    unfinished: Mapping[str, tuple[int, tuple[str, str, Any]]] = field(default_factory=dict)

    def counts(self, mark: str) -> bool:
        """Whether an item with this mark counts."""
        return mark[-1] != (REMOVED if self.has_committed(mark) else ADDED)

    def has_committed(self, mark: str) -> bool:
        return attempt_of(mark) in self.committed.values()

    def current(self, item: Item, name: str = "body_json") -> Item | None:
        """The item with the value of ``name`` that counts; None where none does."""
        if STAGED not in item:
            return item
        mark = text(item, STAGED)
        if not self.counts(mark):
            return None
        return {**item, name: item[STAGED_JSON]} if self.has_committed(mark) else item


def mark_of(attempt: int, change: str) -> str:
    """The mark of an attempt's version. Marks of later attempts are greater."""
    return f"{attempt:0{_ATTEMPT_DIGITS}d}{change}"


def attempt_of(mark: str) -> int:
    return int(mark[:-1])


def import_state_key(incarnation: Incarnation) -> ItemKey:
    return ItemKey(keys.incarnation_pk(incarnation), keys.IMPORTS)


def read_import_state(table: Table, incarnation: Incarnation) -> ImportState:
    """The imports of a program; those of one that never had any are empty."""
    item = table.get(import_state_key(incarnation))
    return ImportState(number(item, "state_version"), **data(item)) if item is not None else ImportState()


class CurrentVersions:
    """Reads items as they count. The program's imports are read at the first item that has two versions."""

    def __init__(self, table: Table, incarnation: Incarnation) -> None:
        self._table = table
        self._incarnation = incarnation
        self._state: ImportState | None = None

    def of(self, item: Item, name: str = "body_json") -> Item | None:
        """The item with the value of ``name`` that counts; None where none does."""
        if STAGED not in item:
            return item
        if self._state is None:
            self._state = read_import_state(self._table, self._incarnation)
        return self._state.current(item, name)
