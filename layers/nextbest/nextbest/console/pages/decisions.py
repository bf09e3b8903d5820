"""What the recorded decisions say: whether growth weights come true, and what a model that never served would reach."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from nextbest.console.awaited import AwaitedResult, query_of
from nextbest.console.decision_results import candidate_rows, weeks_of
from nextbest.console.visits import Route, Visit
from nextbest.domain.access_keys import ADMIN, READ
from nextbest.errors import InvalidInput, NotFound
from nextbest.logic.experiments import MODEL_VERSION
from nextbest.logic.models import model_of_version, versions_of
from nextbest.logic.report_files import DECISIONS, stored_report
from nextbest.web.response import Response

_OFFERED_VERSIONS = 50


def show(visit: Visit) -> Response:
    """The page."""
    return _shown(visit)


def progress(visit: Visit) -> Response:
    """Whether there is a newer report now: then the page is loaded again."""
    awaited = _awaited(visit, _report(visit))
    if awaited.is_computing and visit.is_partial:
        return visit.part("awaited.html", awaited=awaited)
    return visit.see_other("decisions", **awaited.query)


def compute(visit: Visit) -> Response:
    """Have the report computed in the background, as PUT /program/decisions/report does."""
    version, job = visit.form.get("model_version", "").strip(), {"decisions": "report"}
    if version:
        try:
            if not MODEL_VERSION.fullmatch(version):
                raise InvalidInput("That is no version of a model", field="model_version")
            model_of_version(visit.services.artifacts, visit.incarnation, version)
        except InvalidInput as error:
            return _shown(visit, version=version, problem=error.message)
        job["model_version"] = version
    report = _report(visit)
    visit.services.start_report(visit.incarnation, **job)
    return visit.see_other("decisions", **query_of(float(report["now"]) if report is not None else 0.0, visit.now))


def _shown(visit: Visit, *, version: str = "", problem: str = "") -> Response:
    report = _report(visit)
    candidate = report["candidate"] if report is not None else None
    offered = [each.name for each in versions_of(visit.services.store, visit.state, now=visit.now)]
    body = json.dumps({"model_version": version or (candidate or {}).get("model")}) if version or candidate else "{}"
    return visit.page(
        "decisions.html",
        title="Decisions",
        http_status=400 if problem else 200,
        report=report,
        weeks=weeks_of(report) if report is not None else [],
        candidate=candidate,
        estimates=candidate_rows(candidate) if candidate is not None else [],
        versions=offered[:_OFFERED_VERSIONS],
        version=version,
        problem=problem,
        awaited=_awaited(visit, report),
        command=visit.curl("PUT", "/program/decisions/report", body=body),
    )


def _awaited(visit: Visit, report: Mapping[str, Any] | None) -> AwaitedResult:
    return AwaitedResult.of(visit, "report", "decisions/progress", float(report["now"]) if report is not None else 0.0)


def _report(visit: Visit) -> Mapping[str, Any] | None:
    """The newest report; None where there is none."""
    try:
        return stored_report(visit.services.artifacts, visit.incarnation, DECISIONS)
    except NotFound:
        return None


ROUTES = (
    Route("GET", "decisions", READ, show),
    Route("GET", "decisions/progress", READ, progress),
    Route("POST", "decisions/report", ADMIN, compute),
)
