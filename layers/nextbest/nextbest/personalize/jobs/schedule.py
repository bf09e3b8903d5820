"""A run of the schedule: an invocation for each program, so that none waits for another, or fails with it."""

from __future__ import annotations

from collections.abc import Callable

from nextbest.aws.clients import SERVICE_FAILURES
from nextbest.domain.programs import Incarnation
from nextbest.domain.rebase_status import COMPLETE
from nextbest.errors import NextbestError, NotFound, Unavailable
from nextbest.logic.lease import IS_RUNNING, is_training
from nextbest.logic.programs import start_rebase
from nextbest.logic.training_plan import is_learned, scheduled_solutions
from nextbest.observability import logger
from nextbest.store.base import ProgramState, Status
from nextbest.store.leases import LeaseStore

NOTHING_NEW = "no event, import or setting has changed since it was learned"


def start_scheduled(store: LeaseStore, start: Callable[[Incarnation], None], *, now: float) -> list[str]:
    """Have ``start`` begin the rebase of each program of which a solution is to be trained now; their ids.

    The oldest models come first. Programs that are being trained are left alone, and so are those that would learn
    nothing new, of which the status says so. One that cannot be started stops no other. Raises Unavailable in the end
    for those.
    """
    states = store.program_states(store.program_ids())
    leases = store.leases(state.program.incarnation for state in states)
    started, failed = [], []
    for state in sorted(states, key=_age_order):
        program_id = state.program.program_id
        lease = leases.get(state.program.incarnation)
        if is_training(lease, now=now):
            logger.info("not rebased", program_id=program_id, reason=IS_RUNNING)
            continue
        try:
            due = scheduled_solutions(store, state.program, now=now)
            if due and not (lease and lease.left) and is_learned(store, state, due):
                _keep(store, state, now=now)
            elif due:
                start_rebase(store, start, state.program.incarnation, now=now)
                started.append(program_id)
        except NotFound:  # just deleted
            continue
        except (NextbestError, *SERVICE_FAILURES) as error:
            logger.error("a rebase could not be started", program_id=program_id, reason=str(error))
            failed.append(program_id)
    if failed:
        raise Unavailable(f"{len(failed)} of {len(states)} trainings could not be started, {failed[0]} first")
    return started


def _keep(store: LeaseStore, state: ProgramState, *, now: float) -> None:
    """Say that the program's model stays, as there is nothing new to learn."""
    program, version = state.program, state.model.version if state.model else ""
    logger.info("not rebased", program_id=program.program_id, reason=NOTHING_NEW)
    store.put_status(Status(program.incarnation, COMPLETE, f"model {version} is kept: {NOTHING_NEW}", now))


def _age_order(state: ProgramState) -> str:
    """Versions sort by the time a rebase began; programs without a model come first."""
    return state.model.version if state.model else ""
