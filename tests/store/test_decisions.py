"""Decisions: what the records of both dialects hold, and that nobody can tie those of a deleted user to them."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from nextbest.actionhub.actions import ActionsEndpoint
from nextbest.aws.table import Table
from nextbest.domain.access_keys import SCOPES, issue_key
from nextbest.domain.actions import Action
from nextbest.domain.decisions import DecidedAction, Decision, derived_salt, is_recorded, user_hash
from nextbest.domain.events import Event
from nextbest.errors import NextbestError, NotFound
from nextbest.logic.authorization import SecretCredentials
from nextbest.logic.recommendations import Recommender
from nextbest.logic.users import delete_user
from nextbest.personalize.events.records import put_actions
from nextbest.personalize.protocol.arns import CAMPAIGN, DATASET, FILTER, Arns
from nextbest.personalize.runtime.action_recommendations import ActionList, PersonalizeRuntimeEndpoints
from nextbest.store.cache import CatalogueCache
from nextbest.store.configuration import program_key
from nextbest.store.dynamo import DynamoStore
from nextbest.store.salts import DECISION_KEY
from nextbest.web.request import Request
from nextbest.web.response import Response
from tests.factories import MemoryArtifacts, drink_events
from tests.store.conftest import PROGRAM, create_table, dynamodb
from tests.store.test_rebasing import NOW, rebase

OWNER = PROGRAM.incarnation
MASTER_SECRET = "m" * 32
ARNS = Arns()
USER = "user-3"


class Environment:
    """A program, and one warm environment of each hot function."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.store = DynamoStore(table)
        self.store.create_program(PROGRAM)
        self.artifacts = MemoryArtifacts()
        key, self._text = issue_key(MASTER_SECRET, "NBKREADER", programs=(OWNER,), scopes=SCOPES)
        self._key = key
        self.store.put_access_key(key)
        recommender = Recommender(self.store, self.artifacts)
        self._actions = ActionsEndpoint(recommender)
        self._recommender = PersonalizeRuntimeEndpoints(recommender, lambda: MASTER_SECRET).recommender

    def buy(self) -> None:
        """Everyone's orders, and a model of them."""
        self.append(drink_events(now=NOW))
        self.version = rebase(self.store, self.artifacts)

    def append(self, events: list[Event]) -> None:
        state = self.store.program_state(PROGRAM.program_id)
        assert state is not None
        self.store.append(state.program, events)

    def offer(self, *action_ids: str) -> None:
        rows = [{"actionId": name} for name in action_ids]
        body = {"datasetArn": ARNS.of(DATASET, f"{PROGRAM.program_id}/ACTIONS"), "actions": rows}
        put_actions(self.store, CatalogueCache(self.store, self.artifacts), self._key, body)

    def decision_key(self) -> bytes:
        state = self.store.program_state(PROGRAM.program_id)
        assert state is not None
        return state.program.decision_key

    def salt(self, user_id: str) -> bytes:
        return self.store.read_user(OWNER, user_id).salt or derived_salt(self.decision_key(), user_id)

    def actionhub(self, user_id: str = USER, *, request_id: str = "r", **query: str) -> Response:
        request = Request(
            "GET",
            f"/users/{user_id}/actions",
            path_parameters={"user_id": user_id},
            query=tuple(query.items()),
            headers={"actionhub-key": self._text, "program-id": PROGRAM.program_id},
            request_id=request_id,
        )
        try:
            return self._actions.serve(request, now=NOW)
        except NextbestError as error:
            return self._actions.refuse(error, request, NOW)

    def personalize(self, user_id: str = USER, *, request_id: str = "r", **members: Any) -> ActionList:
        body = {"campaignArn": ARNS.of(CAMPAIGN, PROGRAM.program_id), "userId": user_id, **members}
        credentials = SecretCredentials.read(self._text)
        return self._recommender.recommend(json.dumps(body).encode(), credentials, now=NOW, request_id=request_id)


def record_of(response: Response) -> Decision:
    """The record in the fields of the log line."""
    return Decision.from_members(json.loads(json.dumps(response.fields["decision"])))


@pytest.fixture
def environment(start_engine: Callable[[str], str]) -> Environment:
    """On one engine: which one makes no difference here."""
    return Environment(create_table(dynamodb(start_engine("dynoxide")), f"test-{uuid.uuid4().hex}"))


def test_the_record_of_actionhub_is_the_answer(environment: Environment) -> None:
    environment.buy()
    environment.append([Event("new", round((NOW - 60) * 1e6), "order", "tea")])
    expression, values = "EXCLUDE ActionID WHERE Actions.TIER IN ($not)", {"not": '"gold"'}
    response = environment.actionhub(
        "new", limit="2", allow_repeats="no", filter=expression, filter_values=json.dumps(values)
    )
    assert response.status == 200, response.body
    record = record_of(response)

    assert record == Decision(
        recommendation_id=response.headers["x-nextbest-decision"],
        time=NOW,
        program="coffee",
        dialect="actionhub",
        user=user_hash(environment.salt("new"), "new"),
        experiments={},
        model=environment.version,
        filter=expression,
        filter_values=values,
        allow_repeats=False,
        limit=2,
        actions=record.actions,
        pool=0,
        sampling=1.0,
    )
    answered = json.loads(response.body)["actions"]
    assert record.actions == tuple(
        DecidedAction(entry["event_type"], entry["asset_id"], entry["growth_weight"], entry["base_weight"], 1.0)
        for entry in answered
    )
    assert len(answered) == 2


def test_the_record_of_personalize_is_the_answer(environment: Environment) -> None:
    # Given three learned actions and four that nobody did, for a list that is longer than the learned ones
    taken = [Event(USER, round((NOW - day * 86_400) * 1e6), "TAKEN", name)
             for day in range(1, 40) for name in ("club", "app", "survey")]  # fmt: skip
    environment.append(taken)
    environment.offer("club", "app", "survey", "new-1", "new-2", "new-3", "new-4")
    version = rebase(environment.store, environment.artifacts)

    actions = environment.personalize(numResults=5)
    record = actions.decision

    assert record is not None
    assert record.recommendation_id == actions.members()["recommendationId"]
    assert (record.dialect, record.model, record.limit, record.allow_repeats) == ("personalize", version, 5, True)
    assert (record.filter, record.filter_values, record.experiments) == (None, {}, {})
    answered = actions.members()["actionList"]
    assert [(entry.asset_id, entry.growth_weight) for entry in record.actions] == [
        (entry["actionId"], entry["score"]) for entry in answered
    ]
    # Then what was learned has the weight of having been taken, and what was drawn its chance: two places for four
    base = environment.store.read_user(OWNER, USER).history
    assert base is not None
    weights = base.base_weights(PROGRAM.half_life_days, NOW)
    for entry in record.actions[:3]:
        assert entry == DecidedAction("TAKEN", entry.asset_id, entry.growth_weight, entry.base_weight, 1.0)
        assert entry.base_weight == weights[Action(entry.event_type, entry.asset_id)] > 0
    assert record.pool == 4
    assert [(entry.growth_weight, entry.base_weight, entry.propensity) for entry in record.actions[3:]] == [
        (0.0, 0.0, 0.5)
    ] * 2


def test_the_filter_of_personalize_is_recorded_by_name_with_the_values_as_sent(environment: Environment) -> None:
    environment.offer("club")
    expression = "INCLUDE ActionID WHERE Actions.TIER IN ($tier)"
    stored = {"expression": expression, "schema": {"Actions": {"TIER": "string"}}, "status": "ACTIVE"}
    environment.store.put_resource(OWNER, FILTER, "tier", stored)

    decision = environment.personalize(filterArn=ARNS.of(FILTER, "tier"), filterValues={"tier": '"gold"'}).decision

    assert decision is not None
    assert (decision.filter, decision.filter_values) == ("tier", {"tier": '"gold"'})


def test_what_has_no_utf8_form_costs_no_request_its_log_line(environment: Environment) -> None:
    environment.buy()
    expression, values = "EXCLUDE ActionID WHERE Actions.ACTION_ID IN ($not)", r'{"not": "\"\ud800\""}'
    response = environment.actionhub(filter=expression, filter_values=values)
    assert response.status == 200, response.body
    record = record_of(response)
    assert record.filter_values == {"not": r'"\ud800"'}
    assert Decision.from_json(record.to_json().encode()) == record


def test_a_user_has_one_hash_before_and_after_the_first_event(environment: Environment) -> None:
    environment.offer("club")
    cold = environment.personalize("ann").decision
    environment.append([Event("ann", round(NOW * 1e6), "TAKEN", "club")])
    known = environment.personalize("ann").decision
    other = environment.personalize("bob").decision

    assert cold is not None
    assert known is not None
    assert other is not None
    assert cold.user == known.user
    assert other.user != known.user
    assert "ann" not in known.to_json()


def test_records_of_a_deleted_user_cannot_be_tied_to_them(environment: Environment) -> None:
    # Given decisions for a user with a history, and for one of whom nothing is stored
    environment.offer("club")
    environment.append(drink_events(now=NOW))
    before = {
        user_id: decision.user
        for user_id in (USER, "cold")
        if (decision := environment.personalize(user_id).decision) is not None
    }
    assert len(before) == 2
    # When both are deleted
    delete_user(environment.store, environment.artifacts, OWNER, USER, now=NOW)
    with pytest.raises(NotFound):
        delete_user(environment.store, environment.artifacts, OWNER, "cold", now=NOW)
    # Then no secret that is stored anywhere gives their hashes, even to those who know the ids
    items = environment.table.client.scan(TableName=environment.table.name)["Items"]
    secrets = [value["B"] for item in items for value in item.values() if "B" in value and len(value["B"]) <= 64]
    assert environment.decision_key() in secrets
    for user_id, old in before.items():
        assert old not in {user_hash(secret, user_id) for secret in secrets}
        assert old not in {user_hash(derived_salt(secret, user_id), user_id) for secret in secrets}
        decision = environment.personalize(user_id).decision
        assert decision is not None
        assert decision.user != old


def test_the_share_that_is_recorded_is_of_users_in_both_dialects(environment: Environment) -> None:
    environment.buy()
    environment.offer("club")

    def records(share: float) -> list[Decision]:
        """Of 100 users without a history, who ask twice, and of one with a history, who asks in both dialects."""
        environment.store.change_program(OWNER, lambda program: replace(program, decision_share=share))
        known = [environment.actionhub(request_id=f"a{number}", limit="1") for number in range(2)]
        assert all(response.headers["x-nextbest-decision"].startswith("RID-") for response in known)
        cold = [f"cold-{number}" for number in range(100)] * 2 + [USER]
        decisions = [environment.personalize(user_id, request_id=f"p{at}").decision for at, user_id in enumerate(cold)]
        recorded = [record_of(response) for response in known if "decision" in response.fields]
        return recorded + [decision for decision in decisions if decision is not None]

    half = records(0.5)
    counts = Counter(record.user for record in half)
    assert 30 <= len(counts) <= 70
    known = user_hash(environment.salt(USER), USER)
    assert all(count == (3 if user == known else 2) for user, count in counts.items())
    assert (known in counts) == is_recorded(known, 0.5)
    assert {record.sampling for record in half} == {0.5}
    assert records(0.5) == half
    assert records(0.0) == []
    assert len(records(1.0)) == 203


def test_an_answer_of_nothing_is_a_decision_too(environment: Environment) -> None:
    environment.buy()
    assert record_of(environment.actionhub(event_types="order", exclude_event_types="order")).actions == ()


def test_without_a_key_there_is_no_record_and_the_answer_is_the_same(environment: Environment) -> None:
    # Given a program from before there were decision keys
    environment.table.update(program_key(PROGRAM.program_id), f"REMOVE {DECISION_KEY}", {})
    environment.append([Event(USER, round(NOW * 1e6) - 1, "order", "tea")])
    response = environment.actionhub()
    assert response.status == 200
    assert "decision" not in response.fields
    assert response.headers["x-nextbest-decision"]
    assert environment.personalize().decision is None


def test_what_is_refused_is_no_decision(environment: Environment) -> None:
    response = environment.actionhub("stranger")
    assert response.status == 404
    assert "decision" not in response.fields
    assert "x-nextbest-decision" not in response.headers
