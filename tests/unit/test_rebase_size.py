"""A rebase that does not fit into one invocation is refused, with the reason."""

from __future__ import annotations

import pytest

from nextbest.errors import QuotaExceeded
from nextbest.logic.rebase_size import RebaseSize

GB = 2**30


@pytest.mark.parametrize(
    ("size", "memory_bytes"),
    [
        (RebaseSize(1, 1, 1), 1024 * 2**20),
        (RebaseSize(600_000, 12_000, 12_000), 3008 * 2**20),
        (RebaseSize(2_000_000, 200_000, 5_000), 3008 * 2**20),
    ],
    ids=["one event", "what bench-training trains", "two million events"],
)
def test_what_was_measured_to_fit_fits(size: RebaseSize, memory_bytes: float) -> None:
    size.check(memory_bytes)


@pytest.mark.parametrize(
    ("size", "memory_bytes", "reason"),
    [
        (RebaseSize(2_000_000, 200_000, 12_000), 1 * GB, "2,000,000 events, 200,000 users, 12,000 actions would take"),
        (RebaseSize(500_000_000), 10 * GB, "500,000,000 events would take about"),
        (
            RebaseSize(5_000_000, 5_000_000, 100),
            100 * GB,
            "and it has 100.0 GB and 15 minutes: see RebaseMemoryMegabytes",
        ),
    ],
    ids=["memory", "events", "minutes"],
)
def test_what_does_not_fit_is_refused_with_what_it_would_take(
    size: RebaseSize, memory_bytes: float, reason: str
) -> None:
    with pytest.raises(QuotaExceeded, match="too large for a rebase in one invocation") as refused:
        size.check(memory_bytes)

    assert reason in refused.value.message
