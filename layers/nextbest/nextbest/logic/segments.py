"""Where a program's segments are kept: files of one version, and the pointer that is moved to them."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256

from nextbest.domain.actions import Action
from nextbest.errors import InUse, NotFound
from nextbest.scoring.memberships import SEGMENT_TYPES, Segments
from nextbest.store.base import ArtifactStore, SegmentsPointer, Store
from nextbest.store.cache import LruCache

NO_SEGMENTS = "The program has no segments yet: rebase it first"
_ATTEMPTS = 10


class SegmentCache:
    """The segments used lately. They are immutable: the pointer says which to use."""

    def __init__(self, store: Store, artifacts: ArtifactStore, *, capacity: int = 3) -> None:
        self._store = store
        self._artifacts = artifacts
        self._kept: LruCache[Segments] = LruCache(capacity)

    def segments_of(self, program_id: str, kind: str) -> Segments:
        """The program's current segments of one kind. Raises NotFound before its first rebase, ArtifactError."""
        pointer = self._store.segments(program_id)
        if pointer is None:
            raise NotFound(NO_SEGMENTS)
        key = file_key(pointer, kind)
        kept = self._kept.get(key)
        if kept is None:
            kept = Segments.decode(self._artifacts.get(key))
            self._kept.put(key, kept)
        return kept


def file_key(pointer: SegmentsPointer, kind: str) -> str:
    """The place of one kind of segments among the artifacts."""
    return f"{pointer.prefix}{kind}.nbs"


def files_of(program_id: str) -> str:
    """What the keys of all files of a program's segments begin with."""
    return f"segments/{program_id}/"


def publish(
    store: Store, artifacts: ArtifactStore, program_id: str, built: Mapping[str, Segments], *, computed_at: float
) -> SegmentsPointer:
    """Write segments of the log as it was at ``computed_at`` (seconds since 1970), and move the pointer.

    Users who were deleted since then are left out.
    """
    pointer = _pointer(program_id, f"{round(computed_at * 1000):013d}", computed_at)
    users = next(iter(built.values())).users
    erased = store.erased_since(program_id, users, round(computed_at * 1e6))
    for kind, segments in built.items():
        artifacts.put(file_key(pointer, kind), segments.without(erased).encode())
    store.point_to_segments(program_id, pointer)
    return pointer


def memberships_of(
    store: Store, artifacts: ArtifactStore, program_id: str, user_id: str
) -> dict[str, list[tuple[Action, float]]]:
    """By kind, the actions that a user has a weight for in the program's segments, strongest first."""
    pointer = store.segments(program_id)
    if pointer is None:
        return {}
    return {
        kind: Segments.decode(artifacts.get(file_key(pointer, kind))).memberships(user_id) for kind in SEGMENT_TYPES
    }


def forget_user(store: Store, artifacts: ArtifactStore, program_id: str, user_id: str) -> int:
    """Take a user out of the program's segments, and delete all earlier versions of them; how many memberships.

    Raises InUse where others keep changing the segments meanwhile.
    """
    for _attempt in range(_ATTEMPTS):
        pointer = store.segments(program_id)
        if pointer is None:
            return 0
        old = {kind: Segments.decode(artifacts.get(file_key(pointer, kind))) for kind in SEGMENT_TYPES}
        files = {kind: segments.without({user_id}).encode() for kind, segments in old.items()}
        digest = sha256(b"".join(files.values())).hexdigest()[:12]
        # Sorts after the version that it was made from, also as the place of a file ("_" comes after "/"), and before
        # what a rebase that began later writes.
        began, _, count = pointer.version.partition("_")
        version = f"{began}_{int(count.partition('_')[0] or 0) + 1:06d}_{digest}"
        changed = _pointer(program_id, version, pointer.computed_at)
        for kind, data in files.items():
            artifacts.put(file_key(changed, kind), data)
        if store.point_to_segments(program_id, changed, instead_of=pointer):
            artifacts.delete_all(files_of(program_id), before=changed.prefix)
            return sum(len(segments.memberships(user_id)) for segments in old.values())
    raise InUse("the segments are being changed by others at the same moment; try again")


def _pointer(program_id: str, version: str, computed_at: float) -> SegmentsPointer:
    return SegmentsPointer(version, f"{files_of(program_id)}{version}/", computed_at)
