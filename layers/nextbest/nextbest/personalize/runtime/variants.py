"""What a user gets in the variants of the experiments that run. Imported only for programs that run some."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from nextbest.domain.experiments import HoldoutList, assignment_of
from nextbest.logic.recommendations import UNTRAINED
from nextbest.logic.variants import challenged, note_on_holdout
from nextbest.personalize.runtime.action_recommendations import ActionList, Context, Query, answered
from nextbest.personalize.runtime.candidates import Candidates, is_recommended
from nextbest.personalize.runtime.exploration import Explored
from nextbest.scoring import Model
from nextbest.scoring.list_caps import event_types_within
from nextbest.scoring.popular import rates_for
from nextbest.scoring.selection import strongest


def in_variant(context: Context, user_id: str) -> Context:
    """The context with what the user's challengers change: settings of the program, the campaign and the model."""
    assignment = assignment_of(context.state.experiments, user_id)
    weight = assignment.settings.exploration_weight
    settings = context.settings if weight is None else replace(context.settings, exploration_weight=weight)
    return replace(context, state=challenged(context.state, assignment), settings=settings, assignment=assignment)


def without_repeats(context: Context, candidates: Candidates, allowed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """``allowed`` (assets,) without what the user did something with, where a challenger does not allow repeats."""
    if context.assignment is None or context.assignment.settings.allow_repeats is not False:
        return allowed
    rows = candidates.columns.rows
    done = [
        rows[asset_id]
        for event_type, asset_id in context.history.actions
        if asset_id in rows and is_recommended(event_type, candidates.item_event_types)
    ]
    allowed = allowed.copy()
    allowed[done] = False
    return allowed


def held_out(
    context: Context,
    query: Query,
    candidates: Candidates,
    allowed: NDArray[np.bool_],
    served: tuple[str, Model] | None,
    *,
    request_id: str,
    now: float,
) -> ActionList:
    """The popular list of what is ``allowed`` (assets,), or an empty one; nothing is explored.

    An asset is as popular as the most popular of its actions that may be recommended; its base rate is the score.
    """
    assert context.assignment is not None
    version, model = served if served is not None else (UNTRAINED, None)
    scores: Mapping[str, float] = {}
    if model is not None and context.assignment.holdout_list is HoldoutList.POPULAR:
        scores = _most_popular(model, context, candidates, allowed, limit=query.limit, now=now)
    has_list = model is not None and model.base_rates is not None
    explored = Explored((), len(scores), 0.0, 0)
    note = note_on_holdout(context.assignment, has_list=has_list)
    return answered(context, query, scores, explored, version, request_id=request_id, now=now, note=note)


def _most_popular(
    model: Model, context: Context, candidates: Candidates, allowed: NDArray[np.bool_], *, limit: int, now: float
) -> dict[str, float]:
    of_actions = rates_for(model, context.history, now=now)
    rates = np.full(len(candidates.asset_ids), -np.inf)
    actions = candidates.recommended_actions
    np.maximum.at(rates, candidates.recommended_rows, of_actions[actions])
    rates[~allowed] = -np.inf
    wanted = len(rates) if model.most_per_list else limit
    rows = strongest(wanted, rates, candidates.value, candidates.tie_break)
    if model.most_per_list:
        most_popular = np.zeros(len(rates), np.int64)
        ascending = actions[np.argsort(of_actions[actions])]
        most_popular[candidates.row_of_action[ascending]] = ascending  # the last write of a row is the highest rate
        types = [model.actions[place].event_type for place in most_popular[rows].tolist()]
        rows = rows[event_types_within(types, model.most_per_list)][:limit]
    return {candidates.asset_ids[row]: rate for row, rate in zip(rows.tolist(), rates[rows].tolist(), strict=True)}
