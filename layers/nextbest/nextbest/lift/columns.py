"""Columns of an experiment from decisions and outcomes, one after the other: names in, indices and numbers out."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nextbest.lift.attribution import ANY_ACTION, NOT_NAMED, DecisionColumns, OutcomeColumns


@dataclass(frozen=True, slots=True)
class ExperimentColumns:
    """The ``decisions`` of one experiment, the ``variant`` of each (decisions,), and ``outcomes`` of their users, also
    those from before the start. ``growth_weight`` and ``propensity`` (shown,) belong to the shown actions."""

    decisions: DecisionColumns
    variant: NDArray[np.int64]
    outcomes: OutcomeColumns
    growth_weight: NDArray[np.float64]
    propensity: NDArray[np.float64]


@dataclass(slots=True)
class ColumnsBuilder:
    """Takes decisions first and then outcomes, in any order of time; ``variants`` are the names, the baseline first.

    Outcomes of users without a decision are passed over, so that a whole event log may be put in.
    """

    variants: Sequence[str]
    _users: dict[str, int] = field(default_factory=dict)
    _actions: dict[tuple[str, str], int] = field(default_factory=dict)
    _recommendations: dict[str, int] = field(default_factory=dict)
    _decisions: _Rows = field(default_factory=lambda: _Rows("qdqq"))
    _shown: array[int] = field(default_factory=lambda: array("q"))
    _growth_weight: array[float] = field(default_factory=lambda: array("d"))
    _propensity: array[float] = field(default_factory=lambda: array("d"))
    _ends: array[int] = field(default_factory=lambda: array("q", [0]))
    _outcomes: _Rows = field(default_factory=lambda: _Rows("qdqdq"))

    def add_decision(
        self,
        *,
        user: str,
        time: float,
        recommendation_id: str,
        variant: str,
        actions: Iterable[tuple[str, str, float, float, float]],
    ) -> None:
        """One decision; ``actions`` are (event type, asset id, growth weight, base weight, propensity), as in records.

        Raises ``ValueError`` for a variant that the experiment does not have.
        """
        if variant not in self.variants:
            raise ValueError(f"variant {variant!r}: the experiment has {', '.join(self.variants)}")
        for event_type, asset_id, growth_weight, _, propensity in actions:
            self._shown.append(self._actions.setdefault((event_type, asset_id), len(self._actions)))
            self._growth_weight.append(growth_weight)
            self._propensity.append(propensity)
        self._ends.append(len(self._shown))
        self._decisions.add(
            self._users.setdefault(user, len(self._users)),
            time,
            self._recommendations.setdefault(recommendation_id, len(self._recommendations)),
            self.variants.index(variant),
        )

    def add_outcome(
        self,
        *,
        user: str,
        time: float,
        action: tuple[str, str] | None = None,
        value: float = 1.0,
        recommendation_id: str | None = None,
    ) -> None:
        """One outcome; ``action`` is (event type, asset id), or None where any decision may be credited with it."""
        row = self._users.get(user)
        if row is None:
            return
        number = ANY_ACTION if action is None else self._actions.setdefault(action, len(self._actions))
        named = NOT_NAMED if recommendation_id is None else self._recommendations.get(recommendation_id, NOT_NAMED)
        self._outcomes.add(row, time, number, value, named)

    def build(self) -> ExperimentColumns:
        """The columns of everything that was added."""
        user, time, recommendation, variant = self._decisions.columns()
        return ExperimentColumns(
            DecisionColumns(user, time, recommendation, np.array(self._ends), np.array(self._shown)),
            variant,
            OutcomeColumns(*self._outcomes.columns()),
            np.array(self._growth_weight),
            np.array(self._propensity),
        )


class _Rows:
    """Columns that grow, by type code: ``q`` for indices, ``d`` for numbers."""

    def __init__(self, codes: str) -> None:
        self._columns: list[array[Any]] = [array(code) for code in codes]

    def add(self, *values: float) -> None:
        for column, value in zip(self._columns, values, strict=True):
            column.append(value)

    def columns(self) -> list[NDArray[Any]]:
        return [np.array(column) for column in self._columns]
