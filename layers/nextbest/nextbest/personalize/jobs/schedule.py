"""A run of the schedule: an invocation for each program, so that none waits for another, or fails with it."""

from __future__ import annotations

from collections.abc import Callable

from nextbest.aws.clients import SERVICE_FAILURES
from nextbest.domain.programs import Incarnation
from nextbest.errors import NextbestError, NotFound, Unavailable
from nextbest.logic.lease import IS_RUNNING, is_training
from nextbest.logic.programs import start_rebase
from nextbest.logic.training_plan import scheduled_solutions
from nextbest.observability import logger
from nextbest.store.base import ProgramState
from nextbest.store.leases import LeaseStore


def start_scheduled(store: LeaseStore, start: Callable[[Incarnation], None], *, now: float) -> list[str]:
    """Have ``start`` begin the rebase of each program of which a solution is to be trained now; their ids.

    The oldest models come first. Programs that are being trained are left alone. One that cannot be started stops no
    other. Raises Unavailable in the end for those.
    """
    states = store.program_states(store.program_ids())
    leases = store.leases(state.program.incarnation for state in states)
    started, failed = [], []
    for state in sorted(states, key=_age_order):
        program_id = state.program.program_id
        if is_training(leases.get(state.program.incarnation), now=now):
            logger.info("not rebased", program_id=program_id, reason=IS_RUNNING)
            continue
        try:
            if scheduled_solutions(store, state.program, now=now):
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


def _age_order(state: ProgramState) -> str:
    """Versions sort by the time a rebase began; programs without a model come first."""
    return state.model.version if state.model else ""
