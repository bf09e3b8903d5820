"""Selecting the best few is the same as sorting everything, whatever is equal."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from nextbest.scoring.selection import kth_largest, strongest

SIZES = (1, 2, 9, 1000, 20_000, 70_001)
SHAPES = ("distinct", "equal", "few above the rest", "few levels", "mostly -inf", "best in one slice", "ascending")


def drawn(shape: str, size: int) -> NDArray[np.float64]:
    random = np.random.default_rng(size)
    values = random.random(size)
    if shape == "equal":
        values[:] = 0.5
    elif shape == "few above the rest":
        values = np.where(values < 0.001, 1.0 + values, 0.3)
    elif shape == "few levels":
        values = np.round(values, 1)
    elif shape == "mostly -inf":
        values[values < 0.999] = -np.inf
    elif shape == "best in one slice":
        values[:: max(size // 64, 1)] += 10.0
    elif shape == "ascending":
        values.sort()
    return values


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("limit", [1, 10, 100, 200_000])
def test_the_selection_is_the_head_of_the_sorted_whole(shape: str, size: int, limit: int) -> None:
    # Given values with a second key that is often equal too
    values = drawn(shape, size)
    ties = np.random.default_rng(size + 1).integers(0, max(size // 2, 1), size).astype(np.float64)
    # When the best are selected
    chosen = strongest(limit, values, ties)
    # Then they are the first of all in that order, equal ones in the order of their places, and none at -inf
    whole = np.lexsort((-ties, -values))
    np.testing.assert_array_equal(chosen, whole[values[whole] > -np.inf][:limit])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("k", [1, 7, 4000, 20_000])
def test_the_kth_largest_is_that_of_the_sorted_whole(shape: str, k: int) -> None:
    values = drawn(shape, 20_000)
    assert kth_largest(values, k) == np.sort(values)[-k]


def test_a_later_key_may_be_infinite() -> None:
    values, missing = np.zeros(3), np.full(3, -np.inf)
    assert strongest(2, values, missing, np.array([1.0, 3.0, 2.0])).tolist() == [1, 2]


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_of_nothing_selects_nothing(limit: int) -> None:
    assert strongest(limit, np.ones(3)).tolist() == []
