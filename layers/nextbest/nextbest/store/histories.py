"""Events and histories in DynamoDB (docs/decisions/0001 and 0002).

An accepted event is two writes, both idempotent and commuting, in this order:

1. the log row, inserted if its key is new: the truth;
2. ``ADD`` of the packed event to the tail's binary set. A set has equal members once, so a retry, a duplicate or
   another order changes nothing, with no condition and no conflict however hot the user.

Where the client gave the event an id, a record comes before them: this id is this event, inserted if the id is new.
Another event with the same id is stored as the one in the record. So clients at the same moment store one event, and
the one that tries again completes it where the first was interrupted.

The writer that finds a long tail folds it into the snapshot. The snapshot is replaced only under a version check; then
its events are removed from the tail. A crash in between leaves events in both places; reading merges them. An event
that is too old to be distinguished from folded ones causes a rebuild from the log. So no event is ever counted twice.

The tail also has the user's salt (``domain/decisions.py``): the first write of a history stores it, and whatever
rebuilds a history leaves it alone.

One user harms nobody. A tail that has no room is folded first. What the database refuses for good of one event or one
history stops no other of the same call: such a history is marked, and lacks events until a rebase; a row of the log
that cannot be read is left out.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from nextbest.aws.parallel import in_parallel
from nextbest.aws.table import Item, ItemKey, SomeCannotBeStored, Table, Update, WriteRefused, number, text, to_json
from nextbest.domain.events import Event
from nextbest.domain.history import History, HistoryEvent, pack_event, unpack_event
from nextbest.domain.programs import Incarnation, Program, program_id_of
from nextbest.errors import CannotBeStored, HistoryCorrupt, InvalidInput
from nextbest.observability import logger
from nextbest.store import keys
from nextbest.store.base import Appended, EventPage, EventsRefused, events_by_user
from nextbest.store.configuration import incarnation_in, note_change, program_key
from nextbest.store.log_rows import history_events, log_row, logged_events
from nextbest.store.salts import SALT, SALT_IF_NONE, decision_key_in, salt_values
from nextbest.store.staged import STAGED, STAGED_JSON, CurrentVersions, read_import_state

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef


T = TypeVar("T")

FOLD_AT = 48
"""Tail length at which the writer folds: the tail stays near one write unit, and a fold is paid once in 48 events."""

_REBUILD_ATTEMPTS = 2
"""How often one writer rebuilds a history from the log for nothing, because another one stored it first."""
_TAIL_BYTES = 300_000
"""Of events that are added to a tail at once: they and what is there have to fit in an item of 400 KB."""


class Histories:
    """Events and histories of one table."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def append(self, program: Program, events: Sequence[Event], *, refresh_histories: bool = True) -> Appended:
        """Log the events, then with ``refresh_histories`` add them to their users' histories. Idempotent.

        Raises EventsRefused for events that cannot be stored, once all others are.
        """
        note_change(self._table, program)
        first = self._as_first_sent(program.incarnation, events)
        distinct = list({(event.user_id, keys.event_sk(event)): event for event in first}.values())
        accepted, refused = self._log(program, distinct)
        logged = [event for place, event in enumerate(distinct) if place not in refused]
        behind = self._refresh(program, logged, at_once=refresh_histories)
        if refused:
            reasons = {log_row(program, distinct[place])[0]: reason for place, reason in refused.items()}
            places = {place: log_row(program, event)[0] for place, event in enumerate(first)}
            raise EventsRefused.of({place: reasons[key] for place, key in places.items() if key in reasons})
        return Appended(accepted, duplicates=len(events) - accepted, histories_behind=behind)

    def log_events(self, program: Program, events: Sequence[Event]) -> Appended:
        """Log events without an id of the client's, and leave histories alone: ``mark_users`` has to follow.

        Raises EventsRefused for events that cannot be stored, once all others are.
        """
        note_change(self._table, program)
        distinct = {(event.user_id, keys.event_sk(event)): (place, event) for place, event in enumerate(events)}
        accepted, refused = self._log(program, [event for _, event in distinct.values()])
        if refused:
            places = [place for place, _ in distinct.values()]
            raise EventsRefused.of({places[place]: reason for place, reason in refused.items()})
        return Appended(accepted, duplicates=len(events) - accepted)

    def _log(self, program: Program, events: Sequence[Event]) -> tuple[int, Mapping[int, str]]:
        """Log distinct events: how many were new, and by place the reasons why others cannot be stored."""
        rows = [log_row(program, event) for event in events]
        refused: Mapping[int, str] = {}
        new: Sequence[bool]
        try:
            new = self._table.insert_new(rows)
        except SomeCannotBeStored as error:
            new, refused = error.new, error.reasons
        known = [row for place, row in enumerate(rows) if not new[place] and place not in refused]
        if known and read_import_state(self._table, program.incarnation).open:
            in_parallel(lambda row: self._take_from_import(*row), known)
        return sum(new), refused

    def _refresh(self, program: Program, events: Sequence[Event], *, at_once: bool) -> int:
        """Add logged events to the histories of their users, or mark these; for how many users that was not possible.

        Those are marked where they were not: the events are stored, and the next rebase tries again.
        """

        def refresh(group: tuple[str, Sequence[Event]]) -> bool:
            try:
                if at_once:
                    self._append_to_history(program, *group)
                else:
                    self._mark_backfilled(program, group[0])
            except (CannotBeStored, HistoryCorrupt) as error:
                logger.warning("a history lacks events until it is rebuilt", reason=error.message)
                with suppress(CannotBeStored):
                    self._mark_backfilled(program, group[0])
                return False
            return True

        return in_parallel(refresh, events_by_user(events).items()).count(False)

    def _as_first_sent(self, incarnation: Incarnation, events: Sequence[Event]) -> list[Event]:
        """The events; those with a client's event id that was used before become the event that used it first.

        Clients at the same moment agree on the first, as its record is inserted under a condition.
        """
        sort_keys = [keys.event_sk(event) for event in events]  # all, as no id may be taken by an event of a bad call
        record_keys = [
            ItemKey(keys.user_pk(incarnation, event.user_id), keys.event_id_sk(event.event_id))
            if event.event_id
            else None
            for event in events
        ]
        first: dict[ItemKey, str] = {}
        for key, sk in zip(record_keys, sort_keys, strict=True):
            if key is not None:
                first.setdefault(key, sk)
        if not first:
            return list(events)
        refused: Mapping[int, str] = {}
        new: Sequence[bool]
        try:
            new = self._table.insert_new([(key, {"event_sk": sk}) for key, sk in first.items()])
        except SomeCannotBeStored as error:  # nor can their events: that is reported below
            new, refused = error.new, error.reasons
        known = [key for place, key in enumerate(first) if not new[place] and place not in refused]
        records = self._table.get_all(known)
        first |= {key: text(record, "event_sk") for key, record in records.items()}
        return [
            event if key is None or first[key] == sk else _moved(event, first[key])
            for event, key, sk in zip(events, record_keys, sort_keys, strict=True)
        ]

    def _take_from_import(self, key: ItemKey, attributes: Mapping[str, str]) -> None:
        """Make an event that an import stages, or stages the removal of, one that stays whatever becomes of that."""
        condition = f"attribute_exists({STAGED})"
        try:
            if "body_json" in attributes:
                body: Item = {":body": {"S": attributes["body_json"]}}
                expression = f"SET body_json = :body REMOVE {STAGED}, {STAGED_JSON}"
                self._table.update(key, expression, body, condition=condition)
            else:
                expression = f"REMOVE body_json, {STAGED}, {STAGED_JSON}"
                self._table.update(key, expression, {}, condition=condition)
        except WriteRefused:
            return  # the ordinary case: the event came twice

    def _append_to_history(self, program: Program, user_id: str, events: Sequence[Event]) -> None:
        packed = [HistoryEvent.of(event) for event in events]
        if len(packed) >= FOLD_AT:
            self._fold(program, user_id, packed)
            return
        try:
            tail = self._add_to_tail(program.incarnation, user_id, packed, program.decision_key)
        except CannotBeStored:  # the tail is full: many write at once, and the one who folds it is not done
            self._fold(program, user_id, packed)
            return
        members = tail.get("tail_events", {}).get("BS", [])
        oldest_us = min(event.timestamp_us for event in packed)
        if len(members) >= FOLD_AT or oldest_us <= number(tail, "folded_until_us", -1):
            self._fold(program, user_id, [])

    def _add_to_tail(
        self, incarnation: Incarnation, user_id: str, events: Sequence[HistoryEvent], decision_key: bytes
    ) -> Item:
        """Add events to the tail; the tail as it is then. Raises CannotBeStored where it has no room for them."""
        members = sorted({pack_event(event) for event in events})
        if sum(map(len, members)) > _TAIL_BYTES:
            raise CannotBeStored("these are more events than a tail holds")
        expression, values = "ADD tail_events :events", salt_values(decision_key, user_id)
        return self._table.repeatable_update(
            ItemKey(keys.user_pk(incarnation, user_id), keys.TAIL),
            f"{expression} SET {SALT_IF_NONE}" if values else expression,
            {":events": {"BS": members}, **values},
            returns="ALL_NEW",
        )

    def _mark_backfilled(self, program: Program, user_id: str) -> None:
        """Mark a history as lacking events of the log; the next rebase rebuilds it.

        Each mark is another one: whoever rebuilds removes the mark that was there before they read the log alone.
        """
        key = ItemKey(keys.user_pk(program.incarnation, user_id), keys.TAIL)
        self._table.update(key, "SET backfilled = :mark", {":mark": {"S": os.urandom(8).hex()}})

    def _fold(self, program: Program, user_id: str, extra: Sequence[HistoryEvent], *, from_log: bool = False) -> None:
        """Replace the snapshot by snapshot + tail + ``extra`` (or by the log), and drop the tail's folded events.

        Where others always do so first, ``extra`` is added to the tail. Raises CannotBeStored where that has no room.
        """
        pk, program_item_key = keys.user_pk(program.incarnation, user_id), program_key(program.program_id)
        rebuilds = 0
        decision_key = b""
        for _ in self._table.backoff.tries():
            # The key is read again: a long rebase must not bring back one that a deletion has replaced.
            items = self._table.get_many([ItemKey(pk, keys.HISTORY), ItemKey(pk, keys.TAIL), program_item_key])
            decision_key = decision_key_of(program.incarnation, items.get(program_item_key))
            snapshot, tail = (items.get(ItemKey(pk, sk), {}) for sk in (keys.HISTORY, keys.TAIL))
            members = list(tail.get("tail_events", {}).get("BS", []))
            encoded = b""
            with suppress(HistoryCorrupt):
                encoded = b"" if from_log else _merged(program, snapshot, members, extra)
            rebuilt = not encoded
            if rebuilt:  # the log has every event of the tail: it was written first
                encoded = self.history_from_log(program.incarnation, user_id).encode(program.half_life_days)
            if self._replace_snapshot(pk, number(snapshot, "history_version"), encoded):
                mark = tail.get("backfilled") if rebuilt else None
                salt = {} if SALT in tail else salt_values(decision_key, user_id)
                self._shorten_tail(pk, members, History.decode(encoded).folded_until_us, mark, salt)
                return
            rebuilds += rebuilt
            if rebuilds == _REBUILD_ATTEMPTS:
                break
        # Other writers keep folding this user's tail, so only ``extra`` is left to store.
        if extra:
            self._add_to_tail(program.incarnation, user_id, extra, decision_key)

    def _replace_snapshot(self, pk: str, version: int, encoded: bytes) -> bool:
        return self._write_one(snapshot_update(pk, version, encoded))

    def _shorten_tail(
        self, pk: str, members: Sequence[bytes], folded_until_us: int, mark: AttributeValueTypeDef | None, salt: Item
    ) -> None:
        """Drop what was folded, and the ``mark`` of a history that lacked events, unless there is another by now."""
        if mark is None or not self._write_one(tail_update(pk, members, folded_until_us, salt, mark)):
            self._write_one(tail_update(pk, members, folded_until_us, salt))

    def _write_one(self, update: Update) -> bool:
        """Make an update; False where its condition was false."""
        try:
            self._table.update(update.key, update.expression, update.values, condition=update.condition or None)
        except WriteRefused:
            return False
        return True

    def history_from_log(self, incarnation: Incarnation, user_id: str) -> History:
        """A history built from the event log; nothing is folded yet. Rows that cannot be read are left out."""
        return History.from_history_events(history_events(self._log_rows(incarnation, user_id)))

    def events_of(self, incarnation: Incarnation, user_id: str) -> Iterator[Event]:
        """The user's events, oldest first; rows that cannot be read are left out."""
        return logged_events(user_id, self._log_rows(incarnation, user_id))

    def _log_rows(self, incarnation: Incarnation, user_id: str) -> Iterator[Item]:
        """The user's rows of the log as they count, oldest first."""
        versions = CurrentVersions(self._table, incarnation)
        rows = self._table.query(keys.user_pk(incarnation, user_id), prefix=keys.EVENT_PREFIX)
        return (item for item in map(versions.of, rows) if item is not None)

    def page_of_events(
        self,
        incarnation: Incarnation,
        user_id: str,
        *,
        after: str | None = None,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> EventPage:
        """At most ``limit`` of the user's events beyond the position ``after``, with one Query. Raises InvalidInput.

        A position is the sort key of an event. Events that do not count, as an import stages them, leave gaps.
        """
        if after is not None and not keys.is_log_position(after):
            raise InvalidInput("this is no position in a user's events", field="next_token")
        rows, next_position = self._table.query_page(
            keys.user_pk(incarnation, user_id),
            prefix=keys.EVENT_PREFIX,
            after=after,
            limit=limit,
            newest_first=newest_first,
        )
        versions = CurrentVersions(self._table, incarnation)
        items = (item for item in map(versions.of, rows) if item is not None)
        return EventPage(list(logged_events(user_id, items)), next_position)

    def put_user_attributes(self, incarnation: Incarnation, user_id: str, attributes: Mapping[str, Any]) -> None:
        """Replace the user's attributes."""
        key = ItemKey(keys.user_pk(incarnation, user_id), keys.HISTORY)
        expression = f"SET attributes_json = :attributes REMOVE {STAGED}, {STAGED_JSON}"
        self._table.update(key, expression, {":attributes": {"S": to_json(attributes)}})

    def user_attributes(self, incarnation: Incarnation, user_id: str) -> dict[str, Any] | None:
        """The user's attributes, where a Users row was put."""
        item = self._table.get(ItemKey(keys.user_pk(incarnation, user_id), keys.HISTORY))
        return self._attributes_in(incarnation, item)

    def _attributes_in(self, incarnation: Incarnation, snapshot: Item | None) -> dict[str, Any] | None:
        if snapshot is not None and STAGED in snapshot:
            snapshot = CurrentVersions(self._table, incarnation).of(snapshot, "attributes_json")
        return decode_attributes(snapshot)


def decision_key_of(incarnation: Incarnation, item: Item | None) -> bytes:
    """The decision key of a program by its item; empty where another incarnation has the id, or none."""
    if item is None or incarnation_in(item, program_id_of(incarnation)) != incarnation:
        return b""
    return decision_key_in(item)


def _moved(event: Event, sk: str) -> Event:
    """The event with the identity of the one that has this sort key."""
    timestamp_us, event_type, asset_id, _ = keys.parse_event_sk(sk)
    return replace(event, timestamp_us=timestamp_us, event_type=event_type, asset_id=asset_id)


def snapshot_update(pk: str, version: int, encoded: bytes) -> Update:
    """Replace the snapshot of that ``version``; 0 where there is none."""
    condition = "history_version = :old" if version else "attribute_not_exists(history_version)"
    values: dict[str, Any] = {":packed": {"B": encoded}, ":new": {"N": str(version + 1)}}
    if version:
        values[":old"] = {"N": str(version)}
    return Update(ItemKey(pk, keys.HISTORY), "SET packed = :packed, history_version = :new", values, condition)


def tail_update(
    pk: str, members: Sequence[bytes], folded_until_us: int, salt: Item, mark: AttributeValueTypeDef | None = None
) -> Update:
    """Drop what was folded, and the ``mark`` of a history that lacked events, if it is still that one.

    ``salt`` has the values of ``SALT_IF_NONE`` where the tail had no salt.
    """
    values: dict[str, Any] = {":until": {"N": str(folded_until_us)}, **salt}
    expression = f"SET folded_until_us = :until, {SALT_IF_NONE}" if salt else "SET folded_until_us = :until"
    condition = ""
    if mark is not None:
        expression, condition, values[":mark"] = f"{expression} REMOVE backfilled", "backfilled = :mark", mark
    if members:
        expression, values[":members"] = f"{expression} DELETE tail_events :members", {"BS": list(members)}
    return Update(ItemKey(pk, keys.TAIL), expression, values, condition)


def _merged(program: Program, snapshot: Item, members: Iterable[bytes], extra: Iterable[HistoryEvent]) -> bytes:
    """Snapshot, tail and ``extra`` as one history. Raises HistoryCorrupt where it has to be rebuilt from the log."""
    history = decode_snapshot(snapshot).merge([*map(unpack_event, members), *extra])
    if not history.folded_for(program.half_life_days):
        raise HistoryCorrupt("the program's half-life was changed")
    return history.encode(program.half_life_days)


def decode_snapshot(item: Item) -> History:
    """The history in a snapshot item; an empty one where none was written yet. Raises HistoryCorrupt."""
    if "packed" not in item:
        return History.empty()
    packed = item["packed"].get("B")
    if packed is None:
        raise HistoryCorrupt("the history is not bytes")
    return History.decode(packed)


def decode_history(snapshot: Item | None, tail: Item | None) -> History | None:
    """The history in a user's two items, tail included; None for a user who has none. Raises HistoryCorrupt."""
    members = tail.get("tail_events", {}).get("BS", []) if tail else []
    if not members and (snapshot is None or "packed" not in snapshot):
        return None
    return decode_snapshot(snapshot or {}).merge_packed(members)


def decode_attributes(snapshot: Item | None) -> dict[str, Any] | None:
    """The user's attributes, where a Users row was put."""
    if snapshot is None or "attributes_json" not in snapshot:
        return None
    attributes: dict[str, Any] = json.loads(snapshot["attributes_json"]["S"])
    return attributes
