"""How an experiment came to its result: users and outcomes of each variant by day, for a plot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from nextbest.lift.windows import UserWindows
from nextbest.scoring.kernels import DAY_SECONDS

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class DayOutcomes:
    """One variant by the end of one ``day`` (UTC): the ``users`` whose horizon was over by then, how many of them had
    ``outcomes``, and the summed ``value`` of these. The rate is outcomes / users, the mean value is value / users."""

    day: str
    variant: str
    users: int
    outcomes: int
    value: float

    def to_json(self) -> dict[str, object]:
        """A JSON object."""
        return {
            "day": self.day,
            "variant": self.variant,
            "users": self.users,
            "outcomes": self.outcomes,
            "value": self.value,
        }


def outcomes_by_day(
    names: Sequence[str], variant: Integers, windows: UserWindows, count: Integers, value: Floats, *, now: float
) -> tuple[DayOutcomes, ...]:
    """Every day from the one on which the first user's horizon was over to that of ``now``, each variant of ``names``.

    ``variant`` (users,) indexes ``names``; ``count`` and ``value`` (users,) are the outcomes in the user's window.
    """
    done = windows.complete
    if not done.any():
        return ()
    day = np.floor(windows.closes[done] / DAY_SECONDS).astype(np.int64)
    first, last = int(day.min()), int(now // DAY_SECONDS)
    size = (last - first + 1, len(names))
    place = (day - first) * len(names) + variant[done]

    def cumulative(weights: Floats) -> Floats:
        return np.bincount(place, weights, minlength=size[0] * size[1]).reshape(size).cumsum(axis=0)

    users = cumulative(np.ones(len(place)))
    outcomes, values = cumulative((count[done] > 0).astype(np.float64)), cumulative(value[done])
    return tuple(
        DayOutcomes(
            datetime.fromtimestamp((first + row) * DAY_SECONDS, UTC).date().isoformat(),
            name,
            int(users[row, column]),
            int(outcomes[row, column]),
            float(values[row, column]),
        )
        for row in range(size[0])
        for column, name in enumerate(names)
    )
