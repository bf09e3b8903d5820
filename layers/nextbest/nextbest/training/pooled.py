"""What the weights of a mode say of event types, for actions that the model does not know (``scoring.unknown``).

Means over the known actions, each counted by its events: the weights of frequent actions are the ones that are known
well, while those of rare ones are shrunk to nothing by the ridges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nextbest.domain.actions import Action
from nextbest.scoring.model import Mode, Term
from nextbest.scoring.unknown import Pooled
from nextbest.training.build import unpack_influence
from nextbest.training.partitions import Partition, Partitions

_MOST_TYPES = 64
"""With more event types, what leads to what with one asset is not kept: a table of all pairs would be large."""
_MOST_EXPECTED = 3.0
"""Users expected to have done what nobody did: with more it is no chance (one in twenty)."""
_FIRST_RATE, _FIRST_TAKINGS = 0.3, 2.0
"""How much rarer the first of all takings is taken to be, as if so many had been expected."""


def with_pooled(mode: Mode, groups: ActionGroups) -> Mode:
    """``mode`` with what its prior and terms say of event types."""
    if not mode.prior.shape[0]:
        return mode
    # The median: a prior is the popularity of an action, and an unknown one is no favourite.
    prior = groups.medians(mode.prior.astype(np.float64))
    return replace(mode, terms=tuple(groups.pooled(term) for term in mode.terms), pooled_prior=prior)


def leads_to_first(mode: Mode, groups: ActionGroups) -> NDArray[np.bool_]:
    """Which actions may lead, by ``mode``, to an action with their asset that nobody ever did; shape (actions,).

    Not where that many users would have done it, had it been done as often as with other assets: then it cannot be
    done, such as a review of what takes none.
    """
    follows = [term.pooled.first_time for term in mode.terms if term.pooled and term.pooled.first_time is not None]
    if not follows:
        return np.zeros(mode.prior.shape[0], np.bool_)
    return groups.unexpected(np.any([each != 0.0 for each in follows], axis=0))


class ActionGroups:
    """The known actions by event type and by asset, for all modes of a training.

    What was done from ``cut`` (seconds) on tells how much more rarely an action is taken that nobody had done before.
    """

    def __init__(self, partitions: Partitions, event_counts: NDArray[np.int64], cut: float) -> None:
        """``event_counts`` says how often each action was taken, shape (actions,)."""
        self._kinds = _Kinds.of(partitions.actions)
        self._partitions = partitions
        self._cut = cut
        self._events = event_counts.astype(np.float64)

    def means(self, values: NDArray[np.float64]) -> NDArray[np.float32]:
        """The mean of each event type, then that of all actions; shape (event types + 1,)."""
        totals = np.bincount(self._kinds.types, values * self._events, minlength=self._kinds.type_count)
        events = np.bincount(self._kinds.types, self._events, minlength=self._kinds.type_count)
        return np.append(totals / events, totals.sum() / events.sum()).astype(np.float32)

    def medians(self, values: NDArray[np.float64]) -> NDArray[np.float32]:
        """The median of each event type, then that of all actions; shape (event types + 1,)."""
        by_type = [np.median(values[self._kinds.types == number]) for number in range(self._kinds.type_count)]
        return np.array([*by_type, np.median(values)], np.float32)

    def pooled(self, term: Term) -> Term:
        """``term`` with the means of its weights."""
        size = len(self._kinds.types)
        own = np.zeros(size) if term.self_weights is None else term.self_weights.astype(np.float64)
        same_asset = np.zeros((0, 0), np.float32)
        if term.influence is not None:
            weights = unpack_influence(term.influence)
            own = own + weights.diagonal()
            if self._kinds.type_count <= _MOST_TYPES:
                same_asset = self._same_asset(sparse.coo_array(weights))
        gap_days = 1.0 if term.timing is None else float(np.median(term.timing.gap_days))
        first_time = (same_asset * self._first_rates).astype(np.float32) if same_asset.shape[0] > 1 else None
        return replace(term, pooled=Pooled(self.means(own), same_asset, gap_days, first_time))

    @cached_property
    def _first_rates(self) -> NDArray[np.float64]:
        """From one event type (row) to another (column) with the same asset: how often users took what nobody had done
        before the cut, over how often they took what somebody had; at most 1."""
        before = self._partitions.total(_EventsBefore(self._cut))["events"]
        counts = self._partitions.total(_Follows(self._kinds, self._kinds.exists(before > 0), self._cut))
        usual = counts["usual_takings"] / np.maximum(counts["usual"], 1)
        expected = counts["new"] * usual
        rates = (counts["new_takings"] + _FIRST_RATE * _FIRST_TAKINGS) / (expected + _FIRST_TAKINGS)
        return np.asarray(np.minimum(rates, 1.0), np.float64)

    def _same_asset(self, weights: sparse.coo_array) -> NDArray[np.float32]:
        """The mean influence between two actions of one asset by their event types, with a zero diagonal."""
        source, target = weights.row, weights.col
        inside = self._kinds.assets[source] == self._kinds.assets[target]
        source, target = source[inside], target[inside]
        count = self._kinds.type_count
        totals = np.zeros((count, count))
        np.add.at(
            totals, (self._kinds.types[source], self._kinds.types[target]), weights.data[inside] * self._events[source]
        )
        shape = (self._kinds.asset_count, count)
        place = (self._kinds.assets, self._kinds.types)
        events = sparse.csr_array(sparse.coo_array((self._events, place), shape=shape))
        exists = sparse.csr_array(sparse.coo_array((np.ones(len(self._kinds.types)), place), shape=shape))
        pairs = (events.T @ exists).toarray()
        means = np.divide(totals, pairs, out=np.zeros_like(totals), where=pairs > 0)
        np.fill_diagonal(means, 0.0)
        return means.astype(np.float32)

    def unexpected(self, leads: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Whether an action leads to one that nobody did, by event types (``leads``), and few were expected to."""
        kinds = self._kinds
        exists = kinds.exists(np.ones(len(kinds.types), np.bool_))
        counts = self._partitions.total(_DoneWithAsset(kinds))
        rates = counts["did"] / np.maximum(counts["could"], 1)
        few = counts["users"][:, None] * rates[kinds.types] < _MOST_EXPECTED
        return np.asarray((leads[kinds.types] & ~exists[kinds.assets] & few).any(axis=1), np.bool_)


@dataclass(frozen=True, slots=True, eq=False)
class _Kinds:
    """Event type and asset of each action as indices, shape (actions,), and how many there are of each."""

    types: NDArray[np.int64]
    assets: NDArray[np.int64]
    type_count: int
    asset_count: int

    @classmethod
    def of(cls, actions: Sequence[Action]) -> _Kinds:
        names, types = np.unique([action.event_type for action in actions], return_inverse=True)
        assets, asset = np.unique([action.asset_id for action in actions], return_inverse=True)
        return cls(types, asset, len(names), len(assets))

    def exists(self, chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Whether there is an action with an asset and of an event type among those ``chosen`` (actions,); shape
        (assets, event types)."""
        exists = np.zeros((self.asset_count, self.type_count), np.bool_)
        exists[self.assets[chosen], self.types[chosen]] = True
        return exists


@dataclass(frozen=True, slots=True)
class _EventsBefore:
    """How often each action was taken before ``cut`` (seconds)."""

    cut: float

    def __call__(self, partition: Partition) -> dict[str, NDArray[np.int64]]:
        table = partition.table
        return {"events": np.bincount(table.action[table.time < self.cut], minlength=len(table.actions))}


@dataclass(frozen=True, slots=True, eq=False)
class _Follows:
    """From one event type (row) to another (column) with the same asset, since ``cut``: the users who began, and those
    who took the other then; where it is ``usual``, as ``known`` (assets, event types) says, or ``new``."""

    kinds: _Kinds
    known: NDArray[np.bool_]
    cut: float

    def __call__(self, partition: Partition) -> dict[str, NDArray[np.int64]]:
        table, kinds, known = partition.table, self.kinds, self.known
        since = np.flatnonzero(table.time >= self.cut)
        action = table.action[since]
        keys = table.user[since] * kinds.asset_count + kinds.assets[action]
        pairs, pair = np.unique(keys, return_inverse=True)
        first = np.full((len(pairs), kinds.type_count), np.inf)
        np.minimum.at(first, (pair, kinds.types[action]), table.time[since])
        of_pair = known[pairs % kinds.asset_count]
        names = ("usual", "usual_takings", "new", "new_takings")
        counts = {name: np.zeros((kinds.type_count, kinds.type_count), np.int64) for name in names}
        for source in range(kinds.type_count):
            began = np.isfinite(first[:, source]) & of_pair[:, source]
            taken = np.isfinite(first[began]) & (first[began] >= first[began, source][:, None])
            usual = of_pair[began]
            for name, chosen in zip(names, (usual, usual & taken, ~usual, ~usual & taken), strict=True):
                counts[name][source] = chosen.sum(axis=0)
        return counts


@dataclass(frozen=True, slots=True, eq=False)
class _DoneWithAsset:
    """From one event type (row) to another (column) with the same asset: how many users, of those who did the one,
    ``could`` have done the other, and ``did``. And how many ``users`` did each action, shape (actions,)."""

    kinds: _Kinds

    def __call__(self, partition: Partition) -> dict[str, NDArray[np.int64]]:
        table, kinds = partition.table, self.kinds
        pairs = np.unique(table.user * len(kinds.types) + table.action)
        user, action = np.divmod(pairs, len(kinds.types))
        keys, key = np.unique(user * kinds.asset_count + kinds.assets[action], return_inverse=True)
        done = np.zeros((len(keys), kinds.type_count), np.bool_)
        done[key, kinds.types[action]] = True
        possible = kinds.exists(np.ones(len(kinds.types), np.bool_))[keys % kinds.asset_count]
        could = [possible[done[:, source]].sum(axis=0) for source in range(kinds.type_count)]
        did = [(possible & done)[done[:, source]].sum(axis=0) for source in range(kinds.type_count)]
        users = np.bincount(action, minlength=len(kinds.types))
        return {"could": np.array(could, np.int64), "did": np.array(did, np.int64), "users": users}
