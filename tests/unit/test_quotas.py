"""Requests a second of a program."""

from __future__ import annotations

import pytest

from nextbest.actionhub.errors import answer
from nextbest.domain.programs import Incarnation
from nextbest.errors import TooManyRequests
from nextbest.logic.request_quota import RequestQuota
from nextbest.personalize.protocol.errors import Protocol, wire_error

NOW = 1_790_000_000.0


def taken(quota: RequestQuota, incarnation: Incarnation, times: int, now: float) -> int:
    """How many of ``times`` requests at once are let through."""
    count = 0
    for _ in range(times):
        try:
            quota.take(incarnation, now=now)
        except TooManyRequests:
            continue
        count += 1
    return count


def test_of_a_flood_two_seconds_worth_pass_and_then_five_each_second() -> None:
    quota = RequestQuota(5.0)

    assert taken(quota, Incarnation("shop"), 100, NOW) == 10
    assert taken(quota, Incarnation("shop"), 100, NOW + 1) == 5
    assert taken(quota, Incarnation("shop"), 100, NOW + 1.2) == 1
    assert taken(quota, Incarnation("shop"), 100, NOW + 3600) == 10


def test_one_programs_flood_leaves_another_answered() -> None:
    quota = RequestQuota(5.0)
    taken(quota, Incarnation("shop"), 100, NOW)

    assert taken(quota, Incarnation("cafe"), 10, NOW) == 10


def test_nothing_is_won_by_a_clock_that_goes_back() -> None:
    quota = RequestQuota(5.0)
    taken(quota, Incarnation("shop"), 100, NOW)

    assert taken(quota, Incarnation("shop"), 10, NOW - 60) == 0


def test_without_a_limit_all_of_a_flood_passes() -> None:
    assert taken(RequestQuota(0.0), Incarnation("shop"), 1000, NOW) == 1000


def test_both_contracts_say_so_of_a_refused_flood() -> None:
    quota = RequestQuota(0.5)
    quota.take(Incarnation("shop"), now=NOW)
    with pytest.raises(TooManyRequests) as refused:
        quota.take(Incarnation("shop"), now=NOW)

    status, body = answer(refused.value)
    assert status == 429
    assert b"0.5 requests a second" in body
    # botocore tries these again after a pause.
    assert wire_error(refused.value, Protocol.REST)[:2] == ("ThrottlingException", 400)
