"""Experiments of a program: an extension of the ActionHub API."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal

from aws_lambda_powertools.event_handler.openapi.params import Path
from pydantic import ConfigDict, Field

from nextbest.actionhub.calls import ResourceRouter
from nextbest.actionhub.documentation import ContractModel, ProgramId, Result, example
from nextbest.actionhub.pages import fitting
from nextbest.actionhub.program_settings import (
    EventTypeName,
    HorizonDays,
    NeverRecommended,
    ProgramIdText,
    WeightFloor,
)
from nextbest.actionhub.users import time_at
from nextbest.domain.access_keys import ADMIN, READ
from nextbest.domain.experiments import (
    MAX_LEAST_EFFECT,
    ChallengerSettings,
    Experiment,
    ExperimentKind,
    ExperimentPlan,
    HoldoutList,
)
from nextbest.domain.programs import MAX_EVENT_TYPES
from nextbest.logic import experiments

EXPERIMENT_NOT_FOUND = "Experiment or program not found"
MAX_ID_CHARACTERS = 63
MODEL_VERSION = f"^{experiments.MODEL_VERSION.pattern}$"

ExperimentId = Annotated[str, Path(description="The experiment.", max_length=MAX_ID_CHARACTERS)]
Name = Annotated[str, Field(min_length=1, max_length=experiments.MAX_NAME_CHARACTERS)]
Share = Annotated[
    float,
    Field(
        gt=0,
        lt=1,
        allow_inf_nan=False,
        description="The share of all users who are held out, or who are served by the challenger. While the "
        "experiment runs it can only grow.",
    ),
]
ListOfHoldout = Annotated[
    Literal["popular", "nothing"],
    Field(description="What users who are held out get: what most users did lately, or an empty list."),
]

Headline = Annotated[
    Literal["rate", "value"] | None,
    Field(
        description="What the verdict is about: the share of users with an outcome, or the mean value of a user's "
        "outcomes. Null until the start: value where the program has a goal, else rate."
    ),
]
LeastEffect = Annotated[
    float | None,
    Field(
        gt=0,
        le=MAX_LEAST_EFFECT,
        allow_inf_nan=False,
        description="The smallest effect worth knowing, as a share of what users do without it: 0.05 for 5 % more or "
        "less. An experiment that has one is planned before it starts.",
    ),
]

router = ResourceRouter("experiments")


class Challenger(ContractModel):
    """What the challenger changes, at least one of these; null: as the program, the campaign or the request says."""

    model_config = ConfigDict(extra="forbid")

    model_version: Annotated[
        str | None,
        Field(pattern=MODEL_VERSION, description="A model of the program (x-nextbest-model)."),
    ] = None
    exploration_weight: Annotated[
        float | None, Field(ge=0, le=1, allow_inf_nan=False, description="Of campaigns, in the Personalize dialect.")
    ] = None
    action_weight_floor: WeightFloor | None = None
    event_types: Annotated[
        list[EventTypeName] | None,
        Field(min_length=1, max_length=MAX_EVENT_TYPES, description="The only ones that are recommended."),
    ] = None
    never_recommended: NeverRecommended | None = None
    allow_repeats: Annotated[bool | None, Field(description="In place of what requests say.")] = None

    def settings(self) -> ChallengerSettings:
        """What the challenger changes, as the experiment holds it."""
        return ChallengerSettings(**self.model_dump())


class NewExperiment(ContractModel):
    """A draft: it changes nothing before it is started."""

    model_config = ConfigDict(extra="forbid", **example(name="What the model adds", kind="holdout", share=0.1))

    experiment_id: Annotated[
        ProgramIdText | None,
        Field(description="Where it is missing one is made of the name. It decides who is in which variant."),
    ] = None
    name: Name
    kind: Annotated[
        Literal["holdout", "challenger"],
        Field(description="Whether users are served without the model, or by another model or other settings."),
    ]
    share: Share
    horizon_days: Annotated[
        HorizonDays | None, Field(description="Outcomes count for so long; None: as the program.")
    ] = None
    holdout_list: ListOfHoldout = "popular"
    challenger: Challenger | None = None
    headline: Headline = None
    least_effect: LeastEffect = None


class ExperimentChanges(ContractModel):
    """Members to change; what is not sent stays. Once the experiment runs only the name, and a larger share.

    A draft has to be planned again where its plan depends on what is changed.
    """

    model_config = ConfigDict(extra="forbid", **example(share=0.2))

    # The defaults let them be missing; only what was sent is read.
    name: Annotated[Name, Field(default_factory=str)]
    share: Annotated[Share, Field(default_factory=float)]
    horizon_days: Annotated[HorizonDays, Field(default_factory=int)]
    holdout_list: Annotated[ListOfHoldout, Field(default="popular")]
    challenger: Annotated[Challenger, Field(default_factory=Challenger)]
    headline: Headline = None
    least_effect: LeastEffect = None

    def members(self) -> dict[str, Any]:
        """What was sent, by the names and types of the experiment's fields."""
        members = {name: getattr(self, name) for name in self.model_fields_set}
        if "challenger" in members:
            members["challenger"] = self.challenger.settings()
        if "holdout_list" in members:
            members["holdout_list"] = HoldoutList(self.holdout_list)
        return members


class ChallengerDetails(ContractModel):
    """What the challenger changes; what it leaves is not there."""

    model_version: Annotated[str | None, Field(exclude_if=lambda value: value is None)] = None
    exploration_weight: Annotated[float | None, Field(exclude_if=lambda value: value is None)] = None
    action_weight_floor: Annotated[float | None, Field(exclude_if=lambda value: value is None)] = None
    event_types: Annotated[list[str] | None, Field(exclude_if=lambda value: value is None)] = None
    never_recommended: Annotated[list[str] | None, Field(exclude_if=lambda value: value is None)] = None
    allow_repeats: Annotated[bool | None, Field(exclude_if=lambda value: value is None)] = None


class PlanDetails(ContractModel):
    """How many ``users`` of both variants show the least effect with a chance of 80 %; null for the ``reason``.

    ``effect`` is that effect in the units of the headline. It follows from the ``mean`` and ``deviation`` of the
    outcomes of ``active_users`` before the start.
    """

    ts_made: datetime
    active_users: int
    mean: float | None
    deviation: float | None
    effect: float | None
    users: int | None
    reason: str

    @classmethod
    def of(cls, plan: ExperimentPlan) -> PlanDetails:
        members = asdict(plan)
        return cls(ts_made=time_at(members.pop("made_at")), **members)


class ExperimentDetails(ContractModel):
    """An experiment. ``holdout_list`` is there for holdouts, ``challenger`` for challengers."""

    experiment_id: str
    name: str
    kind: Literal["holdout", "challenger"]
    state: Literal["draft", "running", "stopped"]
    share: float
    variants: Annotated[list[str], Field(description="The one that share of the users are in comes first.")]
    horizon_days: int
    holdout_list: Annotated[Literal["popular", "nothing"] | None, Field(exclude_if=lambda value: value is None)] = None
    challenger: Annotated[ChallengerDetails | None, Field(exclude_if=lambda value: value is None)] = None
    headline: Headline
    least_effect: LeastEffect
    plan: PlanDetails | None
    ts_created: datetime
    ts_started: datetime | None
    ts_stopped: datetime | None
    ts_promoted: datetime | None

    @classmethod
    def of(cls, experiment: Experiment) -> ExperimentDetails:
        is_holdout = experiment.kind is ExperimentKind.HOLDOUT
        return cls(
            experiment_id=experiment.experiment_id,
            name=experiment.name,
            kind=experiment.kind.value,
            state=experiment.state.value,
            share=experiment.share,
            variants=[experiment.treatment, experiment.control],
            horizon_days=experiment.horizon_days,
            holdout_list=experiment.holdout_list.value if is_holdout else None,
            challenger=None if is_holdout else ChallengerDetails(**experiment.challenger.to_json()),
            headline=experiment.headline,
            least_effect=experiment.least_effect,
            plan=None if experiment.plan is None else PlanDetails.of(experiment.plan),
            ts_created=time_at(experiment.created_at),
            ts_started=_time(experiment.started_at),
            ts_stopped=_time(experiment.stopped_at),
            ts_promoted=_time(experiment.promoted_at),
        )


class ExperimentList(ContractModel):
    """In order of their ids."""

    experiments: list[ExperimentDetails]


@router.endpoint("GET", "/experiments", READ, "The program's experiments", is_extension=True)
def get_experiments(program_id: ProgramId) -> ExperimentList:
    call = router.call
    rows = map(ExperimentDetails.of, call.deployment.store.experiments(call.incarnation))
    return ExperimentList(experiments=fitting(rows, limit=None, what="There are more experiments"))


@router.endpoint(
    "POST",
    "/experiments",
    ADMIN,
    "Draft an experiment",
    is_extension=True,
    conflict="There is an experiment of this id",
)
def post_experiments(program_id: ProgramId, body: NewExperiment) -> ExperimentDetails:
    call, deployment = router.call, router.call.deployment
    experiment = Experiment(
        body.experiment_id or experiments.new_experiment_id(body.name, random=deployment.random),
        body.name,
        ExperimentKind(body.kind),
        body.share,
        body.horizon_days or call.state.program.horizon_days,
        call.now,
        holdout_list=HoldoutList(body.holdout_list),
        challenger=body.challenger.settings() if body.challenger is not None else ChallengerSettings(),
        headline=body.headline,
        least_effect=body.least_effect,
    )
    experiments.create_experiment(deployment.store, deployment.artifacts, call.incarnation, experiment)
    return ExperimentDetails.of(experiment)


@router.endpoint(
    "GET",
    "/experiments/{experiment_id}",
    READ,
    "One experiment",
    is_extension=True,
    not_found=EXPERIMENT_NOT_FOUND,
)
def get_experiment(program_id: ProgramId, experiment_id: ExperimentId) -> ExperimentDetails:
    return _current(experiment_id)


@router.endpoint(
    "PUT",
    "/experiments/{experiment_id}",
    ADMIN,
    "Change an experiment; what is not sent stays",
    is_extension=True,
    not_found=EXPERIMENT_NOT_FOUND,
    conflict="That cannot be changed any more, or somebody else changed the experiment at the same time",
)
def put_experiment(program_id: ProgramId, experiment_id: ExperimentId, body: ExperimentChanges) -> ExperimentDetails:
    call, deployment = router.call, router.call.deployment
    experiments.change_experiment(
        deployment.store, deployment.artifacts, call.incarnation, experiment_id, body.members()
    )
    return _current(experiment_id)


@router.endpoint(
    "DELETE",
    "/experiments/{experiment_id}",
    ADMIN,
    "Delete an experiment that does not run",
    is_extension=True,
    not_found=EXPERIMENT_NOT_FOUND,
    conflict="The experiment runs",
)
def delete_experiment(program_id: ProgramId, experiment_id: ExperimentId) -> Result:
    call = router.call
    experiments.delete_experiment(call.deployment.store, call.deployment.artifacts, call.incarnation, experiment_id)
    return Result(result=f"experiment {experiment_id} was deleted")


@router.endpoint(
    "PUT",
    "/experiments/{experiment_id}/start",
    ADMIN,
    "Run a draft from now on",
    is_extension=True,
    not_found=EXPERIMENT_NOT_FOUND,
    conflict="The experiment cannot run, or not now",
)
def start_experiment(program_id: ProgramId, experiment_id: ExperimentId) -> ExperimentDetails:
    call, deployment = router.call, router.call.deployment
    experiments.start_experiment(deployment.store, deployment.artifacts, call.incarnation, experiment_id, now=call.now)
    return _current(experiment_id)


@router.endpoint(
    "PUT",
    "/experiments/{experiment_id}/stop",
    ADMIN,
    "End an experiment; everybody is served as without it from now on",
    is_extension=True,
    not_found=EXPERIMENT_NOT_FOUND,
    conflict="The experiment does not run",
)
def stop_experiment(program_id: ProgramId, experiment_id: ExperimentId) -> ExperimentDetails:
    call = router.call
    experiments.stop_experiment(call.deployment.store, call.incarnation, experiment_id, now=call.now)
    return _current(experiment_id)


@router.endpoint(
    "PUT",
    "/experiments/{experiment_id}/promote",
    ADMIN,
    "Make what a challenger changes the program's own, and end the experiment",
    is_extension=True,
    not_found=EXPERIMENT_NOT_FOUND,
    conflict="The experiment has nothing that the program could take over",
)
def promote_experiment(program_id: ProgramId, experiment_id: ExperimentId) -> ExperimentDetails:
    call, deployment = router.call, router.call.deployment
    experiments.promote_experiment(
        deployment.store, deployment.artifacts, call.incarnation, experiment_id, now=call.now
    )
    return _current(experiment_id)


def _current(experiment_id: str) -> ExperimentDetails:
    call = router.call
    return ExperimentDetails.of(call.deployment.store.experiment(call.incarnation, experiment_id))


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else time_at(seconds)
