"""Outcomes credited to decisions, and the windows of intention to treat."""

from __future__ import annotations

import numpy as np
import pytest

from nextbest.lift.attribution import ANY_ACTION, NO_DECISION, NOT_NAMED, DecisionColumns, OutcomeColumns, attribute
from nextbest.lift.windows import open_windows, outcomes_before, outcomes_within

DAY = 86_400.0


def decisions_of(*rows: tuple[int, float, tuple[int, ...]]) -> DecisionColumns:
    """Decisions of (user, day, actions shown), each its own recommendation."""
    return DecisionColumns(
        user=np.array([user for user, _, _ in rows], np.int64),
        time=np.array([day * DAY for _, day, _ in rows]),
        recommendation=np.arange(len(rows)),
        starts=np.cumsum([0, *(len(shown) for _, _, shown in rows)]),
        shown=np.array([action for _, _, shown in rows for action in shown], np.int64),
    )


def outcomes_of(*rows: tuple[int, float, int], named: dict[int, int] | None = None) -> OutcomeColumns:
    """Outcomes of (user, day, action), the first worth 1, the second 2 and so on."""
    recommendation = np.full(len(rows), NOT_NAMED, np.int64)
    for row, decision in (named or {}).items():
        recommendation[row] = decision
    return OutcomeColumns(
        user=np.array([user for user, _, _ in rows], np.int64),
        time=np.array([day * DAY for _, day, _ in rows]),
        action=np.array([action for _, _, action in rows], np.int64),
        value=np.arange(1.0, len(rows) + 1),
        recommendation=recommendation,
    )


def test_an_outcome_is_credited_to_the_last_decision_that_showed_it() -> None:
    # Given a user who is shown action 7 twice, then action 8 alone, and another user who is shown 7
    decisions = decisions_of((0, 1.0, (7, 9)), (0, 2.0, (7,)), (0, 3.0, (8,)), (1, 3.0, (7,)))
    # When the first user takes 7
    result = attribute(decisions, outcomes_of((0, 4.0, 7)), 14.0)
    # Then the second decision is credited as the last, the first as one of any, and nobody else's
    assert result.last.tolist() == [1]
    assert result.decisions.tolist() == [2]
    assert result.last_count.tolist() == [0, 1, 0, 0]
    assert result.any_count.tolist() == [1, 1, 0, 0]
    assert result.shown_count.tolist() == [1, 0, 1, 0, 0]


def test_both_ends_of_the_horizon_count_and_nothing_beyond() -> None:
    decisions = decisions_of((0, 1.0, (7,)))
    outcomes = outcomes_of((0, 0.99, 7), (0, 1.0, 7), (0, 15.0, 7), (0, 15.01, 7))
    result = attribute(decisions, outcomes, 14.0)
    assert result.last.tolist() == [NO_DECISION, 0, 0, NO_DECISION]
    assert result.any_value.tolist() == [2.0 + 3.0]


def test_an_outcome_without_an_action_of_its_own_is_credited_to_whatever_was_shown() -> None:
    decisions = decisions_of((0, 1.0, (7,)), (0, 2.0, ()))
    result = attribute(decisions, outcomes_of((0, 3.0, ANY_ACTION)), 14.0)
    assert result.last.tolist() == [1]
    assert result.any_count.tolist() == [1, 1]
    assert result.shown_count.tolist() == [0]


def test_a_named_recommendation_prevails_where_it_fits() -> None:
    # Given a decision that showed 7, and a later one that did not
    decisions = decisions_of((0, 1.0, (7,)), (0, 2.0, (8,)), (1, 2.0, (7,)))
    # When outcomes of 7 name the second, that of another user, one to come, and the first
    outcomes = outcomes_of(
        (0, 3.0, 7), (0, 3.0, 7), (0, 1.5, 7), (0, 3.0, 7), (0, 40.0, 7), named={0: 1, 1: 2, 2: 1, 3: 0, 4: 1}
    )
    result = attribute(decisions, outcomes, 14.0)
    # Then a name counts if it is the user's own decision before the outcome, within the horizon
    assert result.last.tolist() == [1, 0, 0, 0, NO_DECISION]
    # and then is credited to that one alone; what was shown came true all the same
    assert result.decisions.tolist() == [1, 1, 1, 1, 0]
    assert result.any_count.tolist() == [3, 1, 0]
    assert result.last_value.tolist() == [2.0 + 3.0 + 4.0, 1.0, 0.0]
    assert result.shown_count.tolist() == [4, 0, 0]


@pytest.mark.parametrize("seed", range(5))
def test_it_equals_the_definition(seed: int) -> None:
    # Given many decisions and outcomes at few instants, so that ties and both ends of the horizon occur
    random = np.random.default_rng(seed)
    count, horizon = 300, 3.0
    lengths = random.integers(0, 4, count)
    decisions = DecisionColumns(
        user=random.integers(0, 6, count),
        time=DAY * random.integers(0, 40, count).astype(np.float64),
        recommendation=random.permutation(count),
        starts=np.concatenate([[0], np.cumsum(lengths)]),
        shown=random.integers(0, 5, lengths.sum()),
    )
    outcomes = OutcomeColumns(
        user=random.integers(0, 7, count),
        time=DAY * random.integers(0, 40, count).astype(np.float64),
        action=random.integers(-1, 6, count),
        value=random.normal(size=count),
        recommendation=np.where(random.random(count) < 0.3, random.integers(0, count + 5, count), NOT_NAMED),
    )
    result = attribute(decisions, outcomes, horizon)
    # Then each outcome and each decision has what the definition says
    any_count, any_value = np.zeros(count, np.int64), np.zeros(count)
    shown_count = np.zeros(len(decisions.shown), np.int64)
    for row in range(count):
        user, time, action = outcomes.user[row], outcomes.time[row], outcomes.action[row]
        waited = time - decisions.time
        eligible = (decisions.user == user) & (waited >= 0.0) & (waited <= horizon * DAY)
        shown = [
            number
            for number in np.flatnonzero(eligible).tolist()
            if action in decisions.shown[decisions.starts[number] : decisions.starts[number + 1]]
        ]
        credited = np.flatnonzero(eligible).tolist() if action == ANY_ACTION else shown
        named = np.flatnonzero(eligible & (decisions.recommendation == outcomes.recommendation[row])).tolist()
        times = [decisions.time[number] for number in credited]
        expected = set(named) or {number for number in credited if decisions.time[number] == max(times)}
        assert result.last[row] in (expected or {NO_DECISION})
        everything = named or credited
        assert result.decisions[row] == len(everything)
        any_count[everything] += 1
        for number in shown:
            places = np.arange(decisions.starts[number], decisions.starts[number + 1])
            shown_count[places[decisions.shown[places] == action]] += 1
        any_value[everything] += outcomes.value[row]
    assert result.any_count.tolist() == any_count.tolist()
    assert result.shown_count.tolist() == shown_count.tolist()
    assert result.any_value == pytest.approx(any_value)
    assert result.last_count.sum() == np.count_nonzero(result.last >= 0)


def test_nothing_is_credited_where_there_is_nothing() -> None:
    nothing, something = decisions_of(), outcomes_of((0, 1.0, 7), (0, 1.0, ANY_ACTION), named={0: 3})
    assert attribute(nothing, something, 14.0).last.tolist() == [NO_DECISION, NO_DECISION]
    assert attribute(decisions_of((0, 1.0, (7,))), outcomes_of(), 14.0).any_count.tolist() == [0]
    assert attribute(nothing, outcomes_of(), 14.0).last.tolist() == []


def test_columns_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="one row a decision"):
        DecisionColumns(
            np.zeros(2, np.int64), np.zeros(1), np.zeros(2, np.int64), np.zeros(3, np.int64), np.zeros(0, np.int64)
        )
    with pytest.raises(ValueError, match="starts has to rise"):
        DecisionColumns(
            np.zeros(1, np.int64), np.zeros(1), np.zeros(1, np.int64), np.array([0, 2]), np.zeros(1, np.int64)
        )
    with pytest.raises(ValueError, match="finite"):
        decisions_of((0, float("nan"), (1,)))
    with pytest.raises(ValueError, match="indices from 0"):
        decisions_of((0, 1.0, (-1,)))
    with pytest.raises(ValueError, match="a number above 0"):
        attribute(decisions_of(), outcomes_of(), 0.0)


def test_the_first_decision_in_the_experiment_opens_the_window() -> None:
    # Given user 5 seen before the start and twice after it, 3 on the first second, 4 only after the stop, all unsorted
    user = np.array([5, 4, 5, 3, 5])
    time = np.array([12.0, 31.0, 2.0, 10.0, 20.0]) * DAY
    windows = open_windows(user, time, started_at=10 * DAY, stopped_at=30 * DAY, horizon_days=14.0, now=25 * DAY)
    # Then users come in the order in which they entered, and a window ends with the horizon or now
    assert windows.user.tolist() == [3, 5]
    assert windows.decision.tolist() == [3, 0]
    assert (windows.closes / DAY).tolist() == [24.0, 25.0]
    assert windows.complete.tolist() == [True, False]
    # And what is after the stop opens nothing, even later
    later = open_windows(user, time, started_at=10 * DAY, stopped_at=30 * DAY, horizon_days=14.0, now=99 * DAY)
    assert later.user.tolist() == [3, 5]
    assert later.complete.all()


def test_outcomes_in_and_before_the_window() -> None:
    windows = open_windows(
        np.array([5, 3]), np.array([12.0, 10.0]) * DAY, started_at=10 * DAY, horizon_days=14.0, now=99 * DAY
    )
    # Given outcomes of user 3 on both ends, of user 5 before the window but after the start, and of a stranger
    user = np.array([3, 3, 3, 5, 9, 3, 3])
    time = np.array([10.0, 24.0, 24.1, 11.0, 12.0, 9.9, 2.9]) * DAY
    value = np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0])
    count, total = outcomes_within(windows, user, time, value)
    assert (count.tolist(), total.tolist()) == ([2, 0], [3.0, 0.0])
    # Then only what is before the start counts as before, for as many days
    count, total = outcomes_before(windows, user, time, value, started_at=10 * DAY, days=7.0)
    assert (count.tolist(), total.tolist()) == ([1, 0], [32.0, 0.0])


def test_nobody_has_no_window() -> None:
    windows = open_windows(np.zeros(0, np.int64), np.zeros(0), started_at=0.0, horizon_days=14.0, now=DAY)
    assert len(windows) == 0
    assert outcomes_within(windows, np.array([1]), np.array([5.0]), np.array([1.0]))[0].tolist() == []
