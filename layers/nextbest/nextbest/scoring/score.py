"""Scores: a history against a model, each action by the mode of its kind.

What the user did is scored by the repeats mode, everything else by the discoveries mode, whatever is asked for: so a
user and an action have one score and one growth weight at a time. Cost grows with the number of distinct actions of the
user times the influences stored per action, plus one pass over the catalogue. No state, no clock.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary, ref

import numpy as np
from numpy.typing import NDArray

from nextbest.domain.actions import Action
from nextbest.domain.history import History
from nextbest.scoring.calibration import activity_of
from nextbest.scoring.kernels import DAY_SECONDS, Kernel, damp, ranks_of
from nextbest.scoring.model import Influence, Mode, Model, Term
from nextbest.scoring.unknown import MOST_FOLLOWED, UnknownActions

ENTRY_BYTES = 4_000_000
"""Of influences that are kept for users who are read again: about half a million bytes each with a hundred actions."""


@dataclass(frozen=True, slots=True, eq=False)
class _Lookup:
    """The part of ``Inputs`` that is the same at any time, and the times of the usable events in seconds since 1970."""

    known: NDArray[np.int64]
    seen: NDArray[np.int64]
    event_slot: NDArray[np.int64]
    timestamps: NDArray[np.float64]
    ranks: NDArray[np.float64]
    _unknown: dict[bytes, UnknownActions] = field(default_factory=dict, repr=False, compare=False)

    def unknown(self, model: Model, history: History, followed: NDArray[np.int64]) -> UnknownActions:
        """What the model does not know, for the known actions (slots) that may lead to it."""
        key = followed.tobytes()
        unknown = self._unknown.get(key)
        if unknown is None:
            known_count = self.known.shape[0]
            unknown = UnknownActions.of(model, history, self.seen.tolist(), known_count, followed.tolist())
            self._unknown.clear()  # those of another moment are not needed again
            self._unknown[key] = unknown
        return unknown


_lookups: WeakKeyDictionary[History, tuple[ref[Model], _Lookup]] = WeakKeyDictionary()
"""Of histories that somebody holds (``store/cache.py``), each with the model that they were looked up in last."""


def _lookup_of(model: Model, history: History) -> _Lookup:
    model_ref, lookup = _lookups.get(history, (None, None))
    if model_ref is None or lookup is None or model_ref() is not model:
        lookup = _looked_up(model, history)
        _lookups[history] = (ref(model), lookup)
    return lookup


def _looked_up(model: Model, history: History) -> _Lookup:
    indices = model.indices_of(history.actions)
    seen = (indices >= 0).nonzero()[0]
    known = indices[seen]
    if seen.shape[0] < indices.shape[0] and model.scores_unknown:
        seen = np.concatenate([seen, np.flatnonzero(indices < 0)])
    slots = np.full(indices.shape[0], -1, np.int64)
    slots[seen] = np.arange(seen.shape[0])
    timestamps = history.timestamps
    event_slot = slots[history.action_index]
    usable = event_slot >= 0
    return _Lookup(known, seen, event_slot[usable], timestamps[usable], ranks_of(timestamps)[usable])


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the model can use of a history: distinct known actions, and the recent events among them.

    ``known`` (n,) are model indices of the history's actions that the model knows, ``seen`` their positions in
    ``history.actions``. ``event_slot`` (m,) points each usable recent event into ``seen``. Ages count from ``moment``
    (seconds), which is before now where nothing happened for long (``Model.moment``). Actions that the model does not
    know follow the known ones in ``seen``, and ``unknown`` holds what can be said of them.
    """

    known: NDArray[np.int64]
    seen: NDArray[np.int64]
    event_slot: NDArray[np.int64]
    ages_days: NDArray[np.float64]
    ranks: NDArray[np.float64]
    since_days: NDArray[np.float64]
    moment: float
    lookup: _Lookup = field(repr=False)
    unknown: UnknownActions | None = None
    _weights: dict[Kernel, NDArray[np.float64]] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, model: Model, history: History, now: float) -> Inputs:
        """Look the history's actions up in the model. Future events have age 0."""
        moment = model.moment(history, now)
        lookup = _lookup_of(model, history)
        known, seen, event_slot = lookup.known, lookup.seen, lookup.event_slot
        ages_days = np.maximum(moment - lookup.timestamps, 0.0) / DAY_SECONDS
        since_days = np.full(seen.shape[0], np.inf)
        since_days[event_slot] = ages_days  # events ascend in time, so the last write of a slot is its newest event
        followed = known[:0]
        if model.leads_to_first is not None and model.scores_unknown:
            followed = model.leads_to_first[known].nonzero()[0]
        if followed.shape[0] > MOST_FOLLOWED:
            followed = followed[np.argsort(since_days[followed], kind="stable")[:MOST_FOLLOWED]]
        unknown = None
        if seen.shape[0] > known.shape[0] or followed.shape[0]:
            unknown = lookup.unknown(model, history, followed)
        return cls(known, seen, event_slot, ages_days, lookup.ranks, since_days, moment, lookup, unknown)

    @property
    def done(self) -> NDArray[np.int64]:
        """What the user did, as places in the scores."""
        if self.unknown is None:
            return self.known
        size = self.seen.shape[0] - self.known.shape[0]
        return np.concatenate([self.known, self.unknown.first + np.arange(size)])

    def actions(self, model: Model, places: NDArray[np.int64]) -> list[Action]:
        """The actions at ``places`` in the scores."""
        if self.unknown is None:
            return [model.actions[place] for place in places.tolist()]
        known, unknown = model.actions, self.unknown
        first = unknown.first
        return [known[place] if place < first else unknown.actions[place - first] for place in places.tolist()]

    def weights(self, term: Term) -> NDArray[np.float64]:
        """x of the term's kernel, one entry for each of ``seen``."""
        kernel = term.kernel
        weights = self._weights.get(kernel)
        if weights is None:
            events = kernel.event_weights(self.ages_days, self.ranks)
            sums = np.asarray(np.bincount(self.event_slot, events, minlength=self.seen.shape[0]), np.float64)
            weights = self._weights[kernel] = damp(sums, kernel.damping, kernel.share)
        return weights


@dataclass(frozen=True, slots=True)
class UserScores:
    """One user's scores at one moment, in two lists that are not comparable; growth weights are.

    ``discoveries`` (actions + unknown actions,) scores what the user never did: unknown actions follow those of the
    model, and what was done is -inf. ``repeats`` (done,) scores what was done, in the order of ``inputs.done``; empty
    where it is no candidate. ``activity`` is the user's, for calibration.
    """

    inputs: Inputs
    discoveries: NDArray[np.float64]
    repeats: NDArray[np.float64]
    activity: NDArray[np.float64]

    @classmethod
    def of(cls, model: Model, history: History, *, now: float, repeats: bool = True) -> UserScores:
        """The scores of a ``history`` at ``now`` (seconds); ``repeats`` says whether what was done is a candidate."""
        inputs = Inputs.of(model, history, now)
        discoveries = score_all(model.discoveries, inputs)
        again = np.zeros(0)
        if inputs.seen.shape[0]:
            if repeats:
                again = score_done(model.repeats, inputs, discoveries.shape[0])
            discoveries[inputs.done] = -np.inf
        return cls(inputs, discoveries, again, activity_of(history.timestamps, inputs.moment, model.horizon_days))


def score_done(mode: Mode, inputs: Inputs, size: int) -> NDArray[np.float64]:
    """The score of what the user did alone, in the order of ``inputs.done``, without a pass over the catalogue.

    ``size`` counts the actions and the unknown ones.
    """
    done, known, unknown = inputs.done, inputs.known, inputs.unknown
    scores = mode.prior[known].astype(np.float64)
    if unknown is not None:
        scores = np.concatenate([scores, unknown.priors(mode)[: unknown.done]])
    is_done = np.zeros(size, np.bool_)
    is_done[done] = True
    slot_of = np.empty(size, np.int64)
    slot_of[done] = np.arange(done.shape[0])
    for term in mode.terms:
        x = inputs.weights(term)
        if unknown is not None:
            targets, amounts, _ = unknown.shares(term, x, inputs.since_days)
            inside = is_done[targets]
            np.add.at(scores, slot_of[targets[inside]], amounts[inside])
            x = x[: known.shape[0]]
        if term.self_weights is not None:
            scores[: known.shape[0]] += self_shares(term, inputs, x)
        if term.influence is not None:
            entries = _recent_entries.of(inputs.lookup, term.influence, is_done)
            np.add.at(scores, slot_of[entries.targets], entries.shares(x))
    return scores


def score_all(mode: Mode, inputs: Inputs) -> NDArray[np.float64]:
    """The score of every action of the model, then of the ``unknown`` ones, shape (actions + unknown actions,)."""
    unknown, size = inputs.unknown, mode.prior.shape[0]
    if unknown is None:
        scores = mode.prior.astype(np.float64)
    else:
        scores = np.empty(size + len(unknown.actions))
        scores[:size], scores[size:] = mode.prior, unknown.priors(mode)
    if not inputs.seen.shape[0]:
        return scores
    for term in mode.terms:
        x = inputs.weights(term)
        if unknown is not None:
            targets, amounts, _ = unknown.shares(term, x, inputs.since_days)
            np.add.at(scores, targets, amounts)
            x = x[: inputs.known.shape[0]]
        if term.self_weights is not None:
            scores[inputs.known] += self_shares(term, inputs, x)
        if term.influence is not None:
            entries = _recent_entries.of(inputs.lookup, term.influence)
            np.add.at(scores, entries.targets, entries.shares(x))
    return scores


def self_shares(term: Term, inputs: Inputs, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """What each known action adds to its own score, shape (n,); ``x`` are the weights of the known ones."""
    assert term.self_weights is not None
    shares: NDArray[np.float64] = x * term.self_weights[inputs.known]
    if term.timing is not None:
        gap_days = term.timing.gap_days[inputs.known]
        shares = shares * term.timing.factors_of(gap_days, inputs.since_days[: inputs.known.shape[0]])
    return shares


@dataclass(frozen=True, slots=True, eq=False)
class _Entries:
    """The influences of some actions (m,): ``targets``, which of the actions (``sources``) each is of, and weights to
    be scaled."""

    targets: NDArray[np.intp]
    sources: NDArray[np.intp]
    weights: NDArray[np.float64]
    scale: float

    @classmethod
    def of(cls, influence: Influence, known: NDArray[np.int64], chosen: NDArray[np.bool_] | None = None) -> _Entries:
        """Those of the ``known`` actions; ``chosen`` (actions or more,) leaves out other targets."""
        begins = influence.starts.take(known)
        counts = influence.starts.take(known + 1) - begins
        ends = counts.cumsum()
        places = np.arange(ends[-1] if ends.shape[0] else 0)
        places += (begins - (ends - counts)).repeat(counts)
        columns = influence.columns.take(places)  # a third of the time of columns[places]
        sources = np.arange(known.shape[0]).repeat(counts)
        if chosen is not None:
            inside = chosen.take(columns).nonzero()[0]
            columns, places, sources = columns.take(inside), places.take(inside), sources.take(inside)
        weights = influence.weights.take(places).astype(np.float64)
        # Adding at short integers takes three times as long.
        return cls(columns.astype(np.intp), sources, weights, influence.scale)

    def shares(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """x_j · W_ji of each influence, by the weights ``x`` of the actions."""
        shares: NDArray[np.float64] = self.weights * (x * self.scale).take(self.sources)
        return shares

    @property
    def size(self) -> int:
        """In bytes."""
        return self.targets.nbytes + self.sources.nbytes + self.weights.nbytes


class _RecentEntries:
    """Entries of the users who were scored last, up to a number of bytes; each is found by what it was made of."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._entries: OrderedDict[tuple[int, int, bool], tuple[_Lookup, _Entries]] = OrderedDict()

    def of(self, lookup: _Lookup, influence: Influence, chosen: NDArray[np.bool_] | None = None) -> _Entries:
        """``_Entries.of`` the known actions; ``chosen`` is what the user did, or None.

        ``influence`` is one of the model that the user was looked up in.
        """
        # The lookup is held here, so that no other has its id. Its model must not be: it would stay in memory when it
        # serves no more.
        key = (id(lookup), id(influence), chosen is not None)
        found = self._entries.pop(key, None)
        entries = found[-1] if found is not None else _Entries.of(influence, lookup.known, chosen)
        self._entries[key] = (lookup, entries)
        if found is None:
            self._bytes += entries.size
            while self._bytes > self._most_bytes and self._entries:
                _, (_, oldest) = self._entries.popitem(last=False)
                self._bytes -= oldest.size
        return entries


_recent_entries = _RecentEntries(ENTRY_BYTES)


def influence_shares(
    influence: Influence, known: NDArray[np.int64], x: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """Every influence of the known actions: target column, share x_j · W_ji, and which of ``known`` it comes from."""
    entries = _Entries.of(influence, known)
    return entries.targets, entries.shares(x), entries.sources
