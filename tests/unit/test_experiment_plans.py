"""How many users the least effect of an experiment takes, from the events before it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from nextbest.domain.events import DAY_SECONDS, Event
from nextbest.domain.experiments import Experiment, ExperimentKind
from nextbest.domain.outcomes import outcome_value
from nextbest.domain.programs import GoalEventType, Program
from nextbest.lift.comparison import compare_variants
from nextbest.logic.experiment_plans import plan_of

NOW = 1_790_000_000.0
PROGRAM = Program("shop", goal=(GoalEventType("order", 2.0),))
DRAFT = Experiment("e", "E", ExperimentKind.HOLDOUT, 0.5, 7, NOW, least_effect=0.5)


def event(user: int, days_ago: float, event_type: str = "order", value: float | None = None) -> tuple[Event, float]:
    """An event, with what it is worth."""
    made = Event(f"user-{user:04d}", round((NOW - days_ago * DAY_SECONDS) * 1e6), event_type, "tea", event_value=value)
    return made, outcome_value(PROGRAM, made.event_type, made.event_value, None)


def events(users: int, reached: int) -> Iterator[tuple[Event, float]]:
    """Users who viewed something 10 days ago, of whom some ordered twice since; and others whom nobody asks about."""
    for user in range(users):
        yield event(user, 10.0, "view")
        if user < reached:
            yield from (event(user, 3.0), event(user, 2.0))
    yield from (event(5_000, 3.0), event(5_001, 20.0), event(5_002, -1.0))


def test_a_plan_is_made_of_what_active_users_did_next() -> None:
    rate = plan_of(PROGRAM, replace(DRAFT, headline="rate"), events(1_000, 200), now=NOW)
    value = plan_of(PROGRAM, DRAFT, events(1_000, 200), now=NOW)  # the program has a goal

    assert (rate.active_users, rate.mean) == (1_000, 0.2)
    assert rate.deviation == pytest.approx(0.4, rel=1e-3)
    assert rate.effect == pytest.approx(0.1)
    assert value.mean == pytest.approx(0.8)
    assert value.effect == pytest.approx(0.4)
    assert rate.users == value.users  # both vary in proportion
    assert plan_of(PROGRAM, replace(DRAFT, share=0.1), events(1_000, 200), now=NOW).users == pytest.approx(
        (value.users or 0) * 0.25 / 0.09, abs=1
    )


def test_the_planned_users_show_the_effect_with_the_chance_that_was_promised() -> None:
    plan = plan_of(PROGRAM, replace(DRAFT, headline="rate"), events(1_000, 200), now=NOW)
    assert plan.users is not None
    random = np.random.default_rng(5)

    def shows() -> bool:
        assert plan.users is not None
        variant = (random.random(plan.users) < DRAFT.share).astype(np.int64)
        outcome = (random.random(plan.users) < np.where(variant == 1, 0.3, 0.2)).astype(np.float64)
        (comparison,) = compare_variants(("holdout", "model"), variant, outcome, planned_users=plan.users)
        interval = comparison.plain.difference.always_valid
        return interval is not None and interval.excludes(0.0)

    # 200 times 80 % within three standard errors; rates of .3 vary a little more than those of .2
    assert 0.70 <= np.mean([shows() for _ in range(200)]) <= 0.88


def test_a_refund_is_in_the_value_and_reaches_nothing() -> None:
    refunds = [event(user, 1.0, value=-2.0) for user in range(900, 1_000)]
    rate = plan_of(PROGRAM, replace(DRAFT, headline="rate"), [*events(1_000, 200), *refunds], now=NOW)
    value = plan_of(PROGRAM, DRAFT, [*events(1_000, 200), *refunds], now=NOW)
    assert rate.mean == 0.2
    assert value.mean == pytest.approx(0.8 - 0.2)


@pytest.mark.parametrize(
    ("users", "reached", "reason"),
    [(99, 50, "fewer than 100 users were active"), (1_000, 9, "fewer than 10 users had an outcome")],
)
def test_too_little_before_is_a_reason(users: int, reached: int, reason: str) -> None:
    plan = plan_of(PROGRAM, DRAFT, events(users, reached), now=NOW)
    assert (plan.users, plan.active_users) == (None, users)
    assert plan.reason.startswith(reason)


def test_an_effect_that_no_number_of_users_shows_is_a_reason() -> None:
    plan = plan_of(PROGRAM, replace(DRAFT, least_effect=1e-6), events(1_000, 200), now=NOW)
    assert plan.users is None
    assert plan.reason == "no number of users could show so small an effect"
