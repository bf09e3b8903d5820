"""JSON Lines: an object a line. Numbers are taken as they are written, so that no digit of an id or a time is lost."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from nextbest.errors import InvalidInput
from nextbest.event_files.rows import Values

_DECODER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str)


def read_objects(lines: Iterator[str]) -> Iterator[tuple[int, dict[str, object] | str]]:
    """The number of each line that is not blank, and its object or, as text, the reason why it is none."""
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if text:
            yield number, parse_object(text)


def parse_object(text: str) -> dict[str, object] | str:
    """The object in a line or, as text, the reason why it is none."""
    try:
        value = _DECODER.decode(text)
    except (ValueError, RecursionError):
        return "not valid JSON"
    return value if isinstance(value, dict) else "not a JSON object"


def values_of(members: dict[str, object], names: Sequence[str]) -> Values:
    """The values of an object under ``names``, in the order of MEMBERS. Raises InvalidInput for other types."""
    *required, of_labels, of_value = names
    user_id, event_type, asset_id, timestamp = (_text(members, name) for name in required)
    labels = members.get(of_labels)
    labels = labels if isinstance(labels, list) else _text(members, of_labels)
    return user_id, event_type, asset_id, timestamp, labels, _text(members, of_value, "a number")


def _text(members: dict[str, object], name: str, kind: str = "text") -> str | None:
    value = members.get(name)
    if value is None or isinstance(value, str):
        return value
    raise InvalidInput(f"{name} is not {kind}")
