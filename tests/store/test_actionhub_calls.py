"""Calls of the ActionHub API in process, on every DynamoDB engine: repeated creations, and ids of every kind."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from random import Random
from typing import Any
from urllib.parse import parse_qsl

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nextbest.actionhub.actions import ActionsEndpoint
from nextbest.actionhub.manage import Deployment, ManageEndpoints
from nextbest.aws.table import Table
from nextbest.domain.access_keys import ADMIN, issue_key
from nextbest.domain.actions import Action
from nextbest.domain.assets import Asset
from nextbest.domain.events import Event
from nextbest.domain.import_locations import ImportRules
from nextbest.errors import NextbestError
from nextbest.logic import segment_files
from nextbest.logic.assets import MAX_LABEL_WEIGHTS
from nextbest.logic.authorization import Gate
from nextbest.logic.recommendations import Recommender
from nextbest.logic.request_quota import RequestQuota
from nextbest.logic.segment_reading import SegmentCache
from nextbest.logic.segment_writing import publish
from nextbest.scoring import Model
from nextbest.scoring.memberships import Segments
from nextbest.scoring.segment_manifest import SEGMENT_TYPES
from nextbest.store.cache import CatalogueCache, ModelCache
from nextbest.store.dynamo import DynamoStore
from nextbest.store.idempotency import idempotency_records
from nextbest.store.keys import IDEMPOTENCY
from nextbest.web.request import Request
from nextbest.web.response import Response
from tests.factories import MemoryArtifacts
from tests.store.conftest import PROGRAM

NOW = 1_790_000_000.0
MASTER_SECRET = "m" * 32


class Caller:
    """Calls endpoints as the frame does, with a key that opens every program."""

    def __init__(self, store: DynamoStore, table: Table, *, random: Random) -> None:
        artifacts = self.artifacts = MemoryArtifacts()
        self.table = table
        self.store = store
        self.endpoints = ManageEndpoints(
            Deployment(
                store=store,
                artifacts=artifacts,
                catalogues=CatalogueCache(store, artifacts),
                models=ModelCache(artifacts, Model.from_bytes),
                segments=SegmentCache(store, artifacts),
                gate=Gate(store),
                start_rebase=lambda _: None,
                start_segments=lambda _: None,
                start_report=lambda *_, **__: None,
                pause=lambda _: None,
                import_rules=ImportRules("artifacts"),
                idempotency=lambda: idempotency_records(table.client, table.name),
                master_secret=lambda: MASTER_SECRET,
                random=random,
            ),
            lambda: ActionsEndpoint(Recommender(store, artifacts, RequestQuota(0.0))),
        )
        self.key = self.new_key("NBKOPERATOR")

    def new_key(self, key_id: str) -> str:
        key, text = issue_key(MASTER_SECRET, key_id, programs=(), scopes=(ADMIN,))
        self.store.put_access_key(key)
        return text

    def __call__(
        self, method: str, path: str, body: object = None, *, query: str = "", **headers: str
    ) -> tuple[int, Any]:
        return self.without_program(method, path, body, query=query, **{"program_id": PROGRAM.program_id, **headers})

    def without_program(
        self, method: str, path: str, body: object = None, *, query: str = "", **headers: str
    ) -> tuple[int, Any]:
        named = {"actionhub-key": self.key, "content-type": "application/json"}
        named |= {name.replace("_", "-"): value for name, value in headers.items()}
        content = b"" if body is None else json.dumps(body).encode()
        request = Request(method, path, query=tuple(parse_qsl(query)), headers=named, body=content)
        response = self.respond(request)
        return response.status, json.loads(response.body)

    def respond(self, request: Request) -> Response:
        try:
            response: Response = self.endpoints.serve(request, now=NOW)
        except NextbestError as error:
            response = self.endpoints.refuse(error, request, NOW)
        return response

    def get(self, path: str, query: str = "", **headers: str) -> Response:
        named = {"actionhub-key": self.key, "program-id": PROGRAM.program_id, **headers}
        return self.respond(Request("GET", path, query=tuple(parse_qsl(query)), headers=named))

    def remembered(self) -> str:
        """All that is stored of earlier calls, as text."""
        items = self.table.client.scan(TableName=self.table.name)["Items"]
        return str([item for item in items if item["pk"] == {"S": IDEMPOTENCY}])


@pytest.fixture
def call(store: DynamoStore, table: Table) -> Caller:
    return Caller(store, table, random=Random(7))


NEW_KEY = {"programs": [PROGRAM.program_id], "scopes": ["read"], "name": "till"}
CREATIONS = [("/programs", {"program_name": "Tea"}), ("/keys", NEW_KEY)]


@pytest.mark.parametrize(("path", "body"), CREATIONS)
def test_a_creation_that_is_repeated_is_answered_as_before_and_creates_nothing(
    call: Caller, path: str, body: object
) -> None:
    first = call("POST", path, body, idempotency_key="one")
    keys = len(list(call.store.access_keys()))

    again = call("POST", path, body, idempotency_key="one")

    assert first[0] == 200
    assert again == first
    assert len(list(call.store.access_keys())) == keys
    # The secret is derived again, for it is stored nowhere
    assert first[1]["api_key"].partition(".")[2] not in call.remembered()


@pytest.mark.parametrize(("path", "body"), CREATIONS)
def test_another_key_another_caller_and_no_key_create_anew(call: Caller, path: str, body: object) -> None:
    made = [
        call("POST", path, body, idempotency_key="one"),
        call("POST", path, body, idempotency_key="two"),
        call("POST", path, body, idempotency_key="one", actionhub_key=call.new_key("NBKOTHER")),
        call("POST", path, body),
        call("POST", path, body),
    ]

    assert [status for status, _ in made] == [200] * 5
    assert len({answer["api_key"] for _, answer in made}) == 5


def test_one_key_serves_both_routes(call: Caller) -> None:
    assert {call("POST", path, body, idempotency_key="one")[0] for path, body in CREATIONS} == {200}


def test_another_body_under_the_same_key_is_refused(call: Caller) -> None:
    call("POST", "/keys", NEW_KEY, idempotency_key="one")

    status, answer = call("POST", "/keys", {**NEW_KEY, "name": "other"}, idempotency_key="one")

    assert status == 422
    assert answer == {
        "detail": [
            {
                "type": "value_error",
                "loc": ["header", "idempotency-key"],
                "input": "one",
                "msg": "This key was sent with another body before",
            }
        ]
    }


def test_a_call_that_failed_may_be_made_again(call: Caller) -> None:
    body = {**NEW_KEY, "programs": ["tea-house"]}
    assert call("POST", "/keys", body, idempotency_key="one") == (404, {"detail": "Program not found"})

    call("POST", "/programs", {"program_name": "Tea", "program_id": "tea-house"})

    assert call("POST", "/keys", body, idempotency_key="one")[0] == 200


DAY, HOUR = 86_400.0, 3_600.0


def test_a_key_ends_when_it_was_said_to(call: Caller) -> None:
    ends = "2026-10-01T02:00:00+02:00"
    assert datetime.fromisoformat(ends).timestamp() > NOW

    _, created = call("POST", "/keys", {**NEW_KEY, "ts_expires": ends})

    assert created["ts_expires"] == "2026-10-01T00:00:00Z"
    key = call.store.access_key(created["key_id"])
    assert key is not None
    assert key.is_active(now=datetime.fromisoformat(ends).timestamp() - 1)
    assert not key.is_active(now=datetime.fromisoformat(ends).timestamp())
    _, rotated = call("PUT", f"/keys/{created['key_id']}")
    assert rotated["ts_expires"] == created["ts_expires"]
    assert call("POST", "/keys", NEW_KEY)[1]["ts_expires"] is None


@pytest.mark.parametrize(
    "ends", ["2020-01-01T00:00:00Z", "2027-01-31T00:00:00", "never", 5, "9999-12-31T23:59:59-12:00", True, 1e300]
)
def test_a_key_cannot_end_before_it_begins_or_at_no_time_at_all(call: Caller, ends: object) -> None:
    status, answer = call("POST", "/keys", {**NEW_KEY, "ts_expires": ends})

    assert (status, answer["detail"][0]["loc"]) == (422, ["body", "ts_expires"])


@pytest.mark.parametrize(
    ("query", "body", "overlap_seconds"),
    [
        ("", None, DAY),
        ("", {}, DAY),
        ("overlap_seconds=0", None, 0.0),
        ("overlap_seconds=3600", {}, HOUR),
        ("", {"overlap_seconds": 3600}, HOUR),
        ("", {"overlap_seconds": 0}, 0.0),
        ("", {"overlap_seconds": None}, DAY),
    ],
)
def test_the_overlap_of_a_rotation_is_what_the_query_or_the_body_says(
    call: Caller, query: str, body: object, overlap_seconds: float
) -> None:
    _, created = call("POST", "/keys", NEW_KEY)

    status, rotated = call("PUT", f"/keys/{created['key_id']}", body, query=query)

    assert (status, rotated["generation"]) == (200, 2)
    key = call.store.access_key(created["key_id"])
    assert key is not None
    assert key.previous_expires_at == NOW + overlap_seconds


@pytest.mark.parametrize(
    ("method", "path", "body", "loc"),
    [
        ("PUT", "/keys/{key_id}?overlap=0", None, ["query", "overlap"]),
        ("PUT", "/keys/{key_id}?overlap_seconds=0&overlap_seconds=60", None, ["query", "overlap_seconds"]),
        ("PUT", "/keys/{key_id}?overlap_seconds=0", {"overlap_seconds": 0}, ["query", "overlap_seconds"]),
        ("PUT", "/keys/{key_id}?overlap_seconds=-1", None, ["query", "overlap_seconds"]),
        ("PUT", "/keys/{key_id}", {"overlap_seconds": 7_776_001}, ["body", "overlap_seconds"]),
        ("PUT", "/keys/{key_id}", {"overlap": 0}, ["body", "overlap"]),
        ("PUT", "/keys/{key_id}", [], ["body"]),
        ("POST", "/keys", {**NEW_KEY, "expires_at": 1}, ["body", "expires_at"]),
        ("POST", "/keys?name=till", NEW_KEY, ["query", "name"]),
        ("DELETE", "/keys/{key_id}?dry_run=true", None, ["query", "dry_run"]),
        ("DELETE", "/keys/{key_id}", {"dry_run": True}, ["body"]),
        ("GET", "/keys?program_id=coffee", None, ["query", "program_id"]),
        ("DELETE", "/users/ann?dry_run=true", None, ["query", "dry_run"]),
        ("DELETE", "/users/ann", {"dry_run": True}, ["body"]),
        ("GET", "/users/ann/export?skipp=1", None, ["query", "skipp"]),
    ],
)
def test_an_extension_refuses_what_it_would_ignore(
    call: Caller, method: str, path: str, body: object, loc: list[str]
) -> None:
    call.store.append(PROGRAM, [Event("ann", 1, "order", "tea")])
    _, created = call("POST", "/keys", NEW_KEY)
    path, _, query = path.replace("{key_id}", created["key_id"]).partition("?")

    status, answer = call(method, path, body, query=query)

    assert status == 422, answer
    assert [error["loc"] for error in answer["detail"]] == [loc]
    # Nothing happened; and only holders of a key learn what is wrong
    key = call.store.access_key(created["key_id"])
    assert key is not None
    assert (key.generation, key.revoked, len(list(call.store.access_keys()))) == (1, False, 2)
    assert len(list(call.store.events_of(PROGRAM.incarnation, "ann"))) == 1
    assert call(method, path, body, query=query, actionhub_key="NBKNOBODY.secret")[0] == 403


class Interrupted(Random):
    """Does something else at its first draw, which is of a program's id."""

    interruptions: list[Callable[[], None]]

    def getrandbits(self, k: int) -> int:
        if self.interruptions:
            self.interruptions.pop()()
        return super().getrandbits(k)


def test_a_call_that_is_still_being_answered_is_refused(store: DynamoStore, table: Table) -> None:
    random = Interrupted(7)
    call = Caller(store, table, random=random)
    answers: list[tuple[int, Any]] = []

    def create() -> None:
        answers.append(call("POST", "/programs", {"program_name": "Tea"}, idempotency_key="one"))

    random.interruptions = [create]
    create()

    assert answers[0] == (409, {"detail": "a call with this idempotency key is still being answered; try again"})
    assert answers[1][0] == 200


def test_a_repeated_call_without_the_right_is_refused(call: Caller) -> None:
    body = {"program_name": "Tea", "program_id": "tea"}
    _, made = call("POST", "/programs", body, idempotency_key="one")

    assert call("POST", "/programs", body, idempotency_key="one", actionhub_key=made["api_key"])[0] == 403


def test_some_user_is_a_json_string(call: Caller) -> None:
    call.store.append(PROGRAM, [Event('a "quoted" user', 1, "order", "tea")])

    assert call("GET", "/random/user_id") == (200, 'a "quoted" user')


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.text(st.characters(exclude_characters="/", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=40).filter(
        lambda user_id: user_id == user_id.strip(" \t")  # as all ids are stored
    )
)
def test_any_user_id_has_its_history(call: Caller, user_id: str) -> None:
    call.store.append(PROGRAM, [Event(user_id, 1, "order", "tea")])

    status, answer = call("GET", f"/users/{user_id}/events")

    assert (status, [event["asset_id"] for event in answer["history"]]) == (200, ["tea"])


@pytest.mark.parametrize(
    ("label", "most"),
    [("label-{}", MAX_LABEL_WEIGHTS), ("{:04d}" + "x" * 60, 4109)],
    ids=["too many", "too long"],
)
def test_labels_are_refused_beyond_what_a_program_may_have(call: Caller, label: str, most: int) -> None:
    def put(numbers: range) -> tuple[int, Any]:
        return call(
            "PUT", "/labels", {"labels": [{"label": label.format(number), "weight": 2.5} for number in numbers]}
        )

    for start in range(0, most, 1000):
        numbers = range(start, min(start + 1000, most))
        assert put(numbers) == (200, {"result": f"stored {len(numbers)} labels"})
    status, body = put(range(most, most + 2))
    assert status == 422
    assert body["detail"][0]["loc"] == ["body", "labels"]
    assert "A program has at most 5,000 label weights, of at most 300,000 bytes together" in body["detail"][0]["msg"]
    # What is there can still be changed
    assert put(range(10))[0] == 200
    assert call("GET", "/labels")[1]["total"] == most


SETTINGS = {
    "program_name": "Tea house",
    "high_engagement_threshold": 4,
    "event_relevance_decay": 30,
    "action_weight_floor": 0.25,
    "description": "the one at the corner",
    "horizon_days": 30,
    "never_recommended": ["return"],
    "done_once": ["sign_up"],
    "event_type_order": [{"event_type": "upgrade", "after": ["sign_up", "invite"]}],
    "goal": [{"event_type": "upgrade", "value": 100.0}, {"event_type": "invite", "value": 2.5}],
    "rest_rules": [{"event_types": ["view", "decline"], "after": 3, "within_days": 7, "rest_days": 14}],
    "most_per_list": {"invite": 2},
    "decision_share": 0.25,
}


@pytest.mark.parametrize("changed", [{}, *({name: value} for name, value in SETTINGS.items())], ids=str)
def test_settings_that_are_not_sent_stay(call: Caller, changed: dict[str, Any]) -> None:
    # Given a program of which every setting was set
    assert call("PUT", "/program", SETTINGS)[0] == 200
    other = {**SETTINGS, "program_name": "Tea", "horizon_days": 7, "event_relevance_decay": 7} | {
        "high_engagement_threshold": 5, "action_weight_floor": 0.5, "description": "", "never_recommended": [],
        "done_once": [], "event_type_order": [], "goal": [], "rest_rules": [], "most_per_list": {},
        "decision_share": 0.5,
    }  # fmt: skip
    sent = {"program_name": "Tea", **{name: other[name] for name in changed}}
    # When some are sent, beside the name
    assert call("PUT", "/program", sent)[0] == 200
    # Then the others are as before
    expected = {"program_id": PROGRAM.program_id, **SETTINGS, **sent}
    assert call("GET", "/program") == (200, {name: value for name, value in expected.items() if value not in ([], {})})


def test_what_is_read_can_be_written_back(call: Caller) -> None:
    call("PUT", "/program", SETTINGS)
    settings = call("GET", "/program")[1]

    assert call("PUT", "/program", settings)[0] == 200
    assert call("GET", "/program")[1] == settings


def test_the_settings_of_the_contract_are_all_that_is_named_where_no_other_was_set(call: Caller) -> None:
    created = call("POST", "/programs", {"program_name": "Tea", "program_id": "tea"})
    assert created[0] == 200

    assert call("GET", "/program", program_id="tea")[1] == {
        "program_id": "tea",
        "program_name": "Tea",
        "high_engagement_threshold": 3,
        "event_relevance_decay": 365,
        "action_weight_floor": 0.0,
        "description": "",
    }


@pytest.mark.parametrize(("method", "path"), [("POST", "/programs"), ("PUT", "/program")])
@pytest.mark.parametrize("name", ["horizon", "decay", "half_life_days", "program_names", ""])
def test_a_setting_that_is_not_known_is_refused_by_its_name(call: Caller, method: str, path: str, name: str) -> None:
    before = call("GET", "/program")

    assert call(method, path, {"program_name": "Tea", name: 7}) == (
        422,
        {
            "detail": [
                {
                    "type": "extra_forbidden",
                    "loc": ["body", name],
                    "msg": "Extra inputs are not permitted",
                    "input": 7,
                }
            ]
        },
    )
    assert call("GET", "/program") == before
    assert [program.program_id for program in call.store.list_programs()] == [PROGRAM.program_id]


def test_the_id_of_a_program_cannot_be_changed(call: Caller) -> None:
    assert call("PUT", "/program", {"program_name": "Tea", "program_id": PROGRAM.program_id})[0] == 200

    status, answer = call("PUT", "/program", {"program_name": "Other", "program_id": "tea"})

    assert (status, answer["detail"][0]["loc"]) == (422, ["body", "program_id"])
    assert call("GET", "/program")[1]["program_name"] == "Tea"


def test_the_status_after_a_reset_says_so(call: Caller) -> None:
    assert call("GET", "/program/status")[1]["status_id"] == "program_created"

    assert call("PUT", "/program/reset")[0] == 200

    status = call("GET", "/program/status")[1]
    assert (status["status_id"], status["message"]) == (
        "program_reset",
        "the program was reset: it has no model until the next rebase",
    )
    assert call("PUT", "/program/rebase")[0] == 200
    assert call("GET", "/program/status")[1]["status_id"] == "program_rebase_queued"


@pytest.fixture
def segmented(call: Caller) -> Caller:
    """Ann 0.9 latte and 0.2 mocha, bo 0.5 latte and 0.6 tea; latte has a label."""
    actions = [Action("order", "latte"), Action("order", "mocha"), Action("view", "tea")]
    users, of_action = np.array([0, 0, 1, 1], np.uint32), np.array([0, 1, 0, 2], np.uint32)
    built = Segments.of(["ann", "bo"], actions, users, of_action, np.array([0.9, 0.2, 0.5, 0.6]))
    publish(call.store, call.artifacts, PROGRAM.incarnation, [dict.fromkeys(SEGMENT_TYPES, built)], computed_at=NOW)
    call.store.put_assets(PROGRAM.incarnation, [Asset("latte", "Caffè latte", ("milk",))])
    return call


@pytest.mark.parametrize(
    ("path", "query", "members", "largest"),
    [
        ("/segment", "min_weight=0.95", [], 0.9),
        ("/segment", "", ["ann", "bo"], 0.9),
        ("/segment", "asset_ids=mocha", [], 0.2),
        ("/segment", "asset_ids=mocha,latte&match_type=all", [], 0.2),
        ("/segment", "action_types=view", ["bo"], 0.6),
        ("/segment", "labels=milk&min_weight=0.6", ["ann"], 0.9),
        ("/segment", "asset_ids=nothing&min_weight=0", [], 0.0),
        ("/segments", "min_weight=0.95", [], 0.9),
        ("/segments", "min_weight=0.95&segment_basis=assets", [], 0.9),
        ("/segments", "min_weight=0.7", ["milk"], 0.9),
        ("/segments", "min_weight=0.55&segment_basis=assets", ["latte", "tea"], 0.9),
    ],
)
def test_a_segment_says_up_to_which_weight_it_has_anybody(
    segmented: Caller, path: str, query: str, members: list[str], largest: float
) -> None:
    response = segmented.get(path, query)

    assert response.status == 200
    if path == "/segment":
        assert response.body.decode().split() == members
        assert response.headers["content-type"] == "text/plain; charset=utf-8"
    else:
        page = json.loads(response.body)
        assert sorted(page) == ["items", "page", "size", "total"]
        assert [entry["segment_basis_id"] for entry in page["items"]] == members
    assert float(response.headers["x-nextbest-largest-weight"]) == largest
    if largest and path == "/segment":
        again = segmented.get(path, f"{query}&min_weight={response.headers['x-nextbest-largest-weight']}")
        assert again.body.decode().split()


@pytest.mark.parametrize(
    ("query", "content"),
    [
        ("", b"ann\nbo\n"),
        ("after=ann", b"bo\n"),
        ("format=csv&after=ann", b"user_id,weight,event_type,asset_id\r\nbo,0.6,view,tea\r\n"),
    ],
)
def test_a_segment_that_no_answer_holds_is_a_file_to_download(
    segmented: Caller, query: str, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segment_files, "MAX_ANSWER_BYTES", 3)

    response = segmented.get("/segment", query)

    assert (response.status, response.body) == (303, b"")
    assert float(response.headers["x-nextbest-largest-weight"]) == 0.9
    (key,) = [key for key in segmented.artifacts.files if "/answers/" in key]
    assert response.headers["location"] == f"https://bucket.test/{key}?seconds=900"
    assert segmented.artifacts.files[key] == content
    # A page is answered as ever
    monkeypatch.undo()
    assert segmented.get("/segment", "limit=1").body == b"ann\n"


def test_an_action_type_that_is_not_known_is_refused_with_those_that_are(segmented: Caller) -> None:
    assert segmented("GET", "/segment", query="action_types=order,orders")[1] == {
        "detail": [
            {
                "type": "value_error",
                "loc": ["query", "action_types"],
                "msg": "Unknown event types: 'orders'. Known since the last rebase: 'order', 'view'",
                "input": "order,orders",
            }
        ]
    }


@pytest.mark.parametrize(("query", "headers"), [("format=csv", {}), ("", {"accept": "text/csv"})])
def test_a_segment_as_csv_has_weights(segmented: Caller, query: str, headers: dict[str, str]) -> None:
    response = segmented.get("/segment", f"asset_ids=latte,tea&{query}", **headers)

    assert response.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    assert response.body.decode() == (
        "user_id,weight,event_type,asset_id\r\nann,0.9,order,latte\r\nbo,0.6,view,tea\r\n"
    )
    plain = segmented.get("/segment", "asset_ids=latte,tea&format=plain", **headers)
    assert plain.body == b"ann\nbo\n"
