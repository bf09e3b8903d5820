"""Actions: the catalogue of a program, and one action with what leads to it and what it leads to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nextbest.console.paging import ROWS_OF_A_PAGE, page_of
from nextbest.console.visits import Route, Visit
from nextbest.domain.access_keys import READ
from nextbest.domain.actions import Action
from nextbest.domain.assets import CREATION, EXPIRY, REPEAT_FREQUENCY, VALUE, Asset
from nextbest.domain.catalogue import Catalogue
from nextbest.errors import ArtifactError, NotFound, Unavailable
from nextbest.logic.action_list import SORT_ORDERS, ActionStatistics, Validity, list_actions, validity_of
from nextbest.logic.sentences import past
from nextbest.scoring import Model
from nextbest.scoring.leads import Lead, leads_of
from nextbest.scoring.segment_manifest import BASE, GROWTH
from nextbest.web.response import Response

SHOWN_LEADS = 15

ORDERS = {
    "takers": "Users who did it",
    "recommended": "Users it is recommended to",
    "likeliest": "Users it is the likeliest action of",
    "expiry": "Expiry",
    "name": "Name",
}
"""What a list can be ordered by, in words."""

_TIMES = (CREATION, EXPIRY)
_NAMES_OF_FIELDS = {
    VALUE: "Value",
    CREATION: "Created",
    EXPIRY: "Expires",
    REPEAT_FREQUENCY: "Not again within (days)",
}


@dataclass(frozen=True, slots=True)
class _Known:
    """What there is to say of actions. ``notes`` say what is missing, and why."""

    catalogue: Catalogue
    model: Model | None
    statistics: ActionStatistics | None
    notes: tuple[str, ...]


def show(visit: Visit) -> Response:
    """The catalogue, or the one action that is named."""
    return _show_one(visit) if visit.parameter("asset_id") else _show_list(visit)


def _show_list(visit: Visit) -> Response:
    known, search = _known(visit), visit.parameter("search").strip()
    order = visit.parameter("order", "takers")
    validity = visit.parameter("validity")
    horizon_days = float(visit.state.program.horizon_days)
    listed = list_actions(
        known.model.actions if known.model is not None else (),
        known.catalogue,
        known.statistics,
        search=search,
        validity=Validity(validity) if validity in (Validity.EXPIRING, Validity.EXPIRED) else None,
        order=order if order in SORT_ORDERS else "takers",
        horizon_days=horizon_days,
        now=visit.now,
    )
    values: dict[str, Any] = {
        "known": known,
        "page": page_of(listed, visit),
        "search": search,
        "order": order,
        "validity": validity,
        "fields_of": _fields_of,
        "command": visit.curl("GET", "/assets", search=search, size=ROWS_OF_A_PAGE),
    }
    if visit.is_partial:
        return visit.part("actions_list.html", **values)
    return visit.page("actions.html", title="Actions", orders=ORDERS, **values)


def _show_one(visit: Visit) -> Response:
    known, action = _known(visit), Action(visit.parameter("event_type"), visit.parameter("asset_id"))
    catalogue, model = known.catalogue, known.model
    asset, again = catalogue.assets.get(action.asset_id), visit.parameter("mode") == "repeats"
    others = [other for other in _actions_of(known) if other.asset_id == action.asset_id and other != action]
    leads = None
    if model is not None and model.place_of(action) is not None:
        leads = leads_of(model, action, again=again, now=visit.now, limit=SHOWN_LEADS)
    is_unknown = asset is None and leads is None and not others and action not in _actions_of(known)
    asset = asset or Asset(action.asset_id)
    counts = known.statistics.of(action) if known.statistics is not None else None
    return visit.page(
        "action.html",
        title=f"{action.event_type} {catalogue.name_of(action.asset_id)}".strip(),
        http_status=404 if is_unknown else 200,
        known=known,
        action=action,
        shown_asset=asset,
        fields=_fields_of(asset),
        validity=validity_of(asset, horizon_days=float(visit.state.program.horizon_days), now=visit.now),
        others=others,
        counts=counts,
        again=again,
        leads=leads,
        most=_most(leads.causes + leads.effects) if leads is not None else 1.0,
        past_of=lambda other: past(other.event_type, catalogue.name_of(other.asset_id)),
        is_unknown=is_unknown,
        command=visit.curl("GET", "/assets", search=action.asset_id),
    )


def _most(leads: Sequence[Lead]) -> float:
    """The largest weight, by which bars are drawn."""
    return max((abs(lead.weight) for lead in leads), default=1.0)


def _known(visit: Visit) -> _Known:
    """What can be read now: a program may have no model or segments yet, or some that cannot be read."""
    recommender, notes = visit.services.recommender, []
    catalogue = recommender.catalogues.catalogue_of(visit.state)
    model, statistics = None, None
    try:
        _, served = recommender.loaded(visit.state, now=visit.now)
        model = served[1] if served is not None else None
    except (ArtifactError, Unavailable) as error:
        notes.append(error.message)
    try:
        segments = visit.services.segments
        growth, base = (segments.segments_of(visit.incarnation, kind) for kind in (GROWTH, BASE))
        statistics = ActionStatistics(growth, base)
    except (ArtifactError, NotFound) as error:
        notes.append(error.message)
    return _Known(catalogue, model, statistics, tuple(notes))


def _actions_of(known: _Known) -> dict[Action, None]:
    model = known.model.actions if known.model is not None else ()
    return dict.fromkeys((*model, *(known.statistics.actions if known.statistics is not None else ())))


def _fields_of(asset: Asset) -> list[tuple[str, object, bool]]:
    """The fields of an asset in words, with their values and whether these are times; Personalize's own first."""
    names = [*_NAMES_OF_FIELDS, *sorted(asset.fields.keys() - _NAMES_OF_FIELDS.keys())]
    return [
        (_NAMES_OF_FIELDS.get(name, name), asset.fields[name], name in _TIMES)
        for name in names
        if asset.fields.get(name) is not None
    ]


ROUTES = (Route("GET", "actions", READ, show),)
