"""Packed events are merged as the same events one by one are, whatever they are and whenever they came."""

from __future__ import annotations

from collections.abc import Sequence
from unittest.mock import patch

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nextbest.domain.actions import Action, DistinctActions
from nextbest.domain.history import History, HistoryEvent, pack_event, unpack_event
from nextbest.errors import HistoryCorrupt

HALF_LIFE_DAYS = 3.0
NAMES = st.sampled_from(["", "a", "ab", "b", "latté", "茶", "z" * 300])
EVENTS = st.lists(
    st.builds(
        HistoryEvent,
        st.integers(0, 40) | st.integers(1_700_000_000_000_000, 1_700_000_000_000_020),
        st.builds(Action, NAMES, NAMES),
        st.sampled_from([0, 1, 2**64 - 1]),
    ),
    unique=True,
    max_size=30,
)


def outcome(history: History) -> tuple[object, ...]:
    return (
        history.actions,
        history.recent_events(),
        history.older_index.tolist(),
        history.older_timestamps_us.tolist(),
        history.encode(HALF_LIFE_DAYS),
    )


@given(held=EVENTS, added=EVENTS, window=st.integers(1, 40), stored=st.booleans())
@example(held=[], added=[], window=1, stored=True)
def test_packed_events_are_merged_as_events_are(
    held: Sequence[HistoryEvent], added: Sequence[HistoryEvent], window: int, stored: bool
) -> None:
    with patch("nextbest.domain.history.WINDOW", window):
        history = History.from_history_events(held)
        if stored:
            history = History.decode(history.encode(HALF_LIFE_DAYS))
        packed = [pack_event(event) for event in added]
        try:
            expected = outcome(history.merge(map(unpack_event, packed)))
        except HistoryCorrupt:
            with pytest.raises(HistoryCorrupt, match="older than the folded part"):
                history.merge_packed(packed)
        else:
            assert outcome(history.merge_packed(packed)) == expected


@pytest.mark.parametrize(
    "damaged",
    [b"", b"\x01", pack_event(HistoryEvent(5, Action("order", "tea")))[:18], b"\x02" + b"\0" * 30],
    ids=["nothing", "a byte", "a part", "another version"],
)
def test_a_packed_event_that_cannot_be_read_is_corrupt_among_others(damaged: bytes) -> None:
    whole = pack_event(HistoryEvent(5, Action("order", "tea")))
    with pytest.raises(HistoryCorrupt):
        History.empty().merge_packed([whole, damaged])


def test_a_name_that_is_no_text_is_corrupt() -> None:
    whole = pack_event(HistoryEvent(5, Action("order", "tea")))
    with pytest.raises(HistoryCorrupt, match="cannot be read"):
        History.empty().merge_packed([whole, whole[:-1] + b"\xff"])


@given(st.sets(st.builds(Action, NAMES, NAMES)), st.builds(Action, NAMES, NAMES))
def test_distinct_actions_are_a_sequence_of_them(actions: set[Action], other: Action) -> None:
    ordered = sorted(actions)
    distinct = DistinctActions.of(ordered)
    assert distinct == ordered
    assert hash(distinct) == hash(DistinctActions.of(ordered)) == hash(tuple(ordered))
    assert list(distinct) == [distinct[place] for place in range(len(distinct))] == ordered
    assert [distinct[-place] for place in range(1, len(ordered) + 1)] == ordered[::-1]
    assert distinct[1:3] == ordered[1:3]
    assert [distinct.place_of(action) for action in ordered] == list(range(len(ordered)))
    assert (distinct.place_of(other) is not None) == (other in distinct) == (other in actions)
    assert set(distinct.event_types) == {event_type for event_type, _ in actions}
    for place in (len(ordered), -len(ordered) - 1):
        with pytest.raises(IndexError):
            distinct[place]
    if ordered:
        assert distinct != ordered[1:]
        assert distinct != [*ordered[:-1], Action("no", "such")]
