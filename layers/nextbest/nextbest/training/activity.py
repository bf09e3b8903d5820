"""How many events there were each day, by type: what a person looks at first to see whether a program is alive."""

from __future__ import annotations

from typing import Any

import numpy as np

from nextbest.scoring.kernels import DAY_SECONDS
from nextbest.training.table import EventTable

DAYS = 60
MOST_EVENT_TYPES = 8


def events_a_day(table: EventTable, moment: float) -> dict[str, Any]:
    """The events of the last ``DAYS`` UTC days, the day of ``moment`` (seconds since 1970) included.

    ``first_day`` is when the first of them begins; ``event_types`` has a count a day for each of the most frequent
    types, the most frequent first; ``others`` the same for all other types together, where there are more than
    ``MOST_EVENT_TYPES``. Empty without events.
    """
    if not len(table.time):
        return {}
    first_day = int(moment // DAY_SECONDS) - DAYS + 1
    day = np.floor(table.time / DAY_SECONDS) - first_day
    inside = (day >= 0) & (day < DAYS)
    names, type_of_action = np.unique([action.event_type for action in table.actions], return_inverse=True)
    cells = type_of_action[table.action[inside]] * DAYS + day[inside].astype(np.int64)
    counts = np.bincount(cells, minlength=len(names) * DAYS).reshape(len(names), DAYS)
    order = np.argsort(-counts.sum(axis=1), kind="stable")  # equal ones in the order of their names
    chosen, rest = order[:MOST_EVENT_TYPES], order[MOST_EVENT_TYPES:]
    result: dict[str, Any] = {
        "first_day": first_day * int(DAY_SECONDS),
        "event_types": {str(names[place]): counts[place].tolist() for place in chosen.tolist()},
    }
    if len(rest):
        result["others"] = counts[rest].sum(axis=0).tolist()
    return result
