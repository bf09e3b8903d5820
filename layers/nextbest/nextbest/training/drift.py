"""Drift: whether what the last model told came true since.

Before a rebase publishes a new model, the one it replaces is held against the events since it was trained: the growth
weights of the lists that it would have served then, against what was taken. A season, a campaign or a broken import
show here first. Counts alone, over a sample of users.
"""

from __future__ import annotations

import numpy as np

from nextbest.domain.event_columns import ColumnsByName, EventColumns
from nextbest.domain.history import History
from nextbest.scoring import Model, recommend
from nextbest.scoring.kernels import DAY_SECONDS
from nextbest.training.table import EventTable

_LIST_LENGTH = 10
_MOST_USERS = 500


def measure_drift(model: Model, events: EventColumns | ColumnsByName, now: float) -> dict[str, dict[str, float]]:
    """By mode, the takings of the lists of ``model`` from its training to ``now``: ``expected``, ``observed``, and the
    number of ``recommendations`` they are of. Empty where no time has passed, or nobody was known then.

    A window shorter than the horizon is expected to see 1 - (1 - growth)^(window / horizon) of each, a steady rate.
    """
    days = (now - model.trained_at) / DAY_SECONDS
    if days <= 0.0:
        return {}
    share, end = min(1.0, days / model.horizon_days), min(now, model.trained_at + model.horizon_days * DAY_SECONDS)
    columns = EventColumns.of(events)
    table = EventTable.of(of_some_users(columns, 0, len(columns.user_ids)), end)
    before, ends = (table.ends_before(float(np.nextafter(at, np.inf))) for at in (model.trained_at, end))
    users = np.flatnonzero(before > table.starts[:-1]).tolist()
    drift = {}
    for name, allow_repeats in (("repeats", True), ("discoveries", False)):
        expected, observed, recommendations = 0.0, 0, 0
        for user in users:
            history = _history(table, int(table.starts[user]), int(before[user]))
            taken = {table.actions[action] for action in table.action[before[user] : ends[user]].tolist()}
            ranked = recommend(model, history, now=model.trained_at, limit=_LIST_LENGTH, allow_repeats=allow_repeats)
            recommendations += len(ranked)
            expected += sum(1.0 - (1.0 - item.growth_weight) ** share for item in ranked)
            observed += sum((item.event_type, item.asset_id) in taken for item in ranked)
        if recommendations:
            drift[name] = {
                "expected": expected,
                "observed": float(observed),
                "recommendations": float(recommendations),
            }
    return drift


def of_some_users(events: EventColumns, first: int, users: int) -> EventColumns:
    """The events of those users who are in a sample of all ``users``, evenly chosen in the order of their ids.

    ``first`` is the place of the first user of ``events`` among all.
    """
    step = max(1, -(-users // _MOST_USERS))
    return events.select((events.user + first) % step == 0)


def _history(table: EventTable, begin: int, end: int) -> History:
    times = table.time[begin:end].tolist()
    actions = (table.actions[action] for action in table.action[begin:end].tolist())
    return History.from_events((*action, time) for action, time in zip(actions, times, strict=True))
