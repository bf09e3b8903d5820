"""Segments read in parts answer as all of them at once, however many parts there are and however little is read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import chain

import numpy as np
import pytest

from nextbest.domain.actions import Action
from nextbest.domain.assets import Asset
from nextbest.domain.catalogue import Catalogue
from nextbest.errors import ArtifactError
from nextbest.logic import segment_reading
from nextbest.logic.action_list import ActionStatistics
from nextbest.logic.segment_files import page_of_members, segment_text
from nextbest.logic.segment_reading import PartCache, StoredSegments, WholeFile, open_segments
from nextbest.logic.segment_writing import put_manifest, sums_of, without_users, write_part
from nextbest.logic.segments import SegmentMembers, members_of, summaries_of
from nextbest.logic.users import users_beginning_with
from nextbest.scoring.memberships import Segments
from nextbest.scoring.segment_manifest import SEGMENT_TYPES, SegmentsManifest
from nextbest.store.base import ByteRange, SegmentsPointer
from tests.factories import MemoryArtifacts

USERS = [f"user-{number:02d}" for number in range(40)]
ACTIONS = sorted(Action(event_type, f"asset-{number}") for event_type in ("order", "view") for number in range(6))
LABELS = Catalogue(1, {f"asset-{number}": Asset(f"asset-{number}", "", (f"label-{number % 2}", "all"))
                       for number in range(6)})  # fmt: skip
POINTER = SegmentsPointer("1", "segments/coffee/1/", 0.0)


def drawn(seed: int) -> Segments:
    """Forty users with weights of few different values, so that many are equal; one action has nobody."""
    random = np.random.default_rng(seed)
    weights = random.integers(0, 6, (len(USERS), len(ACTIONS))) / 5
    weights[:, 3] = 0.0
    user, action = np.nonzero(weights)
    return Segments.of(USERS, ACTIONS, user.astype(np.uint32), action.astype(np.uint32), weights[user, action])


WHOLE = {kind: drawn(seed) for seed, kind in enumerate(SEGMENT_TYPES)}


def manifest_of(artifacts: MemoryArtifacts, part_users: int) -> SegmentsManifest:
    parts = []
    for number, begin in enumerate(range(0, len(USERS), part_users)):
        others = set(USERS) - set(USERS[begin : begin + part_users])
        of_users = {kind: segments.without(others) for kind, segments in WHOLE.items()}
        part = write_part(artifacts, POINTER.prefix, number, of_users)
        assert part is not None
        parts.append(part)
    return SegmentsManifest(ACTIONS, parts, sums_of(artifacts, parts, len(ACTIONS)))


@pytest.fixture(params=[(1, True), (2, False), (7, True), (7, False)], ids=str)
def stored(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> dict[str, StoredSegments]:
    """The segments in parts, of which whole files are read, or slices."""
    parts, is_whole = request.param
    if not is_whole:
        monkeypatch.setattr(segment_reading, "_WHOLE_FILE_BYTES", 0)
    artifacts = MemoryArtifacts()
    pointer = put_manifest(artifacts, POINTER, manifest_of(artifacts, -(-len(USERS) // parts)))
    opened = {kind: open_segments(artifacts, pointer, kind) for kind in SEGMENT_TYPES}
    assert {segments.part_count for segments in opened.values()} == {parts}
    return opened


def expected_members(groups: list[list[int]], min_weight: float, *, match_all: bool) -> list[tuple[str, float, int]]:
    """By the definition, user by user: of equal weights the first action of the first group counts."""
    segments, listed = WHOLE["growth"], []
    for user, user_id in enumerate(USERS):
        weights = np.full(len(ACTIONS), -np.inf)
        for action in range(len(ACTIONS)):
            of_action = slice(segments.starts[action], segments.starts[action + 1])
            weights[action] = max(segments.weights[of_action][segments.members[of_action] == user], default=-np.inf)
        of_groups = [max(((weights[a], -place, a) for place, a in enumerate(group)), default=(-np.inf, 0, -1))
                     for group in groups]  # fmt: skip
        chosen = (min if match_all else max)(of_groups, key=lambda best: best[0])
        if chosen[0] >= min_weight and chosen[0] > -np.inf:
            listed.append((user_id, chosen[0], chosen[2]))
    return listed


GROUPS = [[[0]], [[3]], [[5, 1, 0]], [[0], [7]], [[2, 8], [1, 7, 9]], [[0], []], [list(range(12))], [[11, 0, 6], [4]]]


@pytest.mark.parametrize("groups", GROUPS, ids=str)
@pytest.mark.parametrize("match_all", [False, True])
def test_members_are_those_by_definition(
    stored: dict[str, StoredSegments], groups: list[list[int]], match_all: bool
) -> None:
    everybody = expected_members(groups, 0.0, match_all=match_all)
    for min_weight in (0.0, 0.4, 0.5, 1.0, 1.1):
        members = SegmentMembers(stored["growth"], groups, min_weight, match_all)
        expected = [member for member in everybody if member[1] >= min_weight]

        listed = list(chain.from_iterable(members.in_parts()))
        assert [(member.user_id, member.weight, ACTIONS.index(member.action)) for member in listed] == expected
        assert members.largest_weight == max((weight for _, weight, _ in everybody), default=0.0)

        count, strongest = members.strongest(5)
        assert count == len(expected)
        assert strongest == sorted(listed, key=lambda member: -member.weight)[:5]

        pages, after = [], ""
        while page := page_of_members(members, after=after, limit=7):
            pages += page
            after = page[-1].user_id
        assert pages == listed
        assert page_of_members(members, after="user-17x", limit=3) == [m for m in listed if m.user_id > "user-17x"][:3]


@pytest.mark.parametrize("by_label", [False, True])
@pytest.mark.parametrize("min_weight", [0.0, 0.2, 0.5, 0.7, 1.0, 1.1])
def test_sizes_are_those_of_all_users_at_once(
    stored: dict[str, StoredSegments], by_label: bool, min_weight: float
) -> None:
    whole = StoredSegments(ACTIONS, WholeFile(WHOLE["growth"]))

    summaries, largest = summaries_of(stored["growth"], LABELS, by_label=by_label, min_weight=min_weight)

    expected, expected_largest = summaries_of(whole, LABELS, by_label=by_label, min_weight=min_weight)
    assert largest == expected_largest == 1.0
    assert [(each.basis_id, each.event_type, each.user_count) for each in summaries] == [
        (each.basis_id, each.event_type, each.user_count) for each in expected
    ]
    assert [each.strength for each in summaries] == pytest.approx([each.strength for each in expected], rel=1e-12)
    for each in summaries:  # and by the definition
        members = members_of(
            stored["growth"], LABELS, asset_ids=() if by_label else (each.basis_id,), match_all=False,
            labels=(each.basis_id,) if by_label else (), event_types=(each.event_type,), min_weight=min_weight,
        )  # fmt: skip
        weights = [member.weight for member in chain.from_iterable(members.in_parts())]
        assert each.user_count == len(weights)
        assert each.strength == pytest.approx(float(np.mean(weights)))


def test_users_and_their_memberships_are_those_of_all_at_once(stored: dict[str, StoredSegments]) -> None:
    for kind, segments in stored.items():
        assert list(segments.users) == USERS
        assert len(segments.users) == len(USERS)
        assert users_beginning_with(segments.users, "user-1", limit=3) == (["user-10", "user-11", "user-12"], 10)
        assert users_beginning_with(segments.users, "v", limit=3) == ([], 0)
        for user_id in (*USERS, "", "user-17x", "zoe"):
            assert segments.memberships(user_id) == WHOLE[kind].memberships(user_id)


def test_left_out_users_are_in_no_answer(stored: dict[str, StoredSegments]) -> None:
    gone = {"user-00", "user-17", "user-39"}
    for kind, segments in stored.items():
        left, expected = segments.without(gone.intersection), WHOLE[kind].without(gone)
        assert list(left.users) == list(expected.users)
        assert left.sums.counts.tolist() == np.diff(expected.starts).tolist()
        members = SegmentMembers(left, [[0, 1], [7]], 0.2, match_all=False)
        listed = [member.user_id for part in members.in_parts() for member in part]
        assert listed == expected.users_of([[0, 1], [7]], 0.2, match_all=False)
        for user_id in USERS:
            assert left.memberships(user_id) == expected.memberships(user_id)


def test_counts_of_actions_are_read_from_the_manifest_alone(stored: dict[str, StoredSegments]) -> None:
    statistics = ActionStatistics(stored["growth"], stored["base"])

    assert statistics.users == len(USERS)
    assert set(statistics.actions) == set(ACTIONS) - {ACTIONS[3]}
    for place, action in enumerate(ACTIONS):
        counts, sums = statistics.of(action), WHOLE["growth"].sums()
        assert counts.takers == np.diff(WHOLE["base"].starts)[place]
        assert (counts.recommended, counts.likeliest) == (sums.counts[place], sums.likeliest[place])
        assert counts.expected == pytest.approx(sums.totals[place])


def test_of_a_large_file_only_what_is_asked_for_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segment_reading, "_WHOLE_FILE_BYTES", 0)
    artifacts = MemoryArtifacts()
    pointer = put_manifest(artifacts, POINTER, manifest_of(artifacts, 10))
    segments = open_segments(artifacts, pointer, "growth")
    asked: list[ByteRange] = []

    def get_ranges(ranges: Sequence[ByteRange]) -> list[bytes]:
        asked.extend(ranges)
        return MemoryArtifacts.get_ranges(artifacts, ranges)

    monkeypatch.setattr(artifacts, "get_ranges", get_ranges)

    page = page_of_members(SegmentMembers(segments, [[1]], 0.2, match_all=False), after="user-25", limit=2)

    assert [member.user_id for member in page] > ["user-25"]
    # Of one part: where the action's users are, these, their weights, and the ids.
    assert len({part.key for part in asked}) == 1
    assert sum(part.count for part in asked) < 16 + 10 * (4 + 8) + 200


@pytest.mark.parametrize("gone", ["growth-00002", "growth-00000"])
def test_a_part_that_is_missing_or_changed_is_said_to_be(gone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    artifacts = MemoryArtifacts()
    pointer = put_manifest(artifacts, POINTER, manifest_of(artifacts, 10))
    (key,) = [key for key in artifacts.files if gone in key]
    content = artifacts.files.pop(key)
    everybody = [[0, 1]]
    for damaged in (None, content[:-1], content[:200], bytes(len(content)), content[:-100] + bytes(100)):
        if damaged is not None:
            artifacts.files[key] = damaged
        with pytest.raises(ArtifactError):
            list(SegmentMembers(open_segments(artifacts, pointer, "growth"), everybody, 0.0, False).in_parts())
    # Where slices are read, there is no checksum, but what cannot be is refused.
    monkeypatch.setattr(segment_reading, "_WHOLE_FILE_BYTES", 0)
    for damaged in (content[:200], bytes([255]) * len(content)):
        artifacts.files[key] = damaged
        with pytest.raises(ArtifactError):
            list(SegmentMembers(open_segments(artifacts, pointer, "growth"), everybody, 0.0, False).in_parts())


@pytest.mark.parametrize("part_users", [7, 40])
def test_without_some_users_all_is_as_if_they_had_never_been(part_users: int) -> None:
    artifacts = MemoryArtifacts()
    manifest = manifest_of(artifacts, part_users)
    gone = {"user-03", "user-04", "user-39", "nobody"}
    before = set(artifacts.files)

    changed, memberships = without_users(artifacts, "segments/coffee/1_000001/", manifest, gone)

    assert memberships == sum(len(whole.memberships(user_id)) for whole in WHOLE.values() for user_id in gone)
    pointer = put_manifest(artifacts, POINTER, changed)
    for kind in SEGMENT_TYPES:
        expected, segments = WHOLE[kind].without(gone), open_segments(artifacts, pointer, kind)
        assert list(segments.users) == list(expected.users)
        for user_id in (*expected.users, *gone):
            assert segments.memberships(user_id) == expected.memberships(user_id)
        for name, array in expected.sums().arrays("").items():
            np.testing.assert_allclose(segments.sums.arrays("")[name], array, rtol=1e-12)
    # The parts that had none of them are as they were.
    kept = before & changed.keys
    assert len(kept) == (4 * 4 if part_users == 7 else 0)


def test_nobody_left_is_no_part() -> None:
    artifacts = MemoryArtifacts()
    changed, _ = without_users(artifacts, "segments/coffee/2/", manifest_of(artifacts, 10), set(USERS))

    assert list(changed.parts) == []
    assert SegmentsManifest.decode(changed.encode()).user_count == 0
    pointer = put_manifest(artifacts, POINTER, changed)
    assert list(open_segments(artifacts, pointer, "base").users) == []


def test_a_file_a_kind_as_before_is_still_read() -> None:
    artifacts = MemoryArtifacts()
    for kind, whole in WHOLE.items():
        artifacts.put(f"{POINTER.prefix}{kind}.nbs", whole.encode())
    pointer = SegmentsPointer(**json.loads('{"version": "1", "prefix": "segments/coffee/1/", "computed_at": 0.0}'))

    for kind, whole in WHOLE.items():
        segments = open_segments(artifacts, pointer, kind)
        assert segments.part_count == 1
        assert list(segments.users) == USERS
        assert segments.memberships("user-07") == whole.memberships("user-07")
        assert segments.sums.counts.tolist() == np.diff(whole.starts).tolist()
        members = SegmentMembers(segments, [[0, 1]], 0.5, match_all=False)
        assert [member.user_id for part in members.in_parts() for member in part] == whole.users_of(
            [[0, 1]], 0.5, match_all=False
        )


def test_what_was_read_is_remembered_up_to_a_size() -> None:
    cache = PartCache(100)
    for number in range(12):
        cache.put(str(number), number, 10)
        cache.get("0")
    assert [cache.get(str(number)) for number in range(12)] == [0, None, None, *range(3, 12)]
    cache.put("large", "large", 1000)
    assert cache.get("large") is None


def test_a_text_of_many_parts_is_that_of_one(stored: dict[str, StoredSegments]) -> None:
    whole = StoredSegments(ACTIONS, WholeFile(WHOLE["growth"]))
    for as_csv in (False, True):
        texts = [
            segment_text(SegmentMembers(segments, [[0, 1]], 0.3, match_all=False).in_parts(), as_csv=as_csv)
            for segments in (stored["growth"], whole)
        ]
        assert texts[0] == texts[1]
        assert texts[0]
