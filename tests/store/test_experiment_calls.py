"""Calls about experiments in process, on every DynamoDB engine: answers, rights, and which field is wrong."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from nextbest.aws.table import Table
from nextbest.domain.access_keys import READ, WRITE, issue_key
from nextbest.logic.experiment_plans import compute_plan
from nextbest.logic.rebase import Rebase
from nextbest.store.dynamo import DynamoStore
from tests.factories import drink_events, ticking_clock
from tests.store.conftest import PROGRAM
from tests.store.test_actionhub_calls import MASTER_SECRET, NOW, Caller

HOLDOUT = {"experiment_id": "h", "name": "Hold", "kind": "holdout", "share": 0.1}
RIVAL = {"experiment_id": "r", "name": "Rival", "kind": "challenger", "share": 0.5}


@pytest.fixture
def caller(store: DynamoStore, table: Table) -> Caller:
    return Caller(store, table, random=Random(1))


def test_an_experiment_from_its_draft_to_its_end(caller: Caller, store: DynamoStore) -> None:
    status, drafted = caller("POST", "/experiments", HOLDOUT)
    assert status == 200
    assert (drafted["state"], drafted["variants"], drafted["holdout_list"]) == (
        "draft",
        ["holdout", "model"],
        "popular",
    )
    assert drafted["horizon_days"] == PROGRAM.horizon_days
    assert caller("POST", "/experiments", HOLDOUT)[0] == 409
    assert caller("PUT", "/experiments/h/start")[0] == 409  # there is no model yet
    store.append(PROGRAM, drink_events(6, now=NOW))
    Rebase(store, caller.artifacts, PROGRAM.incarnation, clock=ticking_clock(NOW)).run()
    assert caller("PUT", "/experiments/h/start")[1]["state"] == "running"
    assert caller("PUT", "/experiments/h", {"share": 0.2})[1]["share"] == 0.2
    assert caller("DELETE", "/experiments/h")[0] == 409
    stopped = caller("PUT", "/experiments/h/stop")[1]
    assert stopped["state"] == "stopped"
    assert stopped["ts_started"]
    assert caller("GET", "/experiments")[1] == {"experiments": [stopped]}
    assert caller("GET", "/experiments/h") == (200, stopped)
    assert caller("DELETE", "/experiments/h")[0] == 200
    for method, path in (("GET", ""), ("PUT", "/start"), ("PUT", "/stop"), ("PUT", "/promote"), ("DELETE", "")):
        assert caller(method, f"/experiments/h{path}")[0] == 404


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        ({**HOLDOUT, "share": 0}, ["body", "share"]),
        ({**HOLDOUT, "share": 1}, ["body", "share"]),
        ({**HOLDOUT, "kind": "other"}, ["body", "kind"]),
        ({**HOLDOUT, "holdout_list": "all"}, ["body", "holdout_list"]),
        ({**HOLDOUT, "experiment_id": "a/b"}, ["body", "experiment_id"]),
        ({**HOLDOUT, "challenger": {"allow_repeats": True}}, ["body", "challenger"]),
        ({**HOLDOUT, "shares": 0.1}, ["body", "shares"]),
        ({**HOLDOUT, "headline": "money"}, ["body", "headline"]),
        ({**HOLDOUT, "least_effect": 0}, ["body", "least_effect"]),
        ({**HOLDOUT, "least_effect": 11}, ["body", "least_effect"]),
        (RIVAL, ["body", "challenger"]),
        ({**RIVAL, "challenger": {}}, ["body", "challenger"]),
        ({**RIVAL, "challenger": {"floor": 1}}, ["body", "challenger", "floor"]),
        ({**RIVAL, "challenger": {"exploration_weight": 2}}, ["body", "challenger", "exploration_weight"]),
        ({**RIVAL, "challenger": {"model_version": "../secret"}}, ["body", "challenger", "model_version"]),
        (
            {**RIVAL, "challenger": {"model_version": "0" * 13 + "-" + "0" * 12}},
            ["body", "challenger", "model_version"],
        ),
        ({**RIVAL, "challenger": {"event_types": []}}, ["body", "challenger", "event_types"]),
    ],
)
def test_what_is_wrong_is_named(caller: Caller, body: dict[str, Any], loc: list[str]) -> None:
    status, answer = caller("POST", "/experiments", body)
    assert status == 422
    assert answer["detail"][0]["loc"] == loc
    assert caller("GET", "/experiments")[1] == {"experiments": []}


def test_an_experiment_is_planned_as_a_draft_alone(caller: Caller, store: DynamoStore) -> None:
    drafted = caller("POST", "/experiments", {**HOLDOUT, "headline": "rate", "least_effect": 0.05})[1]
    assert (drafted["headline"], drafted["least_effect"], drafted["plan"]) == ("rate", 0.05, None)
    assert caller("PUT", "/experiments/h/plan")[0] == 200
    compute_plan(store, PROGRAM.incarnation, "h", now=NOW)
    plan = caller("GET", "/experiments/h")[1]["plan"]
    assert (plan["users"], plan["active_users"], plan["reason"]) == (None, 0, "fewer than 100 users were active before")
    status, answer = caller("PUT", "/experiments/h", {"least_effect": None})
    assert (status, answer["plan"], answer["least_effect"]) == (200, None, None)
    assert "no least_effect" in caller("PUT", "/experiments/h/plan")[1]["detail"]
    assert caller("PUT", "/experiments/none/plan")[0] == 404


@pytest.mark.parametrize("scope", [READ, WRITE])
def test_only_those_who_administer_change_experiments(caller: Caller, store: DynamoStore, scope: str) -> None:
    caller("POST", "/experiments", HOLDOUT)
    key, text = issue_key(MASTER_SECRET, "NBKNARROW", programs=(PROGRAM.incarnation,), scopes=(scope,))
    store.put_access_key(key)
    caller.key = text
    assert caller("POST", "/experiments", RIVAL)[0] == 403
    for method, path in (
        ("PUT", "/start"),
        ("PUT", "/stop"),
        ("PUT", "/promote"),
        ("PUT", "/plan"),
        ("DELETE", ""),
        ("PUT", ""),
    ):
        body = {"name": "x"} if (method, path) == ("PUT", "") else None
        assert caller(method, f"/experiments/h{path}", body)[0] == 403
    assert caller("GET", "/experiments")[0] == 200
