"""GetActionRecommendations with stock clients against the running stack.

Source: docs/contracts/personalize.md, section 2 and the checklist of section 12.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError

from tests.contract.conftest import Program
from tests.contract.personalize_clients import Personalize, arn, error_of
from tests.contract.stacks import RunningStack

DAY = 86_400
NOW = int(time.time())


@pytest.fixture
def other_clients(stack: RunningStack, operator: httpx.Client) -> Iterator[Personalize]:
    """Clients with a key of another program."""
    body = {"program_name": "another", "high_engagement_threshold": 3, "event_relevance_decay": 365}
    made = Personalize.at(stack.url, operator.post("/programs", json=body).json()["api_key"])
    yield made
    made.close()


def create_filter(clients: Personalize, program: Program, expression: str) -> str:
    answer: dict[str, str] = clients.control.create_filter(
        name=f"filter-{uuid.uuid4().hex[:12]}",
        datasetGroupArn=arn("dataset-group", program.program_id),
        filterExpression=expression,
    )
    return answer["filterArn"]


def test_an_unknown_user_of_an_empty_program_gets_an_empty_list(clients: Personalize, program: Program) -> None:
    answer = clients.runtime.get_action_recommendations(
        campaignArn=arn("campaign", program.program_id), userId="nobody"
    )

    assert answer["actionList"] == []
    assert answer["recommendationId"].startswith("RID-")
    assert len(answer["recommendationId"]) == 40
    assert answer["ResponseMetadata"]["RequestId"]


def test_scores_are_floats_from_0_to_1_in_descending_order(clients: Personalize, program: Program) -> None:
    for days, action in enumerate(("a", "b", "c", "d", "e", "f"), 1):
        clients.take(program.program_id, "u", action, at=NOW - days * DAY)
        clients.put_action(program.program_id, action, tier="Basic")
    clients.put_action(program.program_id, "never-taken", value="5")

    scores = clients.recommend(program.program_id, "u", numResults=10)

    assert list(scores) == ["a", "b", "c", "d", "e", "f", "never-taken"]
    assert all(isinstance(score, float) and 0 <= score <= 1 for score in scores.values())
    assert list(scores.values()) == sorted(scores.values(), reverse=True)
    assert scores["never-taken"] == 0.0
    assert len(clients.recommend(program.program_id, "u")) == 5  # the default


def test_the_number_of_results_is_kept_within_its_bounds(clients: Personalize, program: Program) -> None:
    clients.take(program.program_id, "u", "a", "b", at=NOW - DAY)

    assert clients.recommend(program.program_id, "u", numResults=0) == {}
    assert len(clients.recommend(program.program_id, "u", numResults=1)) == 1
    assert len(clients.recommend(program.program_id, "u", numResults=100)) == 2
    with pytest.raises(clients.runtime.exceptions.InvalidInputException) as refused:
        clients.recommend(program.program_id, "u", numResults=101)
    assert error_of(refused.value) == ("InvalidInputException", 400)
    assert "numResults" in refused.value.response["message"]


@pytest.mark.parametrize(
    ("arguments", "member"),
    [
        ({"userId": "u"}, "campaignArn"),
        ({"campaignArn": arn("campaign", "x")}, "userId"),
        ({"campaignArn": arn("campaign", "x"), "userId": ""}, "userId"),
        ({"campaignArn": "nonsense", "userId": "u"}, "campaignArn"),
        ({"campaignArn": arn("filter", "x"), "userId": "u"}, "campaignArn"),
        ({"campaignArn": arn("campaign", "x"), "userId": "u" * 257}, "userId"),
        ({"campaignArn": arn("campaign", "x"), "userId": "u", "filterArn": "x"}, "filterArn"),
        ({"campaignArn": arn("campaign", "x"), "userId": "u", "filterValues": {"A-B": "1"}}, "filterValues"),
        ({"campaignArn": arn("campaign", "x"), "userId": "u", "filterValues": {"A": "1" * 1001}}, "filterValues"),
    ],
)
def test_what_the_sdk_does_not_check_is_refused(clients: Personalize, arguments: Any, member: str) -> None:
    with pytest.raises(clients.runtime.exceptions.InvalidInputException) as refused:
        clients.runtime.get_action_recommendations(**arguments)

    assert member in refused.value.response["message"]


def test_unknown_campaigns_and_filters_are_not_found_on_the_wire_with_404(
    clients: Personalize, program: Program
) -> None:
    for arguments in (
        {"campaignArn": arn("campaign", "no-such")},
        {"campaignArn": arn("campaign", program.program_id), "filterArn": arn("filter", "no-such")},
    ):
        with pytest.raises(clients.runtime.exceptions.ResourceNotFoundException) as refused:
            clients.runtime.get_action_recommendations(userId="u", **arguments)
        assert error_of(refused.value) == ("ResourceNotFoundException", 404)
        assert refused.value.response["message"].endswith("does not exist.")
        assert refused.value.response["ResponseMetadata"]["HTTPHeaders"]["x-amzn-errortype"] == (
            "ResourceNotFoundException"
        )


def test_a_program_that_the_key_does_not_open_reads_like_one_that_does_not_exist(
    clients: Personalize, other_clients: Personalize, program: Program
) -> None:
    clients.take(program.program_id, "u", "a", at=NOW - DAY)
    filter_arn = create_filter(clients, program, 'EXCLUDE ActionID WHERE Action_Interactions.EVENT_TYPE IN ("*")')

    def message(campaign: str) -> str:
        with pytest.raises(other_clients.runtime.exceptions.ResourceNotFoundException) as refused:
            other_clients.recommend(campaign, "u")
        return str(refused.value.response["message"]).replace(campaign, "x")

    assert message(program.program_id) == message("no-such-program")
    with pytest.raises(other_clients.events.exceptions.ResourceNotFoundException):
        other_clients.take(program.program_id, "u", "b", at=NOW)
    with pytest.raises(other_clients.control.exceptions.ResourceNotFoundException):
        other_clients.control.describe_filter(filterArn=filter_arn)
    assert other_clients.control.list_filters()["Filters"] == []


def test_a_wrong_secret_and_an_unknown_key_have_aws_s_codes(stack: RunningStack, program: Program) -> None:
    key_id, _, secret = program.key.partition(".")
    codes = []
    for key in (f"{key_id}.{secret[:-2]}xx", f"NBKAAAAAAAAAAAAAAAAA.{secret}"):
        forger = Personalize.at(stack.url, key)
        with pytest.raises(ClientError) as refused:
            forger.recommend(program.program_id, "u")
        codes.append(error_of(refused.value))
        forger.close()

    assert codes == [("InvalidSignatureException", 403), ("UnrecognizedClientException", 403)]


def test_an_interaction_counts_in_the_next_recommendation_and_filter(clients: Personalize, program: Program) -> None:
    unseen = create_filter(clients, program, 'EXCLUDE ActionID WHERE Action_Interactions.EVENT_TYPE IN ("NOT_TAKEN")')
    clients.take(program.program_id, "u", "a", "b", at=NOW - DAY)
    assert set(clients.recommend(program.program_id, "u", filterArn=unseen)) == {"a", "b"}

    clients.take(program.program_id, "u", "a", at=NOW, event_type="Not taken")

    assert set(clients.recommend(program.program_id, "u", filterArn=unseen)) == {"b"}


def test_both_dialects_see_one_truth(clients: Personalize, program: Program) -> None:
    event = {"user_id": "u", "event_type": "order", "asset_id": "latte", "event_timestamp": NOW - DAY, "labels": []}
    answer = program.http.post("/events", json={"events": [event]})
    assert answer.status_code == 200, answer.text
    clients.take(program.program_id, "u", "join-club", at=NOW - DAY)

    recommended = clients.recommend(program.program_id, "u")
    told = program.http.get("/users/u/actions").json()["actions"]

    assert set(recommended) == {"latte", "join-club"}
    assert {(entry["event_type"], entry["asset_id"]) for entry in told} == {("order", "latte"), ("TAKEN", "join-club")}


def test_expired_and_paused_actions_are_left_out_without_a_filter(clients: Personalize, program: Program) -> None:
    clients.take(program.program_id, "u", "expired", "paused", "rested", "free", at=NOW - 3 * DAY)
    clients.put_action(program.program_id, "expired", actionExpirationTimestamp=str(NOW - 60))
    clients.put_action(program.program_id, "paused", repeatFrequency=4)
    clients.put_action(program.program_id, "rested", repeatFrequency="2")
    clients.put_action(program.program_id, "free")

    assert set(clients.recommend(program.program_id, "u")) == {"rested", "free"}


def test_filters_take_values_and_the_user_s_fields(clients: Personalize, program: Program) -> None:
    clients.take(program.program_id, "u", "gold", "silver", "both", at=NOW - DAY)
    for action, tier in (("gold", "Gold"), ("silver", "Silver"), ("both", "Gold|Silver")):
        clients.put_action(program.program_id, action, membershipLevel=tier)
    by_tier = create_filter(clients, program, "INCLUDE ActionID WHERE Actions.MEMBERSHIP_LEVEL IN ($TIER)")
    for_members = create_filter(
        clients,
        program,
        'EXCLUDE ActionID WHERE Actions.MEMBERSHIP_LEVEL IN ("Gold") IF CurrentUser.MEMBERSHIP = "Basic"',
    )

    def recommend(filter_arn: str, **values: str) -> set[str]:
        return set(clients.recommend(program.program_id, "u", filterArn=filter_arn, filterValues=values))

    assert recommend(by_tier, TIER='"Gold"') == {"gold", "both"}
    assert recommend(by_tier, TIER='"Gold","Silver"') == {"gold", "silver", "both"}
    assert recommend(by_tier, TIER='"gold"') == set()
    with pytest.raises(clients.runtime.exceptions.InvalidInputException) as refused:
        recommend(by_tier)
    assert "TIER" in refused.value.response["message"]
    assert recommend(for_members) == {"gold", "silver", "both"}
    users = arn("dataset", f"{program.program_id}/USERS")
    record = {"userId": "u", "properties": json.dumps({"membership": "Basic"})}
    clients.events.put_users(datasetArn=users, users=[record])
    assert recommend(for_members) == {"silver"}


def test_item_operations_are_refused_by_name(clients: Personalize, program: Program) -> None:
    with pytest.raises(clients.runtime.exceptions.InvalidInputException):
        clients.runtime.get_recommendations(campaignArn=arn("campaign", program.program_id), userId="u")
    with pytest.raises(clients.runtime.exceptions.InvalidInputException):
        clients.runtime.get_personalized_ranking(
            campaignArn=arn("campaign", program.program_id), userId="u", inputList=["a"]
        )
