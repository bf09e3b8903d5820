"""Programs: creating them, their settings, their rebase and its status."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from aws_lambda_powertools.event_handler.openapi.params import Header
from pydantic import Field

from nextbest.actionhub.calls import ResourceRouter
from nextbest.actionhub.documentation import ContractModel, ProgramId, Result
from nextbest.actionhub.errors import InvalidRequest
from nextbest.actionhub.idempotency import IdempotencyKey, once
from nextbest.actionhub.pages import Limit, NextToken, fitting, position_of
from nextbest.actionhub.program_settings import NewProgram, ProgramChanges, ProgramDetails
from nextbest.actionhub.users import time_at
from nextbest.domain.access_keys import ADMIN, READ
from nextbest.domain.programs import Program
from nextbest.logic import programs
from nextbest.logic.authorization import require_operator
from nextbest.web.page_tokens import token_of

MAX_PROGRAM_ID_CHARACTERS = 63

router = ResourceRouter("programs")


class ProgramList(ContractModel):
    """In order of their ids. ``next_token`` is there only in a page that is not the last."""

    programs: list[ProgramDetails]
    next_token: Annotated[str | None, Field(exclude_if=lambda token: token is None)] = None


class ProgramKey(ContractModel):
    """The key is shown only once."""

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


@router.endpoint("PUT", "/program", ADMIN, "Change the program's settings; those that are not sent stay")
def put_program(program_id: ProgramId, body: ProgramChanges) -> Result:
    if body.program_id not in (None, program_id):
        problem = f"The id of a program cannot be changed: the header names {program_id}"
        detail = {"type": "value_error", "loc": ("body", "program_id"), "msg": problem, "input": body.program_id}
        raise InvalidRequest([detail])
    router.call.deployment.store.change_program(router.call.incarnation, body.applied_to)
    return Result(result=f"program {program_id} was changed")


@router.endpoint("PUT", "/program/rebase", ADMIN, "Start to learn the program's model again")
def rebase_program(program_id: ProgramId) -> Result:
    call, deployment = router.call, router.call.deployment
    programs.start_rebase(deployment.store, deployment.start_rebase, call.incarnation, now=call.now)
    return Result(result=f"the rebase of program {program_id} was started; GET /program/status says when it has ended")


@router.endpoint("GET", "/program/status", READ, "How far the rebase is")
def get_program_status(program_id: ProgramId) -> ProgramStatus:
    call = router.call
    status = programs.rebase_status(call.deployment.store, call.incarnation, now=call.now)
    return ProgramStatus(
        program_id=program_id,
        status_id=status.status_id,
        message=status.message,
        ts_logged=time_at(status.timestamp),
    )


@router.endpoint("PUT", "/program/reset", ADMIN, "Clear what is cached and computed; events stay")
def reset_program(program_id: ProgramId) -> Result:
    call, deployment = router.call, router.call.deployment
    removed = programs.reset_program(deployment.store, deployment.artifacts, call.incarnation, now=call.now)
    return Result(result=f"removed {removed} models of program {program_id}; events and assets stay")
