"""Every page with hostile names and parameters, and in programs in which something is missing or broken."""

from __future__ import annotations

import time
from collections.abc import Iterator
from html.parser import HTMLParser
from urllib.parse import urlencode

import boto3
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nextbest.console.pages import ROUTES
from nextbest.domain.assets import Asset
from nextbest.domain.events import Event
from nextbest.domain.experiments import ChallengerSettings, Experiment, ExperimentKind
from tests.functions.conftest import PROGRAM, Functions
from tests.functions.console.conftest import Browser, Shown

HOME = f"/console/programs/{PROGRAM.program_id}"
PAGES = sorted({route.page for route in ROUTES if route.method == "GET"})
PARAMETERS = (
    *(
        "user_id",
        "q",
        "event_type",
        "asset_id",
        "label",
        "kind",
        "min_weight",
        "filter",
        "limit",
        "mode",
        "after",
        "page",
    ),
    *("expression", "basis", "format", "version", "refreshing", "allow_repeats", "event_types", "value", "name"),
    *("experiment_id", "before", "began", "deleted"),
)
HOSTILE = (
    '"><script>alert(1)</script>',
    "'><img src=x onerror=alert(1)>",
    "</textarea></title></script><svg onload=alert(1)>",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:alert(1)",
    "\u202eevil\u2066 \U0001f600 א",
    "a\nb\r\nSet-Cookie: x=y",
    "\x00\x1b[31m",
    "../../../etc/passwd",
    "NaN",
    "-1",
    "1e999",
    "9" * 5000,
)
TEXTS = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=60))


class Elements(HTMLParser):
    """What a browser would take for scripts: elements and attributes that run something."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.running: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "script" and not (values.get("src") or "").startswith("/console/assets/"):
            self.running.append(tag)
        self.running += [name for name, _ in attrs if name.startswith("on") or name == "style"]
        for name in ("href", "src", "action", "formaction", "hx-get", "hx-post"):
            address = values.get(name)
            if address and not address.startswith(("/", "#", "?", "https://")):
                self.running.append(f"{name}={address}")
        if tag in ("iframe", "object", "embed", "base", "img"):
            self.running.append(tag)


def check(shown: Shown) -> None:
    """A page, or a refusal in words; nothing in it runs but our own scripts."""
    assert shown.status < 500, shown.text
    if shown.status == 303:
        assert shown.headers["location"].startswith("/console")
        return
    assert "Traceback" not in shown.body
    if shown.headers["content-type"].startswith("text/html"):
        elements = Elements()
        elements.feed(shown.body)
        assert elements.running == []


@pytest.fixture
def spoilt(learned: Browser) -> Browser:
    """A program with hostile names of users, event types, assets, labels and an experiment, after a rebase."""
    store, now_us = learned.functions.store, round(time.time() * 1e6)
    names = [text for text in HOSTILE if len(text) < 100 and text.isprintable()]
    for place, name in enumerate(names):
        event_type = name.replace(" ", "_")[:60]
        store.append(PROGRAM, [Event(name, now_us - place * 1_000_000, event_type, name[:64], labels=(name,))])
    store.put_assets(PROGRAM.incarnation, [Asset(name[:64], asset_name=name, labels=(name,)) for name in names])
    rival = ChallengerSettings(event_types=tuple(names), allow_repeats=False)
    store.create_experiment(
        PROGRAM.incarnation, Experiment("rival", HOSTILE[0], ExperimentKind.CHALLENGER, 0.5, 7, 1.0, challenger=rival)
    )
    return learned


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(page=st.sampled_from(PAGES), query=st.dictionaries(st.sampled_from(PARAMETERS), TEXTS, max_size=4))
def test_no_parameter_breaks_a_page_or_runs_in_it(spoilt: Browser, page: str, query: dict[str, str]) -> None:
    address = f"{HOME}/{page}".rstrip("/")

    check(spoilt.get(f"{address}?{urlencode(query, errors='replace')}"))


@pytest.mark.parametrize("user_id", ["user-1", HOSTILE[0], HOSTILE[5]], ids=["known", "hostile", "right to left"])
def test_hostile_names_are_shown_as_they_are_written(spoilt: Browser, user_id: str) -> None:
    query = {"user_id": user_id, "event_type": HOSTILE[0], "asset_id": HOSTILE[0], "label": HOSTILE[1], "q": "<"}
    query["experiment_id"] = "rival"

    for page in PAGES:
        check(spoilt.get(f"{HOME}/{page}?{urlencode(query)}"))
        check(spoilt.get(f"{HOME}/{page}?{urlencode({'user_id': user_id})}"))
        check(spoilt.get(f"{HOME}/{page}".rstrip("/")))


SETTINGS = (
    *("share", "horizon_days", "holdout_list", "model_version", "exploration_weight", "action_weight_floor"),
    *("never_recommended", "recommends_all", "headline", "least_effect"),
)
POSTS = sorted({route.page for route in ROUTES if route.method == "POST"})


def test_no_form_with_odd_fields_breaks_anything(spoilt: Browser) -> None:
    token = spoilt.page().token
    for page in POSTS:
        for text in ("", *HOSTILE):
            names = (*PARAMETERS, "confirmation", "scopes", "overlap", "key_id", "expires", "queue", *SETTINGS)
            fields = {**dict.fromkeys(names, text), "token": token}
            check(spoilt.post(f"{HOME}/{page}", fields))
            if page.startswith("experiments/"):
                known = {"experiment_id": "rival" if page != "experiments/create" else "", "kind": "challenger"}
                check(spoilt.post(f"{HOME}/{page}", fields | known))


@pytest.fixture(params=["without events", "without a model", "with a broken model"])
def incomplete(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Browser]:
    """A program in which something is missing."""
    functions = browser.functions
    if request.param != "without events":
        functions.store.append(PROGRAM, [Event("user-1", round((time.time() - 60) * 1e6), "order", "tea")])
    if request.param == "with a broken model":
        learned: Browser = request.getfixturevalue("learned")
        assert learned.functions is functions
        spoil_models(functions)
    yield browser


def spoil_models(functions: Functions) -> None:
    s3, bucket = boto3.client("s3"), functions.application.function("rebase").variables["ARTIFACT_BUCKET"]
    for entry in s3.list_objects_v2(Bucket=bucket, Prefix="models/")["Contents"]:
        s3.put_object(Bucket=bucket, Key=entry["Key"], Body=b"no model")
    functions.modules.pop("console", None)


def test_a_program_in_which_something_is_missing_has_clear_pages(incomplete: Browser) -> None:
    for page in PAGES:
        for query in ({}, {"user_id": "user-1"}, {"user_id": "nobody"}, {"event_type": "order", "asset_id": "tea"}):
            shown = incomplete.get(f"{HOME}/{page}?{urlencode(query)}" if query else f"{HOME}/{page}".rstrip("/"))
            check(shown)
            assert shown.text or not shown.headers.get("content-type", "").startswith("text/html")
