"""Rebases of programs that are too large for one invocation: they go on as a Spark job.

    start_spark_run     the invocation hands its lease over to a job to come, and starts the job
    run_handed_over     the job takes the lease, renews it as long as it works, and releases it (jobs/job_lease.py)
    end_spark_run       ends what the run of a job left unfinished that failed, was cancelled or vanished

The holder of the lease says how far that is: ``<invocation>``, then ``<invocation>/job``, which waits for the job, then
``<invocation>/job/<claim>``, which the job made itself. So an invocation that Lambda tries again knows that it started
a job, and a job that is started twice knows that another one is at work.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from nextbest.domain.programs import Incarnation, program_id_of
from nextbest.domain.rebase_status import (
    FAILED,
    LEASE_SECONDS,
    QUEUED,
    SPARK_MINUTES,
    UNFINISHED,
    WAIT_SECONDS,
)
from nextbest.errors import Unavailable
from nextbest.logic.lease import RebaseEvent, start_waiting
from nextbest.observability import logger
from nextbest.store.base import Status
from nextbest.store.leases import Lease, LeaseStore

Clock = Callable[[], float]
Start = Callable[[RebaseEvent], None]


class JobRunStarter(Protocol):
    """What starts the runs of Spark jobs (``aws/spark_jobs.py``)."""

    def start(
        self, token: str, *, name: str, arguments: Sequence[str], variables: Mapping[str, str], minutes: int
    ) -> str: ...


def start_spark_run(
    store: LeaseStore,
    jobs: JobRunStarter,
    event: RebaseEvent,
    invocation: str,
    *,
    reason: str,
    variables: Mapping[str, str],
    clock: Clock,
) -> str:
    """Hand the lease of ``invocation`` over to a Spark job that does what ``event`` says, and start it; its run's id.

    Can be repeated: the same invocation starts one run. ``reason`` is why, for the status; ``variables`` are the job's
    environment. Its arguments are the event, as JSON, and the invocation. Raises NotFound, Unavailable where the run
    was refused (the lease is the invocation's again), and what ``jobs`` raises where nobody knows whether it began.
    """
    incarnation, holder = Incarnation(event["incarnation"]), holder_for_job(invocation)
    if store.hand_over_lease(incarnation, invocation, holder, expires_at=clock() + LEASE_SECONDS):
        # Before the job starts, which then reports itself.
        message = f"{reason}; waits for its Spark job to start"
        store.put_status(Status(incarnation, QUEUED, message, clock()))
    try:
        job_run = jobs.start(
            invocation,
            name=f"rebase of {program_id_of(incarnation)}",
            arguments=[json.dumps(event, sort_keys=True), invocation],
            variables=variables,
            minutes=SPARK_MINUTES,
        )
    except Unavailable as error:
        if store.hand_over_lease(incarnation, holder, invocation, expires_at=clock() + LEASE_SECONDS):
            store.put_status(Status(incarnation, FAILED, error.message, clock()))
        raise
    # It may be queued for as long as an invocation may. A job that has begun holds the lease under another name.
    until = clock() + WAIT_SECONDS + LEASE_SECONDS
    store.hand_over_lease(incarnation, holder, holder, expires_at=until, job_run=job_run)
    logger.info("a Spark job was started", program_id=event["program_id"], job_run=job_run, reason=reason)
    return job_run


def is_handed_over(lease: Lease | None, invocation: str) -> bool:
    """Whether ``invocation`` handed the lease over to a Spark job before, in an attempt that Lambda tries again."""
    return lease is not None and (lease.holder + "/").startswith(f"{holder_for_job(invocation)}/")


def end_spark_run(
    store: LeaseStore,
    event: RebaseEvent,
    invocation: str,
    start: Start,
    *,
    reason: str,
    end_trainings: Callable[[], None],
    clock: Clock,
) -> bool:
    """End the run of a job that is no more: its status fails, unless it completed, and what waited is started.

    ``end_trainings`` does the same for what was being trained, before anybody else may train the program. False where
    there is nothing to end, as the job did so itself. Raises NotFound.
    """
    incarnation = Incarnation(event["incarnation"])
    lease = store.leases([incarnation]).get(incarnation)
    if lease is None or not is_handed_over(lease, invocation):
        return False
    end_trainings()
    end_status(store, incarnation, f"the rebase failed: {reason}", of=UNFINISHED, clock=clock)
    start_waiting(store, incarnation, lease.holder, start, clock=clock)
    return True


def job_run_of(store: LeaseStore, incarnation: Incarnation, *, version: str | None = None) -> str | None:
    """The run of the Spark job that trains a program now, or is about to (where given: this version); None if none."""
    lease = store.leases([incarnation]).get(incarnation)
    if lease is None or not lease.job_run:
        return None
    if version is not None and json.loads(lease.running).get("solution_version") != version:
        return None
    return lease.job_run


def end_status(store: LeaseStore, incarnation: Incarnation, reason: str, *, of: Collection[str], clock: Clock) -> None:
    """Report that a run failed, where its last report is one ``of`` these statuses."""
    status = store.status(incarnation)
    if status is not None and status.status_id in of:
        store.put_status(Status(incarnation, FAILED, f"{reason}; its last report was: {status.message}", clock()))


def holder_for_job(invocation: str) -> str:
    return f"{invocation}/job"
