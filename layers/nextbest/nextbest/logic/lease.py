"""One at a time: what trains a program, or publishes what was learned of it, holds the program's lease meanwhile.

These are rebases, trainings of solution versions, and segments: of two at once one could publish what the other has
replaced. Imports and reports of experiments run beside: an import has rules of its own (``store/imports.py``), and a
report only reads.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TypeVar

from nextbest.domain.programs import Incarnation
from nextbest.domain.rebase_status import LEASE_SECONDS
from nextbest.errors import InUse, NotFound
from nextbest.logic.programs import start_rebase
from nextbest.observability import logger
from nextbest.store.leases import Lease, LeaseStore

T = TypeVar("T")
RebaseEvent = Mapping[str, str]
"""What ``logic.programs.rebase_event`` makes: a program, and what to do with it."""


class HandedOver(Exception):
    """Raised by work that goes on elsewhere, under a lease that was handed over: it is not released here."""


IS_RUNNING = "another rebase of the program is running"
_ATTEMPTS = 5


def run_alone(
    store: LeaseStore,
    event: RebaseEvent,
    holder: str,
    work: Callable[[], T],
    start: Callable[[RebaseEvent], None],
    *,
    clock: Callable[[], float],
) -> T | None:
    """Do ``work``, for which ``event`` was sent, while nothing else trains the program; None where it is not done now.

    Then whoever is at work has ``start`` invoke the function with ``event`` afterwards; but an event of the schedule is
    dropped, as the program is being trained. ``holder`` is the id of the invocation, which is the same when Lambda
    tries it again. Raises NotFound, InUse, Unavailable, and what ``work`` and ``start`` raise.
    """
    incarnation, text = Incarnation(event["incarnation"]), json.dumps(event, sort_keys=True)
    for _ in range(_ATTEMPTS):
        now = clock()
        if store.take_lease(incarnation, holder, text, now=now, expires_at=now + LEASE_SECONDS):
            break
        if "scheduled" in event and is_training(store.leases([incarnation]).get(incarnation), now=now):
            logger.info("not rebased", program_id=event["program_id"], reason=IS_RUNNING)
            return None
        if store.wait_for_lease(incarnation, text, now=now):
            logger.info("waits", program_id=event["program_id"], reason=IS_RUNNING)
            return None
    else:
        raise InUse(f"rebases of {event['program_id']} begin and end all the time")
    is_handed_over = False
    try:
        return work()
    except HandedOver:
        is_handed_over = True
        return None
    finally:
        if not is_handed_over:
            start_waiting(store, incarnation, holder, start, clock=clock)


def is_training(lease: Lease | None, *, now: float) -> bool:
    """Whether a program is being trained, by its lease: it is also held for segments alone."""
    return lease is not None and lease.is_held(now) and "only" not in json.loads(lease.running)


def start_waiting(
    store: LeaseStore,
    incarnation: Incarnation,
    holder: str,
    start: Callable[[RebaseEvent], None],
    *,
    clock: Callable[[], float],
) -> None:
    """Release the lease, and start what waited for it; nothing where somebody else holds it by now."""
    waiting = store.release_lease(incarnation, holder)
    if not waiting:
        return
    for text in waiting:
        event: RebaseEvent = json.loads(text)
        with suppress(NotFound):  # deleted meanwhile
            _start_one(store, incarnation, event, start, clock)
    store.forget_started(incarnation, waiting)


def _start_one(
    store: LeaseStore,
    incarnation: Incarnation,
    event: RebaseEvent,
    start: Callable[[RebaseEvent], None],
    clock: Callable[[], float],
) -> None:
    if event.keys() - {"program_id", "incarnation"}:
        start(event)
    else:  # whoever asked for a rebase reads its status
        start_rebase(store, lambda _: start(event), incarnation, now=clock())
