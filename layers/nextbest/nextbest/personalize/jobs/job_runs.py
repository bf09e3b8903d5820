"""The runs of Spark jobs, as the function ``rebase`` starts them and learns of their ends.

A job records its training itself, as the function does (``jobs/training_job.py``). This is for what it cannot: that it
waits, was refused, was cancelled, or died.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress

from nextbest.aws.spark_jobs import SparkJobs
from nextbest.domain.programs import Incarnation
from nextbest.errors import NotFound, Unavailable
from nextbest.logic.lease import RebaseEvent
from nextbest.logic.spark_runs import end_spark_run, start_spark_run
from nextbest.observability import logger
from nextbest.personalize.jobs.training import end_trainings
from nextbest.store.leases import LeaseStore

Clock = Callable[[], float]
Start = Callable[[RebaseEvent], None]


def start_job_run(
    store: LeaseStore,
    jobs: SparkJobs,
    event: RebaseEvent,
    invocation: str,
    start: Start,
    *,
    reason: str,
    variables: Mapping[str, str],
    clock: Clock,
) -> None:
    """Have a Spark job do what ``event`` says, under the lease of ``invocation`` (see ``logic/spark_runs.py``).

    Raises NotFound, Unavailable where the run was refused, and ClientError or BotoCoreError where nobody knows.
    """
    try:
        run = start_spark_run(store, jobs, event, invocation, reason=reason, variables=variables, clock=clock)
    except Unavailable as error:
        end_trainings(
            store, Incarnation(event["incarnation"]), event.get("solution_version"), error.message, now=clock()
        )
        raise
    job_run = jobs.find(run)
    if job_run is not None and job_run.has_ended:  # this is a retry, after the job ended: nobody else will be told
        end_job_run(store, jobs, run, start, clock=clock)


def end_job_run(store: LeaseStore, jobs: SparkJobs, run: str, start: Start, *, clock: Clock) -> bool:
    """End what the run of a Spark job left unfinished; False where it left nothing, or the program is gone.

    ``start`` invokes the function ``rebase`` with what waited meanwhile.
    """
    job_run = jobs.find(run)
    if job_run is None:
        return False
    event, invocation = json.loads(job_run.arguments[0]), job_run.arguments[1]
    incarnation, reason = Incarnation(event["incarnation"]), f"its Spark job ended as {job_run.state}"
    if job_run.reason:
        reason += f" ({job_run.reason})"

    def end() -> None:
        end_trainings(store, incarnation, event.get("solution_version"), f"The training failed: {reason}", now=clock())

    is_ended = False
    with suppress(NotFound):  # deleted meanwhile
        is_ended = end_spark_run(store, event, invocation, start, reason=reason, end_trainings=end, clock=clock)
    logger.info("a Spark job ended", job_run=run, state=job_run.state, left_unfinished=is_ended)
    return is_ended
