"""Shapes of request members, and the check of a request against them.

SDKs check little before they send (no maximum, no pattern, no enumeration; docs/contracts/personalize.md, section 1.5),
so all of it is checked here, in the words AWS uses. Hot path: standard library alone.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nextbest.errors import InvalidInput

_SHOWN_CHARACTERS = 100


@dataclass(frozen=True, slots=True)
class Text:
    """A string. ``pattern`` must match the whole of it; ``minimum`` and ``maximum`` are its length."""

    minimum: int = 0
    maximum: int | None = None
    pattern: str | None = None
    one_of: tuple[str, ...] = ()

    def check(self, value: Any, path: str) -> str:
        if not isinstance(value, str):
            raise _wrong_type(value, path, "a string")
        if not value.isascii() and not has_utf8_form(value):
            raise InvalidInput(f"Member '{path}' holds text that has no UTF-8 form", field=path)
        if len(value) < self.minimum:
            raise _broken(value, path, f"Member must have length greater than or equal to {self.minimum}")
        if self.maximum is not None and len(value) > self.maximum:
            raise _broken(value, path, f"Member must have length less than or equal to {self.maximum}")
        if self.pattern is not None and re.fullmatch(self.pattern, value) is None:
            raise _broken(value, path, f"Member must satisfy regular expression pattern: {self.pattern}")
        if self.one_of and value not in self.one_of:
            raise _broken(value, path, f"Member must satisfy enum value set: [{', '.join(self.one_of)}]")
        return value


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number; 5.0 is one too, since some JSON writers have no integers."""

    minimum: int | None = None
    maximum: int | None = None

    def check(self, value: Any, path: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
            raise _wrong_type(value, path, "a whole number")
        _check_range(value, path, self.minimum, self.maximum)
        return int(value)


@dataclass(frozen=True, slots=True)
class Number:
    """A number."""

    minimum: float | None = None
    maximum: float | None = None

    def check(self, value: Any, path: str) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _wrong_type(value, path, "a number")
        if isinstance(value, float) and not math.isfinite(value):
            raise _wrong_type(value, path, "a finite number")
        _check_range(value, path, self.minimum, self.maximum)
        return value


@dataclass(frozen=True, slots=True)
class Flag:
    """A boolean."""

    def check(self, value: Any, path: str) -> bool:
        if not isinstance(value, bool):
            raise _wrong_type(value, path, "a boolean")
        return value


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment: a number of seconds since 1970, or text. ``events/times.py`` reads it."""

    def check(self, value: Any, path: str) -> str | int | float:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise _wrong_type(value, path, "seconds since 1970")
        return value


@dataclass(frozen=True, slots=True)
class Listing:
    """A list of ``of``."""

    of: Shape
    minimum: int = 0
    maximum: int | None = None

    def check(self, value: Any, path: str) -> list[Any]:
        if not isinstance(value, list):
            raise _wrong_type(value, path, "a list")
        if len(value) < self.minimum:
            raise _broken(value, path, f"Member must have length greater than or equal to {self.minimum}")
        if self.maximum is not None and len(value) > self.maximum:
            raise _broken(value, path, f"Member must have length less than or equal to {self.maximum}")
        return [self.of.check(member, f"{path}.{place}.member") for place, member in enumerate(value, 1)]


@dataclass(frozen=True, slots=True)
class StringMap:
    """A map from strings to ``of``."""

    key: Text
    of: Shape
    maximum: int | None = None

    def check(self, value: Any, path: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _wrong_type(value, path, "an object")
        if self.maximum is not None and len(value) > self.maximum:
            raise _broken(value, path, f"Member must have length less than or equal to {self.maximum}")
        return {
            self.key.check(key, f"{path}.key"): self.of.check(member, f"{path}.{key}") for key, member in value.items()
        }


@dataclass(init=False, slots=True)
class Members:
    """The members of a structure by name; a name that ends in ``!`` is required. Null counts as absent."""

    members: Mapping[str, Shape]
    required: tuple[str, ...]

    def __init__(self, members: Mapping[str, Shape]) -> None:
        self.members = {name.rstrip("!"): shape for name, shape in members.items()}
        self.required = tuple(name.rstrip("!") for name in members if name.endswith("!"))

    def check(self, value: Any, path: str = "") -> dict[str, Any]:
        """The members that are known and present, checked. Raises InvalidInput; unknown members are ignored."""
        if not isinstance(value, dict):
            raise _wrong_type(value, path, "an object")
        prefix = f"{path}." if path else ""
        for name in self.required:
            if value.get(name) is None:
                raise _broken(None, prefix + name, "Member must not be null")
        return {
            name: shape.check(value[name], prefix + name)
            for name, shape in self.members.items()
            if value.get(name) is not None
        }


Shape = Text | Whole | Number | Flag | Moment | Listing | StringMap | Members


def has_utf8_form(text: str) -> bool:
    """Whether ``text`` can be written: half of a surrogate pair, which JSON can spell, cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_range(value: float, path: str, minimum: float | None, maximum: float | None) -> None:
    if minimum is not None and value < minimum:
        raise _broken(value, path, f"Member must have value greater than or equal to {minimum}")
    if maximum is not None and value > maximum:
        raise _broken(value, path, f"Member must have value less than or equal to {maximum}")


def _broken(value: object, path: str, constraint: str) -> InvalidInput:
    shown = "Value null" if value is None else f"Value '{str(value)[:_SHOWN_CHARACTERS]}'"
    return InvalidInput(
        f"1 validation error detected: {shown} at '{path}' failed to satisfy constraint: {constraint}", field=path
    )


def _wrong_type(value: object, path: str, expected: str) -> InvalidInput:
    place = f"Member '{path}'" if path else "The value"
    return InvalidInput(f"{place} must be {expected}, not {_json_type(value)}", field=path or None)


def _json_type(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return f"the number {value}"
        case str():
            return "a string"
        case list():
            return "a list"
        case _:
            return "an object"
