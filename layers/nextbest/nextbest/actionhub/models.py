"""The program's model: what its report says of it, its versions, and which of them serves. An extension of the API."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from nextbest.actionhub.calls import ResourceRouter
from nextbest.actionhub.documentation import ContractModel, ProgramId, Result, example
from nextbest.actionhub.users import time_at
from nextbest.domain.access_keys import ADMIN, READ
from nextbest.logic.model_report import MODES, Drift, ModeQuality, drift_of, quality_of
from nextbest.logic.models import ModelVersion, serve_previous, versions_of

MAX_VERSION_CHARACTERS = 128

router = ResourceRouter("models")


class ModelVersionDetails(ContractModel):
    """A version of the model. ``events`` and ``actions`` that it learned from are null where that was not recorded."""

    version: str
    ts_began: Annotated[datetime | None, Field(description="When the rebase that made it began.")]
    events: int | None
    actions: int | None
    serves: bool
    is_previous: Annotated[bool, Field(description="It served before the one that serves: PUT /program/model.")]


class ModelDetails(ContractModel):
    """What is known of the model that serves. Before the first rebase ``version`` is null and the lists are empty."""

    program_id: str
    version: str | None
    ts_trained: datetime | None
    horizon_days: float | None
    events: int | None
    users: int | None
    actions: int | None
    modes: Annotated[
        list[ModeQuality], Field(description="With repeats and of discoveries alone, on days it had not seen.")
    ]
    drift: Annotated[list[Drift], Field(description="What the model before was expected to see taken, and what was.")]
    notes: list[str]
    versions: Annotated[list[ModelVersionDetails], Field(description="Those that are known, newest first.")]


class ServedVersion(ContractModel):
    """Which version is to serve: the one before, as GET /program/model names it."""

    model_config = ConfigDict(extra="forbid", **example(version="1764396000000-k3v9q2"))

    version: Annotated[
        str | None,
        Field(max_length=MAX_VERSION_CHARACTERS, description="Refused where another one served before. Null: any."),
    ] = None


@router.endpoint(
    "GET", "/program/model", READ, "How good the model is, what it is made of, and its versions", is_extension=True
)
def get_program_model(program_id: ProgramId) -> ModelDetails:
    call = router.call
    served = call.deployment.models.model_of(call.state, now=call.now)
    version, model = served if served is not None else (None, None)
    report: dict[str, Any] = dict(model.report) if model is not None else {}
    return ModelDetails(
        program_id=program_id,
        version=version,
        ts_trained=time_at(model.trained_at) if model is not None else None,
        horizon_days=model.horizon_days if model is not None else None,
        events=report.get("events"),
        users=report.get("users"),
        actions=len(model.actions) if model is not None else None,
        modes=[quality_of(report, mode) for mode in MODES] if model is not None else [],
        drift=drift_of(report),
        notes=report.get("notes", []),
        versions=[_details(each) for each in versions_of(call.deployment.store, call.state, now=call.now)],
    )


@router.endpoint(
    "PUT",
    "/program/model",
    ADMIN,
    "Serve the version before again, until the next rebase; doing so again undoes it",
    is_extension=True,
    conflict="Another version served before, or it cannot be read",
)
def put_program_model(program_id: ProgramId, body: ServedVersion) -> Result:
    call, deployment = router.call, router.call.deployment
    served = serve_previous(deployment.store, deployment.artifacts, call.state, body.version)
    deployment.start_segments(call.incarnation)
    return Result(result=f"program {program_id} serves the model {served.version} until its next rebase")


def _details(version: ModelVersion) -> ModelVersionDetails:
    learned_from = version.training.learned_from if version.training is not None else {}
    return ModelVersionDetails(
        version=version.name,
        ts_began=time_at(version.began) if version.began else None,
        events=learned_from.get("events"),
        actions=learned_from.get("actions"),
        serves=version.serves,
        is_previous=version.is_previous,
    )
