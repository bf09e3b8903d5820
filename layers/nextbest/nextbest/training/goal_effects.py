"""What each action is worth for the goal: the doubly robust estimates of a rebase (docs/scoring.md, "The goal").

The outcome of a moment is the value of what the user reached of the goal within the horizon after it: each event type
of the goal counts once. It has two parts, each compared with its own controls, since within a visit everything follows
on everything: what is reached within a day is compared with moments at which similar users did something else, and what
is reached later with any time in the lives of similar users.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from nextbest.domain.programs import GoalEventType
from nextbest.scoring.goal_effects import Basis, GoalEffects
from nextbest.scoring.kernels import DAY_SECONDS
from nextbest.training.doubly_robust import FOLDS, Sample, compare
from nextbest.training.goal_features import FeatureReader, UsersAtMoments
from nextbest.training.goal_moments import DecisionMoments, DecisionTable
from nextbest.training.table import EventTable

LEAST_USERS = 30
"""Who took the action and have similar users, and who did not take it: fewer are too few for an interval."""
LEAST_GOALS = 5
"""Users who reached the goal, of those who took the action and of the others."""
_CONFIDENCE = 0.975
_ACTIONS_PER_BUDGET_SECOND, _LEAST_ACTIONS = 0.5, 30
"""How many actions are estimated: a tenth to a fifth of the budget (measured: docs/scoring.md)."""
_MOST_TAKEN, _MOST_CONTROLS = 1_000, 8_000
_CONTROLS_PER_TAKEN, _LEAST_CONTROLS = 6, 2_000


def estimate_goal_effects(
    table: EventTable,
    goal: tuple[GoalEventType, ...],
    *,
    now: float,
    horizon_days: float,
    half_life_days: float,
    time_budget_seconds: float,
    seed: int,
) -> GoalEffects:
    """The effect of every action of ``table`` on the goal, as of ``now`` (seconds).

    Deterministic for a ``seed`` and a budget, which bounds the number of actions: the most frequent come first.
    """
    effects = GoalEffects.without_estimates(goal, table.actions)
    if not len(table.time):
        return effects
    estimator = _Estimator(table, goal, now, horizon_days, half_life_days, np.random.default_rng(seed))
    candidates = np.flatnonzero(effects.basis == Basis.NOT_ESTIMATED)
    order = candidates[np.argsort(-_users_of_actions(table)[candidates], kind="stable")]
    for action in order[: max(_LEAST_ACTIONS, int(_ACTIONS_PER_BUDGET_SECOND * time_budget_seconds))].tolist():
        estimate = estimator.estimate(action)
        effects.basis[action] = estimate.basis
        effects.users[action] = estimate.users
        effects.effect[action] = estimate.effect
        effects.standard_error[action] = estimate.standard_error
        effects.low[action] = estimate.effect - estimate.margin
        effects.high[action] = estimate.effect + estimate.margin
    return effects


def describe_goal(effects: GoalEffects) -> dict[str, Any]:
    """What the report of a training says of the goal: how many actions have an effect, on which basis."""
    counts = np.bincount(effects.basis, minlength=len(Basis)).tolist()
    return {"event_types": dict(effects.goal), "actions": {each.name.lower(): counts[each] for each in Basis}}


def _users_of_actions(table: EventTable) -> NDArray[np.int64]:
    """How many users ever did each action."""
    pairs = np.unique(table.user * len(table.actions) + table.action)
    return np.bincount(pairs % len(table.actions), minlength=len(table.actions))


@dataclass(frozen=True, slots=True)
class _Estimate:
    basis: Basis
    users: int
    effect: float = 0.0
    standard_error: float = 0.0
    margin: float = 0.0


class _Estimator:
    """What the estimates of all actions share: the moments of those who did not take them, and their features."""

    def __init__(
        self,
        table: EventTable,
        goal: tuple[GoalEventType, ...],
        now: float,
        horizon_days: float,
        half_life_days: float,
        random: np.random.Generator,
    ) -> None:
        self._random = random
        self._horizon_seconds = horizon_days * DAY_SECONDS
        self._decisions = DecisionTable(table, now, horizon_days)
        places: dict[str, list[int]] = {entry.event_type: [] for entry in goal}
        others: list[int] = []
        for place, (event_type, _) in enumerate(table.actions):
            places.get(event_type, others).append(place)
        self._goals = [(entry.value, self._decisions.positions_of(places[entry.event_type])) for entry in goal]
        self._fold = random.permutation(table.user_count) % FOLDS
        any_time = self._decisions.at_any_time(_MOST_CONTROLS, random)
        present = self._decisions.at_events(self._decisions.positions_of(others), _MOST_CONTROLS, random)
        self._reader = FeatureReader(table, any_time, now=now, half_lives_days=(half_life_days, horizon_days))
        self._any_time, self._present = self._reader.read(any_time), self._reader.read(present)

    def estimate(self, action: int) -> _Estimate:
        """The effect of one action, or why there is none."""
        positions = self._decisions.positions_of([action])
        taken = self._decisions.at_events(positions, _MOST_TAKEN, self._random)
        users = len(np.unique(taken.before.users))
        if users < LEAST_USERS:
            return _Estimate(Basis.TOO_FEW_USERS, users)
        features = self._reader.features(self._reader.read(taken), action)
        outcomes = self._outcomes(taken)
        reached = len(np.unique(taken.before.users[outcomes[0] + outcomes[1] > 0.0]))
        controls = [self._controls(positions, pool, len(taken)) for pool in (self._present, self._any_time)]
        samples = [
            Sample(self._reader.features(control, action), outcome, control.moments.before.users)
            for number, control in enumerate(controls)
            for outcome in [self._outcomes(control.moments)[number]]
        ]
        if min(len(np.unique(sample.user)) for sample in samples) < LEAST_USERS:
            return _Estimate(Basis.TOO_FEW_USERS, users)
        reached_by_others = max(len(np.unique(sample.user[sample.outcome > 0.0])) for sample in samples)
        if min(reached, reached_by_others) < LEAST_GOALS:
            return _Estimate(Basis.TOO_FEW_GOALS, users)
        near, later = (
            compare(Sample(features, outcome, taken.before.users), sample, self._fold)
            for outcome, sample in zip(outcomes, samples, strict=True)
        )
        users = len(np.unique(taken.before.users[near.used & later.used]))
        if users < LEAST_USERS:
            return _Estimate(Basis.NO_SIMILAR_USERS, users)
        effect = near.effect + later.effect
        variance = float(np.square(near.influence + later.influence).sum()) * users / (users - 1)
        margin = float(np.sqrt(variance) * stdtrit(users - 1, _CONFIDENCE))
        basis = Basis.ASSOCIATION if abs(effect) > margin else Basis.NOT_SHOWN
        return _Estimate(basis, users, effect, float(np.sqrt(variance)), margin)

    def _controls(self, positions: NDArray[np.int64], pool: UsersAtMoments, taken: int) -> UsersAtMoments:
        """Those of a pool who did not take the action at ``positions`` then, nor within a day: as many as are useful
        for so many who have ``taken`` it."""
        before, after = pool.moments.before, pool.moments.after
        is_other = np.searchsorted(positions, before.ends) == np.searchsorted(positions, after)
        rows = np.flatnonzero(is_other & (self._decisions.seconds_until(positions, pool.moments) > DAY_SECONDS))
        most = max(_CONTROLS_PER_TAKEN * taken, _LEAST_CONTROLS)
        if len(rows) > most:
            rows = np.sort(self._random.choice(rows, most, replace=False))
        return pool[rows]

    def _outcomes(self, moments: DecisionMoments) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The value of what was reached within a day, and of what was reached after it, within the horizon."""
        near, later = np.zeros((2, len(moments)))
        for value, positions in self._goals:
            seconds = self._decisions.seconds_until(positions, moments)
            within = seconds <= self._horizon_seconds
            near += value * (within & (seconds <= DAY_SECONDS))
            later += value * (within & (seconds > DAY_SECONDS))
        return near, later
