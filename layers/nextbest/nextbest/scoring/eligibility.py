"""Eligibility: which actions the settings of a program keep from a user. Their events are evidence all the same."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nextbest.domain.history import History
from nextbest.domain.programs import out_of_order
from nextbest.scoring.model import Model
from nextbest.scoring.score import Inputs


def withheld_places(
    model: Model, history: History, inputs: Inputs, *, now: float, resting: bool = False
) -> NDArray[np.int64]:
    """Places in the scores of what is never recommended, and of what is not for this user at ``now`` (seconds since
    1970). ``resting`` leaves what only rests among the candidates."""
    never = withheld_from_all(model, inputs)
    if not model.withholds_by_history:
        return never
    return np.concatenate([never, withheld_from_user(model, history, inputs, now=now, resting=resting)])


def withheld_from_all(model: Model, inputs: Inputs) -> NDArray[np.int64]:
    """Places of what is never recommended."""
    if inputs.unknown is None:
        return model.withheld
    return np.concatenate([model.withheld, inputs.unknown.places_of(model.never_recommended)])


def withheld_from_user(
    model: Model, history: History, inputs: Inputs, *, now: float, resting: bool = False
) -> NDArray[np.int64]:
    """Places of what the user did already and does once, of what may not follow yet from what the user did, and of what
    rests, unless ``resting`` is let through."""
    done = inputs.known[model.is_done_once[inputs.known]] if model.done_once else inputs.known[:0]
    early: frozenset[str] = frozenset()
    if model.event_type_order:
        early = out_of_order(model.event_type_order, history.actions.event_types)
    places = [done, model.places_of(early)]
    if inputs.unknown is not None:
        places += [inputs.unknown.places_of(early), inputs.unknown.places_of(model.done_once, done=True)]
    if model.rest_rules and not resting:
        # Imported here: few programs have rest rules.
        from nextbest.scoring.rests import Rests

        places.append(Rests.of(model.rest_rules, history, now=now).places(model, inputs.unknown))
    return np.concatenate(places)
