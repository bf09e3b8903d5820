"""A browser without scripts, and a small program that was learned once."""

from __future__ import annotations

import base64
import gzip
import html
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from nextbest.domain.access_keys import ADMIN, READ, WRITE, issue_key
from nextbest.domain.assets import Asset
from nextbest.domain.events import Event
from nextbest.logic import event_log, rebase
from nextbest.scoring import Model
from nextbest.store.environment import open_artifacts
from nextbest.training import train
from tests.factories import drink_events, http_event
from tests.functions.conftest import PROGRAM, Functions
from tools.local.key import MASTER_SECRET

HOST = "127.0.0.1:3000"


@dataclass(frozen=True, slots=True)
class Shown:
    """A response, as a browser has it. ``text`` is what a page says, without its tags."""

    status: int
    headers: Mapping[str, str]
    body: str

    @property
    def text(self) -> str:
        without_tags = re.sub(r"<(style|script).*?</\1>|<[^>]*>", " ", self.body, flags=re.DOTALL)
        return " ".join(html.unescape(without_tags).split())

    @property
    def token(self) -> str:
        """What the page's forms carry."""
        match = re.search(r'name="token" value="([0-9a-f]+)"', self.body)
        assert match is not None, "the page has no form"
        return match[1]


@dataclass(slots=True)
class Browser:
    """Requests to the function ``console``, with the cookies that it set."""

    functions: Functions
    cookies: dict[str, str] = field(default_factory=dict)

    def get(self, path: str, *, headers: Mapping[str, str] | None = None, **query: object) -> Shown:
        """What is at ``path``, a redirect not followed."""
        parts = urlsplit(path)
        raw_query = urlencode(query, doseq=True) or parts.query
        return self._send("GET", parts.path, raw_query, headers or {}, {})

    def post(self, path: str, form: Mapping[str, str], *, headers: Mapping[str, str] | None = None) -> Shown:
        """Post a form as browsers do; API Gateway hands it on in base64."""
        body = {"body": base64.b64encode(urlencode(form).encode()).decode(), "isBase64Encoded": True}
        sent = {"content-type": "application/x-www-form-urlencoded", "sec-fetch-site": "same-origin", **(headers or {})}
        return self._send("POST", path, "", sent, body)

    def page(self, page: str = "", /, **query: object) -> Shown:
        """A page of the program, which is there."""
        path = f"/console/programs/{PROGRAM.program_id}{'/' if page else ''}{page}"
        shown = self.get(f"{path}?{urlencode(query, doseq=True)}" if query else path)
        assert shown.status == 200, shown.text
        return shown

    def submit(self, page: str, **form: str) -> Shown:
        """Post a form of a page of the program, with the token of this session."""
        token = self.get(f"/console/programs/{PROGRAM.program_id}").token
        return self.post(f"/console/programs/{PROGRAM.program_id}/{page}", {"token": token, **form})

    def sign_in(self, key: str) -> Shown:
        """Sign in with the text of a key."""
        return self.post("/console/sign-in", {"key": key, "next": ""})

    def _send(self, method: str, path: str, query: str, headers: Mapping[str, str], body: Mapping[str, Any]) -> Shown:
        route = f"{method} {path}" if path in ("/", "/console") else f"{method} /console/{{page+}}"
        event = http_event(method, path, route_key=route, rawQueryString=query, **body)
        event["headers"] = {
            **event["headers"],
            "host": HOST,
            "accept": "text/html",
            "accept-encoding": "gzip",
            **headers,
        }
        event["cookies"] = [f"{name}={value}" for name, value in self.cookies.items()]
        answer = self.functions.answer("console", event)
        for cookie in answer.get("cookies", ()):
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies.pop(name, None)
            if value:
                self.cookies[name] = value
        content = base64.b64decode(answer["body"]) if answer.get("isBase64Encoded") else answer["body"].encode()
        if answer["headers"].get("content-encoding") == "gzip":
            content = gzip.decompress(content)
        return Shown(answer["statusCode"], answer["headers"], content.decode())


def key_with(functions: Functions, *scopes: str) -> str:
    """The text of a new key of the program with these scopes."""
    key, text = issue_key(MASTER_SECRET, f"NBK{'-'.join(scopes)}", programs=(PROGRAM.incarnation,), scopes=scopes)
    functions.store.put_access_key(key)
    return text


@pytest.fixture
def browser(functions: Functions) -> Browser:
    """A browser that is signed in with a key of all scopes, in a program without events."""
    signed_in = Browser(functions)
    assert signed_in.sign_in(key_with(functions, READ, WRITE, ADMIN)).status == 303
    return signed_in


@pytest.fixture
def learned(browser: Browser) -> Browser:
    """The same in a program of twelve users, two of whom joined a club, with names, after a rebase."""
    functions, now = browser.functions, time.time()
    events = drink_events(now=now)
    events += [
        Event(user, round((now - 86_400 * (index + 1)) * 1e6), "join", "club")
        for index, user in enumerate(sorted({event.user_id for event in events})[:2])
    ]
    functions.store.append(PROGRAM, events)
    assets = sorted({event.asset_id for event in events})
    functions.store.put_assets(PROGRAM.incarnation, [Asset(asset, asset_name=asset.title()) for asset in assets])
    for name, value in functions.application.function("rebase").variables.items():
        functions.patch.setenv(name, value)
    with functions.patch.context() as patch:
        patch.setattr(event_log, "train", train_once)
        rebase.Rebase(functions.store, open_artifacts(clock=time.time), PROGRAM.incarnation, clock=time.time).run()
    return browser


_LEARNED: list[Model] = []


def train_once(events: Mapping[str, Any], **settings: Any) -> Model:
    """What the first test learned: all of them have the same events, but for some minutes."""
    if not _LEARNED:
        _LEARNED.append(train(events, **settings))
    return _LEARNED[0]
