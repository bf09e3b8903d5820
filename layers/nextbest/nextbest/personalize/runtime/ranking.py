"""Ranking the candidates for one user (docs/contracts/personalize.md, sections 7.4 and 11).

Hot path: standard library and numpy.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nextbest.domain.history import History
from nextbest.domain.programs import Program
from nextbest.logic.recommendations import from_history_alone
from nextbest.personalize.runtime.candidates import Candidates, is_recommended
from nextbest.scoring import Model
from nextbest.scoring.calibration import activity_of
from nextbest.scoring.eligibility import withheld_from_all, withheld_from_user
from nextbest.scoring.score import Inputs, score_all
from nextbest.scoring.selection import strongest
from nextbest.scoring.unknown import UnknownActions


@dataclass(frozen=True, slots=True)
class Ranked:
    """Rows of the candidates, most likely first, and how likely (0..1) each is.

    ``scored`` (assets,) is true for assets that have a likelihood, be they for this user or not: the others can only be
    explored.
    """

    rows: tuple[int, ...]
    likelihoods: tuple[float, ...]
    scored: NDArray[np.bool_]


def rank_by_model(
    model: Model, history: History, candidates: Candidates, allowed: NDArray[np.bool_], *, now: float, limit: int
) -> Ranked:
    """The ``limit`` likeliest of the ``allowed`` assets that have a score.

    An asset is as likely as the likeliest of its actions. Assets under the program's floor are left out.
    """
    # Repeats are allowed: in this dialect REPEAT_FREQUENCY and filters say what not to repeat.
    inputs = Inputs.of(model, history, now)
    mode = model.mode_for(True, inputs.seen.size > 0)
    scores = score_all(mode, inputs)
    scores[withheld_from_all(model, inputs)] = -np.inf
    best = _best_of_assets(scores, inputs, candidates)
    scored = best > -np.inf
    if model.done_once or model.event_type_order:
        # What is not for this user now is known, so it is not explored either.
        scores[withheld_from_user(model, history, inputs)] = -np.inf
        best = _best_of_assets(scores, inputs, candidates)
    rows = np.flatnonzero(allowed & (best > -np.inf))
    if not candidates.is_valued:
        # For one user the likelihood never contradicts the score, so without values the score alone decides, and only
        # assets in the response need a likelihood.
        rows = rows[strongest(limit, best[rows], candidates.tie_break[rows])]
    likelihoods = mode.calibration.growth(
        best[rows], activity_of(history.timestamps, inputs.moment, model.horizon_days)
    )
    above = likelihoods >= model.action_weight_floor
    rows, likelihoods = rows[above], likelihoods[above]
    order = strongest(limit, *_keys(rows, likelihoods, best, candidates))
    return Ranked(tuple(rows[order].tolist()), tuple(likelihoods[order].tolist()), scored)


def _best_of_assets(scores: NDArray[np.float64], inputs: Inputs, candidates: Candidates) -> NDArray[np.float64]:
    """The highest score of each asset's actions, shape (assets,); -inf where it has none."""
    actions = candidates.recommended_actions
    best = np.full(len(candidates.asset_ids), -np.inf)
    if candidates.best_action_is_only_one:
        best[candidates.row_of_action[actions]] = scores[actions]
    else:
        np.maximum.at(best, candidates.row_of_action[actions], scores[actions])
    if inputs.unknown is not None:
        _add_unknown(best, scores, inputs.unknown, candidates)
    return best


def rank_by_history(
    program: Program,
    history: History,
    candidates: Candidates,
    allowed: NDArray[np.bool_],
    item_event_types: AbstractSet[str],
    *,
    now: float,
    limit: int,
) -> Ranked:
    """Before the first rebase: what the user did, with likelihoods from past rates."""
    likelihoods, weights = np.zeros((2, len(candidates.asset_ids)))
    alone = from_history_alone(program, history, now=now, limit=len(history.actions), allow_repeats=True)
    for entry in alone:
        row = candidates.columns.rows.get(entry.asset_id)
        if row is not None and is_recommended(entry.event_type, item_event_types):
            likelihoods[row] = max(likelihoods[row], entry.growth_weight)
            weights[row] = max(weights[row], entry.base_weight)
    scored = likelihoods > 0
    rows = np.flatnonzero(allowed & scored)
    order = strongest(limit, *_keys(rows, likelihoods[rows], weights, candidates))
    if program.done_once or program.event_type_order or program.action_weight_floor > 0:
        evidence_alone = set(program.never_recommended).difference(program.done_once)
        for event_type, asset_id in history.actions:
            row = candidates.columns.rows.get(asset_id)
            if row is not None and event_type not in evidence_alone and is_recommended(event_type, item_event_types):
                scored[row] = True
    return Ranked(tuple(rows[order].tolist()), tuple(likelihoods[rows][order].tolist()), scored)


def _add_unknown(
    best: NDArray[np.float64],
    scores: NDArray[np.float64],
    unknown: UnknownActions,
    candidates: Candidates,
) -> None:
    """Let candidates compete by actions that the model does not know: done since the last rebase, or following them."""
    for (event_type, asset_id), score in zip(unknown.actions, scores[unknown.first :].tolist(), strict=True):
        row = candidates.columns.rows.get(asset_id)
        if row is not None and is_recommended(event_type, candidates.item_event_types):
            best[row] = max(best[row], score)


def _keys(
    rows: NDArray[np.int64], likelihoods: NDArray[np.float64], scores: NDArray[np.float64], candidates: Candidates
) -> tuple[NDArray[np.float64], ...]:
    """What ``rows`` are ordered by: likelihood, VALUE (section 7.4), the uncalibrated score, then the name."""
    return likelihoods, candidates.value[rows], scores[rows], candidates.tie_break[rows]
