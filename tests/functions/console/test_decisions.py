"""The page of decisions: growth weights against what came true, and a model that never served."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from nextbest.domain.access_keys import READ
from nextbest.lift.calibration import agreement_by_week
from nextbest.lift.off_policy import LoggedChoices, value_of_candidate
from nextbest.logic.report_files import DECISIONS, put_report
from nextbest.store.environment import open_artifacts
from tests.functions.conftest import PROGRAM, Functions
from tests.functions.console.conftest import Browser, key_with

HOSTILE = "<script>alert(1)</script>\u202e"
HOME = f"/console/programs/{PROGRAM.program_id}/decisions"


def reported(candidate: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
    """A report of 400 recommendations of four weeks ago, of which 10 % were expected to come true and 20 % did."""
    now, users = time.time(), np.arange(400)
    weeks = agreement_by_week(
        users, np.full(400, now - 28 * 86_400), np.full(400, 0.1), users % 5 == 0, horizon_days=14, now=now
    )
    report = {
        **{"program_id": PROGRAM.program_id, "now": now - 7200, "days": 90, "decisions": 412, "held_out": 12},
        **{"user_share": 1.0, "horizon_days": 14, "weeks": [week.to_json() for week in weeks], "candidate": candidate},
    }
    put_report(open_artifacts(clock=time.time), PROGRAM.incarnation, DECISIONS, report)
    return report


def candidate_of(**members: Any) -> Mapping[str, Any]:
    random = np.random.default_rng(1)
    users, reward = np.arange(1000), (random.random(1000) < 0.3).astype(np.float64)
    ones = np.full(1000, 0.5)
    value = value_of_candidate(LoggedChoices(users, reward, ones, random.uniform(0, 1, 1000)))
    known = {"model": "1764396000000-0123456789ab", "trained_at": 1_764_396_000.0, "draws": 1200, "known": 1000}
    return {**known, "user_share": 1.0, "value": value.to_json(), "reason": "", **members}


def test_growth_weights_are_held_against_what_came_true(browser: Browser) -> None:
    assert "There is no report yet" in browser.page("decisions").text
    week = reported()["weeks"][0]

    page = browser.page("decisions")

    low, high = week["interval"]
    assert "As of 2 hours ago" in page.text
    assert "412 decisions of 90 days, of which 12 were for users who were held out" in page.text
    assert f"400 40 80 2.00 {low:.2f} to {high:.2f}" in page.text
    assert "0.1 to 0.2 400 40 80" in page.text
    assert page.body.count('<svg class="interval"') == 2
    assert "never served</h2>" not in page.body
    for page_name in ("experiments", "model"):
        assert HOME in browser.page(page_name).body


def test_a_model_that_never_served_is_judged_or_the_reason_why_not_is_given(browser: Browser) -> None:
    candidate = candidate_of()
    reported(candidate)
    text = browser.page("decisions").text
    assert "1,200 places of lists were drawn by chance, of which 1,000 say something of it" in text
    low, high = candidate["value"]["snips"]["fixed"]
    assert f"{100 * low:.1f} to {100 * high:.1f} %" in text
    assert "are no lift" in text

    reported(candidate_of(value=None, reason=f"nothing was drawn {HOSTILE}"))
    page = browser.page("decisions")
    assert f"Not known: nothing was drawn {HOSTILE}." in page.text
    assert HOSTILE not in page.body


def test_the_report_is_computed_and_awaited(learned: Browser) -> None:
    state = learned.functions.store.program_state(PROGRAM.program_id)
    assert state is not None
    assert state.model is not None

    asked = learned.submit("decisions/report", model_version=state.model.version)

    event = {"program_id": PROGRAM.program_id, "incarnation": PROGRAM.incarnation, "decisions": "report"}
    assert learned.functions.started == [{**event, "model_version": state.model.version}]
    assert "A report is being computed" in learned.get(asked.headers["location"]).text
    learned.functions.run_started()
    done = learned.get(asked.headers["location"]).text
    assert "being computed" not in done
    assert "No decision's horizon of 14 days is over yet" in done
    assert "Not known: nothing was drawn" in done
    learned.submit("decisions/report", model_version="")
    assert learned.functions.started == [event]


def test_a_version_that_is_none_is_refused(browser: Browser) -> None:
    for version in (HOSTILE, "../../x", "0" * 13 + "-" + "0" * 12):
        refused = browser.submit("decisions/report", model_version=version)
        assert refused.status == 400
        assert 'aria-invalid="true"' in refused.body
        assert HOSTILE not in refused.body
    assert browser.functions.started == []


def test_a_key_that_reads_computes_nothing(functions: Functions, browser: Browser) -> None:
    reported()
    reader = Browser(functions)
    reader.sign_in(key_with(functions, READ))

    assert reader.page("decisions").body.count("<form") == 1
    assert reader.submit("decisions/report", model_version="").status == 403
    assert browser.functions.started == []
