"""Metrics of a ranking, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import sparse

from nextbest.training.metrics import held_out, hits_of, ndcg_of, ndcg_of_targets, top_lists


def test_every_metric_of_two_users_is_as_by_hand() -> None:
    # Given three actions; the first user took 0 and 2, the second took 1
    targets = sparse.csr_array(np.array([[1, 0, 1], [0, 1, 0]]))
    # When the first is shown 0, 1, 2 in this order, and the second 2, 0, and never 1
    scores = np.array([[0.9, 0.5, 0.1], [0.5, -np.inf, 0.7]], np.float32)
    found = held_out(scores, targets)
    # Then the first has hits in places 1 and 3 of at best 1 and 2, and the second has none
    first = (1 + 1 / math.log2(4)) / (1 + 1 / math.log2(3))
    for cutoff in (5, 10, 25):
        assert found[f"ndcg_at_{cutoff}"] == pytest.approx(first / 2)
    # Action 0 was recommended twice and once rightly, 1 once wrongly, 2 twice and once rightly
    assert found["precision"] == pytest.approx((1 / 2 + 0 + 1 / 2) / 3)
    # 0 and 2 were taken once and recommended to who took them, 1 was not
    assert found["recall"] == pytest.approx((1 + 0 + 1) / 3)
    assert found["coverage"] == 1.0
    # The first: 0 is above 1, 2 is not: 1 of 2. The second: 1 is under both
    assert found["auc"] == pytest.approx((1 / 2 + 0) / 2)


def test_measuring_nobody_tells_nothing() -> None:
    assert held_out(np.zeros((0, 3), np.float32), sparse.csr_array((0, 3))) == {}


def test_users_who_took_everything_have_no_area() -> None:
    found = held_out(np.array([[0.1, 0.2]], np.float32), sparse.csr_array(np.array([[1, 1]])))
    assert found["auc"] == 0.5
    assert found["ndcg_at_10"] == pytest.approx(1.0)


@pytest.mark.parametrize("size", [1, 9, 10, 11, 300])
def test_the_fast_ndcg_is_that_of_the_lists(size: int) -> None:
    random = np.random.default_rng(size)
    scores = random.random((50, size)).astype(np.float32)
    targets = sparse.csr_array(random.random((50, size)) < 0.3)
    counts = np.diff(targets.indptr)
    slow = np.where(counts > 0, ndcg_of(hits_of(top_lists(scores), targets), np.maximum(counts, 1)), 0.0)
    assert ndcg_of_targets(scores, targets)[counts > 0] == pytest.approx(slow[counts > 0])


def test_equal_scores_count_for_the_worst_of_their_places() -> None:
    scores = np.array([[0.5, 0.5, 0.1]], np.float32)
    targets = sparse.csr_array(np.array([[1, 0, 0]]))
    assert ndcg_of_targets(scores, targets)[0] == pytest.approx(1 / math.log2(3))
