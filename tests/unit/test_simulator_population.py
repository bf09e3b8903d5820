"""Populations: the same for the same seed, true to their own truth, and never out of order."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from nextbest.domain.actions import Action
from nextbest.domain.events import Event
from tools.simulator import Population, checkerboard_population, demo_population, small_population
from tools.simulator.clock import DAY_SECONDS, WEEK_HOURS, WeeklyClock
from tools.simulator.menu import PORTRAITS
from tools.simulator.process import NO_PREREQUISITE, Process

NOW = 1_790_000_000.25


@pytest.fixture(scope="module")
def demo() -> Population:
    return demo_population(seed=7, now=NOW)


def first_times(events: list[Event]) -> dict[tuple[str, Action], int]:
    """When each user first took each action."""
    times: dict[tuple[str, Action], int] = {}
    for event in sorted(events, key=lambda event: event.timestamp_us):
        times.setdefault((event.user_id, Action(event.event_type, event.asset_id)), event.timestamp_us)
    return times


def taken_matrix(population: Population, events: list[Event]) -> np.ndarray:
    """Whether each customer takes each action in ``events``: (customers, actions)."""
    rows = {user_id: row for row, user_id in enumerate(population.user_ids)}
    columns = {action: column for column, action in enumerate(population.actions)}
    taken = np.zeros((len(rows), len(columns)))
    for event in events:
        taken[rows[event.user_id], columns[Action(event.event_type, event.asset_id)]] = 1
    return taken


def one_pair(mean_gap: tuple[float, float], last: tuple[float, float], stop: float) -> np.ndarray:
    """True probabilities of one customer with two memoryless actions, the second opened by the first, at day 0."""
    process = Process(
        clock=WeeklyClock.from_intensities(np.ones((1, WEEK_HOURS))),
        profile=np.array([0]),
        shape=np.ones((1, 2), dtype=np.int64),
        mean_gap=np.array([mean_gap]),
        begin=np.full((1, 2), -10.0),
        fade=np.full((1, 2), np.inf),
        once=np.array([False, True]),
        prerequisite=np.array([NO_PREREQUISITE, 0]),
        rest_speed=0.1,
    )
    days = np.array([last])
    return np.asarray(process.probabilities(days, days, np.array([0.0]), np.array([stop]))[0])


def test_the_same_arguments_make_the_same_population_to_the_bit() -> None:
    one, other = demo_population(seed=3, now=NOW, customers=40), demo_population(seed=3, now=NOW, customers=40)
    assert one.events == other.events
    assert one.assets == other.assets
    assert one.true_probabilities(14).tobytes() == other.true_probabilities(14).tobytes()
    assert one.future(14, seed=5) == other.future(14, seed=5)


def test_another_seed_makes_another_population() -> None:
    one, other = demo_population(seed=3, now=NOW, customers=40), demo_population(seed=4, now=NOW, customers=40)
    assert one.events != other.events
    assert one.future(14, seed=5) != one.future(14, seed=6)


def test_the_demo_is_large_enough_to_learn_from_and_small_enough_to_load(
    demo: Population,
) -> None:
    assert 20_000 <= len(demo.events) <= 30_000
    assert demo.user_ids[:3] == ("ada", "grace", "alan")
    assert len(demo.user_ids) == 500
    counts = sorted(Counter(event.user_id for event in demo.events).values())
    assert counts[len(counts) // 2] < 50 < 200 < counts[-10]
    heaviest_tenth = sum(counts[-len(counts) // 10 :])
    assert heaviest_tenth > len(demo.events) / 3


def test_the_log_of_the_demo_is_sorted_past_and_without_repetition(demo: Population) -> None:
    times = [event.timestamp_us for event in demo.events]
    assert times == sorted(times)
    assert times[-1] <= NOW * 1_000_000
    assert 179 <= (NOW * 1_000_000 - times[0]) / (DAY_SECONDS * 1_000_000) <= 180
    identities = {(event.user_id, event.timestamp_us, event.event_type, event.asset_id) for event in demo.events}
    assert len(identities) == len(demo.events)


def test_the_first_guests_of_the_demo_have_the_habits_of_their_portraits(
    demo: Population,
) -> None:
    orders: dict[str, Counter[str]] = defaultdict(Counter)
    for event in demo.events:
        if event.event_type == "order":
            orders[event.user_id][event.asset_id] += 1
    for portrait in PORTRAITS:
        favourite = min(portrait.habits, key=lambda asset_id: portrait.habits[asset_id])
        assert favourite in [asset_id for asset_id, _ in orders[portrait.user_id].most_common(2)]
    assert 100 <= orders["ada"]["flat-white"] <= 175
    assert 5 <= orders["ada"]["house-beans"] <= 12


def test_nothing_comes_before_what_opens_it(
    demo: Population,
) -> None:
    times = first_times([*demo.events, *demo.future(60, seed=1)])
    openings = {
        Action(kind, asset_id): Action("join", "coffee-club")
        for kind, asset_id in (("redeem", "free-drink"), ("refer", "friend"), ("upgrade", "gold-club"))
    }
    checked = 0
    for (user_id, action), time in times.items():
        opening = Action("order", action.asset_id) if action.event_type == "review" else openings.get(action)
        if opening is not None:
            assert times[user_id, opening] < time
            checked += 1
    assert checked > 1_000


def test_nobody_takes_a_once_only_action_twice(demo: Population) -> None:
    counts = Counter(
        (event.user_id, event.event_type, event.asset_id)
        for event in [*demo.events, *demo.future(60, seed=1)]
        if event.event_type in ("review", "join", "get", "subscribe", "upgrade", "answer")
    )
    assert len(counts) > 1_000
    assert set(counts.values()) == {1}


def test_labels_have_the_right_part_of_day_and_nobody_uses_an_app_before_having_it(
    demo: Population,
) -> None:
    times = first_times(demo.events)
    parts: Counter[str] = Counter()
    for event in demo.events:
        part, channel = event.labels
        hour = event.timestamp_us // 3_600_000_000 % 24
        assert part == ("morning" if hour < 11 else "afternoon" if hour < 17 else "evening")
        if channel == "app":
            assert times[event.user_id, Action("get", "app")] <= event.timestamp_us
        parts[channel] += 1
    assert min(parts["app"], parts["in-store"]) > 5_000


def test_every_action_has_an_asset_with_a_name_and_fields(demo: Population) -> None:
    assets = {asset.asset_id: asset for asset in demo.assets}
    assert {action.asset_id for action in demo.actions} == set(assets)
    assert assets["flat-white"].asset_name == "Flat white"
    assert assets["flat-white"].labels == ("coffee", "drink")
    assert assets["house-beans"].fields["REPEAT_FREQUENCY"] == 14
    launched = assets["pumpkin-latte"].fields["CREATION_TIMESTAMP"]
    assert isinstance(launched, int)
    assert all(event.timestamp_us >= launched * 1_000_000 for event in demo.events if event.asset_id == "pumpkin-latte")


def test_many_futures_agree_with_the_truth_within_chance(demo: Population) -> None:
    samples = 60
    truth = demo.true_probabilities(14)
    seen = np.sum([taken_matrix(demo, demo.future(14, seed)) for seed in range(samples)], axis=0)
    assert np.all(seen[truth == 0] == 0)
    # All pairs of an action together, then all pairs of like probability: sums of independent draws.
    deviations = [_deviation(seen[:, [column]], truth[:, [column]], samples) for column in range(truth.shape[1])]
    edges = [0.0, 0.01, 0.03, 0.1, 0.3, 0.6, 0.9, 1.0]
    for low, high in pairwise(edges):
        chosen = (truth > low) & (truth <= high)
        deviations.append(_deviation(seen[chosen], truth[chosen], samples))
    assert max(abs(deviation) for deviation in deviations) < 4.5
    assert math.sqrt(np.mean(np.square(deviations))) < 1.3


def _deviation(seen: np.ndarray, truth: np.ndarray, samples: int) -> float:
    """How many standard deviations the number of takers is off its expectation."""
    spread = math.sqrt(samples * float((truth * (1 - truth)).sum()))
    return float((seen.sum() - samples * truth.sum()) / spread) if spread else 0.0


def test_both_waits_count_for_an_open_prerequisite() -> None:
    # Rates 1/2 and 1/5 a day, 3 days: P = 1 - e^-1.5 - (1/2) / (1/2 - 1/5) (e^-0.6 - e^-1.5).
    order, review = one_pair(mean_gap=(2.0, 5.0), last=(math.nan, math.nan), stop=3.0)
    assert order == pytest.approx(1 - math.exp(-1.5))
    assert review == pytest.approx(1 - math.exp(-1.5) - 0.5 / 0.3 * (math.exp(-0.6) - math.exp(-1.5)), abs=1e-12)


def test_only_the_second_wait_counts_for_a_prerequisite_that_was_met() -> None:
    _, review = one_pair(mean_gap=(2.0, 5.0), last=(-4.0, math.nan), stop=3.0)
    assert review == pytest.approx(1 - math.exp(-0.6))


def test_a_once_only_action_that_was_taken_never_comes_again() -> None:
    _, review = one_pair(mean_gap=(2.0, 5.0), last=(-4.0, -1.0), stop=300.0)
    assert review == 0.0


def test_two_steps_of_a_prerequisite_are_refused() -> None:
    process = small_population(seed=1, now=NOW).process
    chain = np.full(len(process.prerequisite), NO_PREREQUISITE)
    chain[1], chain[2] = 0, 1
    with pytest.raises(ValueError, match="must not have a prerequisite"):
        replace(process, prerequisite=chain)


def test_mapping_and_matrix_of_a_user_agree_and_longer_is_likelier(demo: Population) -> None:
    truth = demo.true_probability("ada", 14)
    assert list(truth) == list(demo.actions)
    assert list(truth.values()) == demo.true_probabilities(14)[0].tolist()
    longer = demo.true_probability("ada", 28)
    assert all(longer[action] >= probability for action, probability in truth.items())
    assert truth[Action("order", "flat-white")] > 0.99


def test_a_ranking_falls_and_discoveries_are_new(demo: Population) -> None:
    truth = demo.true_probability("ada", 14)
    ranking = demo.best_ranking("ada", 14, allow_repeats=True)
    assert ranking[0] == Action("order", "flat-white")
    assert [truth[action] for action in ranking] == sorted((p for p in truth.values() if p > 0), reverse=True)
    taken = {Action(event.event_type, event.asset_id) for event in demo.events if event.user_id == "ada"}
    discoveries = demo.best_ranking("ada", 14, allow_repeats=False)
    assert discoveries == [action for action in ranking if action not in taken]
    assert 0 < len(discoveries) < len(ranking)


def test_little_is_to_be_expected_of_a_guest_who_left(demo: Population) -> None:
    assert demo.true_probability("linus", 14)[Action("order", "americano")] < 0.3
    assert demo.true_probability("edsger", 14)[Action("order", "espresso")] > 0.9


def test_a_future_lies_after_now_within_the_horizon(demo: Population) -> None:
    future = demo.future(3, seed=2)
    times = [event.timestamp_us for event in future]
    assert times == sorted(times)
    assert times[0] > NOW * 1_000_000
    assert times[-1] <= (NOW + 3 * DAY_SECONDS) * 1_000_000


def test_wrong_arguments_are_refused(demo: Population) -> None:
    with pytest.raises(KeyError, match="nobody"):
        demo.true_probability("nobody", 14)
    with pytest.raises(ValueError, match="horizon_days"):
        demo.future(0, seed=1)
    with pytest.raises(ValueError, match="customers"):
        demo_population(seed=1, now=NOW, customers=0)
    with pytest.raises(ValueError, match="months"):
        small_population(seed=1, now=NOW, months=0)
    with pytest.raises(ValueError, match="size"):
        checkerboard_population(now=NOW, size=5)


@pytest.mark.parametrize(("customers", "actions", "months"), [(1, 1, 0.1), (3, 5, 1.0), (50, 30, 6.0)])
def test_a_small_population_has_the_size_asked_for(customers: int, actions: int, months: float) -> None:
    population = small_population(seed=2, now=NOW, customers=customers, actions=actions, months=months)
    assert population.true_probabilities(7).shape == (customers, actions)
    assert {action.asset_id for action in population.actions} == {asset.asset_id for asset in population.assets}
    assert all(event.timestamp_us / 1e6 > NOW - months * 30 * DAY_SECONDS for event in population.events)
    times = first_times(population.events)
    for user_id, action in times:
        if action.event_type == "rate":
            assert times[user_id, Action("use", action.asset_id)] < times[user_id, action]


@pytest.mark.parametrize("size", [6, 7, 12])
def test_each_user_of_a_checkerboard_lacks_exactly_the_right_answer(size: int) -> None:
    board = checkerboard_population(now=NOW, size=size)
    taken: dict[str, list[str]] = defaultdict(list)
    for event in board.events:
        taken[event.user_id].append(event.asset_id)
    for user in range(size):
        user_id = f"user-{user:04d}"
        own_parity = {f"asset-{action:04d}" for action in range(user % 2, size, 2)}
        assert own_parity - set(taken[user_id]) == {board.right_answers[user_id].asset_id}
        assert len(taken[user_id]) == len(own_parity) - 1
    assert board.events[-1].timestamp == NOW
