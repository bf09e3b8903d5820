"""Users: finding one, what they did, what they should do next and why, and what if they did this now."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from nextbest.console.next_actions import MAX_LIMIT, ActionRow, Settings, UserView, read_user, view_of
from nextbest.console.visits import Route, Visit
from nextbest.domain.access_keys import READ, WRITE
from nextbest.domain.catalogue import Catalogue
from nextbest.domain.events import MAX_USER_ID_CHARACTERS, Event
from nextbest.domain.experiments import variants_of
from nextbest.domain.ids import clean_id
from nextbest.domain.times import format_time
from nextbest.errors import ArtifactError, InvalidInput, NotFound, Unavailable
from nextbest.filters import Target
from nextbest.filters.stored import bind_stored
from nextbest.logic.events import event_now, store_events
from nextbest.logic.filters import filters_of
from nextbest.logic.users import events_of_user, label_weights, page_of_user, random_user_id, users_beginning_with
from nextbest.logic.what_if import ChangedRecommendation, changes, with_event
from nextbest.scoring.segment_manifest import BASE
from nextbest.store.base import EventPage, ProgramState, UserRead
from nextbest.web.response import Response

SOURCE = "console"
"""What events say that were sent from here."""

EVENTS_PER_PAGE = 25
_MATCHES = 100
_SUGGESTIONS = 200
_LABELS = 100
_NO_MODEL = "The model cannot be read just now, so nothing is recommended. A rebase writes a new one."


def show(visit: Visit) -> Response:
    """One user; without an id the search for one."""
    settings = Settings.of(visit)
    if not settings.user_id:
        return search(visit)
    with ThreadPoolExecutor(2) as pool:  # at once, so that the page waits for one round trip
        timeline = pool.submit(_timeline, visit, settings)
        filters = pool.submit(_filters, visit)
        user, state = read_user(visit, settings)
        page, names = timeline.result(), filters.result()
    if user.history is None and not page.events:
        return visit.page(
            "users_unknown.html", title="No such user", http_status=404, user_id=settings.user_id, user=user
        )
    values: dict[str, Any] = {"settings": settings, "user": user, "filters": names, "events_sent": _sent(visit, page)}
    values |= _next_actions(visit, settings, user, state)
    catalogue = values["catalogue"]
    values |= _timeline_values(visit, settings, page, catalogue)
    values["labels"] = None
    if page.next_position is None and not visit.parameter("after"):  # these are all events
        values |= _label_values(visit, settings, state, catalogue, page.events)
    return visit.page("user.html", title=settings.user_id, **values)


def _timeline(visit: Visit, settings: Settings) -> EventPage:
    after = visit.parameter("after") or None
    store = visit.services.store
    try:
        return page_of_user(store, visit.incarnation, settings.user_id, after=after, limit=EVENTS_PER_PAGE)
    except NotFound:
        return EventPage([], None)


def _filters(visit: Visit) -> list[str]:
    """The names of the program's filters that select actions."""
    stored = filters_of(visit.services.store, visit.incarnation)
    return [resource["name"] for resource in stored if bind_stored(resource).target is Target.ACTION]


def _sent(visit: Visit, page: EventPage) -> list[Event]:
    """The event that was just sent from here, where there is one."""
    return [
        event for event in page.events if str(event.timestamp_us) == visit.parameter("sent") and event.source == SOURCE
    ]


def _timeline_values(visit: Visit, settings: Settings, page: EventPage, catalogue: Catalogue) -> dict[str, Any]:
    path = f"/users/{quote(settings.user_id, safe='')}/events"
    return {
        "events": page.events,
        "catalogue": catalogue,
        "after": visit.parameter("after"),
        "older": page.next_position,
        "timeline_curl": visit.curl("GET", path, limit=EVENTS_PER_PAGE),
    }


def _next_actions(visit: Visit, settings: Settings, user: UserRead, state: ProgramState) -> dict[str, Any]:
    """What the parts about next actions and what-ifs show."""
    rows: list[ActionRow] = []
    values: dict[str, Any] = {
        **{"view": None, "problem": "", "rows": rows, "resting": (), "what_if": None},
        **{"known_event_types": [], "known_assets": []},
        "variants": variants_of(state.experiments, settings.user_id),
    }
    try:
        view = view_of(visit, settings, user, state)
    except (ArtifactError, Unavailable):
        return values | {"problem": _NO_MODEL, "catalogue": Catalogue()}
    values |= {"view": view, "catalogue": view.catalogue, "settings": view.settings}
    try:
        if not view.missing:
            answer = view.explained()
            values["rows"] = view.rows(answer)
            values["resting"] = answer.resting or ()
            values["what_if"] = _what_if(view)
    except InvalidInput as error:
        values["problem"] = error.message
    return values | _suggestions(view, values["rows"])


def _suggestions(view: UserView, rows: Sequence[ActionRow]) -> dict[str, Any]:
    """Event types and assets that the form of what-ifs proposes, those of the list first."""
    assets = [row.recommendation.asset_id for row in rows]
    assets += [action.asset_id for action in view.history.actions[:_SUGGESTIONS]]
    if view.served is not None:
        assets += [asset_id for _, asset_id in view.served[1].actions[:_SUGGESTIONS]]
    assets += list(view.catalogue.assets)[:_SUGGESTIONS]
    return {
        "known_event_types": view.event_types[:_SUGGESTIONS],
        "known_assets": list(dict.fromkeys(assets))[:_SUGGESTIONS],
    }


@dataclass(frozen=True, slots=True)
class WhatIf:
    """What an event of now would change. ``problem`` says why that cannot be said; then there are no changes."""

    event_type: str
    asset_id: str
    changes: Sequence[ChangedRecommendation] = ()
    problem: str = ""
    curl: str = ""

    def count(self, change: str) -> int:
        """How many actions of the list change in this way."""
        return sum(entry.change == change for entry in self.changes)

    @property
    def strongest(self) -> ChangedRecommendation | None:
        """The action whose weight changes most, where one stays in the list."""
        both = [entry for entry in self.changes if entry.before is not None and entry.after is not None]
        return max(both, key=_difference, default=None)


def _difference(entry: ChangedRecommendation) -> float:
    before, after = entry.before, entry.after
    return abs(after.growth_weight - before.growth_weight) if before is not None and after is not None else 0.0


def _what_if(view: UserView) -> WhatIf | None:
    """What the event in the page's query would change; None without one."""
    visit = view.visit
    event_type, asset_id = visit.parameter("event_type"), visit.parameter("asset_id")
    if not event_type and not asset_id:
        return None
    user_id = view.settings.user_id
    try:
        event = event_now(user_id, event_type, asset_id, source=SOURCE, now=visit.now)
        history = with_event(view.history, event)
    except InvalidInput as error:
        return WhatIf(event_type, asset_id, problem=error.message)
    before = view.recommend(view.history, limit=MAX_LIMIT, explained=False)
    after = view.recommend(history, limit=MAX_LIMIT, explained=False)
    changed = changes(before.recommendations, after.recommendations, limit=view.settings.limit)
    row = {
        "user_id": user_id,
        "event_timestamp": format_time(event.timestamp_us),
        "event_type": event.event_type,
        "asset_id": event.asset_id,
        "labels": [],
    }
    body = json.dumps({"events": [row]}, ensure_ascii=False)
    return WhatIf(event.event_type, event.asset_id, changed, curl=visit.curl("POST", "/events", body=body))


def next_actions(visit: Visit) -> Response:
    """The part of a user's page with the list of next actions."""
    return _part(visit, "users_next_actions.html")


def what_if(visit: Visit) -> Response:
    """The part of a user's page that shows what an event would change."""
    return _part(visit, "users_what_if.html")


def _part(visit: Visit, template: str) -> Response:
    settings = Settings.of(visit)
    if not visit.is_partial or not settings.user_id:
        return show(visit)
    user, state = read_user(visit, settings)
    return visit.part(template, **{"settings": settings, **_next_actions(visit, settings, user, state)})


def timeline(visit: Visit) -> Response:
    """The part of a user's page with a page of events."""
    settings = Settings.of(visit)
    if not visit.is_partial or not settings.user_id:
        return show(visit)
    catalogue = visit.services.recommender.catalogues.catalogue_of(visit.state)
    values = _timeline_values(visit, settings, _timeline(visit, settings), catalogue)
    return visit.part("users_timeline.html", settings=settings, **values)


def labels(visit: Visit) -> Response:
    """The weights of the labels of a user with more events than a page shows."""
    settings = Settings.of(visit)
    catalogue = visit.services.recommender.catalogues.catalogue_of(visit.state)
    events = events_of_user(visit.services.store, visit.incarnation, settings.user_id)
    values = {"settings": settings, **_label_values(visit, settings, visit.state, catalogue, events)}
    if visit.is_partial:
        return visit.part("users_labels.html", **values)
    return visit.page("users_labels_page.html", title="Label weights", **values)


def _label_values(
    visit: Visit, settings: Settings, state: ProgramState, catalogue: Catalogue, events: Iterable[Event]
) -> dict[str, Any]:
    weights = label_weights(state, catalogue, events, now=visit.now)
    path = f"/users/{quote(settings.user_id, safe='')}/labels"
    return {
        "labels": list(weights.items())[:_LABELS],
        "label_count": len(weights),
        "labels_curl": visit.curl("GET", path, limit=_LABELS),
    }


def search(visit: Visit) -> Response:
    """Users by the beginning of their ids; a whole id that is the only one leads to its user."""
    text = clean_id(visit.parameter("q"))
    matches, count, problem = _matches(visit, text)
    if text and text not in matches and _has_events(visit, text):
        matches, count = [text, *matches], count + 1
    if matches == [text] and not visit.is_partial:
        return visit.see_other("users", user_id=text)
    values: dict[str, Any] = {"q": text, "matches": matches, "count": count, "problem": problem}
    if visit.is_partial:
        return visit.part("users_matches.html", **values)
    return visit.page("users.html", title="Users", random_curl=visit.curl("GET", "/random/user_id"), **values)


def _matches(visit: Visit, text: str) -> tuple[list[str], int, str]:
    """Users as of the last rebase whose ids begin with a text, how many there are, and why there may be more."""
    try:
        matches, count = visit.services.segments.read(
            visit.incarnation, BASE, lambda segments: users_beginning_with(segments.users, text, limit=_MATCHES)
        )
    except NotFound:
        return [], 0, "Before the program's first rebase only a whole id finds a user."
    except ArtifactError:
        return [], 0, "The list of users cannot be read until the next rebase: only a whole id finds a user."
    return list(matches), count, ""


def _has_events(visit: Visit, user_id: str) -> bool:
    if len(user_id) > MAX_USER_ID_CHARACTERS:
        return False
    return bool(visit.services.store.page_of_events(visit.incarnation, user_id, limit=1).events)


def random(visit: Visit) -> Response:
    """Some user's page."""
    try:
        user_id = random_user_id(visit.services.store, visit.incarnation, random=visit.services.random)
    except NotFound:
        return visit.see_other("users")
    return visit.see_other("users", user_id=user_id)


def send_event(visit: Visit) -> Response:
    """Store an event that happens now. Raises InvalidInput."""
    form = visit.form
    event = event_now(
        form.get("user_id", ""), form.get("event_type", ""), form.get("asset_id", ""), source=SOURCE, now=visit.now
    )
    store_events(visit.services.store, visit.state.program, [event], refresh_histories=True)
    return visit.see_other("users", user_id=event.user_id, sent=event.timestamp_us)


ROUTES = (
    Route("GET", "users", READ, show),
    Route("GET", "users/random", READ, random),
    Route("GET", "users/next-actions", READ, next_actions),
    Route("GET", "users/what-if", READ, what_if),
    Route("GET", "users/timeline", READ, timeline),
    Route("GET", "users/labels", READ, labels),
    Route("POST", "users/events", WRITE, send_event),
)
