"""The report of an experiment: from the files of decisions and the event log to a verdict (docs/experiments.md).

Outcomes and their values are those of ``domain/outcomes.py``. Computed in the background, since it reads all decisions
of the experiment and the whole log; kept as one file, which is read until there is a newer one.
"""

from __future__ import annotations

from dataclasses import asdict
from functools import partial

from nextbest.domain.decisions import user_hash
from nextbest.domain.experiments import Experiment, ExperimentKind
from nextbest.domain.programs import Incarnation, Program
from nextbest.lift.columns import ColumnsBuilder, ExperimentColumns
from nextbest.lift.intervals import PLANNED_USERS
from nextbest.lift.report import ExperimentReport, report_experiment
from nextbest.logic.decision_files import stored_decisions
from nextbest.logic.experiments import headline_of, require_started
from nextbest.logic.outcomes import valued_events
from nextbest.logic.programs import present_program
from nextbest.logic.report_files import put_report_of
from nextbest.observability import logger
from nextbest.store.base import ArtifactStore, Store


def compute_report(
    store: Store, artifacts: ArtifactStore, incarnation: Incarnation, experiment_id: str, *, now: float
) -> ExperimentReport:
    """Compute the report of an experiment at ``now`` (seconds since 1970) and keep it.

    Raises NotFound, also where the experiment is deleted meanwhile, and InUse where it was never started.
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
    subject = partial(store.experiment, incarnation, experiment_id)
    put_report_of(artifacts, incarnation, experiment_id, body, subject)
    logger.info("experiment reported", program_id=program.program_id, experiment=experiment_id, users=report.users)
    return report


def columns_of(
    store: Store, artifacts: ArtifactStore, program: Program, experiment: Experiment, *, now: float
) -> ExperimentColumns:
    """The decisions of an experiment that was started, and the outcomes of their users."""
    builder = ColumnsBuilder(_variants(experiment)[0])
    assert experiment.started_at is not None
    ended = now if experiment.stopped_at is None else min(experiment.stopped_at, now)
    for decision in stored_decisions(artifacts, program.incarnation, experiment.started_at, ended):
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
    for event, value in valued_events(store, program):
        if value and event.user_id in hashes:
            builder.add_outcome(
                user=hashes[event.user_id],
                time=event.timestamp,
                action=(event.event_type, event.asset_id),
                value=value,
                recommendation_id=event.recommendation_id or None,
            )
    return builder.build()


def _variants(experiment: Experiment) -> tuple[tuple[str, str], tuple[float, float]]:
    """The names of the variants, the baseline first, and their shares."""
    share = experiment.share
    if experiment.kind is ExperimentKind.HOLDOUT:
        return (experiment.treatment, experiment.control), (share, 1.0 - share)
    return (experiment.control, experiment.treatment), (1.0 - share, share)
