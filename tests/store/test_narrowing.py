"""GET /users/{user_id}/actions narrowed down by event types and filters, on every DynamoDB engine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from nextbest.actionhub.actions import NO_MODEL_YET, ActionsEndpoint
from nextbest.domain.access_keys import SCOPES, issue_key
from nextbest.domain.assets import Asset
from nextbest.domain.events import Event
from nextbest.errors import NextbestError
from nextbest.filters import Schema, bind, parse
from nextbest.filters.stored import schema_to_json
from nextbest.logic.rebase import Rebase
from nextbest.logic.recommendations import Recommender
from nextbest.store.base import FILTER
from nextbest.store.dynamo import DynamoStore
from nextbest.web.request import Request
from nextbest.web.response import Response
from tests.factories import MemoryArtifacts, ticking_clock
from tests.store.conftest import PROGRAM

NOW = 1_750_000_000.0
HOUR = 3_600.0
TIERS = {"espresso": "gold", "latte": "silver", "mocha": "gold"}


class Shop:
    """A program in which everybody views and orders every drink; drinks have a TIER and a PRICE."""

    def __init__(self, store: DynamoStore) -> None:
        self.store = store
        self.artifacts = MemoryArtifacts()
        key, self.key = issue_key("m" * 32, "NBKREADER", programs=(PROGRAM.incarnation,), scopes=SCOPES)
        store.put_access_key(key)
        store.append(PROGRAM, list(self.events()))
        store.put_assets(
            PROGRAM.incarnation,
            [
                Asset(drink, drink.title(), ("hot",), {"TIER": tier, "PRICE": 3 + place})
                for place, (drink, tier) in enumerate(TIERS.items())
            ],
        )
        self.recommender = Recommender(store, self.artifacts)
        self.endpoint = ActionsEndpoint(self.recommender)

    @staticmethod
    def events() -> list[Event]:
        return [
            Event(f"user-{user}", round((NOW - hours * HOUR) * 1e6), event_type, drink)
            for user in range(8)
            for place, drink in enumerate(TIERS)
            for step, event_type in enumerate(("view", "order"))
            for hours in (5 + user + 24 * place - step, 300 + user + 24 * place - step)
        ]

    def rebase(self) -> None:
        Rebase(self.store, self.artifacts, PROGRAM.incarnation, clock=ticking_clock(NOW)).run()

    def put_filter(self, name: str, expression: str) -> None:
        bound = bind(parse(expression), Schema.implicit(self.store.assets(PROGRAM.incarnation)))
        resource = {"name": name, "expression": expression, "schema": schema_to_json(bound), "status": "ACTIVE"}
        self.store.put_resource(PROGRAM.incarnation, FILTER, name, resource)

    def respond(self, user_id: str = "user-1", **query: str) -> Response:
        headers = {"program-id": PROGRAM.program_id, "actionhub-key": self.key}
        path = f"/users/{user_id}/actions"
        request = Request("GET", path, {"user_id": user_id}, tuple(query.items()), headers)
        try:
            return self.endpoint.serve(request, now=NOW)
        except NextbestError as error:
            return self.endpoint.refuse(error, request, NOW)

    def actions(self, user_id: str = "user-1", **query: str) -> list[tuple[str, str]]:
        response = self.respond(user_id, **query)
        assert response.status == 200, response.body
        return [(entry["event_type"], entry["asset_id"]) for entry in json.loads(response.body)["actions"]]

    def refused(self, **query: str) -> Mapping[str, Any]:
        response = self.respond(**query)
        assert response.status == 422
        (error,) = json.loads(response.body)["detail"]
        detail: Mapping[str, Any] = error
        return detail


@pytest.fixture
def shop(store: DynamoStore) -> Shop:
    made = Shop(store)
    made.rebase()
    return made


ALL = {(event_type, drink) for event_type in ("view", "order") for drink in TIERS}
GOLD = 'INCLUDE ActionID WHERE Actions.TIER IN ("gold")'


def test_event_types_are_chosen_and_left_out_before_the_choice_of_the_best(shop: Shop) -> None:
    everything = shop.actions()
    assert set(everything) == ALL
    orders = [action for action in everything if action[0] == "order"]

    assert shop.actions(event_types="order") == orders
    assert shop.actions(exclude_event_types="view") == orders
    assert shop.actions(event_types="order,view", exclude_event_types="view", limit="2") == orders[:2]
    assert shop.actions(event_types="order", exclude_event_types="order") == []


@pytest.mark.parametrize("parameter", ["event_types", "exclude_event_types"])
def test_an_event_type_that_is_not_known_is_refused_with_those_that_are(shop: Shop, parameter: str) -> None:
    assert shop.refused(**{parameter: "order,ordr"}) == {
        "type": "value_error",
        "loc": ["query", parameter],
        "msg": "Unknown event types: 'ordr'. Known since the last rebase: 'order', 'view'",
        "input": "order,ordr",
    }


def test_a_named_filter_and_its_expression_leave_the_same(shop: Shop) -> None:
    everything = shop.actions()
    gold = [action for action in everything if TIERS[action[1]] == "gold"]
    shop.put_filter("gold", GOLD)
    shop.put_filter("tier", "INCLUDE ActionID WHERE Actions.TIER IN ($TIER) | EXCLUDE ActionID WHERE Actions.PRICE > 4")

    assert shop.actions(filter="gold") == gold
    assert shop.actions(filter=f" {GOLD.lower()} ".replace("actions.tier", "Actions.TIER")) == gold
    assert shop.actions(filter="gold", limit="1", event_types="order") == [one for one in gold if one[0] == "order"][:1]
    values = '{"TIER": "\\"gold\\",\\"silver\\""}'
    assert {drink for _, drink in shop.actions(filter="tier", filter_values=values)} == {"espresso", "latte"}
    assert set(shop.actions(filter='EXCLUDE ActionID WHERE Actions.LABELS IN ("hot")')) == set()


def test_a_filter_that_is_changed_counts_at_once(shop: Shop) -> None:
    shop.put_filter("mine", GOLD)
    assert {drink for _, drink in shop.actions(filter="mine")} == {"espresso", "mocha"}

    shop.put_filter("mine", GOLD.replace("gold", "silver"))

    assert {drink for _, drink in shop.actions(filter="mine")} == {"latte"}


def test_a_filter_sees_what_the_user_did_and_who_the_user_is(shop: Shop) -> None:
    shop.store.append(PROGRAM, [Event("new", round((NOW - HOUR) * 1e6), "order", "latte")])
    shop.store.put_user_attributes(PROGRAM.incarnation, "new", {"TIER": "gold"})
    ordered = 'EXCLUDE ActionID WHERE Action_Interactions.EVENT_TYPE IN ("order")'
    mine = 'INCLUDE ActionID WHERE Actions.TIER IN ("gold") IF CurrentUser.TIER = "gold"'

    assert {drink for _, drink in shop.actions("new", filter=ordered)} == {"espresso", "mocha"}
    assert {drink for _, drink in shop.actions("new", filter=mine)} == {"espresso", "mocha"}


def test_what_was_done_first_since_the_rebase_is_narrowed_too(shop: Shop) -> None:
    shop.store.append(PROGRAM, [Event("user-1", round((NOW - HOUR) * 1e6), "order", "tea")])
    shop.store.put_assets(PROGRAM.incarnation, [Asset("tea", "Tea", (), {"TIER": "gold"})])

    assert ("order", "tea") in shop.actions(filter=GOLD)
    assert ("order", "tea") in shop.actions(event_types="order")
    assert ("order", "tea") not in shop.actions(event_types="view")
    assert ("order", "tea") not in shop.actions(filter=GOLD.replace("gold", "silver"))


def test_narrowing_holds_before_the_first_rebase(store: DynamoStore) -> None:
    shop = Shop(store)
    shop.put_filter("gold", GOLD)

    assert set(shop.actions()) == ALL
    assert set(shop.actions(filter="gold", event_types="order")) == {("order", "espresso"), ("order", "mocha")}
    # Nobody can say which event types the program has, so an unknown one is no error
    response = shop.respond(event_types="ordr")
    assert (json.loads(response.body), response.headers["x-nextbest-note"]) == ({"actions": []}, NO_MODEL_YET)


def test_discoveries_before_the_first_rebase_say_why_there_are_none(store: DynamoStore) -> None:
    shop = Shop(store)
    response = shop.respond(allow_repeats="false")
    assert (json.loads(response.body), response.headers["x-nextbest-note"]) == ({"actions": []}, NO_MODEL_YET)
    assert "x-nextbest-note" not in shop.respond().headers

    shop.rebase()

    shop.store.append(PROGRAM, [Event("new", round((NOW - HOUR) * 1e6), "order", "latte")])
    assert shop.actions("new", allow_repeats="false")
    assert "x-nextbest-note" not in shop.respond("new", allow_repeats="false").headers


def test_an_empty_list_names_what_may_have_left_nothing(shop: Shop) -> None:
    response = shop.respond(event_types="order", exclude_event_types="order", allow_repeats="false")
    assert json.loads(response.body) == {"actions": []}
    assert response.headers["x-nextbest-note"] == ("nothing is left by allow_repeats, event_types, exclude_event_types")

    shop.store.change_program(PROGRAM.incarnation, lambda program: replace(program, action_weight_floor=0.999))
    assert shop.respond().headers["x-nextbest-note"] == "nothing is left by action_weight_floor"


def test_the_floor_holds_before_the_first_rebase(store: DynamoStore) -> None:
    shop = Shop(store)
    weights = {entry["growth_weight"] for entry in json.loads(shop.respond().body)["actions"]}
    floor = max(weights)
    assert len(weights) > 1

    store.change_program(PROGRAM.incarnation, lambda program: replace(program, action_weight_floor=floor))

    left = json.loads(shop.respond().body)["actions"]
    assert {entry["growth_weight"] for entry in left} == {floor}


@pytest.mark.parametrize(
    ("query", "loc", "message", "position"),
    [
        ({"filter": "none"}, "filter", "The program has no filter 'none'", None),
        ({"filter": "no name\x00"}, "filter", "The program has no filter", None),
        ({"filter": "x" * 3000}, "filter", "The program has no filter", None),
        ({"filter": "INCLUDE ActionID WHERE"}, "filter", "Invalid Expression", 22),
        ({"filter": "include ActionID WHERE Actions.TEAR = 1"}, "filter", "no field TEAR (at character 24)", 23),
        ({"filter": 'INCLUDE ItemID WHERE Items.TIER IN ("gold")'}, "filter", "selects ItemID, not ActionID", None),
        (
            {"filter": "INCLUDE ActionID WHERE Actions.TIER IN ($TIER)"},
            "filter_values",
            "A value must be given in filterValues for: TIER",
            None,
        ),
        (
            {"filter": "INCLUDE ActionID WHERE Actions.PRICE > $LEAST", "filter_values": '{"LEAST": "x"}'},
            "filter_values",
            "must be a number",
            None,
        ),
        ({"filter": GOLD, "filter_values": '{"TIER": "gold"}'}, "filter_values", "has no parameter 'TIER'", None),
    ],
)
def test_a_filter_that_cannot_be_used_is_refused_at_its_parameter(
    shop: Shop, query: dict[str, str], loc: str, message: str, position: int | None
) -> None:
    error = shop.refused(**query)

    assert error["loc"] == ["query", loc]
    assert message in error["msg"]
    assert error.get("ctx", {}).get("position") == position
    assert "Could not create filter" not in error["msg"]
    # Only callers with a key learn what is wrong
    shop.key = "NBKNOBODY.secret"
    assert shop.respond(**query).status == 403


def test_a_named_filter_costs_no_second_read(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.put_filter("gold", GOLD)
    assert shop.actions(filter="gold")
    reads: list[object] = []
    read_user = shop.store.read_user

    def counted(*arguments: Any, **options: Any) -> Any:
        reads.append(options["resources"])
        return read_user(*arguments, **options)

    monkeypatch.setattr(shop.store, "read_user", counted)
    for name in ("resource", "find_resources", "program_state", "assets", "asset_changes"):
        monkeypatch.setattr(shop.store, name, None)

    assert shop.actions(filter="gold")
    assert shop.actions()

    assert reads == [[(FILTER, "gold")], ()]


def test_a_filter_of_another_program_is_not_there(shop: Shop) -> None:
    other = replace(PROGRAM, program_id="tea", incarnation=type(PROGRAM.incarnation)("tea@aaaaaaaaaa"))
    shop.store.create_program(other)
    shop.store.put_resource(other.incarnation, FILTER, "theirs", {"expression": GOLD, "schema": {}, "status": "ACTIVE"})

    assert "no filter 'theirs'" in shop.refused(filter="theirs")["msg"]
