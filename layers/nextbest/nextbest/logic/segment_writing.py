"""Writes a program's segments: part after part, by one process or many, then a manifest, and then the pointer moves.

Whoever dies before that leaves unused files behind, and the segments as they were. Names of files hold a digest, so two
who write the same part at once, or one who writes it again, do not overwrite what somebody counts on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256

from nextbest.domain.actions import Action
from nextbest.domain.programs import Incarnation
from nextbest.scoring import artifact
from nextbest.scoring.memberships import Segments
from nextbest.scoring.segment_manifest import (
    SEGMENT_TYPES,
    PartFile,
    SegmentsManifest,
    SegmentsPart,
    SegmentSums,
    decode_sums,
    encode_sums,
)
from nextbest.store.base import ArtifactStore, SegmentsPointer, Store


class SegmentsWriter:
    """Writes one version of a program's segments: of the log as it was at ``computed_at`` (seconds since 1970).

    ``write`` may be called by several processes, each with a writer of its own; what it returns is small. One of them
    calls ``publish`` with all of that. Users who were deleted since ``computed_at`` are left out.
    """

    def __init__(self, store: Store, artifacts: ArtifactStore, incarnation: Incarnation, *, computed_at: float) -> None:
        self._store = store
        self._artifacts = artifacts
        self._incarnation = incarnation
        version = f"{round(computed_at * 1000):013d}"
        self._pointer = SegmentsPointer(version, f"{files_of(incarnation)}{version}/", computed_at)

    def write(self, number: int, built: Mapping[str, Segments]) -> SegmentsPart | None:
        """Write the segments of some users, by kind; None where nobody is left of them.

        ``number`` tells the parts of a version apart. All parts have the same actions.
        """
        users = next(iter(built.values())).users
        erased = self._store.erased_since(self._incarnation, users, round(self._pointer.computed_at * 1e6))
        built = {kind: built[kind].without(erased) for kind in SEGMENT_TYPES}
        return write_part(self._artifacts, self._pointer.prefix, number, built)

    def publish(self, actions: Sequence[Action], parts: Iterable[SegmentsPart | None]) -> SegmentsPointer:
        """Write the manifest of all ``parts``, which have these ``actions``, and move the pointer to it.

        Raises NotFound for a program that was deleted meanwhile, and ArtifactError where a part cannot be read.
        """
        listed = sorted((part for part in parts if part is not None), key=lambda part: part.first_user)
        manifest = SegmentsManifest(actions, listed, sums_of(self._artifacts, listed, len(actions)))
        pointer = put_manifest(self._artifacts, self._pointer, manifest)
        self._store.point_to_segments(self._incarnation, pointer)
        return pointer


def files_of(incarnation: Incarnation) -> str:
    """What the keys of all files of a program's segments begin with."""
    return f"segments/{incarnation}/"


def write_part(
    artifacts: ArtifactStore, prefix: str, number: int, built: Mapping[str, Segments]
) -> SegmentsPart | None:
    """Write the segments of some users, by kind, to files whose keys begin with ``prefix``; None for no users."""
    users = built[SEGMENT_TYPES[0]].users
    if not users:
        return None
    files = {kind: _write_file(artifacts, f"{prefix}{kind}-{number:05d}", built[kind]) for kind in SEGMENT_TYPES}
    sums = encode_sums({kind: built[kind].sums() for kind in SEGMENT_TYPES})
    sums_key = _put(artifacts, f"{prefix}sums-{number:05d}", sums)
    return SegmentsPart(users[0], users[-1], len(users), files, sums_key)


def put_manifest(artifacts: ArtifactStore, pointer: SegmentsPointer, manifest: SegmentsManifest) -> SegmentsPointer:
    """Write a manifest among the files of ``pointer``; a pointer that names it."""
    return replace(pointer, manifest=_put(artifacts, f"{pointer.prefix}manifest", manifest.encode()))


def sums_of(artifacts: ArtifactStore, parts: Iterable[SegmentsPart], actions: int) -> dict[str, SegmentSums]:
    """By kind, the sums over all parts. Raises ArtifactError."""
    sums = {kind: SegmentSums.of_nobody(actions) for kind in SEGMENT_TYPES}
    for part in parts:
        for kind, of_part in decode_sums(artifacts.get(part.sums_key), actions).items():
            sums[kind].add(of_part)
    return sums


def _write_file(artifacts: ArtifactStore, name: str, segments: Segments) -> PartFile:
    data = segments.encode()
    places = artifact.places_of_arrays(data)
    users_bytes = len(artifact.pack_names(segments.users))
    entries = len(segments.members)
    key = _put(artifacts, name, data)
    return PartFile(key, places["users"], users_bytes, places["starts"], places["members"], places["weights"], entries)


def _put(artifacts: ArtifactStore, name: str, data: bytes) -> str:
    key = f"{name}-{sha256(data).hexdigest()[:12]}.nbs"
    artifacts.put(key, data)
    return key
