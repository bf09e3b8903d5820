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
from nextbest.scoring.score import Inputs, score_all


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
    """The ``limit`` likeliest of the ``allowed`` assets that the model knows.

    An asset is as likely as the likeliest of its actions. Assets under the program's floor are left out.
    """
    # Repeats are allowed: in this dialect REPEAT_FREQUENCY and filters say what not to repeat.
    mode = model.mode(allow_repeats=True)
    inputs = Inputs.of(model, history, now)
    scores = score_all(mode, inputs)
    actions = candidates.recommended_actions
    best = np.full(len(candidates.asset_ids), -np.inf)
    if candidates.best_action_is_only_one:
        best[candidates.row_of_action[actions]] = scores[actions]
    else:
        np.maximum.at(best, candidates.row_of_action[actions], scores[actions])
    rows = np.flatnonzero(allowed & candidates.learned)
    if not candidates.is_valued:
        # Without values the score alone decides, so only assets that can be in the response need a likelihood.
        rows = rows[_reaching(best[rows], limit)]
    # For one user the likelihood never contradicts the score, so the best score has the highest likelihood.
    likelihoods = mode.calibration.growth(
        best[rows], activity_of(history.timestamps, inputs.moment, model.horizon_days)
    )
    above = likelihoods >= model.action_weight_floor
    order = _strongest(rows[above], likelihoods[above], best, candidates, limit)
    return Ranked(tuple(rows[above][order].tolist()), tuple(likelihoods[above][order].tolist()), candidates.learned)


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
    likelihoods = np.zeros(len(candidates.asset_ids))
    alone = from_history_alone(program, history, now=now, limit=len(history.actions), allow_repeats=True)
    for entry in alone:
        row = candidates.columns.rows.get(entry.asset_id)
        if row is not None and is_recommended(entry.event_type, item_event_types):
            likelihoods[row] = max(likelihoods[row], entry.growth_weight)
    rows = np.flatnonzero(allowed & (likelihoods > 0))
    order = _strongest(rows, likelihoods[rows], likelihoods, candidates, limit)
    return Ranked(tuple(rows[order].tolist()), tuple(likelihoods[rows][order].tolist()), likelihoods > 0)


def _strongest(
    rows: NDArray[np.int64],
    likelihoods: NDArray[np.float64],
    scores: NDArray[np.float64],
    candidates: Candidates,
    limit: int,
) -> NDArray[np.int64]:
    """Places in ``rows`` of the best ``limit``: by likelihood, VALUE (section 7.4), then the uncalibrated score."""
    places = _reaching(likelihoods, limit)
    reached = rows[places]
    keys = (candidates.tie_break[reached], -scores[reached], -candidates.value[reached], -likelihoods[places])
    return places[np.lexsort(keys)[:limit]]


def _reaching(values: NDArray[np.float64], limit: int) -> NDArray[np.int64]:
    """Places of the ``limit`` highest values and of all that equal the last of them; of all where limit is 0."""
    if not 0 < limit < values.shape[0]:
        return np.arange(values.shape[0])
    threshold = np.partition(values, values.shape[0] - limit)[values.shape[0] - limit]
    return np.flatnonzero(values >= threshold)
