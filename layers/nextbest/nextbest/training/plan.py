"""How much work a training does: a function of the data's size and the time budget by a fixed formula, never of the
clock, so that the result is the same on every machine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nextbest.training.grid import LEARNED_KERNELS

TIME_BUDGET_SECONDS = 300.0
DENSE_LIMIT = 15_000
"""Most actions that closed forms are solved for: a matrix of 900 MB, of which a few are held at a time."""
_OPERATIONS_PER_SECOND = 5e10
"""What two cores of 2024 do in float32 linear algebra (measured)."""
_OPERATIONS_PER_CELL = 4
"""A closed form over n actions costs about 4 n³ operations."""
_TUNING_SHARE, _TUNING_SOLUTIONS = 0.3, 120
"""Share of the budget for closed forms in the search, and about how many it solves on each window."""
_FITTING_SHARE, _FITTING_SOLUTIONS = 0.6, 4
"""The same for those at full size, before each window and from all events: both modes, up to two of each."""
_SECONDS_FOR_ALL_KERNELS = 120.0
_LEAST_KERNELS = 2
_LEAST_TUNING_HEAD, _LEAST_DENSE_LIMIT = 200, 500
"""Below these sizes a closed form costs next to nothing."""
_VALIDATION_USERS = (200, 2_000)
"""Fewer leave too much to chance; more cost time and change little."""
_VALIDATION_CELLS = 12_000_000
"""Users times actions of a validation: 48 MB a score matrix."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How much to search: how many kernels, and on how many of the most frequent actions (``head``)."""

    kernels: int
    head: int


@dataclass(frozen=True, slots=True)
class Plan:
    """How much work to do for data of one size within a time budget."""

    effort: Effort
    dense_limit: int
    validation_users: int

    @classmethod
    def of(cls, actions: int, time_budget_seconds: float, windows: int = 1) -> Plan:
        """Solve the cost of the closed forms for the number of actions; they are solved on each of
        ``windows``."""
        operations = time_budget_seconds * _OPERATIONS_PER_SECOND
        tuning = (_TUNING_SHARE * operations / (_OPERATIONS_PER_CELL * _TUNING_SOLUTIONS * windows)) ** (1 / 3)
        solutions = _FITTING_SOLUTIONS * (windows + 1)
        fitting = (_FITTING_SHARE * operations / (_OPERATIONS_PER_CELL * solutions)) ** (1 / 3)
        all_kernels = len(LEARNED_KERNELS)
        affordable = all_kernels * time_budget_seconds / _SECONDS_FOR_ALL_KERNELS
        return cls(
            Effort(
                int(np.clip(affordable, _LEAST_KERNELS, all_kernels)),
                min(actions, max(_LEAST_TUNING_HEAD, int(tuning))),
            ),
            min(actions, DENSE_LIMIT, max(_LEAST_DENSE_LIMIT, int(fitting))),
            int(np.clip(_VALIDATION_CELLS // max(actions, 1), *_VALIDATION_USERS)),
        )
