"""Segments: every user's weights for every action, transposed so that the users of an action are one slice.

A rebase scores all users once; the result answers every ``GET /segment`` and ``GET /segments`` until the next one.
There are three kinds, each a file of its own, and parts of some users each, so that a million of them never have to be
in memory at once (``segment_manifest``):

    growth      what the user is recommended: GET /users/{user_id}/actions?limit=100
    discovery   what is recommended and new to the user: the same with allow_repeats=false
    base        what the user did: base weights
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nextbest.domain.actions import Action, DistinctActions
from nextbest.domain.event_columns import ColumnsByName, EventColumns
from nextbest.domain.history import WINDOW, History
from nextbest.scoring import Model, artifact
from nextbest.scoring.eligibility import withheld_places
from nextbest.scoring.rank import choose
from nextbest.scoring.score import UserScores
from nextbest.scoring.segment_manifest import BASE, DISCOVERY, GROWTH, SegmentSums, pack_actions, unpack_actions

RECOMMENDED_ACTIONS = 100
"""How many actions of a user count as recommended: as many as the users' own endpoint answers at most."""

PART_USERS = 10_000
"""How many users a part of the segments has: about 25 MB of up to 100 actions of each kind."""


Events = EventColumns | ColumnsByName


@dataclass(frozen=True, slots=True, eq=False)
class Segments:
    """Users by action, of one kind.

    The users of ``actions[k]`` are ``users[members[i]]`` with the weight ``weights[i]``, for i from ``starts[k]`` to
    ``starts[k + 1]``. ``users`` and ``actions`` are sorted, ``members`` (uint32) ascend within an action; ``weights``
    are float64, so that a threshold decides here as it does at the users' own endpoint.
    """

    users: Sequence[str]
    actions: Sequence[Action]
    starts: NDArray[np.int64]
    members: NDArray[np.uint32]
    weights: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        users: Sequence[str],
        actions: Sequence[Action],
        user_of_entry: NDArray[np.unsignedinteger[Any]],
        action_of_entry: NDArray[np.unsignedinteger[Any]],
        weights: NDArray[np.float64],
    ) -> Segments:
        """Segments from parallel entries in order of users: a user, an action, and the user's weight for it."""
        order = np.argsort(action_of_entry, kind="stable")
        counts = np.bincount(action_of_entry, minlength=len(actions))
        starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        return cls(users, actions, starts, user_of_entry[order].astype(np.uint32), weights[order])

    def strongest_weights(self, actions: Sequence[int], min_weight: float) -> NDArray[np.float64]:
        """Each user's strongest weight for any of ``actions`` (indices), shape (users,); NaN under ``min_weight``."""
        strongest, _ = self._strongest(actions)
        strongest[strongest < min_weight] = np.nan
        return strongest

    def strength(self, actions: Sequence[int], min_weight: float) -> tuple[int, float]:
        """How many users have at least ``min_weight`` for any of ``actions``, and the sum of their strongest."""
        if len(actions) == 1:  # without a pass over all users for each of thousands of actions
            of_action = self.weights[self.starts[actions[0]] : self.starts[actions[0] + 1]]
            weights = of_action[of_action >= min_weight]
        else:
            strongest = self.strongest_weights(actions, min_weight)
            weights = strongest[~np.isnan(strongest)]
        return weights.shape[0], float(weights.sum())

    def strengths(self, min_weight: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The same for each action by itself, shape (actions,) each; sums may differ in their last digits."""
        enough = self.weights >= min_weight
        of_entry = np.repeat(np.arange(len(self.actions)), np.diff(self.starts))[enough]
        size = len(self.actions)
        counts: NDArray[np.int64] = np.bincount(of_entry, minlength=size).astype(np.int64)
        totals: NDArray[np.float64] = np.bincount(of_entry, self.weights[enough], size).astype(np.float64)
        return counts, totals

    def users_of(self, groups: Sequence[Sequence[int]], min_weight: float, *, match_all: bool) -> list[str]:
        """The users, in order, who have at least ``min_weight`` for some action of any group, or of all groups."""
        weights, _ = self.weights_for(groups, match_all=match_all)
        return [self.users[index] for index in np.flatnonzero(weights >= min_weight).tolist()]

    def weights_for(
        self, groups: Sequence[Sequence[int]], *, match_all: bool
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Each user's weight for groups of actions, and the action that has it; both have shape (users,).

        That is the strongest weight in any of the groups or, with ``match_all``, the weakest of the strongest in each;
        NaN and -1 for users without.
        """
        nobody = np.full(len(self.users), np.nan), np.full(len(self.users), -1, np.int64)
        of_groups = [self._strongest(group) for group in groups]
        if not of_groups:
            return nobody
        weights, actions = (np.stack(arrays) for arrays in zip(*of_groups, strict=True))
        missing = np.isnan(weights)
        if match_all:
            place = np.argmin(np.where(missing, -np.inf, weights), axis=0)
        else:
            place = np.argmax(np.where(missing, -np.inf, weights), axis=0)
        users = np.arange(len(self.users))
        return weights[place, users], actions[place, users]

    def _strongest(self, group: Sequence[int]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Each user's strongest weight for any action of a group, and the first action that has it."""
        entries, action_of_entry = self._entries_of(group)
        members, weights = self.members[entries], self.weights[entries]
        strongest, of_action = np.full(len(self.users), -np.inf), np.full(len(self.users), -1, np.int64)
        np.fmax.at(strongest, members, weights)
        has_it = np.flatnonzero(weights == strongest[members])[::-1]  # of several assignments the last one stays
        of_action[members[has_it]] = action_of_entry[has_it]
        return np.where(of_action >= 0, strongest, np.nan), of_action

    def _entries_of(self, group: Sequence[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The entries of the actions of a group, in its order, and the action of each."""
        actions = np.asarray(group, np.int64)
        begins = self.starts[actions]
        counts = self.starts[actions + 1] - begins
        ends = np.cumsum(counts)
        return np.arange(counts.sum()) + np.repeat(begins - (ends - counts), counts), np.repeat(actions, counts)

    def select(self, actions: Sequence[int]) -> Segments:
        """The same of some actions alone (indices, ascending)."""
        entries, _ = self._entries_of(actions)
        counts = np.diff(self.starts)[np.asarray(actions, np.int64)]
        starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        chosen = [self.actions[action] for action in actions]
        return Segments(self.users, chosen, starts, self.members[entries], self.weights[entries])

    def sums(self) -> SegmentSums:
        """What there is of each action, without its users."""
        sums = SegmentSums.of_nobody(len(self.actions))
        sums.counts[:] = np.diff(self.starts)
        taken = np.flatnonzero(sums.counts)
        if not taken.shape[0]:
            return sums
        sums.likeliest[:] = self._likeliest()
        begins = self.starts[taken]
        sums.largest[taken], sums.least[taken] = (
            extreme.reduceat(self.weights, begins) for extreme in (np.maximum, np.minimum)
        )
        for action, begin, end in zip(taken.tolist(), begins.tolist(), self.starts[taken + 1].tolist(), strict=True):
            sums.totals[action] = self.weights[begin:end].sum()  # to the last digit as numpy's mean adds them up
        return sums

    def _likeliest(self) -> NDArray[np.int64]:
        """For each action the number of users who have their largest weight for it; equal ones all count."""
        best = np.zeros(len(self.users))
        np.maximum.at(best, self.members, self.weights)
        is_best = np.concatenate([[0], np.cumsum(self.weights == best[self.members])])
        counts: NDArray[np.int64] = is_best[self.starts[1:]] - is_best[self.starts[:-1]]
        return counts

    def memberships(self, user_id: str) -> list[tuple[Action, float]]:
        """The actions that a user has a weight for, strongest first."""
        if user_id not in self.users:
            return []
        entries = np.flatnonzero(self.members == self.users.index(user_id))
        actions = np.searchsorted(self.starts, entries, side="right") - 1
        pairs = zip([self.actions[action] for action in actions.tolist()], self.weights[entries].tolist(), strict=True)
        return sorted(pairs, key=lambda membership: (-membership[1], membership[0]))

    def without(self, user_ids: Container[str]) -> Segments:
        """The same for all other users."""
        stay = np.array([user_id not in user_ids for user_id in self.users], np.bool_)
        if stay.all():
            return self
        remaining = stay[self.members]
        ends = np.concatenate([[0], np.cumsum(remaining)])
        renumbered = (np.cumsum(stay) - 1).astype(np.uint32)
        users = [user_id for user_id, stays in zip(self.users, stay.tolist(), strict=True) if stays]
        starts = ends[self.starts].astype(np.int64)
        return Segments(users, self.actions, starts, renumbered[self.members[remaining]], self.weights[remaining])

    def encode(self) -> bytes:
        """Bytes of the file (layout: ``nextbest.scoring.artifact``)."""
        types, arrays = pack_actions(self.actions)
        arrays |= {
            "users": artifact.pack_names(self.users),
            "starts": self.starts,
            "members": self.members,
            "weights": self.weights,
        }
        return artifact.encode({"event_types": types}, arrays)

    @classmethod
    def decode(cls, data: bytes, actions: Sequence[Action] | None = None) -> Segments:
        """Inverse of ``encode``; arrays are views of ``data``. Raises ArtifactError.

        Where the ``actions`` are known already, they are not read again.
        """
        return artifact.read(lambda: cls._assemble(*artifact.decode(data), actions))

    @classmethod
    def _assemble(
        cls, header: dict[str, Any], arrays: dict[str, NDArray[Any]], actions: Sequence[Action] | None
    ) -> Segments:
        if actions is None:
            actions = unpack_actions(header["event_types"], arrays)
        users = artifact.unpack_names(arrays["users"])
        starts = artifact.vector(arrays, "starts", "i", len(actions) + 1)
        members = artifact.vector(arrays, "members", "u", int(starts[-1]))
        artifact.check_runs(starts, members, len(users))
        return cls(users, actions, starts, members, artifact.vector(arrays, "weights", "f", int(starts[-1])))


def actions_of_segments(model: Model, logged: Iterable[Action]) -> list[Action]:
    """All actions that segments can have, in order: those of the model, those of the log, and what can follow these."""
    logged = set(logged)
    followers: set[Action] = set()
    if model.scores_unknown:
        types_after = {event_type: model.types_after[row] for event_type, row in model.type_index.items()}
        followers = {
            Action(other, asset_id) for event_type, asset_id in logged for other, _ in types_after.get(event_type, ())
        }
    return sorted({*model.actions, *logged, *followers})


def build_part(
    model: Model, events: Events, *, half_life_days: float, now: float, actions: Sequence[Action] | None = None
) -> dict[str, Segments]:
    """The segments of the users of some events at ``now`` (seconds since 1970), by kind.

    Weights are, to the bit, those that ``recommend`` and the user's stored history give one by one. ``events`` are all
    those of these users. ``actions`` are all that segments can have (``actions_of_segments``), the same for all parts
    of a version; without them, those of the model and of these events.
    """
    events = EventColumns.of(events)
    users, histories = histories_of(events, half_life_days=half_life_days)
    if actions is None:
        actions = actions_of_segments(model, events.actions()[0])
    position = {action: index for index, action in enumerate(actions)}
    of_model = np.array([position[action] for action in model.actions], np.int64)
    growth, discovery, base = _Entries(), _Entries(), _Entries()
    for history in histories:
        for entries, mode in zip((growth, discovery), _chosen(model, history, now=now), strict=True):
            places = of_model
            if mode.unknown:
                places = np.concatenate([of_model, np.array([position[action] for action in mode.unknown], np.int64)])
            entries.add(places[mode.places], mode.weights)
        own = np.array([position[action] for action in history.actions], np.int64)
        base.add(own, history.base_weight_vector(half_life_days, now))
    return {
        GROWTH: growth.segments(users, actions),
        DISCOVERY: discovery.segments(users, actions),
        BASE: base.segments(users, actions),
    }


def build_parts(
    model: Model, events: EventColumns, *, half_life_days: float, now: float, part_users: int = PART_USERS
) -> Iterator[dict[str, Segments]]:
    """The same of all users of a log, in parts of ``part_users`` at most, in order; each is made when it is taken."""
    actions = actions_of_segments(model, events.actions()[0])
    for begin in range(0, len(events.user_ids), part_users):
        part = events.of_users(begin, min(begin + part_users, len(events.user_ids)))
        yield build_part(model, part, half_life_days=half_life_days, now=now, actions=actions)


@dataclass(frozen=True, slots=True)
class _Chosen:
    """``scoring.recommend`` with ``RECOMMENDED_ACTIONS`` as its limit, as arrays: places in the scores (unknown actions
    follow those of the model), growth weights, and the actions that the model does not know."""

    places: NDArray[np.int64]
    weights: NDArray[np.float64]
    unknown: Sequence[Action]


def _chosen(model: Model, history: History, *, now: float) -> list[_Chosen]:
    """With repeats and without, scored once."""
    user = UserScores.of(model, history, now=now)
    withheld = withheld_places(model, history, user.inputs, now=now)
    unknown = () if user.inputs.unknown is None else user.inputs.unknown.actions
    chosen = []
    for allow_repeats in (True, False):
        ranking = choose(model, user, withheld, limit=RECOMMENDED_ACTIONS, allow_repeats=allow_repeats)
        above = ranking.growth >= model.action_weight_floor
        chosen.append(_Chosen(ranking.places[above], ranking.growth[above], unknown))
    return chosen


class _Entries:
    """Collects the entries of segments, user by user, in order."""

    def __init__(self) -> None:
        self._actions: list[NDArray[np.uint32]] = []
        self._weights: list[NDArray[np.float64]] = []

    def add(self, actions: NDArray[np.int64], weights: NDArray[np.float64]) -> None:
        """The next user's actions and weights."""
        self._actions.append(actions.astype(np.uint32))
        self._weights.append(weights)

    def segments(self, users: Sequence[str], actions: Sequence[Action]) -> Segments:
        """The segments; what was added are places among ``actions``."""
        counts = [entries.shape[0] for entries in self._actions]
        user_of_entry = np.repeat(np.arange(len(users), dtype=np.uint32), counts)
        action_of_entry = np.concatenate([np.zeros(0, np.uint32), *self._actions])
        weights = np.concatenate([np.zeros(0), *self._weights])
        return Segments.of(users, actions, user_of_entry, action_of_entry, weights)


def histories_of(events: Events, *, half_life_days: float) -> tuple[Sequence[str], Iterator[History]]:
    """All users of a log in order, and their histories as the store holds them, which are made one by one."""
    events = EventColumns.of(events)
    actions, action = events.actions()
    times_us, starts = events.timestamp_us, events.user_starts.tolist()
    histories = (
        _history(actions, action[start:end], times_us[start:end], half_life_days) for start, end in pairwise(starts)
    )
    return events.user_ids, histories


def _history(
    actions: Sequence[Action], action_of_event: NDArray[np.int32], times_us: NDArray[np.int64], half_life_days: float
) -> History:
    distinct, inverse = np.unique(action_of_event, return_inverse=True)
    index: NDArray[np.int32] = inverse.astype(np.int32)
    older = max(0, index.shape[0] - WINDOW)
    history = History(
        DistinctActions.of(actions[action] for action in distinct.tolist()),
        index[older:],
        times_us[older:],
        np.zeros(index.shape[0] - older, np.uint64),
        index[:older],
        times_us[:older],
    )
    return history.fold(half_life_days)
