"""Segments: the same weights as one by one, and who belongs to which."""

from __future__ import annotations

import csv
from functools import cache
from io import StringIO
from random import Random

import numpy as np
import pytest

from nextbest.actionhub.segments import prefers_csv
from nextbest.domain.actions import Action
from nextbest.domain.events import Event
from nextbest.domain.history import WINDOW, History, HistoryEvent
from nextbest.domain.programs import Program
from nextbest.errors import ArtifactError
from nextbest.logic.segment_files import to_csv
from nextbest.logic.segment_reading import StoredSegments, WholeFile
from nextbest.logic.segments import SegmentMember, SegmentMembers
from nextbest.scoring import Model, recommend
from nextbest.scoring.memberships import RECOMMENDED_ACTIONS, Segments, build_part, histories_of
from nextbest.scoring.segment_manifest import BASE, DISCOVERY, GROWTH
from nextbest.training import train
from tests.factories import columns_of_events

NOW = 1_750_000_000.0
DAY = 86_400.0
PROGRAM = Program("coffee", half_life_days=30)
LATTE, MOCHA, TEA = Action("order", "latte"), Action("order", "mocha"), Action("view", "tea")

# Three users: ann 0.9 latte, 0.2 mocha; bob 0.5 latte, 0.5 tea; cid 0.7 mocha.
SMALL = Segments.of(
    ["ann", "bob", "cid"],
    [LATTE, MOCHA, TEA],
    np.array([0, 0, 1, 1, 2], np.uint32),
    np.array([0, 1, 0, 2, 1], np.uint32),
    np.array([0.9, 0.2, 0.5, 0.5, 0.7]),
)


@cache
def some_events() -> list[Event]:
    """Sixty users and two kinds of events; one user has more than a history keeps one by one."""
    random = Random(5)
    events = [
        Event(
            f"user-{random.randrange(60):02}",
            round((NOW - random.random() * 90 * DAY) * 1e6),
            random.choice(["order", "order", "view"]),
            f"drink-{min(random.randrange(12), random.randrange(12))}",
        )
        for _ in range(1500)
    ]
    events += [Event("user-07", round((NOW - n * 3600) * 1e6), "order", f"drink-{n % 4}") for n in range(WINDOW + 50)]
    return list(dict.fromkeys(events))


@cache
def model() -> Model:
    return train(columns_of_events(some_events()), program=PROGRAM, now=NOW, seed=0)


@cache
def built() -> dict[str, Segments]:
    return build_part(model(), columns_of_events(some_events()), half_life_days=PROGRAM.half_life_days, now=NOW)


def stored_history(user_id: str) -> History:
    """The history as the store holds it: folded, and through its bytes."""
    own = (HistoryEvent.of(event) for event in some_events() if event.user_id == user_id)
    return History.decode(History.from_history_events(own).encode(PROGRAM.half_life_days))


@pytest.mark.parametrize(("kind", "allow_repeats"), [(GROWTH, True), (DISCOVERY, False)])
def test_weights_of_all_users_at_once_are_those_of_the_users_own_endpoint(kind: str, allow_repeats: bool) -> None:
    segments = built()[kind]
    for user_id in segments.users:
        one_by_one = recommend(
            model(), stored_history(user_id), now=NOW, limit=RECOMMENDED_ACTIONS, allow_repeats=allow_repeats
        )
        expected = {Action(entry.event_type, entry.asset_id): entry.growth_weight for entry in one_by_one}
        assert dict(segments.memberships(user_id)) == expected


def test_base_weights_of_all_users_at_once_are_those_of_their_histories() -> None:
    segments = built()[BASE]
    assert len(segments.users) == 60
    for user_id in segments.users:
        expected = stored_history(user_id).base_weights(PROGRAM.half_life_days, NOW)
        assert dict(segments.memberships(user_id)) == expected


def test_values_and_a_floor_count_at_once_as_one_by_one() -> None:
    valued = Model(
        model().actions, model().repeats, model().discoveries, model().half_life_days, model().horizon_days,
        0.05, NOW, {}, np.linspace(0.1, 3.0, len(model().actions)),
    )  # fmt: skip
    segments = build_part(valued, columns_of_events(some_events()), half_life_days=PROGRAM.half_life_days, now=NOW)
    for kind, allow_repeats in ((GROWTH, True), (DISCOVERY, False)):
        expected = recommend(
            valued, stored_history("user-03"), now=NOW, limit=RECOMMENDED_ACTIONS, allow_repeats=allow_repeats
        )
        assert dict(segments[kind].memberships("user-03")) == {
            Action(entry.event_type, entry.asset_id): entry.growth_weight for entry in expected
        }


def test_histories_made_at_once_encode_as_the_stored_ones() -> None:
    users, histories = histories_of(columns_of_events(some_events()), half_life_days=PROGRAM.half_life_days)
    assert users == sorted({event.user_id for event in some_events()})
    for user_id, history in zip(users, histories, strict=True):
        assert history.encode(PROGRAM.half_life_days) == stored_history(user_id).encode(PROGRAM.half_life_days)


@pytest.mark.parametrize(
    ("groups", "min_weight", "match_all", "expected"),
    [
        ([[0]], 0.5, False, ["ann", "bob"]),
        ([[0]], 0.51, False, ["ann"]),
        ([[0], [1]], 0.5, False, ["ann", "bob", "cid"]),
        ([[0], [1]], 0.2, True, ["ann"]),
        ([[0, 1]], 0.6, True, ["ann", "cid"]),
        ([[0], []], 0.0, True, []),
        ([[0], []], 0.0, False, ["ann", "bob"]),
        ([], 0.0, True, []),
    ],
)
def test_users_of_a_group_of_actions_took_any_or_all(
    groups: list[list[int]], min_weight: float, match_all: bool, expected: list[str]
) -> None:
    assert SMALL.users_of(groups, min_weight, match_all=match_all) == expected


@pytest.mark.parametrize(
    ("groups", "match_all", "expected"),
    [
        ([[0]], False, {"ann": (0.9, LATTE), "bob": (0.5, LATTE)}),
        ([[0], [1]], False, {"ann": (0.9, LATTE), "bob": (0.5, LATTE), "cid": (0.7, MOCHA)}),
        ([[0, 2]], False, {"ann": (0.9, LATTE), "bob": (0.5, LATTE)}),
        ([[0], [1]], True, {"ann": (0.2, MOCHA)}),
        ([[0], [0, 2]], True, {"ann": (0.9, LATTE), "bob": (0.5, LATTE)}),
        ([[0], []], True, {}),
        ([], True, {}),
        ([], False, {}),
    ],
)
def test_the_weight_of_a_member_is_that_which_makes_them_one(
    groups: list[list[int]], match_all: bool, expected: dict[str, tuple[float, Action]]
) -> None:
    weights, actions = SMALL.weights_for(groups, match_all=match_all)
    found = {
        user_id: (weight, SMALL.actions[action])
        for user_id, weight, action in zip(SMALL.users, weights.tolist(), actions.tolist(), strict=True)
        if action >= 0
    }
    assert found == expected
    for min_weight in (0.0, 0.2, 0.5, 0.51, 0.9, 0.91):
        members = [user_id for user_id, (weight, _) in expected.items() if weight >= min_weight]
        assert SMALL.users_of(groups, min_weight, match_all=match_all) == members


def test_the_largest_weight_is_over_all_users() -> None:
    stored = StoredSegments(SMALL.actions, WholeFile(SMALL))
    for actions, expected in (([0], 0.9), ([1], 0.7), ([2], 0.5), ([1, 2], 0.7), ([], 0.0)):
        assert SegmentMembers(stored, [actions], 0.0, match_all=False).largest_weight == expected
    assert SegmentMembers(stored, [[0], [1]], 0.0, match_all=True).largest_weight == 0.2
    assert SegmentMembers(stored, [[0], []], 0.0, match_all=True).largest_weight == 0.0


IDS = ["plain", "with, comma", 'with "quotes"', " blank ", "日本", "'", ";"]
IDS += ["=1+1", "+1", "-1", "@SUM(A1)", "=cmd|' /C'!A0"]


def test_a_csv_has_ids_as_they_are() -> None:
    members = [SegmentMember(user_id, 0.1 + 0.2, Action("view, or=not", user_id)) for user_id in IDS]

    header, *rows = csv.reader(StringIO(to_csv(members), newline=""))

    assert header == ["user_id", "weight", "event_type", "asset_id"]
    assert [row[0] for row in rows] == [row[3] for row in rows] == IDS
    assert {(float(row[1]), row[2]) for row in rows} == {(0.1 + 0.2, "view, or=not")}
    # A plain id is not quoted, and lines end as RFC 4180 says
    assert to_csv(members[:1]) == (
        'user_id,weight,event_type,asset_id\r\nplain,0.30000000000000004,"view, or=not",plain\r\n'
    )


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        ("text/csv", True),
        ("Text/CSV; header=present", True),
        ("text/csv, */*", True),
        ("text/plain, text/csv", False),
        ("text/plain;q=0.5, text/csv", True),
        ("text/csv;q=0.5, text/plain", False),
        ("text/csv;q=0", False),
        ("text/csv;q=x", False),
        ("application/csv", False),
    ],
)
def test_a_client_that_accepts_csv_before_plain_text_gets_it(accept: str, expected: bool) -> None:
    assert prefers_csv(accept) is expected


def test_the_strength_of_a_group_is_the_sum_of_its_members_strongest_weights() -> None:
    for actions, min_weight, members, total in (
        ([0], 0.5, 2, 0.9 + 0.5),
        ([0, 1], 0.6, 2, 0.9 + 0.7),
        ([2], 0.6, 0, 0.0),
    ):
        count, strength = SMALL.strength(actions, min_weight)
        assert count == members
        assert strength == pytest.approx(total)


def test_taking_a_user_out_leaves_the_others_as_they_were() -> None:
    without = SMALL.without({"bob", "nobody"})
    assert list(without.users) == ["ann", "cid"]
    assert without.memberships("bob") == []
    for user_id in ("ann", "cid"):
        assert without.memberships(user_id) == SMALL.memberships(user_id)
    assert b"bob" not in without.encode()
    assert without.users_of([[0], [1], [2]], 0.0, match_all=False) == ["ann", "cid"]


def test_segments_written_and_read_are_the_same() -> None:
    read = Segments.decode(SMALL.encode())
    assert list(read.users) == list(SMALL.users)
    for user_id in SMALL.users:
        assert read.memberships(user_id) == SMALL.memberships(user_id)
    assert read.encode() == SMALL.encode()


def test_a_damaged_file_is_refused() -> None:
    data = bytearray(SMALL.encode())
    data[-1] ^= 1
    with pytest.raises(ArtifactError):
        Segments.decode(bytes(data))
    with pytest.raises(ArtifactError):
        Segments.decode(model().to_bytes())
