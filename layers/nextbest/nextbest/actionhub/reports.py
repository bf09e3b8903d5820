"""Reports that are computed in the background: an extension of the ActionHub API."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from nextbest.actionhub.calls import ResourceRouter
from nextbest.actionhub.documentation import ContractModel, ProgramId, Result, example
from nextbest.actionhub.experiments import EXPERIMENT_NOT_FOUND, MODEL_VERSION, ExperimentId
from nextbest.domain.access_keys import ADMIN, READ
from nextbest.logic.experiments import require_draft, require_started
from nextbest.logic.models import model_of_version
from nextbest.logic.report_files import DECISIONS, stored_report

router = ResourceRouter("experiments")
decisions_router = ResourceRouter("decisions")


class ReportDetails(ContractModel):
    """What an experiment shows at the time ``now`` (seconds since 1970), as docs/experiments.md explains it.

    Of the ``users`` who entered, ``complete_users`` were followed for the whole horizon and are compared;
    ``moved_users`` had decisions of more than one variant.
    """

    program_id: str
    experiment_id: str
    now: float
    users: int
    complete_users: int
    moved_users: int
    sample_ratio: Annotated[dict[str, Any], Field(description="Whether users came in the shares that were set.")]
    headline: Literal["rate", "value"]
    least_effect: Annotated[float | None, Field(description="As the experiment has it.")] = None
    plan: Annotated[dict[str, Any] | None, Field(description="How many users it takes, as before the start.")] = None
    verdict: str
    is_decided: bool
    measures: Annotated[list[dict[str, Any]], Field(description="Variants, comparisons and forecasts by measure.")]
    credited: Annotated[list[dict[str, Any]], Field(description="Outcomes after decisions: no effect by itself.")]
    days: Annotated[
        list[dict[str, Any]],
        Field(
            default_factory=list,
            description="Each variant by the end of each day: users whose horizon was over, outcomes, value.",
        ),
    ]


@router.endpoint(
    "PUT",
    "/experiments/{experiment_id}/plan",
    ADMIN,
    "Have computed how many users the least effect of a draft takes",
    is_extension=True,
    not_found=EXPERIMENT_NOT_FOUND,
    conflict="The experiment is no draft, or has no least_effect",
)
def put_experiment_plan(program_id: ProgramId, experiment_id: ExperimentId) -> Result:
    call, deployment = router.call, router.call.deployment
    require_draft(deployment.store.experiment(call.incarnation, experiment_id))
    deployment.start_report(call.incarnation, plan=experiment_id)
    return Result(result="the plan is being computed; it is the experiment's once its ts_made is after this call")


@router.endpoint(
    "PUT",
    "/experiments/{experiment_id}/report",
    ADMIN,
    "Have the report of an experiment computed",
    is_extension=True,
    not_found=EXPERIMENT_NOT_FOUND,
    conflict="The experiment was not started yet",
)
def put_experiment_report(program_id: ProgramId, experiment_id: ExperimentId) -> Result:
    call, deployment = router.call, router.call.deployment
    require_started(deployment.store.experiment(call.incarnation, experiment_id))
    deployment.start_report(call.incarnation, experiment=experiment_id)
    return Result(result="the report is being computed; GET answers it once its now is after this call")


@router.endpoint(
    "GET",
    "/experiments/{experiment_id}/report",
    READ,
    "The newest report of an experiment: the lift, with its interval and a verdict",
    is_extension=True,
    not_found="Experiment, program or report not found",
)
def get_experiment_report(program_id: ProgramId, experiment_id: ExperimentId) -> ReportDetails:
    call, deployment = router.call, router.call.deployment
    deployment.store.experiment(call.incarnation, experiment_id)
    return ReportDetails(**stored_report(deployment.artifacts, call.incarnation, experiment_id))


class DecisionReportRequest(ContractModel):
    """What is to be reported besides growth weights against what came true."""

    model_config = ConfigDict(extra="forbid", **example(model_version="1764396000000-0123456789ab"))

    model_version: Annotated[
        str | None,
        Field(pattern=MODEL_VERSION, description="A model of the program, to be judged by what was drawn."),
    ] = None


class DecisionReportDetails(ContractModel):
    """What is known of the decisions of the ``days`` before ``now`` (seconds since 1970), as docs/decisions-log.md
    explains it. ``user_share`` of the users were looked at; ``held_out`` decisions are no model's."""

    program_id: str
    now: float
    days: int
    decisions: int
    held_out: int
    user_share: float
    horizon_days: int
    weeks: Annotated[
        list[dict[str, Any]], Field(description="Growth weights against what came true, by week and by size.")
    ]
    candidate: Annotated[
        dict[str, Any] | None, Field(description="What the model_version would have reached, or the reason why not.")
    ]


@decisions_router.endpoint(
    "PUT", "/program/decisions/report", ADMIN, "Have the report of the program's decisions computed", is_extension=True
)
def put_decision_report(program_id: ProgramId, body: DecisionReportRequest) -> Result:
    call, deployment = decisions_router.call, decisions_router.call.deployment
    job = {"decisions": "report"}
    if body.model_version is not None:
        model_of_version(deployment.artifacts, call.incarnation, body.model_version)
        job["model_version"] = body.model_version
    deployment.start_report(call.incarnation, **job)
    return Result(result="the report is being computed; GET answers it once its now is after this call")


@decisions_router.endpoint(
    "GET",
    "/program/decisions/report",
    READ,
    "The newest report of decisions: growth weights against what came true, and a model that never served",
    is_extension=True,
    not_found="Program or report not found",
)
def get_decision_report(program_id: ProgramId) -> DecisionReportDetails:
    call = decisions_router.call
    return DecisionReportDetails(**stored_report(call.deployment.artifacts, call.incarnation, DECISIONS))
