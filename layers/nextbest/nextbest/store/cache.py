"""The caches of a warm environment: models, catalogues, access keys.

Models and catalogues are immutable, so a cached one is never stale: the program item, read with every request, says
which to use. They are remembered by incarnation, so a program never gets what an earlier one of its id left behind.
When an artifact cannot be read, the last good one of that program stays in use.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from nextbest.aws.clients import SERVICE_FAILURES
from nextbest.domain.access_keys import AccessKey
from nextbest.domain.catalogue import Catalogue
from nextbest.domain.programs import Incarnation
from nextbest.errors import ArtifactError, Unavailable
from nextbest.observability import logger
from nextbest.store.base import ArtifactStore, ConfigurationStore, ModelPointer, ProgramState

T = TypeVar("T")

RETRY_SECONDS = 30.0
"""How long an artifact that could not be read is not tried again: trying it with every request would slow them all."""

UNREADABLE = (ArtifactError, *SERVICE_FAILURES)
"""What reading an artifact raises where it is damaged or missing, or S3 is out of reach."""

REMEMBERED_SECONDS = 900.0
"""How long a copy of an access key is of use at all."""

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
