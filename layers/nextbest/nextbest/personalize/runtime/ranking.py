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
from nextbest.scoring.score import UserScores
from nextbest.scoring.selection import strongest
from nextbest.scoring.unknown import UnknownActions


@dataclass(frozen=True, slots=True)
class Ranked:
    """Rows of the candidates, most likely first, and how likely (0..1) each is.

    ``scored`` (assets,) is true for assets that have a likelihood: the others can only be explored.
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
    user = UserScores.of(model, history, now=now)
    again, new = _best_scores(user, model, candidates)
    is_done = again > -np.inf
    scored = is_done | (new > -np.inf)
    rows = np.flatnonzero(allowed & scored)
    if not candidates.is_valued:
        # Among discoveries the likelihood never contradicts the score, so without values the score alone decides which
        # of them can be in the response, and only these need a likelihood.
        done, fresh = rows[is_done[rows]], rows[~is_done[rows]]
        rows = np.concatenate([done, fresh[strongest(limit, new[fresh], candidates.tie_break[fresh])]])
    repeats, discoveries = (
        np.where(best[rows] > -np.inf, mode.calibration.growth(best[rows], user.activity), -np.inf)
        for mode, best in ((model.repeats, again), (model.discoveries, new))
    )
    likelihoods = np.maximum(repeats, discoveries)
    scores = np.where(repeats >= discoveries, again[rows], new[rows])
    above = likelihoods >= model.action_weight_floor
    rows, likelihoods, scores = rows[above], likelihoods[above], scores[above]
    order = strongest(limit, *_keys(rows, likelihoods, scores, candidates))
    return Ranked(tuple(rows[order].tolist()), tuple(likelihoods[order].tolist()), scored)


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
    rows = np.flatnonzero(allowed & (likelihoods > 0))
    order = strongest(limit, *_keys(rows, likelihoods[rows], weights[rows], candidates))
    return Ranked(tuple(rows[order].tolist()), tuple(likelihoods[rows][order].tolist()), likelihoods > 0)


def _best_scores(
    user: UserScores, model: Model, candidates: Candidates
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The best score of each asset's actions that the user did, and of those that they never did; each of shape
    (assets,), -inf where there is none."""
    discoveries, known = user.discoveries, user.inputs.known
    repeats = user.repeats[: known.shape[0]]
    if model.withheld.size:
        is_withheld = np.zeros(discoveries.shape[0], np.bool_)
        is_withheld[model.withheld] = True
        discoveries = np.where(is_withheld, -np.inf, discoveries)
        repeats = np.where(is_withheld[known], -np.inf, repeats)
    again, new = np.full((2, len(candidates.asset_ids)), -np.inf)
    rows = candidates.row_of_action[known]
    np.maximum.at(again, rows[rows >= 0], repeats[rows >= 0])
    actions = candidates.recommended_actions
    if candidates.best_action_is_only_one:
        new[candidates.row_of_action[actions]] = discoveries[actions]
    else:
        np.maximum.at(new, candidates.row_of_action[actions], discoveries[actions])
    if user.inputs.unknown is not None:
        _add_unknown(again, new, user, user.inputs.unknown, model, candidates)
    return again, new


def _add_unknown(
    again: NDArray[np.float64],
    new: NDArray[np.float64],
    user: UserScores,
    unknown: UnknownActions,
    model: Model,
    candidates: Candidates,
) -> None:
    """Let candidates compete by actions that the model does not know: done since the last rebase, or following them."""
    repeats, discoveries = user.repeats[user.inputs.known.shape[0] :], user.discoveries[unknown.first :]
    scores = [*repeats.tolist(), *discoveries[unknown.done :].tolist()]
    for number, (action, score) in enumerate(zip(unknown.actions, scores, strict=True)):
        row = candidates.columns.rows.get(action.asset_id)
        if row is None or action.event_type in model.never_recommended:
            continue
        if is_recommended(action.event_type, candidates.item_event_types):
            best = again if number < unknown.done else new
            best[row] = max(best[row], score)


def _keys(
    rows: NDArray[np.int64], likelihoods: NDArray[np.float64], scores: NDArray[np.float64], candidates: Candidates
) -> tuple[NDArray[np.float64], ...]:
    """What ``rows`` are ordered by: likelihood, VALUE (section 7.4), the uncalibrated score, then the name."""
    return likelihoods, candidates.value[rows], scores, candidates.tie_break[rows]
