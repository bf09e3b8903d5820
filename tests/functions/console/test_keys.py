"""Keys in the console: the same logic as the API, secrets shown once, and nothing for a rotated secret."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime, timedelta

import pytest

from nextbest.domain.access_keys import ADMIN, READ, WRITE, AccessKey, issue_key
from nextbest.domain.programs import Incarnation, Program
from tests.functions.conftest import PROGRAM, Functions
from tests.functions.console.conftest import Browser, Shown, key_with
from tests.functions.console.test_sessions import forget_remembered_keys
from tools.local.key import MASTER_SECRET, operator_key

OWN = "NBKread-write-admin"
HOSTILE = "<b>shop</b>\"'\u202e🫖"
HOME = f"/console/programs/{PROGRAM.program_id}"


def text_in(shown: Shown) -> str:
    """The key that a response shows."""
    match = re.search(r'<input id="text" readonly value="([^"]+)"', shown.body)
    assert match is not None, shown.text
    return html.unescape(match[1])


def stored(browser: Browser, key_id: str) -> AccessKey:
    key = browser.functions.store.access_key(key_id)
    assert key is not None
    return key


def opens(functions: Functions, text: str) -> bool:
    """Whether somebody can sign in with the text."""
    return Browser(functions).sign_in(text).status == 303


def test_a_key_is_created_with_its_scopes_name_and_last_day_and_shown_once(browser: Browser) -> None:
    day = datetime.now(UTC).date() + timedelta(days=30)

    made = browser.submit("health/keys", name=HOSTILE, scope_read="on", scope_write="on", expires=day.isoformat())

    assert made.status == 200
    text = text_in(made)
    key = stored(browser, text.partition(".")[0])
    assert (key.name, key.scopes, key.programs) == (HOSTILE, (READ, WRITE), (PROGRAM.incarnation,))
    ends = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
    assert key.expires_at == ends.timestamp()
    assert HOSTILE not in made.body
    assert HOSTILE in made.text
    assert opens(browser.functions, text)
    # Nowhere else: not in headers, cookies or later pages.
    secret = text.partition(".")[2]
    assert made.headers["cache-control"] == "no-store"
    assert not any(secret in value for value in (*made.headers.values(), *browser.cookies.values()))
    listed = browser.page("health/keys")
    assert secret not in listed.body
    assert HOSTILE in listed.text
    assert HOSTILE not in listed.body


@pytest.mark.parametrize(
    "form",
    [
        {"name": "x"},
        {"name": "x", "scope_read": "on", "expires": "2020-01-01"},
        {"name": "x", "scope_read": "on", "expires": "soon"},
        {"name": "x", "scope_read": "on", "expires": "99999-01-01"},
        {"name": "x\ny", "scope_read": "on"},
        {"name": "x" * 257, "scope_read": "on"},
    ],
)
def test_a_key_that_cannot_be_is_refused_in_words(browser: Browser, form: dict[str, str]) -> None:
    refused = browser.submit("health/keys", **form)

    assert refused.status == 400
    assert browser.functions.store.count_access_keys_of(PROGRAM.incarnation) == 1


def test_another_key_is_rotated_with_an_overlap_and_revoked(browser: Browser) -> None:
    old = key_with(browser.functions, READ)
    key_id = old.partition(".")[0]

    rotated = browser.submit("health/keys/rotate", key_id=key_id, overlap="3600")
    new = text_in(rotated)
    assert new != old
    assert opens(browser.functions, old)
    assert opens(browser.functions, new)
    assert "the previous secret until" in browser.page("health/keys").text

    assert browser.submit("health/keys/revoke", key_id=key_id).status == 303
    forget_remembered_keys(browser.functions)
    assert not opens(browser.functions, new)
    assert "Revoked" in browser.page("health/keys").text


def test_a_rotation_without_an_overlap_ends_the_secret_before_at_once(browser: Browser) -> None:
    old = key_with(browser.functions, READ)

    browser.submit("health/keys/rotate", key_id=old.partition(".")[0], overlap="0")

    forget_remembered_keys(browser.functions)
    assert not opens(browser.functions, old)


@pytest.mark.parametrize("overlap", ["", "-1", "1e9", "nan", "12"])
def test_only_the_overlaps_that_are_offered_are_taken(browser: Browser, overlap: str) -> None:
    assert browser.submit("health/keys/rotate", key_id=OWN, overlap=overlap).status == 400
    assert stored(browser, OWN).generation == 1


def test_who_rotates_their_own_key_is_told_that_the_session_manages_no_keys_any_more(browser: Browser) -> None:
    rotated = browser.submit("health/keys/rotate", key_id=OWN, overlap="86400")

    assert "This session works until" in rotated.text
    # It reads and writes on, and manages nothing.
    assert "program" in browser.page().text
    assert "only the new secret manages keys" in browser.page("health/keys").text
    for page, form in (
        ("health/keys", {"name": "thief", "scope_admin": "on"}),
        ("health/keys/rotate", {"key_id": OWN, "overlap": "0"}),
        ("health/keys/revoke", {"key_id": OWN}),
    ):
        assert browser.submit(page, **form).status == 403
    assert stored(browser, OWN).generation == 2
    assert browser.functions.store.count_access_keys_of(PROGRAM.incarnation) == 1

    browser.sign_in(text_in(rotated))
    assert "New key" in browser.page("health/keys").text


def test_who_rotates_their_own_key_without_an_overlap_is_told_that_the_session_has_ended(browser: Browser) -> None:
    rotated = browser.submit("health/keys/rotate", key_id=OWN, overlap="0")

    assert "This session has ended" in rotated.text
    forget_remembered_keys(browser.functions)
    assert browser.get(HOME).status == 303
    assert opens(browser.functions, text_in(rotated))


def test_a_key_cannot_end_itself(browser: Browser) -> None:
    assert browser.submit("health/keys/revoke", key_id=OWN).status == 409
    assert not stored(browser, OWN).revoked
    assert f"{OWN} you are signed in with it" in browser.page("health/keys").text


def test_keys_of_other_programs_are_neither_shown_nor_changed(browser: Browser) -> None:
    store = browser.functions.store
    other = Program("other", incarnation=Incarnation("other@1"))
    store.create_program(other)
    for key_id, programs in (
        ("NBKother", (other.incarnation,)),
        ("NBKboth", (PROGRAM.incarnation, other.incarnation)),
    ):
        store.put_access_key(issue_key(MASTER_SECRET, key_id, programs=programs, scopes=(ADMIN,))[0])

    text = browser.page("health/keys").text

    for key_id in ("NBKother", "NBKboth", operator_key()[0].key_id, "no-such", ""):
        assert not key_id or key_id not in text
        assert browser.submit("health/keys/revoke", key_id=key_id).status == 404
        assert browser.submit("health/keys/rotate", key_id=key_id, overlap="0").status == 404
    assert not stored(browser, "NBKother").revoked


def test_an_operator_sees_the_keys_of_the_program_alone(functions: Functions) -> None:
    key_with(functions, READ)
    operator = Browser(functions)
    operator.sign_in(operator_key()[1])

    text = operator.page("health/keys").text

    assert "NBKread" in text
    assert operator_key()[0].key_id not in text
    made = operator.submit("health/keys", name="", scope_admin="on")
    assert stored(operator, text_in(made).partition(".")[0]).programs == (PROGRAM.incarnation,)


def test_only_admin_sees_keys(functions: Functions) -> None:
    browser = Browser(functions)
    browser.sign_in(key_with(functions, READ, WRITE))

    assert browser.get(f"{HOME}/health/keys").status == 403
    assert browser.submit("health/keys", name="x", scope_read="on").status == 403


def test_many_keys_are_cut(browser: Browser) -> None:
    store = browser.functions.store
    for number in range(120):
        key = issue_key(MASTER_SECRET, f"NBK{number}", programs=(PROGRAM.incarnation,), scopes=(READ,))[0]
        store.put_access_key(key)

    shown = browser.page("health/keys")

    assert "and 21 more" in shown.text
    assert len(shown.body) < 400_000
