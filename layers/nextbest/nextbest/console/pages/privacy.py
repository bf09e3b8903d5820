"""People's rights: a copy of all that is held on a user, and their deletion, with a receipt."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import quote

from nextbest.console.rendering import attachment
from nextbest.console.visits import Route, Visit
from nextbest.domain.access_keys import ADMIN, READ
from nextbest.domain.ids import clean_id
from nextbest.errors import ArtifactError, InvalidInput, NotFound
from nextbest.logic.users import delete_user, export_body, export_user
from nextbest.store.erasure import TOMBSTONE_DAYS
from nextbest.web.page_tokens import position_in, token_of
from nextbest.web.response import Response

_UNREADABLE = "The segments cannot be read until the next rebase, so a copy would not be whole. Forgetting works."
_UNSAFE_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")


def show(visit: Visit, *, problem: str = "", http_status: int = 200) -> Response:
    """The page; with a user's id, to those who may know it, what is held on them."""
    user_id = clean_id(visit.form.get("user_id", "") or visit.parameter("user_id"))
    values: dict[str, Any] = {"user_id": user_id, "problem": problem, "part": _part_number(visit)}
    values |= {"export": None, "curls": None, "is_held": False}
    if user_id and visit.key.allows(ADMIN):
        path = f"/users/{quote(user_id, safe='')}"
        token = visit.parameter("next_token")
        values["curls"] = (
            visit.curl("GET", f"{path}/export", next_token=token),
            visit.curl("DELETE", path),
        )
        try:
            export = export_user(
                visit.services.store, visit.services.artifacts, visit.incarnation, user_id, after=_position(token)
            )
        except NotFound:
            http_status = 404 if http_status == 200 else http_status
        except ArtifactError:  # deletion copes with it
            values |= {"problem": problem or _UNREADABLE, "is_held": True}
        else:
            values |= {"export": export, "next_token": token_of(export.next_position), "token_of_part": token}
            values["is_held"] = True
    return visit.page("privacy.html", title="Privacy", http_status=http_status, **values)


def _position(token: str) -> str | None:
    """The position in the token of a part; None where the first part is meant. Raises InvalidInput."""
    position = position_in(token) if token else None
    if token and not position:
        raise InvalidInput("There is no such part of an export")
    return position


def _part_number(visit: Visit) -> int:
    """Which part of an export it is, from 1: for the file's name alone, since the token says where the part begins."""
    number = visit.whole_number("part", most_digits=5)
    return 1 if number is None else number


def export(visit: Visit) -> Response:
    """A part of what is held on a user, as GET /users/{user_id}/export answers it, to be saved."""
    user_id, token = clean_id(visit.parameter("user_id")), visit.parameter("next_token")
    part = export_user(
        visit.services.store, visit.services.artifacts, visit.incarnation, user_id, after=_position(token)
    )
    body = export_body(part, visit.program_id, user_id, next_token=token_of(part.next_position))
    name = _UNSAFE_IN_NAMES.sub("-", user_id)[:80].strip("-.") or "user"
    number = _part_number(visit)
    suffix = f"-part-{number}" if number > 1 else ""
    content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    return attachment(content, "application/json", filename=f"{name}{suffix}.json")


def forget(visit: Visit) -> Response:
    """Delete a user whose id was typed again, and show the receipt. Raises InUse."""
    user_id = clean_id(visit.form.get("user_id", ""))
    if not user_id or clean_id(visit.form.get("confirmation", "")) != user_id:
        problem = "Nothing was deleted: the id that you typed is another one than the user's."
        return show(visit, problem=problem, http_status=400)
    try:
        deletion = delete_user(
            visit.services.store, visit.services.artifacts, visit.incarnation, user_id, now=visit.now
        )
    except NotFound:
        return show(visit, http_status=404)
    return visit.page(
        "privacy_receipt.html",
        title="Receipt of a deletion",
        user_id=user_id,
        deletion=deletion,
        tombstone_days=TOMBSTONE_DAYS,
    )


ROUTES = (
    Route("GET", "privacy", READ, show),
    Route("GET", "privacy/export", ADMIN, export),
    Route("POST", "privacy/delete", ADMIN, forget),
)
