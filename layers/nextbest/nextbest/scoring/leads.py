"""What leads to an action and what it leads to: the model's influences, read in both directions.

An influence W_ji is what one event of j just now, of somebody who did nothing else, adds to the score of i: every
kernel weighs such an event with 1. What that means as a probability, the scores of just such a history say.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nextbest.domain.actions import Action
from nextbest.domain.history import History
from nextbest.scoring.model import Mode, Model
from nextbest.scoring.score import UserScores


@dataclass(frozen=True, slots=True)
class Lead:
    """One influence. ``weight`` is what the action that comes first adds to the score of the other.

    ``growth_weight`` is the other's probability for somebody who just did the first, and ``baseline`` for somebody who
    is as active and just did something that says nothing about it. ``action`` is the one at the far end.
    """

    action: Action
    weight: float
    growth_weight: float
    baseline: float


@dataclass(frozen=True, slots=True)
class Leads:
    """The strongest influences on an action (``causes``) and of it (``effects``), by absolute weight."""

    causes: tuple[Lead, ...]
    effects: tuple[Lead, ...]


def leads_of(model: Model, action: Action, *, again: bool, now: float, limit: int) -> Leads:
    """The influences between ``action``, which the model knows, and all others, at most ``limit`` each way.

    With ``again`` those on what somebody does again, who then did it just now too; otherwise those on what they never
    did. ``now`` is in seconds since 1970.
    """
    mode = model.repeats if again else model.discoveries
    place = _known_place(model, action)
    onto, of = _onto(mode, place), _of(mode, place)
    onto[place] = of[place] = 0.0
    causes = [
        _lead(model, first=model.actions[other], then=action, far=other, weight=onto[other], again=again, now=now)
        for other in _strongest(onto, limit)
    ]
    effects = [
        _lead(model, first=action, then=model.actions[other], far=other, weight=of[other], again=again, now=now)
        for other in _strongest(of, limit)
    ]
    return Leads(tuple(causes), tuple(effects))


def _of(mode: Mode, place: int) -> NDArray[np.float64]:
    """What the action at ``place`` adds to every score, shape (actions,)."""
    added = np.zeros(mode.prior.shape[0])
    for term in mode.terms:
        if term.influence is not None:
            row = slice(term.influence.starts[place], term.influence.starts[place + 1])
            np.add.at(added, term.influence.columns[row], term.influence.weights[row] * term.influence.scale)
    return added


def _onto(mode: Mode, place: int) -> NDArray[np.float64]:
    """What every action adds to the score of the one at ``place``, shape (actions,): one pass over the influences."""
    added = np.zeros(mode.prior.shape[0])
    for term in mode.terms:
        if term.influence is not None:
            entries = np.flatnonzero(term.influence.columns == place)
            rows = np.searchsorted(term.influence.starts, entries, side="right") - 1
            np.add.at(added, rows, term.influence.weights[entries] * term.influence.scale)
    return added


def _strongest(weights: NDArray[np.float64], limit: int) -> list[int]:
    order: list[int] = np.argsort(-np.abs(weights), kind="stable")[:limit].tolist()
    return [place for place in order if weights[place] != 0.0]


def _lead(model: Model, *, first: Action, then: Action, far: int, weight: float, again: bool, now: float) -> Lead:
    own = [(*then, now)] if again else []
    growth_weight, activity = _growth(model, [(*first, now), *own], then, now)
    if again:
        baseline, _ = _growth(model, own, then, now)
    else:
        prior = model.discoveries.prior[_known_place(model, then)]
        baseline = float(model.discoveries.calibration.growth(np.array([prior], np.float64), activity)[0])
    return Lead(model.actions[far], float(weight), growth_weight, baseline)


def _known_place(model: Model, action: Action) -> int:
    return model.places_by_type[action.event_type][action.asset_id]


def _growth(
    model: Model, events: list[tuple[str, str, float]], action: Action, now: float
) -> tuple[float, NDArray[np.float64]]:
    """The growth weight of an action after these events, and how active they are."""
    user = UserScores.of(model, History.from_events(events), now=now)
    place = _known_place(model, action)
    done = user.inputs.done.tolist()
    if place in done:
        score, calibration = user.repeats[done.index(place)], model.repeats.calibration
    else:
        score, calibration = user.discoveries[place], model.discoveries.calibration
    return float(calibration.growth(np.array([score]), user.activity)[0]), user.activity
