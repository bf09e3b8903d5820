"""Kernels: how much an event weighs by its age, and how a user's events become the input of the model.

    x_j = (Σ_{events with action j} κ(age))^damping / (Σ_k (Σ κ)^damping)^share

The age of an event is measured on one of two clocks: days before now, or how many of the user's events are newer.
κ is an exponential half-life, 0.5^(age / scale), or a power law, (1 + age)^(-scale). Sources: PISA and ACT-R for the
power law; Hu et al. 2020 (TIFU-kNN) for decay by rank; ``docs/scoring.md`` for what each is worth.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nextbest.domain.events import DAY_SECONDS as DAY_SECONDS

STALE_DAYS = 7.0
"""After so many days without any event, ages count from the last one."""


def moment_of(now: float, last_event_at: float) -> float:
    """The time to weigh events at: ``now``, or the last event's where nothing happened for ``STALE_DAYS``.

    Years after the last event every weight has decayed to nothing and all scores would be equal; what was next at that
    time is then the best recommendation there is. Both in seconds since 1970.
    """
    return now if now - last_event_at <= STALE_DAYS * DAY_SECONDS else last_event_at


@dataclass(frozen=True, slots=True)
class Kernel:
    """One way to weigh events.

    ``scale`` is a half-life in days (clock ``time``) or in events (clock ``rank``) where ``shape`` is exponential, and
    the exponent where it is a power law. ``damping`` in (0, 1] flattens counts; ``share`` in [0, 1] divides by the
    user's total raised to it (1 makes the inputs of every user sum to one).
    """

    clock: Literal["time", "rank"] = "time"
    shape: Literal["exponential", "power"] = "exponential"
    scale: float = 365.0
    damping: float = 1.0
    share: float = 0.0

    def event_weights(self, ages_days: NDArray[np.float64], ranks: NDArray[np.float64]) -> NDArray[np.float64]:
        """κ of each event, from its age in days and its rank (events strictly newer); both of shape (n,)."""
        ages = ages_days if self.clock == "time" else ranks
        if self.shape == "power":
            return np.asarray((1.0 + ages) ** -self.scale, np.float64)
        return np.asarray(np.exp2(ages * (-1.0 / self.scale)), np.float64)

    def to_json(self) -> dict[str, Any]:
        """The settings, JSON-able."""
        return asdict(self)

    def __str__(self) -> str:
        unit = ("d" if self.clock == "time" else " events") if self.shape == "exponential" else ""
        return f"{self.clock} {self.shape} {self.scale:g}{unit}, damping {self.damping:g}, share {self.share:g}"


def ranks_of(timestamps: NDArray[np.float64]) -> NDArray[np.float64]:
    """How many events are strictly newer than each; equal times (a basket) have equal rank, so the order within a
    basket has no effect. ``timestamps`` ascending, shape (n,)."""
    size = timestamps.shape[0]
    ranks: NDArray[np.float64] = (size - np.searchsorted(timestamps, timestamps, side="right")).astype(np.float64)
    return ranks


def damp(sums: NDArray[np.float64], damping: float, share: float) -> NDArray[np.float64]:
    """One user's sums per action, damped and divided by their total; shape (n,)."""
    weights = sums if damping == 1.0 else sums**damping
    if share:
        total = weights.sum()
        if total > 0.0:
            weights = weights * (total**-share)
    return weights
