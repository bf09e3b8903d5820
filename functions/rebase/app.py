"""Training: invoked by ``manage`` and by itself for one program, and by the schedule, for which it starts them all."""

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
from nextbest.domain.programs import Incarnation, program_id_of
from nextbest.errors import InUse, InvalidInput, NotFound
from nextbest.logic.lease import run_alone
from nextbest.logic.programs import present_incarnation, present_program, rebase_event
from nextbest.logic.rebase import Rebase
from nextbest.logic.training_plan import AUTOMATIC, MANUAL, scheduled_solutions, solution_in_service
from nextbest.observability import MetricUnit, logger, program_metrics
from nextbest.personalize.jobs.dataset_import import run_import
from nextbest.personalize.jobs.schedule import start_scheduled
from nextbest.personalize.jobs.training import run_version, train_version
from nextbest.store.base import ModelPointer
from nextbest.store.environment import open_artifacts, open_store

STORE = open_store(clock=time.time)
ARTIFACTS = open_artifacts(clock=time.time)
THIS_FUNCTION = AsynchronousFunction(lazily(lambda_client), os.environ["AWS_LAMBDA_FUNCTION_NAME"])
RANDOM = SystemRandom()
MEMORY_BYTES = int(os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]) * 2**20
IMPORT_RULES = ImportRules(os.environ["ARTIFACT_BUCKET"], os.environ["PROGRAM_FOLDERS_BUCKET"])


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Lambda's entry point: an import job, a report or plan, one program (segments alone, or as a version), or all."""
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
    learn = partial(run_job, job, incarnation)
    done = run_alone(STORE, rebase_event(incarnation, **job), invocation, learn, THIS_FUNCTION.start, clock=time.time)
    return done if done is not None else {}


def run_job(event: Mapping[str, Any], incarnation: Incarnation) -> dict[str, Any]:
    """Train the program, or compute its segments, while nobody else does. Raises NotFound."""
    if event.get("only") == "segments":
        work = Rebase(STORE, ARTIFACTS, incarnation, clock=time.time, memory_bytes=MEMORY_BYTES)
        return {"segments": work.refresh_segments().version}
    if "solution_version" in event:
        learn = partial(rebase, incarnation)
        trained = run_version(STORE, ARTIFACTS, incarnation, event["solution_version"], learn, clock=time.time)
        return {"model": trained.version if trained is not None else None}
    if "scheduled" in event:
        return {"models": train_scheduled(incarnation)}
    solution = solution_in_service(STORE, present_program(STORE, incarnation))
    return {"model": train(incarnation, solution, MANUAL).version}


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


def train(incarnation: Incarnation, solution: Mapping[str, Any], training_type: str) -> ModelPointer:
    """Rebase one program, as a new version of ``solution``. Raises NotFound."""
    program = present_program(STORE, incarnation)
    learn = partial(rebase, incarnation)
    return train_version(
        STORE, ARTIFACTS, program, solution, learn, training_type=training_type, random=RANDOM, clock=time.time
    )


def incarnation_in(event: Mapping[str, Any]) -> Incarnation:
    """The program that an event is about; of an id alone, as people send it, the present one. Raises NotFound."""
    if "incarnation" in event:
        return Incarnation(event["incarnation"])
    return present_incarnation(STORE, event["program_id"])


def rebase(incarnation: Incarnation) -> ModelPointer:
    """Rebase one program; logs one line, which records how long it took."""
    began = time.time()
    model = Rebase(STORE, ARTIFACTS, incarnation, clock=time.time, memory_bytes=MEMORY_BYTES).run()
    duration = {"RebaseDuration": (time.time() - began, MetricUnit.Seconds)}
    metrics = program_metrics(duration, now=began, program=program_id_of(incarnation))
    logger.info("rebased", model=model.version, **metrics)
    return model


def train_scheduled(incarnation: Incarnation) -> list[str]:
    """Train the solutions of one program that a run of the schedule trains; the versions of their models."""
    program = present_program(STORE, incarnation)
    try:
        solutions = scheduled_solutions(STORE, program, now=time.time())
        return [train(incarnation, solution, AUTOMATIC).version for solution in solutions]
    except InvalidInput as error:  # nothing to learn from yet, as its status says: no failure, and nothing to try again
        logger.info("not rebased", program_id=program.program_id, reason=error.message)
        return []


def start_one(incarnation: Incarnation) -> None:
    """Have this function train the scheduled solutions of one program, in an invocation of its own."""
    THIS_FUNCTION.start(rebase_event(incarnation, scheduled="yes"))
