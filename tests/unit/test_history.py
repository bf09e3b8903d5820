"""The packed history: base weights, encoding, merging and folding."""

from __future__ import annotations

from datetime import datetime
from random import Random

import numpy as np
import pytest

from nextbest.domain.actions import Action
from nextbest.domain.history import (
    MAX_ENCODED_BYTES,
    WINDOW,
    History,
    HistoryEvent,
    identity_of,
    pack_event,
    unpack_event,
)
from nextbest.errors import HistoryCorrupt

DAY = 86_400.0


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def many(count: int, *, step: float = 3_600.0, start: float = 1.6e9) -> list[HistoryEvent]:
    return [
        HistoryEvent(round((start + step * n) * 1e6), Action("order", f"drink-{n % 7}"), identity_of(f"e{n}" * (n % 2)))
        for n in range(count)
    ]


def test_base_weight_is_the_worked_example_of_the_contract() -> None:
    # ActionHub contract, "Worked example for base weights".
    history = History.from_events(
        [
            ("watch", "Arthur Christmas", seconds("2017-12-04T06:20:52+00:00")),
            ("watch", "Arthur Christmas", seconds("2017-12-03T21:32:58+00:00")),
        ]
    )
    now = seconds("2019-07-01T07:00:00+00:00")
    weight = history.base_weights(364, now)[Action("watch", "Arthur Christmas")]
    assert weight == pytest.approx(0.5 ** (574.027176 / 364) + 0.5 ** (574.393773 / 364), abs=1e-8)
    assert round(weight, 6) == 0.670123


def test_an_event_of_one_half_life_ago_weighs_a_half() -> None:
    history = History.from_events([("order", "latte", 1e9), ("order", "latte", 1e9 + 10 * DAY)])
    assert history.base_weights(10, 1e9 + 10 * DAY) == {("order", "latte"): 1.5}


def test_equal_events_count_once_and_client_ids_tell_them_apart() -> None:
    one = HistoryEvent(1, Action("a", "b"))
    history = History.from_history_events([one, one, HistoryEvent(1, Action("a", "b"), identity_of("x"))])
    assert len(history.action_index) == 2


@pytest.mark.parametrize("count", [0, 1, 48, WINDOW, WINDOW + 1, 3 * WINDOW])
def test_decode_is_the_inverse_of_encode(count: int) -> None:
    history = History.from_history_events(many(count)).fold(30)
    again = History.decode(history.encode(30))
    assert again.actions == history.actions
    assert again.recent_events() == history.recent_events()
    assert again.encode(30) == history.encode(30)
    now = 1.7e9
    np.testing.assert_array_equal(again.base_weight_vector(30, now), history.base_weight_vector(30, now))


def test_folded_events_keep_their_weight() -> None:
    events = many(5 * WINDOW)
    whole = History.from_history_events(events)
    folded = whole.fold(30)
    assert folded.older_index.size == 0
    now = events[-1].timestamp_us / 1e6 + DAY
    np.testing.assert_allclose(folded.base_weight_vector(30, now), whole.base_weight_vector(30, now), rtol=1e-12)


def test_order_of_arrival_never_shows() -> None:
    # Given 3,000 events arriving in order, in steps, and all at once
    events = many(3 * WINDOW)
    stepwise = History.empty()
    for start in range(0, len(events), 700):
        chunk = events[start : start + 700]
        stepwise = History.decode(stepwise.merge([*chunk, *chunk[::-1]]).encode(30))
    at_once = History.from_history_events(reversed(events))
    # Then the stored bytes are the same
    assert stepwise.encode(30) == at_once.encode(30)


def test_a_short_half_life_over_decades_neither_overflows_nor_loses_digits() -> None:
    events = [HistoryEvent(round(day * DAY * 1e6), Action("a", "b")) for day in range(1, 12_000, 3)]
    history = History.decode(History.from_history_events(events).encode(3))
    now = events[-1].timestamp_us / 1e6
    assert history.base_weights(3, now)[Action("a", "b")] == pytest.approx(2.0, rel=1e-12)


def test_an_event_from_the_folded_past_asks_for_a_rebuild() -> None:
    history = History.from_history_events(many(WINDOW + 10)).fold(30)
    with pytest.raises(HistoryCorrupt, match="rebuild"):
        history.merge([HistoryEvent(5, Action("late", "event"))])


def long_names(count: int, *, seed: int) -> list[HistoryEvent]:
    """Events of names as long as they may be, all different, which no compression makes short."""
    random = Random(seed)
    emoji = [chr(0x1F300 + number) for number in range(512)]
    return [
        HistoryEvent(
            1_700_000_000_000_000 + n,
            Action("".join(random.choices(emoji, k=128)), "".join(random.choices(emoji, k=64))),
        )
        for n in range(count)
    ]


@pytest.mark.parametrize("count", [700, WINDOW, WINDOW + 500])
def test_a_history_of_too_many_long_names_forgets_the_oldest_and_weakest(count: int) -> None:
    events = long_names(count, seed=5)
    encoded = History.from_history_events(events).encode(30)
    history = History.decode(encoded)

    assert MAX_ENCODED_BYTES / 8 < len(encoded) <= MAX_ENCODED_BYTES
    kept = history.recent_events()
    assert kept == events[-len(kept) :]
    assert history.base_weights(30, 1.7e9)[kept[-1].action] == pytest.approx(1.0, abs=1e-3)
    # What it forgot it does not take for new, and it goes on taking what is new
    with pytest.raises(HistoryCorrupt, match="rebuild"):
        history.merge(events[:1])
    newer = HistoryEvent(1_700_000_001_000_000, Action("order", "latte"))
    assert History.decode(history.merge([newer]).encode(30)).recent_events()[-1] == newer


def test_another_half_life_asks_for_a_rebuild() -> None:
    history = History.from_history_events(many(WINDOW + 10)).fold(30)
    with pytest.raises(HistoryCorrupt, match="half-life"):
        history.base_weights(31, 1.7e9)


@pytest.mark.parametrize("damage", [b"", b"\x01", b"\x02abcdefgh"])
def test_damaged_bytes_are_refused(damage: bytes) -> None:
    with pytest.raises(HistoryCorrupt):
        History.decode(damage)


def test_a_flipped_bit_is_refused() -> None:
    data = bytearray(History.from_history_events(many(20)).encode(30))
    data[len(data) // 2] ^= 4
    with pytest.raises(HistoryCorrupt):
        History.decode(bytes(data))


def test_packed_events_round_trip() -> None:
    event = HistoryEvent(1_700_000_000_000_001, Action("commande ☕", "café/1"), identity_of("id-1"))
    assert unpack_event(pack_event(event)) == event
    with pytest.raises(HistoryCorrupt):
        unpack_event(b"\x01\x02")


def test_a_hundred_events_fit_in_half_a_read_unit() -> None:
    # One strongly consistent read unit is 4 KB.
    assert len(History.from_history_events(many(100)).encode(365)) < 2048
    assert len(History.from_history_events(many(WINDOW)).encode(365)) < 4096 * 3
