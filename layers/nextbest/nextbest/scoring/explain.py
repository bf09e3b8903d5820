"""Explanations: a score taken apart into the prior and what each action of the history added."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from nextbest.domain.actions import Action
from nextbest.domain.history import History
from nextbest.errors import NotFound
from nextbest.scoring.model import Model
from nextbest.scoring.score import Inputs, influence_shares, score_all, self_shares


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one action of the history added to a score. ``base_weight`` is its plain half-life sum."""

    action: Action
    base_weight: float
    share: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """A score in parts: ``score = prior_share + Σ contributions' shares + other_share``.

    ``contributions`` are the strongest by absolute share; ``other_share`` is the sum of the ones not listed.
    """

    action: Action
    score: float
    prior_share: float
    contributions: tuple[Contribution, ...]
    other_share: float


def explain(
    model: Model,
    history: History,
    actions: Iterable[tuple[str, str]],
    *,
    now: float,
    allow_repeats: bool,
    strongest: int = 5,
) -> list[Explanation]:
    """Why the user's ``actions`` score as they do at ``now``; one explanation each, in their order.

    ``actions`` are usually those that were just recommended. ``strongest`` bounds the contributions listed.
    Raises NotFound for an action that the model does not know.
    """
    inputs = Inputs.of(model, history, now)
    mode = model.mode(allow_repeats)
    scores = score_all(mode, inputs)
    base = history.base_weight_vector(model.half_life_days, now)
    explanations = []
    explained = [Action(*action) for action in actions]
    targets = np.array([_position(model, action) for action in explained], np.int64)
    shares = np.zeros((targets.shape[0], inputs.known.shape[0]))
    for term in mode.terms if inputs.known.shape[0] else ():
        x = inputs.weights(term)
        if term.self_weights is not None:
            shares += (targets[:, None] == inputs.known[None, :]) * self_shares(term, inputs, x)[None, :]
        if term.influence is not None:
            columns, amounts, source = influence_shares(term.influence, inputs.known, x)
            for row, target in enumerate(targets.tolist()):
                hit = columns == target
                np.add.at(shares[row], source[hit], amounts[hit])
    for row, action in enumerate(explained):
        order = np.argsort(-np.abs(shares[row]), kind="stable")
        listed = [slot for slot in order[:strongest].tolist() if shares[row, slot] != 0.0]
        contributions = tuple(
            Contribution(
                history.actions[int(inputs.seen[slot])], float(base[inputs.seen[slot]]), float(shares[row, slot])
            )
            for slot in listed
        )
        other = float(np.delete(shares[row], listed).sum())
        target = int(targets[row])
        explanations.append(Explanation(action, float(scores[target]), float(mode.prior[target]), contributions, other))
    return explanations


def _position(model: Model, action: Action) -> int:
    index = model.position.get(action)
    if index is None:
        raise NotFound(f"the model does not know the action {action.event_type} {action.asset_id}")
    return index
