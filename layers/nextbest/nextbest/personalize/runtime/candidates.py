"""The actions that GetActionRecommendations chooses from, as arrays: made once per model and catalogue.

Where a program has an Actions dataset, its actions are the candidates, and nothing else. Without one an asset is a
candidate when the model or the user knows it by an action whose event type is neither NOT_TAKEN nor VIEWED nor an
item's, or when it is in the catalogue and no item. Source: docs/contracts/personalize.md, section 7. Hot path: standard
library and numpy.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cached_property
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from nextbest.domain.assets import CREATION, EXPIRY, REPEAT_FREQUENCY, VALUE
from nextbest.domain.catalogue import Catalogue
from nextbest.domain.events import DAY_SECONDS
from nextbest.domain.history import History
from nextbest.filters import FilterColumns
from nextbest.filters.interactions import normalised_event_type
from nextbest.personalize.datasets.sources import NOT_TAKEN, VIEWED, is_action, is_item
from nextbest.scoring import Model

_NOT_RECOMMENDED = frozenset(map(normalised_event_type, (NOT_TAKEN, VIEWED)))


@dataclass(frozen=True, eq=False)
class Candidates:
    """Candidate assets in one order, shape (assets,), and the rows of the model's actions among them.

    ``row_of_action`` (model actions,) is the row of each action's asset, -1 for an action that is not recommended.
    ``learned`` is true for assets that the model can score. ``expires_at`` and ``created_at`` are seconds since 1970
    (infinite where unknown), ``repeat_seconds`` how long an action is held back after the user interacted with it, by
    asset id. Actions of ``item_event_types`` are those of items, as are the assets ``items``; ``of_dataset`` is whether
    there is an Actions dataset.
    Equal likelihoods are ordered by ``value``, then by ``tie_break``, a number drawn from the asset's id.
    """

    asset_ids: Sequence[str]
    columns: FilterColumns
    row_of_action: NDArray[np.int64]
    learned: NDArray[np.bool_]
    expires_at: NDArray[np.float64]
    created_at: NDArray[np.float64]
    value: NDArray[np.float64]
    tie_break: NDArray[np.float64]
    repeat_seconds: dict[str, float]
    item_event_types: AbstractSet[str]
    items: AbstractSet[str]
    of_dataset: bool

    @cached_property
    def recommended_actions(self) -> NDArray[np.int64]:
        """Places of the model's actions that are recommended."""
        return np.flatnonzero(self.row_of_action >= 0)

    @cached_property
    def recommended_rows(self) -> NDArray[np.int64]:
        """The row of the asset of each of ``recommended_actions``."""
        return self.row_of_action[self.recommended_actions]

    @cached_property
    def best_action_is_only_one(self) -> bool:
        """Whether no asset is known by two actions."""
        return len(self.recommended_actions) == int(self.learned.sum())

    @cached_property
    def learned_rows(self) -> NDArray[np.int64]:
        """Rows of the assets that the model can score, ascending."""
        return np.flatnonzero(self.learned)

    @cached_property
    def place_of_row(self) -> NDArray[np.int64]:
        """The place of each row among ``learned_rows``, -1 where it is none of them."""
        return np.where(self.learned, np.cumsum(self.learned) - 1, -1)

    @cached_property
    def learned_tie_break(self) -> NDArray[np.float64]:
        """``tie_break`` of ``learned_rows``."""
        return self.tie_break[self.learned_rows]

    @cached_property
    def _actions_by_row(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """``recommended_actions`` in the order of their rows, and where those of each of ``learned_rows`` begin."""
        order = np.argsort(self.recommended_rows, kind="stable")
        starts = np.searchsorted(self.recommended_rows[order], self.learned_rows)
        return self.recommended_actions[order], starts

    @cached_property
    def _is_in_order_of_actions(self) -> bool:
        """Whether the rows are the model's actions, one by one."""
        return np.array_equal(self._actions_by_row[0], np.arange(self.row_of_action.shape[0]))

    def best_scores(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """The best of the ``scores`` (model actions or more,) of each asset's actions, shape (learned rows,). Not to be
        written to: it may be ``scores`` itself."""
        actions, starts = self._actions_by_row
        of_actions = scores[: actions.shape[0]] if self._is_in_order_of_actions else scores.take(actions)
        if self.best_action_is_only_one:
            return of_actions
        best: NDArray[np.float64] = np.maximum.reduceat(of_actions, starts)
        return best

    @cached_property
    def is_valued(self) -> bool:
        """Whether any asset has a VALUE."""
        return bool(np.isfinite(self.value).any())

    @cached_property
    def _expires(self) -> bool:
        """Whether any asset does."""
        return bool((self.expires_at < np.inf).any())

    @classmethod
    def of(cls, model: Model | None, catalogue: Catalogue, item_event_types: AbstractSet[str]) -> Candidates:
        """The candidates of a program. Assets that only the model knows have no fields."""
        known = _recommended_assets(model, item_event_types)
        items = {asset.asset_id for asset in catalogue if is_item(asset)}
        asset_ids = [asset.asset_id for asset in catalogue if is_action(asset)]
        of_dataset = bool(asset_ids)
        if not of_dataset:
            assets = dict.fromkeys(asset_id for asset_id in known if asset_id is not None)
            assets.update(dict.fromkeys(catalogue.assets))
            asset_ids = [asset_id for asset_id in assets if asset_id not in items]
        columns = FilterColumns.of(asset_ids, catalogue)
        rows = columns.rows
        row_of_action = np.fromiter(
            (-1 if asset_id is None else rows.get(asset_id, -1) for asset_id in known), np.int64, len(known)
        )
        learned = np.zeros(len(asset_ids), np.bool_)
        learned[row_of_action[row_of_action >= 0]] = True
        repeat_days = _numbers(columns, REPEAT_FREQUENCY, 0.0)
        held_back = np.flatnonzero(repeat_days > 0).tolist()
        return cls(
            asset_ids,
            columns,
            row_of_action,
            learned,
            _numbers(columns, EXPIRY, np.inf),
            _numbers(columns, CREATION, np.inf),
            _numbers(columns, VALUE, -np.inf),
            np.fromiter((-crc32(asset_id.encode()) for asset_id in asset_ids), np.float64, len(asset_ids)),
            {asset_ids[row]: float(repeat_days[row]) * DAY_SECONDS for row in held_back},
            item_event_types,
            items,
            of_dataset,
        )

    def new_assets(self, model: Model | None, history: History) -> list[str]:
        """Assets that are no candidates only because the user was the first to do something with them since the last
        rebase, or because there was none. Where there is an Actions dataset there are none: it says what can be
        recommended."""
        if self.of_dataset or (model is not None and not model.scores_unknown):
            return []
        known, none = model.places_by_type if model is not None else {}, dict[str, int]()
        return [
            asset_id
            for event_type, asset_ids in history.actions.assets.items()
            if is_recommended(event_type, self.item_event_types)
            for asset_id in asset_ids
            if asset_id not in known.get(event_type, none)
            and asset_id not in self.columns.rows
            and asset_id not in self.items
        ]

    def is_outdated_by(self, item_event_types: AbstractSet[str] | None) -> bool:
        """Whether these are the item event types of now, where they were read, and others than the candidates'."""
        return item_event_types is not None and item_event_types != self.item_event_types

    def available(
        self, history: History, *, now: float, repeat_event_types: AbstractSet[str] | None = None
    ) -> NDArray[np.bool_]:
        """Which assets may be recommended to the user at all: neither expired nor held back (section 7.5).

        ``repeat_event_types`` (normalised) are the interactions that hold an action back; None: any.
        """
        available = self.expires_at > now if self._expires else np.ones(len(self.asset_ids), np.bool_)
        if self.repeat_seconds:
            for asset_id in self._held_back(history, now, repeat_event_types):
                available[self.columns.rows[asset_id]] = False
        return available

    def _held_back(self, history: History, now: float, event_types: AbstractSet[str] | None) -> Iterable[str]:
        newest = np.full(len(history.actions), -np.inf)
        newest[history.action_index] = history.timestamps  # times ascend, so the last write of an action is its newest
        for (event_type, asset_id), time in zip(history.actions, newest.tolist(), strict=True):
            pause = self.repeat_seconds.get(asset_id)
            if pause is None or now - time >= pause:
                continue
            if event_types is None or normalised_event_type(event_type) in event_types:
                yield asset_id


def is_recommended(event_type: str, item_event_types: AbstractSet[str]) -> bool:
    """Whether actions of this event type can be recommended."""
    return event_type not in item_event_types and normalised_event_type(event_type) not in _NOT_RECOMMENDED


def _recommended_assets(model: Model | None, item_event_types: AbstractSet[str]) -> list[str | None]:
    """The asset of each of the model's actions; None for those that are not recommended."""
    if model is None:
        return []
    verdicts = {
        event_type: is_recommended(event_type, item_event_types)
        for event_type in {event_type for event_type, _ in model.actions}
    }
    return [asset_id if verdicts[event_type] else None for event_type, asset_id in model.actions]


def _numbers(columns: FilterColumns, name: str, default: float) -> NDArray[np.float64]:
    numbers = columns.numbers(name)
    return np.where(np.isnan(numbers), default, numbers)
