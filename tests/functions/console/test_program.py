"""The page of the program: what is true of it, in words, and the rebase that it starts and follows."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from nextbest.domain.access_keys import READ
from nextbest.domain.events import Event
from nextbest.domain.programs import EventTypeOrder, GoalEventType, ListCap, RestRule
from nextbest.domain.rebase_status import COMPLETE, FAILED, QUEUED, TRAINING
from nextbest.scoring import Model
from nextbest.store.base import ModelPointer, Status, Traffic
from nextbest.store.environment import open_artifacts
from tests.factories import drink_events
from tests.functions.conftest import PROGRAM, Functions
from tests.functions.console.conftest import Browser, key_with

HOSTILE = "<script>alert('1')</script>\"\u202e🫖"
"""The name of an event type that wants to be a program."""


class KnownTraffic:
    """Implements ``store.base.TrafficReader``."""

    def __init__(self, traffic: Traffic | None) -> None:
        self.traffic = traffic

    def last_hour(self, program_id: str, *, now: float) -> Traffic | None:
        assert program_id == PROGRAM.program_id
        assert now > 0
        return self.traffic


def report_of(browser: Browser) -> dict[str, object]:
    state = browser.functions.store.program_state(PROGRAM.program_id)
    assert state is not None
    assert state.model is not None
    return dict(Model.from_bytes(open_artifacts(clock=time.time).get(state.model.key)).report)


def test_a_program_without_events_says_what_to_do(browser: Browser) -> None:
    shown = browser.page()

    assert "There is no model yet" in shown.text
    assert "The program was never rebased" in shown.text
    assert "Rebase now" in shown.text


def test_the_page_says_what_the_report_says(learned: Browser) -> None:
    text, report = learned.page().text, report_of(learned)

    assert f"Events learned from {report['events']:,}" in text
    assert f"Users {report['users']}" in text
    assert f"Actions {report['actions']}" in text
    assert "than the most popular list" in text
    assert "Events a day by type" in text
    assert "join" in text
    assert "half" not in text.partition("Answers of the last hour")[2].partition("Rebases")[0]
    assert "Not known here" in text
    assert "curl" in text


def test_a_rebase_is_listed_with_how_it_was_started_how_long_it_took_and_what_it_learned_from(
    browser: Browser,
) -> None:
    store = browser.functions.store
    store.append(PROGRAM, drink_events(now=time.time()))
    browser.functions.answer("rebase", {"program_id": PROGRAM.program_id, "incarnation": PROGRAM.incarnation})

    rebases = browser.page().text.partition("The last rebases")[2]

    assert "by hand Trained" in rebases
    assert f"{len(drink_events(now=time.time())):,}" in rebases


def test_a_rebase_that_failed_says_why(browser: Browser) -> None:
    with pytest.raises(Exception, match="no events"):
        browser.functions.answer("rebase", {"program_id": PROGRAM.program_id, "incarnation": PROGRAM.incarnation})

    text = browser.page().text

    assert "The last rebase failed" in text
    assert "Failed : there are no events to learn from yet" in text


def test_rebase_now_is_followed_until_it_ends(browser: Browser) -> None:
    assert browser.submit("rebase").status == 303
    status = browser.functions.store.status(PROGRAM.incarnation)
    assert status is not None
    assert status.status_id == QUEUED

    page = browser.page()
    assert "Running" in page.text
    assert "Rebase now" not in page.text
    assert 'hx-trigger="every 2s"' in page.body

    asks = {"hx-request": "true"}
    path = f"/console/programs/{PROGRAM.program_id}/rebase"
    browser.functions.store.put_status(Status(PROGRAM.incarnation, TRAINING, "learning from 5 events", time.time()))
    part = browser.get(path, headers=asks)
    assert "learning from 5 events" in part.text
    assert "<main" not in part.body
    assert "hx-refresh" not in part.headers

    for status_id in (COMPLETE, FAILED):
        browser.functions.store.put_status(Status(PROGRAM.incarnation, status_id, "that was it", time.time()))
        part = browser.get(path, headers=asks)
        assert part.headers["hx-refresh"] == "true"
        assert "hx-trigger" not in part.body
    # Without scripts the address leads to the page.
    assert browser.get(path).headers["location"] == f"/console/programs/{PROGRAM.program_id}"


def test_a_key_that_reads_sees_no_button(functions: Functions) -> None:
    browser = Browser(functions)
    browser.sign_in(key_with(functions, READ))

    assert "Rebase now" not in browser.page().text


def test_settings_are_shown_with_their_meaning(browser: Browser) -> None:
    changed = replace(
        PROGRAM,
        half_life_days=31,
        never_recommended=(HOSTILE,),
        event_type_order=(EventTypeOrder("upgrade", ("invite", "join")),),
        goal=(GoalEventType("upgrade", 2500.0), GoalEventType("invite", 0.5)),
        rest_rules=(RestRule(("view", "decline"), 3, 7, 14, ("upgrade",)),),
        most_per_list=(ListCap("invite", 2),),
    )
    browser.functions.store.update_program(changed)

    shown = browser.page()

    assert "event_relevance_decay 31 days After so long an event counts half" in shown.text
    assert "upgrade after invite or join" in shown.text
    assert "goal upgrade 2,500, invite 0.5 What the program is for" in shown.text
    assert "upgrade after 3 × view or decline within 7 days, for 14 days When an action rests" in shown.text
    assert "most_per_list invite 2 How many" in shown.text
    assert HOSTILE in shown.text
    assert HOSTILE not in shown.body


@pytest.mark.parametrize(
    ("traffic", "words"),
    [
        (Traffic(1234, 4.2, 31.0), "1,234 requests , half of them answered within 4.2 ms and 99 % within 31 ms."),
        (Traffic(7, None, None), "7 requests ."),
        (Traffic(0, None, None), "Nobody asked."),
        (None, "Not known here"),
    ],
)
def test_traffic_is_shown_where_it_is_known(browser: Browser, traffic: Traffic | None, words: str) -> None:
    browser.page()
    console = browser.functions.modules["console"].CONSOLE
    browser.functions.patch.setattr(console, "_services", replace(console._services, traffic=KnownTraffic(traffic)))

    assert words.replace(" ,", ",").replace(" .", ".") in browser.page().text


def test_a_model_that_cannot_be_read_is_said_and_nothing_breaks(learned: Browser) -> None:
    learned.functions.modules.clear()
    learned.functions.store.point_to_model(PROGRAM.incarnation, ModelPointer("9999999999999-x", "models/nowhere"))

    text = learned.page().text

    assert "cannot be read: the one before answers" in text
    assert "than the most popular list" in text

    learned.functions.modules.clear()
    learned.functions.store.forget_model(PROGRAM.incarnation)
    learned.functions.store.point_to_model(PROGRAM.incarnation, ModelPointer("9999999999999-y", "models/nowhere"))
    assert "The model cannot be read" in learned.page().text


def test_names_of_event_types_are_shown_and_never_run(browser: Browser) -> None:
    now = time.time()
    events = [
        Event(f"user-{user}", round((now - 3_600 * (hour + 1)) * 1e6), HOSTILE, "tea")
        for user in range(3)
        for hour in range(4)
    ]
    browser.functions.store.append(PROGRAM, events)
    browser.functions.answer("rebase", {"program_id": PROGRAM.program_id, "incarnation": PROGRAM.incarnation})

    shown = browser.page()

    assert HOSTILE in shown.text
    assert HOSTILE not in shown.body
