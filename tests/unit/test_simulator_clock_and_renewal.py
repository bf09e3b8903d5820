"""The simulator's mathematics, against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tools.simulator.clock import DAY_SECONDS, WEEK_HOURS, WeeklyClock
from tools.simulator.renewal import arrival_density, arrival_probability, sample_arrivals, sample_wait, stage_weights

MONDAY = 4 * DAY_SECONDS  # 1970-01-05
FRESH = np.array([True])
NOT_FRESH = np.array([False])


def busy_first_hour() -> WeeklyClock:
    """One profile: Monday's first hour is as busy as all the rest of the week together."""
    intensities = np.ones((1, WEEK_HOURS))
    intensities[0, 0] = WEEK_HOURS - 1
    return WeeklyClock.from_intensities(intensities)


def test_habit_days_of_an_even_week_are_days() -> None:
    clock = WeeklyClock.from_intensities(np.ones((1, WEEK_HOURS)))
    days = clock.habit_days(np.array([MONDAY, MONDAY + 9.5 * DAY_SECONDS]), np.zeros(2, dtype=np.int64))
    assert days == pytest.approx([0.0, 9.5])


def test_half_the_week_passes_in_a_busy_hour() -> None:
    clock = busy_first_hour()
    times = MONDAY + np.array([0.0, 0.5, 1.0, 84.5, 168.0]) * 3_600
    assert clock.habit_days(times, np.zeros(5, dtype=np.int64)) == pytest.approx([0.0, 1.75, 3.5, 5.25, 7.0])


def test_any_time_read_and_read_back_is_the_same_to_the_microsecond() -> None:
    times = np.random.default_rng(1).uniform(-1e9, 3e9, 1_000)
    profile = np.zeros(1_000, dtype=np.int64)
    clock = busy_first_hour()
    assert clock.timestamps(clock.habit_days(times, profile), profile) == pytest.approx(times, abs=5e-4, rel=0)


@pytest.mark.parametrize("intensities", [np.ones((1, 24)), np.ones(WEEK_HOURS), np.zeros((1, WEEK_HOURS))])
def test_intensities_that_are_no_week_are_refused(intensities: np.ndarray) -> None:
    with pytest.raises(ValueError, match="intensit"):
        WeeklyClock.from_intensities(intensities)


def test_the_past_does_not_matter_to_one_stage() -> None:
    shape, mean_gap = np.array([1]), np.array([4.0])
    for elapsed, fresh in ((0.0, FRESH), (100.0, FRESH), (7.0, NOT_FRESH)):
        weights = stage_weights(shape, mean_gap, np.array([elapsed]), fresh)
        probability = arrival_probability(shape, mean_gap, weights, np.array([2.0]))
        assert probability == pytest.approx([1 - math.exp(-0.5)])


def test_just_after_an_arrival_the_chance_of_two_stages_is_that_of_a_whole_gap() -> None:
    # Mean 4 in two stages: rate 1/2 each. P(gap <= 2) = 1 - e^-1 (1 + 1).
    shape, mean_gap = np.array([2]), np.array([4.0])
    weights = stage_weights(shape, mean_gap, np.array([0.0]), FRESH)
    assert weights == pytest.approx(np.array([[1.0, 0.0]]))
    assert arrival_probability(shape, mean_gap, weights, np.array([2.0])) == pytest.approx([1 - 2 * math.exp(-1)])
    # Density of two stages at 2: rate^2 t e^(-rate t) = 1/4 * 2 * e^-1.
    assert arrival_density(shape, mean_gap, weights, np.array([2.0])) == pytest.approx([0.5 * math.exp(-1)])


def test_after_a_wait_the_first_of_two_stages_is_done_as_often_as_poisson_says() -> None:
    # Elapsed 6 at rate 1/2: x = 3, so 0 or 1 completed stages in the ratio 1 to 3.
    shape, mean_gap = np.array([2]), np.array([4.0])
    weights = stage_weights(shape, mean_gap, np.array([6.0]), FRESH)
    assert weights == pytest.approx(np.array([[0.25, 0.75]]))
    expected = 0.25 * (1 - 2 * math.exp(-1)) + 0.75 * (1 - math.exp(-1))
    assert arrival_probability(shape, mean_gap, weights, np.array([2.0])) == pytest.approx([expected])


def test_a_process_without_an_arrival_began_in_equilibrium() -> None:
    # At the opening both numbers of completed stages are equally likely; at x = 3 the ratio is 1 to 1 + 3.
    shape, mean_gap = np.array([2]), np.array([4.0])
    assert stage_weights(shape, mean_gap, np.array([0.0]), NOT_FRESH) == pytest.approx(np.array([[0.5, 0.5]]))
    assert stage_weights(shape, mean_gap, np.array([6.0]), NOT_FRESH) == pytest.approx(np.array([[0.2, 0.8]]))


def test_nothing_ever_arrives_in_a_gap_without_end() -> None:
    shape, mean_gap = np.array([3]), np.array([np.inf])
    weights = stage_weights(shape, mean_gap, np.array([50.0]), FRESH)
    assert arrival_probability(shape, mean_gap, weights, np.array([1e6])) == pytest.approx([0.0])


def test_sampled_waits_follow_the_probabilities() -> None:
    count = 40_000
    shape = np.repeat([1, 2, 5], count)
    mean_gap = np.full(3 * count, 3.0)
    elapsed, fresh = np.full(3 * count, 2.0), np.ones(3 * count, dtype=bool)
    weights = stage_weights(shape, mean_gap, elapsed, fresh)
    waits = sample_wait(shape, mean_gap, weights, np.random.default_rng(5))
    truth = arrival_probability(shape, mean_gap, weights, np.full(3 * count, 1.0))
    for start in range(0, 3 * count, count):
        expected = truth[start]
        seen = np.mean(waits[start : start + count] <= 1.0)
        assert abs(seen - expected) < 4 * math.sqrt(expected * (1 - expected) / count)


def test_arrivals_stay_within_the_limit_and_once_means_once() -> None:
    index, times = sample_arrivals(
        first=np.array([1.0, 1.0, 9.0]),
        limit=np.array([8.0, 8.0, 8.0]),
        shape=np.array([2, 2, 2]),
        mean_gap=np.array([0.5, 0.5, 0.5]),
        once=np.array([False, True, False]),
        generator=np.random.default_rng(2),
    )
    assert times.max() <= 8.0
    assert times[index == 1].tolist() == [1.0]
    assert (index == 2).sum() == 0
    # About 2 a day over 7 days; a renewal count this far off would be 5 standard deviations.
    assert 5 <= (index == 0).sum() <= 30
    assert (np.diff(np.sort(times[index == 0])) > 0).all()


def test_nothing_comes_of_a_process_that_does_not_begin_in_time() -> None:
    one = np.array([1.0])
    index, times = sample_arrivals(2 * one, one, np.array([1]), one, FRESH, np.random.default_rng(0))
    assert index.size == times.size == 0
