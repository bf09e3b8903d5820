"""The store against a naive model, whatever happens: pieces, repeats, crashes at any call, writers in between.

The model is two sets of one user's events: what was accepted, and what was sent. Folding is made to begin after four
events and the window to hold twelve, so that a few dozen events reach every state that thousands do.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar
from unittest.mock import patch

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from mypy_boto3_dynamodb.literals import ReturnValueType

from nextbest.aws.table import Item, ItemKey, Table, Update
from nextbest.domain.actions import Action
from nextbest.domain.events import Event
from nextbest.domain.history import History, HistoryEvent
from nextbest.store import keys
from nextbest.store.dynamo import DynamoStore
from tests.store.conftest import PROGRAM, create_table, dynamodb

T = TypeVar("T")

HOUR_US = 3_600_000_000
FOLD_AT, WINDOW = 4, 12
CALLS = st.integers(0, 5)
# Ten moments, so that several events share one, and some come long before others that were folded.
EVENTS = st.lists(
    st.tuples(st.integers(1, 10), st.sampled_from(("tea", "cake", "milk")), st.sampled_from(("", "a", "b"))),
    min_size=1,
    max_size=9,
)
Drawn = Sequence[tuple[int, str, str]]


class Killed(Exception):
    """The writer's process ended."""


class Stage(Table):
    """A table on which something happens right before or right after one of the calls to come."""

    def __init__(self, table: Table) -> None:
        super().__init__(table.client, table.name)
        self._calls_left = -1
        self._after = False
        self._happening: Callable[[], object] = lambda: None

    def plan(self, happening: Callable[[], object], *, calls_left: int, after: bool) -> None:
        """Let it happen at the call after so many others; a plan that was not reached is forgotten."""
        self._happening, self._calls_left, self._after = happening, calls_left, after

    def get_many(self, keys: Sequence[ItemKey]) -> dict[ItemKey, Item]:
        return self._on_stage(lambda: super(Stage, self).get_many(keys))

    def insert_new(self, items: Sequence[tuple[ItemKey, Mapping[str, str]]]) -> list[bool]:
        return self._on_stage(lambda: super(Stage, self).insert_new(items))

    def update(
        self,
        key: ItemKey,
        expression: str,
        values: Item,
        *,
        condition: str | None = None,
        returns: ReturnValueType = "NONE",
    ) -> Item:
        return self._on_stage(
            lambda: super(Stage, self).update(key, expression, values, condition=condition, returns=returns)
        )

    def update_all(self, updates: Sequence[Update]) -> None:
        self._on_stage(lambda: super(Stage, self).update_all(updates))

    def _on_stage(self, call: Callable[[], T]) -> T:
        now = self._calls_left == 0
        self._calls_left -= 1
        if now and not self._after:
            self._happening()
        result = call()
        if now and self._after:
            self._happening()
        return result


class OneUser(RuleBasedStateMachine):
    """Whatever is done to one user's events. ``other`` is a second writer, in a process of its own."""

    def __init__(self, table: Table) -> None:
        super().__init__()
        self._stage = Stage(table)
        self._store, self._other = DynamoStore(self._stage), DynamoStore(table)
        self._patches = [
            patch("nextbest.store.histories.FOLD_AT", FOLD_AT),
            patch("nextbest.domain.history.WINDOW", WINDOW),
        ]
        for one in self._patches:
            one.start()

    @initialize()
    def begin(self) -> None:
        self._user_id = f"user-{uuid.uuid4().hex}"
        self._sent: set[Event] = set()
        self._shown: set[Event] = set()
        self._hidden: set[Event] = set()

    def _events(self, drawn: Drawn) -> list[Event]:
        return [
            Event(self._user_id, hour * HOUR_US, "order", asset_id, event_id and f"{event_id}-{hour}-{asset_id}")
            for hour, asset_id, event_id in drawn
        ]

    def _post(self, store: DynamoStore, events: Sequence[Event], *, refresh: bool = True) -> None:
        self._sent |= set(events)
        store.append(PROGRAM, events, refresh_histories=refresh)
        (self._shown if refresh else self._hidden).update(events)

    @rule(drawn=EVENTS, size=st.integers(1, 9))
    def post_in_pieces(self, drawn: Drawn, size: int) -> None:
        events = self._events(drawn)
        for start in range(0, len(events), size):
            self._post(self._store, events[start : start + size])

    @rule(drawn=EVENTS)
    def back_fill(self, drawn: Drawn) -> None:
        self._post(self._store, self._events(drawn), refresh=False)

    @rule(drawn=EVENTS, calls_left=CALLS, after=st.booleans())
    def post_and_be_killed(self, drawn: Drawn, calls_left: int, after: bool) -> None:
        def die() -> None:
            raise Killed

        self._stage.plan(die, calls_left=calls_left, after=after)
        with suppress(Killed):  # nobody was told then that the events are accepted
            self._post(self._store, self._events(drawn))
        self._stage.plan(die, calls_left=-1, after=False)

    @rule(mine=EVENTS, theirs=EVENTS, calls_left=CALLS, after=st.booleans())
    def post_while_another_does(self, mine: Drawn, theirs: Drawn, calls_left: int, after: bool) -> None:
        def other_posts() -> None:
            self._post(self._other, self._events(theirs))

        self._stage.plan(other_posts, calls_left=calls_left, after=after)
        self._post(self._store, self._events(mine))
        self._stage.plan(other_posts, calls_left=-1, after=False)

    @rule(theirs=EVENTS, calls_left=CALLS, after=st.booleans(), alone=st.booleans(), refresh=st.booleans())
    def rebuild_while_another_posts(
        self, theirs: Drawn, calls_left: int, after: bool, alone: bool, refresh: bool
    ) -> None:
        def other_posts() -> None:
            self._post(self._other, self._events(theirs), refresh=refresh)

        self._stage.plan(other_posts, calls_left=calls_left, after=after)
        if alone:
            self._store.rebuild_history(PROGRAM, self._user_id)
        else:
            assert self._store.rebuild_histories(PROGRAM, [self._user_id]) == []
        self._stage.plan(other_posts, calls_left=-1, after=False)

    @rule(calls_left=CALLS, after=st.booleans())
    def rebuild_what_is_marked(self, calls_left: int, after: bool) -> None:
        """What was back-filled is in the histories then, whenever its mark was set; also where one was killed first."""

        def die() -> None:
            raise Killed

        def marked() -> list[str]:
            tail = self._other._table.get(ItemKey(keys.user_pk(PROGRAM.incarnation, self._user_id), keys.TAIL))
            return [self._user_id] if "backfilled" in (tail or {}) else []

        self._stage.plan(die, calls_left=calls_left, after=after)
        with suppress(Killed):
            self._store.rebuild_histories(PROGRAM, marked())
        self._stage.plan(die, calls_left=-1, after=False)
        self._other.rebuild_histories(PROGRAM, marked())
        self._shown |= self._hidden

    @rule()
    def try_all_again(self) -> None:
        """As clients do that were not told that it went well; then nothing is left open."""
        if self._sent:
            self._post(self._store, sorted(self._sent))
            assert self._encoded() == self._expected(self._sent)

    @invariant()
    def nothing_accepted_is_lost_and_nothing_counts_twice(self) -> None:
        logged = list(self._other.events_of(PROGRAM.incarnation, self._user_id))
        assert len(logged) == len(set(logged))
        assert self._shown | self._hidden <= set(logged) <= self._sent
        history = self._other.read_user(PROGRAM.incarnation, self._user_id).history or History.empty()
        weights = history.base_weights(PROGRAM.half_life_days, 11 * 3600.0)
        least, most = (self._weights(events) for events in (self._shown, logged))
        assert weights.keys() <= most.keys()
        for action, weight in least.items():
            assert weight * (1 - 1e-9) <= weights[action] <= most[action] * (1 + 1e-9)

    def _weights(self, events: Sequence[Event] | set[Event]) -> dict[Action, float]:
        history = History.from_history_events(HistoryEvent.of(event) for event in events)
        return history.base_weights(PROGRAM.half_life_days, 11 * 3600.0)

    def _encoded(self) -> bytes:
        history = self._other.read_user(PROGRAM.incarnation, self._user_id).history
        assert history is not None
        return history.encode(PROGRAM.half_life_days)

    def _expected(self, events: set[Event]) -> bytes:
        return History.from_history_events(HistoryEvent.of(event) for event in events).encode(PROGRAM.half_life_days)

    def teardown(self) -> None:
        self.try_all_again()
        for one in self._patches:
            one.stop()


def test_the_store_is_the_naive_model_whatever_happens(start_engine: Callable[[str], str]) -> None:
    client = dynamodb(start_engine("dynoxide"))
    table = create_table(client, f"test-{uuid.uuid4().hex}")
    DynamoStore(table).create_program(PROGRAM)
    begin: Any = partial(OneUser, table)  # hypothesis asks for a class, and takes whatever makes a machine
    run_state_machine_as_test(begin, settings=settings(max_examples=25, stateful_step_count=16, deadline=None))
    client.close()


@pytest.mark.parametrize(("calls_left", "after"), [(0, False), (0, True), (1, False), (1, True)])
def test_a_back_fill_during_a_rebuild_of_many_stays_marked_or_is_in_the_histories(
    table: Table, calls_left: int, after: bool
) -> None:
    stage = Stage(table)
    store, other = DynamoStore(stage), DynamoStore(table)
    store.create_program(PROGRAM)
    users = [f"user-{number}" for number in range(5)]
    first = [Event(user_id, HOUR_US, "order", "latte") for user_id in users]
    second = [Event(user_id, 2 * HOUR_US, "order", "tea") for user_id in users[:2]]
    store.append(PROGRAM, first, refresh_histories=False)
    stage.plan(lambda: other.append(PROGRAM, second, refresh_histories=False), calls_left=calls_left, after=after)

    assert store.rebuild_histories(PROGRAM, [*users, users[0]]) == []

    assert store.rebuild_histories(PROGRAM, list(store.backfilled_users(PROGRAM.incarnation))) == []
    for user_id in users:
        history = store.read_user(PROGRAM.incarnation, user_id).history
        expected = [event.asset_id for event in (*first, *second) if event.user_id == user_id]
        assert history is not None
        assert [history.actions[place].asset_id for place in history.action_index] == expected
    assert list(store.backfilled_users(PROGRAM.incarnation)) == []
