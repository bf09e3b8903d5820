"""What rests is named in explained answers, and a list keeps to its caps, before and after the first rebase."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from nextbest.domain.events import Event
from nextbest.domain.programs import ListCap, RestRule
from nextbest.store.dynamo import DynamoStore
from tests.store.conftest import PROGRAM
from tests.store.test_narrowing import HOUR, NOW, Shop

DAY = 24 * HOUR


def explained(shop: Shop, **query: str) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(shop.respond(explain="true", **query).body)
    return body


@pytest.mark.parametrize("rebased", [False, True])
def test_what_was_viewed_often_and_not_ordered_rests(store: DynamoStore, rebased: bool) -> None:
    shop = Shop(store)
    if rebased:
        shop.rebase()
    rule = RestRule(("view",), 2, 7, 14)
    store.change_program(PROGRAM.incarnation, lambda program: replace(program, rest_rules=(rule,)))
    # Given two views of a drink since the user ordered it last
    viewed = [Event("user-1", round((NOW - hours * HOUR) * 1e6), "view", "mocha") for hours in (2, 1)]
    assert ("order", "mocha") in shop.actions()
    assert explained(shop)["resting"] == []
    store.append(PROGRAM, viewed)
    # Then it is not recommended, and the answer says until when
    assert ("order", "mocha") not in shop.actions()
    assert ("view", "mocha") in shop.actions()
    resting = explained(shop)["resting"]
    assert resting == [
        {
            "event_type": "order",
            "asset_id": "mocha",
            "asset_name": "Mocha",
            "rests_until": "2025-06-29T14:06:40Z",
            "reason": "view 2 times within 7 days, and no order since",
        }
    ]
    assert "resting" not in json.loads(shop.respond().body)
    # What was not asked for is not named, and an empty list names the setting
    assert explained(shop, event_types="view")["resting"] == []
    if rebased:
        shop.put_filter("mocha", 'INCLUDE ActionID WHERE Actions.PRICE IN ("5")')
        response = shop.respond(filter="mocha", event_types="order")
        assert json.loads(response.body) == {"actions": []}
        assert response.headers["x-nextbest-note"] == "nothing is left by event_types, filter, rest_rules"
    # And ordering it ends the rest
    store.append(PROGRAM, [Event("user-1", round(NOW * 1e6), "order", "mocha")])
    assert ("order", "mocha") in shop.actions()


@pytest.mark.parametrize("rebased", [False, True])
def test_a_list_has_no_more_of_an_event_type_than_its_cap(store: DynamoStore, rebased: bool) -> None:
    shop = Shop(store)
    if rebased:
        shop.rebase()
    everything = shop.actions()
    store.change_program(PROGRAM.incarnation, lambda program: replace(program, most_per_list=(ListCap("order", 1),)))

    orders = [action for action in everything if action[0] == "order"]
    assert shop.actions() == [action for action in everything if action not in orders[1:]]
    assert explained(shop).keys() == {"actions"}
