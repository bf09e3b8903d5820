"""The report of one experiment: from decisions and outcomes to a verdict."""

from __future__ import annotations

import json

import numpy as np
import pytest

from nextbest.domain.experiments import Measure
from nextbest.lift.attribution import attribute
from nextbest.lift.calibration import agreement_of_decisions
from nextbest.lift.columns import ColumnsBuilder
from nextbest.lift.report import ExperimentReport, report_experiment

DAY = 86_400.0
START = 1_760_000_000.0
HORIZON_DAYS = 7.0
NAMES = ("champion", "challenger")
SHOWN = (("buy", "latte", 0.2, 1.0, 1.0), ("buy", "mocha", 0.1, 0.0, 0.5))


def filled(
    users: tuple[int, int] = (1_000, 1_000),
    reached: tuple[int, int] = (100, 160),
    *,
    entry_days: float = 10.0,
    value: float = 1.0,
    with_history: bool = False,
) -> ColumnsBuilder:
    """Users who enter evenly over some days, of whom as many as ``reached`` buy a latte a day later."""
    builder = ColumnsBuilder(NAMES)
    entries = {}
    for name, number in zip(NAMES, users, strict=True):
        for user in range(number):
            entries[name, user] = START + user / number * entry_days * DAY
            builder.add_decision(
                user=f"{name}-{user}",
                time=entries[name, user],
                recommendation_id=f"{name}-{user}",
                variant=name,
                actions=SHOWN,
            )
    for name, number in zip(NAMES, reached, strict=True):
        for user in range(number):
            # Spread over those who entered
            place = user * users[NAMES.index(name)] // number
            time = entries[name, place] + DAY
            builder.add_outcome(user=f"{name}-{place}", time=time, action=("buy", "latte"), value=value)
            if with_history and user % 3:
                builder.add_outcome(user=f"{name}-{place}", time=START - 2 * DAY, action=("buy", "latte"))
    return builder


def report(
    builder: ColumnsBuilder,
    *,
    days: float,
    shares: tuple[float, ...] = (0.5, 0.5),
    stopped_at: float | None = None,
    headline: Measure = "rate",
    least_effect: float | None = None,
    planned_users: int = 2_000,
) -> ExperimentReport:
    result = report_experiment(
        builder.build(),
        names=builder.variants,
        shares=shares,
        started_at=START,
        stopped_at=stopped_at,
        horizon_days=HORIZON_DAYS,
        now=START + days * DAY,
        headline=headline,
        least_effect=least_effect,
        planned_users=planned_users,
    )
    json.dumps(result.to_json(), allow_nan=False)
    return result


def test_a_clear_difference_is_a_verdict_with_its_interval() -> None:
    result = report(filled(), days=17)
    assert (result.users, result.complete_users, result.moved_users) == (2_000, 2_000, 0)
    assert result.is_decided
    # By hand: 16 % against 10 %, half a width of 3.03 standard errors of .0150 at the planned number of users
    assert result.verdict == "challenger sells more: +6.0 points (1.5 to 10.5)"
    rate, value = result.measures
    assert (rate.measure, value.measure) == ("rate", "value")
    assert [each.reached for each in rate.variants] == [100, 160]
    assert rate.comparisons[0].plain.ratio.value == pytest.approx(1.6)
    assert result.sample_ratio.mismatch is False


def test_less_is_said_as_well() -> None:
    assert report(filled(reached=(160, 100)), days=17).verdict == "challenger sells less: -6.0 points (-10.5 to -1.5)"


def test_money_is_a_measure_of_its_own() -> None:
    result = report(filled(value=25.0), days=17, headline="value")
    assert result.headline == "value"
    assert result.verdict.startswith("challenger sells more: +1.5 a user (0.")
    assert result.measures[1].variants[1].mean.value == pytest.approx(4.0)


def test_a_refund_takes_back_money_and_reaches_nothing() -> None:
    builder = filled(value=25.0)
    # Of the challenger's users the first buyer gives everything back, and ten who bought nothing here return more
    builder.add_outcome(user="challenger-0", time=START + 2 * DAY, action=("buy", "latte"), value=-25.0)
    for user in range(1, 11):
        builder.add_outcome(user=f"challenger-{user}", time=START + 2 * DAY, action=("buy", "latte"), value=-10.0)
    rate, value = report(builder, days=17).measures

    assert [each.reached for each in rate.variants] == [100, 160]
    assert value.variants[1].mean.value == pytest.approx(4.0 - 0.025 - 0.1)


def test_one_enormous_value_is_named_in_place_of_an_interval() -> None:
    builder = filled(value=25.0)
    builder.add_outcome(user="challenger-999", time=START + 11 * DAY, action=("buy", "latte"), value=1e15)

    assert report(builder, days=17, headline="value").verdict == (
        "not decided yet: most of the value is in the outcomes of a few users"
    )


def test_losses_are_compared_too() -> None:
    result = report(filled(value=-25.0), days=17, headline="value")

    assert result.verdict.startswith("challenger sells less: -1.5 a user (-2.")
    assert result.measures[1].comparisons[0].plain.ratio.always_valid is None


def test_what_users_did_before_adjusts_the_comparison() -> None:
    comparison = report(filled(with_history=True), days=17).measures[0].comparisons[0]
    assert comparison.adjusted is not None and comparison.variance_removed is not None
    assert comparison.variance_removed > 0.3
    # Outcomes before the start are no outcomes of the experiment
    assert comparison.plain.difference.value == pytest.approx(0.06)


def test_it_says_how_many_more_days() -> None:
    result = report(filled(reached=(100, 130)), days=12)
    assert not result.is_decided
    assert 0 < result.complete_users < result.users == 2_000
    # Given nobody new in the last two of seven days, the forecast takes the mean of these seven
    forecast = result.measures[0].forecasts[0]
    assert forecast.users_a_day == pytest.approx(2_000 / 10 * 5 / 7, rel=0.01)
    assert forecast.days is not None
    assert result.verdict == f"not decided yet: about {int(np.ceil(forecast.days))} more days"
    # And how many for a difference that would be worth knowing
    assert report(filled(reached=(100, 130)), days=12, least_effect=0.1).measures[0].forecasts[0].effect == 0.1


def test_enough_users_for_the_smallest_effect_is_a_verdict() -> None:
    # Given 2,000 users who were planned, all of whose horizons are over, and a difference of one point
    result = report(filled(reached=(100, 110)), days=17, least_effect=0.06)
    assert result.verdict == (
        "not decided, with enough users for the smallest effect you named: "
        "6 points would have shown with a chance of 80%"
    )
    assert not result.is_decided
    # Before, it is days
    assert "more day" in report(filled(reached=(100, 110)), days=12, least_effect=0.06).verdict
    # And a result is a result
    assert report(filled(), days=17, least_effect=0.06).is_decided


def test_days_add_up_to_the_result() -> None:
    result = report(filled(value=2.0), days=17)
    # Given horizons that are over from the seventh day on
    assert len(result.days) == 2 * 11
    assert {each.variant for each in result.days} == set(NAMES)
    assert [each.users for each in result.days] == sorted(each.users for each in result.days)
    last = result.days[-2:]
    assert [(each.users, each.outcomes, each.value) for each in last] == [(1_000, 100, 200.0), (1_000, 160, 320.0)]
    assert result.days[0].day == "2025-10-16"
    # Then each day is what the report of its end would be
    middle = (np.floor(START / DAY) + 13) * DAY - START
    then = report(filled(value=2.0), days=middle / DAY - 1e-6)
    day = [each for each in result.days if each.day == then.days[-1].day]
    assert [each.to_json() for each in day] == [each.to_json() for each in then.days[-2:]]
    assert report(filled(), days=3).days == ()


@pytest.mark.parametrize(
    ("users", "reached", "days", "verdict"),
    [
        ((0, 0), (0, 0), 17, "no users in variant champion"),
        ((1_000, 0), (100, 0), 17, "no users in variant challenger"),
        ((1_000, 1_000), (100, 160), 3, "too early: the first user's horizon is over in 4 days"),
        ((1_000, 1_000), (100, 160), 6.5, "too early: the first user's horizon is over in 1 day"),
        ((10, 10), (5, 5), 17, "not decided yet: fewer than 30 users in a variant"),
        ((1_000, 1_000), (0, 0), 17, "not decided yet: no outcomes yet"),
        ((1_000, 1_000), (100, 100), 17, "not decided: no difference so far that any number of users could show"),
        (
            *((1_000, 1_000), (100, 101), 16),
            "not decided yet: a difference like this shows with about 7,000,000 users, and with 28 new ones a day that "
            "takes more than a year",
        ),
        ((1_000, 1_000), (100, 110), 90, "not decided: no new users come"),
    ],
)
def test_few_data_are_a_sentence(users: tuple[int, int], reached: tuple[int, int], days: float, verdict: str) -> None:
    result = report(filled(users, reached), days=days)
    assert result.verdict == verdict
    assert not result.is_decided


def test_shares_that_do_not_hold_are_the_verdict() -> None:
    result = report(filled(users=(1_000, 1_300)), days=17)
    assert result.sample_ratio.mismatch
    assert result.verdict.startswith("users did not come in the shares that were set: find out why")


def test_nobody_enters_after_the_stop_and_horizons_are_awaited() -> None:
    # Given an experiment that was stopped after five days, when half of the users had come
    result = report(filled(reached=(100, 110)), days=17, stopped_at=START + 5 * DAY)
    assert result.users == result.complete_users == pytest.approx(1_000, abs=4)
    assert result.verdict == "not decided: the experiment has stopped: no new users come"


def test_users_of_two_variants_count_in_their_first() -> None:
    builder = filled()
    builder.add_decision(
        user="champion-0", time=START + 9 * DAY, recommendation_id="late", variant="challenger", actions=()
    )
    result = report(builder, days=17)
    assert result.moved_users == 1
    assert [each.users for each in result.measures[0].variants] == [1_000, 1_000]


def test_what_decisions_are_credited_with() -> None:
    # Given decisions of which 100 and 160 were followed by a purchase of what they showed, and one of something else
    builder = filled(value=3.0)
    builder.add_outcome(user="champion-0", time=START + DAY, action=("buy", "tea"))
    champion, challenger = report(builder, days=17).credited
    assert (champion.decisions, champion.last_outcomes, champion.last_value, champion.followed) == (
        1_000,
        100,
        300.0,
        100,
    )
    assert (challenger.last_outcomes, challenger.followed) == (160, 160)
    # Those whose horizon is not over are left out
    assert report(builder, days=12).credited[0].decisions == pytest.approx(500, abs=2)


def test_three_variants_are_each_a_sentence() -> None:
    builder = ColumnsBuilder((*NAMES, "second"))
    for name in builder.variants:
        for user in range(40):
            builder.add_decision(user=f"{name}{user}", time=START, recommendation_id="r", variant=name, actions=())
    verdict = report(builder, days=17, shares=(1.0, 1.0, 1.0)).verdict
    assert verdict == (
        "challenger against champion: not decided yet: no outcomes yet; "
        "second against champion: not decided yet: no outcomes yet"
    )


def test_columns_are_built_from_names() -> None:
    builder = ColumnsBuilder(NAMES)
    builder.add_decision(user="ab12", time=1.0, recommendation_id="RID-1", variant="challenger", actions=SHOWN)
    builder.add_decision(user="cd34", time=2.0, recommendation_id="RID-2", variant="champion", actions=())
    builder.add_outcome(user="ab12", time=3.0, action=("buy", "mocha"), value=2.5, recommendation_id="RID-1")
    builder.add_outcome(user="ab12", time=4.0, recommendation_id="RID-of-others")
    builder.add_outcome(user="a stranger", time=4.0)
    columns = builder.build()
    assert columns.variant.tolist() == [1, 0]
    assert columns.decisions.starts.tolist() == [0, 2, 2]
    assert columns.growth_weight.tolist() == [0.2, 0.1] and columns.propensity.tolist() == [1.0, 0.5]
    assert columns.outcomes.action.tolist() == [1, -1]
    assert columns.outcomes.recommendation.tolist() == [0, -1]
    assert columns.outcomes.value.tolist() == [2.5, 1.0]
    with pytest.raises(ValueError, match="variant 'model': the experiment has champion, challenger"):
        builder.add_decision(user="ab12", time=1.0, recommendation_id="RID-3", variant="model", actions=())
    assert len(builder.build().decisions) == 2


def test_growth_weights_of_decisions_against_what_came_true() -> None:
    columns = filled().build()
    credited = attribute(columns.decisions, columns.outcomes, HORIZON_DAYS)
    weeks = agreement_of_decisions(
        columns.decisions, columns.growth_weight, credited, horizon_days=HORIZON_DAYS, now=START + 17 * DAY
    )
    assert sum(week.agreement.recommendations for week in weeks) == 4_000
    assert sum(week.agreement.observed for week in weeks) == 260
    assert sum(week.agreement.expected for week in weeks) == pytest.approx(2_000 * 0.3)


def test_one_variant_is_no_experiment() -> None:
    builder = ColumnsBuilder(("model",))
    with pytest.raises(ValueError, match="at least two variants"):
        report(builder, days=17, shares=(1.0,))
