"""Ranking: the best few actions for one user.

What the user did and what is new to them are two lists, each in the order of its scores, merged by growth weight.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nextbest.domain.actions import Action, Recommendation
from nextbest.domain.history import History
from nextbest.errors import InvalidInput
from nextbest.scoring.eligibility import withheld_places
from nextbest.scoring.model import Model, tie_break
from nextbest.scoring.score import Inputs, UserScores
from nextbest.scoring.selection import strongest
from nextbest.scoring.unknown import UnknownActions

Allows = Callable[[Sequence[Action]], NDArray[np.bool_]]
"""Says of actions that are not the model's which of them may be recommended, shape (actions,)."""


def recommend(
    model: Model,
    history: History,
    *,
    now: float,
    limit: int,
    allow_repeats: bool,
    allowed: NDArray[np.bool_] | None = None,
    allows: Allows | None = None,
    values: NDArray[np.float64] | None = None,
    resting: bool = False,
) -> list[Recommendation]:
    """The ``limit`` likeliest actions for the user at ``now`` (seconds since 1970), strongest first.

    ``allow_repeats`` false leaves out every action of the history, and changes nothing else. ``allowed`` (actions,) is
    a mask over ``model.actions``, applied before the choice, so a short answer means that few qualify. ``values``
    (actions,) replace the model's own: ranked by value times growth weight, with growth weights unchanged. Actions
    under the program's floor are left out. Equal scores are ordered by a hash of the action's name. Actions that the
    model does not know compete with what is known of their event types; where there is a mask, those that ``allows``
    says. What the program's settings withhold from the user (``withheld_places``) is evidence alone; ``resting`` ranks
    as if nothing rested. Raises InvalidInput.
    """
    check_arguments(model, limit, allowed, values)
    ranking = rank(
        model,
        history,
        now=now,
        limit=limit,
        allow_repeats=allow_repeats,
        allowed=allowed,
        allows=allows,
        values=values,
        resting=resting,
    )
    return listed(model, history, ranking, now)


def listed(model: Model, history: History, ranking: Ranking, now: float) -> list[Recommendation]:
    """A ranking as recommendations, without what is under the program's floor."""
    inputs = ranking.inputs
    base = history.base_weight_vector(model.half_life_days, now)
    base_weights = [float(base[inputs.seen[slot]]) if slot >= 0 else 0.0 for slot in ranking.slots.tolist()]
    return [
        Recommendation(action.event_type, action.asset_id, growth_weight, base_weight, score)
        for action, growth_weight, base_weight, score in zip(
            inputs.actions(model, ranking.places),
            ranking.growth.tolist(),
            base_weights,
            ranking.scores.tolist(),
            strict=True,
        )
        if growth_weight >= model.action_weight_floor
    ]


@dataclass(frozen=True, slots=True)
class Ranking:
    """The best actions, best first: ``places`` in the model and behind it the unknown ones, ``slots`` in the inputs (-1
    for what the user never did), growth weights and scores; all of shape (at most limit,). The floor is not applied
    yet."""

    places: NDArray[np.int64]
    slots: NDArray[np.int64]
    growth: NDArray[np.float64]
    scores: NDArray[np.float64]
    inputs: Inputs


def rank(
    model: Model,
    history: History,
    *,
    now: float,
    limit: int,
    allow_repeats: bool,
    allowed: NDArray[np.bool_] | None = None,
    allows: Allows | None = None,
    values: NDArray[np.float64] | None = None,
    resting: bool = False,
) -> Ranking:
    """What ``recommend`` returns, as arrays."""
    user = UserScores.of(model, history, now=now, repeats=allow_repeats)
    withheld = withheld_places(model, history, user.inputs, now=now, resting=resting)
    return choose(
        model,
        user,
        withheld,
        limit=limit,
        allow_repeats=allow_repeats,
        allowed=allowed,
        allows=allows,
        values=values,
    )


def choose(
    model: Model,
    user: UserScores,
    withheld: NDArray[np.int64],
    *,
    limit: int,
    allow_repeats: bool,
    allowed: NDArray[np.bool_] | None = None,
    allows: Allows | None = None,
    values: NDArray[np.float64] | None = None,
) -> Ranking:
    """The best of what was scored; ``user`` has scores of repeats if these are allowed. ``withheld`` are places in the
    scores that are no candidates (``eligibility``)."""
    done, eligible, unknown = user.inputs.done, user.discoveries, user.inputs.unknown
    repeats = user.repeats if allow_repeats else user.repeats[:0]
    done = done[: repeats.shape[0]]
    values = model.values if values is None else values
    if values is not None:
        values = np.append(values, np.ones(eligible.shape[0] - values.shape[0]))
        return by_value(
            model, user, withheld, values, limit=limit, allow_repeats=allow_repeats, allowed=allowed, allows=allows
        )
    allowed = _allowed(model, unknown, withheld, allowed, allows)
    if allowed is not None:
        eligible = where_allowed(eligible, allowed)
        repeats = where_allowed(repeats, allowed[done])
    wanted = limit
    if model.most_per_list:
        # Imported here: few programs have caps.
        from nextbest.scoring import list_caps

        ties = _ties_at(model, unknown, np.arange(eligible.shape[0]))
        eligible = list_caps.strongest_of_types(model, unknown, eligible, ties)
        repeats = list_caps.strongest_of_types(model, unknown, repeats, ties[done], at=done)
        # Both lists may have as many of a type as one list may, so that many may be left out of what is merged.
        wanted += sum(min(cap.most, limit) for cap in model.most_per_list)
    slots = strongest(wanted, repeats, _ties_at(model, unknown, done))
    places = strongest(wanted, eligible[: len(model.actions)], model.tie_breaks)
    if unknown is not None:
        places = np.concatenate([places, np.arange(unknown.first, eligible.shape[0])])
        places = places[strongest(wanted, eligible[places], _ties_at(model, unknown, places))]
    again = model.repeats.calibration.growth(repeats[slots], user.activity)
    new = model.discoveries.calibration.growth(eligible[places], user.activity)
    order, chosen = _merged(again, new)[:wanted], np.concatenate([done[slots], places])
    if model.most_per_list:
        order = order[list_caps.within_caps(model, unknown, chosen[order])][:limit]
    return Ranking(
        chosen[order],
        np.concatenate([slots, np.full(places.shape[0], -1)])[order],
        np.concatenate([again, new])[order],
        np.concatenate([repeats[slots], eligible[places]])[order],
        user.inputs,
    )


def _allowed(
    model: Model,
    unknown: UnknownActions | None,
    withheld: NDArray[np.int64],
    allowed: NDArray[np.bool_] | None,
    allows: Allows | None,
) -> NDArray[np.bool_] | None:
    """The mask of all that may be recommended, (actions + unknown actions,); None: everything. A mask over the model's
    actions leaves out the unknown ones that ``allows`` does not let through."""
    if allowed is None and not withheld.size:
        return None
    mask = np.ones(len(model.actions), np.bool_) if allowed is None else allowed.copy()
    if unknown is not None:
        others = np.full(len(unknown.actions), allowed is None)
        if allowed is not None and allows is not None:
            others = allows(unknown.actions)
        mask = np.concatenate([mask, others])
    mask[withheld] = False
    return mask


def where_allowed(scores: NDArray[np.float64], allowed: NDArray[np.bool_]) -> NDArray[np.float64]:
    """``scores`` where they are ``allowed``, -inf elsewhere. ``np.where`` branches at each place, which takes three
    times as long on a mask without any order."""
    bounds = np.subtract(allowed, 0.5, dtype=np.float64)
    bounds *= np.inf
    np.minimum(scores, bounds, out=bounds)
    return bounds


def _ties_at(model: Model, unknown: UnknownActions | None, places: NDArray[np.int64]) -> NDArray[np.float64]:
    """What equal scores at ``places`` are ordered by."""
    if unknown is None:
        return model.tie_breaks[places]
    known = places < unknown.first
    ties = np.zeros(places.shape[0])
    ties[known] = model.tie_breaks[places[known]]
    ties[~known] = [tie_break(unknown.actions[place]) for place in (places[~known] - unknown.first).tolist()]
    return ties


def by_value(
    model: Model,
    user: UserScores,
    withheld: NDArray[np.int64],
    values: NDArray[np.float64],
    *,
    limit: int,
    allow_repeats: bool,
    allowed: NDArray[np.bool_] | None,
    allows: Allows | None,
    then_by_growth: bool = False,
) -> Ranking:
    """``choose`` by growth weight times ``values`` (actions + unknown actions,). Here the floor comes first: without
    values, what is under it is last. ``then_by_growth`` orders equal products by growth weight, before their names."""
    unknown = user.inputs.unknown
    repeats = user.repeats if allow_repeats else user.repeats[:0]
    done = user.inputs.done[: repeats.shape[0]]
    scores, slots = user.discoveries.copy(), np.full(user.discoveries.shape[0], -1)
    growth = model.discoveries.calibration.growth(scores, user.activity)
    scores[done], slots[done] = repeats, np.arange(done.shape[0])
    growth[done] = model.repeats.calibration.growth(repeats, user.activity)
    possible = (scores > -np.inf) & (growth >= model.action_weight_floor)
    mask = _allowed(model, unknown, withheld, allowed, allows)
    if mask is not None:
        possible &= mask
    ties = _ties_at(model, unknown, np.arange(scores.shape[0]))
    products = np.where(possible, growth * values, -np.inf)
    others = (growth, ties) if then_by_growth else (ties,)
    if model.most_per_list:
        # Imported here: few programs have caps.
        from nextbest.scoring import list_caps

        products = list_caps.strongest_of_types(model, unknown, products, *others)
    places = strongest(limit, products, *others)
    return Ranking(places, slots[places], growth[places], scores[places], user.inputs)


def _merged(repeats: NDArray[np.float64], discoveries: NDArray[np.float64]) -> NDArray[np.int64]:
    """The order that merges two lists of growth weights, each in the order of its scores, which stays as it is: where
    calibration is flat, equal weights are in the order of the scores, and repeats come first."""
    if not repeats.shape[0]:
        return np.arange(discoveries.shape[0])
    keys = np.concatenate([np.minimum.accumulate(repeats), np.minimum.accumulate(discoveries)])
    return np.argsort(-keys, kind="stable")


def recommend_many(
    model: Model,
    histories: Iterable[History],
    *,
    now: float,
    limit: int,
    allow_repeats: bool,
    allowed: NDArray[np.bool_] | None = None,
    values: NDArray[np.float64] | None = None,
) -> Iterator[list[Recommendation]]:
    """``recommend`` for many users, one list each, lazily and in their order: the same arithmetic."""
    for history in histories:
        yield recommend(
            model, history, now=now, limit=limit, allow_repeats=allow_repeats, allowed=allowed, values=values
        )


def check_arguments(
    model: Model, limit: int, allowed: NDArray[np.bool_] | None, values: NDArray[np.float64] | None = None
) -> None:
    """Raise InvalidInput for a limit below 1, and for arrays of another length than the model's actions."""
    if limit < 1:
        raise InvalidInput(f"limit is {limit}; it must be at least 1", field="limit")
    for name, array in (("allowed", allowed), ("values", values)):
        if array is not None and array.shape != (len(model.actions),):
            raise InvalidInput(
                f"{name} has shape {array.shape}; the model has {len(model.actions)} actions", field=name
            )
