"""Files of reports, the newest of each experiment and of all decisions. Without what computing them needs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from nextbest.domain.programs import Incarnation
from nextbest.errors import ArtifactError, NotFound
from nextbest.store.base import ArtifactStore

DECISIONS = "_decisions"
"""In place of an experiment's id, which never begins so: the report of the program's decisions."""


def reports_of(incarnation: Incarnation) -> str:
    """The folder of a program's reports."""
    return f"experiment-reports/{incarnation}/"


def put_report(
    artifacts: ArtifactStore, incarnation: Incarnation, experiment_id: str, report: Mapping[str, Any]
) -> None:
    """Keep a report in place of the one before."""
    artifacts.put(_name(incarnation, experiment_id), json.dumps(report).encode())


def put_report_of(
    artifacts: ArtifactStore,
    incarnation: Incarnation,
    experiment_id: str,
    report: Mapping[str, Any],
    subject: Callable[[], object],
) -> None:
    """The same for a report that took a while: ``subject`` reads again what it is about.

    Raises NotFound where that was deleted meanwhile. Whoever deleted it may have looked for reports too early, so this
    one is deleted here.
    """
    put_report(artifacts, incarnation, experiment_id, report)
    try:
        subject()
    except NotFound:
        delete_report(artifacts, incarnation, experiment_id)
        raise


def stored_report(artifacts: ArtifactStore, incarnation: Incarnation, experiment_id: str) -> Mapping[str, Any]:
    """The newest report of an experiment, or of ``DECISIONS``. Raises NotFound where none was computed yet."""
    try:
        report: Mapping[str, Any] = json.loads(artifacts.get(_name(incarnation, experiment_id)))
    except ArtifactError as error:
        raise NotFound("There is no report yet: PUT has one computed") from error
    return report


def delete_report(artifacts: ArtifactStore, incarnation: Incarnation, experiment_id: str) -> None:
    """Delete an experiment's report, if there is one."""
    artifacts.delete_all(_name(incarnation, experiment_id))


def _name(incarnation: Incarnation, experiment_id: str) -> str:
    return f"{reports_of(incarnation)}{experiment_id}.json"
