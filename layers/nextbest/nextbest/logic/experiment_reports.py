"""The report of an experiment: from the files of decisions and the event log to a verdict (docs/experiments.md).

Outcomes and their values are those of ``domain/outcomes.py``. Computed in the background, since it reads all decisions
of the experiment and the whole log; kept as one file, which is read until there is a newer one.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

from nextbest.domain.decisions import Decision, user_hash
from nextbest.domain.experiments import Experiment, ExperimentKind
from nextbest.domain.outcomes import action_value_of, outcome_value
from nextbest.domain.programs import Incarnation, Program
from nextbest.errors import InvalidInput
from nextbest.lift.columns import ColumnsBuilder, ExperimentColumns
from nextbest.lift.intervals import PLANNED_USERS
from nextbest.lift.report import ExperimentReport, report_experiment
from nextbest.logic.decision_files import folder_of
from nextbest.logic.experiments import headline_of, require_started
from nextbest.logic.programs import present_program
from nextbest.logic.report_files import put_report
from nextbest.observability import logger
from nextbest.store.base import ArtifactStore, Store


def compute_report(
    store: Store, artifacts: ArtifactStore, incarnation: Incarnation, experiment_id: str, *, now: float
) -> ExperimentReport:
    """Compute the report of an experiment at ``now`` (seconds since 1970) and keep it.

    Raises NotFound, and InUse for an experiment that was never started.
    """
    program, experiment = present_program(store, incarnation), store.experiment(incarnation, experiment_id)
    require_started(experiment)
    assert experiment.started_at is not None
    names, shares = _variants(experiment)
    plan = experiment.plan
    report = report_experiment(
        columns_of(store, artifacts, program, experiment, now=now),
        names=names,
        shares=shares,
        started_at=experiment.started_at,
        stopped_at=experiment.stopped_at,
        horizon_days=experiment.horizon_days,
        now=now,
        headline=headline_of(program, experiment),
        least_effect=None if plan is None else plan.effect,
        planned_users=PLANNED_USERS if plan is None or plan.users is None else plan.users,
    )
    body = {
        "experiment_id": experiment_id,
        "program_id": program.program_id,
        **report.to_json(),
        "least_effect": experiment.least_effect,
        "plan": None if plan is None else asdict(plan),
    }
    put_report(artifacts, incarnation, experiment_id, body)
    logger.info("experiment reported", program_id=program.program_id, experiment=experiment_id, users=report.users)
    return report


def columns_of(
    store: Store, artifacts: ArtifactStore, program: Program, experiment: Experiment, *, now: float
) -> ExperimentColumns:
    """The decisions of an experiment that was started, and the outcomes of their users."""
    builder = ColumnsBuilder(_variants(experiment)[0])
    for decision in _decisions(artifacts, program.incarnation, experiment, now):
        variant = decision.experiments.get(experiment.experiment_id)
        if variant is not None and variant in builder.variants:
            builder.add_decision(
                user=decision.user,
                time=decision.time,
                recommendation_id=decision.recommendation_id,
                variant=variant,
                actions=decision.actions,
            )
    hashes = {user_id: user_hash(salt, user_id) for user_id, salt in store.user_salts(program.incarnation)}
    action_values = {asset.asset_id: action_value_of(asset) for asset in store.assets(program.incarnation)}
    for event in store.scan_logged_events(program.incarnation):
        value = outcome_value(program, event.event_type, event.event_value, action_values.get(event.asset_id))
        if value and event.user_id in hashes:
            builder.add_outcome(
                user=hashes[event.user_id],
                time=event.timestamp,
                action=(event.event_type, event.asset_id),
                value=value,
                recommendation_id=event.recommendation_id or None,
            )
    return builder.build()


def _decisions(
    artifacts: ArtifactStore, incarnation: Incarnation, experiment: Experiment, now: float
) -> Iterator[Decision]:
    """The program's decisions of the days on which the experiment ran, each once. Lines that cannot be read are left
    out with a warning."""
    assert experiment.started_at is not None
    ended = experiment.stopped_at if experiment.stopped_at is not None else now
    seen: set[str] = set()
    for day in _days(experiment.started_at, min(ended, now)):
        for name in artifacts.names(f"{folder_of(incarnation)}{day}/"):
            for line in gzip.decompress(artifacts.get(name)).splitlines():
                try:
                    decision = Decision.from_json(line)
                except InvalidInput as error:
                    logger.warning("a decision cannot be read", file=name, reason=error.message)
                    continue
                if decision.recommendation_id not in seen:
                    seen.add(decision.recommendation_id)
                    yield decision


def _days(begin: float, end: float) -> Iterator[str]:
    """Days of UTC, from that of ``begin`` to that of ``end``."""
    day, last = (datetime.fromtimestamp(time, UTC).date() for time in (begin, end))
    while day <= last:
        yield day.isoformat()
        day += timedelta(days=1)


def _variants(experiment: Experiment) -> tuple[tuple[str, str], tuple[float, float]]:
    """The names of the variants, the baseline first, and their shares."""
    share = experiment.share
    if experiment.kind is ExperimentKind.HOLDOUT:
        return (experiment.treatment, experiment.control), (share, 1.0 - share)
    return (experiment.control, experiment.treatment), (1.0 - share, share)
