"""A goal from the events to the answer of GET /users/{user_id}/actions, on every DynamoDB engine."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from nextbest.actionhub.actions import ActionsEndpoint
from nextbest.domain.access_keys import SCOPES, issue_key
from nextbest.domain.programs import GoalEventType
from nextbest.errors import NextbestError
from nextbest.logic.rebase import Rebase
from nextbest.logic.recommendations import Recommender
from nextbest.store.dynamo import DynamoStore
from nextbest.web.request import Request
from tests.factories import MemoryArtifacts, ticking_clock
from tests.store.conftest import PROGRAM
from tools.simulator.goal import CONFOUNDED, EFFECTIVE, GOAL, goal_population

NOW = 1_790_000_000.0
USER = "user-0004"
VALUE = 20.0


class Service:
    """A program whose users try, read and upgrade as the simulator says, and what a caller sees of it."""

    def __init__(self, store: DynamoStore) -> None:
        self.store = store
        self.artifacts = MemoryArtifacts()
        key, self.key = issue_key("m" * 32, "NBKREADER", programs=(PROGRAM.incarnation,), scopes=SCOPES)
        store.put_access_key(key)
        store.append(PROGRAM, goal_population(3, NOW, customers=80, lift=0.5).events)
        self.endpoint = ActionsEndpoint(Recommender(store, self.artifacts))

    def set_goal(self, *goal: GoalEventType) -> None:
        self.store.change_program(PROGRAM.incarnation, lambda program: replace(program, goal=goal))

    def rebase(self, start: float = NOW) -> None:
        Rebase(self.store, self.artifacts, PROGRAM.incarnation, clock=ticking_clock(start)).run()

    def get(self, **query: str) -> tuple[int, Any]:
        headers = {"program-id": PROGRAM.program_id, "actionhub-key": self.key}
        request = Request("GET", f"/users/{USER}/actions", {"user_id": USER}, tuple(query.items()), headers)
        try:
            response = self.endpoint.serve(request, now=NOW)
        except NextbestError as error:
            response = self.endpoint.refuse(error, request, NOW)
        return response.status, json.loads(response.body)

    def actions(self, **query: str) -> list[dict[str, Any]]:
        status, body = self.get(**query)
        assert status == 200, body
        listed: list[dict[str, Any]] = body["actions"]
        return listed

    def refusal(self) -> str:
        status, body = self.get(objective="goal")
        assert status == 422
        (detail,) = body["detail"]
        assert (detail["type"], detail["loc"], detail["input"]) == ("value_error", ["query", "objective"], "goal")
        return str(detail["msg"])


def by_action(actions: Sequence[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(action["event_type"], action["asset_id"]): action for action in actions}


def test_a_goal_is_learned_and_ranked_by(store: DynamoStore) -> None:
    service = Service(store)
    # Without a model, or a goal, or an estimate for this goal, there is nothing to rank by, and the answer says what
    assert "no model yet" in service.refusal()
    service.rebase(NOW - 60.0)
    assert "has no goal" in service.refusal()
    service.set_goal(GoalEventType(GOAL.event_type, VALUE))
    assert "no estimate for the program's goal yet" in service.refusal()

    # With all of it
    service.rebase()
    ranked = service.actions(objective="goal")

    # Then the order is that of the impacts, which are growth weight times effect
    assert [action["goal_impact"] for action in ranked] == sorted((a["goal_impact"] for a in ranked), reverse=True)
    named = by_action(ranked)
    goal, effective, confounded = (named[action] for action in (GOAL, EFFECTIVE, CONFOUNDED))
    assert goal["goal_effect"] | {"note": ""} == {
        **{"effect": VALUE, "counted": VALUE, "low": VALUE, "high": VALUE, "standard_error": 0.0, "users": 0},
        **{"basis": "goal", "note": ""},
    }
    assert effective["goal_effect"]["basis"] == "association"
    assert "until an experiment has shown it" in effective["goal_effect"]["note"]
    assert 0.0 < effective["goal_effect"]["low"] < effective["goal_effect"]["effect"] < 0.5 * VALUE
    assert effective["goal_effect"]["users"] >= 30
    for action in ranked:
        assert action["goal_impact"] == pytest.approx(action["growth_weight"] * action["goal_effect"]["counted"])
    assert effective["goal_impact_low"] == pytest.approx(effective["growth_weight"] * effective["goal_effect"]["low"])
    assert confounded["goal_effect"]["basis"] == "uncertain"
    assert abs(confounded["goal_effect"]["counted"]) < abs(confounded["goal_effect"]["effect"])
    assert ranked.index(effective) < ranked.index(confounded)
    assert confounded["goal_effect"]["low"] < 0.0 < confounded["goal_effect"]["high"]
    # And whoever does not ask for the goal gets the same growth weights, and no word of it
    for action in service.actions():
        assert not any(member.startswith("goal") for member in action)
        assert named[action["event_type"], action["asset_id"]].items() >= action.items()
    # And it narrows, explains and limits like any other request
    assert service.actions(objective="goal", limit="1") == ranked[:1]
    (only,) = service.actions(objective="goal", event_types=EFFECTIVE.event_type, explain="true")
    assert only["explanation"]["goal_sentence"].startswith("Users who tried “trial” reached the goal ")
    assert "goal_sentence" not in service.actions(explain="true")[0]["explanation"]

    # Another goal waits for its own estimates, and without one there is none
    service.set_goal(GoalEventType(GOAL.event_type, VALUE + 1.0))
    assert "no estimate for the program's goal yet" in service.refusal()
    service.set_goal()
    assert "has no goal" in service.refusal()
