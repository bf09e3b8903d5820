"""The history of one user: what they did, packed so that one read returns all of it.

A history is a pure function of the *set* of a user's events. Order of arrival, duplicates and batching never change
it, to the bit: recent events are kept one by one in a canonical order, and what is older is folded into one exact
sum per action (whole numbers, so that addition is associative).

    newest WINDOW events         action index, time, identity, one by one
    everything older             Σ 0.5^((landmark - t) / half_life) per action, exact

Encoded form (version 1): one byte of version, crc32, zlib body. The body holds a fixed header, the arrays, and the
names as JSON. Times are stored as differences with their bytes transposed, which zlib then nearly removes.
"""

from __future__ import annotations

import json
import struct
import zlib
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nextbest.domain.actions import Action, DistinctActions
from nextbest.domain.decayed_sums import FoldedSums
from nextbest.domain.events import DAY_US, MICROSECONDS, Event, to_microseconds
from nextbest.errors import HistoryCorrupt

WINDOW = 1000
"""How many of the newest events are kept one by one."""

MAX_ENCODED_BYTES = 200_000
"""What a history may take of an item of 400 KB, which has room for the user's attributes and new ones of an import."""

_VERSION = 1
_ENVELOPE = struct.Struct("<BI")  # version, crc32 of the body
_HEADER = struct.Struct("<IIQ")  # actions, recent events, 1 if any event carries a client's id
_PACKED_EVENT = struct.Struct(">BQQH")  # version, time, identity, bytes of the event type
_PACKED_EVENTS = np.dtype([("version", "u1"), ("time", ">u8"), ("identity", ">u8"), ("type_bytes", ">u2")])
"""The same of many."""
_NO_INDEX: NDArray[np.int32] = np.zeros(0, np.int32)
_NO_TIMES: NDArray[np.int64] = np.zeros(0, np.int64)


class HistoryEvent(NamedTuple):
    """An event as a history keeps it: its place in the canonical order and its identity. Hot: compared by tuples."""

    timestamp_us: int
    action: Action
    identity: int = 0

    @classmethod
    def of(cls, event: Event) -> HistoryEvent:
        """The part of ``event`` that a history keeps."""
        return cls(event.timestamp_us, Action(event.event_type, event.asset_id), identity_of(event.event_id))


def identity_of(event_id: str) -> int:
    """A client's event id as a 64-bit number; 0 where the client gave none."""
    return int.from_bytes(blake2b(event_id.encode(), digest_size=8).digest(), "big") if event_id else 0


def pack_event(event: HistoryEvent) -> bytes:
    """One event as the member of the tail's binary set: equal events have equal bytes, so the set drops duplicates."""
    event_type = event.action.event_type.encode()
    head = _PACKED_EVENT.pack(_VERSION, event.timestamp_us, event.identity, len(event_type))
    return head + event_type + event.action.asset_id.encode()


def unpack_event(packed: bytes) -> HistoryEvent:
    """Inverse of ``pack_event``. Raises HistoryCorrupt."""
    try:
        version, timestamp_us, identity, type_bytes = _PACKED_EVENT.unpack_from(packed)
    except struct.error as error:
        raise HistoryCorrupt(f"a packed event cannot be read: {error}") from error
    action = _action_in(packed[_PACKED_EVENT.size :], type_bytes)
    if version != _VERSION:
        raise HistoryCorrupt(f"a packed event has version {version}; this code reads {_VERSION}")
    return HistoryEvent(timestamp_us, action, identity)


def _action_in(names: bytes, type_bytes: int) -> Action:
    """The action whose event type has the first ``type_bytes`` of ``names``. Raises HistoryCorrupt."""
    try:
        return Action(names[:type_bytes].decode(), names[type_bytes:].decode())
    except UnicodeDecodeError as error:
        raise HistoryCorrupt(f"a packed event cannot be read: {error}") from error


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class History:
    """All that is known of one user's actions.

    ``actions`` are what the user ever did. The newest ``WINDOW`` events are in ``action_index`` (int32, into
    ``actions``), ``timestamps_us`` (int64, microseconds, ascending) and ``identities`` (uint64). Older events are
    either still separate (``older_index``, ``older_timestamps_us``) or folded into ``folded``.
    """

    actions: DistinctActions
    action_index: NDArray[np.int32]
    timestamps_us: NDArray[np.int64]
    identities: NDArray[np.uint64]
    older_index: NDArray[np.int32]
    older_timestamps_us: NDArray[np.int64]
    folded: FoldedSums | None = None

    @classmethod
    def empty(cls) -> History:
        """The history of a user who did nothing."""
        return cls(DistinctActions({}), _NO_INDEX, _NO_TIMES, np.zeros(0, np.uint64), _NO_INDEX, _NO_TIMES)

    @classmethod
    def from_events(cls, events: Iterable[tuple[str, str, float]]) -> History:
        """A history from (event type, asset id, seconds since 1970), in any order; equal events count once."""
        return cls.from_history_events(
            HistoryEvent(to_microseconds(timestamp), Action(event_type, asset_id))
            for event_type, asset_id, timestamp in events
        )

    @classmethod
    def from_history_events(cls, events: Iterable[HistoryEvent]) -> History:
        """A history from events in any order; equal events count once. Nothing is folded yet."""
        return cls.empty().merge(events)

    @property
    def timestamps(self) -> NDArray[np.float64]:
        """Times of the recent events, in seconds since 1970, ascending."""
        return self.timestamps_us / MICROSECONDS

    @property
    def folded_until_us(self) -> int:
        """Events up to this time cannot be distinguished from ones already folded; -1 when none are folded."""
        return self.folded.until_us if self.folded is not None else -1

    def folded_for(self, half_life_days: float) -> bool:
        """Whether base weights can be computed for this half-life; if not, rebuild the history from the log."""
        return self.folded is None or self.folded.half_life_days == half_life_days

    def __bool__(self) -> bool:
        return bool(self.actions)

    def base_weight_vector(self, half_life_days: float, now: float) -> NDArray[np.float64]:
        """Σ 0.5^(age_days / half_life_days) over all events, one entry for each of ``actions``.

        ``now`` in seconds since 1970. Source: docs/contracts/actionhub.md, section 3.1, with an example. Raises
        HistoryCorrupt when older events were folded with another half-life (the caller rebuilds from the log).
        """
        now_us = to_microseconds(now)
        half_life_us = half_life_days * DAY_US
        size = len(self.actions)
        recent = np.exp2((self.timestamps_us - now_us) / half_life_us)
        weights: NDArray[np.float64] = np.bincount(self.action_index, recent, minlength=size).astype(np.float64)
        if self.older_index.size:
            older = np.exp2((self.older_timestamps_us - now_us) / half_life_us)
            weights += np.bincount(self.older_index, older, minlength=size)
        if self.folded is not None:
            self.folded.add_to(weights, half_life_days, now_us)
        return weights

    def base_weights(self, half_life_days: float, now: float) -> dict[Action, float]:
        """``base_weight_vector`` by action."""
        return dict(zip(self.actions, self.base_weight_vector(half_life_days, now).tolist(), strict=True))

    def place_of(self, action: Action) -> int | None:
        """The place of an action among ``actions``; None for one that the user never did."""
        return self.actions.place_of(action)

    def last_timestamps(self) -> dict[Action, float]:
        """When each action of the recent window was last taken, in seconds since 1970."""
        times = self.timestamps.tolist()
        return {self.actions[index]: time for index, time in zip(self.action_index.tolist(), times, strict=True)}

    def recent_events(self) -> list[HistoryEvent]:
        """The events of the window, oldest first."""
        return [
            HistoryEvent(time, self.actions[index], identity)
            for time, index, identity in zip(
                self.timestamps_us.tolist(), self.action_index.tolist(), self.identities.tolist(), strict=True
            )
        ]

    def merge(self, events: Iterable[HistoryEvent]) -> History:
        """This history and ``events``; those already in the window are not counted again.

        Raises HistoryCorrupt for an event from the folded past: the history cannot know whether it was counted, so the
        caller rebuilds from the log.
        """
        sent = set(events)
        new = sorted(sent - self._window_events_at({event.timestamp_us for event in sent}))
        if not new:
            return self
        if new[0].timestamp_us <= self.folded_until_us:
            raise HistoryCorrupt("an event is older than the folded part of the history; rebuild it from the log")
        times = np.fromiter((event.timestamp_us for event in new), np.int64, len(new))
        identities = np.fromiter((event.identity for event in new), np.uint64, len(new))
        return self._with_new([event.action for event in new], times, identities)

    def merge_packed(self, members: Sequence[bytes]) -> History:
        """``merge`` of distinct packed events; faster, where all of them came after the window as nearly always.

        Raises HistoryCorrupt.
        """
        size = _PACKED_EVENT.size
        if not members or min(map(len, members)) < size:
            return self.merge(map(unpack_event, members))
        heads = np.frombuffer(b"".join([member[:size] for member in members]), _PACKED_EVENTS)
        times = heads["time"].astype(np.int64)
        newest = self.timestamps_us[-1] if self.timestamps_us.size else self.folded_until_us
        if times.min() <= newest or (heads["version"] != _VERSION).any():
            return self.merge(map(unpack_event, members))
        named: dict[bytes, Action] = {}
        actions = []
        for member, type_bytes in zip(members, heads["type_bytes"].tolist(), strict=True):
            name = member[size - 2 :]  # with the number of bytes of the event type
            action = named.get(name)
            if action is None:
                action = named[name] = _action_in(name[2:], type_bytes)
            actions.append(action)
        return self._with_new(actions, times, heads["identity"].astype(np.uint64))

    def _with_new(
        self, added: Sequence[Action], added_us: NDArray[np.int64], added_identities: NDArray[np.uint64]
    ) -> History:
        """With some events more, in any order, that are not there yet and after what is folded."""
        actions, renamed, place_of = self._actions_with(set(added))
        added_index = np.fromiter(map(place_of.__getitem__, added), np.int32, len(added))
        index = np.concatenate([renamed[self.action_index], added_index])
        times = np.concatenate([self.timestamps_us, added_us])
        identities = np.concatenate([self.identities, added_identities])
        held = self.timestamps_us.size
        if held and added_us.min() > self.timestamps_us[-1]:  # what is held is in order
            order = np.concatenate([np.arange(held), held + np.lexsort((added_identities, added_index, added_us))])
        else:
            order = np.lexsort((identities, index, times))
        older, recent = order[: max(0, order.size - WINDOW)], order[-WINDOW:]
        return History(
            actions,
            index[recent],
            times[recent],
            identities[recent],
            np.concatenate([renamed[self.older_index], index[older]]),
            np.concatenate([self.older_timestamps_us, times[older]]),
            self.folded.reindexed(renamed) if self.folded is not None else None,
        )

    def _window_events_at(self, timestamps_us: set[int]) -> set[HistoryEvent]:
        """The events of the window at any of these times: the only ones that new events can equal."""
        if not self.timestamps_us.size or min(timestamps_us, default=0) > self.timestamps_us[-1]:
            return set()  # what was done since the last write of the history, as nearly always
        times = np.fromiter(timestamps_us, np.int64, len(timestamps_us))
        begins, ends = (np.searchsorted(self.timestamps_us, times, side=side) for side in ("left", "right"))
        places = [place for n in np.flatnonzero(begins < ends).tolist() for place in range(begins[n], ends[n])]
        return {
            HistoryEvent(int(self.timestamps_us[n]), self.actions[self.action_index[n]], int(self.identities[n]))
            for n in places
        }

    def _actions_with(self, added: set[Action]) -> tuple[DistinctActions, NDArray[np.int32], dict[Action, int]]:
        """The actions once ``added`` are among them, the new index of each that was there before, and that of each of
        ``added``."""
        old = self.actions
        assets = dict(old.assets)
        inserted: list[int] = []  # the old index before which an action was put
        place_of: dict[Action, int] = {}
        for event_type, asset_ids in DistinctActions.of(sorted(added)).assets.items():
            known, start = old.assets.get(event_type, ()), old.start_of(event_type)
            merged: list[str] = []
            copied = 0
            for asset_id in asset_ids:
                place = bisect_left(known, asset_id, copied)
                place_of[Action(event_type, asset_id)] = start + place + len(inserted)
                if place == len(known) or known[place] != asset_id:
                    merged += known[copied:place]
                    merged.append(asset_id)
                    inserted.append(start + place)
                    copied = place
            if merged:
                assets[event_type] = [*merged, *known[copied:]]
        indexes = np.arange(len(old), dtype=np.int32)
        if not inserted:
            return old, indexes, place_of
        if len(assets) > len(old.assets):
            assets = dict(sorted(assets.items()))
        moved = np.searchsorted(np.array(inserted), indexes, side="right").astype(np.int32)
        return DistinctActions(assets), indexes + moved, place_of

    def fold(self, half_life_days: float) -> History:
        """The canonical form: everything older than the window as exact sums for ``half_life_days``."""
        if not self.older_index.size:
            return self
        added = FoldedSums.of(self.older_index, self.older_timestamps_us, half_life_days)
        folded = added if self.folded is None else self.folded.plus(added)
        return replace(self, older_index=_NO_INDEX, older_timestamps_us=_NO_TIMES, folded=folded)

    def encode(self, half_life_days: float) -> bytes:
        """The canonical form as bytes; equal histories have equal bytes.

        A history of more names than ``MAX_ENCODED_BYTES`` hold forgets what matters least until it fits: the weakest
        actions of the folded past first, then the oldest half of the window. It depends on batching then.
        """
        history = self.fold(half_life_days)
        encoded = history._encoded()
        while len(encoded) > MAX_ENCODED_BYTES:
            history = history._shortened(half_life_days)
            encoded = history._encoded()
        return encoded

    def _shortened(self, half_life_days: float) -> History:
        """Without the weaker half of the actions that only the folded past has; the window halved where there are none.

        ``folded_until_us`` stays, so that what was forgotten is not taken for new.
        """
        past = () if self.folded is None else np.setdiff1d(self.folded.index, self.action_index).tolist()
        if self.folded is None or not past:
            half = (len(self.action_index) + 1) // 2
            return replace(
                self,
                action_index=self.action_index[half:],
                timestamps_us=self.timestamps_us[half:],
                identities=self.identities[half:],
                older_index=self.action_index[:half],
                older_timestamps_us=self.timestamps_us[:half],
            ).fold(half_life_days)
        folded = self.folded.without(self.folded.weakest(past)[: (len(past) + 1) // 2])
        kept = np.union1d(self.action_index, folded.index).astype(np.int32)
        position = np.zeros(len(self.actions), np.int32)
        position[kept] = np.arange(len(kept), dtype=np.int32)
        return replace(
            self,
            actions=DistinctActions.of(self.actions[place] for place in kept.tolist()),
            action_index=position[self.action_index],
            folded=folded.reindexed(position),
        )

    def _encoded(self) -> bytes:
        """The bytes of a history in its canonical form."""
        has_identities = bool(self.identities.any())
        parts = [
            _HEADER.pack(len(self.actions), len(self.action_index), has_identities),
            _transposed(np.diff(self.timestamps_us, prepend=np.int64(0))),
            _transposed(self.action_index),
        ]
        if has_identities:
            parts.append(self.identities.astype("<u8").tobytes())
        past = self.folded.encode() if self.folded is not None else b""
        parts += [struct.pack("<I", len(past)), past, json.dumps(self.actions.assets, separators=(",", ":")).encode()]
        body = zlib.compress(b"".join(parts), 6)
        return _ENVELOPE.pack(_VERSION, zlib.crc32(body)) + body

    @classmethod
    def decode(cls, data: bytes) -> History:
        """Inverse of ``encode``. Raises HistoryCorrupt for bytes that are damaged or of a newer version."""
        try:
            version, crc = _ENVELOPE.unpack_from(data)
            if version != _VERSION:
                raise HistoryCorrupt(f"the history has version {version}; this code reads {_VERSION}")
            body = memoryview(data)[_ENVELOPE.size :]
            if zlib.crc32(body) != crc:
                raise HistoryCorrupt("the history's checksum does not match")
            return cls._decode_body(zlib.decompress(body))
        except (struct.error, zlib.error, ValueError, KeyError, TypeError, AttributeError) as error:
            raise HistoryCorrupt(f"the history cannot be read: {error}") from error

    @classmethod
    def _decode_body(cls, body: bytes) -> History:
        action_count, event_count, has_identities = _HEADER.unpack_from(body)
        offset = _HEADER.size
        times = np.cumsum(_untransposed(body, offset, event_count, np.dtype("<i8")))
        offset += 8 * event_count
        index = _untransposed(body, offset, event_count, np.dtype("<i4")).astype(np.int32, copy=False)
        offset += 4 * event_count
        if has_identities:
            identities = np.frombuffer(body, "<u8", event_count, offset)
            offset += 8 * event_count
        else:
            identities = np.zeros(event_count, np.uint64)
        (past_bytes,) = struct.unpack_from("<I", body, offset)
        offset += 4
        folded = FoldedSums.decode(body[offset : offset + past_bytes]) if past_bytes else None
        actions = DistinctActions(json.loads(body[offset + past_bytes :]))
        if len(actions) != action_count or (event_count and int(index.max()) >= action_count):
            raise HistoryCorrupt("the history names an action that it does not hold")
        return cls(actions, index, times, identities, _NO_INDEX, _NO_TIMES, folded)


def _transposed(values: NDArray[np.int64] | NDArray[np.int32]) -> bytes:
    """Little-endian bytes of ``values``, all first bytes first, so that repeated bytes are adjacent."""
    width = values.dtype.itemsize
    return values.astype(f"<i{width}").view(np.uint8).reshape(-1, width).T.tobytes()


def _untransposed(body: bytes, offset: int, count: int, dtype: np.dtype[np.signedinteger]) -> NDArray[np.int64]:
    raw = np.frombuffer(body, np.uint8, count * dtype.itemsize, offset)
    return np.ascontiguousarray(raw.reshape(dtype.itemsize, count).T).view(dtype).reshape(count)
