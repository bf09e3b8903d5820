"""What goes wrong in this dialect, and the one map from the library's errors to ActionHub's wire contract.

InvalidInput
├── InvalidRequest    422, FastAPI's list of what is wrong where
├── UnreadableBody    400, a body that is declared JSON and cannot be decoded at all
└── BodyTooLarge      413
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from nextbest.errors import (
    AlreadyExists,
    Forbidden,
    InUse,
    InvalidInput,
    NextbestError,
    NotFound,
    QuotaExceeded,
    SupersededSecret,
    TooManyRequests,
    Unavailable,
)

USER_HISTORY_NOT_FOUND = "User history not found"
PROGRAM_NOT_FOUND = "Program not found"
KEY_NOT_FOUND = "Key not found"
BAD_KEY = "Could not validate API KEY"
# What Starlette answers where no route matches, and where one does for other methods.
NOT_FOUND = "Not Found"
METHOD_NOT_ALLOWED = "Method Not Allowed"
UNREADABLE_BODY = "There was an error parsing the body"

# Lambda cannot return more than 6 MB, and every error repeats the input that it is about.
MAX_ERROR_BODY_BYTES = 1_000_000

ErrorDetail = dict[str, Any]


class InvalidRequest(InvalidInput):
    """A request that breaks the contract. ``detail`` is FastAPI's list: type, loc, msg, input and ctx of each error."""

    def __init__(self, detail: Sequence[ErrorDetail]) -> None:
        first = detail[0]
        super().__init__(f"{'.'.join(map(str, first['loc']))}: {first['msg']} (errors: {len(detail)})")
        self.detail = tuple(detail)


class UnreadableBody(InvalidInput):
    """A body that says it is JSON and is not text, or is nested or has numbers beyond any reader's limit."""

    def __init__(self) -> None:
        super().__init__(UNREADABLE_BODY)


class BodyTooLarge(InvalidInput):
    """A body over the documented limit."""

    def __init__(self) -> None:
        super().__init__("Content Too Large")


def answer(error: NextbestError) -> tuple[int, bytes]:
    """The status and the JSON body that tell the caller of ``error``.

    Every ``Forbidden`` reads the same, so that a refusal does not tell a closed program from one that does not exist,
    except to a caller who proved to hold a key, about the secret that they sent.
    What is not the caller's fault is a 503 that names no internals.
    """
    match error:
        case InvalidRequest():
            return 422, render_detail(error.detail)
        case UnreadableBody():
            return 400, refusal(error.message)
        case BodyTooLarge():
            return 413, refusal(error.message)
        case QuotaExceeded() | TooManyRequests():
            return 429, refusal(error.message)
        case InvalidInput():
            loc = ["body", *error.field.split(".")] if error.field else ["body"]
            return 422, render_detail([{"type": "value_error", "loc": loc, "msg": error.message, "input": None}])
        case NotFound():
            return 404, refusal(error.message)
        case AlreadyExists() | InUse():
            return 409, refusal(error.message)
        case SupersededSecret():
            return 403, refusal(error.message)
        case Forbidden():
            return 403, refusal(BAD_KEY)
        case Unavailable():
            return 503, refusal("A service that this one depends on did not answer; try again")
        case _:
            return 503, refusal("The model of this program cannot be read; rebase the program")


def refusal(detail: str) -> bytes:
    """The JSON body of every refusal but a 422."""
    return render({"detail": detail})


def render_detail(detail: Sequence[ErrorDetail]) -> bytes:
    """The body of a 422.

    FastAPI repeats the input in every error, which can multiply a large body beyond what Lambda may return: over
    ``MAX_ERROR_BODY_BYTES`` the inputs are left out, and if that is not enough, so are the last errors.
    """
    body = render({"detail": list(detail)})
    if len(body) <= MAX_ERROR_BODY_BYTES:
        return body
    bare = [{key: value for key, value in error.items() if key != "input"} for error in detail]
    body = render({"detail": bare})
    if len(body) <= MAX_ERROR_BODY_BYTES:
        return body
    return render({"detail": bare[: max(1, len(bare) * MAX_ERROR_BODY_BYTES // len(body) // 2)]})


def render(content: object) -> bytes:
    """Compact JSON, as Starlette writes it.

    Where Starlette would fail, this does not: NaN and infinities are written as null, and text that has no UTF-8 form
    (lone surrogates) as escapes.
    """
    try:
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError:
        text = json.dumps(_finite(content), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        return json.dumps(json.loads(text), separators=(",", ":")).encode("ascii")


def _finite(content: object) -> object:
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return content
