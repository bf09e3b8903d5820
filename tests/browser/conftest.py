"""The demo's console in Chromium, headless. Where there is none, these tests are skipped, and say so."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from nextbest.console.sessions import COOKIE
from tests.contract.stacks import ROOT, RunningStack, start_stack
from tools.local.demo import PROGRAM_ID
from tools.local.key import console_link

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SERIOUS = ("serious", "critical")
SCREENSHOTS = os.environ.get("NEXTBEST_SCREENSHOTS", "")
"""The folder of the pictures in docs/console.md, where they are to be made again (``make screenshots``)."""
_WAIT_MS = 30_000


@dataclass(slots=True)
class Console:
    """One window. ``troubles`` are errors of scripts, breaches of the policy for content, and requests elsewhere."""

    page: Page
    url: str
    troubles: list[str] = field(default_factory=list)

    def open(self, page: str = "") -> Page:
        """A page of the demo program, once what it loads is there."""
        self.page.goto(f"{self.url}/console/programs/{PROGRAM_ID}{'/' if page else ''}{page}")
        return self.page

    def check(self) -> None:
        """Nothing that keeps people out, nothing wider than the window, no trouble."""
        violations = Axe().run(self.page).response["violations"]
        found = [
            f"{violation['id']} ({violation['impact']}): {node['html'][:200]}"
            for violation in violations
            if violation["impact"] in SERIOUS
            for node in violation["nodes"]
        ]
        assert found == []
        width, window = self.page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        assert width <= window, f"{width} pixels wide in a window of {window}"
        assert self.troubles == []

    def note(self, error: str) -> None:
        """Note an error, but for that of a picture: Playwright hides the caret by a style, which the policy blocks."""
        if not (SCREENSHOTS and error.startswith("Applying inline style")):
            self.troubles.append(error)

    def picture(self, name: str, *, whole: bool = True) -> None:
        """A picture for the documentation, where they are made: of the whole page, or of the window."""
        if SCREENSHOTS:
            folder = ROOT / SCREENSHOTS
            folder.mkdir(exist_ok=True)
            self.page.screenshot(path=folder / f"{name}.png", full_page=whole)


def executable() -> str | None:
    return next((path for name in NAMES if (path := shutil.which(name)) is not None), None)


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """For these tests alone: while Playwright runs, no other test of the process can run an event loop."""
    path = executable()
    if path is None:
        pytest.skip("no browser on this machine: install Chromium (on Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        # Chromium's own sandbox does not start as root, as which containers run; all pages are ours.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def demo_stack(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """A stack with the demo program."""
    del chromium  # before the minute that a stack takes, whether there is a browser
    running = start_stack(tmp_path_factory.mktemp("demo") / "state", demo=True)
    yield running
    running.stop()


@pytest.fixture
def window(chromium: Browser) -> Iterator[BrowserContext]:
    """A window of an ordinary size in which nobody is signed in."""
    context = chromium.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(_WAIT_MS)
    yield context
    context.close()


@pytest.fixture
def chromium_without_scripts(chromium: Browser) -> Iterator[BrowserContext]:
    """A window that runs no scripts."""
    context = chromium.new_context(viewport={"width": 1280, "height": 800}, java_script_enabled=False)
    yield context
    context.close()


@pytest.fixture
def stranger(window: BrowserContext, demo_stack: RunningStack) -> Console:
    """Nobody signed in."""
    return console_in(window, demo_stack.url)


@pytest.fixture
def console(stranger: Console) -> Console:
    """Signed in with the link that `make start` prints."""
    stranger.page.goto(console_link(stranger.url, PROGRAM_ID, now=time.time()))
    expect(stranger.page).to_have_url(f"{stranger.url}/console/programs/{PROGRAM_ID}")
    return stranger


def console_in(context: BrowserContext, url: str) -> Console:
    """A new page of a window, and what goes wrong in it."""
    page = context.new_page()
    console = Console(page, url)
    page.on("pageerror", lambda error: console.troubles.append(str(error)))
    page.on("console", lambda message: console.note(message.text) if message.type == "error" else None)
    page.on("request", lambda request: None if request.url.startswith(url) else console.troubles.append(request.url))
    return console


def session_cookie_of(console: Console) -> str:
    return next(cookie["value"] for cookie in console.page.context.cookies() if cookie["name"] == COOKIE)
