"""The events of a program as columns: numbers instead of texts, so that millions fit in memory."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nextbest.domain.actions import Action

ColumnsByName = Mapping[str, Any]
TEXT_COLUMNS = ("user_id", "event_type", "asset_id")
TIME_COLUMN = "timestamp_us"


@dataclass(frozen=True, slots=True, eq=False)
class EventColumns:
    """Events, in order of user, time, event type and asset. 20 bytes an event, besides each id once.

    Event e is of ``user_ids[user[e]]``, of the type ``event_types[event_type[e]]``, about ``asset_ids[asset[e]]``, at
    ``timestamp_us[e]`` (microseconds since 1970); all of shape (events,). The ids are sorted and all occur, so the
    order of the codes is that of the texts, and equal events make equal columns, in whatever order they were read.
    """

    user_ids: Sequence[str]
    event_types: Sequence[str]
    asset_ids: Sequence[str]
    user: NDArray[np.int32]
    event_type: NDArray[np.int32]
    asset: NDArray[np.int32]
    timestamp_us: NDArray[np.int64]

    @classmethod
    def of(cls, columns: EventColumns | ColumnsByName) -> EventColumns:
        """The columns of ``TEXT_COLUMNS``, sequences of texts, and of ``TIME_COLUMN``; or these as they are."""
        if isinstance(columns, EventColumns):
            return columns
        builder = EventColumnsBuilder()
        for row in zip(*(_listed(columns[name]) for name in (*TEXT_COLUMNS, TIME_COLUMN)), strict=True):
            builder.add(*row)
        return builder.build()

    def __len__(self) -> int:
        return len(self.timestamp_us)

    def __iter__(self) -> Iterator[tuple[str, int, str, str]]:
        """Each event as user id, microseconds, event type and asset id."""
        columns = (self.user, self.timestamp_us, self.event_type, self.asset)
        for user, time_us, event_type, asset in zip(*(column.tolist() for column in columns), strict=True):
            yield self.user_ids[user], time_us, self.event_types[event_type], self.asset_ids[asset]

    @property
    def user_starts(self) -> NDArray[np.int64]:
        """The events of user u are those from ``user_starts[u]`` to ``user_starts[u + 1]``."""
        return np.searchsorted(self.user, np.arange(len(self.user_ids) + 1)).astype(np.int64)

    def actions(self) -> tuple[tuple[Action, ...], NDArray[np.int32]]:
        """The distinct actions in order, and the one of each event."""
        size = max(len(self.asset_ids), 1)
        pairs, action = np.unique(self.event_type.astype(np.int64) * size + self.asset, return_inverse=True)
        actions = (Action(self.event_types[pair // size], self.asset_ids[pair % size]) for pair in pairs.tolist())
        return tuple(actions), action.astype(np.int32)

    def select(self, rows: NDArray[np.bool_]) -> EventColumns:
        """Some of the events, with the ids that they have."""
        user_ids, user = _compact(self.user_ids, self.user[rows])
        event_types, event_type = _compact(self.event_types, self.event_type[rows])
        asset_ids, asset = _compact(self.asset_ids, self.asset[rows])
        return EventColumns(user_ids, event_types, asset_ids, user, event_type, asset, self.timestamp_us[rows])

    def of_users(self, begin: int, end: int) -> EventColumns:
        """The events of the users from ``begin`` to before ``end`` (places in ``user_ids``), with the ids they have."""
        first, last = np.searchsorted(self.user, (begin, end)).tolist()
        rows = slice(first, last)
        event_types, event_type = _compact(self.event_types, self.event_type[rows])
        asset_ids, asset = _compact(self.asset_ids, self.asset[rows])
        user: NDArray[np.int32] = self.user[rows] - np.int32(begin)
        columns = user, event_type, asset, self.timestamp_us[rows]
        return EventColumns(self.user_ids[begin:end], event_types, asset_ids, *columns)


Times = Sequence[int] | NDArray[np.int64]
"""Times in microseconds since 1970, ascending."""


class TimesByUser(Mapping[str, NDArray[np.int64]]):
    """The times of each user's events, ascending, in microseconds since 1970."""

    def __init__(self, columns: EventColumns) -> None:
        self._columns = columns
        self._starts = columns.user_starts
        self._places = {user_id: place for place, user_id in enumerate(columns.user_ids)}

    def __getitem__(self, user_id: str) -> NDArray[np.int64]:
        place = self._places[user_id]
        return self._columns.timestamp_us[self._starts[place] : self._starts[place + 1]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns.user_ids)

    def __len__(self) -> int:
        return len(self._columns.user_ids)


class EventColumnsBuilder:
    """Collects events one by one, in any order, as numbers."""

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._codes: tuple[dict[str, int], ...] = ({}, {}, {})
        self._columns = (array("i"), array("i"), array("i"))
        self._times_us = array("q")

    def add(self, user_id: str, event_type: str, asset_id: str, timestamp_us: int) -> None:
        """One event. Raises OverflowError for a time that 64 bits do not hold."""
        self._times_us.append(timestamp_us)
        for text, codes, column in zip((user_id, event_type, asset_id), self._codes, self._columns, strict=True):
            column.append(codes.setdefault(text, len(codes)))

    def __len__(self) -> int:
        return len(self._times_us)

    def build(self) -> EventColumns:
        """The columns; the builder is empty afterwards."""
        return merged([self])

    def take(self) -> Part:
        """The ids in order of their codes, and the columns; the builder is empty afterwards."""
        names = [list(codes) for codes in self._codes]
        columns = [np.frombuffer(column, np.int32) if column else np.zeros(0, np.int32) for column in self._columns]
        times_us = np.frombuffer(self._times_us, np.int64) if self._times_us else np.zeros(0, np.int64)
        self._reset()
        return names, columns, times_us


Part = tuple[Sequence[Sequence[str]], list[NDArray[np.int32]], NDArray[np.int64]]


def merged(builders: Sequence[EventColumnsBuilder]) -> EventColumns:
    """The events of all builders, which are empty afterwards."""
    return _joined([builder.take() for builder in builders])


def joined(parts: Iterable[EventColumns]) -> EventColumns:
    """The events of all ``parts``."""
    return _joined(
        [
            (
                (part.user_ids, part.event_types, part.asset_ids),
                [part.user, part.event_type, part.asset],
                part.timestamp_us,
            )
            for part in parts
        ]
    )


def _joined(parts: list[Part]) -> EventColumns:
    """The events of parts: the names of each column, its codes, and the times. The list is empty afterwards."""
    names: list[list[str]] = []
    codes: list[NDArray[np.int32]] = []
    for place in range(len(TEXT_COLUMNS)):
        distinct = sorted({name for part_names, _, _ in parts for name in part_names[place]})
        position = {name: code for code, name in enumerate(distinct)}
        columns = [np.zeros(0, np.int32)]
        for part_names, part_columns, _ in parts:
            new_code = np.array([position[name] for name in part_names[place]], np.int32)
            columns.append(new_code[part_columns[place]])
            part_columns[place] = columns[0]  # of no use any more
        names.append(distinct)
        codes.append(np.concatenate(columns))
    times_us = np.concatenate([np.zeros(0, np.int64), *(times for _, _, times in parts)])
    parts.clear()
    (user_ids, event_types, asset_ids), (user, event_type, asset) = names, codes
    order = np.lexsort((asset, event_type, times_us, user))
    ordered = user[order], event_type[order], asset[order]
    return EventColumns(user_ids, event_types, asset_ids, *ordered, times_us[order])


def _compact(names: Sequence[str], codes: NDArray[np.int32]) -> tuple[list[str], NDArray[np.int32]]:
    """The names that occur, and the codes of these."""
    occurs = np.zeros(len(names), np.bool_)
    occurs[codes] = True
    new_code = (np.cumsum(occurs) - 1).astype(np.int32)
    return [names[place] for place in np.flatnonzero(occurs).tolist()], new_code[codes]


def _listed(column: Any) -> list[Any]:
    return list(column.tolist() if isinstance(column, np.ndarray) else column)
