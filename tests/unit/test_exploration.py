"""Exploration: who is drawn, with which propensity, and that a request's id decides it."""

from __future__ import annotations

from collections import Counter
from functools import partial
from random import Random

import pytest

from nextbest.personalize.runtime.exploration import Explored, explore


def test_the_pool_fills_free_places_each_with_places_by_pool() -> None:
    # Given 3 learned actions for 5 places, and 4 in the pool
    explored = explore([10, 11, 12, 13], learned=3, limit=5, weight=0.3, random=partial(Random, "request"))

    assert explored.learned == 3
    assert len(set(explored.rows)) == 2
    assert set(explored.rows) <= {10, 11, 12, 13}
    assert explored.propensity == 0.5
    assert explored.pool == 4


def test_all_of_a_pool_smaller_than_the_free_places_is_certain() -> None:
    explored = explore([10, 11], learned=1, limit=5, weight=0.3, random=partial(Random, "request"))

    assert sorted(explored.rows) == [10, 11]
    assert explored.propensity == 1.0


def test_the_last_place_of_a_full_list_goes_to_the_pool_as_often_as_set() -> None:
    # Given a full list of 3 and a pool of 4: each is shown with probability 0.3 / 4
    requests = 8_000
    drawn = [
        explore([10, 11, 12, 13], learned=3, limit=3, weight=0.3, random=partial(Random, f"request {number}"))
        for number in range(requests)
    ]

    shown = Counter(row for explored in drawn for row in explored.rows)
    assert {explored.propensity for explored in drawn} == {0.075}
    assert {len(explored.rows) + explored.learned for explored in drawn} == {3}
    # Then each was, within five standard deviations: sqrt(8000 · 0.075 · 0.925) = 23.6
    assert shown == {row: pytest.approx(0.075 * requests, abs=118) for row in (10, 11, 12, 13)}


@pytest.mark.parametrize(("pool", "limit", "weight"), [([10], 3, 0.0), ([10], 0, 0.3), ([], 3, 0.3)])
def test_without_anything_to_explore_the_learned_stay(pool: list[int], limit: int, weight: float) -> None:
    explored = explore(pool, learned=2, limit=limit, weight=weight, random=partial(Random, "request"))

    assert explored == Explored((), min(2, limit), 0.0, len(pool))


def test_the_same_request_id_draws_the_same() -> None:
    def draws(prefix: str) -> list[Explored]:
        return [
            explore(range(50), learned=3, limit=3, weight=0.5, random=partial(Random, f"{prefix} {n}"))
            for n in range(20)
        ]

    assert draws("request") == draws("request")
    assert draws("request") != draws("another")


@pytest.mark.parametrize(
    ("pool", "learned", "weight", "propensities"),
    [
        ([10, 11, 12, 13], 3, 0.3, [1.0, 1.0, 1.0, 0.5, 0.5]),
        ([], 5, 0.3, [1.0] * 5),
        ([10, 11], 5, 0.0, [1.0] * 5),
        ([10], 5, 1.0, [1.0] * 5),
    ],
    ids=["free places", "nothing to explore", "no exploration", "always explored"],
)
def test_each_place_has_the_probability_of_what_it_shows(
    pool: list[int], learned: int, weight: float, propensities: list[float]
) -> None:
    explored = explore(pool, learned=learned, limit=5, weight=weight, random=partial(Random, "request"))

    assert explored.propensities() == propensities


def test_the_last_place_of_a_full_list_is_as_likely_as_not_being_displaced() -> None:
    # Given a full list of 2 and a pool of 4, of which one takes the last place with probability 0.3
    drawn = [
        explore([10, 11, 12, 13], learned=2, limit=2, weight=0.3, random=partial(Random, f"{n}")) for n in range(100)
    ]

    assert {tuple(explored.propensities()) for explored in drawn if explored.rows} == {(1.0, 0.075)}
    assert {tuple(explored.propensities()) for explored in drawn if not explored.rows} == {(1.0, 0.7)}
