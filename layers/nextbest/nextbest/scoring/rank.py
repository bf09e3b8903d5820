"""Ranking: the best few actions for one user.

What the user did and what is new to them are two lists, each in the order of its scores, merged by growth weight.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nextbest.domain.actions import Recommendation
from nextbest.domain.history import History
from nextbest.errors import InvalidInput
from nextbest.scoring.model import Model, tie_break
from nextbest.scoring.score import Inputs, UserScores
from nextbest.scoring.selection import strongest


def recommend(
    model: Model,
    history: History,
    *,
    now: float,
    limit: int,
    allow_repeats: bool,
    allowed: NDArray[np.bool_] | None = None,
    values: NDArray[np.float64] | None = None,
) -> list[Recommendation]:
    """The ``limit`` likeliest actions for the user at ``now`` (seconds since 1970), strongest first.

    ``allow_repeats`` false leaves out every action of the history, and changes nothing else. ``allowed`` (actions,) is
    a mask over ``model.actions``, applied before the choice, so a short answer means that few qualify. ``values``
    (actions,) replace the model's own: ranked by value times growth weight, with growth weights unchanged. Actions
    under the program's floor are left out. Equal scores are ordered by a hash of the action's name. Actions that the
    model does not know compete with what is known of their event types, unless there is a mask. Event types that the
    program never recommends are evidence alone. Raises InvalidInput.
    """
    _check(model, limit, allowed, values)
    ranking = rank(model, history, now=now, limit=limit, allow_repeats=allow_repeats, allowed=allowed, values=values)
    inputs = ranking.inputs
    base = np.append(history.base_weight_vector(model.half_life_days, now)[inputs.seen], 0.0)
    return [
        Recommendation(action.event_type, action.asset_id, growth_weight, base_weight, score)
        for action, growth_weight, base_weight, score in zip(
            inputs.actions(model, ranking.places),
            ranking.growth.tolist(),
            base[ranking.slots].tolist(),
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
    values: NDArray[np.float64] | None = None,
) -> Ranking:
    """What ``recommend`` returns, as arrays."""
    user = UserScores.of(model, history, now=now, repeats=allow_repeats)
    return choose(model, user, limit=limit, allow_repeats=allow_repeats, allowed=allowed, values=values)


def choose(
    model: Model,
    user: UserScores,
    *,
    limit: int,
    allow_repeats: bool,
    allowed: NDArray[np.bool_] | None = None,
    values: NDArray[np.float64] | None = None,
) -> Ranking:
    """The best of what was scored; ``user`` has scores of repeats if these are allowed."""
    done, eligible = user.inputs.done, user.discoveries
    repeats = user.repeats if allow_repeats else user.repeats[:0]
    done = done[: repeats.shape[0]]
    values = model.values if values is None else values
    ties, withheld, unknown = model.tie_breaks, model.withheld, user.inputs.unknown
    if unknown is not None:
        count = len(unknown.actions)
        ties = np.concatenate([ties, list(map(tie_break, unknown.actions))])
        withheld = np.concatenate([withheld, unknown.first + unknown.of_types(model.never_recommended)])
        if values is not None:
            values = np.concatenate([values, np.ones(count)])
        if allowed is not None:
            allowed = np.concatenate([allowed, np.zeros(count, np.bool_)])
    if withheld.size:
        allowed = np.ones(eligible.shape[0], np.bool_) if allowed is None else allowed.copy()
        allowed[withheld] = False
    if allowed is not None:
        eligible = np.where(allowed, eligible, -np.inf)
        repeats = np.where(allowed[done], repeats, -np.inf)
    if values is not None:
        return _by_value(model, user, eligible, repeats, values, ties, limit)
    slots = strongest(limit, repeats, ties[done])
    places = strongest(limit, eligible, ties)
    scores = np.concatenate([repeats[slots], eligible[places]])
    again = model.repeats.calibration.growth(repeats[slots], user.activity)
    new = model.discoveries.calibration.growth(eligible[places], user.activity)
    order = _merged(again, new)[:limit]
    growth = np.concatenate([again, new])
    places, slots = np.concatenate([done[slots], places]), np.concatenate([slots, np.full(places.shape[0], -1)])
    return Ranking(places[order], slots[order], growth[order], scores[order], user.inputs)


def _by_value(
    model: Model,
    user: UserScores,
    discoveries: NDArray[np.float64],
    repeats: NDArray[np.float64],
    values: NDArray[np.float64],
    ties: NDArray[np.float64],
    limit: int,
) -> Ranking:
    """The same by growth weight times value. Here the floor comes first: without values, what is under it is last."""
    done = user.inputs.done[: repeats.shape[0]]
    scores, slots = discoveries.copy(), np.full(discoveries.shape[0], -1)
    growth = model.discoveries.calibration.growth(scores, user.activity)
    scores[done], slots[done] = repeats, np.arange(done.shape[0])
    growth[done] = model.repeats.calibration.growth(repeats, user.activity)
    possible = (scores > -np.inf) & (growth >= model.action_weight_floor)
    places = strongest(limit, np.where(possible, growth * values, -np.inf), ties)
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


def _check(model: Model, limit: int, allowed: NDArray[np.bool_] | None, values: NDArray[np.float64] | None) -> None:
    if limit < 1:
        raise InvalidInput(f"limit is {limit}; it must be at least 1", field="limit")
    for name, array in (("allowed", allowed), ("values", values)):
        if array is not None and array.shape != (len(model.actions),):
            raise InvalidInput(
                f"{name} has shape {array.shape}; the model has {len(model.actions)} actions", field=name
            )
