"""Where an input's fields come from: markers on the annotations of the dataclasses in ``inputs.py``.

They say what FastAPI's ``Path``, ``Query``, ``Header`` and ``Body`` say, without importing pydantic: the hot path
builds the dataclasses, and only validation and the OpenAPI document read the markers.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bounds:
    """Constraints on one value, with pydantic's names and meaning. None: not constrained."""

    ge: float | None = None
    le: float | None = None
    max_length: int | None = None
    allow_inf_nan: bool | None = None


@dataclass(frozen=True, slots=True)
class Path:
    """A segment of the path, named as the field."""

    description: str
    bounds: Bounds = Bounds()


@dataclass(frozen=True, slots=True)
class Query:
    """A query parameter, named as the field. Repeated: the last one counts."""

    description: str
    bounds: Bounds = Bounds()


@dataclass(frozen=True, slots=True)
class Header:
    """A header, named as the field with hyphens for underscores."""

    description: str
    bounds: Bounds = Bounds()


@dataclass(frozen=True, slots=True)
class Body:
    """The JSON body: an instance of the model ``schema`` of ``schemas.py``; its ``to_domain()`` fills the field."""

    schema: str


Marker = Path | Query | Header | Body
