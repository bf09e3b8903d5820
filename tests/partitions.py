"""Users in several partitions, as a cluster has them, and whether two models are the same."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from nextbest.domain.actions import Action
from nextbest.domain.history import History
from nextbest.scoring import Model, recommend
from nextbest.training.partitions import Block, Partition
from nextbest.training.table import EventTable

Result = TypeVar("Result")


class DividedUsers:
    """The users of ``table``, divided where ``bounds`` (indices of users, ascending) say.

    Partitions, functions and results travel as they do between processes: pickled, and nothing is kept of them.
    """

    def __init__(self, table: EventTable, bounds: Sequence[int]) -> None:
        self.actions: tuple[Action, ...] = table.actions
        cuts = pairwise([0, *bounds, table.user_count])
        self._partitions = [
            pickle.dumps(Partition(number, some_users(table, np.arange(begin, end))))
            for number, (begin, end) in enumerate(cuts)
        ]

    def each(self, function: Callable[[Partition], Result]) -> list[Result]:
        sent = pickle.dumps(function)
        results: list[Result] = []
        for partition in self._partitions:
            result = pickle.loads(sent)(pickle.loads(partition))
            results.append(pickle.loads(pickle.dumps(result)))
        return results

    def total(self, function: Callable[[Partition], Mapping[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
        parts = self.each(function)
        assert all(array.dtype in (np.float64, np.int64) for part in parts for array in part.values())
        return {name: np.sum([part[name] for part in parts], axis=0) for name in parts[0]}

    def blocks(
        self, function: Callable[[Partition], Iterable[tuple[int, Block]]], finish: Callable[[int, Block], Result]
    ) -> Iterator[tuple[int, Result]]:
        parts = [list(pickle.loads(pickle.dumps(function))(pickle.loads(each))) for each in self._partitions]
        for blocks in zip(*parts, strict=True):
            [number] = {number for number, _ in blocks}
            total = blocks[0][1]
            for _, block in blocks[1:]:
                total = total + block
            yield number, pickle.loads(pickle.dumps(finish))(number, total)


def some_users(table: EventTable, users: NDArray[np.int64]) -> EventTable:
    """The events of ``users`` (indices, ascending) alone, with the actions of all."""
    chosen = np.flatnonzero(np.isin(table.user, users))
    user = np.searchsorted(users, table.user[chosen])
    ids = [table.user_ids[place] for place in users.tolist()]
    return EventTable.from_codes(ids, table.actions, user, table.action[chosen], table.time[chosen])


def assert_same_model(one: Model, other: Model) -> None:
    """The same blends, calibrations and report, the same entries, and weights to one in a million."""
    assert one.report == other.report
    _assert_close(one, other, "model")


def assert_same_lists(one: Model, other: Model, table: EventTable) -> None:
    """The same ten recommendations for every user."""
    for begin, end in pairwise(table.starts.tolist()):
        actions = [table.actions[action] for action in table.action[begin:end].tolist()]
        history = History.from_events(
            (*action, time) for action, time in zip(actions, table.time[begin:end], strict=True)
        )
        for allow_repeats in (True, False):
            lists = [
                [
                    (item.event_type, item.asset_id)
                    for item in recommend(model, history, now=one.trained_at, limit=10, allow_repeats=allow_repeats)
                ]
                for model in (one, other)
            ]
            assert lists[0] == lists[1]


def _assert_close(one: Any, other: Any, name: str) -> None:
    assert type(one) is type(other), name
    if is_dataclass(one):
        for field in fields(one):
            _assert_close(getattr(one, field.name), getattr(other, field.name), f"{name}.{field.name}")
    elif isinstance(one, tuple):
        assert len(one) == len(other), name
        for place, (each, its_other) in enumerate(zip(one, other, strict=True)):
            _assert_close(each, its_other, f"{name}[{place}]")
    elif isinstance(one, np.ndarray | float):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6, err_msg=name)
    else:
        assert one == other, name
