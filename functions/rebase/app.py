"""Training: invoked by ``manage`` and by itself for one program, and by the schedule, for which it starts them all.

A program that is too large goes on as a Spark job, where that is deployed; EventBridge reports when such a job failed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from functools import partial
from random import SystemRandom
from typing import Any

from nextbest.aws.clients import lambda_client, lazily, s3_client
from nextbest.aws.functions import AsynchronousFunction
from nextbest.aws.s3_files import S3Files
from nextbest.domain.import_locations import ImportRules
from nextbest.domain.programs import Incarnation
from nextbest.domain.rebase_status import RUN_SECONDS
from nextbest.errors import InUse, InvalidInput, NotFound
from nextbest.logic.lease import HandedOver, run_alone
from nextbest.logic.programs import present_incarnation, rebase_event
from nextbest.logic.rebase import Rebase
from nextbest.logic.rebase_size import NeedsSpark
from nextbest.logic.spark_runs import is_handed_over
from nextbest.logic.trainings import size_in_service
from nextbest.observability import logger
from nextbest.personalize.jobs.dataset_import import run_import
from nextbest.personalize.jobs.schedule import start_scheduled
from nextbest.personalize.jobs.training_job import TrainingJob
from nextbest.store.environment import open_artifacts, open_store

STORE = open_store(clock=time.time)
ARTIFACTS = open_artifacts(clock=time.time)
THIS_FUNCTION = AsynchronousFunction(lazily(lambda_client), os.environ["AWS_LAMBDA_FUNCTION_NAME"])
RANDOM = SystemRandom()
MEMORY_BYTES = int(os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]) * 2**20
SPARK_ABOVE_EVENTS = int(os.environ["SPARK_ABOVE_EVENTS"])
"""0 where Spark is not deployed."""
IMPORT_RULES = ImportRules(os.environ["ARTIFACT_BUCKET"], os.environ["PROGRAM_FOLDERS_BUCKET"])


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Lambda's entry point: an import job, a report or plan, one program (segments alone, or as a version), or all."""
    if "detail-type" in event:
        return end_job_run(event["detail"]["jobRunId"])
    if "cancel_job_run" in event:
        return cancel_job_run(event["cancel_job_run"])
    if "program_id" not in event:
        return {"started": start_scheduled(STORE, start_one, now=time.time())}
    incarnation = incarnation_in(event)
    try:
        return run(event, incarnation, context.aws_request_id)
    except NotFound as error:
        if "incarnation" not in event:
            raise
        # Its owner deleted it meanwhile: no failure, and nothing to try again.
        logger.info("not run", program_id=event["program_id"], reason=error.message)
        return {}


def run(event: Mapping[str, Any], incarnation: Incarnation, invocation: str) -> dict[str, Any]:
    """What one event asks for; nothing where another invocation trains the program. Raises NotFound for one that is
    gone."""
    if "import_job" in event:
        run_import(STORE, S3Files(s3_client()), IMPORT_RULES, incarnation, event["import_job"], clock=time.time)
        return {"import_job": event["import_job"]}
    if "experiment" in event:
        return {"verdict": report(incarnation, event["experiment"])}
    if "plan" in event:
        return {"users": plan(incarnation, event["plan"])}
    if "decisions" in event:
        return {"decisions": report_decisions(incarnation, event.get("model_version"))}
    job = {name: value for name, value in event.items() if name not in ("program_id", "incarnation")}
    learn = partial(run_job, job, incarnation, invocation)
    if SPARK_ABOVE_EVENTS and is_handed_over(STORE.leases([incarnation]).get(incarnation), invocation):
        # Lambda tries again what failed after it handed over the lease: the same job is started once.
        start_job_run(job, incarnation, invocation, "")
        return {}
    done = run_alone(STORE, rebase_event(incarnation, **job), invocation, learn, THIS_FUNCTION.start, clock=time.time)
    return done if done is not None else {}


def run_job(event: Mapping[str, str], incarnation: Incarnation, invocation: str) -> dict[str, Any]:
    """Train the program, or compute its segments, while nobody else does. Raises NotFound, and HandedOver where a Spark
    job does that."""
    try:
        return TrainingJob(STORE, ARTIFACTS, open_rebase, RANDOM, time.time).run(event, incarnation)
    except NeedsSpark as reason:
        start_job_run(event, incarnation, invocation, str(reason))
        raise HandedOver from reason


def start_job_run(event: Mapping[str, str], incarnation: Incarnation, invocation: str, reason: str) -> None:
    """Have a Spark job do what the event asks for, under this invocation's lease. Raises NotFound, Unavailable."""
    # Imported here: few programs take it.
    from nextbest.personalize.jobs import job_runs
    from nextbest.store.environment import open_spark_jobs, variables_of_spark_jobs

    job_runs.start_job_run(
        STORE,
        open_spark_jobs(),
        rebase_event(incarnation, **event),
        invocation,
        THIS_FUNCTION.start,
        reason=reason,
        variables=variables_of_spark_jobs(),
        clock=time.time,
    )


def end_job_run(run: str) -> dict[str, Any]:
    """End what the run of a Spark job left unfinished, which failed or was cancelled."""
    if not SPARK_ABOVE_EVENTS:  # switched off meanwhile
        return {"ended": False}
    from nextbest.personalize.jobs import job_runs
    from nextbest.store.environment import open_spark_jobs

    return {"ended": job_runs.end_job_run(STORE, open_spark_jobs(), run, THIS_FUNCTION.start, clock=time.time)}


def cancel_job_run(run: str) -> dict[str, Any]:
    """Cancel the run of a Spark job, whose training was stopped or whose program was deleted."""
    if not SPARK_ABOVE_EVENTS:
        return {"cancelled": None}
    from nextbest.store.environment import open_spark_jobs

    open_spark_jobs().cancel(run)
    return {"cancelled": run}


def report(incarnation: Incarnation, experiment_id: str) -> str:
    """Compute the report of an experiment; its verdict. Raises NotFound, InUse."""
    # Imported here: it is another part of scipy than a rebase uses.
    from nextbest.logic.experiment_reports import compute_report

    return compute_report(STORE, ARTIFACTS, incarnation, experiment_id, now=time.time()).verdict


def plan(incarnation: Incarnation, experiment_id: str) -> int | None:
    """Plan an experiment; how many users it takes, where that is known. Raises NotFound."""
    from nextbest.logic.experiment_plans import compute_plan

    try:
        return compute_plan(STORE, incarnation, experiment_id, now=time.time()).users
    except InUse as error:  # it was started or changed meanwhile: no failure, and nothing to try again
        logger.info("not planned", experiment=experiment_id, reason=error.message)
        return None


def report_decisions(incarnation: Incarnation, model_version: str | None) -> int | None:
    """Compute the report of a program's decisions; how many there are. Raises NotFound."""
    from nextbest.logic.decision_reports import compute_decision_report

    try:
        now = time.time()
        return compute_decision_report(STORE, ARTIFACTS, incarnation, model_version=model_version, now=now).decisions
    except InvalidInput as error:  # the model was deleted meanwhile: no failure, and nothing to try again
        logger.info("decisions not reported", model=model_version, reason=error.message)
        return None


def incarnation_in(event: Mapping[str, Any]) -> Incarnation:
    """The program that an event is about; of an id alone, as people send it, the present one. Raises NotFound."""
    if "incarnation" in event:
        return Incarnation(event["incarnation"])
    return present_incarnation(STORE, event["program_id"])


def open_rebase(incarnation: Incarnation) -> Rebase:
    """A rebase that takes the memory of this function at most. Raises NeedsSpark where the program's model was learned
    from more than that: its events need not be read first."""
    if SPARK_ABOVE_EVENTS:
        size_in_service(STORE, incarnation).check(MEMORY_BYTES, spark_above_events=SPARK_ABOVE_EVENTS)
    return Rebase(
        STORE,
        ARTIFACTS,
        incarnation,
        clock=time.time,
        memory_bytes=MEMORY_BYTES,
        seconds=RUN_SECONDS,
        spark_above_events=SPARK_ABOVE_EVENTS,
    )


def start_one(incarnation: Incarnation) -> None:
    """Have this function train the scheduled solutions of one program, in an invocation of its own."""
    THIS_FUNCTION.start(rebase_event(incarnation, scheduled="yes"))
