"""Signing in, what a session is worth, and what forms prove."""

from __future__ import annotations

import logging
import time
from dataclasses import replace

import pytest

from nextbest.domain.access_keys import READ, rotate_key
from nextbest.store.master_secret import LOCAL_VARIABLE
from tests.functions.conftest import PROGRAM, Functions
from tests.functions.console.conftest import Browser, key_with
from tools.local.key import MASTER_SECRET, console_link, operator_key

HOME = f"/console/programs/{PROGRAM.program_id}"


@pytest.fixture
def stranger(functions: Functions) -> Browser:
    """Nobody signed in."""
    return Browser(functions)


def forget_remembered_keys(functions: Functions) -> None:
    """What some seconds do: a key is read again after them."""
    functions.modules.pop("console")


def test_a_browser_at_the_root_is_sent_to_the_console_and_api_clients_get_what_they_always_got(
    stranger: Browser,
) -> None:
    assert (stranger.get("/").status, stranger.get("/").headers["location"]) == (303, "/console")

    other = stranger.get("/", headers={"accept": "application/json"})
    assert (other.status, other.body) == (404, '{"detail":"Not Found"}')


def test_whoever_is_not_signed_in_is_asked_to_and_then_sees_the_page_they_wanted(stranger: Browser) -> None:
    refused = stranger.get(HOME, user="a b")
    assert refused.status == 303
    form = stranger.get(refused.headers["location"])
    assert f'name="next" value="{HOME}?user=a+b"' in form.body
    assert form.status == 200

    entered = stranger.post("/console/sign-in", {"key": key_with(stranger.functions, READ), "next": f"{HOME}?user=a+b"})

    assert (entered.status, entered.headers["location"]) == (303, f"{HOME}?user=a+b")
    assert stranger.get(HOME).status == 200


@pytest.mark.parametrize(
    "address",
    [
        *(
            "https://example.com",
            "//example.com",
            "/console/../..//example.com",
            "\\\\example.com",
            "javascript:alert(1)",
        ),
        *("/consoles", "/console\\example.com", "/console/\n", "http://[", ""),
    ],
)
def test_nobody_is_sent_to_other_sites(stranger: Browser, address: str) -> None:
    entered = stranger.post("/console/sign-in", {"key": key_with(stranger.functions, READ), "next": address})

    assert entered.status == 303
    assert entered.headers["location"] in ("/console", "/console/../..//example.com")
    assert not entered.headers["location"].startswith("//")


@pytest.mark.parametrize("key", ["", "nonsense", "NBKunknown.secret", "x" * 2000, "\x00"])
def test_a_key_that_is_not_known_is_refused_in_words(stranger: Browser, key: str) -> None:
    shown = stranger.sign_in(key)

    assert shown.status == 403
    assert "This key is not known" in shown.text
    assert stranger.cookies == {}


def test_the_cookie_names_the_key_and_never_holds_its_secret(stranger: Browser) -> None:
    text = key_with(stranger.functions, READ)
    stranger.sign_in(text)

    (cookie,) = stranger.cookies.values()
    assert text.partition(".")[2] not in cookie


@pytest.mark.parametrize(("host", "is_secure"), [("127.0.0.1:3000", False), ("localhost", False), ("x.example", True)])
def test_the_cookie_is_sent_over_tls_alone_except_to_this_machine(
    functions: Functions, host: str, *, is_secure: bool
) -> None:
    answer = Browser(functions).post(
        "/console/sign-in", {"key": key_with(functions, READ), "next": ""}, headers={"host": host}
    )

    assert answer.status == 303
    cookie = cookie_set_by(functions, host)
    assert ("Secure" in cookie) == is_secure
    assert {"HttpOnly", "SameSite=Strict", "Path=/console"} <= {part.strip() for part in cookie.split(";")}


def cookie_set_by(functions: Functions, host: str) -> str:
    module = functions.modules["console"]
    event = {
        "rawPath": "/console/sign-in",
        "routeKey": "POST /console/{page+}",
        "headers": {"host": host},
        "requestContext": {"http": {"method": "POST"}},
        "body": f"key={key_with(functions, READ)}",
    }
    (cookie,) = module.handler(event, None)["cookies"]
    return str(cookie)


def test_a_cookie_that_was_changed_or_made_elsewhere_opens_nothing(browser: Browser) -> None:
    (name,) = browser.cookies
    for value in ("", "x", browser.cookies[name][:-1], f"{browser.cookies[name]}x", "W10.W10"):
        browser.cookies[name] = value
        assert browser.get(HOME).status == 303, value


def test_a_revoked_key_is_out_within_seconds(browser: Browser) -> None:
    assert browser.get(HOME).status == 200
    key = browser.functions.store.access_key("NBKread-write-admin")
    assert key is not None
    browser.functions.store.put_access_key(replace(key, revoked=True))
    forget_remembered_keys(browser.functions)

    assert browser.get(HOME).status == 303


def test_a_rotated_key_is_out_when_the_overlap_ends(browser: Browser) -> None:
    key = browser.functions.store.access_key("NBKread-write-admin")
    assert key is not None
    for overlap_seconds, status in ((60.0, 200), (-1.0, 303)):
        rotated = rotate_key(MASTER_SECRET, key, now=time.time(), overlap_seconds=overlap_seconds)
        browser.functions.store.put_access_key(rotated)
        forget_remembered_keys(browser.functions)
        assert browser.get(HOME).status == status


def test_a_session_ends_after_half_a_day(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    later = time.time() + 12 * 3600 + 1
    monkeypatch.setattr(browser.functions.modules["console"].time, "time", lambda: later)

    assert browser.get(HOME).status == 303


def test_signing_out_ends_the_session(browser: Browser) -> None:
    token = browser.get(HOME).token

    assert browser.post("/console/sign-out", {"token": token}).status == 303
    assert browser.cookies == {}
    assert browser.get(HOME).status == 303


def test_a_form_without_this_session_s_token_or_from_another_site_changes_nothing(browser: Browser) -> None:
    token = browser.get(HOME).token

    assert browser.post(f"{HOME}/rebase", {}).status == 403
    assert browser.post(f"{HOME}/rebase", {"token": "f" * 64}).status == 403
    assert browser.post(f"{HOME}/rebase", {"token": "é"}).status == 403
    for site in ("cross-site", "same-site"):
        assert browser.post(f"{HOME}/rebase", {"token": token}, headers={"sec-fetch-site": site}).status == 403
    assert browser.functions.store.status(PROGRAM.incarnation) is None

    assert browser.post(f"{HOME}/rebase", {"token": token}).status == 303
    assert browser.functions.store.status(PROGRAM.incarnation) is not None


def test_a_key_that_reads_changes_nothing_and_sees_other_programs_as_none(functions: Functions) -> None:
    browser = Browser(functions)
    browser.sign_in(key_with(functions, READ))

    assert browser.submit("rebase").status == 403
    assert browser.get("/console/programs/other").status == 403
    assert browser.get("/console/programs/no-such").text == browser.get("/console/programs/other").text


def test_the_link_that_a_local_stack_prints_signs_in(functions: Functions, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = Browser(functions)
    link = console_link("", PROGRAM.program_id, now=time.time())

    entered = browser.get(link)
    assert (entered.status, entered.headers["location"]) == (303, HOME)
    assert browser.get(HOME).status == 200
    # Not with another ticket, not a day later, and not where it is deployed.
    assert browser.get("/console/enter", ticket="x").status == 403
    assert browser.get(console_link("", PROGRAM.program_id, now=time.time() - 86_400)).status == 403
    key, _ = operator_key()
    functions.store.put_access_key(replace(key, revoked=True))
    forget_remembered_keys(functions)
    assert browser.get(link).status == 403
    functions.store.put_access_key(key)
    monkeypatch.delenv(LOCAL_VARIABLE)
    forget_remembered_keys(functions)
    assert LOCAL_VARIABLE not in functions.application.function("console").variables
    assert browser.get(link).status == 404


def test_pages_keep_themselves_to_themselves(browser: Browser) -> None:
    headers = browser.get(HOME).headers

    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy


def test_assets_are_named_by_their_content_and_kept_for_ever(stranger: Browser) -> None:
    page = stranger.get("/console/sign-in").body
    names = {part.split('"')[0] for part in page.split('="/console/assets/')[1:]}
    assert len(names) == 6

    for name in names:
        asset = stranger.get(f"/console/assets/{name}")
        assert (asset.status, asset.headers["cache-control"]) == (200, "public, max-age=31536000, immutable")
        assert asset.headers["content-encoding"] == "gzip"
        digest, _, rest = name.partition("/")
        assert stranger.get(f"/console/assets/{'0' * len(digest)}/{rest}").status == 404
    assert stranger.get("/console/assets/0/../console.py").status == 404


def test_the_console_logs_no_addresses_of_pages(browser: Browser, caplog: pytest.LogCaptureFixture) -> None:
    """Addresses name users."""
    caplog.set_level(logging.INFO)
    browser.get(HOME, user_id="grace")
    browser.get("/console/nothing", user_id="grace")

    assert caplog.records
    assert "grace" not in caplog.text
