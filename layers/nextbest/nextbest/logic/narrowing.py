"""Narrowing: the actions that one request is about, as masks over the model's actions and over any others.

The filter language speaks of assets, so an action passes a filter if its asset does. Bound filters, and the assets as
columns, are kept between requests.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nextbest.domain.actions import Narrowing
from nextbest.domain.catalogue import Catalogue
from nextbest.domain.history import History
from nextbest.errors import InvalidInput
from nextbest.filters import BoundFilter, FilterColumns, Interactions, Schema, bind, evaluate, parse
from nextbest.filters.stored import FILTER_NAME, bind_stored
from nextbest.logic.event_types import require_known
from nextbest.scoring import Model
from nextbest.store.base import FILTER, ProgramState, UserRead
from nextbest.store.cache import LruCache

_EXPRESSION = re.compile(r"(?:INCLUDE|EXCLUDE)\s", re.IGNORECASE)

Mask = NDArray[np.bool_]


class Masks(Protocol):
    """The actions that an answer may hold, as masks."""

    def of_model(self, model: Model) -> Mask:
        """Which actions of the model, shape (actions,)."""
        ...

    def of_actions(self, actions: Sequence[tuple[str, str]]) -> Mask:
        """Which of these actions, shape (actions,)."""
        ...


class Narrower:
    """Makes masks of narrowings; caches what they have in common."""

    def __init__(self) -> None:
        self._filters: LruCache[tuple[object, BoundFilter]] = LruCache(256)
        self._columns: LruCache[tuple[str, int, _ModelColumns]] = LruCache(8)

    @staticmethod
    def resources_of(narrowing: Narrowing) -> list[tuple[str, str]]:
        """What has to be read of the program, by kind and name: the filter, where it is a named one."""
        return [(FILTER, narrowing.filter)] if FILTER_NAME.fullmatch(narrowing.filter) else []

    def narrowed(
        self,
        narrowing: Narrowing,
        user: UserRead,
        state: ProgramState,
        catalogue: Catalogue,
        served: tuple[str, Model] | None,
    ) -> Narrowed:
        """The narrowing for one user. ``served`` are the model and its version, None before the first rebase.

        Raises InvalidInput, whose field is that of ``Narrowing`` or a name of the filters' own.
        """
        history = user.history or History.empty()
        if served is not None:
            _check_event_types(narrowing, {*served[1].type_index, *history.actions.event_types})
        bound = self._bound(narrowing, user, state, catalogue)
        columns = None
        if bound is not None and served is not None:
            columns = self._columns_of(state, served, catalogue)
        interactions = Interactions.of(history) if bound is not None and bound.reads_interactions else Interactions()
        passing = _Passing(bound, narrowing.filter_values, interactions, user.attributes, catalogue)
        return Narrowed(narrowing, passing, columns)

    def _bound(
        self, narrowing: Narrowing, user: UserRead, state: ProgramState, catalogue: Catalogue
    ) -> BoundFilter | None:
        text, incarnation = narrowing.filter, state.program.incarnation
        if not text:
            return None
        source: object
        if _EXPRESSION.match(text):
            place, source = f"{incarnation} {text}", catalogue.revision
        else:
            place, source = f"{incarnation}/{text}", user.resources.get((FILTER, text))
            if source is None:
                raise InvalidInput(
                    f"The program has no filter {text!r}: CreateFilter makes one, and an expression begins with "
                    "INCLUDE or EXCLUDE",
                    field="filter",
                )
        cached = self._filters.get(place)
        if cached is None or cached[0] != source:
            cached = source, _bind(source, text, catalogue)
            self._filters.put(place, cached)
        bound = cached[1]
        unknown = narrowing.filter_values.keys() - {*bound.required, *bound.optional}
        if unknown:
            raise InvalidInput(f"The filter has no parameter {min(unknown)!r}", field="filterValues")
        return bound

    def _columns_of(self, state: ProgramState, served: tuple[str, Model], catalogue: Catalogue) -> _ModelColumns:
        version, model = served
        cached = self._columns.get(state.model_place)
        if cached is None or cached[:2] != (version, catalogue.revision):
            cached = version, catalogue.revision, _ModelColumns.of(model, catalogue)
            self._columns.put(state.model_place, cached)
        return cached[2]


def _bind(source: object, text: str, catalogue: Catalogue) -> BoundFilter:
    return bind_stored(source) if isinstance(source, Mapping) else bind(parse(text), Schema.implicit(catalogue))


def _check_event_types(narrowing: Narrowing, known: set[str]) -> None:
    for field, event_types in (
        ("event_types", narrowing.event_types),
        ("exclude_event_types", narrowing.exclude_event_types),
    ):
        require_known(event_types, known, field=field)


@dataclass(frozen=True, slots=True)
class _ModelColumns:
    """The assets of a model's actions as columns; ``rows`` (actions,) is the row of each action's asset."""

    columns: FilterColumns
    rows: NDArray[np.int64]

    @classmethod
    def of(cls, model: Model, catalogue: Catalogue) -> _ModelColumns:
        columns = FilterColumns.of(dict.fromkeys(asset_id for _, asset_id in model.actions), catalogue)
        rows = np.fromiter((columns.rows[asset_id] for _, asset_id in model.actions), np.int64, len(model.actions))
        return cls(columns, rows)


@dataclass(frozen=True, slots=True)
class _Passing:
    """Which assets pass the filter, for one user."""

    bound: BoundFilter | None
    values: Mapping[str, str]
    interactions: Interactions
    attributes: Mapping[str, Any] | None
    catalogue: Catalogue

    def mask(self, columns: FilterColumns) -> Mask:
        if self.bound is None:
            return np.ones(len(columns), np.bool_)
        return evaluate(self.bound, self.values, columns, interactions=self.interactions, user=self.attributes)


@dataclass(frozen=True, slots=True)
class Narrowed:
    """A narrowing for one user."""

    narrowing: Narrowing
    passing: _Passing
    columns: _ModelColumns | None

    def of_model(self, model: Model) -> Mask:
        """Which actions of the model the request is about, shape (actions,)."""
        narrowing = self.narrowing
        mask = np.ones(len(model.actions), np.bool_)
        if narrowing.event_types:
            mask[:] = False
            mask[model.places_of(narrowing.event_types)] = True
        mask[model.places_of(narrowing.exclude_event_types)] = False
        if self.columns is not None:
            mask &= self.passing.mask(self.columns.columns)[self.columns.rows]
        return mask

    def of_actions(self, actions: Sequence[tuple[str, str]]) -> Mask:
        """Which of these actions the request is about, shape (actions,): for those that the model does not know."""
        wanted, left_out = self.narrowing.event_types, self.narrowing.exclude_event_types
        columns = FilterColumns.of(dict.fromkeys(asset_id for _, asset_id in actions), self.passing.catalogue)
        passes = self.passing.mask(columns).tolist()
        verdicts = (
            (not wanted or event_type in wanted) and event_type not in left_out and passes[columns.rows[asset_id]]
            for event_type, asset_id in actions
        )
        return np.fromiter(verdicts, np.bool_, len(actions))
