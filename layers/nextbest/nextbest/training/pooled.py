"""What the weights of a mode say of event types, for actions that the model does not know (``scoring.unknown``).

Means over the known actions, each counted by its events: the weights of frequent actions are the ones that are known
well, while those of rare ones are shrunk to nothing by the ridges.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nextbest.scoring.model import Mode, Term
from nextbest.scoring.unknown import Pooled
from nextbest.training.build import unpack_influence
from nextbest.training.table import EventTable

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

    def __init__(self, table: EventTable, cut: float) -> None:
        names, self._types = np.unique([action.event_type for action in table.actions], return_inverse=True)
        _, self._assets = np.unique([action.asset_id for action in table.actions], return_inverse=True)
        self._type_count = len(names)
        self._table = table
        self._cut = cut
        self._events = np.bincount(table.action, minlength=len(table.actions)).astype(np.float64)

    def means(self, values: NDArray[np.float64]) -> NDArray[np.float32]:
        """The mean of each event type, then that of all actions; shape (event types + 1,)."""
        totals = np.bincount(self._types, values * self._events, minlength=self._type_count)
        events = np.bincount(self._types, self._events, minlength=self._type_count)
        return np.append(totals / events, totals.sum() / events.sum()).astype(np.float32)

    def medians(self, values: NDArray[np.float64]) -> NDArray[np.float32]:
        """The median of each event type, then that of all actions; shape (event types + 1,)."""
        by_type = [np.median(values[self._types == number]) for number in range(self._type_count)]
        return np.array([*by_type, np.median(values)], np.float32)

    def pooled(self, term: Term) -> Term:
        """``term`` with the means of its weights."""
        size = len(self._types)
        own = np.zeros(size) if term.self_weights is None else term.self_weights.astype(np.float64)
        same_asset = np.zeros((0, 0), np.float32)
        if term.influence is not None:
            weights = unpack_influence(term.influence)
            own = own + weights.diagonal()
            if self._type_count <= _MOST_TYPES:
                same_asset = self._same_asset(sparse.coo_array(weights))
        gap_days = 1.0 if term.timing is None else float(np.median(term.timing.gap_days))
        first_time = (same_asset * self._first_rates).astype(np.float32) if same_asset.shape[0] > 1 else None
        return replace(term, pooled=Pooled(self.means(own), same_asset, gap_days, first_time))

    @cached_property
    def _first_rates(self) -> NDArray[np.float64]:
        """From one event type (row) to another (column) with the same asset: how often users took what nobody had done
        before the cut, over how often they took what somebody had; at most 1."""
        table, cut, count = self._table, self._cut, self._type_count
        known = np.zeros((int(self._assets.max()) + 1, count), np.bool_)
        before = np.unique(table.action[table.time < cut])
        known[self._assets[before], self._types[before]] = True
        since = np.flatnonzero(table.time >= cut)
        action = table.action[since]
        keys = table.user[since] * known.shape[0] + self._assets[action]
        pairs, pair = np.unique(keys, return_inverse=True)
        first = np.full((len(pairs), count), np.inf)
        np.minimum.at(first, (pair, self._types[action]), table.time[since])
        of_pair = known[pairs % known.shape[0]]
        rates = np.ones((count, count))
        for source in range(count):
            began = np.isfinite(first[:, source]) & of_pair[:, source]
            taken = np.isfinite(first[began]) & (first[began] >= first[began, source][:, None])
            new = ~of_pair[began]
            usual = (taken & ~new).sum(axis=0) / np.maximum((~new).sum(axis=0), 1)
            expected = new.sum(axis=0) * usual
            rates[source] = ((taken & new).sum(axis=0) + _FIRST_RATE * _FIRST_TAKINGS) / (expected + _FIRST_TAKINGS)
        return np.minimum(rates, 1.0)

    def _same_asset(self, weights: sparse.coo_array) -> NDArray[np.float32]:
        """The mean influence between two actions of one asset by their event types, with a zero diagonal."""
        source, target = weights.row, weights.col
        inside = self._assets[source] == self._assets[target]
        source, target = source[inside], target[inside]
        count = self._type_count
        totals = np.zeros((count, count))
        np.add.at(totals, (self._types[source], self._types[target]), weights.data[inside] * self._events[source])
        shape = (int(self._assets.max()) + 1, count)
        place = (self._assets, self._types)
        events = sparse.csr_array(sparse.coo_array((self._events, place), shape=shape))
        exists = sparse.csr_array(sparse.coo_array((np.ones(len(self._types)), place), shape=shape))
        pairs = (events.T @ exists).toarray()
        means = np.divide(totals, pairs, out=np.zeros_like(totals), where=pairs > 0)
        np.fill_diagonal(means, 0.0)
        return means.astype(np.float32)

    def unexpected(self, leads: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Whether an action leads to one that nobody did, by event types (``leads``), and few were expected to."""
        table, count = self._table, self._type_count
        pairs = np.unique(table.user * len(self._types) + table.action)
        action = pairs % len(self._types)
        keys, key = np.unique(
            pairs // len(self._types) * (int(self._assets.max()) + 1) + self._assets[action], return_inverse=True
        )
        did = np.zeros((len(keys), count), np.bool_)
        did[key, self._types[action]] = True
        exists = np.zeros((int(self._assets.max()) + 1, count), np.bool_)
        exists[self._assets, self._types] = True
        could = exists[keys % len(exists)]
        users = np.bincount(action, minlength=len(self._types))
        marks = np.zeros(len(self._types), np.bool_)
        for source in range(count):
            here = self._types == source
            began = did[:, source][:, None] & could
            rate = (began & did).sum(axis=0) / np.maximum(began.sum(axis=0), 1)
            few = users[here][:, None] * rate < _MOST_EXPECTED
            marks[here] = (leads[source] & ~exists[self._assets[here]] & few).any(axis=1)
        return marks
