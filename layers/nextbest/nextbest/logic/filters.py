"""A program's named filters: checking, creating and deleting them, for both dialects and the console."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nextbest.domain.access_keys import AccessKey
from nextbest.domain.programs import Incarnation
from nextbest.errors import InvalidInput
from nextbest.filters import BoundFilter, Schema, bind, check_dataset_group, parse
from nextbest.filters.stored import FILTER_NAME, bind_stored, schema_to_json
from nextbest.logic.resources import Resource, add_resource, require_free
from nextbest.store.base import FILTER, ResourceStore

MOST_FILTERS = 30
"""How many filters a program may have: lists read them all."""

_ACTIVE = "ACTIVE"


def filters_of(store: ResourceStore, incarnation: Incarnation) -> list[Resource]:
    """The program's filters as they are stored, in order of their names."""
    return list(store.list_resources([incarnation], FILTER))


def create_filter(
    store: ResourceStore,
    key: AccessKey,
    incarnation: Incarnation,
    name: str,
    expression: str,
    schema: Callable[[], Schema],
    *,
    tags: Mapping[str, str],
    now: float,
    most: int = MOST_FILTERS,
    owner_noun: str = "program",
) -> Resource:
    """Store a new filter of the program. ``schema`` gives what it may name.

    Raises FilterSyntaxError, InvalidInput, AlreadyExists, QuotaExceeded.
    """
    if not FILTER_NAME.fullmatch(name):
        raise InvalidInput(
            "A name has 1 to 63 letters, digits, hyphens and underscores, and begins with a letter or digit",
            field="name",
        )
    require_free(store, key, FILTER, name, [incarnation], most=most, owner_noun=owner_noun)
    bound = bind(parse(expression), schema())
    check_dataset_group([bound, *map(bind_stored, filters_of(store, incarnation))])
    return add_resource(store, FILTER, name, incarnation, filter_members(expression, bound), tags=tags, now=now)


def filter_members(expression: str, bound: BoundFilter) -> dict[str, Any]:
    """What a stored filter holds besides the members of every resource."""
    return {"expression": expression, "schema": schema_to_json(bound), "status": _ACTIVE}


def delete_filter(store: ResourceStore, incarnation: Incarnation, name: str) -> None:
    """Delete a filter of the program. Raises NotFound."""
    store.delete_resource(incarnation, FILTER, name)
