"""Ranking by the goal: probability of the action times its effect on the goal.

    impact_i(user) = growth_i(user) · effect_i, as it counts (``GoalEffects.counted``)

Growth weights are those of every other ranking. Imported only by requests that rank by the goal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nextbest.domain.actions import Action, Recommendation
from nextbest.domain.history import History
from nextbest.domain.programs import GoalEventType
from nextbest.errors import InvalidInput
from nextbest.scoring.eligibility import withheld_places
from nextbest.scoring.goal_effects import ESTIMATED, Basis, GoalEffects, values_of
from nextbest.scoring.model import Model
from nextbest.scoring.rank import Allows, by_value, check_arguments, listed
from nextbest.scoring.score import UserScores


@dataclass(frozen=True, slots=True)
class GoalImpact:
    """What one recommended action is worth for the goal, to one user, in the unit of the goal's values.

    ``impact`` is the growth weight times the effect as it is ``counted``; ``impact_low`` and ``impact_high`` are the
    growth weight times the ends of the effect's 95 % interval. What is not estimated is None, and ``basis`` says
    why. ``users`` took the action and have similar users. ``horizon_days`` is the model's, and ``only_value`` the value
    of the goal's one event type, by which an effect is a difference in probability; None where it has several.
    """

    impact: float
    impact_low: float | None
    impact_high: float | None
    effect: float | None
    counted: float
    low: float | None
    high: float | None
    standard_error: float | None
    users: int
    basis: Basis
    horizon_days: float
    only_value: float | None


def effects_on(goal: Sequence[GoalEventType], model: Model) -> GoalEffects:
    """The effects of the model's actions on the program's ``goal``. Raises InvalidInput where there are none."""
    if not goal:
        raise InvalidInput("The program has no goal: PUT /program sets it", field="objective")
    effects = model.goal_effects
    if effects is None or effects.goal != tuple(goal):
        problem = "The model has no estimate for the program's goal yet: the next rebase makes it"
        raise InvalidInput(problem, field="objective")
    return effects


def recommend_for_goal(
    model: Model,
    effects: GoalEffects,
    history: History,
    *,
    now: float,
    limit: int,
    allow_repeats: bool,
    allowed: NDArray[np.bool_] | None = None,
    allows: Allows | None = None,
    resting: bool = False,
) -> list[Recommendation]:
    """``recommend``, by expected impact on the goal. Equal impacts are in the order of their growth weights."""
    check_arguments(model, limit, allowed)
    user = UserScores.of(model, history, now=now, repeats=allow_repeats)
    values = effects.counted
    if user.inputs.unknown is not None:
        values = np.concatenate([values, values_of(effects.goal, user.inputs.unknown.actions)])
    withheld = withheld_places(model, history, user.inputs, now=now, resting=resting)
    ranking = by_value(
        model,
        user,
        withheld,
        values,
        limit=limit,
        allow_repeats=allow_repeats,
        allowed=allowed,
        allows=allows,
        then_by_growth=True,
    )
    return listed(model, history, ranking, now)


def impacts_of(model: Model, effects: GoalEffects, recommendations: Sequence[Recommendation]) -> list[GoalImpact]:
    """What each recommendation is worth for the goal."""
    return [_impact_of(model, effects, entry) for entry in recommendations]


def _impact_of(model: Model, effects: GoalEffects, entry: Recommendation) -> GoalImpact:
    action = Action(entry.event_type, entry.asset_id)
    place = model.place_of(action)
    if place is None:
        effects, place = GoalEffects.without_estimates(effects.goal, [action]), 0
    basis, users = Basis(effects.basis[place]), int(effects.users[place])
    growth = entry.growth_weight
    only_value = effects.goal[0].value if len(effects.goal) == 1 else None
    if basis not in ESTIMATED:
        return GoalImpact(0.0, None, None, None, 0.0, None, None, None, users, basis, model.horizon_days, only_value)
    counted, low, high = (float(each[place]) for each in (effects.counted, effects.low, effects.high))
    return GoalImpact(
        growth * counted,
        growth * low,
        growth * high,
        float(effects.effect[place]),
        counted,
        low,
        high,
        float(effects.standard_error[place]),
        users,
        basis,
        model.horizon_days,
        only_value,
    )
