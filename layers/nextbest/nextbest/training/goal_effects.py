"""What each action is worth for the goal: the doubly robust estimates of a rebase (docs/scoring.md, "The goal").

The outcome of a moment is the value of what the user reached of the goal within the horizon after it: each event type
of the goal counts once. It is compared with that of any time in the lives of similar users. What is reached within a
day is compared with moments at which similar users did something else, too, since within a visit everything follows on
everything; of the two effects the smaller counts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from nextbest.domain.programs import GoalEventType
from nextbest.scoring.goal_effects import Basis, GoalEffects
from nextbest.scoring.kernels import DAY_SECONDS
from nextbest.training.doubly_robust import FOLDS, Sample, TreatedEffect, compare
from nextbest.training.goal_features import FeatureReader, UsersAtMoments
from nextbest.training.goal_moments import DecisionMoments, DecisionTable
from nextbest.training.table import EventTable

LEAST_USERS = 30
"""Who took the action and have similar users, and who did not take it: fewer are too few for an interval."""
LEAST_GOALS = 5
"""Users who reached the goal, of those who took the action and of the others."""
_NEAR, _LATER = 0, 1
"""Outcomes: what is reached within a day, and what is reached after it."""
_CONFIDENCE = 0.975
_ACTIONS_PER_BUDGET_SECOND, _LEAST_ACTIONS = 0.5, 30
"""How many actions are estimated: about an eighth of the budget, a quarter of a second each (docs/scoring.md)."""
_MOST_TAKEN, _MOST_CONTROLS = 1_000, 6_000
_CONTROLS_PER_TAKEN, _LEAST_CONTROLS = 5, 2_000


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
    return replace(effects)  # with what of them counts


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


@dataclass(frozen=True, slots=True)
class _GoalEvents:
    """The events of one type of the goal: its value, where they are, and how often one follows on any time, later than
    a day and within the horizon."""

    value: float
    positions: NDArray[np.int64]
    later_rate: float


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
        self._fold = random.permutation(table.user_count) % FOLDS
        any_time = self._decisions.at_any_time(_MOST_CONTROLS, random)
        self._goals = []
        for event_type, value in goal:
            positions = self._decisions.positions_of(places[event_type])
            later = self._reached(positions, any_time)[1]
            self._goals.append(_GoalEvents(value, positions, float(later.mean()) if len(later) else 0.0))
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
        treated = self._reader.read(taken)
        present = self._controls(positions, self._present, len(taken))
        any_time = self._controls(positions, self._any_time, len(taken))
        reached, *reached_by_others = (self._users_who_reach(each) for each in (treated, present, any_time))
        if min(len(np.unique(each.moments.before.users)) for each in (present, any_time)) < LEAST_USERS:
            return _Estimate(Basis.TOO_FEW_USERS, users)
        if min(reached, max(reached_by_others)) < LEAST_GOALS:
            return _Estimate(Basis.TOO_FEW_GOALS, users)
        visits = compare(
            self._sample(treated, action, present=True), self._sample(present, action, present=True), self._fold
        )
        lives = compare(
            self._sample(treated, action, present=False), self._sample(any_time, action, present=False), self._fold
        )
        users = len(np.unique(taken.before.users[visits.used & lives.used]))
        if users < LEAST_USERS:
            return _Estimate(Basis.NO_SIMILAR_USERS, users)
        near = _nearer_to_nothing(visits, lives)
        effect = float(near.effect[_NEAR] + lives.effect[_LATER])
        influence = near.influence[:, _NEAR] + lives.influence[:, _LATER]
        variance = float(np.square(influence).sum()) * users / (users - 1)
        margin = float(np.sqrt(variance) * stdtrit(users - 1, _CONFIDENCE))
        basis = Basis.ASSOCIATION if abs(effect) > margin else Basis.UNCERTAIN
        return _Estimate(basis, users, effect, float(np.sqrt(variance)), margin)

    def _users_who_reach(self, users: UsersAtMoments) -> int:
        """How many users reach any of the goal within the horizon."""
        reach = [near | later for near, later in (self._reached(each.positions, users.moments) for each in self._goals)]
        return len(np.unique(users.moments.before.users[np.logical_or.reduce(reach)]))

    def _sample(self, users: UsersAtMoments, action: int, *, present: bool) -> Sample:
        features = self._reader.features(users, action, present=present)
        return Sample(features, self._outcomes(users.moments), users.moments.before.users)

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

    def _outcomes(self, moments: DecisionMoments) -> NDArray[np.float64]:
        """What is reached within a day, and after it within the horizon, by value: (rows, 2).

        Whoever reaches something within a day might have reached it later as often as anybody: so much of its value
        belongs to later. Otherwise what makes users reach it sooner, such as a visit, would seem to keep them from it.
        """
        outcomes = np.zeros((len(moments), 2))
        for goal in self._goals:
            near, later = self._reached(goal.positions, moments)
            outcomes[:, _NEAR] += goal.value * (1.0 - goal.later_rate) * near
            outcomes[:, _LATER] += goal.value * np.where(near, goal.later_rate, later)
        return outcomes

    def _reached(
        self, positions: NDArray[np.int64], moments: DecisionMoments
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Whether the user's next event at one of ``positions`` is within a day, or later within the horizon."""
        seconds = self._decisions.seconds_until(positions, moments)
        within = seconds <= self._horizon_seconds
        return within & (seconds <= DAY_SECONDS), within & (seconds > DAY_SECONDS)


def _nearer_to_nothing(visits: TreatedEffect, lives: TreatedEffect) -> TreatedEffect:
    """What is taken for the effect within a day: the smaller of two, nothing where they contradict each other.

    Against any time, whatever is done within visits seems to lead to what follows in them. Against moments of something
    else, whatever is not the cause seems to keep from the goal, as the cause is among the others.
    """
    one, other = float(visits.effect[_NEAR]), float(lives.effect[_NEAR])
    if one * other <= 0.0:
        return TreatedEffect(np.zeros_like(lives.effect), np.zeros_like(lives.influence), lives.used)
    return visits if abs(one) <= abs(other) else lives
