"""The events of a program as sorted arrays, and the inputs of the model computed from them for many users at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nextbest.domain.actions import Action
from nextbest.domain.event_columns import EventColumns
from nextbest.domain.events import MICROSECONDS
from nextbest.domain.history import WINDOW
from nextbest.errors import InvalidInput
from nextbest.scoring.kernels import DAY_SECONDS, Kernel

COLUMNS = ("user_id", "event_type", "asset_id", "timestamp")
TIMESTAMP_US = "timestamp_us"
"""Column that may stand for ``timestamp``: whole microseconds since 1970, as the event log holds them."""
_KEPT_EVENTS = 1_000_000
"""Events read at moments up to which what no kernel changes is kept: 24 MB."""


class NamedColumns(Protocol):
    """Anything that gives a column by its name: a mapping of sequences or arrays, or a data frame."""

    def __getitem__(self, key: str, /) -> Any: ...


Columns = NamedColumns | EventColumns
"""Events in either form; the second is that of a rebase, and takes far less memory."""


@dataclass(frozen=True, slots=True)
class EventTable:
    """Distinct events, sorted by user, time and action.

    ``action``, ``time`` (seconds) have shape (events,); the events of user u are ``starts[u]:starts[u + 1]``.
    ``tie_end[e]`` is one past the last event of the same user at the same time. ``actions`` and ``user_ids`` are
    sorted, and name the indices.
    """

    user_ids: Sequence[str]
    actions: tuple[Action, ...]
    starts: NDArray[np.int64]
    action: NDArray[np.int32]
    time: NDArray[np.float64]
    tie_end: NDArray[np.int64]

    @classmethod
    def of(cls, events: Columns, now: float) -> EventTable:
        """Build the table from columns; equal events count once and events after ``now`` are left out.

        Times are the column ``timestamp_us`` (integer microseconds since 1970) where there is one, otherwise
        ``timestamp`` (seconds, rounded to microseconds). Raises InvalidInput for a missing column, columns of different
        lengths, or a time that is not a number.
        """
        if isinstance(events, EventColumns):
            return cls._of_columns(events, now)
        user_ids, event_types, asset_ids = (_texts(events, name) for name in COLUMNS[:3])
        time, past = _times(events, now)
        lengths = {len(user_ids), len(event_types), len(asset_ids), len(time)}
        if len(lengths) > 1:
            raise InvalidInput(f"the columns have different lengths: {sorted(lengths)}")
        users, user = np.unique(user_ids[past], return_inverse=True)
        types, event_type = np.unique(event_types[past], return_inverse=True)
        assets, asset = np.unique(asset_ids[past], return_inverse=True)
        pairs, action = np.unique(event_type.astype(np.int64) * max(len(assets), 1) + asset, return_inverse=True)
        actions = tuple(
            Action(str(types[pair // len(assets)]), str(assets[pair % len(assets)])) for pair in pairs.tolist()
        )
        return cls.from_codes([str(name) for name in users], actions, user, action, time[past])

    @classmethod
    def _of_columns(cls, events: EventColumns, now: float) -> EventTable:
        past = events.timestamp_us / MICROSECONDS <= now
        if not past.all():
            events = events.select(past)
        actions, action = events.actions()
        return cls.from_codes(events.user_ids, actions, events.user, action, events.timestamp_us / MICROSECONDS)

    @classmethod
    def from_codes(
        cls,
        user_ids: Sequence[str],
        actions: tuple[Action, ...],
        user: NDArray[np.integer[Any]],
        action: NDArray[np.integer[Any]],
        time: NDArray[np.float64],
    ) -> EventTable:
        """Sort and remove duplicates of events given as indices into ``user_ids`` and ``actions``."""
        order = np.lexsort((action, time, user))
        user, action, time = user[order], action[order], time[order]
        if len(order):
            fresh = np.ones(len(order), np.bool_)
            fresh[1:] = (np.diff(user) != 0) | (np.diff(time) != 0) | (np.diff(action) != 0)
            user, action, time = user[fresh], action[fresh], time[fresh]
        starts = np.searchsorted(user, np.arange(len(user_ids) + 1)).astype(np.int64)
        size = len(user)
        boundary = np.ones(size, np.bool_)
        boundary[1:] = (np.diff(user) != 0) | (np.diff(time) != 0)
        first = np.flatnonzero(boundary)
        ends = np.append(first[1:], size).astype(np.int64)
        tie_end = np.repeat(ends, ends - first) if size else np.zeros(0, np.int64)
        return cls(user_ids, actions, starts, action.astype(np.int32), time, tie_end)

    @property
    def user_count(self) -> int:
        """How many users there are."""
        return len(self.user_ids)

    @property
    def user(self) -> NDArray[np.int64]:
        """The user of each event, shape (events,)."""
        return np.repeat(np.arange(self.user_count), np.diff(self.starts))

    def ends_before(self, cut: float) -> NDArray[np.int64]:
        """For each user, one past their last event strictly before ``cut`` (seconds)."""
        earlier = np.concatenate(([0], np.cumsum(self.time < cut)))
        return self.starts[:-1] + earlier[self.starts[1:]] - earlier[self.starts[:-1]]

    def before(self, cut: float) -> EventTable:
        """The events strictly before ``cut``; users and actions keep their indices."""
        keep = self.time < cut
        return EventTable.from_codes(self.user_ids, self.actions, self.user[keep], self.action[keep], self.time[keep])


@dataclass(frozen=True, slots=True)
class Moments:
    """Users at moments: row r is user ``users[r]``, who has done the events before position ``ends[r]`` of the table,
    seen at ``nows[r]`` (seconds). All of shape (rows,)."""

    users: NDArray[np.int64]
    ends: NDArray[np.int64]
    nows: NDArray[np.float64]

    @classmethod
    def at(cls, table: EventTable, users: NDArray[np.int64], now: float) -> Moments:
        """``users`` at one time, with all their events before it."""
        return cls(users, table.ends_before(now)[users], np.full(len(users), now))

    @classmethod
    def joined(cls, parts: Sequence[Moments]) -> Moments:
        """The rows of ``parts`` one after another."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("users", "ends", "nows")))

    def __len__(self) -> int:
        return len(self.users)

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> Moments:
        """Some of the rows."""
        return Moments(self.users[rows], self.ends[rows], self.nows[rows])


def expand(begins: NDArray[np.int64], ends: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All positions of the ranges ``begins:ends``, and the row that each belongs to."""
    counts = ends - begins
    rows = np.repeat(np.arange(len(counts)), counts)
    offsets = np.cumsum(counts) - counts
    positions = np.arange(int(counts.sum())) - offsets[rows] + begins[rows]
    return positions, rows


def no_entries(rows: int, columns: int) -> sparse.csr_array:
    """An empty float32 matrix."""
    nothing = (np.zeros(0, np.float32), (np.zeros(0, np.int64), np.zeros(0, np.int64)))
    return sparse.csr_array(sparse.coo_array(nothing, shape=(rows, columns)))


def inputs_of(table: EventTable, moments: Moments, kernel: Kernel) -> sparse.csr_array:
    """The input vectors of ``kernel`` at ``moments``: float32, shape (rows, actions).

    The same arithmetic as ``nextbest.scoring.score.Inputs``, over the same window of newest events.
    """
    positions, rows, ages_days, ranks = _events_read(table, moments)
    weights = kernel.event_weights(ages_days, ranks)
    shape = (len(moments), len(table.actions))
    x = sparse.csr_array(sparse.coo_array((weights, (rows, table.action[positions])), shape=shape))
    if kernel.damping != 1.0:
        x.data **= kernel.damping
    if kernel.share:
        totals: NDArray[Any] = np.asarray(x.sum(axis=1)).ravel()
        x.data *= np.repeat(_share_factors(totals, kernel.share), np.diff(x.indptr))
    return x.astype(np.float32)


class InputReader:
    """``inputs_of`` for the same moments and many kernels: what no kernel changes is computed once.

    Where that is large it is computed each time even so, because it would hold memory for long.
    """

    def __init__(self, table: EventTable, moments: Moments) -> None:
        self._table = table
        self._moments = moments
        self._layout: _Layout | None = None
        self._is_kept = int((moments.ends - _begins(table, moments)).sum()) <= _KEPT_EVENTS

    def inputs(self, kernel: Kernel) -> sparse.csr_array:
        """The input vectors of ``kernel``: float32, shape (rows, actions)."""
        if not self._is_kept:
            return inputs_of(self._table, self._moments, kernel)
        if self._layout is None:
            self._layout = _Layout.of(self._table, self._moments)
        return self._layout.inputs(kernel)


@dataclass(frozen=True, slots=True)
class _Layout:
    """The events read at moments, and the entry of the matrix that each adds to.

    ``ages_days``, ``ranks`` and ``entry`` have shape (events read,); ``row`` and ``column`` have shape (entries,).
    """

    shape: tuple[int, int]
    ages_days: NDArray[np.float64]
    ranks: NDArray[np.float64]
    entry: NDArray[np.intp]
    row: NDArray[np.int32]
    column: NDArray[np.int32]
    row_starts: NDArray[np.int32]

    @classmethod
    def of(cls, table: EventTable, moments: Moments) -> _Layout:
        positions, rows, ages_days, ranks = _events_read(table, moments)
        size = max(len(table.actions), 1)
        entries, entry = np.unique(rows * size + table.action[positions], return_inverse=True)
        row, column = (entries // size).astype(np.int32), (entries % size).astype(np.int32)
        row_starts = np.searchsorted(row, np.arange(len(moments) + 1)).astype(np.int32)
        return cls((len(moments), len(table.actions)), ages_days, ranks, entry, row, column, row_starts)

    def inputs(self, kernel: Kernel) -> sparse.csr_array:
        weights = kernel.event_weights(self.ages_days, self.ranks)
        sums = np.zeros(len(self.column))
        sums += np.bincount(self.entry, weights, len(self.column))  # whole numbers where there are no events
        if kernel.damping != 1.0:
            sums **= kernel.damping
        if kernel.share:
            totals = np.bincount(self.row, sums, self.shape[0])
            sums *= _share_factors(totals, kernel.share)[self.row]
        # The matrix gets index arrays of its own: operations on it may change them in place.
        indices = (self.column.copy(), self.row_starts.copy())
        return sparse.csr_array((sums.astype(np.float32), *indices), shape=self.shape)


def _begins(table: EventTable, moments: Moments) -> NDArray[np.int64]:
    """The position of the first event that is read at each moment."""
    return np.maximum(table.starts[moments.users], moments.ends - WINDOW)


def _events_read(
    table: EventTable, moments: Moments
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Position, row, age in days and rank of every event that is read at ``moments``; each of shape (events read,)."""
    positions, rows = expand(_begins(table, moments), moments.ends)
    ages_days = np.maximum(moments.nows[rows] - table.time[positions], 0.0) / DAY_SECONDS
    ends = moments.ends[rows]
    ranks = (ends - np.minimum(table.tie_end[positions], ends)).astype(np.float64)
    return positions, rows, ages_days, ranks


def _share_factors(totals: NDArray[Any], share: float) -> NDArray[np.float64]:
    return np.where(totals > 0.0, np.maximum(totals, 1e-300) ** -share, 0.0)


def _column(events: NamedColumns, name: str) -> NDArray[Any]:
    try:
        return np.asarray(events[name])
    except KeyError as error:
        raise InvalidInput(f"the events lack the column {name}; needed are {', '.join(COLUMNS)}", field=name) from error


def _texts(events: NamedColumns, name: str) -> NDArray[np.str_]:
    return _column(events, name).astype(np.str_)


def _times(events: NamedColumns, now: float) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Seconds of each event, to the microsecond, and whether it is not after ``now``."""
    try:
        microseconds = np.asarray(events[TIMESTAMP_US])
    except (KeyError, ValueError):  # what mappings and data frames raise, and what structured arrays raise
        seconds = _seconds(events)
        return np.rint(seconds * MICROSECONDS) / MICROSECONDS, seconds <= now
    if len(microseconds) and microseconds.dtype.kind not in "iu":
        raise InvalidInput("timestamps must be whole microseconds since 1970", field=TIMESTAMP_US)
    seconds = microseconds.astype(np.int64) / MICROSECONDS
    return seconds, seconds <= now


def _seconds(events: NamedColumns) -> NDArray[np.float64]:
    try:
        timestamps = _column(events, "timestamp").astype(np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"timestamps must be seconds since 1970: {error}", field="timestamp") from error
    if not np.isfinite(timestamps).all():
        raise InvalidInput("timestamps must be finite seconds since 1970", field="timestamp")
    return timestamps
