"""The value of a policy that never served: estimators by hand, and when there is none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from nextbest.lift.off_policy import LoggedChoices, PolicyValue, value_of_candidate


def choices(users: int = 400, actions: int = 2, seed: int = 0) -> tuple[LoggedChoices, NDArray[np.int64]]:
    """Even draws between actions, one a user; the reward is 1 for a third of those with action 0, more with others."""
    random = np.random.default_rng(seed)
    action = random.integers(0, actions, users)
    reward = (random.random(users) < (action + 1.0) / (actions + 1.0)).astype(np.float64)
    propensity = np.full(users, 1.0 / actions)
    return LoggedChoices(np.arange(users), reward, propensity, np.where(action == actions - 1, 1.0, 0.0)), action


def refused(result: PolicyValue) -> str:
    """The reason, where nothing has a value."""
    assert result.ips.value is result.snips.value is result.doubly_robust.value is None
    assert result.ips.reason == result.snips.reason == result.doubly_robust.reason == result.reason
    return result.reason


def test_the_three_estimators_by_hand() -> None:
    # Given a fair draw between two actions, 200 users each, of whom 50 and 100 have a reward of 1
    reward = np.concatenate([np.arange(200) < 50, np.arange(200) < 100]).astype(np.float64)
    log = LoggedChoices(
        user=np.arange(400),
        reward=reward,
        propensity=np.full(400, 0.5),
        # When a candidate takes the second action in 3 of 4 cases
        candidate=np.repeat([0.25, 0.75], 200),
        predicted=np.repeat([0.2, 0.6], 200),
        predicted_candidate=np.full(400, 0.25 * 0.2 + 0.75 * 0.6),
    )
    result = value_of_candidate(log)
    # Then it has a quarter of .25 and three quarters of .5
    assert result.ips.value == pytest.approx((0.5 * 50 + 1.5 * 100) / 400)
    assert result.snips.value == pytest.approx(0.4375)
    assert result.doubly_robust.value == pytest.approx(0.4375)
    assert result.logged.value == pytest.approx(0.375)
    assert result.mean_weight == pytest.approx(1.0)
    assert result.effective_rows == pytest.approx(400**2 / (200 * 0.25 + 200 * 2.25))
    assert result.ips.fixed is not None and result.ips.always_valid is not None
    # The standard error of the mean of w · r, by hand, with Student's quantile for 399
    error = np.std(np.repeat([0.5, 1.5], 200) * reward, ddof=1) / np.sqrt(400)
    assert result.ips.fixed.high - result.ips.fixed.low == pytest.approx(2.0 * 1.965927 * error, rel=1e-5)


def test_rows_of_one_user_are_worth_less_than_rows_of_many() -> None:
    log, _ = choices()
    many, few = value_of_candidate(log), value_of_candidate(replace(log, user=np.argsort(np.argsort(log.reward)) // 8))
    assert many.ips.fixed is not None and few.ips.fixed is not None
    assert few.users == 50
    assert few.ips.fixed.high - few.ips.fixed.low > 1.5 * (many.ips.fixed.high - many.ips.fixed.low)


def test_no_value_where_nothing_was_drawn() -> None:
    log, _ = choices()
    result = value_of_candidate(replace(log, propensity=np.ones(400)))
    assert refused(result).startswith("nothing was drawn")
    assert result.logged.value == pytest.approx(float(log.reward.mean()))


def test_no_value_where_the_candidate_does_something_else() -> None:
    log, action = choices()
    assert refused(value_of_candidate(replace(log, candidate=np.zeros(400)))).startswith(
        "the candidate chooses nothing"
    )
    # Given a candidate that mostly takes an action that was never drawn
    elsewhere = replace(log, candidate=np.where(action == 1, 0.3, 0.1))
    assert "of the candidate's choices were possible in the log" in refused(value_of_candidate(elsewhere))


def test_no_value_where_single_rows_decide() -> None:
    # Given a draw from 100 actions, of which the candidate always takes one
    log, _ = choices(users=4_000, actions=100)
    assert refused(value_of_candidate(log)).startswith("too little overlap: the log is worth only")


def test_no_value_where_propensities_are_wrong() -> None:
    log, _ = choices()
    assert "propensities do not fit" in refused(value_of_candidate(replace(log, propensity=np.full(400, 0.3))))


def test_no_value_of_few_users_or_none() -> None:
    log, _ = choices()
    assert "fewer than 30 users" in refused(value_of_candidate(replace(log, user=np.arange(400) % 20)))
    nothing = np.zeros(0)
    empty = value_of_candidate(LoggedChoices(np.zeros(0, np.int64), nothing, nothing, nothing))
    assert refused(empty) == "no choices in the log"
    assert empty.logged.value is None and empty.mean_weight is None


def test_rewards_that_never_vary_have_no_interval() -> None:
    log, _ = choices()
    result = value_of_candidate(replace(log, reward=np.zeros(400)))
    assert result.ips.value == 0.0 and result.ips.fixed is None and "all rewards are equal" in result.ips.reason


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"propensity": np.zeros(400)}, "a propensity is above 0"),
        ({"candidate": np.full(400, 1.5)}, "between 0 and 1"),
        ({"reward": np.full(400, np.inf)}, "finite"),
        ({"reward": np.zeros(3)}, "one number a row"),
        ({"predicted": np.zeros(400)}, "belong together"),
    ],
)
def test_columns_that_do_not_fit_are_refused(change: dict[str, NDArray[np.float64]], message: str) -> None:
    log, _ = choices()
    columns = {"reward": log.reward, "propensity": log.propensity, "candidate": log.candidate} | change
    with pytest.raises(ValueError, match=message):
        LoggedChoices(log.user, **columns)
