"""Named resources in DynamoDB: campaigns, filters, schemas and the like, each of a program or of the deployment.

All resources of an owner are one partition, sorted by kind and name. So a list is one Query that reads nothing of
any other owner, and what a program owns goes with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from nextbest.aws.parallel import in_parallel
from nextbest.aws.table import Item, ItemKey, Table, WriteRefused, data, to_json
from nextbest.domain.programs import Incarnation
from nextbest.errors import AlreadyExists, NotFound
from nextbest.store import keys
from nextbest.store.base import ResourceKey


class Resources:
    """The resources of one table."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def create_resource(self, owner: Incarnation, kind: str, name: str, resource: Mapping[str, Any]) -> None:
        """Raises AlreadyExists."""
        try:
            self._table.put(_key(owner, kind, name), {"body_json": {"S": to_json(resource)}}, only_new=True)
        except WriteRefused as refused:
            raise AlreadyExists(f"Another resource with the name {name} already exists.") from refused

    def put_resource(self, owner: Incarnation, kind: str, name: str, resource: Mapping[str, Any]) -> None:
        """Store or replace a resource."""
        self._table.put(_key(owner, kind, name), {"body_json": {"S": to_json(resource)}})

    def replace_resource(self, owner: Incarnation, kind: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
        """Store ``new`` in place of ``old``, which has the same name; False where it was changed meanwhile."""
        values: Item = {":old": {"S": to_json(old)}, ":new": {"S": to_json(new)}}
        try:
            self._table.update(
                _key(owner, kind, old["name"]), "SET body_json = :new", values, condition="body_json = :old"
            )
        except WriteRefused:
            return False
        return True

    def resource(self, owner: Incarnation, kind: str, name: str) -> Mapping[str, Any] | None:
        """A resource by name."""
        return decode_resource(self._table.get(_key(owner, kind, name)))

    def find_resources(self, wanted: Iterable[ResourceKey]) -> dict[ResourceKey, Mapping[str, Any]]:
        """Resources by their keys, in the keys' order; those that exist. A round trip for every 100."""
        key_of = {key: _key(*key) for key in wanted}
        items = self._table.get_all(list(key_of.values()))
        return {key: data(items[item_key]) for key, item_key in key_of.items() if item_key in items}

    def delete_resource(self, owner: Incarnation, kind: str, name: str) -> None:
        """Raises NotFound."""
        if not self._table.delete(_key(owner, kind, name)):
            raise NotFound(f"{kind} {name} does not exist")

    def list_resources(self, owners: Sequence[Incarnation], kind: str) -> Iterator[Mapping[str, Any]]:
        """All resources of a kind of some owners: in the order of the owners, and in each of their names."""
        if len(owners) == 1:
            yield from self._resources(owners[0], kind)
            return
        for resources in in_parallel(lambda owner: list(self._resources(owner, kind)), owners):
            yield from resources

    def _resources(self, owner: Incarnation, kind: str) -> Iterator[Mapping[str, Any]]:
        for item in self._table.query(keys.resources_pk(owner), prefix=keys.resource_prefix(kind)):
            yield data(item)


def _key(owner: Incarnation, kind: str, name: str) -> ItemKey:
    return ItemKey(keys.resources_pk(owner), keys.resource_sk(kind, name))


def decode_resource(item: Item | None) -> Mapping[str, Any] | None:
    """The resource that an item holds."""
    if item is None:
        return None
    resource: Mapping[str, Any] = data(item)
    return resource
