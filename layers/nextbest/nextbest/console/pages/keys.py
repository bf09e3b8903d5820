"""The program's access keys: list, create, rotate, revoke. A secret is shown once, in the response to the form."""

from __future__ import annotations

from datetime import UTC, datetime

from nextbest.console.visits import Route, Visit
from nextbest.domain.access_keys import ADMIN, SCOPES, AccessKey
from nextbest.errors import InvalidInput, SupersededSecret
from nextbest.logic.access_keys import Keyring
from nextbest.web.response import Response

_SHOWN_KEYS = 100
_DAY_SECONDS = 86_400
OVERLAPS = {
    "0": "stops at once",
    "3600": "works for an hour more",
    str(_DAY_SECONDS): "works for a day more",
    str(7 * _DAY_SECONDS): "works for a week more",
}
"""Seconds that the previous secret works on, and that in words."""


def show(visit: Visit) -> Response:
    """The page."""
    try:
        keyring = _keyring(visit)
    except SupersededSecret:
        return visit.page("keys.html", title="Access keys", is_superseded=True, keys=[], more_keys=0)
    # Active ones first, and the newest of them.
    keys = sorted(
        keyring.of_program(visit.incarnation), key=lambda key: (not key.is_active(now=visit.now), -key.created_at)
    )
    return visit.page(
        "keys.html",
        title="Access keys",
        is_superseded=False,
        keys=keys[:_SHOWN_KEYS],
        more_keys=len(keys[_SHOWN_KEYS:]),
        scopes=SCOPES,
        overlaps=OVERLAPS,
    )


def create(visit: Visit) -> Response:
    """Make a key of this program, and show its secret."""
    key, text = _keyring(visit).create(
        program_ids=(visit.program_id,),
        scopes=tuple(scope for scope in SCOPES if visit.form.get(f"scope_{scope}")),
        name=visit.form.get("name", "").strip(),
        now=visit.now,
        random=visit.services.random,
        expires_at=_end_of(visit.form.get("expires", "")),
    )
    return _shown_once(visit, key, text, "created")


def rotate(visit: Visit) -> Response:
    """Give a key a new secret, and show it."""
    overlap = visit.form.get("overlap", "")
    if overlap not in OVERLAPS:
        raise InvalidInput("Say how long the previous secret is to work", field="overlap")
    key, text = _keyring(visit).rotate(visit.form.get("key_id", ""), overlap_seconds=float(overlap), now=visit.now)
    return _shown_once(visit, key, text, "rotated")


def revoke(visit: Visit) -> Response:
    """End a key."""
    _keyring(visit).revoke(visit.form.get("key_id", ""))
    return visit.see_other("health/keys")


def _keyring(visit: Visit) -> Keyring:
    """The keys that the visitor manages. Raises Forbidden, and SupersededSecret after their own key was rotated."""
    services = visit.services
    holder = services.recommender.gate.authenticate_manager(visit.session, now=visit.now)
    return Keyring(services.store, holder, services.master_secret())


def _shown_once(visit: Visit, key: AccessKey, text: str, change: str) -> Response:
    is_own = key.key_id == visit.key.key_id
    return visit.page("key_text.html", title=f"Key {change}", made=key, text=text, change=change, is_own=is_own)


def _end_of(day: str) -> float | None:
    """When a day of UTC ends, in seconds since 1970; None where no day is given. Raises InvalidInput."""
    if not day:
        return None
    try:
        begins = datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC).timestamp()
    except ValueError as error:
        raise InvalidInput("The day on which the key ends must be like 2027-01-31", field="expires") from error
    return begins + _DAY_SECONDS


ROUTES = (
    Route("GET", "health/keys", ADMIN, show),
    Route("POST", "health/keys", ADMIN, create),
    Route("POST", "health/keys/rotate", ADMIN, rotate),
    Route("POST", "health/keys/revoke", ADMIN, revoke),
)
