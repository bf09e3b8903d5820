"""The page of the model: what its report says, and which version serves."""

from __future__ import annotations

import re
import time

import pytest

from nextbest.domain.access_keys import READ, WRITE
from nextbest.domain.events import Event
from nextbest.logic.model_report import quality_of
from nextbest.scoring import Model
from nextbest.store.base import ModelPointer, ProgramState
from nextbest.store.environment import open_artifacts
from tests.factories import drink_events
from tests.functions.conftest import PROGRAM
from tests.functions.console.conftest import Browser, key_with


def state_of(browser: Browser) -> ProgramState:
    state = browser.functions.store.program_state(PROGRAM.program_id)
    assert state is not None
    return state


def rebase(browser: Browser) -> str:
    """Train as the function does it; the version of the model."""
    event = {"program_id": PROGRAM.program_id, "incarnation": PROGRAM.incarnation}
    return str(browser.functions.answer("rebase", event)["model"])


@pytest.fixture
def twice(browser: Browser) -> tuple[Browser, str, str]:
    """A program that was trained twice, on more events the second time, and both versions."""
    now = time.time()
    browser.functions.store.append(PROGRAM, drink_events(now=now))
    first = rebase(browser)
    browser.functions.store.append(PROGRAM, [Event("late", round((now - 5) * 1e6), "order", "cocoa")])
    return browser, first, rebase(browser)


def test_a_program_without_a_model_says_so(browser: Browser) -> None:
    assert "There is no model yet" in browser.page("model").text


def test_the_page_says_what_the_report_says(learned: Browser) -> None:
    state = state_of(learned)
    assert state.model is not None
    model = Model.from_bytes(open_artifacts(clock=time.time).get(state.model.key))
    text = learned.page("model").text

    assert state.model.version in text
    for mode in ("repeats", "discoveries"):
        quality = quality_of(model.report, mode)
        assert quality.summary
        assert quality.summary in text
        assert f"This model {quality.ndcg:.3f}" in text
        for comparison in quality.comparisons:
            assert f"{comparison.ndcg:.3f}" in text
        for part in quality.parts:
            assert part.loss is not None
            assert all(setting.name in text for setting in part.settings)
        assert quality.calibration
    # A point of the chart: told, came true, and as told.
    point = quality_of(model.report, "repeats").calibration[-1]
    assert f'data-value="{point.predicted * 100}"' in learned.page("model").body
    assert f'data-value="{point.observed * 100}"' in learned.page("model").body
    assert "Drift is not known" in text


def test_drift_of_the_model_before_is_said(twice: tuple[Browser, str, str]) -> None:
    browser, _, _ = twice

    assert re.search(r"of [\d,]+ recommendations \(repeats\) that the model before", browser.page("model").text)


def test_versions_are_listed_with_what_they_learned_from(twice: tuple[Browser, str, str]) -> None:
    browser, first, second = twice
    count = len(drink_events(now=time.time()))

    versions = browser.page("model").text.partition("Segments are then computed again")[2]

    assert versions.index(second) < versions.index(first)
    assert re.search(rf"{second} [\d:\- ]+UTC {count + 1:,} 5 Serves", versions)
    assert re.search(rf"{first} [\d:\- ]+UTC {count:,} 4 Roll back to this version", versions)


def test_one_click_rolls_back_another_undoes_it_and_a_rebase_serves_a_new_model(
    twice: tuple[Browser, str, str],
) -> None:
    browser, first, second = twice

    assert browser.submit("model/roll-back", version=first).status == 303
    state = state_of(browser)
    assert state.model is not None
    assert state.previous_model is not None
    assert (state.model.version, state.previous_model.version) == (first, second)
    assert "Invoke" in browser.functions.operations  # the segments follow
    text = browser.page("model").text
    assert "A newer model was set aside by hand" in text
    assert "Serve the newer version again" in text
    assert f"Version {first}" in text

    assert browser.submit("model/roll-back", version=second).status == 303
    text = browser.page("model").text
    assert "set aside" not in text
    assert f"Version {second}" in text

    assert browser.submit("model/roll-back", version=first).status == 303
    third = rebase(browser)
    state = state_of(browser)
    assert state.model is not None
    assert state.previous_model is not None
    assert (state.model.version, state.previous_model.version) == (third, first)


def test_a_rebase_that_began_before_the_newest_model_does_not_serve_after_a_roll_back(
    twice: tuple[Browser, str, str],
) -> None:
    browser, first, _ = twice
    browser.submit("model/roll-back", version=first)
    between = ModelPointer(f"{first.partition('-')[0]}-zzzz", "models/late")

    assert not browser.functions.store.point_to_model(PROGRAM.incarnation, between)


@pytest.mark.parametrize("version", ["", "no-such", "<script>"])
def test_a_form_that_is_out_of_date_changes_nothing(twice: tuple[Browser, str, str], version: str) -> None:
    browser, _, second = twice

    assert browser.submit("model/roll-back", version=version).status == 409
    state = state_of(browser)
    assert state.model is not None
    assert state.model.version == second


def test_there_is_nothing_to_roll_back_to_before_the_second_model(learned: Browser) -> None:
    assert "Roll back" not in learned.page("model").text.partition("Serves")[2]
    assert learned.submit("model/roll-back", version="any").status == 404


def test_a_version_that_cannot_be_read_is_not_served(twice: tuple[Browser, str, str]) -> None:
    browser, first, second = twice
    state = state_of(browser)
    assert state.previous_model is not None
    open_artifacts(clock=time.time).put(state.previous_model.key, b"broken")

    refused = browser.submit("model/roll-back", version=first)

    assert (refused.status, "cannot be read" in refused.text) == (409, True)
    state = state_of(browser)
    assert state.model is not None
    assert state.model.version == second


def test_only_admin_rolls_back(twice: tuple[Browser, str, str]) -> None:
    browser, first, _ = twice
    browser.sign_in(key_with(browser.functions, READ, WRITE))

    assert "Roll back" not in browser.page("model").text
    assert browser.submit("model/roll-back", version=first).status == 403


def test_a_broken_model_is_a_clear_page(learned: Browser) -> None:
    learned.functions.modules.clear()
    learned.functions.store.forget_model(PROGRAM.incarnation)
    learned.functions.store.point_to_model(PROGRAM.incarnation, ModelPointer("9999999999999-y", "models/nowhere"))

    assert "The model cannot be read" in learned.page("model").text
