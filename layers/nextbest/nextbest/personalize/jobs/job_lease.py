"""What a Spark job runs under: the lease that the function ``rebase`` handed over to it (``logic/spark_runs.py``)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

from nextbest.aws.clients import SERVICE_FAILURES
from nextbest.domain.programs import Incarnation
from nextbest.domain.rebase_status import LEASE_SECONDS, QUEUED, RENEWAL_SECONDS, UNFINISHED, is_lost
from nextbest.domain.resource_statuses import CREATE_IN_PROGRESS, STOPPING
from nextbest.errors import NotFound, Stopped
from nextbest.logic.lease import RebaseEvent, start_waiting
from nextbest.logic.spark_runs import end_status, holder_for_job
from nextbest.observability import logger
from nextbest.store.base import VERSION
from nextbest.store.leases import LeaseStore

T = TypeVar("T")
Clock = Callable[[], float]
Start = Callable[[RebaseEvent], None]

_AT_WORK = (CREATE_IN_PROGRESS, STOPPING)


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
        """Renew the lease. Raises Stopped where it is somebody else's by now, as this run was cancelled or taken for
        lost, and NotFound once the program is deleted."""
        if not self._store.hand_over_lease(
            self._incarnation, self._holder, self._holder, expires_at=self._clock() + LEASE_SECONDS
        ):
            raise Stopped("the run was stopped: its lease was taken away")

    def renew(self) -> None:
        """The same, and say that the run goes on: in the program's status, and in the versions that are being trained.

        Neither takes back what another writer says meanwhile.
        """
        self.check()
        now = self._clock()
        status = self._store.status(self._incarnation)
        if status is not None and status.status_id in UNFINISHED:
            self._store.replace_status(status, replace(status, timestamp=now))
        for version in list(self._store.list_resources([self._incarnation], VERSION)):
            if version["status"] in _AT_WORK and not is_lost(now - version["updated"], waiting=False):
                self._store.replace_resource(self._incarnation, VERSION, version, {**version, "updated": now})

    def _keep(self) -> None:
        while not self._has_ended.wait(RENEWAL_SECONDS):
            try:
                self.renew()
            except (NotFound, Stopped):
                return  # as the next check says
            except SERVICE_FAILURES as failure:  # no reason to end a run: the lease lasts until the next renewals
                logger.warning("the lease could not be renewed", reason=str(failure))


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
    incarnation, holder = Incarnation(event["incarnation"]), f"{holder_for_job(invocation)}/{claim}"
    until = clock() + LEASE_SECONDS
    if not store.hand_over_lease(incarnation, holder_for_job(invocation), holder, expires_at=until):
        logger.info("not run", program_id=event["program_id"], reason="the lease is not this job's, or no longer")
        return None
    try:
        with JobLease(store, incarnation, holder, clock) as lease:
            return work(lease)
    finally:
        with suppress(NotFound):
            # Where a version was stopped while it waited, there was nothing to do, and nothing has reported that.
            end_status(store, incarnation, "there was nothing to train", of=(QUEUED,), clock=clock)
        start_waiting(store, incarnation, holder, start, clock=clock)
