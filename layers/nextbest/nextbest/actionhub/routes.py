"""Every endpoint of the ActionHub API in one table, and the matcher that finds one as Starlette would.

The table is the one source of routing, parsing and the OpenAPI document.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote, urlencode

from nextbest.actionhub import inputs
from nextbest.actionhub.errors import KEY_NOT_FOUND, PROGRAM_NOT_FOUND, USER_HISTORY_NOT_FOUND, USER_NOT_FOUND
from nextbest.actionhub.parsing import parse_get_actions, parse_post_events
from nextbest.web.request import Request

Scope = Literal["read", "write", "admin"]

# Answers that are no object: a JSON string, and plain text.
STRING_ANSWER = "string"
TEXT_ANSWER = "text/plain"

# What describes the API, beside it.
DOCUMENT_PATH = "/openapi.json"
PAGE_PATH = "/docs"
PAGES = (DOCUMENT_PATH, PAGE_PATH)


@dataclass(frozen=True, slots=True)
class Route:
    """One endpoint: what it takes, what it answers, and which right of the key it needs.

    ``answer`` names a model of ``schemas.py``, or is ``STRING_ANSWER`` or ``TEXT_ANSWER``. ``not_found`` is the
    text of the 404, None where there is none.
    """

    method: str
    template: str
    name: str
    input_type: type[Hashable]
    answer: str
    scope: Scope
    summary: str
    not_found: str | None = None
    pattern: re.Pattern[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # Starlette's own translation: a parameter is anything without a slash, and ``$`` admits a final line break.
        expression = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(self.template))
        object.__setattr__(self, "pattern", re.compile(f"^{expression}$"))

    @property
    def tag(self) -> str:
        """The group that the endpoint belongs to: the first segment of its path, in the plural."""
        return {"program": "programs", "segment": "segments", "random": "users"}.get(
            segment := self.template.split("/")[1], segment
        )

    def parse(self, request: Request, *, now: float) -> Any:
        """The endpoint's typed input. Raises InvalidRequest, UnreadableBody and BodyTooLarge."""
        if self.input_type is inputs.GetActions:
            return parse_get_actions(request)
        if self.input_type is inputs.PostEvents:
            return parse_post_events(request, now=now)
        from nextbest.actionhub.validation import parse

        return parse(request, self.input_type)


ROUTES: tuple[Route, ...] = (
    Route(
        "GET",
        "/users/{user_id}/actions",
        "get_actions",
        inputs.GetActions,
        "UserNextActionList",
        "read",
        "The user's next best actions",
        USER_HISTORY_NOT_FOUND,
    ),
    Route(
        "POST", "/events", "post_events", inputs.PostEvents, "EventsResult", "write", "Add events to users' histories"
    ),
    Route(
        "GET",
        "/users/{user_id}/labels",
        "get_user_labels",
        inputs.UserInput,
        "UserLabelWeights",
        "read",
        "The labels that the user's events and their assets carry, weighted",
        USER_NOT_FOUND,
    ),
    Route(
        "GET",
        "/users/{user_id}/events",
        "get_user_events",
        inputs.UserInput,
        "UserHistory",
        "read",
        "The user's history",
        USER_NOT_FOUND,
    ),
    Route(
        "PUT",
        "/users/{user_id}/rebase",
        "rebase_user",
        inputs.UserInput,
        "Result",
        "write",
        "Recalculate one user from the event log",
        USER_NOT_FOUND,
    ),
    Route(
        "GET",
        "/random/user_id",
        "get_random_user_id",
        inputs.ProgramInput,
        STRING_ANSWER,
        "read",
        "Some user's id, for checking a set-up",
        USER_NOT_FOUND,
    ),
    Route("GET", "/assets", "get_assets", inputs.GetPage, "AssetPage", "read", "Find assets"),
    Route("POST", "/assets", "post_assets", inputs.PostAssets, "Result", "write", "Create or change assets"),
    Route("GET", "/labels", "get_labels", inputs.GetPage, "LabelPage", "read", "Find labels"),
    Route("PUT", "/labels", "put_labels", inputs.PutLabels, "Result", "write", "Create labels or change their weights"),
    Route("GET", "/programs", "get_programs", inputs.GetPrograms, "ProgramList", "read", "The programs the key opens"),
    Route("POST", "/programs", "post_programs", inputs.PostPrograms, "ProgramKey", "admin", "Create a program"),
    Route(
        "GET",
        "/program",
        "get_program",
        inputs.ProgramInput,
        "Program",
        "read",
        "The program's settings",
        PROGRAM_NOT_FOUND,
    ),
    Route(
        "PUT",
        "/program",
        "put_program",
        inputs.PutProgram,
        "Result",
        "admin",
        "Change the program's settings",
        PROGRAM_NOT_FOUND,
    ),
    Route(
        "PUT",
        "/program/rebase",
        "rebase_program",
        inputs.ProgramInput,
        "Result",
        "admin",
        "Start to learn the program's model anew",
        PROGRAM_NOT_FOUND,
    ),
    Route(
        "GET",
        "/program/status",
        "get_program_status",
        inputs.ProgramInput,
        "ProgramStatus",
        "read",
        "How far the rebase is",
        PROGRAM_NOT_FOUND,
    ),
    Route(
        "PUT",
        "/program/reset",
        "reset_program",
        inputs.ProgramInput,
        "Result",
        "admin",
        "Clear what is cached and computed; events stay",
        PROGRAM_NOT_FOUND,
    ),
    Route(
        "GET", "/segment", "get_segment", inputs.GetSegment, TEXT_ANSWER, "read", "The users of one segment, by line"
    ),
    Route("GET", "/segments", "get_segments", inputs.GetSegments, "SegmentPage", "read", "All segments, in pages"),
    # Extensions of ours: people's rights, and keys.
    Route(
        "GET",
        "/users/{user_id}/export",
        "export_user",
        inputs.GetExport,
        "UserExport",
        "admin",
        "All that is held on a user",
        USER_NOT_FOUND,
    ),
    Route(
        "DELETE",
        "/users/{user_id}",
        "delete_user",
        inputs.UserInput,
        "UserDeletion",
        "admin",
        "Forget a user, for good",
        USER_NOT_FOUND,
    ),
    Route("GET", "/keys", "get_keys", inputs.GetKeys, "KeyList", "admin", "The keys that this one may manage"),
    Route("POST", "/keys", "post_keys", inputs.PostKeys, "KeyWithSecret", "admin", "Create a key"),
    Route(
        "PUT",
        "/keys/{key_id}",
        "rotate_key",
        inputs.PutKey,
        "KeyWithSecret",
        "admin",
        "Give a key a new secret; the old one works on for a while",
        KEY_NOT_FOUND,
    ),
    Route("DELETE", "/keys/{key_id}", "revoke_key", inputs.DeleteKey, "Key", "admin", "End a key", KEY_NOT_FOUND),
)


@dataclass(frozen=True, slots=True)
class Found:
    """The route, and its parameters as the path spells them."""

    route: Route
    path_parameters: dict[str, str]


@dataclass(frozen=True, slots=True)
class MethodNotAllowed:
    """The path exists for other methods: 405 with these in ``Allow``."""

    allow: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Redirected:
    """The path exists with, or without, its final slash: 307 to this location."""

    location: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """There is no such path: 404."""


def match(request: Request) -> Found | MethodNotAllowed | Redirected | Unknown:
    """Find the route of a request by method and (decoded) path."""
    matches = _matches(request.path)
    for found in matches:
        if found.route.method == request.method:
            return found
    if matches:
        return MethodNotAllowed(tuple(found.route.method for found in matches))
    other = request.path.rstrip("/") if request.path.endswith("/") else request.path + "/"
    if request.path != "/" and _matches(other):
        query = f"?{urlencode(request.query)}" if request.query else ""
        return Redirected(quote(other, safe="/:@!$&'()*+,;=~") + query)
    return Unknown()


def _matches(path: str) -> list[Found]:
    return [Found(route, found.groupdict()) for route in ROUTES if (found := route.pattern.match(path))]
