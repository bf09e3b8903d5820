"""Experiments of a program: making, changing, starting, stopping and promoting them.

    draft ── start ──> running ── stop ──> stopped
                          └── promote ──> stopped, and its settings are the program's     (a challenger)
    stopped ── promote ──> the same                                                       (a challenger)

A draft can be changed in everything but its id and kind; with a ``least_effect`` it is planned before it starts
(``experiment_plans.py``). A running experiment can only grow, so that nobody leaves the
treatment, and a stopped one only be renamed. Only what does not run can be deleted.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from random import Random
from typing import Any

from nextbest.domain.access_keys import PROGRAM_ID
from nextbest.domain.experiments import (
    MAX_LEAST_EFFECT,
    ChallengerSettings,
    Experiment,
    ExperimentKind,
    ExperimentState,
    HoldoutList,
    Measure,
    conflict_of,
)
from nextbest.domain.ids import check_id
from nextbest.domain.programs import (
    MAX_EVENT_TYPE_NAME_CHARACTERS,
    MAX_EVENT_TYPES,
    MAX_HORIZON_DAYS,
    Incarnation,
    Program,
    program_id_of,
)
from nextbest.errors import ArtifactError, InUse, InvalidInput, QuotaExceeded
from nextbest.logic.models import pointer_to
from nextbest.logic.programs import program_id_for
from nextbest.logic.report_files import delete_report
from nextbest.observability import logger
from nextbest.scoring import Model
from nextbest.store.base import ArtifactStore, ExperimentChange, ExperimentStore, ModelPointer, ProgramState

MAX_EXPERIMENTS = 100
"""Of one program, whether they run or not."""
MAX_NAME_CHARACTERS = 256
MODEL_VERSION = re.compile(r"[0-9]{13}-[0-9a-f]{12}")

_NOT_A_PROGRAM_SETTING = {
    "exploration_weight": "exploration_weight is a setting of campaigns: UpdateCampaign sets explorationWeight",
    "event_types": "event_types is none of the program's settings: name the others in never_recommended (PUT /program)",
    "allow_repeats": "allow_repeats is no setting of the program: each request says it",
}
"""Why a challenger that changes this cannot be promoted, and what to do instead."""


def new_experiment_id(name: str, *, random: Random) -> str:
    """An id made of a name: readable, and with 32 random bits so that names may repeat."""
    return program_id_for(name, random=random)


def create_experiment(
    store: ExperimentStore, artifacts: ArtifactStore, incarnation: Incarnation, experiment: Experiment
) -> None:
    """Store a draft. Raises InvalidInput, AlreadyExists, QuotaExceeded."""
    check(artifacts, incarnation, experiment)
    if sum(1 for _ in store.experiments(incarnation)) >= MAX_EXPERIMENTS:
        raise QuotaExceeded(f"A program has at most {MAX_EXPERIMENTS} experiments; delete one first")
    store.create_experiment(incarnation, experiment)


def check(artifacts: ArtifactStore, incarnation: Incarnation, experiment: Experiment) -> None:
    """Raise InvalidInput for an experiment that could never run; the field is the member's name."""
    _check_members(experiment)
    settings = experiment.challenger
    if experiment.kind is ExperimentKind.HOLDOUT:
        if settings.names:
            raise InvalidInput("A holdout has no challenger", field="challenger")
        return
    if experiment.holdout_list is not HoldoutList.POPULAR:
        raise InvalidInput("Only a holdout has a holdout_list", field="holdout_list")
    if not settings.names:
        raise InvalidInput("A challenger has to change something", field="challenger")
    if settings.model_version is not None:
        try:
            _load(artifacts, pointer_to(incarnation, settings.model_version))
        except ArtifactError as error:
            problem = f"The program has no model {settings.model_version} that can be read: {error.message}"
            raise InvalidInput(problem, field="challenger.model_version") from error


def change_experiment(
    store: ExperimentStore,
    artifacts: ArtifactStore,
    incarnation: Incarnation,
    experiment_id: str,
    members: Mapping[str, Any],
) -> None:
    """Change members of an experiment, by the names of its fields. Raises NotFound, InvalidInput, InUse."""

    def change(_: ProgramState, before: Experiment) -> ExperimentChange:
        after = replace(before, **members)
        if before.state is ExperimentState.DRAFT:
            check(artifacts, incarnation, after)
            return ExperimentChange(after if after.planned_by == before.planned_by else replace(after, plan=None))
        may_change = {"name", "share"} if before.state is ExperimentState.RUNNING else {"name"}
        for name in members:
            if name not in may_change and getattr(after, name) != getattr(before, name):
                raise InUse(f"{name} cannot be changed any more: the experiment is {before.state}")
        _check_members(after)
        if after.share < before.share:
            problem = "The share of an experiment that runs can only grow: who is in the treatment stays in it"
            raise InvalidInput(f"{problem}, and it is {before.share:g} now", field="share")
        return ExperimentChange(after)

    store.change_experiment(incarnation, experiment_id, change)


def start_experiment(
    store: ExperimentStore, artifacts: ArtifactStore, incarnation: Incarnation, experiment_id: str, *, now: float
) -> None:
    """Run a draft from now on. Raises NotFound, and InUse where it cannot run, or not now."""

    def start(state: ProgramState, before: Experiment) -> ExperimentChange:
        if before.state is ExperimentState.RUNNING:
            raise InUse(f"experiment {experiment_id} runs already")
        if before.state is ExperimentState.STOPPED:
            raise InUse(f"experiment {experiment_id} is over; create another, with an id of its own")
        if conflict := conflict_of(before, state.experiments):
            raise InUse(conflict)
        if state.model is None:
            raise InUse("The program has no model yet: rebase it first")
        if before.kind is ExperimentKind.HOLDOUT and before.holdout_list is HoldoutList.POPULAR:
            _require_popular_list(artifacts, state.model)
        if before.challenger.model_version is not None:
            _require_readable(artifacts, pointer_to(incarnation, before.challenger.model_version))
        _require_plan(before)
        running = replace(before, state=ExperimentState.RUNNING, started_at=now)
        return ExperimentChange(replace(running, headline=headline_of(state.program, before)))

    store.change_experiment(incarnation, experiment_id, start)
    logger.info("an experiment runs", program_id=program_id_of(incarnation), experiment=experiment_id)


def headline_of(program: Program, experiment: Experiment) -> Measure:
    """What the verdict is about: what was set, else the value where the program has a goal."""
    return experiment.headline or ("value" if program.goal else "rate")


def require_draft(experiment: Experiment) -> None:
    """Raise InUse for an experiment that cannot be planned: one that was started, or that names no effect."""
    if experiment.state is not ExperimentState.DRAFT:
        raise InUse(f"experiment {experiment.experiment_id} is {experiment.state}: only a draft can be planned")
    if experiment.least_effect is None:
        raise InUse(f"experiment {experiment.experiment_id} has no least_effect to plan for: set it first")


def require_started(experiment: Experiment) -> None:
    """Raise InUse for an experiment of which nothing can be reported yet."""
    if experiment.started_at is None:
        raise InUse(f"experiment {experiment.experiment_id} was not started yet, so there is nothing to report")


def stop_experiment(store: ExperimentStore, incarnation: Incarnation, experiment_id: str, *, now: float) -> None:
    """End an experiment; everybody is served as without it from now on. Raises NotFound, InUse."""

    def stop(_: ProgramState, before: Experiment) -> ExperimentChange:
        if before.state is not ExperimentState.RUNNING:
            raise InUse(f"experiment {experiment_id} does not run: it is {before.state}")
        return ExperimentChange(replace(before, state=ExperimentState.STOPPED, stopped_at=now))

    store.change_experiment(incarnation, experiment_id, stop)
    logger.info("an experiment was stopped", program_id=program_id_of(incarnation), experiment=experiment_id)


def promote_experiment(
    store: ExperimentStore, artifacts: ArtifactStore, incarnation: Incarnation, experiment_id: str, *, now: float
) -> None:
    """Make what a challenger changes the program's own, and end the experiment where it runs.

    A model serves until the next rebase has made a new one. Raises NotFound, and InUse where there is nothing that the
    program could take over.
    """

    def promote(state: ProgramState, before: Experiment) -> ExperimentChange:
        if before.kind is not ExperimentKind.CHALLENGER:
            raise InUse("A holdout has nothing to promote: stop it, and everybody is served by the model")
        if before.state is ExperimentState.DRAFT:
            raise InUse(f"experiment {experiment_id} has not run yet")
        if before.promoted_at is not None:
            raise InUse(f"experiment {experiment_id} was promoted already")
        settings = before.challenger
        if reasons := [_NOT_A_PROGRAM_SETTING[name] for name in sorted(settings.names & _NOT_A_PROGRAM_SETTING.keys())]:
            raise InUse("; ".join(reasons))
        after = replace(
            before,
            state=ExperimentState.STOPPED,
            stopped_at=now if before.stopped_at is None else before.stopped_at,
            promoted_at=now,
        )
        program = _promoted(state.program, settings)
        model = _promoted_model(artifacts, state, settings)
        return ExperimentChange(after, program if program != state.program else None, model)

    store.change_experiment(incarnation, experiment_id, promote)
    logger.info("a challenger was promoted", program_id=program_id_of(incarnation), experiment=experiment_id)


def delete_experiment(
    store: ExperimentStore, artifacts: ArtifactStore, incarnation: Incarnation, experiment_id: str
) -> None:
    """Delete a draft or a stopped experiment, and its report. Raises NotFound, InUse."""

    def delete(_: ProgramState, before: Experiment) -> ExperimentChange:
        if before.state is ExperimentState.RUNNING:
            raise InUse(f"experiment {experiment_id} runs: stop it first")
        # First, so that whatever happens next, a later experiment of this id does not have it.
        delete_report(artifacts, incarnation, experiment_id)
        return ExperimentChange(None)

    store.change_experiment(incarnation, experiment_id, delete)
    delete_report(artifacts, incarnation, experiment_id)  # again, for one that was computed meanwhile


def _check_members(experiment: Experiment) -> None:
    """Raise InvalidInput for the first member that has no value that it may have."""
    settings = experiment.challenger
    floor, exploration, version = settings.action_weight_floor, settings.exploration_weight, settings.model_version
    rules = (
        (
            "experiment_id",
            PROGRAM_ID.fullmatch(experiment.experiment_id),
            "An id has 1 to 63 letters, digits, hyphens and underscores, and begins with a letter or a digit",
        ),
        ("name", 1 <= len(experiment.name) <= MAX_NAME_CHARACTERS, f"A name has 1 to {MAX_NAME_CHARACTERS} characters"),
        ("share", 0.0 < experiment.share < 1.0, "The share of users is above 0 and below 1; 0.1 is 10 %"),
        (
            "horizon_days",
            1 <= experiment.horizon_days <= MAX_HORIZON_DAYS,
            f"The horizon is 1 to {MAX_HORIZON_DAYS} days",
        ),
        ("headline", experiment.headline in (None, "rate", "value"), "The headline is rate or value, or left open"),
        (
            "least_effect",
            experiment.least_effect is None or 0.0 < experiment.least_effect <= MAX_LEAST_EFFECT,
            f"The least effect is above 0 and at most {MAX_LEAST_EFFECT:g}; 0.05 is 5 %",
        ),
        (
            "challenger.model_version",
            version is None or MODEL_VERSION.fullmatch(version),
            "A model's version has 13 digits, a hyphen and 12 hexadecimal digits",
        ),
        (
            "challenger.exploration_weight",
            exploration is None or 0.0 <= exploration <= 1.0,
            "An exploration weight is from 0 to 1",
        ),
        (
            "challenger.action_weight_floor",
            floor is None or (math.isfinite(floor) and floor < 1.0),
            "A floor of action weights is below 1",
        ),
        ("challenger.event_types", settings.event_types != (), "Name at least one event type"),
    )
    for field, holds, problem in rules:
        if not holds:
            raise InvalidInput(problem, field=field)
    for name in ("event_types", "never_recommended"):
        event_types, field = getattr(settings, name) or (), f"challenger.{name}"
        if len(event_types) > MAX_EVENT_TYPES:
            raise InvalidInput(f"Name at most {MAX_EVENT_TYPES} event types", field=field)
        for event_type in event_types:
            try:
                check_id(event_type, max_characters=MAX_EVENT_TYPE_NAME_CHARACTERS, field="An event type")
            except InvalidInput as error:
                raise InvalidInput(error.message, field=field) from error


def _promoted(program: Program, settings: ChallengerSettings) -> Program:
    if settings.action_weight_floor is not None:
        program = replace(program, action_weight_floor=settings.action_weight_floor)
    if settings.never_recommended is not None:
        program = replace(program, never_recommended=settings.never_recommended)
    return program


def _promoted_model(artifacts: ArtifactStore, state: ProgramState, settings: ChallengerSettings) -> ModelPointer | None:
    """The model to serve instead of the present one; None where that stays."""
    if settings.model_version is None:
        return None
    if state.model is None:
        raise InUse("The program was reset: it has no model until the next rebase")
    if state.model.version == settings.model_version:
        return None
    pointer = pointer_to(state.program.incarnation, settings.model_version)
    _require_readable(artifacts, pointer)
    return pointer


def _require_plan(experiment: Experiment) -> None:
    if experiment.least_effect is None:
        return
    if experiment.plan is None:
        raise InUse("The least_effect is not planned for yet: PUT /experiments/{experiment_id}/plan has it computed")
    if experiment.plan.users is None:
        reason = experiment.plan.reason
        raise InUse(f"Nobody knows how many users the least_effect takes: {reason}; plan again, or set it to null")


def _require_popular_list(artifacts: ArtifactStore, pointer: ModelPointer) -> None:
    if _require_readable(artifacts, pointer).base_rates is None:
        raise InUse("The program's model is from before there were holdouts: rebase the program first")


def _require_readable(artifacts: ArtifactStore, pointer: ModelPointer) -> Model:
    try:
        return _load(artifacts, pointer)
    except ArtifactError as error:
        raise InUse(f"The model {pointer.version} cannot be read, and so cannot serve: {error.message}") from error


def _load(artifacts: ArtifactStore, pointer: ModelPointer) -> Model:
    return Model.from_bytes(artifacts.get(pointer.key))
