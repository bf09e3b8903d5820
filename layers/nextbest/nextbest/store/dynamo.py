"""The store on DynamoDB: histories and configuration in one table, and the read in one round trip."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nextbest.aws.table import ItemKey, Table
from nextbest.domain.access_keys import AccessKey
from nextbest.domain.programs import Incarnation, program_id_of
from nextbest.errors import HistoryCorrupt
from nextbest.store import keys
from nextbest.store.access_keys import AccessKeys, access_key_key, decode_access_key
from nextbest.store.base import UserRead
from nextbest.store.bulk import BulkRemoval
from nextbest.store.cache import DecodedHistories, DecodedItems
from nextbest.store.configuration import decode_program, program_key
from nextbest.store.erasure import Erasure
from nextbest.store.experiments import Experiments
from nextbest.store.imports import Imports
from nextbest.store.leases import Leases
from nextbest.store.log_scans import LogScans
from nextbest.store.resources import Resources, decode_resource
from nextbest.store.salts import salt_in


class DynamoStore(Imports, LogScans, Leases, Experiments, AccessKeys, Resources, Erasure, BulkRemoval):
    """The whole store. Implements ``base.Store``."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._decoded_histories = DecodedHistories()
        self._decoded_keys = DecodedItems(decode_access_key)
        self._decoded_programs = DecodedItems(decode_program)
        self._decoded_resources = DecodedItems(decode_resource)

    def read_user(
        self,
        incarnation: Incarnation,
        user_id: str,
        *,
        with_state: bool = True,
        access_key_id: str | None = None,
        resources: Sequence[tuple[str, str]] = (),
        admit: Callable[[AccessKey | None], object] | None = None,
    ) -> UserRead:
        """One strongly consistent BatchGetItem for all that a read needs, so an accepted event is always included.

        Configuration comes in the same round trip instead of being cached for a while: a moved model pointer, a changed
        filter or a revoked key takes effect at once. What equals, byte by byte, an item that was decoded before is not
        decoded again. A history that cannot be decoded is built from the log.

        The state is that of the program which has the id now: it may be another incarnation than the one expected.
        ``admit`` decides on the key before anything of the user is decoded.
        """
        pk = keys.user_pk(incarnation, user_id)
        program_id = program_id_of(incarnation)
        snapshot_key, tail_key = ItemKey(pk, keys.HISTORY), ItemKey(pk, keys.TAIL)
        resource_keys = {
            (kind, name): ItemKey(keys.resources_pk(incarnation), keys.resource_sk(kind, name))
            for kind, name in resources
        }
        item_keys = [snapshot_key, tail_key, *resource_keys.values()]
        if with_state:
            item_keys.append(program_key(program_id))
        if access_key_id is not None:
            item_keys.append(access_key_key(access_key_id))
        items = self._table.get_many(item_keys)
        key_item = items.get(access_key_key(access_key_id)) if access_key_id is not None else None
        access_key = self._decoded_keys.of(access_key_id or "", key_item) if key_item is not None else None
        if admit is not None:
            admit(access_key)
        program_item = items.get(program_key(program_id))
        state = self._decoded_programs.of(program_id, program_item) if program_item is not None else None
        snapshot, tail = items.get(snapshot_key), items.get(tail_key)
        try:
            history = self._decoded_histories.history_of(pk, snapshot, tail)
            if history is not None and state is not None and not history.folded_for(state.program.half_life_days):
                raise HistoryCorrupt("the history was folded with another half-life")
        except HistoryCorrupt:
            # Derived data: the log is the truth. The next write or rebase stores it again.
            history = self.history_from_log(incarnation, user_id)
        return UserRead(
            history,
            self._attributes_in(incarnation, snapshot),
            state,
            access_key,
            {
                resource: self._decoded_resources.of(f"{key.pk}/{key.sk}", items[key]) if key in items else None
                for resource, key in resource_keys.items()
            },
            salt_in(tail),
        )
