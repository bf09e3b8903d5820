"""The program's filters: those with a name, a new one, and what one leaves of the catalogue and to a user."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from nextbest.console.next_actions import VALUE_PREFIX
from nextbest.console.visits import Route, Visit, origin
from nextbest.domain.access_keys import ADMIN, READ
from nextbest.domain.events import MAX_USER_ID_CHARACTERS
from nextbest.domain.ids import check_id
from nextbest.errors import AlreadyExists, ArtifactError, FilterSyntaxError, InvalidInput, Unavailable
from nextbest.filters import BoundFilter, bind, parse
from nextbest.filters.diagnostics import excerpt
from nextbest.logic.filter_preview import FilterPreview, preview_filter
from nextbest.logic.filters import create_filter, delete_filter, filters_of
from nextbest.personalize.datasets.filter_schema import filter_schema
from nextbest.store.base import UserRead
from nextbest.web.response import Response

PREVIEWED_ACTIONS = 10

EXAMPLES = (
    ("Only what has a label", 'INCLUDE ActionID WHERE Actions.LABELS IN ("loyalty")'),
    ("Nothing that has one of several labels", 'EXCLUDE ActionID WHERE Actions.LABELS IN ("loyalty", "retail")'),
    ("A label that each request chooses", "INCLUDE ActionID WHERE Actions.LABELS IN ($LABEL)"),
    ("All but one action", 'EXCLUDE ActionID WHERE Actions.ACTION_ID = "latte"'),
    ("Nothing that they took already", 'EXCLUDE ActionID WHERE Action_Interactions.EVENT_TYPE IN ("taken")'),
    ("What is worth at least so much", "INCLUDE ActionID WHERE Actions.VALUE >= 10"),
)
"""Expressions to start from, each with what it does."""


@dataclass(frozen=True, slots=True)
class _Draft:
    """A filter as it was written: what is wrong with it, or what it leaves.

    ``problem`` is about the expression, ``obstacle`` about what the preview takes besides it; ``place`` is the line of
    the expression with a caret under the character where it stops.
    """

    expression: str
    user_id: str
    values: Mapping[str, str]
    bound: BoundFilter | None = None
    problem: str = ""
    place: str = ""
    obstacle: str = ""
    is_known_user: bool = True
    preview: FilterPreview | None = None


def show(visit: Visit) -> Response:
    """The page, or with an expression that is being written what it leaves."""
    draft = _previewed(visit, _draft_of(dict(visit.request.query)))
    if visit.is_partial:
        return visit.part("filters_preview.html", **_values(visit, draft))
    return _page(visit, draft)


def create(visit: Visit) -> Response:
    """Store a filter under a name, as CreateFilter does."""
    draft, name = _draft_of(visit.form), visit.form.get("name", "").strip()
    catalogue = visit.services.recommender.catalogues.catalogue_of(visit.state)
    try:
        create_filter(
            visit.services.store,
            visit.key,
            visit.incarnation,
            name,
            draft.expression,
            lambda: filter_schema(visit.services.store, visit.state.program, catalogue),
            tags={},
            now=visit.now,
        )
    except AlreadyExists:
        return _page(
            visit, _previewed(visit, draft), name=name, refusal=f"There is a filter {name} already.", status=409
        )
    except InvalidInput as error:
        refusal = error.message.partition("\n")[0]
        return _page(visit, _previewed(visit, draft), name=name, refusal=refusal, status=400)
    return visit.see_other("filters", created=name)


def delete(visit: Visit) -> Response:
    """Delete a filter, as DeleteFilter does."""
    delete_filter(visit.services.store, visit.incarnation, visit.form.get("name", ""))
    return visit.see_other("filters")


def _draft_of(fields: Mapping[str, str]) -> _Draft:
    expression = fields.get("expression", "").replace("\r\n", "\n").strip()
    values = {name.removeprefix(VALUE_PREFIX): value for name, value in fields.items() if name.startswith(VALUE_PREFIX)}
    return _Draft(expression, fields.get("user_id", "").strip(), {name: text for name, text in values.items() if text})


def _previewed(visit: Visit, draft: _Draft) -> _Draft:
    """The draft with what is wrong with it, or what it leaves."""
    if not draft.expression:
        return draft
    written = draft.expression, draft.user_id, draft.values
    recommender = visit.services.recommender
    catalogue = recommender.catalogues.catalogue_of(visit.state)
    try:
        bound = bind(parse(draft.expression), filter_schema(visit.services.store, visit.state.program, catalogue))
    except FilterSyntaxError as error:
        place = "" if error.position is None else excerpt(draft.expression, error.position)
        return _Draft(*written, problem=_in_one_line(error), place=place)
    values = {name: text for name, text in draft.values.items() if name in (*bound.required, *bound.optional)}
    written = draft.expression, draft.user_id, values
    missing = [name for name in bound.required if name not in values]
    if missing:
        return _Draft(*written, bound, obstacle=f"Give a value for {', '.join(missing)} to see what it leaves.")
    try:
        user = _user_of(visit, draft.user_id)
        preview = preview_filter(
            recommender,
            visit.state,
            user,
            draft.expression,
            bound,
            values,
            now=visit.now,
            limit=PREVIEWED_ACTIONS,
        )
    except (InvalidInput, ArtifactError, Unavailable) as error:
        return _Draft(*written, bound, obstacle=error.message)
    is_known = user is None or user.history is not None
    return _Draft(*written, bound, is_known_user=is_known, preview=preview)


def _user_of(visit: Visit, user_id: str) -> UserRead | None:
    if not user_id:
        return None
    checked = check_id(user_id, max_characters=MAX_USER_ID_CHARACTERS, field="The user's id")
    return visit.services.store.read_user(visit.incarnation, checked, with_state=False)


def _in_one_line(error: InvalidInput) -> str:
    return error.message.partition("\n")[0].removeprefix("Could not create filter. ")


def _page(visit: Visit, draft: _Draft, *, name: str = "", refusal: str = "", status: int = 200) -> Response:
    stored = filters_of(visit.services.store, visit.incarnation) if visit.key.allows(ADMIN) else []
    values = _values(visit, draft)
    return visit.page(
        "filters.html",
        title="Filters",
        http_status=status,
        stored=stored,
        examples=EXAMPLES,
        created=visit.parameter("created"),
        refusal=refusal,
        curl_list=_curl_of_list(visit),
        **{**values, "name": name},
    )


def _values(visit: Visit, draft: _Draft) -> dict[str, Any]:
    path = f"/users/{quote(draft.user_id or 'USER', safe='')}/actions"
    filter_values = json.dumps(draft.values, ensure_ascii=False) if draft.values else ""
    command = visit.curl("GET", path, filter=draft.expression, filter_values=filter_values, limit=PREVIEWED_ACTIONS)
    return {"draft": draft, "name": "", "value_prefix": VALUE_PREFIX, "command": command}


def _curl_of_list(visit: Visit) -> str:
    group = f"arn:aws:personalize:us-east-1:000000000000:dataset-group/{visit.program_id}"
    endpoint = f"{origin(visit.request)}{visit.request.path_prefix}/personalize"
    return f"aws personalize list-filters --endpoint-url {endpoint} --dataset-group-arn {group}"


ROUTES = (
    Route("GET", "filters", READ, show),
    Route("POST", "filters/create", ADMIN, create),
    Route("POST", "filters/delete", ADMIN, delete),
)
