"""The main path of each page, as somebody takes it who sees the demo for the first time."""

from __future__ import annotations

import re
import time
from dataclasses import replace

import pytest
from playwright.sync_api import expect

from nextbest.logic.report_files import put_report
from tests.browser.conftest import SCREENSHOTS, Console
from tests.contract.stacks import RunningStack
from tests.lift_reports import report_of
from tools.cli.deployment import local_deployment
from tools.local.demo import PROGRAM_ID, USER_ID
from tools.local.demo_experiment import EXPERIMENT_ID, play_demo_experiment
from tools.local.demo_experiment import PROGRAM_ID as BOOKSHOP

REBASE_MS = 240_000


def test_picture_of_the_program_and_a_rebase_with_its_progress(console: Console) -> None:
    page = console.open()
    expect(page.get_by_text("better than the most popular list").first).to_be_visible()
    expect(page.locator("figure.chart canvas").first).to_be_visible()
    console.picture("program")

    page.get_by_role("button", name="Rebase now").click()

    expect(page.get_by_role("button", name="Rebase now")).to_have_count(0)
    expect(page.get_by_role("button", name="Rebase now")).to_be_visible(timeout=REBASE_MS)
    console.check()


def test_picture_of_a_user_and_what_would_change(console: Console) -> None:
    """Why Grace is recommended the coffee club, what changes if she joins it, and where to forget her."""
    page = console.open("users")
    page.get_by_label("Id, or how it begins").fill(USER_ID)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text(USER_ID)
    club = page.get_by_role("listitem").filter(has_text="Coffee club").first
    expect(club).to_contain_text(re.compile("(because|that) they"))
    console.picture("user", whole=False)

    club.get_by_role("button", name="What if").or_(club.get_by_role("link", name="What if")).first.click()

    expect(page.get_by_text(re.compile("nothing (is|was) stored", re.IGNORECASE)).first).to_be_visible()
    expect(page.get_by_role("heading", name=re.compile("^If they did this now"))).to_contain_text("Coffee club")
    expect(page.get_by_role("region", name="The answer now, and after the event")).to_be_visible()
    console.check()
    console.picture("what-if", whole=False)
    page.goto(f"{console.url}/console/programs/demo/users?user_id={USER_ID}")
    page.get_by_role("link", name="Forget this user").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Privacy")
    console.check()


def test_picture_of_forgetting_a_user(console: Console) -> None:
    user_id = "guest-0175"
    page = console.open(f"privacy?user_id={user_id}")
    page.get_by_label("Type the id again").fill(user_id)
    page.on("dialog", lambda dialog: dialog.accept())

    page.get_by_role("button", name="Forget them for good").click()

    expect(page.get_by_role("heading", level=1)).to_have_text("Receipt of a deletion")
    console.check()
    console.picture("privacy")


def test_picture_of_an_action_and_what_leads_to_it(console: Console) -> None:
    page = console.open("actions")
    page.get_by_role("searchbox").fill("coffee club")
    page.keyboard.press("Enter")
    console.picture("actions")
    page.get_by_role("link", name=re.compile("coffee.club", re.IGNORECASE)).first.click()

    expect(page.get_by_role("heading", level=1)).to_contain_text(re.compile("coffee.club", re.IGNORECASE))
    expect(page.get_by_text(re.compile("more likely")).first).to_be_visible()
    console.check()
    console.picture("action")


def test_picture_of_a_filter_with_a_fault_then_without(console: Console) -> None:
    page = console.open("filters")
    expression = page.get_by_role("textbox", name="Expression")
    expression.fill('INCLUDE ActionID WHERE Actions.LABELS INN ("loyalty")')
    page.get_by_role("button", name="Preview").click()
    expect(page.locator("pre", has_text="^")).to_be_visible()
    console.picture("filter-fault")
    console.troubles.clear()

    expression.fill('INCLUDE ActionID WHERE Actions.LABELS IN ("loyalty")')
    page.get_by_label(re.compile("Preview for the user")).fill(USER_ID)
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_text("Coffee club").first).to_be_visible()
    name = page.get_by_label("Name")
    name.fill("club-only")
    page.get_by_role("button", name=re.compile("Create")).click()
    expect(page.get_by_role("cell", name="club-only").or_(page.get_by_text("club-only")).first).to_be_visible()
    console.check()
    console.picture("filters")


def test_picture_of_a_segment_whose_size_follows_the_slider(console: Console) -> None:
    page = console.open("segments?event_type=join&asset_id=coffee-club&min_weight=0.1")
    size = page.locator("section", has_text="users have at least").last
    before = size.inner_text()
    console.picture("segments")

    page.get_by_label(re.compile("Least weight")).first.fill("0.02")

    expect(size).not_to_have_text(before)
    expect(page.get_by_text("at least 0.02")).to_be_visible()
    console.check()


def test_picture_of_the_model(console: Console) -> None:
    page = console.open("model")

    expect(page.locator("figure.chart canvas")).to_have_count(2)
    expect(page.get_by_role("row").filter(has_text="This model").first).to_be_visible()
    console.check()
    console.picture("model")


def show_lift(stack: RunningStack) -> None:
    """Put a report of four weeks in place of that of the program's only experiment, with all that a report can have."""
    deployment, now = local_deployment(stack.state), time.time()
    state = deployment.store().program_state(PROGRAM_ID)
    assert state is not None
    (experiment,) = state.experiments
    past = replace(experiment, started_at=now - 28 * 86_400)
    report = report_of(past, PROGRAM_ID, rates=(0.1, 0.5), users=400, now=now)
    put_report(deployment.artifacts(), state.program.incarnation, experiment.experiment_id, report)


def test_an_experiment_from_its_form_to_its_report(console: Console, demo_stack: RunningStack) -> None:
    page = console.open("experiments")
    page.get_by_role("link", name="New holdout").click()
    page.get_by_label("Name").fill("What the model adds")
    page.get_by_label("Share of users").fill("1.5")
    page.get_by_role("button", name="Create the draft").click()
    expect(page.get_by_label("Share of users")).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_label("Name")).to_have_value("What the model adds")
    console.troubles.clear()  # the browser itself notes a 400
    console.check()
    page.get_by_label("Share of users").fill("0.1")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("What the model adds")
    page.on("dialog", lambda dialog: dialog.accept())

    page.get_by_role("button", name="Start").click()
    page.get_by_role("button", name="Compute the report").click()

    expect(page.get_by_text("A report is being computed")).to_be_visible()
    expect(page.get_by_role("button", name="Compute again")).to_be_visible(timeout=REBASE_MS)
    expect(page.get_by_text("Users who entered")).to_be_visible()
    console.check()
    show_lift(demo_stack)
    page.reload()
    expect(page.get_by_text("Model sells more")).to_be_visible()
    expect(page.locator("figure.chart canvas")).to_be_visible()
    console.check()
    page.set_viewport_size({"width": 360, "height": 740})
    console.check()
    page.get_by_role("button", name="Stop").click()
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("status")).to_contain_text("Deleted")


@pytest.mark.skipif(not SCREENSHOTS, reason="playing an experiment of four weeks takes a minute")
def test_picture_of_an_experiment_with_a_known_effect(console: Console, demo_stack: RunningStack) -> None:
    play_demo_experiment(local_deployment(demo_stack.state), now=time.time(), report=print)
    page = console.page
    page.goto(f"{console.url}/console/programs/{BOOKSHOP}/experiments/show?experiment_id={EXPERIMENT_ID}")

    page.get_by_role("button", name="Compute the report").click()

    expect(page.get_by_role("button", name="Compute again")).to_be_visible(timeout=REBASE_MS)
    expect(page.locator("figure.chart canvas")).to_be_visible()
    console.check()
    console.picture("experiment")


def test_picture_of_keys_shown_once(console: Console) -> None:
    page = console.open("health")
    console.picture("health")
    page.get_by_role("link", name=re.compile("keys of this program")).click()
    page.get_by_label("Name").fill("for the campaign tool")
    page.get_by_role("button", name=re.compile("Create")).click()

    secret = page.get_by_label(re.compile("The key for the campaign tool"))
    expect(secret).to_have_value(re.compile(r"^NBK\w+\.\S{40,}$"))
    text = secret.input_value()
    assert text not in page.url
    console.check()
    page.get_by_role("link", name="I have copied it").click()
    expect(page.get_by_text("for the campaign tool").first).to_be_visible()
    assert text not in page.content()
