"""The model: whether it can be trusted, what it is made of, and which version serves."""

from __future__ import annotations

from nextbest.console.served import served_model
from nextbest.console.visits import Route, Visit
from nextbest.domain.access_keys import ADMIN, READ
from nextbest.logic.model_report import MODES, CalibrationPoint, drift_of, quality_of
from nextbest.logic.models import serve_previous, versions_of
from nextbest.web.response import Response

_SHOWN_VERSIONS = 20


def show(visit: Visit) -> Response:
    """The page."""
    served = served_model(visit)
    versions = versions_of(visit.services.store, visit.state, now=visit.now)
    qualities = [quality_of(served.report, mode) for mode in MODES]
    return visit.page(
        "model.html",
        title="Model",
        served=served,
        report=served.report,
        qualities=qualities,
        calibrations={quality.mode: list(map(_in_percent, quality.calibration)) for quality in qualities},
        drift=drift_of(served.report),
        versions=versions[:_SHOWN_VERSIONS],
        more_versions=len(versions[_SHOWN_VERSIONS:]),
        newer_is_set_aside=any(version.is_newer for version in versions),
    )


def roll_back(visit: Visit) -> Response:
    """Serve the previous version, and have the segments follow."""
    serve_previous(visit.services.store, visit.services.artifacts, visit.state, visit.form.get("version", ""))
    visit.services.start_segments(visit.incarnation)
    return visit.see_other("model")


def _in_percent(point: CalibrationPoint) -> tuple[float, float, float]:
    """Predicted, came true, and predicted again: where points would lie if all came true as predicted."""
    return point.predicted * 100, point.observed * 100, point.predicted * 100


ROUTES = (Route("GET", "model", READ, show), Route("POST", "model/roll-back", ADMIN, roll_back))
