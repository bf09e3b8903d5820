"""The model: whether it can be trusted, what it is made of, and which version serves."""

from __future__ import annotations

from dataclasses import dataclass

from nextbest.console.served import served_model
from nextbest.console.visits import Route, Visit
from nextbest.domain.access_keys import ADMIN, READ
from nextbest.logic.model_report import MODES, CalibrationPoint, drift_of, quality_of
from nextbest.logic.models import serve_previous
from nextbest.logic.trainings import Training, trainings_of
from nextbest.web.response import Response

_SHOWN_VERSIONS = 20


@dataclass(frozen=True, slots=True)
class Version:
    """A version of the model, and the training that made it where that is recorded.

    ``is_previous``: it served before the one that ``serves``; ``is_newer``: and yet is newer, set aside by hand.
    """

    name: str
    began: float
    training: Training | None
    serves: bool
    is_previous: bool
    is_newer: bool


def show(visit: Visit) -> Response:
    """The page."""
    served = served_model(visit)
    versions = _versions(visit)
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


def _versions(visit: Visit) -> list[Version]:
    """Every version that is known: those that serve or did before, and those of recorded trainings; newest first."""
    state = visit.state
    trainings = trainings_of(visit.services.store, state.program, now=visit.now)
    by_model: dict[str, Training | None] = {training.model: training for training in trainings if training.model}
    for pointer in (state.model, state.previous_model):
        if pointer is not None:
            by_model.setdefault(pointer.version, None)
    serving, previous = (pointer.version if pointer else "" for pointer in (state.model, state.previous_model))
    return [
        Version(
            name,
            training.began if training is not None else _began(name),
            training,
            serves=name == serving,
            is_previous=name == previous,
            is_newer=name == previous and name > serving,
        )
        for name, training in sorted(by_model.items(), reverse=True)
    ]


def _began(version: str) -> float:
    """When a version's rebase began, which its name says in milliseconds; 0 where it does not."""
    milliseconds = version.partition("-")[0]
    return int(milliseconds) / 1000 if milliseconds.isdecimal() else 0.0


ROUTES = (Route("GET", "model", READ, show), Route("POST", "model/roll-back", ADMIN, roll_back))
