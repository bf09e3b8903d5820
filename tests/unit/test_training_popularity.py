"""Popularity, and the prior made of it, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from nextbest.domain.actions import Action
from nextbest.scoring.kernels import DAY_SECONDS
from nextbest.training.learners import Prior
from nextbest.training.popularity import UserActionPairs, popularity
from nextbest.training.table import EventTable

NOW = 1_760_000_000.0
MILK, NEW = 0, 1


def pairs_of(*events: tuple[int, int, float]) -> UserActionPairs:
    """Events as (user, action, days ago)."""
    user, action, days = (np.array(column) for column in zip(*events, strict=True))
    actions = (Action("buy", "milk"), Action("buy", "new"))
    return UserActionPairs.of(EventTable.from_codes(["a", "b"], actions, user, action, NOW - days * DAY_SECONDS))


REPEATED = pairs_of((0, MILK, 40.0), (0, MILK, 20.0), (0, MILK, 0.0), (1, MILK, 30.0), (1, MILK, 0.0), (1, NEW, 10.0))


def test_users_count_by_their_last_event_and_once() -> None:
    np.testing.assert_allclose(popularity(REPEATED.decayed_users(10.0, NOW)), [1.0, 0.5 / 2.0])


def test_newcomers_count_by_their_first_event() -> None:
    milk, new = 0.5**4 + 0.5**3, 0.5
    np.testing.assert_allclose(popularity(REPEATED.decayed_users(10.0, NOW, newcomers=True)), [milk / new, 1.0])


def test_a_future_event_counts_as_one_of_now() -> None:
    assert popularity(pairs_of((0, MILK, -3.0), (1, NEW, 0.0)).decayed_users(10.0, NOW)).tolist() == [1.0, 1.0]


def test_without_events_nothing_is_popular() -> None:
    table = EventTable.from_codes([], (), np.zeros(0, int), np.zeros(0, int), np.zeros(0))
    assert popularity(UserActionPairs.of(table).decayed_users(10.0, NOW)).shape == (0,)


@pytest.mark.parametrize(
    ("prior", "text"), [(Prior(30.0), "half-life 30d"), (Prior(3.0, newcomers=True), "half-life 3d, newcomers")]
)
def test_a_prior_says_what_it_counts(prior: Prior, text: str) -> None:
    assert str(prior) == text
