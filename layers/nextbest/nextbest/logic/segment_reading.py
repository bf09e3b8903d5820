"""Reads a program's segments, part by part, and of a large one no more than is asked of it.

What is in memory at a time are a few parts, however many users there are. Segments in the earlier format are one part.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence, Set
from functools import cached_property, partial
from itertools import accumulate
from typing import Any, Protocol, TypeVar, overload

import numpy as np

from nextbest.domain.actions import Action
from nextbest.domain.programs import Incarnation, program_id_of
from nextbest.errors import ArtifactError, NotFound
from nextbest.observability import logger
from nextbest.scoring import artifact
from nextbest.scoring.memberships import Segments
from nextbest.scoring.segment_manifest import PartFile, SegmentsManifest, SegmentSums
from nextbest.store.base import ArtifactStore, ByteRange, SegmentsPointer, Store
from nextbest.store.cache import UNREADABLE, LruCache

T = TypeVar("T")

NO_SEGMENTS = "The program has no segments yet: rebase it first"
UNREADABLE_SEGMENTS = "segments cannot be read; the last good ones serve on"

_CACHED_BYTES = 150_000_000
_PARTS_AT_ONCE = 8
_WHOLE_FILE_BYTES = 512 << 10
"""A file up to so many bytes is read whole, as is a larger one for more than ``_FEW_ACTIONS``."""
_FEW_ACTIONS = 16
_ALIGNMENT = 64


class PartCache:
    """What was read of parts lately, at most ``capacity_bytes`` of it. Files are immutable, so nothing goes stale."""

    def __init__(self, capacity_bytes: int = _CACHED_BYTES) -> None:
        self._capacity_bytes = capacity_bytes
        self._used_bytes = 0
        self._values: OrderedDict[str, tuple[Any, int]] = OrderedDict()

    def get(self, key: str) -> Any:
        """What was read; None where it is not there."""
        value = self._values.get(key)
        if value is None:
            return None
        self._values.move_to_end(key)
        return value[0]

    def put(self, key: str, value: Any, size: int) -> None:
        """Remember what takes ``size`` bytes, and forget what was not used for longest."""
        self._used_bytes += size - self._values.pop(key, (None, 0))[1]
        self._values[key] = value, size
        while self._used_bytes > self._capacity_bytes:
            _, (_, freed) = self._values.popitem(last=False)
            self._used_bytes -= freed


class Parts(Protocol):
    """Where the parts of segments of one kind come from: how many users each has, and the last of them."""

    user_counts: Sequence[int]
    last_users: Sequence[str]

    def read(self, places: Sequence[int], actions: Sequence[int] | None) -> list[Segments]:
        """The segments of parts, of these actions alone (ascending; None: all). Raises ArtifactError."""
        ...

    def users(self, place: int) -> Sequence[str]:
        """The users of a part, in order. Raises ArtifactError."""
        ...


class WholeFile:
    """The one part of segments that are in memory. Implements ``Parts``."""

    def __init__(self, segments: Segments) -> None:
        self._segments = segments
        self.user_counts: Sequence[int] = [len(segments.users)]
        self.last_users: Sequence[str] = segments.users[-1:] or [""]

    def read(self, places: Sequence[int], actions: Sequence[int] | None) -> list[Segments]:
        return [_selected(self._segments, actions) for _ in places]

    def users(self, place: int) -> Sequence[str]:
        del place
        return self._segments.users


class PartFiles:
    """The parts that a manifest names, of one kind. Implements ``Parts``."""

    def __init__(self, artifacts: ArtifactStore, cache: PartCache, manifest: SegmentsManifest, kind: str) -> None:
        self._artifacts = artifacts
        self._cache = cache
        self._manifest = manifest
        self._files = [part.files[kind] for part in manifest.parts]
        self.user_counts: Sequence[int] = [part.user_count for part in manifest.parts]
        self.last_users: Sequence[str] = [part.last_user for part in manifest.parts]

    def read(self, places: Sequence[int], actions: Sequence[int] | None) -> list[Segments]:
        parts: dict[int, Segments] = {}
        for place in places:
            cached = self._cache.get(self._files[place].key)
            if cached is not None:
                parts[place] = _selected(cached, actions)
        missing = [place for place in places if place not in parts]
        whole = [
            place
            for place in missing
            if actions is None or len(actions) > _FEW_ACTIONS or _size_of(self._files[place]) <= _WHOLE_FILE_BYTES
        ]
        files = [self._files[place] for place in whole]
        contents = self._artifacts.get_ranges([ByteRange(file.key, 0, _size_of(file)) for file in files])
        for place, content in zip(whole, contents, strict=True):
            segments = Segments.decode(content, self._manifest.actions)
            self._check_users(place, segments.users)
            self._cache.put(self._files[place].key, segments, 2 * len(content))
            parts[place] = _selected(segments, actions)
        if actions is not None:
            few = [place for place in missing if place not in parts]
            parts.update(zip(few, self._read_slices(few, actions), strict=True))
        return [parts[place] for place in places]

    def _read_slices(self, places: Sequence[int], actions: Sequence[int]) -> Iterator[Segments]:
        """The segments of a few actions, out of the middle of the files."""
        files = [self._files[place] for place in places]
        runs = self._artifacts.get_ranges(
            [ByteRange(file.key, file.starts + 8 * action, 16) for file in files for action in actions]
        )
        bounds = np.frombuffer(b"".join(runs), "<i8").reshape(len(files), len(actions), 2)
        ranges = []
        for file, of_file in zip(files, bounds, strict=True):
            in_order = (of_file[:, 0] >= 0) & (of_file[:, 0] <= of_file[:, 1]) & (of_file[:, 1] <= file.entries)
            if not bool(in_order.all()):
                raise ArtifactError(f"the runs of {file.key} are out of order")
            for begin, end in of_file.tolist():
                ranges.append(ByteRange(file.key, file.members + 4 * begin, 4 * (end - begin)))
                ranges.append(ByteRange(file.key, file.weights + 8 * begin, 8 * (end - begin)))
        contents = iter(self._artifacts.get_ranges(ranges))
        named = [self._manifest.actions[action] for action in actions]
        for place, of_file in zip(places, bounds, strict=True):
            of_part = [next(contents) for _ in range(2 * len(actions))]
            members = np.frombuffer(b"".join(of_part[::2]), "<u4")
            weights = np.frombuffer(b"".join(of_part[1::2]), "<f8")
            starts = np.concatenate([[0], np.cumsum(of_file[:, 1] - of_file[:, 0])]).astype(np.int64)
            users = PartUsers(self.user_counts[place], partial(self.users, place))
            artifact.read(partial(artifact.check_runs, starts, members, len(users)))
            yield Segments(users, named, starts, members, weights)

    def users(self, place: int) -> Sequence[str]:
        file = self._files[place]
        cached = self._cache.get(file.key)
        if cached is not None:
            users: Sequence[str] = cached.users
            return users
        users = self._cache.get(f"{file.key} users")
        if users is None:
            (content,) = self._artifacts.get_ranges([ByteRange(file.key, file.users, file.users_bytes)])
            users = artifact.read(lambda: artifact.unpack_names(np.frombuffer(content, np.uint8)))
            self._check_users(place, users)
            self._cache.put(f"{file.key} users", users, 6 * len(content))
        return users

    def _check_users(self, place: int, users: Sequence[str]) -> None:
        part = self._manifest.parts[place]
        if len(users) != part.user_count or (users[0], users[-1]) != (part.first_user, part.last_user):
            raise ArtifactError(f"{self._files[place].key} has other users than the manifest says")


class PartUsers(Sequence[str]):
    """The users of a part, which are read when one of them is needed."""

    def __init__(self, count: int, read: Callable[[], Sequence[str]]) -> None:
        self._count = count
        self._read = read

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        return self._read()[index]


class AllUsers(Sequence[str]):
    """The users of all parts, in order; parts are read when one of their users is needed."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._ends = list(accumulate(parts.user_counts))

    def __iter__(self) -> Iterator[str]:
        for place in range(len(self._ends)):
            yield from self._parts.users(place)

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        index = range(len(self))[index]  # raises IndexError
        place = bisect_right(self._ends, index)
        return self._parts.users(place)[index - (self._ends[place - 1] if place else 0)]


class StoredSegments:
    """A program's segments of one kind: ``actions`` in order, and the users of these in parts.

    Each part is a ``Segments`` with some of the users; together they have all, in order. Reading one raises
    ArtifactError where it is damaged or missing. ``name`` tells versions and kinds apart; ``left_out`` says which of
    some users are to be left out.
    """

    def __init__(
        self,
        actions: Sequence[Action],
        parts: Parts,
        sums: SegmentSums | None = None,
        *,
        name: str = "",
        left_out: Callable[[Sequence[str]], Set[str]] | None = None,
    ) -> None:
        self.name = name
        self.actions = actions
        self._parts = parts
        self._left_out = left_out
        self._sums = sums

    @property
    def part_count(self) -> int:
        """In how many parts the users are."""
        return len(self._parts.user_counts)

    @cached_property
    def sums(self) -> SegmentSums:
        """What there is of each action, without its users."""
        if self._sums is not None and self._left_out is None:
            return self._sums
        sums = SegmentSums.of_nobody(len(self.actions))
        for part in self.parts():
            sums.add(part.sums())
        return sums

    @cached_property
    def users(self) -> Sequence[str]:
        """All users, in order."""
        if self._left_out is None:
            return AllUsers(self._parts)
        return [user_id for part in self.parts([]) for user_id in part.users]

    def parts(self, actions: Sequence[int] | None = None, *, after: str = "") -> Iterator[Segments]:
        """The parts in order, each with these actions alone (places in ``actions``, ascending; None: all of them).

        With ``after`` they begin with the first that has users who come after this one.
        """
        begin, size = bisect_right(self._parts.last_users, after) if after else 0, 1
        while begin < self.part_count:
            places = range(begin, min(begin + size, self.part_count))
            for part in self._parts.read(places, actions):
                yield part.without(self._left_out(part.users)) if self._left_out is not None else part
            # Whoever wants one page needs the first part alone.
            begin, size = places.stop, min(2 * size, _PARTS_AT_ONCE)

    def memberships(self, user_id: str) -> list[tuple[Action, float]]:
        """The actions that a user has a weight for, strongest first."""
        place = bisect_left(self._parts.last_users, user_id)
        if place == self.part_count or (self._left_out is not None and self._left_out([user_id])):
            return []
        (part,) = self._parts.read([place], None)
        return part.memberships(user_id)

    def without(self, left_out: Callable[[Sequence[str]], Set[str]]) -> StoredSegments:
        """The same without the users of whom ``left_out`` says so."""
        return StoredSegments(self.actions, self._parts, name=f"{self.name} without some", left_out=left_out)


class SegmentCache:
    """The segments used lately. They are immutable: the pointer says which to use."""

    def __init__(self, store: Store, artifacts: ArtifactStore, *, capacity: int = 9) -> None:
        self._store = store
        self._artifacts = artifacts
        self._parts = PartCache()
        self._manifests: LruCache[SegmentsManifest] = LruCache(capacity)
        self._cache: LruCache[tuple[SegmentsPointer, StoredSegments]] = LruCache(capacity)
        self._earlier: LruCache[tuple[SegmentsPointer, StoredSegments]] = LruCache(capacity)

    def segments_of(self, incarnation: Incarnation, kind: str) -> StoredSegments:
        """The program's current segments of one kind; where they cannot be read, the last good ones in memory.

        Raises NotFound before the program's first rebase, and ArtifactError where there are no good ones.
        """
        pointer = self._store.segments(incarnation)
        if pointer is None:
            raise NotFound(NO_SEGMENTS)
        place = f"{incarnation}/{kind}"
        cached = self._cache.get(place)
        if cached is not None and cached[0] == pointer:
            return cached[1]
        try:
            segments = open_segments(self._artifacts, pointer, kind, self._parts, self._manifests)
        except UNREADABLE as error:
            if cached is None:
                raise
            return self._last_good(incarnation, pointer, cached, error)
        if cached is not None:
            self._earlier.put(place, cached)
        self._cache.put(place, (pointer, segments))
        return segments

    def read(self, incarnation: Incarnation, kind: str, use: Callable[[StoredSegments], T]) -> T:
        """What ``use`` makes of the program's segments of one kind, whose parts it reads.

        It is called again where the segments were replaced meanwhile, and with the last good ones in memory where a
        part cannot be read. Raises NotFound and ArtifactError as ``segments_of``.
        """
        place, failed = f"{incarnation}/{kind}", None
        while True:
            segments = self.segments_of(incarnation, kind)
            try:
                return use(segments)
            except UNREADABLE as error:
                pointer = self._store.segments(incarnation)
                cached = self._cache.get(place)
                if pointer is None or (pointer != failed and (cached is None or cached[0] != pointer)):
                    failed = pointer
                    continue
                earlier = self._earlier.get(place)
                if earlier is None:
                    raise
                return use(self._last_good(incarnation, pointer, earlier, error))

    def _last_good(
        self,
        incarnation: Incarnation,
        unreadable: SegmentsPointer,
        good: tuple[SegmentsPointer, StoredSegments],
        error: Exception,
    ) -> StoredSegments:
        """Earlier segments without the users who were deleted since."""
        pointer, segments = good
        program_id = program_id_of(incarnation)
        logger.error(UNREADABLE_SEGMENTS, program_id=program_id, segments=unreadable.version, error=str(error))
        since_us = round(pointer.computed_at * 1e6)
        return segments.without(lambda users: self._store.erased_since(incarnation, users, since_us))


def open_segments(
    artifacts: ArtifactStore,
    pointer: SegmentsPointer,
    kind: str,
    cache: PartCache | None = None,
    manifests: LruCache[SegmentsManifest] | None = None,
) -> StoredSegments:
    """The segments of one kind that a pointer names. Raises ArtifactError."""
    name = f"{pointer.version} {kind}"
    if not pointer.manifest:
        segments = Segments.decode(artifacts.get(file_key(pointer, kind)))
        return StoredSegments(segments.actions, WholeFile(segments), name=name)
    manifest = manifests.get(pointer.manifest) if manifests is not None else None
    if manifest is None:
        manifest = SegmentsManifest.decode(artifacts.get(pointer.manifest))
        if manifests is not None:
            manifests.put(pointer.manifest, manifest)
    parts = PartFiles(artifacts, cache or PartCache(), manifest, kind)
    return StoredSegments(manifest.actions, parts, manifest.sums[kind], name=name)


def file_key(pointer: SegmentsPointer, kind: str) -> str:
    """The place of one kind of segments that are a file a kind, as they were written before there were parts."""
    return f"{pointer.prefix}{kind}.nbs"


def _selected(segments: Segments, actions: Sequence[int] | None) -> Segments:
    return segments if actions is None else segments.select(actions)


def _size_of(file: PartFile) -> int:
    end = file.weights + 8 * file.entries
    return end + -end % _ALIGNMENT
