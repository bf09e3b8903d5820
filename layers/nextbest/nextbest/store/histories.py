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
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from nextbest.aws.parallel import in_parallel
from nextbest.aws.table import Item, ItemKey, Table, WriteRefused, data, number, text, to_json
from nextbest.domain.events import Event
from nextbest.domain.history import History, HistoryEvent, pack_event, unpack_event
from nextbest.domain.programs import Incarnation, Program
from nextbest.errors import HistoryCorrupt, InvalidInput
from nextbest.store import keys
from nextbest.store.base import Appended, EventPage, events_by_user
from nextbest.store.staged import STAGED, STAGED_JSON, CurrentVersions, read_import_state

FOLD_AT = 48
"""Tail length at which the writer folds: the tail stays near one write unit, and a fold is paid once in 48 events."""

_FOLD_ATTEMPTS = 8


class Histories:
    """Events and histories of one table."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def append(self, program: Program, events: Sequence[Event], *, refresh_histories: bool = True) -> Appended:
        """Log the events, then with ``refresh_histories`` add them to their users' histories. Idempotent."""
        first = self._as_first_sent(program.incarnation, events)
        distinct = list({(event.user_id, keys.event_sk(event)): event for event in first}.values())
        rows = [log_row(program, event) for event in distinct]
        new = self._table.insert_new(rows)
        known = [row for row, is_new in zip(rows, new, strict=True) if not is_new]
        if known and read_import_state(self._table, program.incarnation).open:
            in_parallel(lambda row: self._take_from_import(*row), known)
        step = self._append_to_history if refresh_histories else self._mark_backfilled
        in_parallel(lambda group: step(program, *group), events_by_user(distinct).items())
        return Appended(accepted=sum(new), duplicates=len(events) - sum(new))

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
        new = self._table.insert_new([(key, {"event_sk": sk}) for key, sk in first.items()])
        records = self._table.get_all([key for key, is_new in zip(first, new, strict=True) if not is_new])
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
        tail = self._add_to_tail(program.incarnation, user_id, packed)
        members = tail.get("tail_events", {}).get("BS", [])
        oldest_us = min(event.timestamp_us for event in packed)
        if len(members) >= FOLD_AT or oldest_us <= number(tail, "folded_until_us", -1):
            self._fold(program, user_id, [])

    def _add_to_tail(self, incarnation: Incarnation, user_id: str, events: Sequence[HistoryEvent]) -> Item:
        return self._table.update(
            ItemKey(keys.user_pk(incarnation, user_id), keys.TAIL),
            "ADD tail_events :events",
            {":events": {"BS": sorted({pack_event(event) for event in events})}},
            returns="ALL_NEW",
        )

    def _mark_backfilled(self, program: Program, user_id: str, _events: Sequence[Event]) -> None:
        """Mark a history as lacking events that were back-filled; the next rebase rebuilds it."""
        key = ItemKey(keys.user_pk(program.incarnation, user_id), keys.TAIL)
        self._table.update(key, "SET backfilled = :true", {":true": {"BOOL": True}})

    def _fold(self, program: Program, user_id: str, extra: Sequence[HistoryEvent], *, from_log: bool = False) -> None:
        """Replace the snapshot by snapshot + tail + ``extra`` (or by the log), and drop the tail's folded events."""
        pk = keys.user_pk(program.incarnation, user_id)
        for _ in range(_FOLD_ATTEMPTS):
            items = self._table.get_many([ItemKey(pk, keys.HISTORY), ItemKey(pk, keys.TAIL)])
            snapshot = items.get(ItemKey(pk, keys.HISTORY), {})
            members = list(items.get(ItemKey(pk, keys.TAIL), {}).get("tail_events", {}).get("BS", []))
            try:
                if from_log:
                    raise HistoryCorrupt("a rebuild was requested")
                history = decode_snapshot(snapshot).merge([*map(unpack_event, members), *extra])
                if not history.folded_for(program.half_life_days):
                    raise HistoryCorrupt("the program's half-life was changed")
                encoded = history.encode(program.half_life_days)
            except HistoryCorrupt:
                # The log has every event of the tail: it was written first.
                encoded = self.history_from_log(program.incarnation, user_id).encode(program.half_life_days)
            if self._replace_snapshot(pk, number(snapshot, "history_version"), encoded):
                self._shorten_tail(pk, members, History.decode(encoded).folded_until_us)
                return
        # Other writers keep folding this user's tail, so only ``extra`` is left to store.
        if extra:
            self._add_to_tail(program.incarnation, user_id, extra)

    def _replace_snapshot(self, pk: str, version: int, encoded: bytes) -> bool:
        condition = "history_version = :old" if version else "attribute_not_exists(history_version)"
        values: dict[str, Any] = {":packed": {"B": encoded}, ":new": {"N": str(version + 1)}}
        if version:
            values[":old"] = {"N": str(version)}
        try:
            self._table.update(
                ItemKey(pk, keys.HISTORY), "SET packed = :packed, history_version = :new", values, condition=condition
            )
        except WriteRefused:
            return False
        return True

    def _shorten_tail(self, pk: str, members: Sequence[bytes], folded_until_us: int) -> None:
        values: dict[str, Any] = {":until": {"N": str(folded_until_us)}}
        expression = "SET folded_until_us = :until REMOVE backfilled"
        if members:
            expression += " DELETE tail_events :members"
            values[":members"] = {"BS": list(members)}
        self._table.update(ItemKey(pk, keys.TAIL), expression, values)

    def rebuild_history(self, program: Program, user_id: str) -> bool:
        """Rebuild the stored history from the log; False for a user without events."""
        if next(self.events_of(program.incarnation, user_id), None) is None:
            return False
        self._fold(program, user_id, [], from_log=True)
        return True

    def history_from_log(self, incarnation: Incarnation, user_id: str) -> History:
        """A history built from the event log; nothing is folded yet."""
        events = self.events_of(incarnation, user_id)
        return History.from_history_events(HistoryEvent.of(event) for event in events)

    def events_of(self, incarnation: Incarnation, user_id: str) -> Iterator[Event]:
        """The user's events, oldest first."""
        versions = CurrentVersions(self._table, incarnation)
        for row in self._table.query(keys.user_pk(incarnation, user_id), prefix=keys.EVENT_PREFIX):
            item = versions.of(row)
            if item is not None:
                yield logged_event(user_id, item)

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
        if after is not None and not keys.is_event_sk(after):
            raise InvalidInput("this is no position in a user's events", field="next_token")
        rows, next_position = self._table.query_page(
            keys.user_pk(incarnation, user_id),
            prefix=keys.EVENT_PREFIX,
            after=after,
            limit=limit,
            newest_first=newest_first,
        )
        versions = CurrentVersions(self._table, incarnation)
        items = (versions.of(row) for row in rows)
        return EventPage([logged_event(user_id, item) for item in items if item is not None], next_position)

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

    def scan_events(self, incarnation: Incarnation) -> Iterator[tuple[str, int, str, str]]:
        """All events of a program as (user id, microseconds, event type, asset id).

        Reads again where an import was committed meanwhile: what was read has part of the old data, part of the new.
        """
        state = read_import_state(self._table, incarnation)
        while True:
            rows = self._table.scan(keys.users_prefix(incarnation), keys.EVENT_PREFIX, projection=f"pk, sk, {STAGED}")
            item_keys = [
                (item["pk"]["S"], item["sk"]["S"])
                for item in rows
                if STAGED not in item or state.counts(text(item, STAGED))
            ]
            before, state = state, read_import_state(self._table, incarnation)
            if state.committed == before.committed:
                break
        for pk, sk in item_keys:
            timestamp_us, event_type, asset_id, _ = keys.parse_event_sk(sk)
            yield keys.parse_user_pk(pk), timestamp_us, event_type, asset_id

    def users(self, incarnation: Incarnation) -> Iterator[str]:
        """The users of a program who have a history, in no particular order."""
        for item in self._table.scan(keys.users_prefix(incarnation), keys.TAIL, projection="pk"):
            yield keys.parse_user_pk(item["pk"]["S"])

    def backfilled_users(self, incarnation: Incarnation) -> Iterator[str]:
        """Users with logged events that were stored without ``refresh_histories`` and await a rebuild."""
        for item in self._table.scan(keys.users_prefix(incarnation), keys.TAIL, projection="pk, backfilled"):
            if "backfilled" in item:
                yield keys.parse_user_pk(item["pk"]["S"])

    def outdated_users(self, incarnation: Incarnation, logged: Mapping[str, Sequence[int]]) -> Iterator[str]:
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


def _moved(event: Event, sk: str) -> Event:
    """The event with the identity of the one that has this sort key."""
    timestamp_us, event_type, asset_id, _ = keys.parse_event_sk(sk)
    return replace(event, timestamp_us=timestamp_us, event_type=event_type, asset_id=asset_id)


def _is_outdated(items: Mapping[str, Item], logged_us: Sequence[int]) -> bool:
    snapshot, tail = items.get(keys.HISTORY), items.get(keys.TAIL)
    if tail is not None and "backfilled" in tail:
        return True
    try:
        history = decode_history(snapshot, tail)
    except HistoryCorrupt:
        return True
    if history is None:
        return bool(logged_us)
    until_us = history.folded_until_us
    held = int((history.timestamps_us > until_us).sum()) + int((history.older_timestamps_us > until_us).sum())
    return held < len(logged_us) - bisect_right(logged_us, until_us)


def log_row(program: Program, event: Event) -> tuple[ItemKey, dict[str, str]]:
    """Key and attributes of an event's row in the log."""
    extras = {
        "labels": list(event.labels),
        "source": event.source,
        "recommendation_id": event.recommendation_id,
        "session_id": event.session_id,
    }
    body: dict[str, object] = {name: value for name, value in extras.items() if value}
    if event.event_value is not None:
        body["event_value"] = event.event_value
    key = ItemKey(keys.user_pk(program.incarnation, event.user_id), keys.event_sk(event))
    return key, {"body_json": to_json(body)} if body else {}


def logged_event(user_id: str, row: Item) -> Event:
    """The event in a row of the log; inverse of ``log_row``."""
    timestamp_us, event_type, asset_id, event_id = keys.parse_event_sk(row["sk"]["S"])
    extras = data(row) if "body_json" in row else {}
    return Event(
        user_id,
        timestamp_us,
        event_type,
        asset_id,
        event_id,
        tuple(extras.get("labels", ())),
        extras.get("source", ""),
        extras.get("recommendation_id", ""),
        extras.get("session_id", ""),
        extras.get("event_value"),
    )


def decode_snapshot(item: Item) -> History:
    """The history in a snapshot item; an empty one where none was written yet. Raises HistoryCorrupt."""
    return History.decode(item["packed"]["B"]) if "packed" in item else History.empty()


def decode_history(snapshot: Item | None, tail: Item | None) -> History | None:
    """The history in a user's two items, tail included; None for a user who has none. Raises HistoryCorrupt."""
    members = tail.get("tail_events", {}).get("BS", []) if tail else []
    if not members and (snapshot is None or "packed" not in snapshot):
        return None
    return decode_snapshot(snapshot or {}).merge(map(unpack_event, members))


def decode_attributes(snapshot: Item | None) -> dict[str, Any] | None:
    """The user's attributes, where a Users row was put."""
    if snapshot is None or "attributes_json" not in snapshot:
        return None
    attributes: dict[str, Any] = json.loads(snapshot["attributes_json"]["S"])
    return attributes
