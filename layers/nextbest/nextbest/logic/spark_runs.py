"""Rebases of programs that are too large for one invocation: they go on as a Spark job.

    start_spark_run     the invocation hands its lease over to a job to come, and starts the job
    run_handed_over     the job takes the lease, renews it as long as it works, and releases it
    end_spark_run       ends what the run of a job left unfinished that failed, was cancelled or vanished

The holder of the lease says how far that is: ``<invocation>``, then ``<invocation>/job``, which waits for the job, then
``<invocation>/job/<claim>``, which the job made itself. So an invocation that Lambda tries again knows that it started
a job, and a job that is started twice knows that another one is at work.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Protocol, TypeVar

from nextbest.domain.programs import Incarnation, program_id_of
from nextbest.domain.rebase_status import (
    FAILED,
    LEASE_SECONDS,
    QUEUED,
    RENEWAL_SECONDS,
    SPARK_MINUTES,
    UNFINISHED,
    WAIT_SECONDS,
)
from nextbest.errors import NotFound, Stopped, Unavailable
from nextbest.logic.lease import RebaseEvent, start_waiting
from nextbest.observability import logger
from nextbest.store.base import Status
from nextbest.store.leases import Lease, LeaseStore

T = TypeVar("T")
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
    incarnation, holder = Incarnation(event["incarnation"]), _holder(invocation)
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
    return lease is not None and (lease.holder + "/").startswith(f"{_holder(invocation)}/")


class JobLease:
    """The lease that a Spark job holds: a thread renews it, since nobody knows how long the job takes.

    With it go the signs of life by which others tell that the run is not lost.
    """

    def __init__(self, store: LeaseStore, incarnation: Incarnation, holder: str, clock: Clock) -> None:
        self._store = store
        self._incarnation = incarnation
        self._holder = holder
        self._clock = clock
        self._has_ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True)

    def __enter__(self) -> JobLease:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._has_ended.set()
        self._thread.join()

    def check(self) -> None:
        """Raise Stopped where somebody else has the lease by now, as this run was cancelled or taken for lost.

        Raises NotFound once the program is deleted.
        """
        if not self._renew():
            raise Stopped("the run was stopped: its lease was taken away")

    def _keep(self) -> None:
        while not self._has_ended.wait(RENEWAL_SECONDS):
            with suppress(NotFound):
                if self._renew():
                    continue
            return  # the job sees it at its next check

    def _renew(self) -> bool:
        now = self._clock()
        return self._store.renew_lease(self._incarnation, self._holder, now=now, expires_at=now + LEASE_SECONDS)


def run_handed_over(
    store: LeaseStore,
    event: RebaseEvent,
    invocation: str,
    work: Callable[[JobLease], T],
    start: Start,
    *,
    claim: str,
    clock: Clock,
) -> T | None:
    """Do ``work`` in the Spark job that ``invocation`` started for ``event``; None where it is not to be done.

    It is done once: not by a job that is started twice, nor after the run was ended by others. ``claim`` is this
    process's own, such as random digits; ``start`` invokes the function ``rebase``, for what waited meanwhile. Raises
    NotFound, and what ``work`` and ``start`` raise.
    """
    incarnation, holder = Incarnation(event["incarnation"]), f"{_holder(invocation)}/{claim}"
    until = clock() + LEASE_SECONDS
    if not store.hand_over_lease(incarnation, _holder(invocation), holder, expires_at=until):
        logger.info("not run", program_id=event["program_id"], reason="the lease is not this job's, or no longer")
        return None
    try:
        with JobLease(store, incarnation, holder, clock) as lease:
            return work(lease)
    finally:
        with suppress(NotFound):
            # Where a version was stopped while it waited, there was nothing to do, and nothing has reported that.
            _end_status(store, incarnation, "there was nothing to train", of=(QUEUED,), clock=clock)
        start_waiting(store, incarnation, holder, start, clock=clock)


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
    _end_status(store, incarnation, f"the rebase failed: {reason}", of=UNFINISHED, clock=clock)
    start_waiting(store, incarnation, lease.holder, start, clock=clock)
    return True


def _end_status(store: LeaseStore, incarnation: Incarnation, reason: str, *, of: Collection[str], clock: Clock) -> None:
    """Report that a run failed, where its last report is one ``of`` these statuses."""
    status = store.status(incarnation)
    if status is not None and status.status_id in of:
        store.put_status(Status(incarnation, FAILED, f"{reason}; its last report was: {status.message}", clock()))


def _holder(invocation: str) -> str:
    return f"{invocation}/job"
