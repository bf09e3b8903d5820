"""What each action is worth for the program's goal, as a rebase estimated it.

The effect of an action is how much more of the goal's value the users who took it reached within the horizon than
similar users who did not (``nextbest.training.goal_effects``). It is an association, not a cause. Imported only where
a program has a goal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nextbest.domain.actions import Action
from nextbest.domain.programs import GoalEventType
from nextbest.scoring import artifact


class Basis(IntEnum):
    """Where an action's effect comes from, or why there is none. Artifacts hold the numbers."""

    GOAL = 0
    """The action reaches the goal itself: its effect is the value of its event type."""
    ASSOCIATION = 1
    """Estimated, and the interval leaves out 0."""
    UNCERTAIN = 2
    """Estimated, but the interval includes 0: the effect counts in part."""
    TOO_FEW_USERS = 3
    TOO_FEW_GOALS = 4
    NO_SIMILAR_USERS = 5
    NOT_ESTIMATED = 6
    """The action is new since the rebase, or among the rarest of very many."""


ESTIMATED = (Basis.GOAL, Basis.ASSOCIATION, Basis.UNCERTAIN)
_NUMBERS = ("effect", "standard_error", "low", "high")


@dataclass(frozen=True, slots=True)
class GoalEffects:
    """The effect of each of the model's actions on the ``goal`` that the program had at the rebase.

    ``effect``, its ``standard_error`` and its 95 % interval from ``low`` to ``high`` are in the unit of the goal's
    values, and 0 where there is no estimate. ``users`` counts those who took the action and have similar users.
    ``basis`` has the numbers of ``Basis``. All of shape (actions,).

    ``counted`` are the effects as they count in a ranking: effect · (1 - (standard_error / effect)²), and nothing
    within one standard error of 0. So chance, which is largest where users are few, does not lead the ranking (the
    positive-part rule of James and Stein, action by action).
    """

    goal: tuple[GoalEventType, ...]
    effect: NDArray[np.float64]
    standard_error: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    users: NDArray[np.uint32]
    basis: NDArray[np.uint8]
    counted: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        chance = np.divide(self.standard_error, self.effect, out=np.ones(len(self.effect)), where=self.effect != 0.0)
        counted = self.effect * np.maximum(0.0, 1.0 - np.square(chance)) + 0.0  # no negative zeros
        object.__setattr__(self, "counted", counted)

    @classmethod
    def without_estimates(cls, goal: tuple[GoalEventType, ...], actions: Sequence[Action]) -> GoalEffects:
        """The actions of the goal have its values; of all others nothing is known."""
        size = len(actions)
        values = values_of(goal, actions)
        basis = np.where(values > 0.0, Basis.GOAL, Basis.NOT_ESTIMATED).astype(np.uint8)
        return cls(goal, values, np.zeros(size), values.copy(), values.copy(), np.zeros(size, np.uint32), basis)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """What an artifact holds beside the goal."""
        return {f"goal.{name}": getattr(self, name) for name in (*_NUMBERS, "users", "basis")}

    @classmethod
    def from_arrays(cls, goal: tuple[GoalEventType, ...], arrays: dict[str, NDArray[Any]], actions: int) -> GoalEffects:
        """Inverse of ``to_arrays``. Raises KeyError, ValueError."""
        effect, error, low, high = (artifact.vector(arrays, f"goal.{name}", "f", actions) for name in _NUMBERS)
        users, basis = (artifact.vector(arrays, f"goal.{name}", "u", actions) for name in ("users", "basis"))
        if not np.isfinite([effect, error, low, high]).all() or basis.max(initial=0) >= len(Basis):
            raise ValueError("an effect on the goal is not a number, or has no known basis")
        return cls(goal, effect, error, low, high, users, basis)


def values_of(goal: Sequence[GoalEventType], actions: Sequence[Action]) -> NDArray[np.float64]:
    """The goal's value of each action's event type, 0 where the goal does not have it; shape (actions,)."""
    values = dict(goal)
    return np.fromiter((values.get(event_type, 0.0) for event_type, _ in actions), np.float64, len(actions))
