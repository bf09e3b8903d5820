"""The popular list: what users who are held out of an experiment get. It has nothing of what a model learned.

    growth_i = base rate of i: the share of all users who took i within the last horizon before the rebase

So it is the same for everybody, but for what the settings of the program, the request and the catalogue leave out. The
floor of the program does not apply: base rates are far below what a model says of a user whom it knows, and a list that
is empty for that reason would show what recommending anything is worth, and not what the model is worth.

Imported only where an experiment runs.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from nextbest.domain.actions import Action, Recommendation
from nextbest.domain.history import History
from nextbest.domain.programs import out_of_order
from nextbest.scoring.list_caps import strongest_of_types
from nextbest.scoring.model import Model
from nextbest.scoring.rests import Rests
from nextbest.scoring.selection import strongest


def recommend_popular(
    model: Model,
    history: History,
    *,
    now: float,
    limit: int,
    allow_repeats: bool,
    allowed: NDArray[np.bool_] | None = None,
) -> list[Recommendation]:
    """The ``limit`` most popular actions, of those that ``allowed`` (actions,) and the program's settings leave.

    Growth weights are base rates, base weights the user's own. Empty where the model has no base rates.
    """
    rates = rates_for(model, history, now=now)
    if allowed is not None:
        rates[~allowed] = -np.inf
    if not allow_repeats:
        rates[_done_places(model, history)] = -np.inf
    if model.most_per_list:
        rates = strongest_of_types(model, None, rates, model.tie_breaks)
    places = strongest(limit, rates, model.tie_breaks)
    own = history.base_weights(model.half_life_days, now)
    return [
        Recommendation(action.event_type, action.asset_id, rate, own.get(action, 0.0), rate)
        for action, rate in zip(_actions_at(model, places), rates[places].tolist(), strict=True)
    ]


def rates_for(model: Model, history: History, *, now: float) -> NDArray[np.float64]:
    """Base rates, -inf for what the program's settings keep from the user at ``now`` (seconds since 1970); all of them
    where the model has none."""
    if model.base_rates is None:
        return np.full(len(model.actions), -np.inf)
    rates = model.base_rates.astype(np.float64)
    rates[model.withheld] = -np.inf
    if model.done_once:
        done = _done_places(model, history)
        rates[done[model.is_done_once[done]]] = -np.inf
    if model.event_type_order:
        rates[model.places_of(out_of_order(model.event_type_order, history.actions.event_types))] = -np.inf
    if model.rest_rules:
        rates[Rests.of(model.rest_rules, history, now=now).places(model, None)] = -np.inf
    return rates


def _done_places(model: Model, history: History) -> NDArray[np.int64]:
    """Places of the actions that the user did."""
    indices = model.indices_of(history.actions)
    return indices[indices >= 0]


def _actions_at(model: Model, places: NDArray[np.int64]) -> Iterator[Action]:
    return (model.actions[place] for place in places.tolist())
