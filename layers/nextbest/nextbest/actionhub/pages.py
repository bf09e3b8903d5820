"""Answers in pages: the parameters ``limit`` and ``next_token``, and how much one answer holds."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Annotated, TypeVar

from aws_lambda_powertools.event_handler.openapi.params import Query
from pydantic import BaseModel

from nextbest.actionhub.errors import InvalidRequest
from nextbest.errors import QuotaExceeded
from nextbest.web.page_tokens import position_in

MAX_ROWS = 1000
MAX_TOKEN_CHARACTERS = 2048
MAX_ANSWER_BYTES = 5_900_000
"""Of the rows of an answer, as Lambda returns them: 6 MB at most, with every quotation mark escaped."""

Limit = Annotated[
    int | None,
    Query(
        description="How many entries a page has at most; it may have fewer. An extension: without it all come.",
        ge=1,
        le=MAX_ROWS,
    ),
]
NextToken = Annotated[
    str | None,
    Query(
        description="The next_token of the page before. An extension; it goes with limit.",
        max_length=MAX_TOKEN_CHARACTERS,
    ),
]

Row = TypeVar("Row", bound=BaseModel)


def position_of(
    token: str | None, *, with_limit: bool = True, most_characters: int = MAX_TOKEN_CHARACTERS
) -> str | None:
    """Inverse of ``token_of``. Raises InvalidRequest for what is no token, and for one that came without a limit.

    A position has at most ``most_characters``.
    """
    if token is None:
        return None
    if not with_limit:
        raise refused_token(token, "next_token goes with limit")
    position = position_in(token)
    if position is None or not 0 < len(position) <= most_characters:
        raise refused_token(token)
    return position


def refused_token(token: str | None, problem: str = "This is no next_token of this call") -> InvalidRequest:
    """The refusal of a token."""
    return InvalidRequest([{"type": "value_error", "loc": ("query", "next_token"), "msg": problem, "input": token}])


def fitting(rows: Iterable[Row], *, limit: int | None, what: str) -> list[Row]:
    """As many rows as one answer holds. Raises QuotaExceeded where that is not all, and no page was requested."""
    taken: list[Row] = []
    size = 0
    for row in rows:
        size += _answer_bytes(row)
        if size > MAX_ANSWER_BYTES:
            if limit is None:
                raise QuotaExceeded(
                    f"{what} than the 6 MB of one answer hold: ask for pages with limit={MAX_ROWS}, then send each "
                    "answer's next_token with the next call until there is none"
                )
            if taken:
                break
        taken.append(row)
    return taken


def _answer_bytes(row: BaseModel) -> int:
    return len(json.dumps(row.model_dump_json(), ensure_ascii=False).encode("utf-8", "surrogatepass"))
