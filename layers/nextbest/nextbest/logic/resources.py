"""Named resources of a program: which names are free, and what every new one holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nextbest.domain.access_keys import AccessKey
from nextbest.domain.programs import Incarnation, program_id_of
from nextbest.errors import AlreadyExists, QuotaExceeded
from nextbest.store.base import ResourceKey, ResourceStore

Resource = Mapping[str, Any]


def resources_named(store: ResourceStore, kind: str, name: str, owners: Iterable[Incarnation]) -> list[Resource]:
    """The resources of this kind and name that these owners have."""
    return list(store.find_resources(ResourceKey(owner, kind, name) for owner in owners).values())


def require_free(
    store: ResourceStore,
    key: AccessKey,
    kind: str,
    name: str,
    owners: Sequence[Incarnation],
    *,
    most: int | None,
    owner_noun: str = "program",
) -> None:
    """Raise AlreadyExists for a name that is taken, QuotaExceeded where an owner has ``most`` of the kind already.

    A name is also taken where another program has it that the key names: its holder could not tell the two apart. An
    owner is called ``owner_noun`` in the caller's own words.
    """
    if resources_named(store, kind, name, [*owners, *key.programs]):
        raise AlreadyExists(f"There is a {kind} {name} already")
    if most is None:
        return
    for owner in owners:
        if sum(1 for _ in store.list_resources([owner], kind)) >= most:
            raise QuotaExceeded(f"Cannot create a {kind}. A {owner_noun} has at most {most} {kind}s.")


def add_resource(
    store: ResourceStore,
    kind: str,
    name: str,
    owner: Incarnation,
    members: Mapping[str, Any],
    *,
    tags: Mapping[str, str],
    now: float,
) -> Resource:
    """Store a new resource, with the members of every resource. Raises AlreadyExists."""
    resource = {
        "name": name,
        "program_id": program_id_of(owner),
        "incarnation": owner,
        "created": now,
        "updated": now,
        "tags": dict(tags),
        **members,
    }
    store.create_resource(owner, kind, name, resource)
    return resource
