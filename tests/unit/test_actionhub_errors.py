"""From the library's errors to ActionHub's statuses and bodies."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nextbest import errors as library
from nextbest.actionhub.errors import (
    MAX_ERROR_BODY_BYTES,
    BodyTooLarge,
    InvalidRequest,
    UnreadableBody,
    answer,
    render,
    render_detail,
)


def subclasses_of(error_type: type[library.NextbestError]) -> set[type[library.NextbestError]]:
    """Of the library and of this dialect; what the other dialect refuses with never comes here."""
    direct = {child for child in error_type.__subclasses__() if ".personalize." not in child.__module__}
    return direct.union(*(subclasses_of(child) for child in direct))


DETAIL: list[dict[str, Any]] = [
    {"type": "missing", "loc": ("query", "limit"), "msg": "Field required", "input": None},
    {"type": "missing", "loc": ("body", "events", 0, "user_id"), "msg": "Field required", "input": {"a": 1}},
]


@pytest.mark.parametrize(
    ("error", "status", "body"),
    [
        (library.Forbidden("the key lacks write"), 403, {"detail": "Could not validate API KEY"}),
        (library.NotFound("no such thing"), 404, {"detail": "no such thing"}),
        (library.AlreadyExists("taken"), 409, {"detail": "taken"}),
        (library.InUse("in use"), 409, {"detail": "in use"}),
        (library.QuotaExceeded("over the limit"), 429, {"detail": "over the limit"}),
        (UnreadableBody(), 400, {"detail": "There was an error parsing the body"}),
        (BodyTooLarge(), 413, {"detail": "Content Too Large"}),
        (
            library.InvalidInput("bad id", field="program_id"),
            422,
            {"detail": [{"type": "value_error", "loc": ["body", "program_id"], "msg": "bad id", "input": None}]},
        ),
        (InvalidRequest(DETAIL), 422, {"detail": [{**item, "loc": list(item["loc"])} for item in DETAIL]}),
    ],
)
def test_status_and_body_of_an_error_are_the_contracts(error: library.NextbestError, status: int, body: object) -> None:
    actual_status, actual_body = answer(error)
    assert (actual_status, json.loads(actual_body)) == (status, body)


def test_a_defect_of_ours_is_answered_without_internals() -> None:
    for error in library.ArtifactError("models/cafe/7: bad magic"), library.HistoryCorrupt("byte 3"):
        status, body = answer(error)
        assert status == 503
        assert error.message not in body.decode()


def test_every_error_of_the_library_has_a_status() -> None:
    with_messages = subclasses_of(library.NextbestError) - {InvalidRequest, UnreadableBody, BodyTooLarge}
    statuses = {answer(error_type("message"))[0] for error_type in with_messages}
    assert statuses <= {403, 404, 409, 422, 429, 503}


def test_numbers_that_json_lacks_are_null() -> None:
    assert render({"a": [float("nan"), float("-inf"), 0.5]}) == b'{"a":[null,null,0.5]}'


def test_text_without_a_utf8_form_is_escaped() -> None:
    assert json.loads(render({"é": "\ud800"})) == {"é": "\ud800"}


def test_large_inputs_are_left_out_of_many_errors() -> None:
    row = {"x": "y" * 300_000}
    detail = [{"type": "missing", "loc": ("body", "events", 0, str(i)), "msg": "m", "input": row} for i in range(5)]
    errors = json.loads(render_detail(detail))["detail"]
    assert [error["loc"][-1] for error in errors] == ["0", "1", "2", "3", "4"]
    assert all("input" not in error for error in errors)


def test_an_answer_holds_the_first_of_too_many_errors() -> None:
    detail = [{"type": "missing", "loc": ("body", i), "msg": "m" * 100, "input": None} for i in range(20_000)]
    body = render_detail(detail)
    errors = json.loads(body)["detail"]
    assert len(body) <= MAX_ERROR_BODY_BYTES
    assert len(errors) > 1000
    assert [error["loc"][1] for error in errors] == list(range(len(errors)))
