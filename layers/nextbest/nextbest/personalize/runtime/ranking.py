"""Ranking the candidates for one user (docs/contracts/personalize.md, sections 7.4 and 11).

Hot path: standard library and numpy.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from itertools import chain, repeat

import numpy as np
from numpy.typing import NDArray

from nextbest.domain.history import History
from nextbest.domain.programs import ListCap, Program
from nextbest.logic.recommendations import from_history_alone
from nextbest.personalize.datasets.sources import TAKEN
from nextbest.personalize.runtime.candidates import Candidates, is_recommended
from nextbest.scoring import Model
from nextbest.scoring.eligibility import withheld_from_all, withheld_from_user
from nextbest.scoring.rank import where_allowed
from nextbest.scoring.score import UserScores
from nextbest.scoring.selection import strongest
from nextbest.scoring.unknown import UnknownActions

_SPARE = 16
"""How many more of the best are taken than a mask needs on average; and they may be one in so many of all."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """Rows of the candidates, most likely first, and how likely (0..1) each is.

    ``scored`` (assets,) is true for assets that have a likelihood, be they for this user or not: the others can only be
    explored. ``event_types`` are those of the actions that the likelihoods are of, where the program has caps.
    """

    rows: tuple[int, ...]
    likelihoods: tuple[float, ...]
    scored: NDArray[np.bool_]
    event_types: tuple[str, ...] = ()

    def places_with_explored(self, caps: Iterable[ListCap], *, limit: int) -> int | None:
        """How many places a list of at most ``limit`` has for these and for what is explored, which is to be TAKEN.
        None where nothing may be explored: it would replace the last action, which is of another type."""
        for cap in caps:
            if cap.event_type == TAKEN:
                free = cap.most - self.event_types.count(TAKEN)
                return min(limit, len(self.rows) + free) if free or self.event_types[-1] == TAKEN else None
        return limit


def rank_by_model(
    model: Model,
    history: History,
    candidates: Candidates,
    allowed: NDArray[np.bool_],
    *,
    now: float,
    limit: int,
    event_types: Collection[str] | None = None,
) -> Ranked:
    """The ``limit`` likeliest of the ``allowed`` assets that have a score.

    An asset is as likely as the likeliest of its actions, of those of ``event_types`` where they are given. Assets
    under the program's floor are left out.
    """
    # Repeats are allowed: in this dialect REPEAT_FREQUENCY and filters say what not to repeat.
    user = UserScores.of(model, history, now=now)
    withheld = withheld_from_all(model, user.inputs)
    if event_types is not None:
        withheld = np.concatenate([withheld, _places_of_others(model, user, event_types)])
    scored = _scored(user, withheld, candidates)
    if model.withholds_by_history:
        # What is not for this user now is known, so it is not explored either.
        withheld = np.concatenate([withheld, withheld_from_user(model, history, user.inputs, now=now)])
    if candidates.is_valued or model.most_per_list:
        best_again, best_new = _best_scores(user, withheld, candidates)
        rows = np.flatnonzero(allowed & ((best_again > -np.inf) | (best_new > -np.inf)))
        again, new = best_again[rows], best_new[rows]
    else:
        rows, again, new = _likeliest(user, withheld, candidates, allowed, limit)
    repeats, discoveries = (
        np.where(best > -np.inf, mode.calibration.growth(best, user.activity), -np.inf)
        for mode, best in ((model.repeats, again), (model.discoveries, new))
    )
    likelihoods = np.maximum(repeats, discoveries)
    scores = np.where(repeats >= discoveries, again, new)
    above = likelihoods >= model.action_weight_floor
    rows, likelihoods, scores = rows[above], likelihoods[above], scores[above]
    keys = _keys(rows, likelihoods, scores, candidates)
    if not model.most_per_list:
        order = strongest(limit, *keys)
        return Ranked(tuple(rows[order].tolist()), tuple(likelihoods[order].tolist()), scored)
    order = strongest(rows.shape[0], *keys)
    is_repeat = repeats[above][order] >= discoveries[above][order]
    types = _event_types(model, user, withheld, candidates, rows[order], scores[order], is_repeat)
    return _within_caps(model.most_per_list, rows[order], likelihoods[order], types, scored, limit)


def rank_by_history(
    program: Program,
    history: History,
    candidates: Candidates,
    allowed: NDArray[np.bool_],
    item_event_types: AbstractSet[str],
    *,
    now: float,
    limit: int,
    event_types: Collection[str] | None = None,
) -> Ranked:
    """Before the first rebase: what the user did, with likelihoods from past rates; of ``event_types`` where given."""
    likelihoods, weights = np.zeros((2, len(candidates.asset_ids)))
    types: dict[int, str] = {}
    caps = program.most_per_list
    uncapped = replace(program, most_per_list=()) if caps else program  # caps hold for the list, not for what is known
    alone = from_history_alone(uncapped, history, now=now, limit=len(history.actions), allow_repeats=True)
    for entry in alone:
        row = candidates.columns.rows.get(entry.asset_id)
        if event_types is not None and entry.event_type not in event_types:
            continue
        if row is not None and is_recommended(entry.event_type, item_event_types):
            types.setdefault(row, entry.event_type)  # the likeliest comes first
            likelihoods[row] = max(likelihoods[row], entry.growth_weight)
            weights[row] = max(weights[row], entry.base_weight)
    scored = likelihoods > 0
    rows = np.flatnonzero(allowed & scored)
    wanted = rows.shape[0] if caps else limit
    order = strongest(wanted, *_keys(rows, likelihoods[rows], weights[rows], candidates))
    if program.done_once or program.event_type_order or program.rest_rules or program.action_weight_floor > 0:
        evidence_alone = set(program.never_recommended).difference(program.done_once)
        for event_type, asset_id in history.actions:
            row = candidates.columns.rows.get(asset_id)
            if row is not None and event_type not in evidence_alone and is_recommended(event_type, item_event_types):
                scored[row] = True
    rows = rows[order]
    if caps:
        listed_types = [types[row] for row in rows.tolist()]
        return _within_caps(caps, rows, likelihoods[rows], listed_types, scored, limit)
    return Ranked(tuple(rows.tolist()), tuple(likelihoods[rows].tolist()), scored)


def _within_caps(
    caps: Sequence[ListCap],
    rows: NDArray[np.int64],
    likelihoods: NDArray[np.float64],
    event_types: Sequence[str],
    scored: NDArray[np.bool_],
    limit: int,
) -> Ranked:
    """The first ``limit`` of what is ranked, best first, without what is beyond the caps of its event type."""
    # Imported here: few programs have caps.
    from nextbest.scoring.list_caps import event_types_within

    listed = np.flatnonzero(event_types_within(event_types, caps))[:limit]
    types = tuple(event_types[place] for place in listed.tolist())
    return Ranked(tuple(rows[listed].tolist()), tuple(likelihoods[listed].tolist()), scored, types)


def _event_types(
    model: Model,
    user: UserScores,
    withheld: NDArray[np.int64],
    candidates: Candidates,
    rows: NDArray[np.int64],
    scores: NDArray[np.float64],
    is_repeat: NDArray[np.bool_],
) -> list[str]:
    """For each of ``rows`` (n,) the event type of the action that its score is of, empty where no cap is for it."""
    event_types = np.full(rows.shape[0], "", np.object_)
    unknown, places = user.inputs.unknown, np.arange(user.discoveries.shape[0])
    for cap in model.most_per_list:
        of_type = model.places_of((cap.event_type,))
        if unknown is not None:
            of_type = np.concatenate([of_type, unknown.places_of((cap.event_type,))])
        again, new = _best_scores(user, np.concatenate([withheld, np.delete(places, of_type)]), candidates)
        event_types[np.where(is_repeat, again[rows], new[rows]) == scores] = cap.event_type
    return event_types.tolist()


def _places_of_others(model: Model, user: UserScores, event_types: Collection[str]) -> NDArray[np.int64]:
    """Places in the scores of actions of other types than ``event_types``."""
    places = model.places_of(name for name in model.type_index if name not in event_types)
    unknown = user.inputs.unknown
    if unknown is None:
        return places
    others = {event_type for event_type, _ in unknown.actions}.difference(event_types)
    return np.concatenate([places, unknown.places_of(others)])


def _likeliest(
    user: UserScores, withheld: NDArray[np.int64], candidates: Candidates, allowed: NDArray[np.bool_], limit: int
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """The ``allowed`` rows that can be among the ``limit`` likeliest, without values and caps, and their best scores:
    again and new, as ``_best_scores`` has them.

    Among discoveries the likelihood never contradicts the score, so that the score alone decides which of them can be
    in the response, and only these need a likelihood. What the user did is few, and can be any.
    """
    repeats, discoveries = _without(user, withheld)
    best = candidates.best_scores(discoveries)
    few, again, new = _best_of_few(user, repeats, discoveries, candidates)
    listed = allowed[few]
    few, again, new = few[listed], again[listed], new[listed]
    places = candidates.place_of_row[few]
    learned = places >= 0
    new[learned] = np.maximum(new[learned], best[places[learned]])
    strong = _strongest_allowed(limit, best, places[learned], candidates, allowed)
    rows = np.concatenate([few, candidates.learned_rows[strong]])
    return rows, np.concatenate([again, np.full(strong.shape[0], -np.inf)]), np.concatenate([new, best[strong]])


def _strongest_allowed(
    limit: int,
    best: NDArray[np.float64],
    listed: NDArray[np.int64],
    candidates: Candidates,
    allowed: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """Places of the ``limit`` best among those of ``best`` (learned rows,) that are ``allowed`` (assets,) and not
    ``listed`` already."""
    is_allowed = allowed if candidates.learned_rows.shape == allowed.shape else allowed.take(candidates.learned_rows)
    share = np.count_nonzero(is_allowed) / max(1, is_allowed.shape[0])
    listed = listed[best[listed] > -np.inf]
    more = limit + listed.shape[0]
    most = int(1.5 * more / share) + _SPARE if share else 0
    if share == 1.0 or most <= best.shape[0] // _SPARE:
        # Enough of the best are left: a mask over all would take as long as everything else.
        strong = strongest(more if share == 1.0 else most, best, candidates.learned_tie_break)
        strong = strong[is_allowed[strong]]
        if listed.size:
            hidden = frozenset(listed.tolist())
            strong = strong[[place not in hidden for place in strong.tolist()]]
        if share == 1.0 or strong.shape[0] >= limit:
            return strong[:limit]
    fresh = where_allowed(best, is_allowed)
    fresh[listed] = -np.inf
    return strongest(limit, fresh, candidates.learned_tie_break)


def _scored(user: UserScores, withheld: NDArray[np.int64], candidates: Candidates) -> NDArray[np.bool_]:
    """Which assets have a likelihood, by an action that is not ``withheld``, shape (assets,). Not to be written to."""
    unknown = user.inputs.unknown
    scored = candidates.learned
    if withheld.size:
        is_free = np.ones(candidates.row_of_action.shape[0], np.bool_)
        is_free[withheld[withheld < is_free.shape[0]]] = False
        scored = np.zeros(scored.shape[0], np.bool_)
        scored[candidates.recommended_rows[is_free[candidates.recommended_actions]]] = True
    if unknown is not None:
        kept_from_all = frozenset(withheld.tolist())
        rows = [
            row for number, row in _rows_of_unknown(unknown, candidates) if unknown.first + number not in kept_from_all
        ]
        if rows:
            scored = scored.copy()
            scored[rows] = True
    return scored


def _without(user: UserScores, withheld: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Repeats and discoveries of the user, -inf at the places ``withheld``."""
    if not withheld.size:
        return user.repeats, user.discoveries
    discoveries = user.discoveries.copy()
    discoveries[withheld] = -np.inf
    is_withheld = np.zeros(discoveries.shape[0], np.bool_)
    is_withheld[withheld] = True
    return np.where(is_withheld[user.inputs.done], -np.inf, user.repeats), discoveries


def _best_of_few(
    user: UserScores, repeats: NDArray[np.float64], discoveries: NDArray[np.float64], candidates: Candidates
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Rows of what the user did and of what may follow that the model does not know, each once, with their best scores
    as such: again and new, -inf where there is none."""
    inputs = user.inputs
    rows = candidates.row_of_action[inputs.known]
    again = repeats[: rows.shape[0]]
    if inputs.unknown is None:
        is_candidate = (rows >= 0) & (again > -np.inf)
        rows, again = rows[is_candidate], again[is_candidate]
        if not candidates.best_action_is_only_one:
            rows, places = np.unique(rows, return_inverse=True)
            best = np.full(rows.shape[0], -np.inf)
            np.maximum.at(best, places, again)
            again = best
        return rows, again, np.full(rows.shape[0], -np.inf)
    best_of: dict[int, list[float]] = {}
    of_known = zip(rows.tolist(), again.tolist(), repeat(0))
    scores = [*repeats[rows.shape[0] :].tolist(), *discoveries[inputs.unknown.first + inputs.unknown.done :].tolist()]
    of_unknown = (
        (row, scores[number], int(number >= inputs.unknown.done))
        for number, row in _rows_of_unknown(inputs.unknown, candidates)
    )
    for row, score, kind in chain(of_known, of_unknown):
        if row >= 0 and score > -np.inf:
            of_row = best_of.setdefault(row, [-np.inf, -np.inf])
            of_row[kind] = max(of_row[kind], score)
    both = np.array(list(best_of.values())).reshape(-1, 2)
    return np.fromiter(best_of, np.int64, len(best_of)), both[:, 0], both[:, 1]


def _rows_of_unknown(unknown: UnknownActions, candidates: Candidates) -> Iterator[tuple[int, int]]:
    """The numbers of the actions that may be recommended, and the rows of their assets."""
    for number, (event_type, asset_id) in enumerate(unknown.actions):
        row = candidates.columns.rows.get(asset_id)
        if row is not None and is_recommended(event_type, candidates.item_event_types):
            yield number, row


def _best_scores(
    user: UserScores, withheld: NDArray[np.int64], candidates: Candidates
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The best score of each asset's actions that the user did, and of those that they have not done; each of shape
    (assets,), -inf where there is none. ``withheld`` are places in the scores that are no candidates."""
    repeats, discoveries = _without(user, withheld)
    again, new = np.full((2, len(candidates.asset_ids)), -np.inf)
    new[candidates.learned_rows] = candidates.best_scores(discoveries)
    few, again_of_few, new_of_few = _best_of_few(user, repeats, discoveries, candidates)
    again[few] = again_of_few
    new[few] = np.maximum(new[few], new_of_few)
    return again, new


def _keys(
    rows: NDArray[np.int64], likelihoods: NDArray[np.float64], scores: NDArray[np.float64], candidates: Candidates
) -> tuple[NDArray[np.float64], ...]:
    """What ``rows`` are ordered by: likelihood, VALUE (section 7.4), the uncalibrated score, then the name."""
    return likelihoods, candidates.value[rows], scores, candidates.tie_break[rows]
