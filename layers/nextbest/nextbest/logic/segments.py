"""A program's segments: who is in one, how large each is, and where they are stored.

Stored are files of one version, and a pointer that is moved to them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from hashlib import sha256

import numpy as np

from nextbest.domain.actions import Action
from nextbest.domain.catalogue import Catalogue
from nextbest.domain.programs import Incarnation, program_id_of
from nextbest.errors import ArtifactError, InUse, NotFound, Unavailable
from nextbest.logic.event_types import require_known
from nextbest.logic.segment_writing import files_of
from nextbest.observability import logger
from nextbest.scoring.memberships import Segments
from nextbest.scoring.segment_manifest import SEGMENT_TYPES
from nextbest.store.base import ArtifactStore, ProgramState, SegmentsPointer, Store
from nextbest.store.cache import UNREADABLE, LruCache

NO_SEGMENTS = "The program has no segments yet: rebase it first"
UNREADABLE_SEGMENTS = "segments cannot be read; the last good ones serve on"
_ATTEMPTS = 10
# The gateway lets a caller wait for 30 seconds, and what was computed is there to be read afterwards.
_POLLS = 80
_POLL_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class SegmentSummary:
    """The users whose weight for an asset or label is at least the least weight asked for, all of one event type.

    ``basis_id`` is the asset's id or the label; ``strength`` the mean of the members' weights.
    """

    basis_id: str
    name: str
    event_type: str
    user_count: int
    strength: float


class SegmentCache:
    """The segments used lately. They are immutable: the pointer says which to use."""

    def __init__(self, store: Store, artifacts: ArtifactStore, *, capacity: int = 3) -> None:
        self._store = store
        self._artifacts = artifacts
        self._cache: LruCache[tuple[SegmentsPointer, Segments]] = LruCache(capacity)

    def segments_of(self, incarnation: Incarnation, kind: str) -> Segments:
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
            segments = Segments.decode(self._artifacts.get(file_key(pointer, kind)))
        except UNREADABLE as error:
            if cached is None:
                raise
            program_id = program_id_of(incarnation)
            logger.error(UNREADABLE_SEGMENTS, program_id=program_id, segments=pointer.version, error=str(error))
            return self._without_erased(incarnation, *cached)
        self._cache.put(place, (pointer, segments))
        return segments

    def _without_erased(self, incarnation: Incarnation, pointer: SegmentsPointer, segments: Segments) -> Segments:
        """Earlier segments without the users who were deleted since."""
        since_us = round(pointer.computed_at * 1e6)
        return segments.without(self._store.erased_since(incarnation, segments.users, since_us))


@dataclass(frozen=True, slots=True)
class SegmentMember:
    """A user in a segment: the weight that makes them a member, and the action that it is for."""

    user_id: str
    weight: float
    action: Action


@dataclass(frozen=True, slots=True)
class SegmentMembers:
    """The users of one segment, in order. ``largest_weight`` is the least weight up to which it has any; 0: none."""

    members: list[SegmentMember]
    largest_weight: float


def members_of(
    segments: Segments,
    catalogue: Catalogue,
    *,
    asset_ids: tuple[str, ...],
    labels: tuple[str, ...],
    event_types: tuple[str, ...],
    min_weight: float,
    match_all: bool,
) -> SegmentMembers:
    """The users with at least ``min_weight`` for any, or all, of the assets; else of the labels; else for anything.

    ``event_types`` narrows down what counts; none: all of them. Raises InvalidInput for one that is not known.
    """
    require_known(event_types, {action.event_type for action in segments.actions}, field="action_types")
    actions = _actions_by_asset(segments, event_types)
    if asset_ids:
        groups = [actions.get(asset_id, []) for asset_id in asset_ids]
    elif labels:
        by_label = _actions_by_label(actions, catalogue)
        groups = [by_label.get(label, []) for label in labels]
    else:
        groups = [[index for indices in actions.values() for index in indices]]
    weights, actions_of_users = segments.weights_for(groups, match_all=match_all)
    chosen = np.flatnonzero(weights >= min_weight)
    rows = zip(chosen.tolist(), weights[chosen].tolist(), actions_of_users[chosen].tolist(), strict=True)
    members = [SegmentMember(segments.users[user], weight, segments.actions[action]) for user, weight, action in rows]
    return SegmentMembers(members, float(np.nanmax(weights, initial=0.0)))


def summaries_of(
    segments: Segments, catalogue: Catalogue, *, by_label: bool, min_weight: float
) -> tuple[list[SegmentSummary], float]:
    """Every segment with members, by label or by asset, the largest first; and the largest weight in any, members or
    not: 0 where there is none."""
    summaries, largest = [], 0.0
    for event_type in sorted({action.event_type for action in segments.actions}):
        actions = _actions_by_asset(segments, (event_type,))
        for basis_id, indices in (_actions_by_label(actions, catalogue) if by_label else actions).items():
            largest = max(largest, segments.largest_weight(indices))
            count, strength = segments.strength(indices, min_weight)
            if count:
                name = basis_id if by_label else catalogue.name_of(basis_id)
                summaries.append(SegmentSummary(basis_id, name, event_type, count, float(strength)))
    summaries.sort(key=lambda segment: (-segment.user_count, segment.basis_id, segment.event_type))
    return summaries, largest


def _actions_by_asset(segments: Segments, event_types: tuple[str, ...]) -> dict[str, list[int]]:
    """Indices of the actions by their assets, of the given event types (none: all of them)."""
    actions: dict[str, list[int]] = {}
    for index, action in enumerate(segments.actions):
        if not event_types or action.event_type in event_types:
            actions.setdefault(action.asset_id, []).append(index)
    return actions


def _actions_by_label(actions: Mapping[str, list[int]], catalogue: Catalogue) -> dict[str, list[int]]:
    """The same by the labels that the assets have now."""
    by_label: dict[str, list[int]] = {}
    for asset_id, indices in actions.items():
        asset = catalogue.assets.get(asset_id)
        for label in dict.fromkeys(asset.labels if asset else ()):
            by_label.setdefault(label, []).extend(indices)
    return by_label


def refresh_segments(
    store: Store, state: ProgramState, start: Callable[[Incarnation], None], pause: Callable[[float], None]
) -> None:
    """Have ``start`` compute the segments again, and wait for them; ``pause`` waits for some seconds.

    Raises NotFound before the first rebase, and Unavailable.
    """
    incarnation = state.program.incarnation
    before = store.segments(incarnation)
    start_refresh(state, start)
    for _ in range(_POLLS):
        if store.segments(incarnation) != before:
            return
        pause(_POLL_SECONDS)
    raise Unavailable("the segments are still being computed; ask again, without force_refresh")


def start_refresh(state: ProgramState, start: Callable[[Incarnation], None]) -> None:
    """Have ``start`` compute the segments again, and do not wait. Raises NotFound before the first rebase."""
    if state.model is None:
        raise NotFound(NO_SEGMENTS)
    start(state.program.incarnation)


def file_key(pointer: SegmentsPointer, kind: str) -> str:
    """The place of one kind of segments among the artifacts."""
    return f"{pointer.prefix}{kind}.nbs"


def publish(
    store: Store,
    artifacts: ArtifactStore,
    incarnation: Incarnation,
    built: Mapping[str, Segments],
    *,
    computed_at: float,
) -> SegmentsPointer:
    """Write segments of the log as it was at ``computed_at`` (seconds since 1970), and move the pointer.

    Users who were deleted since then are left out. Raises NotFound for a program that was deleted meanwhile.
    """
    pointer = _pointer(incarnation, f"{round(computed_at * 1000):013d}", computed_at)
    users = next(iter(built.values())).users
    erased = store.erased_since(incarnation, users, round(computed_at * 1e6))
    for kind, segments in built.items():
        artifacts.put(file_key(pointer, kind), segments.without(erased).encode())
    store.point_to_segments(incarnation, pointer)
    return pointer


def memberships_of(
    store: Store, artifacts: ArtifactStore, incarnation: Incarnation, user_id: str
) -> dict[str, list[tuple[Action, float]]]:
    """By kind, the actions that a user has a weight for in the program's segments, strongest first."""
    pointer = store.segments(incarnation)
    if pointer is None:
        return {}
    return {
        kind: Segments.decode(artifacts.get(file_key(pointer, kind))).memberships(user_id) for kind in SEGMENT_TYPES
    }


def forget_users(store: Store, artifacts: ArtifactStore, incarnation: Incarnation, user_ids: Set[str]) -> int:
    """Take users out of the program's segments, and delete all earlier versions of them; how many memberships.

    Raises InUse where others keep changing the segments meanwhile.
    """
    for _attempt in range(_ATTEMPTS):
        pointer = store.segments(incarnation)
        if pointer is None:
            return 0
        try:
            old = {kind: Segments.decode(artifacts.get(file_key(pointer, kind))) for kind in SEGMENT_TYPES}
        except ArtifactError:
            if store.segments(incarnation) != pointer:
                continue
            # Nobody can be taken out of files that cannot be read: they go as a whole, until the next rebase.
            store.forget_segments(incarnation)
            artifacts.delete_all(files_of(incarnation))
            return 0
        files = {kind: segments.without(user_ids).encode() for kind, segments in old.items()}
        digest = sha256(b"".join(files.values())).hexdigest()[:12]
        # Sorts after the version that it was made from, also as the place of a file ("_" comes after "/"), and before
        # what a rebase that began later writes.
        began, _, count = pointer.version.partition("_")
        version = f"{began}_{int(count.partition('_')[0] or 0) + 1:06d}_{digest}"
        changed = _pointer(incarnation, version, pointer.computed_at)
        for kind, data in files.items():
            artifacts.put(file_key(changed, kind), data)
        if store.point_to_segments(incarnation, changed, instead_of=pointer):
            artifacts.delete_all(files_of(incarnation), before=changed.prefix)
            return sum(len(segments.memberships(user_id)) for segments in old.values() for user_id in user_ids)
    raise InUse("the segments are being changed by others at the same moment; try again")


def _pointer(incarnation: Incarnation, version: str, computed_at: float) -> SegmentsPointer:
    return SegmentsPointer(version, f"{files_of(incarnation)}{version}/", computed_at)
