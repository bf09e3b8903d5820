"""What the OpenAPI document says of every route alike: parameters that many share, and how requests are refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

from aws_lambda_powertools.event_handler.openapi.params import Header, Path, Query
from aws_lambda_powertools.event_handler.openapi.types import OpenAPIResponse
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from nextbest.actionhub.errors import BAD_KEY
from nextbest.domain.events import (
    MAX_ASSET_ID_CHARACTERS,
    MAX_EVENT_TYPE_CHARACTERS,
    MAX_LABEL_CHARACTERS,
    MAX_RECOMMENDATION_ID_CHARACTERS,
    MAX_USER_ID_CHARACTERS,
)
from nextbest.domain.ids import NO_CONTROL_CHARACTERS, clean_id

MAX_PAGE_SIZE = 100

Entry = TypeVar("Entry")

Id = Annotated[str, Field(min_length=1, pattern=NO_CONTROL_CHARACTERS)]
# Bounds that the contract does not give are there so that whatever is accepted can be stored (``domain/ids.py``).
# Blanks around an id are cut before it is checked.
Cleaned = BeforeValidator(lambda value: clean_id(value) if isinstance(value, str) else value)
UserIdText = Annotated[Id, Field(max_length=MAX_USER_ID_CHARACTERS), Cleaned]
EventType = Annotated[Id, Field(max_length=MAX_EVENT_TYPE_CHARACTERS), Cleaned]
AssetId = Annotated[Id, Field(max_length=MAX_ASSET_ID_CHARACTERS), Cleaned]
RecommendationId = Annotated[Id, Field(max_length=MAX_RECOMMENDATION_ID_CHARACTERS), Cleaned]
LabelName = Annotated[Id, Field(max_length=MAX_LABEL_CHARACTERS), Cleaned]

ProgramId = Annotated[str, Header(alias="program-id", description="The program that the call is about.")]
UserId = Annotated[str, Path(description="The user, as events name them.", max_length=MAX_USER_ID_CHARACTERS), Cleaned]
Search = Annotated[str, Query(description="Only entries with this text in any field; upper and lower case are alike.")]
PageNumber = Annotated[int, Query(description="Which page, from 1.", ge=1)]
PageSize = Annotated[int, Query(description="How many entries a page has.", ge=1, le=MAX_PAGE_SIZE)]

_RIGHTS = {"read": "read", "write": "write", "admin": "administer"}


class ContractModel(BaseModel):
    """A body of the contract: one description validates it, renders it and documents it."""

    # A call needs two or three of all models: they are made ready at their first use.
    model_config = ConfigDict(defer_build=True)


class Result(ContractModel):
    """What a call that changes something did."""

    result: str


class Refusal(ContractModel):
    """Why a request was refused."""

    detail: str


class ValidationError(ContractModel):
    """One thing that is wrong with a request, and where."""

    loc: Annotated[
        list[str | int], Field(description="path, query, header or body; then the name; then indexes and fields.")
    ]
    msg: str
    type: str
    input: Any = None
    ctx: dict[str, Any] = Field(default_factory=dict)


class HTTPValidationError(ContractModel):
    """Everything that is wrong with a request."""

    detail: list[ValidationError]


def example(**values: Any) -> ConfigDict:
    """A model's configuration with one example for the document."""
    return ConfigDict(json_schema_extra={"examples": [values]})


def page_of(entries: Sequence[Entry], page: int, size: int) -> Sequence[Entry]:
    """The entries of one page of them all."""
    return entries[(page - 1) * size : page * size]


def right_needed(scope: str) -> str:
    return f"Needs a key with the right to {_RIGHTS[scope]}."


def responses(
    *, has_body: bool, not_found: str | None, conflict: str | None, see_other: str | None, media_types: Sequence[str]
) -> dict[int, OpenAPIResponse]:
    """Every status that a route may answer with."""
    done: OpenAPIResponse = {"description": "Done"}
    texts = [media_type for media_type in media_types if media_type.startswith("text/")]
    if texts:
        done["content"] = {media_type: {"schema": {"type": "string"}} for media_type in texts}
    described = {200: done}
    if see_other is not None:
        described[303] = {"description": see_other}
    if has_body:
        described[400] = _refusal("The body cannot be decoded")
    described[403] = _refusal(BAD_KEY)
    if not_found is not None:
        described[404] = _refusal(not_found)
    if conflict is not None:
        described[409] = _refusal(conflict)
    if has_body:
        described[413] = _refusal("The body is larger than 4 MiB")
    described[422] = {
        "description": "What is wrong, and where",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/HTTPValidationError"}}},
    }
    described[429] = _refusal("A limit was reached; try again later")
    described[503] = _refusal("Cannot answer now; try again later")
    return described


def _refusal(description: str) -> OpenAPIResponse:
    return {"description": description, "content": {"application/json": {"model": Refusal}}}
