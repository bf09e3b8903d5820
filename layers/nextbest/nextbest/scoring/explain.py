"""Explanations: a score as the sum of the prior and what each action of the history added."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nextbest.domain.actions import Action
from nextbest.domain.history import History
from nextbest.errors import NotFound
from nextbest.scoring.averages import average_parts
from nextbest.scoring.calibration import activity_of
from nextbest.scoring.model import Model
from nextbest.scoring.score import Inputs, influence_shares, score_all, self_shares


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one action of the history added to a score. ``base_weight`` is its plain half-life sum."""

    action: Action
    base_weight: float
    share: float


@dataclass(frozen=True, slots=True)
class Difference:
    """What one action of the history adds to a score beyond what it adds for the average user. ``is_little``: it adds
    something, but less than for the average user."""

    action: Action
    amount: float
    is_little: bool


@dataclass(frozen=True, slots=True)
class AverageComparison:
    """A user against the average user: ``score - average_score = Σ differences' amounts + other_amount``.

    ``differences`` are the strongest; ``other_amount`` is the sum of the ones not listed and of what the user did not
    do. The growth weights are those of the two scores, both for a user as active as this one.
    """

    average_score: float
    differences: tuple[Difference, ...]
    other_amount: float
    growth_weight: float
    average_growth_weight: float

    def points(self, amount: float) -> float:
        """The effect of a part of the difference in scores on the growth weight, in percentage points.

        The parts' effects add up to the difference of the growth weights: those along the straight line between the
        two scores (integrated gradients: Sundararajan et al., ICML 2017), which for one score is a proportion.
        """
        total = sum(difference.amount for difference in self.differences) + self.other_amount
        if abs(total) < _NO_DIFFERENCE:
            return 0.0
        return 100.0 * (self.growth_weight - self.average_growth_weight) * amount / total


_NO_DIFFERENCE = 1e-12


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
    comparison: AverageComparison


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

    ``actions`` are usually those of the recommendations just returned. ``strongest`` bounds the contributions listed.
    Raises NotFound for an action that the model does not know.
    """
    inputs = Inputs.of(model, history, now)
    mode = model.mode_for(allow_repeats, inputs.seen.size > 0)
    scores = score_all(mode, inputs)
    priors = mode.prior if inputs.unknown is None else np.concatenate([mode.prior, inputs.unknown.priors(mode)])
    base = history.base_weight_vector(model.half_life_days, now)
    explanations = []
    requested = [Action(*action) for action in actions]
    targets = np.array([_position(model, inputs, action) for action in requested], np.int64)
    shares = np.zeros((targets.shape[0], inputs.seen.shape[0]))
    known = slice(0, inputs.known.shape[0])
    for term in mode.terms if inputs.seen.shape[0] else ():
        x = inputs.weights(term)
        added = []
        if term.self_weights is not None:
            own = (targets[:, None] == inputs.known[None, :]) * self_shares(term, inputs, x[known])[None, :]
            shares[:, known] += own
        if term.influence is not None:
            added.append(influence_shares(term.influence, inputs.known, x[known]))
        if inputs.unknown is not None:
            added.append(inputs.unknown.shares(term, x, inputs.since_days))
        for columns, amounts, source in added:
            for row, target in enumerate(targets.tolist()):
                hit = columns == target
                np.add.at(shares[row], source[hit], amounts[hit])
    averages, average_shares = average_parts(mode, inputs, targets)
    activity = activity_of(history.timestamps, inputs.moment, model.horizon_days)
    done = [history.actions[place] for place in inputs.seen.tolist()]
    for row, action in enumerate(requested):
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
        score, average = float(scores[target]), float(averages[row])
        growth, average_growth = mode.calibration.growth(np.array([score, average]), activity).tolist()
        comparison = compare(done, shares[row], average_shares[row], score - average, strongest)
        explanations.append(
            Explanation(
                action,
                score,
                float(priors[target]),
                contributions,
                other,
                AverageComparison(average, *comparison, growth, average_growth),
            )
        )
    return explanations


def compare(
    done: Sequence[Action],
    shares: NDArray[np.float64],
    average_shares: NDArray[np.float64],
    total: float,
    strongest: int,
) -> tuple[tuple[Difference, ...], float]:
    """The ``strongest`` differences, and the rest of their ``total``; the arrays have an entry for each of ``done``."""
    amounts = shares - average_shares
    order = np.argsort(-np.abs(amounts), kind="stable")[:strongest].tolist()
    differences = tuple(
        Difference(done[slot], float(amounts[slot]), bool(amounts[slot] < 0.0 < shares[slot]))
        for slot in order
        if amounts[slot] != 0.0
    )
    return differences, total - sum(difference.amount for difference in differences)


def _position(model: Model, inputs: Inputs, action: Action) -> int:
    index = model.position.get(action)
    if index is None and inputs.unknown is not None and action in inputs.unknown.actions:
        index = inputs.unknown.first + inputs.unknown.actions.index(action)
    if index is None:
        raise NotFound(f"the model does not know the action {action.event_type} {action.asset_id}")
    return index
