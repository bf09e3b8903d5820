"""The bookshop's planted effect: what readers follow, that both of a reader's lives are comparable, what is found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nextbest.domain.actions import Recommendation
from nextbest.domain.catalogue import Catalogue
from nextbest.domain.events import MICROSECONDS, Event
from nextbest.domain.experiments import Experiment, ExperimentKind
from nextbest.domain.history import History
from nextbest.lift.comparison import compare_variants
from nextbest.logic.recommendations import RecommendationList
from tools.local.demo_experiment import planted_effect
from tools.simulator.bookshop import BUY, FOLLOWED, Bookshop, Life, Recommend, bookshop, play

START = 1_790_000_000.0
HORIZON_DAYS = 14.0
EXPERIMENTS = 200


def listing(*assets: str) -> RecommendationList:
    return RecommendationList(
        [Recommendation(BUY, asset, 0.1, 0.0, 0.1) for asset in assets], None, Catalogue(0, {}), "m"
    )


def of_own_genre(shop: Bookshop) -> Recommend:
    """A list that suits every reader, like that of a model that knows everything."""
    genres = {reader.user_id: reader.genre for reader in shop.readers}
    return lambda user_id, _history, _now: listing(*(f"{genres[user_id]}-{number}" for number in range(1, 6)))


def crime(_user_id: str, _history: History, _now: float) -> RecommendationList:
    """A popular list: what most love."""
    return listing("crime-1", "crime-2", "crime-3")


def nothing(_user_id: str, _history: History, _now: float) -> RecommendationList:
    return listing()


@pytest.fixture(scope="module")
def shop() -> Bookshop:
    return bookshop(seed=1, start=START, readers=500)


def moved(events: tuple[Event, ...], seconds: float) -> list[Event]:
    return [replace(event, timestamp_us=event.timestamp_us + round(seconds * MICROSECONDS)) for event in events]


def test_at_another_time_it_is_the_same_shop() -> None:
    one, other = (bookshop(seed=3, start=start, readers=20) for start in (START, START + 12_345.0))
    assert one == bookshop(seed=3, start=START, readers=20)
    assert one.assets == other.assets
    for reader, later in zip(one.readers, other.readers, strict=True):
        assert moved(reader.events, 12_345.0) == list(later.events)
        assert [visit.draw for visit in reader.visits] == [visit.draw for visit in later.visits]
    assert all(event.timestamp < START for reader in one.readers for event in reader.events)
    assert all(START < visit.time < one.end for reader in one.readers for visit in reader.visits)


def test_readers_follow_what_suits_them_and_nothing_else(shop: Bookshop) -> None:
    anyway, lives = play(shop, nothing), play(shop, of_own_genre(shop))
    followed, lists = 0, 0
    for reader in shop.readers:
        life = lives[reader.user_id]
        # What happens anyway happens in both lives, and the same visits are answered
        bought = [event for event in life.events if event.recommendation_id]
        assert [event for event in life.events if event not in bought] == list(anyway[reader.user_id].events)
        assert [shown.time for shown in life.shown] == [shown.time for shown in anyway[reader.user_id].shown]
        assert {event.recommendation_id for event in bought} <= {shown.recommendation_id for shown in life.shown}
        assert all(event.asset_id.startswith(reader.genre) for event in bought)
        assert len({event.asset_id for event in bought}) == len(bought)
        followed, lists = followed + len(bought), lists + len(life.shown)
    # Hardly anybody owns all five books of a genre that soon: the share is the planted one, within three errors
    assert followed / lists == pytest.approx(FOLLOWED, abs=3.0 * np.sqrt(FOLLOWED * (1.0 - FOLLOWED) / lists))


def test_random_assignment_finds_the_planted_effect(shop: Bookshop) -> None:
    with_model, with_popular_list = play(shop, of_own_genre(shop)), play(shop, crime)
    truth = planted_effect(with_model, with_popular_list, now=shop.end)
    effect = truth.with_model - truth.with_popular_list
    assert effect > 0.1

    users = [user_id for user_id, life in with_model.items() if life.is_complete(HORIZON_DAYS, shop.end)]
    assert truth.users == len(users) > 400
    covered_always, covered_fixed = 0, 0
    for number in range(EXPERIMENTS):
        experiment = Experiment(f"experiment-{number}", "", ExperimentKind.HOLDOUT, 0.5, 14, START)
        variant = np.array([experiment.variant_of(user_id).name == "model" for user_id in users], np.int64)
        served = [(with_model if each else with_popular_list)[user] for user, each in zip(users, variant, strict=True)]
        difference = compare(served, variant)
        covered_always += difference[0][0] < effect < difference[0][1]
        covered_fixed += difference[1][0] < effect < difference[1][1]
    assert covered_always >= 0.98 * EXPERIMENTS
    assert covered_fixed >= 0.93 * EXPERIMENTS


def compare(lives: list[Life], variant: np.ndarray) -> tuple[tuple[float, float], tuple[float, float]]:
    """The always-valid and the fixed interval of the difference."""
    outcome = np.array([life.bought_within(HORIZON_DAYS) for life in lives], np.float64)
    difference = compare_variants(("holdout", "model"), variant, outcome)[0].plain.difference
    assert difference.always_valid is not None
    assert difference.fixed is not None
    always, fixed = difference.always_valid, difference.fixed
    return (always.low, always.high), (fixed.low, fixed.high)
