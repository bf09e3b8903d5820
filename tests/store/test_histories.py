"""Events in, histories out: idempotent, order-free, one call to read."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from nextbest.aws.table import ItemKey, Table
from nextbest.domain.actions import Action
from nextbest.domain.events import Event
from nextbest.domain.history import WINDOW, History
from nextbest.domain.programs import Incarnation
from nextbest.store import keys
from nextbest.store.dynamo import DynamoStore
from nextbest.store.histories import FOLD_AT
from tests.store.conftest import PROGRAM

START_US = 1_700_000_000_000_000
HOUR_US = 3_600_000_000


def events(count: int, user_id: str = "ada", *, first: int = 0) -> list[Event]:
    return [
        Event(user_id, START_US + n * HOUR_US, "order", f"drink-{n % 5}", labels=("morning",) if n % 2 else ())
        for n in range(first, first + count)
    ]


def history_of(store: DynamoStore, user_id: str = "ada") -> History:
    history = store.read_user(PROGRAM.incarnation, user_id).history
    assert history is not None
    return history


def outdated(store: DynamoStore) -> list[str]:
    """Users whose history lacks events of the log, in order."""
    logged: dict[str, list[int]] = {}
    for user_id, time_us, *_ in store.scan_events(PROGRAM.incarnation):
        logged.setdefault(user_id, []).append(time_us)
    times = {user_id: sorted(times) for user_id, times in logged.items()}
    users = sorted(store.outdated_users(PROGRAM.incarnation, times))
    assert sorted(store.outdated_among(PROGRAM.incarnation, times)) == [user for user in users if user in times]
    return users


def expected(events: list[Event]) -> bytes:
    return History.from_events((e.event_type, e.asset_id, e.timestamp) for e in events).encode(PROGRAM.half_life_days)


def test_an_event_counts_in_the_next_read(store: DynamoStore) -> None:
    store.append(PROGRAM, events(1))
    now = (START_US + HOUR_US) / 1e6
    weights = history_of(store).base_weights(PROGRAM.half_life_days, now)
    assert weights == {Action("order", "drink-0"): pytest.approx(0.5 ** (1 / 24 / 30), abs=1e-12)}


def test_a_user_without_events_has_no_history(store: DynamoStore) -> None:
    assert store.read_user(PROGRAM.incarnation, "nobody").history is None


@pytest.mark.parametrize("count", [1, FOLD_AT - 1, FOLD_AT, 3 * FOLD_AT + 5])
@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_batches_duplicates_and_order_never_show(store: DynamoStore, count: int, batch: int) -> None:
    # Given the same events posted twice, shuffled, in batches
    sent = events(count) * 2
    random.Random(count * batch).shuffle(sent)
    results = [store.append(PROGRAM, sent[start : start + batch]) for start in range(0, len(sent), batch)]
    # Then each counts once, and the history is that of the set, to the bit
    assert sum(result.accepted for result in results) == count
    assert sum(result.duplicates for result in results) == count
    assert history_of(store).encode(PROGRAM.half_life_days) == expected(events(count))
    assert [e.timestamp_us for e in store.events_of(PROGRAM.incarnation, "ada")] == [
        e.timestamp_us for e in events(count)
    ]


def test_late_events_older_than_the_window_still_count_once(store: DynamoStore) -> None:
    # Given a user whose oldest events are folded
    store.append(PROGRAM, events(WINDOW + 200, first=500))
    assert history_of(store).folded is not None
    # When events from before arrive, one of them a duplicate of a folded one
    late = [*events(3), events(1, first=510)[0]]
    assert store.append(PROGRAM, late).duplicates == 1
    # Then the history is that of all events
    everything = [*events(3), *events(WINDOW + 200, first=500)]
    assert history_of(store).encode(PROGRAM.half_life_days) == expected(everything)


def test_concurrent_writers_lose_and_double_nothing(store: DynamoStore) -> None:
    # Given 8 clients that post overlapping slices of one user's events
    everything = events(240)
    slices = [everything[start : start + 60] for start in range(0, 200, 25)] + [everything[180:]]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda part: [store.append(PROGRAM, part[i : i + 9]) for i in range(0, len(part), 9)], slices))
    assert history_of(store).encode(PROGRAM.half_life_days) == expected(everything)


def test_a_crash_between_snapshot_and_tail_counts_nothing_twice(store: DynamoStore, table: Table) -> None:
    # Given a snapshot that was replaced, and a tail that was not shortened
    store.append(PROGRAM, events(10))
    pk = keys.user_pk(PROGRAM.incarnation, "ada")
    assert store._replace_snapshot(pk, 0, expected(events(10)))
    assert table.get(ItemKey(pk, keys.TAIL)) is not None
    assert history_of(store).encode(PROGRAM.half_life_days) == expected(events(10))


def test_a_corrupt_history_is_read_from_the_log_and_rebuilt(store: DynamoStore, table: Table) -> None:
    store.append(PROGRAM, events(FOLD_AT))
    pk = keys.user_pk(PROGRAM.incarnation, "ada")
    table.update(ItemKey(pk, keys.HISTORY), "SET packed = :bad", {":bad": {"B": b"\x01not a history"}})
    assert history_of(store).encode(PROGRAM.half_life_days) == expected(events(FOLD_AT))
    assert store.rebuild_history(PROGRAM, "ada")
    item = table.get(ItemKey(pk, keys.HISTORY))
    assert item is not None
    assert item["packed"]["B"] == expected(events(FOLD_AT))


def test_another_half_life_reads_right_at_once(store: DynamoStore) -> None:
    store.append(PROGRAM, events(WINDOW + 50))
    slower = replace(PROGRAM, half_life_days=90)
    store.update_program(slower)
    whole = History.from_events((e.event_type, e.asset_id, e.timestamp) for e in events(WINDOW + 50))
    now = START_US / 1e6 + 5_000_000
    assert history_of(store).base_weights(90, now) == pytest.approx(whole.base_weights(90, now))
    store.append(slower, events(1, first=WINDOW + 60))
    assert store.rebuild_history(slower, "ada")


def test_backfilled_events_show_after_a_rebuild(store: DynamoStore) -> None:
    store.append(PROGRAM, events(3))
    store.append(PROGRAM, events(3, first=3), refresh_histories=False)
    assert len(history_of(store).action_index) == 3
    assert outdated(store) == ["ada"]
    store.rebuild_history(PROGRAM, "ada")
    assert len(history_of(store).action_index) == 6
    assert outdated(store) == []


def test_backfilled_events_that_are_older_than_folded_ones_are_not_forgotten(store: DynamoStore) -> None:
    # Given a user with folded events, and older ones that were back-filled
    store.append(PROGRAM, events(WINDOW + 100, first=500))
    store.append(PROGRAM, events(3), refresh_histories=False)
    # When so many events come that the history is folded again
    store.append(PROGRAM, events(FOLD_AT, first=WINDOW + 700))
    # Then it lacks them still, and is known to
    assert outdated(store) == ["ada"]
    assert store.rebuild_histories(PROGRAM, ["ada"]) == []
    everything = [*events(3), *events(WINDOW + 100, first=500), *events(FOLD_AT, first=WINDOW + 700)]
    assert history_of(store).encode(PROGRAM.half_life_days) == expected(everything)
    assert outdated(store) == []


def test_events_that_are_backfilled_during_a_rebuild_are_not_forgotten(
    store: DynamoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a history that lacks events
    store.append(PROGRAM, events(WINDOW + 100, first=500), refresh_histories=False)
    read = store.history_from_log

    def read_before_another_backfill(*arguments: Any) -> History:
        history = read(*arguments)
        store.append(PROGRAM, events(3), refresh_histories=False)
        return history

    # When more are back-filled just after a rebuild has read the log
    with monkeypatch.context() as patch:
        patch.setattr(store, "history_from_log", read_before_another_backfill)
        store.rebuild_history(PROGRAM, "ada")
    # Then the history is known to lack these
    assert outdated(store) == ["ada"]
    store.rebuild_history(PROGRAM, "ada")
    assert outdated(store) == []


def test_users_whose_history_lacks_events_are_found(store: DynamoStore, table: Table) -> None:
    # Given users with short, folded and no histories, and rows of the log that no history has heard of
    for user_id, count in (("short", 3), ("long", FOLD_AT), ("folded", WINDOW + 20), ("whole", WINDOW + 20)):
        store.append(PROGRAM, events(count, user_id))
    store.append(PROGRAM, events(3, "complete"))
    assert outdated(store) == []
    for user_id in ("short", "long", "folded", "unheard"):
        (late,) = events(1, user_id, first=WINDOW + 50)
        table.put(ItemKey(keys.user_pk(PROGRAM.incarnation, user_id), keys.event_sk(late)), {})
    # Then those are found, and rebuilding brings them up to date
    assert outdated(store) == ["folded", "long", "short", "unheard"]
    for user_id in outdated(store):
        assert store.rebuild_history(PROGRAM, user_id)
    assert outdated(store) == []
    assert history_of(store, "unheard").encode(PROGRAM.half_life_days) == expected(events(1, first=WINDOW + 50))


def test_labels_source_and_event_ids_come_back_from_the_log(store: DynamoStore) -> None:
    event = Event("ada", START_US, "take", "a#b%c", "id#1", ("x", "y"), "personalize", "RID-1")
    store.append(PROGRAM, [event])
    assert list(store.events_of(PROGRAM.incarnation, "ada")) == [event]


def test_names_cannot_reach_into_others(store: DynamoStore) -> None:
    # Given user ids that look like other users' keys
    store.append(PROGRAM, events(2, "a"))
    store.append(PROGRAM, events(3, "a#U#b"))
    assert len(history_of(store, "a").action_index) == 2
    assert store.read_user(Incarnation(f"{PROGRAM.incarnation}#U#a"), "b").history is None
    assert {user for user, *_ in store.scan_events(PROGRAM.incarnation)} == {"a", "a#U#b"}


def test_a_read_is_one_call(store: DynamoStore, table: Table) -> None:
    store.append(PROGRAM, events(5))
    calls: list[str] = []
    table.client.meta.events.register("before-call.dynamodb", lambda model, **_: calls.append(model.name))
    read = store.read_user(PROGRAM.incarnation, "ada", access_key_id="k", resources=[("filter", "f")])
    assert calls == ["BatchGetItem"]
    assert read.state is not None
    assert read.state.program == PROGRAM
    assert read.access_key is None
    assert read.resources == {("filter", "f"): None}
