"""Choices that exploration drew, as a log that a policy which never served can be judged by.

Exploration draws actions that the served model does not know, each of a pool with the same probability. So of all
draws of one pool each is any of its actions with probability 1 / size, whatever it would have led to: a randomised
experiment.

Records have the size of a pool, not its actions. They follow from the draws: where many draws by the same model from
pools of the same size show just as many different actions, these are the pool. Where they show fewer, not all have come
up yet; where they show more, pools differed by user. Both are left out. That does not bias the rest: it depends on how
many places of a pool came up, and all of its actions are in the same position.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nextbest.lift.off_policy import LoggedChoices

Pair = tuple[str, str]
"""Event type and asset."""
_MISSED = 0.01
"""At most so many actions of a pool are expected not to have come up."""


@dataclass(frozen=True, slots=True)
class Draw:
    """One place of one answer that was drawn: for which ``user`` at which ``time`` (seconds), which ``action``, and
    from how many (``pool``). Draws with the same ``kind``, such as the model that served, may be of the same pool."""

    user: str
    time: float
    action: Pair
    pool: int
    kind: Hashable


def pools_of(draws: Iterable[Draw]) -> dict[tuple[Hashable, int], tuple[Pair, ...]]:
    """The actions of each pool, in order, by the kind of its draws and its size.

    Those that are not known are not there: all actions have to have come up, after so many draws that this was to be
    expected. After fewer, pools that differ by user could pass for one.
    """
    drawn: dict[tuple[Hashable, int], Counter[Pair]] = defaultdict(Counter)
    for draw in draws:
        drawn[draw.kind, draw.pool][draw.action] += 1
    return {
        (kind, size): tuple(sorted(counts))
        for (kind, size), counts in drawn.items()
        if len(counts) == size and size * (1.0 - 1.0 / size) ** counts.total() <= _MISSED
    }


def logged_choices(
    draws: Sequence[Draw],
    pools: Mapping[tuple[Hashable, int], tuple[Pair, ...]],
    came_true: Sequence[bool],
    weights_of: Callable[[Draw, tuple[Pair, ...]], Sequence[float]],
) -> LoggedChoices:
    """The draws whose pool is known, with what the candidate would have chosen from it.

    ``came_true`` (draws,) is the reward. ``weights_of`` is the candidate's growth weight, for the user at that time, of
    each action of the pool: it chooses the largest, equal ones with equal probability, and its growth weights are what
    it predicts. Draws of which it knows no action (all weights 0) are left out.
    """
    users: dict[str, int] = {}
    rows: list[tuple[int, float, float, float, float, float]] = []
    for draw, reward in zip(draws, came_true, strict=True):
        pool = pools.get((draw.kind, draw.pool))
        if pool is None:
            continue
        weights = np.asarray(weights_of(draw, pool), np.float64)
        best = float(weights.max())
        if best <= 0.0:
            continue
        place = pool.index(draw.action)
        chosen = weights == best
        candidate = float(chosen[place]) / int(chosen.sum())
        user = users.setdefault(draw.user, len(users))
        rows.append((user, float(reward), 1.0 / draw.pool, candidate, float(weights[place]), best))
    columns = np.array(rows, np.float64).reshape(len(rows), 6).T
    return LoggedChoices(columns[0].astype(np.int64), *columns[1:])
