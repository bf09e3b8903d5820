"""What holds on every page: sign-in, forms, the keyboard, small windows, and colours in both schemes."""

from __future__ import annotations

import re

import httpx
import pytest
from playwright.sync_api import BrowserContext, expect

from nextbest.console.pages import ROUTES
from nextbest.console.sessions import COOKIE
from tests.browser.conftest import Console, console_in, session_cookie_of
from tests.contract.stacks import RunningStack
from tools.local.demo import PROGRAM_ID, USER_ID

PAGES = sorted({route.page for route in ROUTES if route.method == "GET" and "/" not in route.page})
PAGES.append("experiments/new?kind=challenger")


def test_the_root_leads_to_the_sign_in_and_a_key_opens_the_programs(
    stranger: Console, demo_stack: RunningStack
) -> None:
    page = stranger.page
    page.goto(f"{stranger.url}/")
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    stranger.check()

    page.get_by_label("Access key").fill("no such key")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("not known")
    stranger.troubles.clear()  # the browser itself notes a 403
    page.get_by_label("Access key").fill(demo_stack.key)
    page.keyboard.press("Enter")

    expect(page.get_by_role("navigation")).to_be_visible()
    stranger.check()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    page.goto(f"{stranger.url}/console/programs/{PROGRAM_ID}")
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")


def test_a_revoked_key_is_out_within_seconds(stranger: Console, demo_stack: RunningStack) -> None:
    headers = {"actionhub-key": demo_stack.key, "program-id": PROGRAM_ID}
    with httpx.Client(base_url=demo_stack.url, headers=headers, timeout=30) as operator:
        created = operator.post(
            "/keys", json={"programs": [PROGRAM_ID], "scopes": ["read"], "name": "to be revoked"}
        ).json()
        stranger.page.goto(f"{stranger.url}/console/sign-in")
        stranger.page.get_by_label("Access key").fill(created["api_key"])
        stranger.page.keyboard.press("Enter")
        expect(stranger.page.get_by_role("navigation")).to_be_visible()

        operator.delete(f"/keys/{created['key_id']}").raise_for_status()

    heading = stranger.page.get_by_role("heading", level=1)
    for _ in range(30):  # a key is remembered for five seconds
        stranger.page.reload()
        if heading.inner_text() == "Sign in":
            return
        stranger.page.wait_for_timeout(500)
    pytest.fail("the key still opens the console")


def test_another_site_s_form_changes_nothing(console: Console) -> None:
    """Given a page elsewhere that posts a form with this browser's cookies, then nothing is started."""
    page = console.page.context.new_page()
    form = EVIL_PAGE.format(console.url, PROGRAM_ID)
    page.route("http://evil.example/", lambda route: route.fulfill(body=form, content_type="text/html"))
    page.goto("http://evil.example/")
    page.get_by_role("button").click()

    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile("Sign in|Not allowed"))


EVIL_PAGE = '<form method="post" action="{}/console/programs/{}/rebase"><button>Win a prize</button></form>'


def test_the_cookie_is_out_of_scripts_reach(console: Console) -> None:
    assert session_cookie_of(console)
    assert console.page.evaluate("document.cookie") == ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page or "program")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_open_to_everybody(console: Console, page: str, scheme: str) -> None:
    console.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    console.open(address_of(page))

    console.check()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page or "program")
def test_every_page_fits_a_telephone(console: Console, page: str) -> None:
    console.page.set_viewport_size({"width": 360, "height": 740})
    console.open(address_of(page))

    console.check()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page or "program")
def test_every_page_can_be_read_without_scripts(
    chromium_without_scripts: BrowserContext, console: Console, page: str
) -> None:
    url = f"{console.url}/console"
    chromium_without_scripts.add_cookies([{"name": COOKIE, "value": session_cookie_of(console), "url": url}])
    plain = console_in(chromium_without_scripts, console.url)
    plain.open(address_of(page))

    expect(plain.page.get_by_role("heading", level=1)).to_be_visible()
    assert plain.page.locator("main").inner_text().strip()
    assert plain.troubles == []


def test_the_keyboard_reaches_everything(console: Console) -> None:
    page = console.open()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.keyboard.press("Shift+Tab")
    last = page.get_by_role("navigation").get_by_role("link").last
    expect(last).to_be_focused()
    name = last.inner_text()

    page.keyboard.press("Enter")

    expect(page.get_by_role("navigation").locator("[aria-current=page]")).to_have_text(name)


def address_of(page: str) -> str:
    """Pages about a user are shown with one."""
    return f"{page}?user_id={USER_ID}" if page in ("users", "privacy") else page
