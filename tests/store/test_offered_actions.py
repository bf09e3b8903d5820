"""Only what is offered is recommended: the actions of a program's Actions dataset, as it is at each request."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from nextbest.aws.table import Table
from nextbest.domain.access_keys import SCOPES, AccessKey, issue_key
from nextbest.domain.assets import Asset
from nextbest.logic.authorization import SecretCredentials
from nextbest.logic.rebase import Rebase
from nextbest.logic.recommendations import Recommender
from nextbest.personalize.datasets.item_event_types import item_event_types
from nextbest.personalize.datasets.removal import clear_dataset
from nextbest.personalize.events.interactions import put_action_interactions, put_events
from nextbest.personalize.events.records import put_actions, put_items
from nextbest.personalize.protocol.arns import CAMPAIGN, DATASET, Arns
from nextbest.personalize.runtime.action_recommendations import PersonalizeRuntimeEndpoints
from nextbest.store.cache import CatalogueCache
from nextbest.store.dynamo import DynamoStore
from tests.factories import MemoryArtifacts, ticking_clock
from tests.store.conftest import PROGRAM, create_table, dynamodb
from tests.store.test_replacing import create_dataset, load

NOW = 1_785_000_000.0
DAY = 86_400
MASTER_SECRET = "m" * 32
ARNS = Arns()
OFFERED = {"join-club", "get-app", "survey"}


class Shop:
    """A program, what clients put into it, and one warm environment that recommends."""

    def __init__(self, table: Table) -> None:
        self.store = DynamoStore(table)
        self.store.create_program(PROGRAM)
        self._artifacts = MemoryArtifacts()
        key, text = issue_key(MASTER_SECRET, "NBKSHOP", programs=(PROGRAM.incarnation,), scopes=SCOPES)
        self.store.put_access_key(key)
        self._key: AccessKey = key
        self._credentials = SecretCredentials.read(text)
        recommender = Recommender(self.store, self._artifacts)
        self._recommender = PersonalizeRuntimeEndpoints(recommender, lambda: MASTER_SECRET).recommender

    def offer(self, *action_ids: str, **properties: object) -> None:
        rows = [{"actionId": name, **({"properties": json.dumps(properties)} if properties else {})}
                for name in action_ids]  # fmt: skip
        body = {"datasetArn": ARNS.of(DATASET, f"{PROGRAM.program_id}/ACTIONS"), "actions": rows}
        put_actions(self.store, CatalogueCache(self.store, self._artifacts), self._key, body)

    def stock(self, item_id: str) -> None:
        body = {"datasetArn": ARNS.of(DATASET, f"{PROGRAM.program_id}/ITEMS"), "items": [{"itemId": item_id}]}
        put_items(self.store, CatalogueCache(self.store, self._artifacts), self._key, body)

    def take(self, user_id: str, *action_ids: str, days_ago: float = 1) -> None:
        rows = [
            {"actionId": name, "userId": user_id, "sessionId": "s", "timestamp": NOW - days_ago * DAY,
             "eventType": "Taken"}
            for name in action_ids
        ]  # fmt: skip
        body = {"trackingId": PROGRAM.program_id, "actionInteractions": rows}
        put_action_interactions(self.store, self._key, body, now=NOW)

    def put_event(self, user_id: str, item_id: str, event_type: str) -> None:
        event = {"eventType": event_type, "itemId": item_id, "sentAt": NOW - DAY}
        body = {"trackingId": PROGRAM.program_id, "userId": user_id, "sessionId": "s", "eventList": [event]}
        put_events(self.store, self._key, body, now=NOW)

    def rebase(self) -> None:
        Rebase(self.store, self._artifacts, PROGRAM.incarnation, clock=ticking_clock(NOW)).run()

    def recommend(self, user_id: str) -> set[str]:
        arn = ARNS.of(CAMPAIGN, PROGRAM.program_id)
        body: Mapping[str, Any] = {"campaignArn": arn, "userId": user_id, "numResults": 100}
        request = json.dumps(body).encode()
        return set(self._recommender.recommend(request, self._credentials, now=NOW, request_id="r").scores)


@pytest.fixture
def shop(start_engine: Callable[[str], str]) -> Shop:
    """On one engine: which one makes no difference here."""
    return Shop(create_table(dynamodb(start_engine("dynoxide")), f"test-{uuid.uuid4().hex}"))


@pytest.fixture
def busy_shop(shop: Shop) -> Shop:
    """Three offered actions, and events about them, about an unknown id, and about items."""
    shop.offer("join-club", "get-app", value=5)
    shop.offer("survey")
    for user in range(12):
        shop.take(f"user-{user}", "join-club", "get-app", "withdrawn", days_ago=2 + user)
        shop.put_event(f"user-{user}", "sku-1", "TAKEN")
    return shop


@pytest.mark.parametrize("trained", [False, True], ids=["before the first rebase", "after a rebase"])
@pytest.mark.parametrize("user_id", ["user-1", "stranger"])
def test_what_is_not_offered_is_not_recommended(busy_shop: Shop, user_id: str, trained: bool) -> None:
    if trained:
        busy_shop.rebase()

    assert busy_shop.recommend(user_id) == OFFERED


@pytest.mark.parametrize("trained", [False, True], ids=["before the first rebase", "after a rebase"])
def test_an_action_is_offered_from_the_next_request_on_and_no_longer_once_it_is_gone(
    busy_shop: Shop, trained: bool
) -> None:
    if trained:
        busy_shop.rebase()
    assert busy_shop.recommend("user-1") == OFFERED

    busy_shop.offer("withdrawn")
    assert busy_shop.recommend("user-1") == OFFERED | {"withdrawn"}
    busy_shop.store.remove_assets(PROGRAM.incarnation, ["get-app"])
    assert busy_shop.recommend("user-1") == {"join-club", "survey", "withdrawn"}
    busy_shop.put_event("user-1", "sku-2", "TAKEN")
    busy_shop.take("user-1", "never-heard-of")
    assert busy_shop.recommend("user-1") == {"join-club", "survey", "withdrawn"}


def test_an_action_that_a_full_import_leaves_out_is_gone_without_a_rebase(shop: Shop) -> None:
    create_dataset(shop.store, "ACTIONS")
    load(shop.store, "ACTIONS", ["a,gold", "b,gold"], "first")
    for user in range(12):
        shop.take(f"user-{user}", "a", "b", days_ago=2 + user)
    shop.rebase()
    assert shop.recommend("user-1") == shop.recommend("stranger") == {"a", "b"}

    load(shop.store, "ACTIONS", ["b,gold", "c,gold"], "second")

    assert shop.recommend("user-1") == shop.recommend("stranger") == {"b", "c"}


@pytest.mark.parametrize("trained", [False, True], ids=["before the first rebase", "after a rebase"])
def test_an_item_event_named_like_an_action_s_is_an_item_s_without_a_dataset_too(shop: Shop, trained: bool) -> None:
    # Given no Actions dataset, items named and unnamed, and the event types of actions among those of items
    shop.stock("sku-1")
    for user in range(12):
        shop.take(f"user-{user}", "join-club", days_ago=2 + user)
        for place, event_type in enumerate(("TAKEN", "Taken", "NOT_TAKEN", "VIEWED", "TAKEN")):
            shop.put_event(f"user-{user}", f"sku-{place}", event_type)
    if trained:
        shop.rebase()

    # Then what users took are the actions, as ever
    assert shop.recommend("user-1") == {"join-club"}
    types = {"ITEM_TAKEN", "Taken", "ITEM_NOT_TAKEN", "ITEM_VIEWED"}
    assert item_event_types(shop.store, PROGRAM.incarnation) == types
    # And a dataset of items that is deleted takes no action with it
    clear_dataset(shop.store, PROGRAM.incarnation, "INTERACTIONS")
    assert {event.event_type for event in shop.store.events_of(PROGRAM.incarnation, "user-1")} == {"TAKEN"}


def test_an_item_event_of_a_type_that_is_new_to_a_warm_environment_is_an_item_s(shop: Shop) -> None:
    # Given an environment that answered before there was any event about an item
    for user in range(12):
        shop.take(f"user-{user}", "join-club", days_ago=2 + user)
    shop.rebase()
    assert shop.recommend("user-1") == {"join-club"}

    for place, event_type in enumerate(("TAKEN", "click", "VIEWED")):
        shop.put_event("user-1", f"sku-{place}", event_type)
        assert shop.recommend("user-1") == {"join-club"}
    # What is taken first is recommended as before
    shop.take("user-1", "get-app")
    assert shop.recommend("user-1") == {"join-club", "get-app"}


def test_assets_that_were_named_through_actionhub_alone_are_in_no_dataset(busy_shop: Shop) -> None:
    busy_shop.store.put_assets(PROGRAM.incarnation, [Asset("latte", "Latte", ("hot",))])
    assert busy_shop.recommend("stranger") == OFFERED

    # Once the dataset is gone, what users took is recommended again, and what was named stays
    clear_dataset(busy_shop.store, PROGRAM.incarnation, "ACTIONS")

    assert busy_shop.recommend("user-1") == {"join-club", "get-app", "withdrawn", "latte"}
    assert [asset.asset_name for asset in busy_shop.store.assets(PROGRAM.incarnation)] == ["Latte"]
