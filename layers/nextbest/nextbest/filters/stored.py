"""Named filters as they are stored: the expression, and the part of the program's schemas that it depends on.

Hot path: standard library.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from nextbest.filters.bind import BoundFilter, bind
from nextbest.filters.grammar import Dataset
from nextbest.filters.parse import parse
from nextbest.filters.schema import FieldType, Schema

FILTER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
"""The form of a filter's name; no filter can have another."""


def schema_to_json(bound: BoundFilter) -> dict[str, dict[str, str]]:
    """The datasets and fields that ``bound`` names, with their types: enough to bind the same expression again.

    Schemas only ever grow, so an expression that was bound once can always be bound again.
    """
    datasets: dict[str, dict[str, str]] = {}
    for part in bound.parts:
        for conjunction in (*part.alternatives, part.user_conditions):
            for condition in conjunction:
                fields = datasets.setdefault(condition.field.dataset.stored, {})
                fields[condition.field.name] = condition.type
    return datasets


def schema_from_json(datasets: Mapping[str, Mapping[str, str]]) -> Schema:
    """Inverse of ``schema_to_json``."""
    return Schema.declared(
        {
            Dataset(dataset): {name: FieldType(kind) for name, kind in fields.items()}
            for dataset, fields in datasets.items()
        }
    )


def bind_stored(resource: Mapping[str, Any]) -> BoundFilter:
    """The filter that a stored resource holds."""
    return bind(parse(resource["expression"]), schema_from_json(resource["schema"]))
