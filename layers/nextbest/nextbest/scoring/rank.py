"""Ranking: the best few actions for one user."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nextbest.domain.actions import Recommendation
from nextbest.domain.history import History
from nextbest.errors import InvalidInput
from nextbest.scoring.calibration import activity_of
from nextbest.scoring.eligibility import withheld_places
from nextbest.scoring.model import Model, tie_break
from nextbest.scoring.score import Inputs, score_all
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
    """The ``limit`` best actions for the user at ``now`` (seconds since 1970), strongest first.

    ``allow_repeats`` false leaves out every action of the history. ``allowed`` (actions,) is a mask over
    ``model.actions``, applied before the choice, so a short answer means that few qualify. ``values`` (actions,)
    replace the model's own: ranked by value times growth weight, with growth weights unchanged. Actions under the
    program's floor are left out. Equal scores are ordered by a hash of the action's name. Actions that the model does
    not know compete with what is known of their event types, unless there is a mask. What the program's
    settings withhold from the user (``withheld_places``) is evidence alone. Raises InvalidInput.
    """
    _check(model, limit, allowed, values)
    ranking = rank(model, history, now=now, limit=limit, allow_repeats=allow_repeats, allowed=allowed, values=values)
    inputs, places = ranking.inputs, ranking.places
    base = np.zeros(ranking.scores.shape[0])
    base[inputs.done] = history.base_weight_vector(model.half_life_days, now)[inputs.seen]
    return [
        Recommendation(action.event_type, action.asset_id, growth_weight, base_weight, score)
        for action, growth_weight, base_weight, score in zip(
            inputs.actions(model, places),
            ranking.growth.tolist(),
            base[places].tolist(),
            ranking.scores[places].tolist(),
            strict=True,
        )
        if growth_weight >= model.action_weight_floor
    ]


@dataclass(frozen=True, slots=True)
class Ranking:
    """The ``places`` of the best actions in the ``scores``, best first, and the growth weight of each. The floor is not
    applied yet."""

    places: NDArray[np.int64]
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
    inputs = Inputs.of(model, history, now)
    mode = model.mode_for(allow_repeats, inputs.seen.size > 0)
    scores = score_all(mode, inputs)
    eligible = scores.copy()
    activity = activity_of(history.timestamps, inputs.moment, model.horizon_days)
    values = model.values if values is None else values
    ties, withheld, unknown = model.tie_breaks, withheld_places(model, history, inputs), inputs.unknown
    if unknown is not None:
        count = len(unknown.actions)
        ties = np.concatenate([ties, list(map(tie_break, unknown.actions))])
        if values is not None:
            values = np.concatenate([values, np.ones(count)])
        if allowed is not None:
            allowed = np.concatenate([allowed, np.zeros(count, np.bool_)])
    if values is not None:
        weights = mode.calibration.growth(scores, activity)
        # Without values the floor is applied at the end: what is under it ranks last.
        eligible = np.where(weights >= model.action_weight_floor, weights * values, -np.inf)
    if allowed is not None:
        eligible[~allowed] = -np.inf
    if withheld.size:
        eligible[withheld] = -np.inf
    if not allow_repeats:
        eligible[inputs.done] = -np.inf
    places = strongest(limit, eligible, ties)
    return Ranking(places, mode.calibration.growth(scores[places], activity), scores, inputs)


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
