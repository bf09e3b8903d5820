"""Programs: creating them, their settings, their rebase and its status."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Annotated

from aws_lambda_powertools.event_handler.openapi.params import Header
from pydantic import Field

from nextbest.actionhub.calls import ResourceRouter
from nextbest.actionhub.documentation import Cleaned, ContractModel, Id, ProgramId, Result, example
from nextbest.actionhub.idempotency import IdempotencyKey, once
from nextbest.actionhub.pages import Limit, NextToken, fitting, position_of, token_of
from nextbest.actionhub.users import time_of
from nextbest.domain.access_keys import ADMIN, READ
from nextbest.domain.events import to_microseconds
from nextbest.domain.programs import Program
from nextbest.logic import programs
from nextbest.logic.authorization import require_operator

MAX_PROGRAM_ID_CHARACTERS = 63

router = ResourceRouter("programs")


class NewProgram(ContractModel):
    """The settings of a program."""

    model_config = example(program_name="Coffee shop", event_relevance_decay=90)

    program_id: Annotated[
        str | None,
        Field(
            pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$",
            description="Of a new program: its id, or none to have one made from the name. Else the header counts.",
        ),
    ] = None
    program_name: Annotated[str, Field(min_length=1, max_length=256)]
    high_engagement_threshold: Annotated[
        int, Field(gt=1, le=2**31 - 1, description="Users with so many actions are what the model learns from.")
    ] = 3
    event_relevance_decay: Annotated[
        int, Field(gt=2, le=2**31 - 1, description="Days after which an event counts half.")
    ] = 365
    action_weight_floor: Annotated[
        float, Field(lt=1, allow_inf_nan=False, description="Recommendations weaker than this are left out.")
    ] = 0
    description: Annotated[str, Field(max_length=4096)] = ""
    never_recommended: Annotated[
        list[Annotated[Id, Field(max_length=256), Cleaned]],
        Field(
            default_factory=list,
            exclude_if=lambda event_types: not event_types,
            max_length=100,
            description="Event types that are evidence, but never recommended, such as returns. An extension of the "
            "contract; it takes effect at once.",
        ),
    ]

    def applied_to(self, program: Program) -> Program:
        """The program with these settings; its id stays."""
        return replace(
            program,
            program_name=self.program_name,
            description=self.description,
            half_life_days=self.event_relevance_decay,
            high_engagement_threshold=self.high_engagement_threshold,
            action_weight_floor=self.action_weight_floor,
            never_recommended=tuple(dict.fromkeys(self.never_recommended)),
        )


class ProgramSettings(ContractModel):
    program_id: str
    program_name: str
    high_engagement_threshold: int
    event_relevance_decay: int
    action_weight_floor: float
    description: str


class ProgramDetails(ProgramSettings):
    """The settings of a program; ``never_recommended`` is there only where it was set."""

    never_recommended: Annotated[list[str], Field(default_factory=list, exclude_if=lambda event_types: not event_types)]

    @classmethod
    def of(cls, program: Program) -> ProgramDetails:
        return cls(
            program_id=program.program_id,
            program_name=program.program_name,
            high_engagement_threshold=program.high_engagement_threshold,
            event_relevance_decay=program.half_life_days,
            action_weight_floor=program.action_weight_floor,
            description=program.description,
            never_recommended=list(program.never_recommended),
        )


class ProgramList(ContractModel):
    """In order of their ids. ``next_token`` is there only in a page that is not the last."""

    programs: list[ProgramDetails]
    next_token: Annotated[str | None, Field(exclude_if=lambda token: token is None)] = None


class ProgramKey(ContractModel):
    """The key is shown this once."""

    api_key: str
    program_id: str


class ProgramStatus(ContractModel):
    """``status_id`` is ``program_user_graph_complete`` once a rebase is done."""

    program_id: str
    status_id: str
    message: str
    ts_logged: datetime


@router.endpoint("GET", "/programs", READ, "The programs the key opens", of_program=False)
def get_programs(
    program_id: Annotated[
        str | None, Header(alias="program-id", description="Only this program, of those that the key opens.")
    ] = None,
    limit: Limit = None,
    next_token: NextToken = None,
) -> ProgramList:
    call, store = router.key_call, router.key_call.deployment.store
    position = position_of(next_token, with_limit=limit is not None, most_characters=MAX_PROGRAM_ID_CHARACTERS)
    if limit is None or program_id is not None:
        opened = programs.opened_programs(store, call.key, program_id=program_id)
        rows = map(ProgramDetails.of, opened)
        return ProgramList(programs=fitting(rows, limit=None, what="There are more programs"))
    page, last = programs.page_of_programs(store, call.key, position, limit)
    listed = fitting(map(ProgramDetails.of, page), limit=limit, what="There are more programs")
    return ProgramList(
        programs=listed, next_token=token_of(last if len(listed) == len(page) else listed[-1].program_id)
    )


@router.endpoint(
    "POST",
    "/programs",
    ADMIN,
    "Create a program",
    of_program=False,
    manages_keys=True,
    not_found=None,
    conflict="There is a program of this id, or the call is being made already",
)
def post_programs(body: NewProgram, idempotency_key: IdempotencyKey = None) -> ProgramKey:
    require_operator(router.key_call.key)
    return once(router.key_call, "POST /programs", idempotency_key, body, _create_program, ProgramKey)


def _create_program(body: NewProgram) -> ProgramKey:
    call, deployment = router.key_call, router.key_call.deployment
    program_id = body.program_id or programs.program_id_for(body.program_name, random=deployment.random)
    text = programs.create_program(
        deployment.store,
        body.applied_to(Program(program_id)),
        master_secret=deployment.master_secret(),
        random=deployment.random,
        now=call.now,
    )
    return ProgramKey(api_key=text, program_id=program_id)


@router.endpoint("GET", "/program", READ, "The program's settings")
def get_program(program_id: ProgramId) -> ProgramDetails:
    return ProgramDetails.of(router.call.state.program)


@router.endpoint("PUT", "/program", ADMIN, "Change the program's settings")
def put_program(program_id: ProgramId, body: NewProgram) -> Result:
    router.call.deployment.store.update_program(body.applied_to(router.call.state.program))
    return Result(result=f"program {program_id} was changed")


@router.endpoint("PUT", "/program/rebase", ADMIN, "Start to learn the program's model again")
def rebase_program(program_id: ProgramId) -> Result:
    call, deployment = router.call, router.call.deployment
    programs.start_rebase(deployment.store, deployment.start_rebase, call.incarnation, now=call.now)
    return Result(result=f"the rebase of program {program_id} was started; GET /program/status tells its end")


@router.endpoint("GET", "/program/status", READ, "How far the rebase is")
def get_program_status(program_id: ProgramId) -> ProgramStatus:
    call = router.call
    status = programs.rebase_status(call.deployment.store, call.incarnation, now=call.now)
    return ProgramStatus(
        program_id=program_id,
        status_id=status.status_id,
        message=status.message,
        ts_logged=time_of(to_microseconds(status.timestamp)),
    )


@router.endpoint("PUT", "/program/reset", ADMIN, "Clear what is cached and computed; events stay")
def reset_program(program_id: ProgramId) -> Result:
    call, deployment = router.call, router.call.deployment
    removed = programs.reset_program(deployment.store, deployment.artifacts, call.incarnation)
    return Result(result=f"removed {removed} models of program {program_id}; events and assets stay")
