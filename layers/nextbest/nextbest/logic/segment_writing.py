"""Writes a program's segments: part after part, by one process or many, then a manifest, and then the pointer moves.

Whoever dies before that leaves unused files behind, and the segments as they were. Names of files hold a digest, so two
who write the same part at once, or one who writes it again, do not overwrite what somebody counts on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import replace
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from nextbest.domain.actions import Action
from nextbest.domain.programs import Incarnation
from nextbest.errors import ArtifactError, InUse
from nextbest.logic.segment_reading import AllUsers, PartCache, PartFiles, file_key
from nextbest.scoring import artifact
from nextbest.scoring.memberships import Segments
from nextbest.scoring.segment_manifest import (
    BASE,
    SEGMENT_TYPES,
    PartFile,
    SegmentsManifest,
    SegmentsPart,
    SegmentSums,
    decode_sums,
    encode_sums,
)
from nextbest.store.base import ArtifactStore, ByteRange, SegmentsPointer, Store

_ATTEMPTS = 10


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

        Segments older than those that served until now are deleted. Raises NotFound for a program that was deleted
        meanwhile, and ArtifactError where a part cannot be read.
        """
        listed = sorted((part for part in parts if part is not None), key=lambda part: part.first_user)
        manifest = SegmentsManifest(actions, listed, sums_of(self._artifacts, listed, len(actions)))
        erased = self._erased(manifest)
        if erased:
            manifest, _ = without_users(self._artifacts, self._pointer.prefix, manifest, erased)
        earlier = self._store.segments(self._incarnation)
        pointer = put_manifest(self._artifacts, self._pointer, manifest)
        if not self._store.point_to_segments(self._incarnation, pointer):
            return pointer  # newer ones are in use
        if erased:
            self._artifacts.delete_all(pointer.prefix, keep={pointer.manifest, *manifest.keys})
        # Whoever deletes a user from now on finds these segments; who did so before may have found others.
        late = self._erased(manifest)
        if late:
            forget_users(self._store, self._artifacts, self._incarnation, late)
        elif earlier is not None:
            self._delete_before(earlier, manifest)
        return pointer

    def _erased(self, manifest: SegmentsManifest) -> set[str]:
        """The users who were deleted since the log was read."""
        users = AllUsers(PartFiles(self._artifacts, PartCache(), manifest, BASE))
        return self._store.erased_since(self._incarnation, users, round(self._pointer.computed_at * 1e6))

    def _delete_before(self, earlier: SegmentsPointer, manifest: SegmentsManifest) -> None:
        """Delete what neither these segments nor the ``earlier`` ones need, which serve where these cannot be read."""
        try:
            used = read_manifest(self._artifacts, earlier).keys if earlier.manifest else set[str]()
        except ArtifactError:
            return
        self._artifacts.delete_all(files_of(self._incarnation), before=earlier.prefix, keep=used | manifest.keys)


def publish(
    store: Store,
    artifacts: ArtifactStore,
    incarnation: Incarnation,
    built: Iterable[Mapping[str, Segments]],
    *,
    computed_at: float,
) -> SegmentsPointer:
    """Write segments of the log as it was at ``computed_at`` (seconds since 1970), and move the pointer.

    ``built`` are their parts, in any order; one is in memory at a time. Raises as ``SegmentsWriter.publish``.
    """
    writer = SegmentsWriter(store, artifacts, incarnation, computed_at=computed_at)
    actions: Sequence[Action] = ()
    parts = []
    for number, part in enumerate(built):
        actions = part[BASE].actions
        parts.append(writer.write(number, part))
    return writer.publish(actions, parts)


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
    sums = {kind: built[kind].sums() for kind in SEGMENT_TYPES}
    data = encode_sums(sums)
    of_sums = artifact.places_of_arrays(data)
    files = {}
    for kind in SEGMENT_TYPES:
        content = built[kind].encode()
        begins = artifact.places_of_arrays(content)
        files[kind] = PartFile(
            key=_put(artifacts, f"{prefix}{kind}-{number:05d}", content),
            users=begins["users"],
            users_bytes=len(artifact.pack_names(users)),
            starts=begins["starts"],
            members=begins["members"],
            weights=begins["weights"],
            entries=len(built[kind].members),
            places=of_sums[f"{kind}_places"],
            largest=of_sums[f"{kind}_largest"],
            least=of_sums[f"{kind}_least"],
            taken=int(np.count_nonzero(sums[kind].counts)),
        )
    sums_key = _put(artifacts, f"{prefix}sums-{number:05d}", data)
    return SegmentsPart(users[0], users[-1], len(users), files, sums_key)


def put_manifest(artifacts: ArtifactStore, pointer: SegmentsPointer, manifest: SegmentsManifest) -> SegmentsPointer:
    """Write a manifest among the files of ``pointer``; a pointer that names it."""
    return replace(pointer, manifest=_put(artifacts, f"{pointer.prefix}manifest", manifest.encode()))


def forget_users(store: Store, artifacts: ArtifactStore, incarnation: Incarnation, user_ids: Set[str]) -> int:
    """Take users out of the program's segments, and delete all earlier versions of them; how many memberships.

    Of segments in parts those are written again that have one of them. Raises InUse where others keep changing the
    segments meanwhile.
    """
    for _attempt in range(_ATTEMPTS):
        pointer = store.segments(incarnation)
        if pointer is None:
            return 0
        version = _version_after(pointer.version)
        changed = SegmentsPointer(version, f"{files_of(incarnation)}{version}/", pointer.computed_at)
        try:
            manifest, memberships = _changed(artifacts, pointer, changed.prefix, user_ids)
        except ArtifactError:
            if store.segments(incarnation) != pointer:
                continue
            # Nobody can be taken out of files that cannot be read: they go as a whole, until the next rebase.
            store.forget_segments(incarnation)
            artifacts.delete_all(files_of(incarnation))
            return 0
        changed = put_manifest(artifacts, changed, manifest)
        if store.point_to_segments(incarnation, changed, instead_of=pointer):
            artifacts.delete_all(files_of(incarnation), before=changed.prefix, keep=manifest.keys)
            return memberships
    raise InUse("the segments are being changed by others at the same moment; try again")


def _version_after(version: str) -> str:
    """A version that sorts after another, also as the place of a file ("_" comes after "/"), and before what a rebase
    that began later writes."""
    began, _, changes = version.partition("_")
    count = changes.partition("_")[0]
    return f"{began}_{(int(count) if count.isdecimal() else 0) + 1:06d}"


def _changed(
    artifacts: ArtifactStore, pointer: SegmentsPointer, prefix: str, user_ids: Set[str]
) -> tuple[SegmentsManifest, int]:
    """The segments of ``pointer`` without some users, and how many memberships those had; files that change are
    written under ``prefix``. Raises ArtifactError."""
    if pointer.manifest:
        return without_users(artifacts, prefix, read_manifest(artifacts, pointer), user_ids)
    old = {kind: Segments.decode(artifacts.get(file_key(pointer, kind))) for kind in SEGMENT_TYPES}
    actions = old[BASE].actions
    if any(segments.actions != actions for segments in old.values()):
        raise ArtifactError("the files of segments are not of one version")
    part = write_part(artifacts, prefix, 0, {kind: segments.without(user_ids) for kind, segments in old.items()})
    parts = [part] if part is not None else []
    return SegmentsManifest(actions, parts, sums_of(artifacts, parts, len(actions))), memberships_in(old, user_ids)


def without_users(
    artifacts: ArtifactStore, prefix: str, manifest: SegmentsManifest, user_ids: Set[str]
) -> tuple[SegmentsManifest, int]:
    """Segments without some users, and how many memberships those had; parts that change are written under ``prefix``.

    Raises ArtifactError.
    """
    places = {place for place in map(manifest.part_of, user_ids) if place is not None}
    parts: list[SegmentsPart] = []
    memberships = written = 0
    before, after = ({kind: SegmentSums.of_nobody(len(manifest.actions)) for kind in SEGMENT_TYPES} for _ in range(2))
    for place, part in enumerate(manifest.parts):
        if place not in places:
            parts.append(part)
            continue
        old = {kind: Segments.decode(artifacts.get(part.files[kind].key), manifest.actions) for kind in SEGMENT_TYPES}
        new = {kind: segments.without(user_ids) for kind, segments in old.items()}
        memberships += memberships_in(old, user_ids)
        for kind in SEGMENT_TYPES:
            before[kind].add(old[kind].sums())
            after[kind].add(new[kind].sums())
        changed_part = write_part(artifacts, prefix, place, new)
        parts += [changed_part] if changed_part is not None else []
        written += 1
    if written == len(manifest.parts):
        return SegmentsManifest(manifest.actions, parts, after), memberships
    changed = SegmentsManifest(manifest.actions, parts, manifest.sums)
    sums = {
        kind: _sums_without(artifacts, changed, kind, before=before[kind], after=after[kind]) for kind in SEGMENT_TYPES
    }
    return replace(changed, sums=sums), memberships


def _sums_without(
    artifacts: ArtifactStore, changed: SegmentsManifest, kind: str, *, before: SegmentSums, after: SegmentSums
) -> SegmentSums:
    """The sums over all users, where those of some parts were ``before`` and are ``after``."""
    old = changed.sums[kind]
    # Who had the largest or the least weight for an action may be gone: then all parts are looked through for it.
    gone = (before.largest == old.largest) & (after.largest < before.largest)
    gone |= (before.least == old.least) & (after.least > before.least)
    doubtful = np.flatnonzero(gone)
    counts = old.counts - before.counts + after.counts
    sums = SegmentSums(
        counts,
        old.likeliest - before.likeliest + after.likeliest,
        np.where(counts, old.totals - before.totals + after.totals, 0.0),
        old.largest.copy(),
        old.least.copy(),
    )
    sums.largest[doubtful], sums.least[doubtful] = _extremes(artifacts, changed.parts, kind, doubtful)
    return sums


def _extremes(
    artifacts: ArtifactStore, parts: Sequence[SegmentsPart], kind: str, actions: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The largest and the least weight that anybody has for each of ``actions``, over all parts."""
    largest, least = np.full(len(actions), -np.inf), np.full(len(actions), np.inf)
    if not len(actions):
        return largest, least
    for part in parts:
        file = part.files[kind]
        ranges = [(file.places, 4 * file.taken), (file.largest, 8 * file.taken), (file.least, 8 * file.taken)]
        contents = artifacts.get_ranges([ByteRange(part.sums_key, begin, count) for begin, count in ranges])
        taken = np.frombuffer(contents[0], "<u4")
        _, of_actions, of_taken = np.intersect1d(actions, taken, assume_unique=True, return_indices=True)
        for extremes, keep, content in ((largest, np.maximum, contents[1]), (least, np.minimum, contents[2])):
            extremes[of_actions] = keep(extremes[of_actions], np.frombuffer(content, "<f8")[of_taken])
    return largest, least


def memberships_in(by_kind: Mapping[str, Segments], user_ids: Iterable[str]) -> int:
    """How many actions these users have a weight for, over all kinds."""
    return sum(len(segments.memberships(user_id)) for segments in by_kind.values() for user_id in user_ids)


def read_manifest(artifacts: ArtifactStore, pointer: SegmentsPointer) -> SegmentsManifest:
    """The manifest that a pointer names. Raises ArtifactError."""
    return SegmentsManifest.decode(artifacts.get(pointer.manifest))


def sums_of(artifacts: ArtifactStore, parts: Iterable[SegmentsPart], actions: int) -> dict[str, SegmentSums]:
    """By kind, the sums over all parts. Raises ArtifactError."""
    sums = {kind: SegmentSums.of_nobody(actions) for kind in SEGMENT_TYPES}
    for part in parts:
        for kind, of_part in decode_sums(artifacts.get(part.sums_key), actions).items():
            sums[kind].add(of_part)
    return sums


def _put(artifacts: ArtifactStore, name: str, data: bytes) -> str:
    key = f"{name}-{sha256(data).hexdigest()[:12]}.nbs"
    artifacts.put(key, data)
    return key
