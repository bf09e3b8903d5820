"""A program's segments: who is in one, and how large each is."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import nlargest

import numpy as np
from numpy.typing import NDArray

from nextbest.domain.actions import Action
from nextbest.domain.catalogue import Catalogue
from nextbest.domain.programs import Incarnation
from nextbest.errors import ArtifactError, NotFound, Unavailable
from nextbest.logic.event_types import require_known
from nextbest.logic.segment_reading import NO_SEGMENTS, StoredSegments, open_segments
from nextbest.scoring.segment_manifest import SEGMENT_TYPES, SegmentsManifest, SegmentSums
from nextbest.store.base import ArtifactStore, ProgramState, Store
from nextbest.store.cache import LruCache

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


@dataclass(frozen=True, slots=True)
class SegmentMember:
    """A user in a segment: the weight that makes them a member, and the action that it is for."""

    user_id: str
    weight: float
    action: Action


@dataclass(frozen=True, slots=True)
class _Chosen:
    """The members in one part: places in ``users``, their weights, and the places of the actions that these are for."""

    users: Sequence[str]
    places: NDArray[np.int64]
    weights: NDArray[np.float64]
    actions: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class SegmentMembers:
    """The users of one segment, which are read part by part. All that reads raises ArtifactError.

    A member has at least ``min_weight`` for some action of any of ``groups`` (places of actions), or of all of them.
    """

    segments: StoredSegments
    groups: Sequence[Sequence[int]]
    min_weight: float
    match_all: bool

    def in_parts(self, *, after: str = "") -> Iterator[list[SegmentMember]]:
        """The members in order of their ids, part by part; with ``after`` those who come after this user."""
        for chosen in self._chosen(after):
            yield self._members(chosen, range(len(chosen.places)))

    def strongest(self, limit: int) -> tuple[int, list[SegmentMember]]:
        """How many members there are, and those with the largest weights, at most ``limit``."""
        count, strongest = 0, list[SegmentMember]()
        for chosen in self._chosen(""):
            count += len(chosen.places)
            order = np.argsort(-chosen.weights, kind="stable")[:limit].tolist()
            both = [*strongest, *self._members(chosen, order)]
            strongest = nlargest(limit, both, key=lambda member: member.weight)
        return count, strongest

    @property
    def largest_weight(self) -> float:
        """The least weight up to which the segment has anybody; 0 where nobody has any weight for it."""
        if not self.match_all or len(self.groups) < 2:
            return _largest(self.segments.sums, [action for group in self.groups for action in group])
        if not all(self.groups):
            return 0.0
        wanted, groups = _numbered(self.groups)
        largest = 0.0
        for part in self.segments.parts(wanted.tolist()):
            weights, _ = part.weights_for(groups, match_all=True)
            largest = float(np.nanmax(weights, initial=largest))
        return largest

    def _chosen(self, after: str) -> Iterator[_Chosen]:
        # Nobody is a member by an action for which even the largest weight is too small.
        largest = self.segments.sums.largest
        useful = [[action for action in group if largest[action] >= self.min_weight] for group in self.groups]
        if not any(useful) or (self.match_all and not all(useful)):
            return
        wanted, groups = _numbered(useful)
        for part in self.segments.parts(wanted.tolist(), after=after):
            weights, actions = part.weights_for(groups, match_all=self.match_all)
            places = np.flatnonzero(weights >= self.min_weight)
            if after and places.shape[0]:
                places = places[np.searchsorted(places, bisect_right(part.users, after)) :]
            if places.shape[0]:
                yield _Chosen(part.users, places, weights[places], wanted[actions[places]])

    def _members(self, chosen: _Chosen, order: Iterable[int]) -> list[SegmentMember]:
        places, weights, actions = chosen.places.tolist(), chosen.weights.tolist(), chosen.actions.tolist()
        named = self.segments.actions
        return [SegmentMember(chosen.users[places[n]], weights[n], named[actions[n]]) for n in order]


def members_of(
    segments: StoredSegments,
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
    return SegmentMembers(segments, groups, min_weight, match_all)


def summaries_of(
    segments: StoredSegments, catalogue: Catalogue, *, by_label: bool, min_weight: float
) -> tuple[list[SegmentSummary], float]:
    """Every segment with members, by label or by asset, the largest first; and the largest weight in any, members or
    not: 0 where there is none. Raises ArtifactError."""
    named: list[tuple[str, str]] = []
    groups: list[list[int]] = []
    for event_type in sorted({action.event_type for action in segments.actions}):
        actions = _actions_by_asset(segments, (event_type,))
        for basis_id, group in (_actions_by_label(actions, catalogue) if by_label else actions).items():
            named.append((basis_id, event_type))
            groups.append(group)
    counts, totals = _strengths(segments, groups, min_weight)
    summaries = [
        SegmentSummary(
            basis_id, basis_id if by_label else catalogue.name_of(basis_id), event_type, count, total / count
        )
        for (basis_id, event_type), count, total in zip(named, counts.tolist(), totals.tolist(), strict=True)
        if count
    ]
    summaries.sort(key=lambda segment: (-segment.user_count, segment.basis_id, segment.event_type))
    return summaries, _largest(segments.sums, [action for group in groups for action in group])


def _strengths(
    segments: StoredSegments, groups: Sequence[Sequence[int]], min_weight: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """For each group of actions how many users have at least ``min_weight``, and the sum of their strongest weights.

    Parts are read only for groups of which the sums over all users do not say so.
    """
    sums = segments.sums
    counts, totals = np.zeros(len(groups), np.int64), np.zeros(len(groups))
    singles: list[int] = []
    several: list[int] = []
    useful = [[action for action in group if sums.largest[action] >= min_weight] for group in groups]
    for place, group in enumerate(useful):
        if len(group) == 1 and sums.least[group[0]] >= min_weight:
            counts[place], totals[place] = sums.counts[group[0]], sums.totals[group[0]]
        elif len(group) == 1 and segments.part_count > 1:
            singles.append(place)
        elif group:
            several.append(place)
    if not singles and not several:
        return counts, totals
    wanted, numbered = _numbered([useful[place] for place in (*singles, *several)])
    of_singles = np.array([group[0] for group in numbered[: len(singles)]], np.int64)
    for part in segments.parts(wanted.tolist()):
        part_counts, part_totals = part.strengths(min_weight)
        counts[singles] += part_counts[of_singles]
        totals[singles] += part_totals[of_singles]
        for place, of_several in zip(several, numbered[len(singles) :], strict=True):
            count, total = part.strength(of_several, min_weight)
            counts[place] += count
            totals[place] += total
    return counts, totals


def _numbered(groups: Iterable[Sequence[int]]) -> tuple[NDArray[np.int64], list[Sequence[int]]]:
    """All actions of groups, ascending, and the groups by the places of their actions among these."""
    arrays = [np.asarray(group, np.int64) for group in groups]
    wanted = np.unique(np.concatenate([np.zeros(0, np.int64), *arrays]))
    return wanted, [np.searchsorted(wanted, array).tolist() for array in arrays]


def _largest(sums: SegmentSums, actions: Sequence[int]) -> float:
    """The largest weight that any user has for any of ``actions``; 0 where nobody has one."""
    return float(sums.largest[np.asarray(actions, np.int64)].max(initial=0.0))


def _actions_by_asset(segments: StoredSegments, event_types: tuple[str, ...]) -> dict[str, list[int]]:
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


def memberships_of(
    store: Store, artifacts: ArtifactStore, incarnation: Incarnation, user_id: str
) -> dict[str, list[tuple[Action, float]]]:
    """By kind, the actions that a user has a weight for in the program's segments, strongest first.

    Raises ArtifactError.
    """
    while True:
        pointer = store.segments(incarnation)
        if pointer is None:
            return {}
        manifests: LruCache[SegmentsManifest] = LruCache(1)
        try:
            return {
                kind: open_segments(artifacts, pointer, kind, manifests=manifests).memberships(user_id)
                for kind in SEGMENT_TYPES
            }
        except ArtifactError:
            if store.segments(incarnation) == pointer:
                raise
