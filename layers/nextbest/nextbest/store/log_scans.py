"""Scans of the log: all events of a program. They read the whole table, and are for rebases and reports alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, TypeVar

from nextbest.aws.parallel import in_parallel
from nextbest.aws.table import Item, Table, text
from nextbest.domain.events import Event
from nextbest.domain.programs import Incarnation
from nextbest.store import keys
from nextbest.store.log_rows import add_events, logged_events
from nextbest.store.salts import SALT, salt_in
from nextbest.store.staged import STAGED, STAGED_JSON, ImportState, read_import_state

if TYPE_CHECKING:
    from nextbest.domain.event_columns import EventColumns, EventColumnsBuilder

T = TypeVar("T")

_SEGMENTS = 4
"""Of a scan, read at once: while one is decoded, others are on their way. Two cores decode no more."""


class LogScans:
    """Reads the whole log of one table. A part of ``DynamoStore``."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def scan_events(
        self,
        incarnation: Incarnation,
        *,
        unreadable: Callable[[str], object] = lambda _: None,
        progress: Callable[[int], object] = lambda _: None,
    ) -> EventColumns:
        """All events of a program, as columns. ``unreadable`` is called with the user of each row that cannot be read.

        The segments of the table are read at once, row by row into numbers: no row is held as objects. Now and then
        ``progress`` is called with how many events there are at least; what it raises ends the scan.
        """
        # Imported here: hot reads never scan.
        from nextbest.domain.event_columns import EventColumnsBuilder, merged

        def read(rows: Iterator[Item], state: ImportState) -> tuple[EventColumnsBuilder, set[str]]:
            builder = EventColumnsBuilder()
            return builder, add_events(builder, rows, state, progress=progress)

        segments = self._scan_log(incarnation, f"pk, sk, {STAGED}", read)
        for user_id in sorted(set().union(*(without for _, without in segments))):
            unreadable(user_id)
        return merged([builder for builder, _ in segments])

    def scan_logged_events(self, incarnation: Incarnation) -> Iterator[Event]:
        """All events of a program with all that is kept of them, in no particular order.

        Rows that cannot be read are left out with a warning. ``scan_events`` reads less.
        """

        def bodies(rows: Iterator[Item], state: ImportState) -> list[tuple[str, str, str]]:
            items = (state.current(row) for row in rows)
            return [
                (item["pk"]["S"], item["sk"]["S"], text(item, "body_json") if "body_json" in item else "{}")
                for item in items
                if item is not None
            ]

        projection = f"pk, sk, body_json, {STAGED}, {STAGED_JSON}"
        for pk, sk, body in chain.from_iterable(self._scan_log(incarnation, projection, bodies)):
            yield from logged_events(keys.parse_user_pk(pk), [{"sk": {"S": sk}, "body_json": {"S": body}}])

    def _scan_log(
        self, incarnation: Incarnation, projection: str, read: Callable[[Iterator[Item], ImportState], T]
    ) -> list[T]:
        """What ``read`` makes of the rows of each segment of the log, by the state of the imports; several at once.

        Reads again where an import was committed meanwhile: what was read has part of the old data, part of the new.
        """
        state = read_import_state(self._table, incarnation)
        prefix = keys.users_prefix(incarnation)

        def read_segment(number: int) -> T:
            segment = (number, _SEGMENTS)
            return read(self._table.scan(prefix, keys.EVENT_PREFIX, projection=projection, segment=segment), state)

        while True:
            results = in_parallel(read_segment, range(_SEGMENTS))
            before, state = state, read_import_state(self._table, incarnation)
            if state.committed == before.committed:
                return results

    def users(self, incarnation: Incarnation) -> Iterator[str]:
        """The users of a program who have a history, in no particular order."""
        for item in self._table.scan(keys.users_prefix(incarnation), keys.TAIL, projection="pk"):
            yield keys.parse_user_pk(item["pk"]["S"])

    def user_salts(self, incarnation: Incarnation) -> Iterator[tuple[str, bytes]]:
        """The users of a program and what their hashes in decisions are made with; those without are left out."""
        for item in self._table.scan(keys.users_prefix(incarnation), keys.TAIL, projection=f"pk, {SALT}"):
            salt = salt_in(item)
            if salt is not None:
                yield keys.parse_user_pk(item["pk"]["S"]), salt
