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
from nextbest.scoring.model import Mode, Model
from nextbest.scoring.score import Inputs, UserScores, influence_shares, self_shares


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
    model: Model, history: History, actions: Iterable[tuple[str, str]], *, now: float, strongest: int = 5
) -> list[Explanation]:
    """Why the user's ``actions`` score as they do at ``now``; one explanation each, in their order.

    ``actions`` are usually those of the recommendations just returned. ``strongest`` bounds the contributions listed.
    Raises NotFound for an action that the model does not know.
    """
    user = UserScores.of(model, history, now=now)
    base = history.base_weight_vector(model.half_life_days, now)
    requested = [Action(*action) for action in actions]
    targets = np.array([_position(model, user.inputs, action) for action in requested], np.int64)
    slots = {place: slot for slot, place in enumerate(user.inputs.done.tolist())}
    is_done = np.array([place in slots for place in targets.tolist()], np.bool_)
    done = [history.actions[place] for place in user.inputs.seen.tolist()]
    explanations: dict[int, Explanation] = {}
    for mode, rows in ((model.repeats, np.flatnonzero(is_done)), (model.discoveries, np.flatnonzero(~is_done))):
        priors, shares = _parts(mode, user.inputs, targets[rows])
        averages, average_shares = average_parts(mode, user.inputs, targets[rows])
        parts = zip(rows.tolist(), priors.tolist(), shares, averages.tolist(), average_shares, strict=True)
        for row, prior, own, average, average_own in parts:
            order = np.argsort(-np.abs(own), kind="stable")
            listed = [slot for slot in order[:strongest].tolist() if own[slot] != 0.0]
            seen = user.inputs.seen[listed].tolist()
            contributions = tuple(
                Contribution(history.actions[place], float(base[place]), float(own[slot]))
                for slot, place in zip(listed, seen, strict=True)
            )
            other = float(np.delete(own, listed).sum())
            target = int(targets[row])
            score = float(user.repeats[slots[target]] if target in slots else user.discoveries[target])
            growth = mode.calibration.growth(np.array([score, average]), user.activity).tolist()
            differences, rest = compare(done, own, average_own, score - average, strongest)
            comparison = AverageComparison(average, differences, rest, *growth)
            explanations[row] = Explanation(requested[row], score, prior, contributions, other, comparison)
    return [explanations[row] for row in range(len(requested))]


def _parts(mode: Mode, inputs: Inputs, targets: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The prior of each of ``targets``, and what each action of the history adds to it (targets, seen)."""
    priors = mode.prior if inputs.unknown is None else np.concatenate([mode.prior, inputs.unknown.priors(mode)])
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
    return priors[targets].astype(np.float64), shares


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
    index = model.place_of(action)
    if index is None and inputs.unknown is not None and action in inputs.unknown.actions:
        index = inputs.unknown.first + inputs.unknown.actions.index(action)
    if index is None:
        raise NotFound(f"the model does not know the action {action.event_type} {action.asset_id}")
    return index
