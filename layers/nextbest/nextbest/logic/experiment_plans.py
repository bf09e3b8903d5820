"""The plan of an experiment: how many users its least effect takes, from the events before the start.

Computed in the background, since it reads the whole log, and stored with the draft. Users who were active in one
horizon are followed for the next, as the experiment will follow those who get recommendations. What they do without
the experiment says how much outcomes vary, and what the least effect is in absolute terms.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from nextbest.domain.events import DAY_SECONDS, Event
from nextbest.domain.experiments import Experiment, ExperimentPlan, Measure
from nextbest.domain.programs import Incarnation, Program
from nextbest.errors import InUse
from nextbest.lift.power import users_to_plan
from nextbest.logic.experiments import headline_of, require_draft
from nextbest.logic.outcomes import valued_events
from nextbest.logic.programs import present_program
from nextbest.observability import logger
from nextbest.store.base import ExperimentChange, ProgramState, Store

LEAST_USERS = 100
"""Active users, to know how much outcomes vary."""
LEAST_REACHED = 10
"""Of them, those with an outcome."""


def compute_plan(store: Store, incarnation: Incarnation, experiment_id: str, *, now: float) -> ExperimentPlan:
    """Plan a draft from the events until ``now`` (seconds since 1970), and store the plan with it.

    Raises NotFound, and InUse for an experiment that is no draft, has no least effect, or is changed meanwhile.
    """
    program, planned = present_program(store, incarnation), store.experiment(incarnation, experiment_id)
    require_draft(planned)
    plan = plan_of(program, planned, valued_events(store, program), now=now)

    def keep(_: ProgramState, before: Experiment) -> ExperimentChange:
        require_draft(before)
        if before.planned_by != planned.planned_by:
            raise InUse(f"experiment {experiment_id} was changed while it was planned; plan again")
        return ExperimentChange(replace(before, plan=plan))

    store.change_experiment(incarnation, experiment_id, keep)
    logger.info("experiment planned", program_id=program.program_id, experiment=experiment_id, users=plan.users)
    return plan


def plan_of(
    program: Program, experiment: Experiment, events: Iterable[tuple[Event, float]], *, now: float
) -> ExperimentPlan:
    """The plan that follows from the events of all users, in any order, with their values as outcomes.

    The experiment has a least effect.
    """
    assert experiment.least_effect is not None
    outcomes = _outcomes(events, horizon=experiment.horizon_days * DAY_SECONDS, now=now)
    reached = np.array([count > 0 for count, _ in outcomes], np.float64)
    measured = _measured(headline_of(program, experiment), outcomes)
    if len(measured) < LEAST_USERS:
        return ExperimentPlan(now, len(measured), reason=f"fewer than {LEAST_USERS} users were active before")
    mean, deviation = float(measured.mean()), float(measured.std(ddof=1))
    plan = ExperimentPlan(now, len(measured), mean, deviation)
    if reached.sum() < LEAST_REACHED:
        return replace(plan, reason=f"fewer than {LEAST_REACHED} users had an outcome")
    effect = experiment.least_effect * abs(mean)
    users = users_to_plan(effect, deviation**2 / (experiment.share * (1.0 - experiment.share)))
    if users is None:
        return replace(plan, effect=effect, reason="no number of users could show so small an effect")
    return replace(plan, effect=effect, users=users)


def _measured(headline: Measure, outcomes: list[tuple[int, float]]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array([float(count > 0) if headline == "rate" else value for count, value in outcomes], np.float64)


def _outcomes(events: Iterable[tuple[Event, float]], *, horizon: float, now: float) -> list[tuple[int, float]]:
    """The number and summed value of the outcomes in the last horizon, of each user with events in the one before.

    As in the report, an outcome worth less than nothing is in the sum and not in the number.
    """
    active: set[str] = set()
    sums: dict[str, tuple[int, float]] = {}
    for event, value in events:
        age = now - event.timestamp
        if horizon < age <= 2.0 * horizon:
            active.add(event.user_id)
        elif value and 0.0 <= age <= horizon:
            count, total = sums.get(event.user_id, (0, 0.0))
            sums[event.user_id] = count + (value > 0.0), total + value
    return [sums.get(user_id, (0, 0.0)) for user_id in sorted(active)]
