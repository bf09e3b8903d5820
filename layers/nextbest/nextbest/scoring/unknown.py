"""Actions that the model does not know: never done by anyone before the last rebase.

They compete with what is known of their event type (``Pooled``): the mean weight of having done an action, and the mean
influences among actions of one asset. So what a user did first today is among the repeats at once, and "viewed X" leads
to "buy X" although nobody ever bought X, whether the model knows the view or not.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nextbest.domain.actions import Action

if TYPE_CHECKING:
    from nextbest.domain.history import History
    from nextbest.scoring.model import Mode, Model, Term

_NOTHING = np.zeros(0, np.int64)
MOST_FOLLOWED = 20
"""The newest actions of a user that are known, and lead to what nobody ever did: older ones hardly lead to anything."""


@dataclass(frozen=True, slots=True)
class Pooled:
    """What a term knows of event types: the means over the known actions of one (or two) event types.

    ``own`` (event types + 1,) is the weight of an action for itself; the last entry is of event types that the model
    does not know. ``same_asset`` (event types, event types) are influences from the action of one event type (row) on
    another action with the same asset (column). ``first_time`` has the same shape, and is for a known action (row) and
    one that nobody had done (column): None in files before version 3, where these are left out. ``gap_days`` is the
    typical gap, where the term is timed.
    """

    own: NDArray[np.float32]
    same_asset: NDArray[np.float32]
    gap_days: float = 1.0
    first_time: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class UnknownActions:
    """The actions that the model does not know of one user.

    ``actions`` are numbered from ``first`` on, after the model's own. The first ``done`` of them are in the history,
    the others can follow from it. ``types`` (n,) are their event types as the model numbers them. The links say what
    leads to what with the same asset: from the slot ``link_source`` of the inputs to the action ``link_target``, by the
    entry ``link_types`` (2, links) of the pooled influences.
    """

    actions: Sequence[Action]
    first: int
    done: int
    types: NDArray[np.int64]
    link_source: NDArray[np.int64]
    link_target: NDArray[np.int64]
    link_types: NDArray[np.int64]
    link_is_first: NDArray[np.bool_]

    @classmethod
    def of(
        cls, model: Model, history: History, seen: Sequence[int], known_count: int, followed: Sequence[int]
    ) -> UnknownActions:
        """``seen`` are places in ``history.actions`` in the order of the inputs, the first ``known_count`` known;
        ``followed`` are known ones (slots) that may lead to what nobody ever did."""
        type_index, size = model.type_index, len(model.actions)
        done = [history.actions[place] for place in seen[known_count:]]
        numbered = {action: size + number for number, action in enumerate(done)}
        assets = {asset_id for _, asset_id in done} | {history.actions[seen[slot]].asset_id for slot in followed}
        source: list[int] = []
        target: list[int] = []
        types: list[tuple[int, int]] = []
        is_first: list[bool] = []
        for slot, place in enumerate(seen):
            event_type, asset_id = history.actions[place]
            row = type_index.get(event_type)
            if row is None or asset_id not in assets:
                continue
            is_known = slot < known_count
            for other, column in model.types_after[row]:
                action = Action(other, asset_id)
                index = model.place_of(action)
                if index is not None and is_known:
                    continue  # both are known, and so is what one says of the other
                if index is None:
                    index = numbered.setdefault(action, size + len(numbered))
                source.append(slot)
                target.append(index)
                types.append((row, column))
                is_first.append(is_known and index >= size + len(done))
        actions = list(numbered)
        anything = len(type_index)
        return cls(
            actions,
            size,
            len(done),
            np.fromiter((type_index.get(event_type, anything) for event_type, _ in actions), np.int64, len(actions)),
            np.array(source, np.int64),
            np.array(target, np.int64),
            np.array(types, np.int64).reshape(-1, 2).T,
            np.array(is_first, np.bool_),
        )

    def places_of(self, event_types: Collection[str], *, done: bool = False) -> NDArray[np.int64]:
        """Places in the scores of the actions of these event types; with ``done`` of those that the user did."""
        actions = self.actions[: self.done] if done else self.actions
        places = [place for place, (event_type, _) in enumerate(actions, self.first) if event_type in event_types]
        return np.array(places, np.int64)

    def priors(self, mode: Mode) -> NDArray[np.float64]:
        """The prior of each action, shape (n,)."""
        assert mode.pooled_prior is not None
        return mode.pooled_prior[self.types].astype(np.float64)

    def shares(
        self, term: Term, x: NDArray[np.float64], since_days: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
        """What a term adds: target, share, and the slot of ``x`` it comes from. ``since_days`` has the same slots."""
        if term.pooled is None:
            return _NOTHING, _NOTHING.astype(np.float64), _NOTHING
        slots = x.shape[0] - self.done + np.arange(self.done)
        own = x[slots] * term.pooled.own[self.types[: self.done]]
        if term.timing is not None:
            own *= term.timing.factors_of(term.pooled.gap_days, since_days[slots])
        targets = self.first + np.arange(self.done)
        if not term.pooled.same_asset.size:
            return targets, own, slots
        weights = term.pooled.same_asset[self.link_types[0], self.link_types[1]]
        if term.pooled.first_time is not None:
            first_time = term.pooled.first_time[self.link_types[0], self.link_types[1]]
            weights = np.where(self.link_is_first, first_time, weights)
        links = x[self.link_source] * weights
        return (
            np.concatenate([targets, self.link_target]),
            np.concatenate([own, links]),
            np.concatenate([slots, self.link_source]),
        )
