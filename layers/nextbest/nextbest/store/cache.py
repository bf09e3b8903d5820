"""The caches of a warm environment: models, catalogues, access keys, and what items were decoded to.

Models and catalogues are immutable, so a cached one is never stale: the program item, read with every request, says
which to use. They are remembered by incarnation, so a program never gets what an earlier one of its id left behind.
When an artifact cannot be read, the last good one of that program stays in use.

Items are read with every request all the same, and compared with those that were decoded before: so what they were
decoded to saves arithmetic, never a read, and is never stale either.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from nextbest.aws.clients import SERVICE_FAILURES
from nextbest.aws.table import Item
from nextbest.domain.access_keys import AccessKey
from nextbest.domain.catalogue import Catalogue
from nextbest.domain.history import History
from nextbest.domain.programs import Incarnation
from nextbest.errors import ArtifactError, Unavailable
from nextbest.observability import logger
from nextbest.store.base import ArtifactStore, ConfigurationStore, ModelPointer, ProgramState
from nextbest.store.histories import decode_snapshot

T = TypeVar("T")

RETRY_SECONDS = 30.0
"""How long an artifact that could not be read is not tried again: trying it with every request would slow them all."""

UNREADABLE = (ArtifactError, *SERVICE_FAILURES)
"""What reading an artifact raises where it is damaged or missing, or S3 is out of reach."""

REMEMBERED_SECONDS = 900.0
"""How long a copy of an access key is of use at all."""

HISTORY_BYTES = 1_000_000
"""Of histories as they are stored. Decoded they take about ten times as much memory."""

UNREADABLE_MODEL = "a model cannot be read; the last good one serves on"


class LruCache(Generic[T]):
    """The most recently used values, at most ``capacity``."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._values: OrderedDict[str, T] = OrderedDict()

    def get(self, key: str) -> T | None:
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
        return value

    def put(self, key: str, value: T) -> None:
        self._values[key] = value
        self._values.move_to_end(key)
        while len(self._values) > self._capacity:
            self._values.popitem(last=False)

    def forget(self, key: str) -> None:
        self._values.pop(key, None)


class ModelCache(Generic[T]):
    """The models of recently used programs, and those that their challengers name, each in a place of its own.

    ``load`` makes one from an artifact's bytes.
    """

    def __init__(self, artifacts: ArtifactStore, load: Callable[[bytes], T], *, capacity: int = 16) -> None:
        self._artifacts = artifacts
        self._load = load
        self._cache: LruCache[tuple[str, T]] = LruCache(capacity)
        self._tried: LruCache[tuple[str, float]] = LruCache(capacity)

    def holds(self, state: ProgramState) -> bool:
        """Whether the program's model needs no fetching."""
        cached = self._cache.get(state.model_place)
        return state.model is None or (cached is not None and cached[0] == state.model.version)

    def model_of(self, state: ProgramState, *, now: float) -> tuple[str, T] | None:
        """A program's current model and its version; None before its first rebase.

        An artifact that cannot be read is logged, and the last good model stays in use: the one in memory, or else the
        program's previous one. The artifact is tried again after ``RETRY_SECONDS``. Raises Unavailable where there is
        no good model at all.
        """
        place = state.model_place
        pointer = state.model
        if pointer is None:
            return None
        cached = self._cache.get(place)
        if cached is not None and (cached[0] == pointer.version or self._tried_lately(place, pointer, now)):
            return cached
        # Recorded first, because reading may be interrupted by the deadline (nextbest.web.deadline).
        self._tried.put(place, (pointer.version, now))
        for candidate in (pointer, state.previous_model):
            loaded = self._read(state.program.program_id, candidate) if candidate is not None else None
            if loaded is not None:
                self._cache.put(place, loaded)
                return loaded
            if cached is not None:
                return cached
        raise Unavailable("The model cannot be read just now; please try again")

    def _tried_lately(self, place: str, pointer: ModelPointer, now: float) -> bool:
        version, tried_at = self._tried.get(place) or ("", 0.0)
        return version == pointer.version and now - tried_at < RETRY_SECONDS

    def _read(self, program_id: str, pointer: ModelPointer) -> tuple[str, T] | None:
        try:
            return pointer.version, self._load(self._artifacts.get(pointer.key))
        except UNREADABLE as error:
            # An alarm counts these lines (template.yaml, UnreadableModels).
            logger.error(UNREADABLE_MODEL, program_id=program_id, model=pointer.version, error=str(error))
            return None


class CatalogueCache:
    """The catalogues of recently used programs, updated with the changes they lack."""

    def __init__(self, store: ConfigurationStore, artifacts: ArtifactStore, *, capacity: int = 16) -> None:
        self._store = store
        self._artifacts = artifacts
        self._cache: LruCache[Catalogue] = LruCache(capacity)

    def holds(self, state: ProgramState) -> bool:
        """Whether the program's catalogue needs no fetching."""
        cached = self._cache.get(state.program.incarnation)
        return state.catalogue_revision <= (cached.revision if cached is not None else 0)

    def catalogue_of(self, state: ProgramState) -> Catalogue:
        """The program's catalogue at exactly ``state.catalogue_revision`` or later."""
        incarnation = state.program.incarnation
        cached = self._cache.get(incarnation) or Catalogue()
        if cached.revision >= state.catalogue_revision:
            return cached
        current = self._with_changes(incarnation, self._start(state, cached), state.catalogue_revision)
        if current is None:
            # Some changes no longer exist: read the assets themselves.
            assets = {asset.asset_id: asset for asset in self._store.assets(incarnation)}
            current = Catalogue(state.catalogue_revision, assets)
        self._cache.put(incarnation, current)
        return current

    def _start(self, state: ProgramState, cached: Catalogue) -> Catalogue:
        """The written catalogue, where it is newer than the cached one."""
        if state.catalogue is None or state.catalogue.revision <= cached.revision:
            return cached
        try:
            return Catalogue.decode(self._artifacts.get(state.catalogue.key))
        except UNREADABLE as error:
            logger.error("the catalogue cannot be read; its changes are", program_id=state.program.program_id,
                key=state.catalogue.key, error=str(error))  # fmt: skip
            return cached

    def _with_changes(self, incarnation: Incarnation, start: Catalogue, until: int) -> Catalogue | None:
        if start.revision >= until:
            return start
        current = start
        for revision, assets in self._store.asset_changes(incarnation, start.revision, until):
            if revision != current.revision + 1:
                return None
            current = current.with_changes(revision, assets)
        return current if current.revision >= until else None


@dataclass(frozen=True, slots=True)
class RememberedKey:
    """A copy of a key. Only a ``current`` one may decide; an older one says what the stored key will be about."""

    key: AccessKey
    current: bool


class AccessKeyCache:
    """Recently used access keys. Each is current for ``current_seconds``: how long a revoked key may still work."""

    def __init__(self, *, current_seconds: float, capacity: int = 256) -> None:
        self._current_seconds = current_seconds
        self._cache: LruCache[tuple[float, AccessKey]] = LruCache(capacity)

    def get(self, key_id: str, *, now: float) -> RememberedKey | None:
        """The key, if it was read within ``REMEMBERED_SECONDS``."""
        read_at, key = self._cache.get(key_id) or (-math.inf, None)
        if key is None or now - read_at >= REMEMBERED_SECONDS:
            return None
        return RememberedKey(key, current=now - read_at < self._current_seconds)

    def put(self, key: AccessKey, *, now: float) -> None:
        """Remember a key that was just read."""
        self._cache.put(key.key_id, (now, key))


class DecodedItems(Generic[T]):
    """Items of one kind, the most recently used; ``decode`` makes of an item what it holds."""

    def __init__(self, decode: Callable[[Item], T], *, capacity: int = 256) -> None:
        self._decode = decode
        self._cache: LruCache[tuple[Item, T]] = LruCache(capacity)

    def of(self, key: str, item: Item) -> T:
        """What the ``item``, which was just read under ``key``, holds. Raises what decoding raises."""
        cached = self._cache.get(key)
        if cached is None or cached[0] != item:
            cached = (item, self._decode(item))
            self._cache.put(key, cached)
        return cached[1]


@dataclass(frozen=True, slots=True)
class _Entry:
    """A history and what it was decoded from: the snapshot's attribute (None: there is none), the tail's members."""

    packed: object
    members: Sequence[bytes]
    snapshot: History
    history: History
    size: int


class DecodedHistories:
    """The histories of the users who were read last, up to a number of bytes in the form that is stored."""

    def __init__(self, *, most_bytes: int = HISTORY_BYTES) -> None:
        self._most_bytes = most_bytes
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def history_of(self, pk: str, snapshot: Item | None, tail: Item | None) -> History | None:
        """The history in a user's two items, which were just read; None for a user who has none.

        It is the same object as before if nothing of it changed. Raises HistoryCorrupt.
        """
        members = tail.get("tail_events", {}).get("BS", []) if tail else []
        packed = snapshot.get("packed") if snapshot else None
        if not members and packed is None:
            self._drop(pk)
            return None
        entry = self._entries.get(pk)
        if entry is not None and entry.packed == packed:
            if entry.members == members:
                self._entries.move_to_end(pk)
                return entry.history
            base = entry.snapshot
        else:
            base = decode_snapshot(snapshot or {})
        self._drop(pk)
        history = base.merge_packed(members)
        size = sum(map(len, members)) + (len(packed["B"]) if packed is not None else 0)
        self._entries[pk] = _Entry(packed, members, base, history, size)
        self._bytes += size
        while self._bytes > self._most_bytes and self._entries:
            _, oldest = self._entries.popitem(last=False)
            self._bytes -= oldest.size
        return history

    def _drop(self, pk: str) -> None:
        entry = self._entries.pop(pk, None)
        self._bytes -= entry.size if entry is not None else 0
