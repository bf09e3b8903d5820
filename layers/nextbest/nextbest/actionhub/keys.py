"""Access keys: an extension of the ActionHub API."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal, TypeVar

from aws_lambda_powertools.event_handler.openapi.params import Path, Query
from pydantic import AfterValidator, AwareDatetime, ConfigDict, Field

from nextbest.actionhub.calls import ResourceRouter
from nextbest.actionhub.documentation import ContractModel, example
from nextbest.actionhub.errors import KEY_NOT_FOUND, PROGRAM_NOT_FOUND, InvalidRequest
from nextbest.actionhub.idempotency import IdempotencyKey, once
from nextbest.actionhub.pages import Limit, NextToken, fitting, position_of
from nextbest.actionhub.users import time_at
from nextbest.domain.access_keys import ADMIN, AccessKey
from nextbest.domain.ids import NO_CONTROL_CHARACTERS
from nextbest.domain.programs import program_id_of
from nextbest.logic.access_keys import Keyring
from nextbest.web.page_tokens import token_of

MAX_PROGRAMS_OF_A_KEY = 100
MAX_KEY_ID_CHARACTERS = 128
DAY_SECONDS = 24 * 3600
MAX_OVERLAP_SECONDS = 90 * DAY_SECONDS

Entry = TypeVar("Entry", bound=str)
KeyScope = Literal["read", "write", "admin"]
KeyId = Annotated[str, Path(description="The key's id: what stands before the dot.", max_length=MAX_KEY_ID_CHARACTERS)]
OverlapSeconds = Annotated[int, Field(ge=0, le=MAX_OVERLAP_SECONDS)]

router = ResourceRouter("keys")


def _distinct(entries: Sequence[Entry]) -> list[Entry]:
    return list(dict.fromkeys(entries))


class NewKey(ContractModel):
    """What a new key opens, and for what."""

    model_config = ConfigDict(extra="forbid", **example(programs=["coffee"], scopes=["read", "write"], name="web shop"))

    programs: Annotated[
        list[Annotated[str, Field(max_length=63)]],
        Field(max_length=MAX_PROGRAMS_OF_A_KEY, description="None, with the scope admin, opens every program."),
        AfterValidator(_distinct),
    ]
    scopes: Annotated[
        list[KeyScope],
        Field(min_length=1, max_length=3, description="write includes read; admin includes both."),
        AfterValidator(_distinct),
    ]
    name: Annotated[
        str, Field(max_length=256, pattern=NO_CONTROL_CHARACTERS, description="For people; it need not be unique.")
    ] = ""
    ts_expires: Annotated[
        AwareDatetime | None, Field(description="When the key ends, with an offset from UTC. None: only when revoked.")
    ] = None


class Rotation(ContractModel):
    """How to rotate a key; the same as the query parameter."""

    model_config = ConfigDict(extra="forbid")

    overlap_seconds: OverlapSeconds | None = None


class KeyDetails(ContractModel):
    """A key, without its secret. ``active`` is false once it is revoked or expired."""

    key_id: str
    name: str
    programs: list[str]
    scopes: list[str]
    generation: int
    active: bool
    ts_created: Annotated[datetime | None, Field(description="Null for a key that was not made by POST /keys.")]
    ts_previous_expires: Annotated[
        datetime | None, Field(description="Until when the secret from before the last rotation still works.")
    ]
    ts_expires: Annotated[datetime | None, Field(description="When the key ends. Null: only when it is revoked.")]


class KeyList(ContractModel):
    """In order of their ids. ``next_token`` is there only in a page that is not the last."""

    keys: list[KeyDetails]
    next_token: Annotated[str | None, Field(exclude_if=lambda token: token is None)] = None


class KeyWithSecret(KeyDetails):
    """The key is shown only once."""

    api_key: str


def _details(key: AccessKey) -> KeyDetails:
    now = router.key_call.now
    overlaps = len(key.generations(now=now)) > 1
    return KeyDetails(
        key_id=key.key_id,
        name=key.name,
        programs=list(map(program_id_of, key.programs)),
        scopes=list(key.scopes),
        generation=key.generation,
        active=key.is_active(now=now),
        ts_created=time_at(key.created_at) if key.created_at else None,
        ts_previous_expires=time_at(key.previous_expires_at) if overlaps else None,
        ts_expires=time_at(key.expires_at) if key.expires_at is not None else None,
    )


def _with_secret(key: AccessKey, text: str) -> KeyWithSecret:
    return KeyWithSecret(**_details(key).model_dump(), api_key=text)


def _keyring() -> Keyring:
    call = router.key_call
    return Keyring(call.deployment.store, call.key, call.deployment.master_secret())


@router.endpoint(
    "GET",
    "/keys",
    ADMIN,
    "The keys that this one may manage",
    of_program=False,
    manages_keys=True,
    is_extension=True,
    not_found=None,
)
def get_keys(limit: Limit = None, next_token: NextToken = None) -> KeyList:
    position = position_of(next_token, with_limit=limit is not None, most_characters=MAX_KEY_ID_CHARACTERS)
    if limit is None:
        rows = (_details(key) for key in _keyring().managed())
        return KeyList(keys=fitting(rows, limit=None, what="There are more keys"))
    page, last = _keyring().page(position, limit)
    keys = fitting(map(_details, page), limit=limit, what="There are more keys")
    return KeyList(keys=keys, next_token=token_of(last if len(keys) == len(page) else keys[-1].key_id))


@router.endpoint(
    "POST",
    "/keys",
    ADMIN,
    "Create a key",
    of_program=False,
    manages_keys=True,
    is_extension=True,
    not_found=PROGRAM_NOT_FOUND,
    conflict="The call is being made already",
)
def post_keys(body: NewKey, idempotency_key: IdempotencyKey = None) -> KeyWithSecret:
    _keyring()  # refuses callers who may create none before anything is remembered
    return once(router.key_call, "POST /keys", idempotency_key, body, _create_key, KeyWithSecret)


def _create_key(body: NewKey) -> KeyWithSecret:
    call = router.key_call
    key, text = _keyring().create(
        program_ids=tuple(body.programs),
        scopes=tuple(body.scopes),
        name=body.name,
        now=call.now,
        random=call.deployment.random,
        expires_at=body.ts_expires.timestamp() if body.ts_expires is not None else None,
    )
    return _with_secret(key, text)


@router.endpoint(
    "PUT",
    "/keys/{key_id}",
    ADMIN,
    "Give a key a new secret; the old one reads and writes for a while longer",
    of_program=False,
    manages_keys=True,
    is_extension=True,
    not_found=KEY_NOT_FOUND,
    conflict="The key is revoked",
)
def rotate_key(
    key_id: KeyId,
    overlap_seconds: Annotated[
        OverlapSeconds | None,
        Query(
            description="How long the old secret works beside the new one, or in the body; a day where it is not given."
        ),
    ] = None,
    body: Rotation | None = None,
) -> KeyWithSecret:
    in_body = body.overlap_seconds if body is not None else None
    given = [seconds for seconds in (overlap_seconds, in_body) if seconds is not None]
    if len(given) > 1:
        problem = "Give it once: as a query parameter or in the body"
        raise InvalidRequest(
            [{"type": "value_error", "loc": ("query", "overlap_seconds"), "msg": problem, "input": overlap_seconds}]
        )
    seconds = given[0] if given else DAY_SECONDS
    return _with_secret(*_keyring().rotate(key_id, overlap_seconds=seconds, now=router.key_call.now))


@router.endpoint(
    "DELETE",
    "/keys/{key_id}",
    ADMIN,
    "End a key",
    of_program=False,
    manages_keys=True,
    is_extension=True,
    not_found=KEY_NOT_FOUND,
    conflict="The key is the one that the call was made with",
)
def revoke_key(key_id: KeyId) -> KeyDetails:
    return _details(_keyring().revoke(key_id))
