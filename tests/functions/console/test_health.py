"""Findings, quotas and dead letters: the program's to its own keys, the deployment's to the operator's alone."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from botocore.session import get_session

from nextbest.domain.access_keys import READ
from nextbest.domain.programs import Program
from nextbest.domain.rebase_status import COMPLETE, FAILED
from nextbest.logic.health import check_program
from nextbest.store.base import ModelPointer, Status
from nextbest.store.environment import open_artifacts
from tests.functions.conftest import PROGRAM, Functions
from tests.functions.console.conftest import Browser, key_with
from tests.infrastructure.permissions import ALLOWED
from tools.local.engines import REGION
from tools.local.key import operator_key

LETTERS = f"/console/programs/{PROGRAM.program_id}/health/dead-letters"
HOSTILE = "<script>alert('1')</script>\u202e"


@pytest.fixture
def operator(functions: Functions) -> Browser:
    """A browser that is signed in with the operator's key."""
    browser = Browser(functions)
    assert browser.sign_in(operator_key()[1]).status == 303
    return browser


def sqs() -> Any:
    return get_session().create_client("sqs", region_name=REGION)


def put_dead_letter(browser: Browser, body: str, queue: str = "DEAD_LETTERS_URL") -> None:
    sqs().send_message(QueueUrl=browser.functions.application.function("console").variables[queue], MessageBody=body)


def test_the_page_says_what_the_checks_of_the_program_say(learned: Browser) -> None:
    state = learned.functions.store.program_state(PROGRAM.program_id)
    assert state is not None
    findings = check_program(
        learned.functions.store, open_artifacts(clock=time.time), state, now=time.time(), longest_age_days=2.0
    )
    text = learned.page("health").text

    for finding in findings:
        assert f"OK {finding.subject} : {finding.state}" in text


def test_what_is_wrong_is_said_with_how_to_fix_it(browser: Browser) -> None:
    browser.functions.store.put_status(Status(PROGRAM.incarnation, FAILED, HOSTILE, time.time()))

    shown = browser.page("health")

    assert f"To fix program demo : the last rebase failed: {HOSTILE} Fix: remove the cause" in shown.text
    assert "no model yet" in shown.text
    assert HOSTILE not in shown.body
    assert "Invoke" not in browser.functions.operations


def test_a_model_that_cannot_be_read_is_a_finding(browser: Browser) -> None:
    browser.functions.store.point_to_model(PROGRAM.incarnation, ModelPointer("0000000000001", "models/nowhere"))

    assert "its model cannot be read" in browser.page("health").text


def test_a_model_that_is_kept_as_nothing_has_changed_is_no_finding(learned: Browser) -> None:
    store, later = learned.functions.store, time.time() + 6 * 86_400
    store.note_rebase(PROGRAM.incarnation, now=1.0)

    def is_old() -> bool:
        state = store.program_state(PROGRAM.program_id)
        assert state is not None
        findings = check_program(store, open_artifacts(clock=time.time), state, now=later, longest_age_days=2.0)
        return any("6.0 days old" in finding.state and not finding.is_ok for finding in findings)

    assert is_old()
    store.put_status(Status(PROGRAM.incarnation, COMPLETE, "it is kept", later - 3600))
    assert not is_old()
    store.change_program(PROGRAM.incarnation, lambda program: program)
    assert is_old()


def test_an_old_model_is_a_finding(learned: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    learned.page("health")
    later = time.time() + 6 * 86_400
    learned.sign_in(key_with(learned.functions, READ))
    monkeypatch.setattr(learned.functions.modules["console"].time, "time", lambda: later)
    learned.sign_in(key_with(learned.functions, READ))

    assert "6.0 days old" in learned.page("health").text
    assert "To fix program demo : model" in learned.page("health").text


def test_quotas_are_shown_with_how_far_they_are_used(browser: Browser) -> None:
    text = browser.page("health").text

    assert "Access keys 1 1,000" in text
    assert "Filters 0 30" in text
    assert "Weights of labels 0 5,000" in text
    assert "Requests a second" not in text  # a local stack has no quota of them


def test_queues_and_dead_letters_are_the_operator_s_alone(browser: Browser) -> None:
    put_dead_letter(browser, "secret of another program")

    shown = browser.page("health")
    assert "only keys that open every program see them" in shown.text
    assert "messages waiting" not in shown.text
    assert not {"ReceiveMessage", "GetQueueAttributes"} & browser.functions.operations

    assert browser.get(LETTERS).status == 403
    assert browser.submit("health/dead-letters").status == 403


def test_an_operator_checks_all_programs(operator: Browser) -> None:
    store = operator.functions.store
    store.create_program(Program("tea"))
    store.put_status(Status(Program("tea").incarnation, FAILED, HOSTILE, time.time()))
    store.create_program(Program("milk"))
    store.begin_removal(Program("milk").incarnation)

    shown = operator.page("health/programs")

    assert f"To fix program tea : the last rebase failed: {HOSTILE}" in shown.text
    assert "To fix program milk : its deletion was not finished" in shown.text
    assert "program demo : no model yet" in shown.text
    assert HOSTILE not in shown.body
    assert operator.functions.permissions() <= ALLOWED["console"]
    assert 'href="/console/programs/demo/health/programs"' in operator.page("health").body


def test_programs_are_checked_a_page_at_a_time(operator: Browser) -> None:
    for number in range(30):
        operator.functions.store.create_program(Program(f"tea-{number:02}"))

    assert "Page 1 of 2" in operator.page("health/programs").text
    assert "program tea-29" not in operator.page("health/programs").text
    assert "program tea-29 : no model yet" in operator.page("health/programs", page=2).text


def test_all_programs_are_the_operator_s_alone(browser: Browser) -> None:
    assert browser.get(f"/console/programs/{PROGRAM.program_id}/health/programs").status == 403
    assert "health/programs" not in browser.page("health").body


def test_an_operator_sees_what_failed_and_sends_it_again(operator: Browser) -> None:
    body = json.dumps({"program_id": "demo", "events": [{"user_id": "grace"}, {}]})
    put_dead_letter(operator, body)
    put_dead_letter(operator, "nonsense of grace")
    put_dead_letter(operator, json.dumps({"program_id": HOSTILE, "events": []}))
    assert "To fix dead letters : 3" in operator.page("health").text
    assert operator.functions.permissions() <= ALLOWED["console"]

    for _ in range(2):
        shown = operator.page("health/dead-letters")
        assert "3 shown, of about 3" in shown.text
        assert "not a message of Nextbest: no JSON" in shown.text
        assert HOSTILE in shown.text
        assert HOSTILE not in shown.body
        assert "grace" not in shown.text
        assert operator.functions.permissions() <= ALLOWED["console"]

    sent = operator.submit("health/dead-letters")
    assert (sent.status, sent.headers["location"]) == (303, "/console/programs/demo/health?sent=3")
    assert operator.functions.permissions() <= ALLOWED["console"]
    text = operator.get(sent.headers["location"]).text
    assert "Messages sent to the queue again: 3." in text
    assert "OK dead letters : 0" in text
    assert "3 messages waiting" in text


def test_failed_invocations_are_shown_without_anybody_s_data(operator: Browser) -> None:
    report = {
        "requestContext": {"functionArn": "arn:aws:lambda:x:1:function:the-rebase:1", "condition": "RetriesExhausted"},
        "requestPayload": {"program_id": "demo", "user": "grace"},
        "responsePayload": {"errorType": "Unavailable", "errorMessage": "grace"},
    }
    put_dead_letter(operator, json.dumps(report), "FAILED_INVOCATIONS_URL")

    text = operator.page("health/dead-letters").text

    assert "the-rebase demo RetriesExhausted , Unavailable" in text
    assert "grace" not in text


def test_the_number_in_the_address_is_a_number_or_nothing(operator: Browser) -> None:
    assert "again:" not in operator.page("health", sent="your bank account").text


def test_a_key_that_reads_sees_findings_and_no_way_to_keys(functions: Functions) -> None:
    browser = Browser(functions)
    browser.sign_in(key_with(functions, READ))

    text = browser.page("health").text

    assert "no model yet" in text
    assert "Create, rotate and revoke" not in text
    assert browser.get(LETTERS).status == 403
