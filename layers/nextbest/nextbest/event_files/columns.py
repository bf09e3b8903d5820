"""Which column of a file holds which member of an event."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from nextbest.errors import FileUnusable, InvalidInput

REQUIRED = ("user_id", "event_type", "asset_id", "timestamp")
LABELS = "labels"
VALUE = "value"
MEMBERS = (*REQUIRED, LABELS, VALUE)
"""What a row holds of an event, in the order in which every reader gives it."""

_ALSO_CALLED = {"event_timestamp": "timestamp"}


@dataclass(frozen=True, slots=True)
class ColumnNames:
    """The columns of a file by the names it gives them; those that are not mapped have the names of MEMBERS.

    ``mapped`` has the file's name of a column for each member that is mapped. Case and surrounding blanks of names do
    not matter.
    """

    mapped: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, texts: Iterable[str]) -> ColumnNames:
        """The mapping in texts such as ``user=user_id,time=timestamp``: the file's column, then what it is to us.

        A pair may be quoted as in CSV, for names with commas. Raises InvalidInput.
        """
        mapped: dict[str, str] = {}
        for pair in (pair for text in texts for pair in _pairs(text)):
            column, equals, member = (part.strip() for part in pair.rpartition("="))
            member = _ALSO_CALLED.get(member.lower(), member.lower())
            if not equals or not column:
                raise InvalidInput(f"{pair!r} is not a pair of a column and its meaning, such as user=user_id")
            if member not in MEMBERS:
                hint = f"; write {member}={column}" if column.lower() in {*MEMBERS, *_ALSO_CALLED} else ""
                raise InvalidInput(f"{member} is not one of {', '.join(MEMBERS)}{hint}")
            if member in mapped:
                raise InvalidInput(f"{member} is mapped more than once")
            mapped[member] = column
        return cls(mapped)

    def places(self, header: Sequence[str], path: object) -> dict[str, int]:
        """The place of each member in a header. Raises FileUnusable where a required one is missing or there twice."""
        names = [name.strip().lower() for name in header]
        places: dict[str, int] = {}
        for member in MEMBERS:
            found = [place for place, name in enumerate(names) if name in self._names_of(member)]
            if len(found) > 1:
                raise FileUnusable(f"{path}: column {names[found[0]]} appears more than once")
            if found:
                places[member] = found[0]
        needed = (*REQUIRED, *self.mapped)
        missing = [self.mapped.get(member, member) for member in MEMBERS if member in needed and member not in places]
        if missing:
            present = ", ".join(name for name in names if name) or "none"
            raise FileUnusable(
                f"{path}: missing column {', '.join(missing)}; found {present}. Needed: {', '.join(REQUIRED)}"
            )
        return places

    def count_in(self, header: Sequence[str]) -> int:
        """How many members a header has columns for."""
        names = {name.strip().lower() for name in header}
        return sum(not names.isdisjoint(self._names_of(member)) for member in MEMBERS)

    def _names_of(self, member: str) -> set[str]:
        if member in self.mapped:
            return {self.mapped[member].lower()}
        return {member, *(name for name, also in _ALSO_CALLED.items() if also == member)}


def _pairs(text: str) -> list[str]:
    try:
        return next(csv.reader([text], strict=True, skipinitialspace=True))
    except (csv.Error, StopIteration):
        raise InvalidInput(f"{text!r} is not a list of pairs such as user=user_id,time=timestamp") from None
