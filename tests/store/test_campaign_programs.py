"""Whose campaign a request is about: names are a program's own, and the caller's key says whose is meant."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from nextbest.aws.table import Table
from nextbest.domain.access_keys import SCOPES, issue_key
from nextbest.domain.assets import Asset
from nextbest.domain.events import Event
from nextbest.domain.programs import EventTypeOrder, Incarnation, Program
from nextbest.errors import InvalidInput, NextbestError, NotFound
from nextbest.logic.authorization import SecretCredentials
from nextbest.logic.recommendations import Recommender
from nextbest.personalize.runtime.action_recommendations import PersonalizeRuntimeEndpoints
from nextbest.personalize.runtime.campaign_programs import REMEMBERED_SECONDS
from nextbest.store.dynamo import DynamoStore
from tests.factories import MemoryArtifacts
from tests.store.conftest import create_table, dynamodb
from tests.store.tenants import ARNS, NOW, control, fill, key_of, recorded

MASTER_SECRET = "m" * 32


class Runtime:
    """One environment that serves GetActionRecommendations."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.store = DynamoStore(table)
        endpoints = PersonalizeRuntimeEndpoints(Recommender(self.store, MemoryArtifacts()), lambda: MASTER_SECRET)
        self._recommender = endpoints.recommender

    def key(self, *program_ids: str) -> SecretCredentials:
        """A key of some programs, or of none: an operator's."""
        key_id, programs = f"NBK{'-'.join(program_ids) or 'OPERATOR'}", tuple(map(Incarnation, program_ids))
        key, text = issue_key(MASTER_SECRET, key_id, programs=programs, scopes=SCOPES)
        self.store.put_access_key(key)
        return SecretCredentials.read(text)

    def program(self, program_id: str) -> None:
        """A program whose user took an action with the program's name."""
        self.store.create_program(Program(program_id))
        self.took(program_id)

    def took(self, program_id: str) -> None:
        event = Event("ada", round((NOW - 60) * 1e6), "TAKEN", f"action-of-{program_id}", source="personalize")
        self.store.append(Program(program_id), [event])

    def recommend(self, caller: SecretCredentials, campaign: str, *, now: float = NOW, **members: Any) -> set[str]:
        body: Mapping[str, Any] = {"campaignArn": ARNS.of("campaign", campaign), "userId": "ada", **members}
        return set(self._recommender.recommend(json.dumps(body).encode(), caller, now=now, request_id="r").scores)


@pytest.fixture
def table(start_engine: Callable[[str], str]) -> Table:
    """An empty table: which engine it is on makes no difference here."""
    return create_table(dynamodb(start_engine("dynoxide")), f"test-{uuid.uuid4().hex}")


@pytest.fixture
def runtime(table: Table) -> Runtime:
    return Runtime(table)


def test_a_campaign_named_like_a_program_that_comes_later_takes_nothing_from_it(runtime: Runtime) -> None:
    # Given a campaign of A with the name of a program that does not exist yet
    version = fill(runtime.store, "aa", seed=1).version
    runtime.took("aa")
    control(runtime.store, key_of("aa"), "CreateCampaign", name="dd", solutionVersionArn=version)
    operator = runtime.key()
    assert runtime.recommend(operator, "dd") == {"action-of-aa"}

    # When that program is created
    runtime.program("dd")

    # Then its own campaign is there for its keys, and for an operator once the other is forgotten
    assert runtime.recommend(runtime.key("dd"), "dd") == {"action-of-dd"}
    assert runtime.recommend(operator, "dd", now=NOW + REMEMBERED_SECONDS) == {"action-of-dd"}
    assert Runtime(runtime.table).recommend(operator, "dd") == {"action-of-dd"}
    # And A's is A's as before
    assert runtime.recommend(runtime.key("aa"), "dd") == {"action-of-aa"}


def test_a_campaign_may_have_the_name_of_another_tenant_s_program(runtime: Runtime) -> None:
    runtime.program("dd")
    version = fill(runtime.store, "aa", seed=1).version
    control(runtime.store, key_of("aa"), "CreateCampaign", name="dd", solutionVersionArn=version)
    runtime.took("aa")

    assert runtime.recommend(runtime.key("aa"), "dd") == {"action-of-aa"}
    assert runtime.recommend(runtime.key("dd"), "dd") == {"action-of-dd"}
    assert runtime.recommend(runtime.key("aa", "dd"), "dd") == {"action-of-dd"}


def test_a_campaign_that_could_be_any_of_several_is_refused(runtime: Runtime) -> None:
    for seed, program_id in enumerate(("aa", "bb")):
        fill(runtime.store, program_id, seed)
        runtime.took(program_id)

    for several in (runtime.key("aa", "bb"), runtime.key()):
        with pytest.raises(InvalidInput, match="Several of the dataset groups"):
            runtime.recommend(several, "c")
    assert runtime.recommend(runtime.key("aa"), "c") == {"action-of-aa"}
    assert runtime.recommend(runtime.key("bb"), "c") == {"action-of-bb"}
    control(runtime.store, key_of("aa"), "DeleteCampaign", campaignArn=ARNS.of("campaign", "c"))
    assert runtime.recommend(runtime.key("aa", "bb"), "c") == {"action-of-bb"}
    assert runtime.recommend(runtime.key(), "c") == {"action-of-bb"}


def test_filters_of_the_same_name_are_not_confused(runtime: Runtime) -> None:
    for seed, program_id in enumerate(("aa", "bb")):
        fill(runtime.store, program_id, seed)
        runtime.took(program_id)
    group = ARNS.of("dataset-group", "aa")
    for name, event_type in (("g", "TAKEN"), ("h", "TAKEN")):
        expression = f'EXCLUDE ActionID WHERE Action_Interactions.EVENT_TYPE IN ("{event_type}")'
        control(
            runtime.store, key_of("aa"), "CreateFilter", name=name, datasetGroupArn=group, filterExpression=expression
        )
    expression = 'EXCLUDE ActionID WHERE Action_Interactions.EVENT_TYPE IN ("VIEWED")'
    control(runtime.store, key_of("bb"), "CreateFilter", name="g", datasetGroupArn=ARNS.of("dataset-group", "bb"),
            filterExpression=expression)  # fmt: skip

    for _ in range(2):
        assert runtime.recommend(runtime.key("aa"), "c", filterArn=ARNS.of("filter", "g")) == set()
        assert runtime.recommend(runtime.key("bb"), "c", filterArn=ARNS.of("filter", "g")) == {"action-of-bb"}
    with pytest.raises(NotFound):
        runtime.recommend(runtime.key("bb"), "c", filterArn=ARNS.of("filter", "h"))
    with pytest.raises(InvalidInput, match="belongs to another dataset group than the campaign"):
        runtime.recommend(runtime.key("aa", "bb"), "bb", filterArn=ARNS.of("filter", "h"))


def test_nothing_tells_campaigns_and_programs_of_others_from_such_as_do_not_exist(runtime: Runtime) -> None:
    runtime.program("bb")
    fill(runtime.store, "aa", seed=1)
    runtime.took("aa")

    for environment in ("cold", "warm"):
        outcomes = []
        for campaign in ("aa", "xx", "c", "y"):
            asked = Runtime(runtime.table) if environment == "cold" else runtime
            caller = asked.key("bb")
            if environment == "warm":
                asked.recommend(caller, "bb")
            with recorded(runtime.table.client) as calls, pytest.raises(NextbestError) as refused:
                asked.recommend(caller, campaign)
            made = [(name, tuple(key.replace(f"campaign#{campaign}", "") for key in keys)) for name, keys in calls.made]
            outcomes.append((type(refused.value), refused.value.message.replace(f"/{campaign} ", ""), made))
        assert all(outcome == outcomes[0] for outcome in outcomes), environment


@pytest.mark.parametrize("programs", [("bb",), ("aa", "bb"), ()], ids=["one", "two", "every"])
def test_a_warm_environment_reads_everything_at_once(runtime: Runtime, programs: tuple[str, ...]) -> None:
    runtime.program("aa")
    version = fill(runtime.store, "bb", seed=2).version
    control(runtime.store, key_of("bb"), "CreateCampaign", name="only-b", solutionVersionArn=version)
    caller = runtime.key(*programs)
    for campaign in ("bb", "only-b"):
        runtime.recommend(caller, campaign)
        with recorded(runtime.table.client) as calls:
            runtime.recommend(caller, campaign, filterArn=ARNS.of("filter", "f"))

        assert [name for name, _ in calls.made] == ["BatchGetItem"]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, {"action-of-dd", "new"}),
        ({"done_once": ("TAKEN",)}, {"new"}),
        ({"action_weight_floor": 0.5}, {"new"}),
        ({"never_recommended": ("TAKEN",)}, set()),
        ({"event_type_order": (EventTypeOrder("TAKEN", ("VIEWED",)),)}, set()),
        ({"event_type_order": (EventTypeOrder("TAKEN", ("VIEWED", "TAKEN")),)}, {"action-of-dd", "new"}),
    ],
)
def test_what_the_program_keeps_from_a_user_is_not_explored_either(
    runtime: Runtime, settings: Mapping[str, Any], expected: set[str]
) -> None:
    runtime.program("dd")
    runtime.store.put_assets(Incarnation("dd"), [Asset("action-of-dd"), Asset("new")])
    runtime.store.change_program(Incarnation("dd"), lambda program: replace(program, **settings))

    assert runtime.recommend(runtime.key("dd"), "dd", numResults=10) == expected
