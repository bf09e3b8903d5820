"""Named resources in DynamoDB: campaigns, filters, schemas and the like, each in a namespace.

All resources of a namespace are one partition, sorted by kind and name. So a list is one Query that reads nothing of
any other namespace, and what a program owns goes with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from nextbest.aws.parallel import in_parallel
from nextbest.aws.table import Item, ItemKey, Table, WriteRefused, data, to_json
from nextbest.errors import AlreadyExists, NotFound
from nextbest.store import keys
from nextbest.store.base import Namespace, ResourceKey

_KEYS_PER_READ = 100


class Resources:
    """The resources of one table."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def create_resource(self, namespace: Namespace, kind: str, name: str, resource: Mapping[str, Any]) -> None:
        """Raises AlreadyExists."""
        try:
            self._table.put(_key(namespace, kind, name), {"body_json": {"S": to_json(resource)}}, only_new=True)
        except WriteRefused as refused:
            raise AlreadyExists(f"Another resource with the name {name} already exists.") from refused

    def put_resource(self, namespace: Namespace, kind: str, name: str, resource: Mapping[str, Any]) -> None:
        """Store or replace a resource."""
        self._table.put(_key(namespace, kind, name), {"body_json": {"S": to_json(resource)}})

    def resource(self, namespace: Namespace, kind: str, name: str) -> Mapping[str, Any] | None:
        """A resource by name."""
        return decode_resource(self._table.get(_key(namespace, kind, name)))

    def find_resources(self, wanted: Iterable[ResourceKey]) -> dict[ResourceKey, Mapping[str, Any]]:
        """Resources by their keys, in the keys' order; those that exist. A round trip for every 100."""
        key_of = {key: _key(*key) for key in wanted}
        item_keys = list(key_of.values())
        batches = [item_keys[start : start + _KEYS_PER_READ] for start in range(0, len(item_keys), _KEYS_PER_READ)]
        items = {key: item for batch in in_parallel(self._table.get_many, batches) for key, item in batch.items()}
        return {key: data(items[item_key]) for key, item_key in key_of.items() if item_key in items}

    def delete_resource(self, namespace: Namespace, kind: str, name: str) -> None:
        """Raises NotFound."""
        if not self._table.delete(_key(namespace, kind, name)):
            raise NotFound(f"{kind} {name} does not exist")

    def list_resources(self, namespaces: Sequence[Namespace], kind: str) -> Iterator[Mapping[str, Any]]:
        """All resources of a kind in some namespaces: in the order of the namespaces, and in each of their names."""
        if len(namespaces) == 1:
            yield from self._resources(namespaces[0], kind)
            return
        for resources in in_parallel(lambda namespace: list(self._resources(namespace, kind)), namespaces):
            yield from resources

    def _resources(self, namespace: Namespace, kind: str) -> Iterator[Mapping[str, Any]]:
        for item in self._table.query(keys.resources_pk(namespace), prefix=keys.resource_prefix(kind)):
            yield data(item)


def _key(namespace: Namespace, kind: str, name: str) -> ItemKey:
    return ItemKey(keys.resources_pk(namespace), keys.resource_sk(kind, name))


def decode_resource(item: Item | None) -> Mapping[str, Any] | None:
    """The resource that an item holds."""
    if item is None:
        return None
    resource: Mapping[str, Any] = data(item)
    return resource
