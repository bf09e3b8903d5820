"""The manifest of segments that are stored in parts: what parts there are, and the sums over all of them.

Each part has the users from one id to another, and a file for each kind (``memberships.Segments``). All have the same
actions, so an action has one place in all of them, and what is asked of it can be read out of the middle of the files.
Who only counts users reads the manifest alone.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nextbest.domain.actions import Action
from nextbest.scoring import artifact

GROWTH = "growth"
DISCOVERY = "discovery"
BASE = "base"
SEGMENT_TYPES = (GROWTH, DISCOVERY, BASE)


@dataclass(frozen=True, slots=True, eq=False)
class SegmentSums:
    """Segments of one kind without their users; all of shape (actions,).

    ``counts`` are those of the users who have a weight for the action (int64), and ``likeliest`` of those who have
    their largest weight for it; ``totals`` are the sums of the weights, ``largest`` and ``least`` the extremes, -inf
    and inf where nobody has one (float64).
    """

    counts: NDArray[np.int64]
    likeliest: NDArray[np.int64]
    totals: NDArray[np.float64]
    largest: NDArray[np.float64]
    least: NDArray[np.float64]

    @classmethod
    def of_nobody(cls, actions: int) -> SegmentSums:
        """The sums where nobody has any weight."""
        counts, likeliest = np.zeros(actions, np.int64), np.zeros(actions, np.int64)
        return cls(counts, likeliest, np.zeros(actions), np.full(actions, -np.inf), np.full(actions, np.inf))

    def add(self, other: SegmentSums) -> None:
        """Add the sums of other users, in place. Both are of the same actions."""
        self.counts[:] += other.counts
        self.likeliest[:] += other.likeliest
        self.totals[:] += other.totals
        np.maximum(self.largest, other.largest, out=self.largest)
        np.minimum(self.least, other.least, out=self.least)

    def arrays(self, prefix: str) -> dict[str, NDArray[Any]]:
        """The sums as arrays of a file; of actions that nobody has a weight for there is nothing to store."""
        places = np.flatnonzero(self.counts)
        arrays = {f"{prefix}_{field.name}": getattr(self, field.name)[places] for field in fields(self)}
        return {f"{prefix}_places": places.astype(np.uint32), **arrays}

    @classmethod
    def of_arrays(cls, arrays: dict[str, NDArray[Any]], prefix: str, actions: int) -> SegmentSums:
        """Inverse of ``arrays``. Raises KeyError, ValueError."""
        places = artifact.vector(arrays, f"{prefix}_places", "u", len(arrays[f"{prefix}_places"]))
        if places.shape[0] and int(places.max()) >= actions:
            raise ValueError(f"sums of action {int(places.max())} of {actions}")
        sums = cls.of_nobody(actions)
        for field in fields(cls):
            target = getattr(sums, field.name)
            target[places] = artifact.vector(arrays, f"{prefix}_{field.name}", target.dtype.kind, places.shape[0])
        return sums


def encode_sums(sums: Mapping[str, SegmentSums]) -> bytes:
    """Bytes of the file with the sums of one part, by kind."""
    return artifact.encode({}, {name: array for kind in sums for name, array in sums[kind].arrays(kind).items()})


def decode_sums(data: bytes, actions: int) -> dict[str, SegmentSums]:
    """Inverse of ``encode_sums``, for so many actions. Raises ArtifactError."""
    _, arrays = artifact.decode(data)
    return artifact.read(lambda: {kind: SegmentSums.of_arrays(arrays, kind, actions) for kind in SEGMENT_TYPES})


@dataclass(frozen=True, slots=True)
class PartFile:
    """The file of a part's segments of one kind.

    The JSON of its users begins at byte ``users`` and has ``users_bytes``; at ``starts``, ``members`` and ``weights``
    begin the arrays of these names (int64, uint32 and float64), the latter two of ``entries`` each. In the part's file
    of sums begin at ``places`` the actions that somebody has a weight for (uint32, ascending), ``taken`` of them, and
    at ``largest`` and ``least`` the extremes of these (float64).
    """

    key: str
    users: int
    users_bytes: int
    starts: int
    members: int
    weights: int
    entries: int
    places: int
    largest: int
    least: int
    taken: int


@dataclass(frozen=True, slots=True)
class SegmentsPart:
    """A part: ``user_count`` users from ``first_user`` to ``last_user``, a file by kind, and one with their sums."""

    first_user: str
    last_user: str
    user_count: int
    files: Mapping[str, PartFile]
    sums_key: str


@dataclass(frozen=True, slots=True, eq=False)
class SegmentsManifest:
    """All parts in order of their users, the sorted ``actions`` of all of them, and by kind the sums over all users."""

    actions: Sequence[Action]
    parts: Sequence[SegmentsPart]
    sums: Mapping[str, SegmentSums]

    @property
    def user_count(self) -> int:
        """How many users there are in all parts."""
        return sum(part.user_count for part in self.parts)

    @property
    def keys(self) -> set[str]:
        """The keys of all files that the manifest names."""
        return {key for part in self.parts for key in (part.sums_key, *(file.key for file in part.files.values()))}

    def part_of(self, user_id: str) -> int | None:
        """The place of the part in which a user would be; None where there is none."""
        place = bisect_right(self.parts, user_id, key=lambda part: part.first_user) - 1
        return place if place >= 0 and user_id <= self.parts[place].last_user else None

    def encode(self) -> bytes:
        """Bytes of the file (layout: ``nextbest.scoring.artifact``). Raises ArtifactError for parts that overlap."""
        files = [part.files[kind] for part in self.parts for kind in SEGMENT_TYPES]
        places = [astuple(file)[1:] for file in files]
        bounds = [user_id for part in self.parts for user_id in (part.first_user, part.last_user)]
        artifact.read(lambda: _check_order(bounds))
        types, arrays = pack_actions(self.actions)
        arrays |= {
            "bounds": artifact.pack_names(bounds),
            "user_counts": np.array([part.user_count for part in self.parts], np.int64),
            "keys": artifact.pack_names([file.key for file in files]),
            "sums_keys": artifact.pack_names([part.sums_key for part in self.parts]),
            "places": np.array(places, np.int64).reshape(len(files), len(fields(PartFile)) - 1),
        }
        for kind in SEGMENT_TYPES:
            arrays |= self.sums[kind].arrays(kind)
        return artifact.encode({"event_types": types}, arrays)

    @classmethod
    def decode(cls, data: bytes) -> SegmentsManifest:
        """Inverse of ``encode``. Raises ArtifactError."""
        return artifact.read(lambda: cls._assemble(*artifact.decode(data)))

    @classmethod
    def _assemble(cls, header: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> SegmentsManifest:
        actions = unpack_actions(header["event_types"], arrays)
        counts = artifact.vector(arrays, "user_counts", "i", len(arrays["user_counts"])).tolist()
        size, kinds = len(counts), len(SEGMENT_TYPES)
        places = artifact.matrix(arrays, "places", "i", (size * kinds, len(fields(PartFile)) - 1))
        bounds, keys, sums_keys = (artifact.unpack_names(arrays[name]) for name in ("bounds", "keys", "sums_keys"))
        if any(count < 1 for count in counts) or bool((places < 0).any()):
            raise ValueError("a part has no users, or begins before its file")
        _check_order(bounds)
        files = [PartFile(key, *place) for key, place in zip(keys, places.tolist(), strict=True)]
        parts = [
            SegmentsPart(first, last, count, dict(zip(SEGMENT_TYPES, of_part, strict=True)), sums_key)
            for first, last, count, of_part, sums_key in zip(
                bounds[::2], bounds[1::2], counts, zip(*[iter(files)] * kinds, strict=True), sums_keys, strict=True
            )
        ]
        sums = {kind: SegmentSums.of_arrays(arrays, kind, len(actions)) for kind in SEGMENT_TYPES}
        return cls(actions, parts, sums)


def _check_order(bounds: Sequence[str]) -> None:
    """Raise ValueError unless the parts, from their first users to their last ones, follow one another."""
    within, between = zip(bounds[::2], bounds[1::2], strict=True), zip(bounds[1::2], bounds[2::2], strict=False)
    if any(first > last for first, last in within) or any(last >= first for last, first in between):
        raise ValueError("the parts are out of order")


def pack_actions(actions: Sequence[Action]) -> tuple[list[str], dict[str, NDArray[Any]]]:
    """The event types of actions, for a file's header, and the arrays that name the actions."""
    types = sorted({action.event_type for action in actions})
    position = {event_type: index for index, event_type in enumerate(types)}
    return types, {
        "assets": artifact.pack_names([action.asset_id for action in actions]),
        "event_type": np.array([position[action.event_type] for action in actions], np.uint32),
    }


def unpack_actions(event_types: Any, arrays: dict[str, NDArray[Any]]) -> list[Action]:
    """Inverse of ``pack_actions``. Raises KeyError, IndexError, TypeError, ValueError."""
    types = artifact.text_list(event_types)
    assets = artifact.unpack_names(arrays["assets"])
    of_actions = artifact.vector(arrays, "event_type", "u", len(assets)).tolist()
    return [Action(types[index], asset) for index, asset in zip(of_actions, assets, strict=True)]
