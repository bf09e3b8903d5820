"""Inputs of many kernels at the same moments: the same as those of each kernel on its own."""

from __future__ import annotations

import numpy as np
import pytest

from nextbest.domain.actions import Action
from nextbest.scoring.kernels import DAY_SECONDS, Kernel
from nextbest.training import table as training_table
from nextbest.training.table import EventTable, InputReader, Moments, inputs_of

KERNELS = [
    Kernel(),
    Kernel("time", "exponential", 30.0, 0.5),
    Kernel("rank", "power", 0.5, 0.5, 1.0),
    Kernel("time", "power", 1.0, 1.0, 0.5),
]


@pytest.fixture(scope="module")
def table() -> EventTable:
    """300 events of 20 users, of whom the last has none, with equal times and repeated actions."""
    random = np.random.default_rng(5)
    actions = tuple(Action("order", f"item-{number}") for number in range(7))
    users, which = random.integers(0, 19, 300), random.integers(0, 7, 300)
    times = random.integers(0, 60, 300) * DAY_SECONDS / 2
    return EventTable.from_codes([f"user-{number:02}" for number in range(20)], actions, users, which, times)


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
@pytest.mark.parametrize("kept_events", [0, 1_000_000])
def test_inputs_are_those_of_each_kernel_alone(
    table: EventTable, kernel: Kernel, kept_events: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_table, "_KEPT_EVENTS", kept_events)
    moments = Moments.at(table, np.arange(20), 25 * DAY_SECONDS)
    reader = InputReader(table, moments)

    for other in KERNELS:  # in whatever order kernels are asked for
        reader.inputs(other).data *= 0.0
    inputs, alone = reader.inputs(kernel), inputs_of(table, moments, kernel)

    assert inputs.dtype == np.float32
    assert inputs.has_canonical_format
    np.testing.assert_array_equal(inputs.indptr, alone.indptr)
    np.testing.assert_array_equal(inputs.indices, alone.indices)
    np.testing.assert_allclose(inputs.data, alone.data, rtol=1e-6)


def test_no_moments_have_no_inputs(table: EventTable) -> None:
    nobody = Moments.at(table, np.zeros(0, np.int64), 0.0)

    for kernel in KERNELS:
        assert InputReader(table, nobody).inputs(kernel).shape == (0, 7)
