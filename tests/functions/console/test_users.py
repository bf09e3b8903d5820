"""The page of users: who is found, what they should do next and why, what if they did this now."""

from __future__ import annotations

import html
import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import pytest
from botocore.client import BaseClient

from nextbest.aws.direct_reads import Endpoint
from nextbest.domain.access_keys import READ
from nextbest.domain.assets import Asset
from nextbest.domain.catalogue import Catalogue
from nextbest.domain.events import Event
from nextbest.domain.experiments import Experiment, ExperimentKind, ExperimentState
from nextbest.domain.programs import RestRule
from nextbest.store.base import FILTER, ExperimentChange, ModelPointer
from nextbest.store.cache import CatalogueCache
from nextbest.store.dynamo import DynamoStore
from tests.factories import http_event, user_events
from tests.functions.conftest import PROGRAM
from tests.functions.console.conftest import Browser, Shown, key_with
from tools.local.key import operator_key

HOSTILE = ["<script>alert(1)</script>", "\"'><img src=x>", "a\u202eb", "😀", "{{ 7 * 7 }}", "a/b?c=d&e#f %41"]


def users_path(page: str = "", **query: object) -> str:
    path = f"/console/programs/{PROGRAM.program_id}/users{'/' if page else ''}{page}"
    return f"{path}?{urlencode(query, doseq=True)}" if query else path


def api(browser: Browser, function: str, route: str, user_id: str, **query: object) -> Any:
    """What the API answers on a user."""
    path = route.replace("{user_id}", user_id)
    event = http_event("GET", path, route_key=f"GET {route}", rawQueryString=urlencode(query))
    event["headers"] = {"actionhub-key": operator_key()[1], "program-id": PROGRAM.program_id}
    answer = browser.functions.answer(function, event)
    assert answer["statusCode"] == 200, answer["body"]
    return json.loads(answer["body"])


def next_actions(browser: Browser, user_id: str, **query: object) -> list[dict[str, Any]]:
    path = "/users/{user_id}/actions"
    actions: list[dict[str, Any]] = api(browser, "actions", path, user_id, explain="true", **query)["actions"]
    return actions


def recommended(shown: Shown) -> list[str]:
    """The actions of the list of next actions, as their headings say."""
    listed = re.findall(r'<div class="next-action">\s*<h3>(.*?)</h3>', shown.body, re.DOTALL)
    return [html.unescape(re.sub("<[^>]*>", "", heading)) for heading in listed]


def headings(actions: list[dict[str, Any]]) -> list[str]:
    return [f"{action['event_type']} “{action['asset_name']}”" for action in actions]


def sums(shown: Shown) -> list[list[tuple[str, float, float]]]:
    """The rows of each sum of reasons: what they are, points, and the part of the score."""
    tables = []
    for table in re.findall(r'<table class="sum">(.*?)</table>', shown.body, re.DOTALL):
        rows = re.findall(r'<tr class="(\w+)">.*?"number">(.*?)</td>.*?"number">(.*?)</td>', table, re.DOTALL)
        tables.append([(kind, number(points), number(amount)) for kind, amount, points in rows])
    return tables


def number(text: str) -> float:
    return float(text.replace("−", "-"))


def test_the_beginning_of_an_id_finds_users_of_the_last_rebase(learned: Browser) -> None:
    shown = learned.page("users", q="user-1")

    assert re.findall(r">(user-\d+)</bdi></a>", shown.body) == ["user-1", "user-10", "user-11"]
    assert "as of the last rebase" in shown.text
    assert "3 users" in shown.text


def test_a_whole_id_finds_a_user_who_is_newer_than_the_last_rebase(learned: Browser) -> None:
    learned.functions.store.append(PROGRAM, [Event("newcomer", 1_000_000, "order", "tea")])

    assert "No user has the id" in learned.page("users", q="newcom").text
    found = learned.get(users_path(q="newcomer"))
    assert (found.status, found.headers["location"]) == (303, users_path(user_id="newcomer"))
    assert ">newcomer</bdi></a>" in learned.get(users_path(q="newcomer"), headers={"hx-request": "true"}).body


def test_an_id_with_which_others_begin_shows_all_of_them(learned: Browser) -> None:
    assert "user-10" in learned.page("users", q="user-1").text
    assert learned.get(users_path(q="user-11")).status == 303


def test_a_random_user_is_some_user(learned: Browser) -> None:
    location = learned.get(users_path("random")).headers["location"]

    assert re.fullmatch(rf"{re.escape(users_path())}\?user_id=user-\d+", location)
    assert learned.get(location).status == 200


def test_a_program_without_users_says_so(browser: Browser) -> None:
    assert "Before the program's first rebase" in browser.page("users").text
    assert browser.get(users_path("random")).headers["location"] == users_path()
    unknown = browser.get(users_path(user_id="nobody"))
    assert unknown.status == 404
    assert "Nobody with the id “ nobody ” has any events" in unknown.text


def test_what_no_page_can_be_about_is_refused_in_words(browser: Browser) -> None:
    for more in ({"user_id": "x" * 257}, {"limit": "0"}, {"limit": "²"}, {"limit": "101"}, {"after": "x"}):
        shown = browser.get(users_path(**{"user_id": "user-1", **more}))

        assert shown.status == 400, more
        assert "Not understood" in shown.text


def test_next_actions_are_those_of_the_api_with_their_reasons(learned: Browser) -> None:
    queries: list[dict[str, Any]] = [{}, {"limit": 3}, {"allow_repeats": "false"}, {"event_types": "join"}]
    for query in queries:
        expected = next_actions(learned, "user-3", **query)
        settings = {**query, "kind": "discoveries"} if "allow_repeats" in query else query

        shown = learned.page("users", user_id="user-3", **settings)

        assert expected
        assert recommended(shown) == headings(expected)
        assert_sums_are_explained(shown, expected)


def assert_sums_are_explained(shown: Shown, expected: list[dict[str, Any]]) -> None:
    """Each action's reasons are those of the API, and what is shown of them adds up."""
    for action, rows in zip(expected, sums(shown), strict=True):
        explanation = action["explanation"]
        assert explanation["sentence"] in shown.text
        assert [kind for kind, _, _ in rows[-2:]] == ["rest", "sum"]
        assert rows[0][2] == pytest.approx(explanation["average_score"], abs=1e-4)
        assert [row[2] for row in rows[1:-2]] == pytest.approx(
            [reason["score_difference"] for reason in explanation["reasons"]], abs=1e-4
        )
        assert rows[-1][1] == pytest.approx(100 * action["growth_weight"], abs=0.01)
        assert rows[-1][2] == pytest.approx(explanation["score"], abs=1e-4)
        # The numbers that are shown add up exactly, and not only those behind them.
        assert round(sum(points for _, points, _ in rows[:-1]), 2) == rows[-1][1]
        assert round(sum(amount for _, _, amount in rows[:-1]), 4) == rows[-1][2]


def test_the_part_that_changes_in_place_says_what_the_page_says(learned: Browser) -> None:
    page = learned.page("users", user_id="user-3", limit=2)
    part = learned.get(users_path("next-actions", user_id="user-3", limit=2), headers={"hx-request": "true"})

    assert recommended(part) == recommended(page)
    assert "<html" not in part.body
    assert "<html" in learned.page("users/next-actions", user_id="user-3").body


def put_filter(browser: Browser, name: str, expression: str, schema: Mapping[str, Any]) -> None:
    stored = {"name": name, "expression": expression, "schema": schema}
    browser.functions.store.create_resource(PROGRAM.incarnation, FILTER, name, stored)


def test_a_filter_asks_for_its_values_and_narrows_as_in_the_api(learned: Browser) -> None:
    learned.functions.store.put_assets(
        PROGRAM.incarnation, [Asset("tea", asset_name="Tea", fields={"KIND": "hot"}), Asset("cake", asset_name="Cake")]
    )
    expression = "INCLUDE ActionID WHERE Actions.KIND IN ($KIND)"
    put_filter(learned, "kinds", expression, {"Actions": {"KIND": "string"}})

    empty = learned.page("users", user_id="user-3", filter="kinds")
    assert 'name="value.KIND"' in empty.body
    assert "Fill in KIND" in empty.text
    assert recommended(empty) == []

    expected = next_actions(learned, "user-3", filter="kinds", filter_values=json.dumps({"KIND": "hot"}))
    shown = learned.page("users", user_id="user-3", filter="kinds", **{"value.KIND": "hot", "value.OTHER": "x"})
    assert recommended(shown) == headings(expected) == ["order “Tea”"]
    assert quote('{"KIND": "hot"}', safe="").replace("%20", "+") in html.unescape(shown.body)
    trial = {"user_id": "user-3", "filter": "kinds", "event_type": "join", "asset_id": "club"}
    untried = learned.get(users_path("what-if", **trial), headers={"hx-request": "true"})
    assert "The filter lacks a value" in untried.text
    assert "no filter 'missing'" in learned.page("users", user_id="user-3", filter="missing").text


def test_a_what_if_shows_the_answer_that_the_event_brings_and_stores_nothing(learned: Browser) -> None:
    before, events = (
        next_actions(learned, "user-3"),
        list(learned.functions.store.events_of(PROGRAM.incarnation, "user-3")),
    )
    query = {"user_id": "user-3", "event_type": "join", "asset_id": "club"}

    shown = learned.page("users", **query)
    part = learned.get(users_path("what-if", **query), headers={"hx-request": "true"})

    assert list(learned.functions.store.events_of(PROGRAM.incarnation, "user-3")) == events
    assert "If they did this now: join “ Club ”" in part.text
    assert "If they did this now: join “ Club ”" in shown.text
    learned.submit("users/events", **query)
    after = next_actions(learned, "user-3")
    rows = re.findall(
        r'<th scope="row">(.*?)</th>\s*<td class="number">(.*?)</td>\s*<td class="number">(.*?)</td>',
        part.body,
        re.DOTALL,
    )
    plain = [[" ".join(html.unescape(re.sub("<[^>]*>", " ", cell)).split()) for cell in row] for row in rows]
    places = {action: (now, then) for action, now, then in plain}
    for place, action in enumerate(after, 1):
        _, then = places[f"{action['event_type']} “ {action['asset_name']} ”"]
        assert then.endswith(f"place {place}")
    for place, action in enumerate(before, 1):
        now, _ = places[f"{action['event_type']} “ {action['asset_name']} ”"]
        assert now.endswith(f"place {place}")


def test_every_recommended_action_can_be_tried_with_one_click(learned: Browser) -> None:
    shown = learned.page("users", user_id="user-3", limit=2)
    links = [html.unescape(link) for link in re.findall(r'<a class="button quiet" href="([^"]*#what-if)"', shown.body)]

    assert len(links) == 2
    assert "If they did" in learned.get(links[0].partition("#")[0]).text


def test_sending_the_event_stores_it_and_shows_the_answer_that_follows(learned: Browser) -> None:
    sent = learned.submit("users/events", user_id="user-3", event_type=" join ", asset_id="club")

    assert sent.status == 303
    shown = learned.get(sent.headers["location"])
    assert "Sent: join “ Club ”" in shown.text
    (event,) = [event for event in learned.functions.store.events_of(PROGRAM.incarnation, "user-3") if event.source]
    assert (event.event_type, event.asset_id, event.source) == ("join", "club", "console")
    assert recommended(shown) == headings(next_actions(learned, "user-3"))
    # A link that only claims it says nothing.
    assert "Sent:" not in learned.page("users", user_id="user-3", sent=event.timestamp_us + 1).text


def test_ids_that_the_api_refuses_are_refused(browser: Browser) -> None:
    browser.functions.store.append(PROGRAM, [Event("ann", 1_700_000_000_000_000, "order", "tea")])
    for event_type, asset_id in (
        *(("", "club"), ("join", ""), ("j" * 129, "club"), ("join", "c" * 65), ("a\nb", "club")),
        *(("join", "a\x00"), ("join", "\u2028")),
    ):
        query = {"user_id": "ann", "event_type": event_type, "asset_id": asset_id}

        part = browser.get(users_path("what-if", **query), headers={"hx-request": "true"})

        assert 'class="problem"' in part.body, query
        assert browser.submit("users/events", **query).status == 400
    assert len(list(browser.functions.store.events_of(PROGRAM.incarnation, "ann"))) == 1


def test_a_key_that_reads_sees_no_buttons_that_change_and_changes_nothing(learned: Browser) -> None:
    reader = Browser(learned.functions)
    reader.sign_in(key_with(learned.functions, READ))
    query = {"user_id": "user-3", "event_type": "join", "asset_id": "club"}

    shown = reader.page("users", **query)

    assert "If they did" in shown.text
    for words in ("Send the event", "Forget this user", "Export what is held"):
        assert words not in shown.text
        assert words in learned.page("users", **query).text
    assert reader.submit("users/events", **query).status == 403


def test_the_timeline_has_pages_up_to_the_first_event(browser: Browser) -> None:
    events = user_events("busy", 60, now=1_700_000_000.0)
    labelled = Event("busy", 1_000_000, "order", "tea", labels=("<b>",), recommendation_id="RID-<i>", event_value=-2.5)
    browser.functions.store.append(PROGRAM, [*events, labelled])

    times: list[str] = []
    shown = browser.page("users", user_id="busy")
    assert "Show the label weights" in shown.text
    for _ in range(3):
        times += re.findall(r"<time>(.*?)</time>", shown.body)
        older = re.search(r'href="([^"]*)#timeline"[^>]*>Older<', shown.body)
        if older is None:
            break
        parts = urlsplit(html.unescape(older[1]))
        part = browser.get(f"{parts.path}/timeline?{parts.query}", headers={"hx-request": "true"})
        shown = browser.get(html.unescape(older[1]))
        assert re.findall(r"<time>(.*?)</time>", part.body) == re.findall(r"<time>(.*?)</time>", shown.body)

    assert times == sorted(times, reverse=True)
    assert len(times) == 61
    assert "Labels: <b>" in shown.text
    assert "worth -2.5, after the recommendation RID-<i>" in shown.text
    assert "&lt;b&gt;" in shown.body
    labels = browser.page("users/labels", user_id="busy")
    assert list(api(browser, "manage", "/users/{user_id}/labels", "busy")["labels"]) == ["<b>"]
    assert "<b>" in labels.text


def test_label_weights_are_those_of_the_api(browser: Browser) -> None:
    browser.functions.store.put_assets(PROGRAM.incarnation, [Asset("tea", labels=("hot", "calm"))])
    browser.functions.store.append(PROGRAM, [Event("ann", 1_700_000_000_000_000, "order", "tea", labels=("hot",))])

    shown = browser.page("users", user_id="ann")

    weights = api(browser, "manage", "/users/{user_id}/labels", "ann")["labels"]
    assert list(weights) == ["calm", "hot"]
    for label, weight in weights.items():
        assert f"{label} {weight:.3g}" in shown.text


def test_before_the_first_rebase_only_what_they_did_is_recommended(browser: Browser) -> None:
    browser.functions.store.append(PROGRAM, [Event("ann", 1_700_000_000_000_000, "order", "tea")])

    shown = browser.page("users", user_id="ann", event_type="order", asset_id="cake")

    assert "There is no model yet" in shown.text
    assert recommended(shown) == headings(next_actions(browser, "ann"))
    assert "If they did this now: order “ cake ”" in shown.text


def test_a_model_that_cannot_be_read_leaves_the_rest_of_the_page(browser: Browser) -> None:
    browser.functions.store.append(PROGRAM, [Event("ann", 1_700_000_000_000_000, "order", "tea")])
    browser.functions.store.point_to_model(PROGRAM.incarnation, ModelPointer("1", "models/missing"))

    shown = browser.page("users", user_id="ann", event_type="order", asset_id="cake")

    assert "The model cannot be read" in shown.text
    assert "order “ tea ”" in shown.text


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_ids_and_names_are_shown_as_text(browser: Browser, name: str) -> None:
    now_us = 1_700_000_000_000_000
    browser.functions.store.append(PROGRAM, [Event(name, now_us, name, name[:64], labels=(name,), source=name)])
    browser.functions.store.put_assets(PROGRAM.incarnation, [Asset(name[:64], asset_name=name, labels=(name,))])

    shown = browser.page("users", user_id=name, event_type=name, asset_id=name[:64])

    assert "<script>alert" not in shown.body
    assert "<img" not in shown.body
    assert "49" not in re.findall(r"<h1>.*?</h1>", shown.body)[0]
    assert " ".join(name.split()) in shown.text
    for link in re.findall(r'(?:href|hx-get|action)="([^"]*)"', shown.body):
        assert html.unescape(link).startswith(("/console", "#", "/console/assets"))
    sent = browser.submit("users/events", user_id=name, event_type=name, asset_id=name[:64])
    assert browser.get(sent.headers["location"]).status == 200
    unknown = browser.get(users_path(q=f"{name}?"))
    assert "<script>alert" not in unknown.body


@pytest.fixture
def dynamodb_calls(learned: Browser) -> list[str]:
    """The calls to DynamoDB, by their operations, as they are made."""
    monkeypatch = learned.functions.patch  # once they are patched for the functions
    calls: list[str] = []
    send, make_api_call = Endpoint.send, vars(BaseClient)["_make_api_call"]

    def noted_send(endpoint: Endpoint, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> Any:
        if "x-amz-target" in headers:
            calls.append(headers["x-amz-target"].rpartition(".")[2])
        return send(endpoint, method, path, headers, body)

    def noted_call(client: BaseClient, operation: str, arguments: Mapping[str, Any]) -> Any:
        if client.meta.service_model.service_name == "dynamodb":
            calls.append(operation)
        return make_api_call(client, operation, arguments)

    monkeypatch.setattr(Endpoint, "send", noted_send)
    monkeypatch.setattr(BaseClient, "_make_api_call", noted_call)
    return calls


def test_next_actions_take_one_read_more_than_the_api_and_the_page_reads_the_rest_at_once(
    learned: Browser, dynamodb_calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def calls_of(request: Callable[[], object]) -> list[str]:
        request()  # keys, model and catalogue are remembered from then on
        dynamodb_calls.clear()
        request()
        return list(dynamodb_calls)

    query = {"user_id": "user-3", "event_type": "join", "asset_id": "club"}
    of_api = calls_of(lambda: next_actions(learned, "user-3"))
    for path in (users_path("next-actions", **query), users_path("what-if", **query)):
        in_place = calls_of(partial(learned.get, path, headers={"hx-request": "true"}))
        assert len(in_place) == len(of_api) + 1 == 2
    # The page's events and filters are read while the user is: no one waits for more than two reads.
    assert len(calls_of(lambda: learned.page("users", **query))) == len(of_api) + 3
    barrier = threading.Barrier(3)
    for name in ("read_user", "page_of_events", "list_resources"):
        method = getattr(DynamoStore, name)

        def together(*arguments: Any, method: Callable[..., Any] = method, **named: Any) -> Any:
            barrier.wait(timeout=20)
            return method(*arguments, **named)

        monkeypatch.setattr(DynamoStore, name, together)
    assert recommended(learned.page("users", **query))


def test_a_catalogue_of_thousands_does_not_make_the_page_large(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    assets = {f"asset-{n}": Asset(f"asset-{n}", asset_name=f"Asset {n}") for n in range(10_000)}
    monkeypatch.setattr(CatalogueCache, "catalogue_of", lambda _cache, _state: Catalogue(1, assets))
    events = [Event("busy", 1_700_000_000_000_000 + n, f"type-{n}", f"asset-{n}") for n in range(12)]
    browser.functions.store.append(PROGRAM, events)

    shown = browser.page("users", user_id="busy")

    assert len(shown.body) < 100_000
    assert shown.body.count('<option value="asset-') == 200
    assert len(recommended(shown)) == 10


def test_what_rests_is_shown_with_its_end_and_reason(learned: Browser) -> None:
    store, now_us = learned.functions.store, round(time.time() * 1e6)
    path = users_path(user_id="user-1")
    event_type, asset_id = (next_actions(learned, "user-1")[0][name] for name in ("event_type", "asset_id"))
    rule = RestRule(("shown",), 1, 1, 1, (event_type,))
    store.change_program(PROGRAM.incarnation, lambda program: replace(program, rest_rules=(rule,)))
    assert "rests until" not in learned.get(path).text

    store.append(PROGRAM, [Event("user-1", now_us, "shown", asset_id)])

    shown = learned.get(path).text
    assert "rests until" in shown
    assert f"shown once, and no {event_type} since" in shown


def test_the_variant_of_an_experiment_is_shown(learned: Browser) -> None:
    store = learned.functions.store
    user = next(iter(store.users(PROGRAM.incarnation)))
    experiment = Experiment("lift", HOSTILE[0], ExperimentKind.HOLDOUT, 0.5, 14, 1.0)
    store.create_experiment(PROGRAM.incarnation, experiment)
    assert "the experiment" not in learned.get(users_path(user_id=user)).text.lower()
    running = replace(experiment, state=ExperimentState.RUNNING, started_at=time.time())
    store.change_experiment(PROGRAM.incarnation, "lift", lambda _state, _before: ExperimentChange(running))

    shown = learned.get(users_path(user_id=user))

    variant = experiment.variant_of(user)
    assert f"The experiment {HOSTILE[0]} has this user in the variant {variant.name}" in shown.text
    assert f'href="/console/programs/{PROGRAM.program_id}/experiments/show?experiment_id=lift"' in shown.body
    assert ("the API answers them otherwise" in shown.text) == variant.is_treatment
    assert HOSTILE[0] not in shown.body
