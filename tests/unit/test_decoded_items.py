"""What items were decoded to serves only while the very same bytes are stored."""

from __future__ import annotations

import random
from typing import Any

import pytest

from nextbest.domain.actions import Action
from nextbest.domain.history import History, HistoryEvent, pack_event
from nextbest.errors import HistoryCorrupt
from nextbest.store.cache import DecodedHistories, DecodedItems
from nextbest.store.histories import decode_history

HALF_LIFE_DAYS = 30.0


def event(number: int) -> HistoryEvent:
    return HistoryEvent(1_700_000_000_000_000 + number * 1_000_000, Action("order", f"drink-{number % 7}"))


def snapshot(*numbers: int) -> dict[str, Any]:
    return {"packed": {"B": History.from_history_events(map(event, numbers)).encode(HALF_LIFE_DAYS)}}


def tail(*numbers: int) -> dict[str, Any]:
    return {"tail_events": {"BS": [pack_event(event(number)) for number in numbers]}}


def test_an_unchanged_history_is_the_same_object() -> None:
    histories = DecodedHistories()
    first = histories.history_of("ada", snapshot(1, 2), tail(3))
    assert histories.history_of("ada", snapshot(1, 2), tail(3)) is first


def test_users_with_equal_histories_have_each_their_own() -> None:
    histories = DecodedHistories()
    assert histories.history_of("ada", None, tail(3)) is not histories.history_of("bob", None, tail(3))


def test_a_history_is_always_what_is_stored_now() -> None:
    # Given a user whose items change at random: events come, are folded, are forgotten, and come back
    generator, histories = random.Random(7), DecodedHistories()
    for _ in range(300):
        folded = sorted(generator.sample(range(4), generator.randrange(4)))
        added = sorted(generator.sample(range(2, 7), generator.randrange(4)))
        items = snapshot(*folded) if folded else None, tail(*added) if added else None
        # When it is read
        history = histories.history_of("ada", *items)
        # Then it is that of these items alone
        expected = decode_history(*items)
        encoded = [each.encode(HALF_LIFE_DAYS) if each is not None else None for each in (history, expected)]
        assert encoded[0] == encoded[1]


def test_a_user_who_was_erased_has_no_history_and_leaves_none_behind() -> None:
    histories = DecodedHistories()
    histories.history_of("ada", snapshot(1), tail(2))
    assert histories.history_of("ada", None, None) is None
    assert len(histories) == 0


@pytest.mark.parametrize("damaged", [{"B": b"\x01nothing"}, {"S": "text"}])
def test_a_damaged_history_is_corrupt_whatever_was_there_before(damaged: dict[str, Any]) -> None:
    snapshot_item: dict[str, Any] = {"packed": damaged}
    histories = DecodedHistories()
    histories.history_of("ada", None, tail(2))
    with pytest.raises(HistoryCorrupt):
        histories.history_of("ada", snapshot_item, tail(2))


def test_the_oldest_make_room() -> None:
    size = len(snapshot(1)["packed"]["B"])
    histories = DecodedHistories(most_bytes=2 * size)
    first = histories.history_of("ada", snapshot(1), None)
    histories.history_of("bob", snapshot(1), None)
    assert histories.history_of("ada", snapshot(1), None) is first  # used again, so Bob is the oldest
    histories.history_of("cyd", snapshot(1), None)
    assert len(histories) == 2
    assert histories.history_of("ada", snapshot(1), None) is first


def test_an_item_that_changed_is_decoded_again() -> None:
    decoded = []

    def decode(item: Any) -> str:
        decoded.append(item)
        return str(item["body"]["S"])

    items = DecodedItems(decode)
    texts = [items.of("key", {"body": {"S": text}}) for text in ("a", "a", "b", "a")]
    assert texts == ["a", "a", "b", "a"]
    assert len(decoded) == 3
