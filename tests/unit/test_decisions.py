"""Decisions: the record as one line of JSON, and the keyed hash of a user."""

from __future__ import annotations

import json
from dataclasses import replace
from uuid import NAMESPACE_OID, uuid5

import numpy as np
import pytest
from scipy.stats import binomtest, chi2_contingency

from nextbest.domain.decisions import DecidedAction, Decision, derived_salt, is_recorded, user_hash
from nextbest.domain.experiments import number_of
from nextbest.errors import InvalidInput
from nextbest.logic.decisions import recommendation_id_of

DECISION = Decision(
    recommendation_id="RID-8e6a3d0e-0000-5000-8000-000000000001",
    time=1_790_000_000.25,
    program="cafe",
    dialect="actionhub",
    user="0123456789abcdef0123456789abcdef",
    experiments={"x1": "holdout"},
    model="1790000000000-ab12",
    filter="INCLUDE ActionID WHERE Actions.PRICE < $most",
    filter_values={"most": "5"},
    allow_repeats=True,
    limit=2,
    actions=(DecidedAction("BUY", "tea", 0.25, 1.5), DecidedAction("BUY", "Käse", 0.125, 0.0, 0.5)),
    pool=4,
    sampling=0.5,
)


def test_a_decision_is_one_line_of_json_and_back() -> None:
    line = DECISION.to_json()
    assert "\n" not in line
    assert Decision.from_json(line) == DECISION
    assert Decision.from_json(line.encode()) == DECISION
    bare = replace(DECISION, filter=None, filter_values={}, experiments={}, actions=(), pool=0, sampling=1.0)
    assert Decision.from_json(bare.to_json()) == bare


def test_the_members_are_those_of_the_documented_record() -> None:
    members = json.loads(DECISION.to_json())
    assert members["actions"] == [["BUY", "tea", 0.25, 1.5, 1.0], ["BUY", "Käse", 0.125, 0.0, 0.5]]
    assert list(members) == [
        "recommendation_id",
        "time",
        "program",
        "dialect",
        "user",
        "experiments",
        "model",
        "filter",
        "filter_values",
        "allow_repeats",
        "limit",
        "actions",
        "pool",
        "sampling",
    ]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{",
        "[]",
        "1",
        "{}",
        DECISION.to_json().replace('"tea",', ""),
        DECISION.to_json().replace("0.25,1.5", '"","x"'),
    ],
    ids=["nothing", "broken", "a list", "a number", "no members", "an action too short", "weights that are text"],
)
def test_what_is_no_decision_is_refused(line: str) -> None:
    with pytest.raises(InvalidInput, match="not a decision"):
        Decision.from_json(line)


def test_members_of_later_versions_are_left_out() -> None:
    assert Decision.from_json(DECISION.to_json().replace('{"rec', '{"later":1,"rec', 1)) == DECISION


def test_hashes_of_users_are_stable_and_need_the_salt() -> None:
    """Pinned values: a version that hashed otherwise would tear every user's decisions in two."""
    salt = derived_salt(bytes(range(16)), "ann")
    assert salt.hex() == "9fb1e5975d11ed38bd176e9f38a8e5a1"
    assert user_hash(salt, "ann") == "918c494e020dd5d9fb8517fdd8bcdb89"
    assert user_hash(derived_salt(bytes(16), "ann"), "ann") != user_hash(salt, "ann")
    assert user_hash(salt, "bob") != user_hash(salt, "ann")
    assert len(user_hash(salt, "\ud800")) == 32  # half of a surrogate pair, as a client may send it


@pytest.mark.parametrize("request_id", ["", "JKJaXmPLvHcESHA=", "c6af9ac6-7b61-11e6-9a41-93e8deadbeef", "ünïcode"])
def test_recommendation_ids_are_those_of_the_standard_library(request_id: str) -> None:
    assert recommendation_id_of(request_id) == f"RID-{uuid5(NAMESPACE_OID, request_id)}"


@pytest.mark.parametrize(
    ("user", "share", "recorded"),
    [
        ("0" * 32, 0.0, False),
        ("0" * 32, 1e-300, True),
        ("7" + "f" * 31, 0.5, True),
        ("8" + "0" * 31, 0.5, False),
        ("f" * 32, 0.999, False),
        ("f" * 32, 1.0, True),
    ],
)
def test_a_hash_is_a_number_that_the_share_is_compared_with(user: str, share: float, recorded: bool) -> None:
    assert is_recorded(user, share) is recorded


def test_a_share_is_the_share_of_users_and_a_larger_one_keeps_them() -> None:
    users = [user_hash(derived_salt(bytes(range(16)), f"user-{number}"), f"user-{number}") for number in range(20_000)]
    few, many = ({user for user in users if is_recorded(user, share)} for share in (0.1, 0.4))
    assert binomtest(len(few), len(users), 0.1).pvalue > 0.001
    assert binomtest(len(many), len(users), 0.4).pvalue > 0.001
    assert few < many


@pytest.mark.parametrize("experiment_id", ["lift", "price"])
def test_who_is_recorded_says_nothing_about_the_variant(experiment_id: str) -> None:
    table = np.zeros((2, 10))
    for user_id in (f"user-{number}" for number in range(20_000)):
        recorded = is_recorded(user_hash(derived_salt(bytes(range(16)), user_id), user_id), 0.3)
        table[int(recorded), int(10 * number_of(experiment_id, user_id))] += 1
    assert chi2_contingency(table).pvalue > 0.001
