"""The input of each operation as AWS's own service model has it, as shapes that check requests.

The model is the JSON that botocore makes its clients from. It is read when an operation is first called, so only
functions that serve the control plane pay for it; the hot operations have their shapes written out, and
``tests/unit/test_hot_shapes.py`` compares those with the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from nextbest.aws.clients import service_model
from nextbest.personalize.protocol.shapes import Flag, Listing, Members, Moment, Number, Shape, StringMap, Text, Whole

# Where ours is not the model's. The model is written for Java, whose character classes Python's ``re`` does not know.
PATTERNS = {
    r"\p{ASCII}{0,1500}": r"[\x00-\x7F]*",
    r"^([\p{L}\p{Z}\p{N}_.:/=+\-@]*)$": r"[\w\s.:/=+\-@]*",
}


@cache
def input_shape(service: str, operation: str) -> Members:
    """The members that ``operation`` takes. Raises KeyError for an operation that the service does not have."""
    model = service_model(service)
    structure = model["shapes"][model["operations"][operation]["input"]["shape"]]
    return _members(structure, model["shapes"])


def _shape(name: str, shapes: Mapping[str, Any]) -> Shape:
    shape = shapes[name]
    minimum, maximum = shape.get("min"), shape.get("max")
    match shape["type"]:
        case "string":
            return Text(minimum or 0, maximum, _pattern(shape.get("pattern")), tuple(shape.get("enum", ())))
        case "integer" | "long":
            return Whole(minimum, maximum)
        case "float" | "double":
            return Number(minimum, maximum)
        case "boolean":
            return Flag()
        case "timestamp":
            return Moment()
        case "list":
            return Listing(_shape(shape["member"]["shape"], shapes), minimum or 0, maximum)
        case "map":
            key = _shape(shape["key"]["shape"], shapes)
            assert isinstance(key, Text)
            return StringMap(key, _shape(shape["value"]["shape"], shapes), maximum)
        case "structure":
            return _members(shape, shapes)
        case other:
            raise NotImplementedError(f"{name} is a {other}, which no input of Personalize was when this was written")


def _members(structure: Mapping[str, Any], shapes: Mapping[str, Any]) -> Members:
    required = structure.get("required", ())
    return Members(
        {
            f"{name}!" if name in required else name: _shape(member["shape"], shapes)
            for name, member in structure["members"].items()
        }
    )


def _pattern(pattern: str | None) -> str | None:
    """The pattern without its anchors: the whole text has to match anyway."""
    if pattern is None:
        return None
    return PATTERNS.get(pattern) or pattern.removeprefix("^").removesuffix("$")
