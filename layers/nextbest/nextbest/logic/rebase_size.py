"""Whether a rebase fits into one invocation of the function: an estimate from measurements (docs/scale.md)."""

from __future__ import annotations

from dataclasses import dataclass

from nextbest.domain.rebase_status import RUN_SECONDS
from nextbest.errors import QuotaExceeded

_BASE_BYTES = 200e6
_EVENT_BYTES, _USER_BYTES = 130.0, 300.0
_PART_BYTES = 250e6
"""Segments are made and written part by part, 10,000 users at a time; of all users only their ids stay."""
_ACTION_PAIR_BYTES, _DENSE_ACTIONS = 5.0, 12_000
_EXAMPLE_BYTES, _MOST_EXAMPLE_BYTES = 3_500.0, 1.3e9
"""What training makes of each event; it thins its examples where there are many."""
_TRAINING_SECONDS, _EVENT_SECONDS, _USER_SECONDS = 400.0, 40e-6, 1.2e-3
_LAST_SECONDS = 30.0
"""For what comes after the users are scored, and for a machine that is slow just then."""


class NeedsSpark(Exception):
    """Raised where a program is too large for one invocation of the function, and Spark is deployed for those."""


@dataclass(frozen=True, slots=True)
class RebaseSize:
    """What a rebase has to do with, as far as it is known; the estimates are those of a rebase on two cores."""

    events: int
    users: int = 0
    actions: int = 0

    @property
    def memory_bytes(self) -> float:
        """The peak: events as columns, ids, and what the training makes of them, or a part of the segments."""
        fits = _ACTION_PAIR_BYTES * min(self.actions, _DENSE_ACTIONS) ** 2
        examples = min(_EXAMPLE_BYTES * self.events, _MOST_EXAMPLE_BYTES)
        kept = _BASE_BYTES + _EVENT_BYTES * self.events + _USER_BYTES * self.users
        return kept + max(fits + examples, _PART_BYTES)

    @property
    def seconds(self) -> float:
        """Reading, training (small programs do not take all of its time), and scoring everybody; histories that have
        to be rebuilt are not in it, as they can wait for the next rebase."""
        return _EVENT_SECONDS * self.events + _USER_SECONDS * self.users + min(_TRAINING_SECONDS, 1e-3 * self.events)

    def check(self, memory_bytes: float, *, spark_above_events: int = 0) -> None:
        """Raise QuotaExceeded where that does not fit into one invocation with so much memory.

        Where Spark is deployed (``spark_above_events`` is not 0), raise NeedsSpark instead, and also above so many
        events.
        """
        fits = self.memory_bytes <= memory_bytes and self.seconds <= RUN_SECONDS
        if spark_above_events and (not fits or self.events > spark_above_events):
            raise NeedsSpark(f"{self.events:,} events or more are too many for one invocation")
        if fits:
            return
        counts = {"events": self.events, "users": self.users, "actions": self.actions}
        listed = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)
        raise QuotaExceeded(
            f"this program is too large for a rebase in one invocation: {listed} would take about "
            f"{_amounts(self.memory_bytes, self.seconds)}, and it has {_amounts(memory_bytes, RUN_SECONDS)}: "
            "see RebaseMemoryMegabytes, SparkAboveEvents and docs/scale.md"
        )


def scoring_seconds(users: int) -> float:
    """What a rebase has to keep for scoring so many users."""
    return _USER_SECONDS * users + _LAST_SECONDS


def _amounts(memory_bytes: float, seconds: float) -> str:
    return f"{memory_bytes / 2**30:.1f} GB and {seconds / 60:.0f} minutes"
