"""Exploration within a program's contact policy: what the records say was likely is as often as that, in many draws."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import sqrt

import pytest

from nextbest.domain.decisions import Decision
from nextbest.domain.events import DAY_SECONDS, Event
from nextbest.domain.programs import ListCap, Program, RestRule
from nextbest.personalize.datasets.sources import NOT_TAKEN, TAKEN, VIEWED
from tests.store.conftest import create_table, dynamodb
from tests.store.test_decisions import OWNER, USER, Environment
from tests.store.test_rebasing import NOW, rebase

DRAWS = 200
WEIGHT = 0.3
"""The exploration weight of a campaign that sets none."""
LIMIT = 5
POOL = {"new-2", "new-3", "new-4", "new-5"}
RESTING = {"survey", "new-1"}
REST = RestRule((VIEWED, NOT_TAKEN), 2, 7, 14)


@pytest.fixture(scope="module")
def environment(start_engine: Callable[[str], str]) -> Environment:
    """A user who takes the club, the app and the survey and sometimes orders tea, and five actions that nobody knows.

    The survey and one of the five were viewed twice since, so that they rest. On one engine: which one makes no
    difference here.
    """
    made = Environment(create_table(dynamodb(start_engine("dynoxide")), f"test-{uuid.uuid4().hex}"))
    often = {("club", TAKEN): 1, ("app", TAKEN): 2, ("survey", TAKEN): 1, ("tea", "order"): 9}
    made.append(
        [
            Event(user, round((NOW - day * DAY_SECONDS) * 1e6), event_type, asset)
            for user in (USER, "user-4", "user-5")
            for (asset, event_type), every in often.items()
            for day in range(1, 50, every)
        ]
    )
    made.offer("club", "app", "survey", "tea", *RESTING - {"survey"}, *sorted(POOL))
    rebase(made.store, made.artifacts)
    made.append([Event(USER, round((NOW - ago) * 1e6), VIEWED, asset) for asset in RESTING for ago in (7200, 3600)])
    return made


def decisions_of(
    environment: Environment,
    *,
    rest_rules: tuple[RestRule, ...] = (REST,),
    most_per_list: tuple[ListCap, ...] = (),
    never_recommended: tuple[str, ...] = (),
) -> list[Decision]:
    """The records of many requests in a program with these settings."""

    def change(program: Program) -> Program:
        return replace(program, rest_rules=rest_rules, most_per_list=most_per_list, never_recommended=never_recommended)

    environment.store.change_program(OWNER, change)
    decisions = [
        environment.personalize(numResults=LIMIT, request_id=f"request {number}").decision for number in range(DRAWS)
    ]
    return [decision for decision in decisions if decision is not None]


def propensities_of(decisions: Sequence[Decision]) -> dict[str, float]:
    """The propensity that each action has wherever it is shown; it is shown about that often."""
    assert len(decisions) == DRAWS
    rows = {(row.asset_id, row.propensity) for decision in decisions for row in decision.actions}
    propensities = dict(rows)
    assert len(propensities) == len(rows)
    shown = Counter(row.asset_id for decision in decisions for row in decision.actions)
    for asset_id, propensity in propensities.items():
        deviation = sqrt(propensity * (1.0 - propensity) / DRAWS)
        assert shown[asset_id] / DRAWS == pytest.approx(propensity, abs=4.0 * deviation), asset_id
    return propensities


@pytest.mark.parametrize(("most", "drawn"), [(3, 1), (4, 2)])
def test_the_pool_fills_the_places_that_the_cap_leaves(environment: Environment, most: int, drawn: int) -> None:
    decisions = decisions_of(environment, most_per_list=(ListCap(TAKEN, most),))

    # Given two that are learned, and tea, which is to be ordered: the others are to be taken, as many as the cap leaves
    assert propensities_of(decisions) == {"club": 1.0, "app": 1.0, "tea": 1.0, **dict.fromkeys(POOL, drawn / len(POOL))}
    assert {len(decision.actions) for decision in decisions} == {3 + drawn}
    assert {decision.pool for decision in decisions} == {len(POOL)}


def test_under_a_full_cap_the_last_place_goes_to_the_pool_as_often_as_set(environment: Environment) -> None:
    decisions = decisions_of(environment, most_per_list=(ListCap(TAKEN, 2),), never_recommended=("order",))

    # Then a drawn action replaces the last one, and none is added. Tea, not to be ordered any more, may yet be taken.
    pool = POOL | {"tea"}
    assert {len(decision.actions) for decision in decisions} == {2}
    assert propensities_of(decisions) == {
        "club": 1.0,
        "app": 1.0 - WEIGHT,
        **dict.fromkeys(pool, WEIGHT / len(pool)),
    }


def test_under_a_full_cap_an_action_of_another_type_is_not_replaced(environment: Environment) -> None:
    decisions = decisions_of(environment, most_per_list=(ListCap(TAKEN, 2),))

    assert propensities_of(decisions) == {"club": 1.0, "app": 1.0, "tea": 1.0}
    assert [row.asset_id for row in decisions[0].actions][-1] == "tea"
    assert {decision.pool for decision in decisions} == {0}


def test_without_the_rule_the_same_actions_are_listed_and_drawn(environment: Environment) -> None:
    # So that those above were missing because they rest
    shown = {row.asset_id for decision in decisions_of(environment, rest_rules=()) for row in decision.actions}
    assert shown > RESTING
