"""The pages of experiments: the same logic as the API, and a report in words, numbers and plots."""

from __future__ import annotations

import html
import json
import re
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nextbest.domain.access_keys import READ, WRITE
from nextbest.domain.events import DAY_SECONDS
from nextbest.domain.experiments import (
    ChallengerSettings,
    Experiment,
    ExperimentKind,
    ExperimentPlan,
    ExperimentState,
    HoldoutList,
)
from nextbest.logic.report_files import put_report
from nextbest.store.base import ExperimentChange
from nextbest.store.environment import open_artifacts
from tests.factories import http_event
from tests.functions.conftest import PROGRAM, Functions
from tests.functions.console.conftest import Browser, Shown, key_with
from tests.lift_reports import report_of
from tools.local.key import operator_key

HOSTILE = "<script>alert(1)</script>\"'\u202e🫖"
HOME = f"/console/programs/{PROGRAM.program_id}/experiments"
DAYS = 20


def experiment(browser: Browser, experiment_id: str) -> Experiment:
    return browser.functions.store.experiment(PROGRAM.incarnation, experiment_id)


def running(browser: Browser, **members: Any) -> Experiment:
    """An experiment that has run for ``DAYS``, as the store has it."""
    started = time.time() - DAYS * DAY_SECONDS
    kept = Experiment(
        "lift", "Lift", ExperimentKind.HOLDOUT, 0.5, 7, started, ExperimentState.RUNNING, started_at=started
    )
    kept = replace(kept, **members)
    browser.functions.store.create_experiment(PROGRAM.incarnation, kept)
    return kept


def reported(kept: Experiment, *, rates: tuple[float, float], users: int = 400) -> Mapping[str, Any]:
    """A report of an experiment, as the function rebase keeps it."""
    body = report_of(kept, PROGRAM.program_id, rates=rates, users=users, now=time.time() - 7200)
    put_report(open_artifacts(clock=time.time), PROGRAM.incarnation, kept.experiment_id, body)
    return body


def api(browser: Browser, path: str) -> Any:
    """What the API answers."""
    parts = path.strip("/").split("/")
    route = "/" + "/".join("{experiment_id}" if place == 1 else part for place, part in enumerate(parts))
    event = http_event("GET", path, route_key=f"GET {route}")
    event["headers"] = {"actionhub-key": operator_key()[1], "program-id": PROGRAM.program_id}
    answer = browser.functions.answer("manage", event)
    assert answer["statusCode"] == 200, answer["body"]
    return json.loads(answer["body"])


def shown(browser: Browser, experiment_id: str = "lift", **query: object) -> Shown:
    return browser.page("experiments/show", experiment_id=experiment_id, **query)


def test_a_holdout_from_its_draft_to_its_deletion(learned: Browser) -> None:
    assert "There are none yet" in learned.page("experiments").text
    assert "Name" in learned.page("experiments/new", kind="holdout").text

    made = learned.submit(
        "experiments/create",
        **{"kind": "holdout", "name": HOSTILE, "experiment_id": "lift", "share": "0.1", "holdout_list": "nothing"},
    )
    assert made.headers["location"] == f"{HOME}/show?experiment_id=lift"
    drafted = experiment(learned, "lift")
    assert (drafted.name, drafted.share, drafted.holdout_list) == (HOSTILE, 0.1, HoldoutList.NOTHING)
    assert drafted.horizon_days == PROGRAM.horizon_days
    page = shown(learned)
    assert "A draft: it changes nothing before it is started" in page.text
    assert HOSTILE in page.text
    assert HOSTILE not in page.body
    assert "Compute the report" not in page.text

    learned.submit("experiments/change", experiment_id="lift", name="Lift", share="0.2", holdout_list="popular")
    assert learned.submit("experiments/start", experiment_id="lift").status == 303
    started = experiment(learned, "lift")
    assert (started.state, started.share, started.holdout_list) == ("running", 0.2, HoldoutList.POPULAR)
    listed = learned.page("experiments").text
    assert re.search(r"Lift lift Holdout 20 % Running since \d{4}-", listed)
    assert "No report yet" in listed
    assert "Lift runs with 20 % of the users" in learned.page().text
    assert api(learned, "/experiments")["experiments"][0]["state"] == "running"

    refused = learned.submit("experiments/delete", experiment_id="lift")
    assert refused.status == 409
    assert "runs: stop it first" in refused.text
    assert learned.submit("experiments/stop", experiment_id="lift").status == 303
    assert "Stopped" in shown(learned).text
    gone = learned.submit("experiments/delete", experiment_id="lift")
    assert gone.headers["location"] == f"{HOME}?deleted=lift"
    assert "There are none yet" in learned.page("experiments").text


def test_a_challenger_with_all_that_it_may_change_is_promoted(learned: Browser) -> None:
    state = learned.functions.store.program_state(PROGRAM.program_id)
    assert state is not None
    assert state.model is not None
    form = {
        **{"kind": "challenger", "name": "Rival", "experiment_id": "rival", "share": ".5", "horizon_days": "3"},
        **{"model_version": state.model.version, "exploration_weight": "0.3", "action_weight_floor": "-1"},
        **{"event_types": "order\r\n join \r\n", "never_recommended": "", "recommends_all": "on"},
        "allow_repeats": "false",
    }
    assert f"{state.model.version} (serves now)" in learned.page("experiments/new", kind="challenger").text

    assert learned.submit("experiments/create", **form).status == 303
    drafted = experiment(learned, "rival")
    assert drafted.challenger == ChallengerSettings(state.model.version, 0.3, -1.0, ("order", "join"), (), False)
    assert drafted.horizon_days == 3
    assert "exploration_weight 0.3" in shown(learned, "rival").text
    # The form shows what is stored, and stores what it shows.
    filled = learned.page("experiments/edit", experiment_id="rival")
    assert 'name="exploration_weight" value="0.3"' in filled.body
    assert 'value="on" checked' in filled.body
    assert "order\njoin</textarea>" in filled.body
    assert learned.submit("experiments/change", **{**form, "share": "0.5"}).status == 303
    assert experiment(learned, "rival") == drafted

    only_floor = {"model_version": "", "action_weight_floor": "0.01", "never_recommended": "join"}
    learned.submit("experiments/change", experiment_id="rival", **only_floor)
    assert experiment(learned, "rival").challenger == ChallengerSettings(
        action_weight_floor=0.01, never_recommended=("join",)
    )
    learned.submit("experiments/start", experiment_id="rival")
    assert learned.submit("experiments/promote", experiment_id="rival").status == 303
    assert "Promoted" in shown(learned, "rival").text
    promoted = learned.functions.store.program_state(PROGRAM.program_id)
    assert promoted is not None
    assert (promoted.program.action_weight_floor, promoted.program.never_recommended) == (0.01, ("join",))
    again = learned.submit("experiments/promote", experiment_id="rival")
    assert (again.status, "was promoted already" in again.text) == (409, True)


WRONG: tuple[tuple[dict[str, str], str, str], ...] = (
    ({"share": "half"}, "share", "Give a number"),
    ({"share": ""}, "share", "Give the share of users"),
    ({"share": "1"}, "share", "above 0 and below 1"),
    ({"name": " "}, "name", "A name has 1 to 256 characters"),
    ({"horizon_days": "1.5"}, "horizon_days", "a whole number of days"),
    ({"horizon_days": "366"}, "horizon_days", "1 to 365 days"),
    ({"experiment_id": "a b"}, "experiment_id", "begins with a letter or a digit"),
    ({"experiment_id": "taken"}, "experiment_id", "exists already"),
    ({"headline": "both"}, "headline", "Either rate, or value"),
    ({"least_effect": "11"}, "least_effect", "above 0 and at most 10"),
    ({"action_weight_floor": "", "allow_repeats": ""}, "challenger", "has to change something"),
    ({"action_weight_floor": "1"}, "action_weight_floor", "is below 1"),
    ({"exploration_weight": "2"}, "exploration_weight", "from 0 to 1"),
    ({"exploration_weight": "nan"}, "exploration_weight", "Give a number"),
    ({"model_version": "../../x"}, "model_version", "13 digits"),
    ({"model_version": "0" * 13 + "-" + "0" * 12}, "model_version", "no model"),
    ({"event_types": "t" * 257}, "event_types", "longer than 256"),
    ({"never_recommended": "a", "recommends_all": "on"}, "never_recommended", "not both"),
    ({"allow_repeats": "perhaps"}, "allow_repeats", "Either true, or false"),
)


def test_what_is_wrong_stands_by_its_field_and_nothing_typed_is_lost(browser: Browser) -> None:
    running(browser, experiment_id="taken")
    token = browser.page().token
    for wrong, field, problem in WRONG:
        typed = {
            **{"kind": "challenger", "name": HOSTILE, "experiment_id": "rival", "share": "0.123", "horizon_days": "9"},
            **{"model_version": "", "exploration_weight": "", "action_weight_floor": "0.1"},
            **{"event_types": "", "never_recommended": "", "allow_repeats": "true", **wrong},
        }

        answer = browser.post(f"{HOME}/create", {"token": token, **typed})

        assert answer.status == 400
        said = re.search(rf'id="{field}-problem">([^<]*)<', answer.body)
        assert said is not None, (wrong, answer.text)
        assert problem in said[1]
        assert re.search(rf'aria-describedby="[^"]*{field}-problem"', answer.body)  # the field is tied to it
        for name, text in typed.items():
            if name in ("model_version", "allow_repeats", "kind", "recommends_all", "headline"):
                continue
            kept = re.search(rf'id="{name}" name="{name}"(?: value="([^"]*)"|[^>]*>\n([^<]*)</textarea>)', answer.body)
            assert kept is not None, name
            assert html.unescape(kept[1] or kept[2] or "") == text
        if wrong.get("model_version"):
            assert f'<option value="{wrong["model_version"]}" selected>' in answer.body
    assert len(list(browser.functions.store.experiments(PROGRAM.incarnation))) == 1


def test_what_runs_takes_a_name_and_a_larger_share_alone(browser: Browser) -> None:
    running(browser)
    page = browser.page("experiments/edit", experiment_id="lift")
    assert 'name="share" value="0.5"' in page.body
    assert "holdout_list" not in page.body

    smaller = browser.submit("experiments/change", experiment_id="lift", name="New name", share="0.4")
    assert smaller.status == 400
    assert "can only grow" in smaller.text
    assert 'value="0.4"' in smaller.body
    late = browser.submit("experiments/change", experiment_id="lift", name="New name", horizon_days="3")
    assert "horizon_days cannot be changed any more: the experiment is running" in late.text
    assert experiment(browser, "lift").name == "Lift"
    browser.submit("experiments/change", experiment_id="lift", name="New name", share="0.6")
    assert (experiment(browser, "lift").name, experiment(browser, "lift").share) == ("New name", 0.6)


def test_an_experiment_that_cannot_start_says_why(browser: Browser) -> None:
    browser.submit("experiments/create", kind="holdout", name="Early", share="0.1", experiment_id="early")

    answer = browser.submit("experiments/start", experiment_id="early")

    assert answer.status == 409
    assert "The program has no model yet: rebase it first" in answer.text
    assert "Start" in answer.text
    early = browser.submit("experiments/report", experiment_id="early")
    assert "was not started yet" in early.text
    assert browser.functions.started == []


def test_the_verdict_comes_first_and_the_numbers_are_those_of_the_api(browser: Browser) -> None:
    report = reported(running(browser), rates=(0.1, 0.5))
    assert report == api(browser, "/experiments/lift/report")

    page = shown(browser)

    verdict = report["verdict"]
    assert verdict.startswith("model sells more: +")
    assert page.text.index(verdict[1:]) < page.text.index("State")
    assert "As of 2 hours ago" in page.text
    assert "Users who entered 400" in page.text
    assert page.text.count("the headline") == 1
    adjusted = report["measures"][0]["comparisons"][0]["adjusted"]["difference"]
    low, high = adjusted["always_valid"]
    assert f"model minus holdout, adjusted the headline {100 * adjusted['value']:+.0f} points" in page.text
    assert f"{100 * low:+.0f} to {100 * high:+.0f} points" in page.text
    for name in ("model minus holdout", "model divided by holdout", "Share of users with an outcome", "Value of the"):
        assert name in page.text
    takes = r"an effect of \d+ points takes \d+ users to show with a chance of 80 %; their horizon is over already\."
    assert re.search(takes, page.text)
    assert "Users did not come in the shares" not in page.text
    # Plots are within their own width, and the interval that decides is beside the line of no difference.
    plots = re.findall(r'<svg class="interval".*?</svg>', page.body, re.DOTALL)
    assert len(plots) == 2 * (2 + 2 + 2)
    places = [float(number) for plot in plots for number in re.findall(r' (?:x|x1|x2)="([^"]+)"', plot)]
    assert all(0 <= place <= 100 for place in places)
    zero, begin = (
        float(re.findall(pattern, plots[1])[0]) for pattern in (r'zero" x1="([^"]+)"', r'always" x="([^"]+)"')
    )
    assert zero < begin
    assert verdict[1:] in browser.page("experiments").text


def test_a_report_of_shares_that_do_not_hold_warns(browser: Browser) -> None:
    kept = running(browser)
    report = dict(reported(kept, rates=(0.1, 0.1), users=60))
    ratio = {"users": [10, 50], "expected": [30.0, 30.0], "probability": 1e-7, "mismatch": True, "reason": ""}
    put_report(open_artifacts(clock=time.time), PROGRAM.incarnation, "lift", {**report, "sample_ratio": ratio})

    text = shown(browser).text

    assert "Users did not come in the shares that were set (10 and 50; expected 30 and 30)" in text
    assert "probability of 1e-07" in text


def test_the_way_there_is_drawn_by_day_where_the_report_has_it(browser: Browser) -> None:
    report = dict(reported(running(browser), rates=(0.1, 0.5)))
    days = [
        {"day": day, "variant": variant, "users": users, "outcomes": outcomes, "value": 1.0 * outcomes}
        for day, variant, users, outcomes in (
            ("2026-11-20", "holdout", 8, 1),
            ("2026-11-20", "model", 0, 0),
            ("2026-11-21", "holdout", 10, 2),
            ("2026-11-21", "model", 10, 5),
        )
    ]
    artifacts = open_artifacts(clock=time.time)
    put_report(artifacts, PROGRAM.incarnation, "lift", {**report, "days": days})

    page = shown(browser)

    assert "Share of users with an outcome by day, per cent: all users whose horizon was over by then" in page.text
    values = re.findall(r'<td data-value="([^"]*)">', page.body)
    assert values == ["1795132800.0", "12.5", "", "1795219200.0", "20.0", "50.0"]
    put_report(artifacts, PROGRAM.incarnation, "lift", {**report, "days": []})
    assert "by day" not in shown(browser).text


def test_too_few_data_are_said_in_words(browser: Browser) -> None:
    report = reported(running(browser), rates=(0.0, 0.0), users=2)

    page = shown(browser)

    difference = report["measures"][0]["comparisons"][0]["plain"]["difference"]
    assert difference["always_valid"] is None
    assert f"No interval: {difference['reason']}." in page.text
    assert "<svg" not in page.body.partition("differences")[2].partition("</table>")[0]
    reported(experiment(browser, "lift"), rates=(0.0, 0.0), users=1)
    nobody = shown(browser)
    assert "No users in variant model" in nobody.text
    assert "Not known: no users." in nobody.text


def test_a_report_is_computed_and_awaited(browser: Browser) -> None:
    reported(running(browser), rates=(0.1, 0.5))
    assert "Compute again" in shown(browser).text

    asked = browser.submit("experiments/report", experiment_id="lift")
    assert browser.functions.started == [
        {"program_id": PROGRAM.program_id, "incarnation": PROGRAM.incarnation, "experiment": "lift"}
    ]
    page = browser.get(asked.headers["location"])
    assert "A report is being computed" in page.text
    assert "Compute again" not in page.text
    match = re.search(r'hx-get="([^"]+)" hx-trigger="every 2s"', page.body)
    assert match is not None
    progress = match[1].replace("&amp;", "&")
    part = browser.get(progress, headers={"hx-request": "true"})
    assert "hx-trigger" in part.body
    assert "<main" not in part.body
    # Without scripts the address leads to the page, which goes on waiting.
    assert "A report is being computed" in browser.get(browser.get(progress).headers["location"]).text

    browser.functions.run_started()

    done = browser.get(progress, headers={"hx-request": "true"})
    assert done.headers["hx-redirect"] == f"{HOME}/show?experiment_id=lift"
    assert "As of just now" in shown(browser).text
    assert "being computed" not in browser.get(asked.headers["location"]).text


def test_a_draft_with_a_least_effect_is_planned_before_it_starts(learned: Browser) -> None:
    form = {"kind": "holdout", "name": "Lift", "experiment_id": "lift", "share": "0.1"}
    learned.submit("experiments/create", **form, headline="rate", least_effect="0.05")
    drafted = experiment(learned, "lift")
    assert (drafted.headline, drafted.least_effect) == ("rate", 0.05)
    assert "not planned for yet" in learned.submit("experiments/start", experiment_id="lift").text

    asked = learned.submit("experiments/plan", experiment_id="lift")

    assert learned.functions.started == [
        {"program_id": PROGRAM.program_id, "incarnation": PROGRAM.incarnation, "plan": "lift"}
    ]
    assert "A plan is being computed" in learned.get(asked.headers["location"]).text
    learned.functions.run_started()
    done = learned.get(asked.headers["location"]).text
    assert "being computed" not in done
    assert "How many users it takes is not known: fewer than 100 users were active before." in done
    planned = ExperimentPlan(time.time(), 2_500, 0.2, 0.4, 0.01, 12_345)
    learned.functions.store.change_experiment(
        PROGRAM.incarnation, "lift", lambda _, before: ExperimentChange(replace(before, plan=planned))
    )
    text = shown(learned).text
    assert "It takes 12,345 users of both variants to show an effect of 1.0 points with a chance of 80 %" in text
    assert learned.submit("experiments/start", experiment_id="lift").status == 303
    assert "only a draft can be planned" in learned.submit("experiments/plan", experiment_id="lift").text


def test_a_report_that_does_not_come_is_given_up(browser: Browser) -> None:
    running(browser)
    text = shown(browser, before="0.0", began=str(time.time() - 1000)).text
    assert "did not come" in text
    assert "Compute the report" in text
    for odd in ("nan", "inf", "-1", "x"):
        assert "being computed" not in shown(browser, before=odd, began=odd).text


def test_a_key_that_reads_sees_reports_and_no_buttons(functions: Functions, browser: Browser) -> None:
    reported(running(browser), rates=(0.1, 0.5))
    reader = Browser(functions)
    reader.sign_in(key_with(functions, READ, WRITE))

    assert "Model sells more" in shown(reader).text
    for page in (reader.page("experiments"), shown(reader)):
        assert page.body.count("<form") == 1  # signing out
    assert reader.get(f"{HOME}/new").status == 403
    for call in ("create", "change", "start", "stop", "promote", "delete", "plan", "report"):
        assert reader.submit(f"experiments/{call}", experiment_id="lift").status == 403
    assert functions.started == []


def test_no_other_experiment_and_no_odd_id_is_opened(browser: Browser) -> None:
    for experiment_id in ("", "nothing", "../lift", HOSTILE, "x" * 5000):
        assert browser.get(f"{HOME}/show", experiment_id=experiment_id).status == 404
        assert browser.submit("experiments/stop", experiment_id=experiment_id).status == 404
    assert browser.submit("experiments/create", kind="neither", name="x", share="0.1").status == 400


def test_a_long_list_comes_in_pages_what_runs_first(browser: Browser) -> None:
    for number in range(22):
        draft = {"state": ExperimentState.DRAFT, "started_at": None}
        running(browser, experiment_id=f"d{number:02}", name=f"Draft {number:02}", **draft)
    running(browser)

    first, second = browser.page("experiments").text, browser.page("experiments", page=2).text

    assert first.index("Lift lift") < first.index("Draft 21")
    assert "Page 1 of 2" in first
    assert sum(second.count(f"Draft {number:02}") for number in range(22)) == 3
