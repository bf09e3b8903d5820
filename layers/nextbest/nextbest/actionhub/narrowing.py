"""Narrowing of GET /users/{user_id}/actions: its parameters, and what is wrong with them in FastAPI's shape.

Imported only by requests that have any of them. No pydantic.
"""

from __future__ import annotations

import json
from typing import Any

from nextbest.actionhub.errors import ErrorDetail, InvalidRequest
from nextbest.actionhub.parsing import GetActions, comma_list
from nextbest.domain.actions import Narrowing
from nextbest.errors import FilterSyntaxError, InvalidInput

_PARAMETERS = {"filterExpression": "filter", "filterArn": "filter", "filterValues": "filter_values"}
"""Where the filters' own words for a field differ from this dialect's."""


def read_narrowing(*, event_types: str, exclude_event_types: str, filter: str, filter_values: str) -> Narrowing:
    """The narrowing of a request, from its parameters as they came. Raises InvalidRequest."""
    if filter_values and not filter.strip():
        raise _invalid("filter_values", filter_values, "There are values, but no filter")
    return Narrowing(comma_list(event_types), comma_list(exclude_event_types), filter.strip(), _values(filter_values))


def _values(text: str) -> dict[str, str]:
    if not text:
        return {}
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _invalid("filter_values", text, f"Input should be a JSON object: {error}", "json_invalid") from error
    if not isinstance(values, dict):
        raise _invalid("filter_values", text, "Input should be a JSON object", "dict_type")
    wrong: list[ErrorDetail] = [
        {
            "type": "string_type",
            "loc": ("query", "filter_values", name),
            "msg": "Input should be a valid string",
            "input": value,
        }
        for name, value in values.items()
        if not isinstance(value, str)
    ]
    if wrong:
        raise InvalidRequest(wrong)
    return values


def in_query(error: InvalidInput, query: GetActions) -> InvalidRequest:
    """An error of a narrowing, or of the objective, at the parameter that it is about; ``ctx`` has the place in a
    filter's expression."""
    parameter = _PARAMETERS.get(error.field or "", error.field or "filter")
    sent = query.objective if parameter == "objective" else getattr(query.narrowing, parameter)
    context: dict[str, Any] = {}
    if isinstance(error, FilterSyntaxError) and error.position is not None:
        context = {"ctx": {"position": error.position}}
    message = error.message.removeprefix("Could not create filter. ")
    shown = ",".join(sent) if isinstance(sent, tuple) else sent
    return _invalid(parameter, shown, message, **context)


def _invalid(parameter: str, value: object, message: str, kind: str = "value_error", **more: object) -> InvalidRequest:
    return InvalidRequest([{"type": kind, "loc": ("query", parameter), "msg": message, "input": value, **more}])
