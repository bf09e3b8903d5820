"""How many events there were each day, by type: what a person looks at first to see whether a program is alive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nextbest.domain.actions import Action
from nextbest.scoring.kernels import DAY_SECONDS
from nextbest.training.partitions import Partition, Partitions

DAYS = 60
MOST_EVENT_TYPES = 8


def events_a_day(partitions: Partitions, moment: float) -> dict[str, Any]:
    """The events of the last ``DAYS`` UTC days, the day of ``moment`` (seconds since 1970) included.

    ``first_day`` is when the first of them begins; ``event_types`` has a count a day for each of the most frequent
    types, the most frequent first; ``others`` the same for all other types together, where there are more than
    ``MOST_EVENT_TYPES``. Empty without events.
    """
    first_day = int(moment // DAY_SECONDS) - DAYS + 1
    totals = partitions.total(_EventsByDay(first_day))
    if not totals["events"].any():
        return {}
    names, counts = _event_types(partitions.actions)[0], totals["by_type"]
    order = np.argsort(-counts.sum(axis=1), kind="stable")  # equal ones in the order of their names
    chosen, rest = order[:MOST_EVENT_TYPES], order[MOST_EVENT_TYPES:]
    result: dict[str, Any] = {
        "first_day": first_day * int(DAY_SECONDS),
        "event_types": {str(names[place]): counts[place].tolist() for place in chosen.tolist()},
    }
    if len(rest):
        result["others"] = counts[rest].sum(axis=0).tolist()
    return result


@dataclass(frozen=True, slots=True)
class _EventsByDay:
    """The number of ``events``, and those of each day ``by_type``, shape (event types, ``DAYS``)."""

    first_day: int

    def __call__(self, partition: Partition) -> dict[str, NDArray[np.int64]]:
        table = partition.table
        day = np.floor(table.time / DAY_SECONDS) - self.first_day
        inside = (day >= 0) & (day < DAYS)
        names, type_of_action = _event_types(table.actions)
        cells = type_of_action[table.action[inside]] * DAYS + day[inside].astype(np.int64)
        counts = np.bincount(cells, minlength=len(names) * DAYS).reshape(len(names), DAYS)
        return {"events": np.array([len(table.time)]), "by_type": counts}


def _event_types(actions: Sequence[Action]) -> tuple[NDArray[np.str_], NDArray[np.int64]]:
    """The names of all event types, and the index of that of each action."""
    return np.unique([action.event_type for action in actions], return_inverse=True)
