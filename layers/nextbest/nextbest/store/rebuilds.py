"""Rebuilds: histories made again from the log, which is the truth.

Many are rebuilt with few calls: a back-fill of a million events leaves a hundred thousand histories to make.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from nextbest.aws.parallel import in_parallel
from nextbest.aws.table import Item, ItemKey, Update, WriteRefused, number
from nextbest.domain.history import History
from nextbest.domain.programs import Incarnation, Program
from nextbest.errors import CannotBeStored, HistoryCorrupt, Unavailable
from nextbest.observability import logger
from nextbest.store import keys
from nextbest.store.configuration import program_key
from nextbest.store.histories import Histories, decision_key_of, decode_history, snapshot_update, tail_update
from nextbest.store.salts import SALT, salt_values

if TYPE_CHECKING:
    from nextbest.domain.event_columns import Times

_USERS_AT_ONCE = 500
"""Whose histories are in memory at once while they are compared with the log."""
_USERS_PER_TRANSACTION = 40
"""Two items of each are read and written at once, of at most 100; the program's is read with them."""
_BYTES_PER_USER = 50_000
"""Of a history that is written with others: a transaction may have 4 MB."""


class Rebuilds(Histories):
    """Rebuilds histories of one table. A part of ``DynamoStore``."""

    def rebuild_history(self, program: Program, user_id: str) -> bool:
        """Rebuild the stored history from the log; False for a user without events. Raises CannotBeStored."""
        if next(self._log_rows(program.incarnation, user_id), None) is None:
            return False
        self._fold(program, user_id, [], from_log=True)
        return True

    def rebuild_histories(self, program: Program, user_ids: Iterable[str]) -> list[str]:
        """Rebuild histories from the log; the users with whom that was not possible, whose histories stay as they are.

        The history of a user who has no events left is forgotten.
        """
        users = list(dict.fromkeys(user_ids))
        chunks = [
            users[start : start + _USERS_PER_TRANSACTION] for start in range(0, len(users), _USERS_PER_TRANSACTION)
        ]
        left = chain.from_iterable(in_parallel(partial(self._rebuild_together, program), chunks))

        def rebuild(user_id: str) -> bool:
            try:
                if not self.rebuild_history(program, user_id):
                    self._forget_history(program.incarnation, user_id)
            except (CannotBeStored, HistoryCorrupt, Unavailable) as error:
                logger.warning("a history cannot be rebuilt", reason=error.message)
                return False
            return True

        users = list(left)
        return [user_id for user_id, done in zip(users, in_parallel(rebuild, users), strict=True) if not done]

    def _rebuild_together(self, program: Program, user_ids: Sequence[str]) -> Sequence[str]:
        """Rebuild some histories with one write; those users who have to be looked at one by one.

        These are users without events, those with much to store, and all of them where others wrote meanwhile.
        """
        pks = {user_id: keys.user_pk(program.incarnation, user_id) for user_id in user_ids}
        program_item_key = program_key(program.program_id)
        item_keys = [ItemKey(pk, sk) for pk in pks.values() for sk in (keys.HISTORY, keys.TAIL)]
        try:
            # Before the log: whatever it has by now, a mark that is removed may be about.
            items = self._table.get_many([*item_keys, program_item_key])
            decision_key = decision_key_of(program.incarnation, items.get(program_item_key))
            updates: list[Update] = []
            one_by_one = []
            for user_id, pk in pks.items():
                snapshot, tail = (items.get(ItemKey(pk, sk), {}) for sk in (keys.HISTORY, keys.TAIL))
                of_user = self._rebuilt(program, user_id, snapshot, tail, decision_key)
                updates += of_user
                if not of_user:
                    one_by_one.append(user_id)
            if updates:
                self._table.update_all(updates)
        except (WriteRefused, CannotBeStored, Unavailable):
            return user_ids
        return one_by_one

    def _rebuilt(
        self, program: Program, user_id: str, snapshot: Item, tail: Item, decision_key: bytes
    ) -> Sequence[Update]:
        """What stores a history that is built from the log; nothing for a user without events, or with many."""
        history = self.history_from_log(program.incarnation, user_id)
        encoded = history.encode(program.half_life_days)
        members = list(tail.get("tail_events", {}).get("BS", []))
        if not history or len(encoded) + sum(map(len, members)) > _BYTES_PER_USER:
            return ()
        pk, mark = keys.user_pk(program.incarnation, user_id), tail.get("backfilled")
        salt = {} if SALT in tail else salt_values(decision_key, user_id)
        shorter = tail_update(pk, members, History.decode(encoded).folded_until_us, salt, mark)
        if tail and mark is None:
            # Nothing is written of a user who is deleted meanwhile.
            shorter = shorter._replace(condition="attribute_exists(pk)")
        return snapshot_update(pk, number(snapshot, "history_version"), encoded), shorter

    def _forget_history(self, incarnation: Incarnation, user_id: str) -> None:
        pk = keys.user_pk(incarnation, user_id)
        self._table.delete(ItemKey(pk, keys.TAIL))
        self._table.update(ItemKey(pk, keys.HISTORY), "REMOVE packed, history_version", {})

    def backfilled_users(self, incarnation: Incarnation) -> Iterator[str]:
        """Users with logged events that were stored without ``refresh_histories`` and await a rebuild."""
        for item in self._table.scan(keys.users_prefix(incarnation), keys.TAIL, projection="pk, backfilled"):
            if "backfilled" in item:
                yield keys.parse_user_pk(item["pk"]["S"])

    def outdated_users(self, incarnation: Incarnation, logged: Mapping[str, Times]) -> Iterator[str]:
        """Users whose history lacks events of the log; ``logged`` has the times of each user's events, ascending.

        A back-fill leaves histories outdated on purpose, and marks them; a writer that was killed between log and
        history did so by accident. Folded events cannot be identified, so the folded part is assumed to be complete.
        """
        halves: dict[str, dict[str, Item]] = {}
        seen: set[str] = set()
        for item in self._table.scan(
            keys.users_prefix(incarnation),
            keys.HISTORY_PREFIX,
            projection="pk, sk, packed, tail_events, backfilled",
        ):
            user_id = keys.parse_user_pk(item["pk"]["S"])
            seen.add(user_id)
            items = {**halves.pop(user_id, {}), item["sk"]["S"]: item}
            if len(items) < 2:
                halves[user_id] = items  # the other half may follow
            elif _is_outdated(items, logged.get(user_id, ())):
                yield user_id
        yield from (user_id for user_id, items in halves.items() if _is_outdated(items, logged.get(user_id, ())))
        yield from (user_id for user_id in logged if user_id not in seen)

    def outdated_among(self, incarnation: Incarnation, logged: Mapping[str, Times]) -> Iterator[str]:
        """The same among the users of ``logged`` alone, whose histories are read one by one."""
        user_ids = list(logged)
        for start in range(0, len(user_ids), _USERS_AT_ONCE):
            some = user_ids[start : start + _USERS_AT_ONCE]
            item_keys = {
                user_id: [ItemKey(keys.user_pk(incarnation, user_id), sk) for sk in (keys.HISTORY, keys.TAIL)]
                for user_id in some
            }
            items = self._table.get_all([key for of_user in item_keys.values() for key in of_user])
            for user_id, of_user in item_keys.items():
                if _is_outdated({key.sk: items[key] for key in of_user if key in items}, logged[user_id]):
                    yield user_id


def _is_outdated(items: Mapping[str, Item], logged_us: Times) -> bool:
    snapshot, tail = items.get(keys.HISTORY), items.get(keys.TAIL)
    if tail is not None and "backfilled" in tail:
        return True
    try:
        history = decode_history(snapshot, tail)
    except HistoryCorrupt:
        return True
    if history is None:
        return len(logged_us) > 0
    until_us = history.folded_until_us
    held = int((history.timestamps_us > until_us).sum()) + int((history.older_timestamps_us > until_us).sum())
    return held < len(logged_us) - int(np.searchsorted(logged_us, until_us, side="right"))
