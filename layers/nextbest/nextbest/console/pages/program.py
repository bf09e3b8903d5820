"""The program at a glance: its events, its model, its traffic, its rebases and its settings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from nextbest.console.served import served_model
from nextbest.console.visits import Route, Visit
from nextbest.domain.access_keys import ADMIN, READ
from nextbest.domain.programs import Program, RestRule
from nextbest.domain.rebase_status import (
    COMPLETE,
    FAILED,
    LOADING,
    QUEUED,
    REFRESHING,
    SEGMENTING,
    STARTED,
    TRAINING,
    UNFINISHED,
)
from nextbest.logic.model_report import MODES, daily_events, quality_of
from nextbest.logic.programs import rebase_status, start_rebase
from nextbest.logic.trainings import trainings_of
from nextbest.web.response import Response

_STEPS = (QUEUED, STARTED, LOADING, TRAINING, REFRESHING, SEGMENTING, COMPLETE)
_SHOWN_TRAININGS = 10
_PROGRESS = "rebase"


def show(visit: Visit) -> Response:
    """The page."""
    served = served_model(visit)
    traffic = visit.services.traffic
    trainings = trainings_of(visit.services.store, visit.state.program, now=visit.now)
    return visit.page(
        "program.html",
        title=visit.state.program.program_name or visit.program_id,
        served=served,
        report=served.report,
        qualities=[quality_of(served.report, mode) for mode in MODES],
        events=daily_events(served.report),
        traffic=traffic.last_hour(visit.program_id, now=visit.now) if traffic is not None else None,
        trainings=trainings[:_SHOWN_TRAININGS],
        more_trainings=len(trainings[_SHOWN_TRAININGS:]),
        settings=_settings(visit.state.program),
        **_progress(visit),
    )


def progress(visit: Visit) -> Response:
    """How far the rebase is, for the page to put in place; when it has ended, the page is loaded again."""
    values = _progress(visit)
    if not visit.is_partial:
        return visit.see_other()
    part = visit.part("_rebase.html", **values)
    return part if values["is_running"] else replace(part, headers={**part.headers, "hx-refresh": "true"})


def rebase(visit: Visit) -> Response:
    """Start a rebase."""
    start_rebase(visit.services.store, visit.services.start_rebase, visit.incarnation, now=visit.now)
    return visit.see_other()


def _progress(visit: Visit) -> dict[str, Any]:
    status = rebase_status(visit.services.store, visit.incarnation, now=visit.now)
    return {
        "status": status,
        "is_running": status.status_id in UNFINISHED,
        "has_failed": status.status_id == FAILED,
        "step": _STEPS.index(status.status_id) if status.status_id in _STEPS else 0,
        "steps": len(_STEPS) - 1,
    }


def _settings(program: Program) -> list[tuple[str, str, str]]:
    """Name in the API, value and meaning of each setting."""
    order = "; ".join(f"{rule.event_type} after {' or '.join(rule.after)}" for rule in program.event_type_order)
    rests = "; ".join(map(_rest_rule_text, program.rest_rules))
    caps = ", ".join(f"{cap.event_type} {cap.most}" for cap in program.most_per_list)
    goal = ", ".join(f"{entry.event_type} {entry.value:,g}" for entry in program.goal)
    return [
        ("program_name", program.program_name, "For people."),
        ("description", program.description, "For people."),
        (
            "event_relevance_decay",
            f"{program.half_life_days:,} days",
            "After so long an event counts half in base weights.",
        ),
        (
            "horizon_days",
            f"{program.horizon_days} days",
            "A growth weight is the probability that the user does it within so many days.",
        ),
        ("action_weight_floor", f"{program.action_weight_floor:g}", "Recommendations weaker than this are left out."),
        (
            "high_engagement_threshold",
            f"{program.high_engagement_threshold:,} events",
            "Users with so many events are highly engaged: a training compares learning from them alone.",
        ),
        ("never_recommended", ", ".join(program.never_recommended), "Event types that are evidence alone."),
        ("done_once", ", ".join(program.done_once), "Event types that a user does once with an asset."),
        ("event_type_order", order, "What a user has to do first."),
        ("rest_rules", rests, "When an action rests that was shown often and not taken."),
        ("most_per_list", caps, "How many actions of an event type a list has at most."),
        ("goal", goal, "What the program is for, by value: to rank by with objective=goal."),
        ("decision_share", f"{program.decision_share:g}", "The share of users whose answers are recorded."),
    ]


def _rest_rule_text(rule: RestRule) -> str:
    resting = f"{' or '.join(rule.for_event_types)} " if rule.for_event_types else ""
    counted = f"{rule.after} × {' or '.join(rule.event_types)} within {rule.within_days} days"
    return f"{resting}after {counted}, for {rule.rest_days} days"


ROUTES = (
    Route("GET", "", READ, show),
    Route("GET", _PROGRESS, READ, progress),
    Route("POST", _PROGRESS, ADMIN, rebase),
)
