"""Nothing is learned by asking without a key: the key is proved, then what it opens, and only then is a user read."""

from __future__ import annotations

import hmac
import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from nextbest.actionhub.actions import ActionsEndpoint
from nextbest.actionhub.events import EventsEndpoint
from nextbest.aws.sigv4 import AwsCredentials, signed_headers
from nextbest.aws.table import Table
from nextbest.domain.access_keys import SCOPES, AccessKey, issue_key, rotate_key
from nextbest.domain.events import Event
from nextbest.domain.programs import Incarnation, Program
from nextbest.errors import NextbestError
from nextbest.logic.program_removal import remove_program
from nextbest.logic.recommendations import Recommender
from nextbest.logic.request_quota import RequestQuota
from nextbest.personalize.runtime.action_recommendations import PersonalizeRuntimeEndpoints
from nextbest.store.cache import REMEMBERED_SECONDS, DecodedHistories
from nextbest.store.dynamo import DynamoStore
from nextbest.web.frame import Endpoints
from nextbest.web.request import Request
from nextbest.web.response import Response
from tests.factories import MemoryArtifacts
from tests.store.conftest import create_table, dynamodb
from tests.store.tenants import recorded

MASTER_SECRET = "m" * 32
NOW = 1_790_000_000.0
OWN = Program("own", incarnation=Incarnation("own@aaaaaaaaaa"))
FOREIGN = Program("foreign", incarnation=Incarnation("foreign@bbbbbbbbbb"))
DIALECTS = ("actionhub", "personalize")


@pytest.fixture
def table(start_engine: Callable[[str], str]) -> Table:
    """An empty table: which engine it is on makes no difference here."""
    return create_table(dynamodb(start_engine("dynoxide")), f"test-{uuid.uuid4().hex}")


class Environment:
    """One environment that serves reads of both dialects, and what it reads and decodes meanwhile."""

    def __init__(self, table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
        self.table = table
        self.store = DynamoStore(table)
        self.endpoints: dict[str, Endpoints] = {
            "actionhub": ActionsEndpoint(Recommender(self.store, MemoryArtifacts())),
            "personalize": PersonalizeRuntimeEndpoints(
                Recommender(self.store, MemoryArtifacts()), lambda: MASTER_SECRET
            ),
        }
        self.decoded = 0

        history_of = DecodedHistories.history_of

        def counting(histories: DecodedHistories, pk: str, *items: Any) -> Any:
            self.decoded += any(item is not None for item in items)
            return history_of(histories, pk, *items)

        monkeypatch.setattr(DecodedHistories, "history_of", counting)

    def __call__(
        self,
        dialect: str,
        key: str,
        program_id: str,
        user_id: str = "ada",
        *,
        now: float = NOW,
        body: str | None = None,
    ) -> tuple[int, str, list[str], int]:
        """The status and body of a read, the keys of the items that it read, call by call, and histories decoded."""
        request = (_actionhub if dialect == "actionhub" else _personalize)(key, program_id, user_id, now, body)
        before = self.decoded
        with recorded(self.table.client) as calls:
            response = self._respond(self.endpoints[dialect], request, now)
        read = [" ".join((name, *keys)) for name, keys in calls.made]
        return response.status, response.body.decode(), read, self.decoded - before

    @staticmethod
    def _respond(endpoints: Endpoints, request: Request, now: float) -> Response:
        try:
            return endpoints.serve(request, now=now)
        except NextbestError as error:
            return endpoints.refuse(error, request, now)


def _actionhub(key: str, program_id: str, user_id: str, _now: float, query: str | None) -> Request:
    headers = {"actionhub-key": key, "program-id": program_id}
    pairs = (("limit", query),) if query is not None else ()
    return Request("GET", f"/users/{user_id}/actions", {"user_id": user_id}, pairs, headers)


def _personalize(key: str, program_id: str, user_id: str, now: float, body: str | None) -> Request:
    key_id, _, secret = key.partition(".")
    arn = f"arn:aws:personalize:us-east-1:000000000000:campaign/{program_id}"
    content = (body or json.dumps({"campaignArn": arn, "userId": user_id})).encode()
    path, region = "/personalize/action-recommendations", "us-east-1"
    credentials = AwsCredentials(key_id, secret, "")
    headers: Mapping[str, str] = {"host": "nextbest", "content-type": "application/json"}
    signed = signed_headers("POST", path, headers, content, credentials, region=region, service="personalize", now=now)
    return Request("POST", path, headers={name.lower(): value for name, value in signed.items()}, body=content)


@pytest.fixture
def ask(table: Table, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """An environment, and two programs with a user each who has a long history."""
    environment = Environment(table, monkeypatch)
    for program in (OWN, FOREIGN):
        environment.store.create_program(program)
        events = [Event("ada", round((NOW - n) * 1e6), "Taken", f"asset-{n % 7}") for n in range(1, 200)]
        environment.store.append(program, events)
    return environment


def key_of(store: DynamoStore, *programs: Incarnation, key_id: str = "NBKOWN") -> tuple[AccessKey, str]:
    key, text = issue_key(MASTER_SECRET, key_id, programs=programs, scopes=SCOPES)
    store.put_access_key(key)
    return key, text


def without(answer: tuple[int, str, list[str], int], *names: str) -> tuple[int, str, list[str], int]:
    status, body, read, decoded = answer
    for name in names:
        body = body.replace(name, "NAME")
        read = [call.replace(name, "NAME") for call in read]
    return status, body, read, decoded


KINDS = [
    ("own", "ada"),
    ("own", "nobody"),
    ("foreign", "ada"),
    ("foreign", "nobody"),
    ("absent", "ada"),
    ("a#b", "ada"),
]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("warm", [False, True])
def test_a_made_up_key_reads_itself_alone_whatever_it_asks_for(ask: Environment, dialect: str, warm: bool) -> None:
    _, good = key_of(ask.store, OWN.incarnation)
    if warm:
        assert ask(dialect, good, "own")[0] == 200
    for made_up in ("NBKNOBODY.secret", f"{good}x", f"NBKOWN.{'x' * 43}"):
        answers = [ask(dialect, made_up, program_id, user_id) for program_id, user_id in KINDS]

        assert {answer[0] for answer in answers} == {403}
        assert all(answer == answers[0] for answer in answers)
        assert answers[0][2] == [f"GetItem key {made_up.partition('.')[0]}"]
        assert answers[0][3] == 0


@pytest.mark.parametrize("dialect", DIALECTS)
def test_key_ids_that_no_key_can_have_are_refused_without_a_read(
    ask: Environment, dialect: str, caplog: pytest.LogCaptureFixture
) -> None:
    for key_id in ("x" * 129, "x" * 1025, "x" * 100_000, "a/b", "é", "a b", "%23"):
        status, _, read, _ = ask(dialect, f"{key_id}.secret", "own")

        assert (status in (400, 403), read) == (True, []), key_id
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_good_key_learns_of_no_program_but_its_own(ask: Environment, dialect: str) -> None:
    _, good = key_of(ask.store, OWN.incarnation)
    assert ask(dialect, good, "own")[0] == 200
    for now in (NOW, NOW + 1, NOW + 60):
        for user_id in ("ada", "nobody"):
            foreign, absent = (
                without(ask(dialect, good, program_id, user_id, now=now), program_id)
                for program_id in ("foreign", "absent1")
            )

            assert foreign == absent
            assert foreign[0] == (403 if dialect == "actionhub" else 404)
            assert FOREIGN.incarnation not in str(foreign)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("programs", [(OWN.incarnation,), (OWN.incarnation, FOREIGN.incarnation), ()])
def test_a_good_key_in_a_warm_environment_reads_once(
    ask: Environment, dialect: str, programs: tuple[Incarnation, ...]
) -> None:
    _, good = key_of(ask.store, *programs)
    status, _, read, decoded = ask(dialect, good, "own")
    assert (status, decoded) == (200, 1)
    assert read[0] == "GetItem key NBKOWN"

    for seconds in (1.0, 6.0, 60.0, 60.0 + REMEMBERED_SECONDS - 1):
        status, _, read, decoded = ask(dialect, good, "own", now=NOW + seconds)

        assert (status, len(read), decoded) == (200, 1, 1), seconds


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_stored_key_decides_before_anything_is_decoded(ask: Environment, dialect: str) -> None:
    # Given a key in a warm environment that was revoked, rotated, or closed meanwhile
    changes: list[Callable[[AccessKey], AccessKey]] = [
        lambda key: replace(key, revoked=True),
        lambda key: replace(key, expires_at=NOW),
        lambda key: replace(key, programs=(FOREIGN.incarnation,)),
        lambda key: rotate_key(MASTER_SECRET, key, now=NOW, overlap_seconds=0),
    ]
    for number, change in enumerate(changes):
        key, good = key_of(ask.store, OWN.incarnation, key_id=f"NBKCHANGED{number}")
        assert ask(dialect, good, "own")[0] == 200
        ask.store.put_access_key(change(key))

        status, _, read, decoded = ask(dialect, good, "own", now=NOW + 10)

        assert status in (403, 404), number
        assert (len(read), decoded) == (1, 0), number


@pytest.mark.parametrize("dialect", DIALECTS)
def test_only_callers_with_a_key_learn_what_is_wrong_with_a_request(ask: Environment, dialect: str) -> None:
    key, good = key_of(ask.store, OWN.incarnation)
    wrong = "nonsense" if dialect == "actionhub" else "{"
    for made_up in ("NBKNOBODY.secret", f"NBKOWN.{'x' * 43}"):
        assert ask(dialect, made_up, "own", body=wrong) == ask(dialect, made_up, "own")
    assert ask(dialect, good, "own", body=wrong)[0] in (400, 422)
    ask.store.put_access_key(replace(key, revoked=True))
    assert ask(dialect, good, "own", body=wrong, now=NOW + 10)[0] == 403


def test_a_body_of_events_is_read_for_callers_with_a_key_alone(ask: Environment) -> None:
    class Queue:
        def send(self, messages: object) -> None:
            raise AssertionError(messages)

    endpoint = EventsEndpoint(ask.store, Queue(), RequestQuota(0.0))
    _, good = key_of(ask.store, OWN.incarnation)
    bodies = [b"{", b"\xff", b"[" * 100_000, b"[]", b'{"events":[]}', b" " * 5_000_000]

    def status(key: str, body: bytes) -> int:
        headers = {"actionhub-key": key, "program-id": "own", "content-type": "application/json"}
        request = Request("POST", "/events", headers=headers, body=body)
        return ask._respond(endpoint, request, NOW).status

    assert {status("NBKNOBODY.secret", body) for body in bodies} == {403}
    assert {status(good, body) for body in bodies} == {400, 413, 422}


def test_secrets_are_compared_in_constant_time(ask: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[int] = []
    compare = hmac.compare_digest

    def comparing(one: Any, other: Any) -> bool:
        compared.append(len(one))
        return compare(one, other)

    monkeypatch.setattr("nextbest.domain.access_keys.hmac.compare_digest", comparing)
    key, _ = key_of(ask.store, OWN.incarnation)

    assert not key.accepts("guess", now=NOW)
    assert compared == [64, 64]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_operator_reads_once_in_a_warm_environment_also_after_an_id_was_used_again(
    ask: Environment, dialect: str
) -> None:
    _, operator = key_of(ask.store, key_id="NBKOPERATOR")
    assert ask(dialect, operator, "own")[0] == 200
    remove_program(ask.store, MemoryArtifacts(), OWN.incarnation)
    ask.store.create_program(Program("own", incarnation=Incarnation("own@cccccccccc")))
    events = [Event("ada", round((NOW - 60) * 1e6), "Taken", "new-asset")]
    ask.store.append(Program("own", incarnation=Incarnation("own@cccccccccc")), events)

    status, body, read, _ = ask(dialect, operator, "own", now=NOW + 1)
    assert status == 200
    assert "new-asset" in body
    assert "asset-1" not in body
    assert len(read) > 1

    status, _, read, _ = ask(dialect, operator, "own", now=NOW + 2)
    assert (status, len(read)) == (200, 1)
