"""Segments in parts while something goes wrong: what serves is whole, and nobody who was deleted is in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from nextbest.domain.actions import Action
from nextbest.errors import ArtifactError
from nextbest.logic.segment_files import segment_text, segment_url
from nextbest.logic.segment_reading import SegmentCache, StoredSegments
from nextbest.logic.segment_writing import SegmentsWriter, files_of, forget_users, publish
from nextbest.logic.segments import SegmentMembers
from nextbest.scoring.memberships import Segments
from nextbest.scoring.segment_manifest import SEGMENT_TYPES
from nextbest.store.base import SegmentsPointer
from nextbest.store.dynamo import DynamoStore
from tests.factories import MemoryArtifacts
from tests.store.conftest import PROGRAM

NOW = 1_750_000_000.0
OWNER = PROGRAM.incarnation
ACTIONS = [Action("order", "latte"), Action("view", "tea")]
LATTE = [[0]]


def part_of(*user_ids: str, weight: float = 0.5) -> dict[str, Segments]:
    """The segments of users who all have the same weight for latte, and none for tea."""
    count = len(user_ids)
    weights = np.full(count, weight)
    users, actions = np.arange(count, dtype=np.uint32), np.zeros(count, np.uint32)
    return dict.fromkeys(SEGMENT_TYPES, Segments.of(user_ids, ACTIONS, users, actions, weights))


PARTS = [("ada", "bob"), ("cid", "dan"), ("ewa", "fay")]
EVERYBODY = [user_id for users in PARTS for user_id in users]


def written(store: DynamoStore, artifacts: MemoryArtifacts, now: float = NOW, weight: float = 0.5) -> SegmentsPointer:
    return publish(store, artifacts, OWNER, (part_of(*users, weight=weight) for users in PARTS), computed_at=now)


def members(segments: StoredSegments) -> list[tuple[str, float]]:
    latte = SegmentMembers(segments, LATTE, 0.0, match_all=False)
    return [(member.user_id, member.weight) for part in latte.in_parts() for member in part]


def served(reader: SegmentCache) -> list[str]:
    return [user_id for user_id, _ in reader.read(OWNER, "growth", members)]


@pytest.fixture
def artifacts(store: DynamoStore) -> MemoryArtifacts:
    """A program whose segments have three parts."""
    artifacts = MemoryArtifacts()
    written(store, artifacts)
    return artifacts


def test_a_rebase_that_dies_between_parts_leaves_the_segments_as_they_were(
    store: DynamoStore, artifacts: MemoryArtifacts
) -> None:
    before, pointer = dict(artifacts.files), store.segments(OWNER)

    def dies() -> Iterator[dict[str, Segments]]:
        yield part_of("ada", "bob", weight=0.9)
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        publish(store, artifacts, OWNER, dies(), computed_at=NOW + 60)

    assert store.segments(OWNER) == pointer
    assert artifacts.files.items() >= before.items()
    assert served(SegmentCache(store, artifacts)) == EVERYBODY
    # And the next one leaves nothing of it
    written(store, artifacts, NOW + 120)
    written(store, artifacts, NOW + 180)
    assert not [key for key in artifacts.files if f"/{round((NOW + 60) * 1000)}/" in key]


@pytest.mark.parametrize("damage", ["manifest", "growth-00001", "growth-00002"])
@pytest.mark.parametrize("content", [None, 100])
def test_what_is_missing_or_half_written_leaves_the_last_good_segments(
    store: DynamoStore, artifacts: MemoryArtifacts, damage: str, content: int | None
) -> None:
    # Given a reader of the good ones, and newer ones of which a file is missing or cut off
    reader = SegmentCache(store, artifacts)
    assert served(reader) == EVERYBODY
    newer = written(store, artifacts, NOW + 60, weight=0.9)
    (key,) = [key for key in artifacts.files if key.startswith(f"{newer.prefix}{damage}")]
    whole = artifacts.files.pop(key)
    if content is not None:
        artifacts.files[key] = whole[:content]

    # Then the good ones serve on, without who was deleted since
    assert reader.read(OWNER, "growth", members) == [(user_id, 0.5) for user_id in EVERYBODY]
    store.erase_user(OWNER, "cid", now=NOW + 61)
    assert served(reader) == ["ada", "bob", "dan", "ewa", "fay"]
    # Whoever has none says so
    with pytest.raises(ArtifactError):
        served(SegmentCache(store, artifacts))
    # And the newer ones serve as soon as they can be read
    artifacts.files[key] = whole
    forget_users(store, artifacts, OWNER, {"cid"})
    assert reader.read(OWNER, "growth", members) == [(name, 0.9) for name in ("ada", "bob", "dan", "ewa", "fay")]


def test_of_two_at_once_the_later_one_serves_and_both_are_whole(store: DynamoStore) -> None:
    artifacts = MemoryArtifacts()
    early = SegmentsWriter(store, artifacts, OWNER, computed_at=NOW)
    late = SegmentsWriter(store, artifacts, OWNER, computed_at=NOW + 1)
    of_early, of_late = [], []
    for number, users in enumerate(PARTS):
        of_early.append(early.write(number, part_of(*users)))
        of_late.append(late.write(number, part_of(*users, weight=0.9)))

    expected = [(user_id, 0.9) for user_id in EVERYBODY]
    late.publish(ACTIONS, of_late)
    assert SegmentCache(store, artifacts).read(OWNER, "growth", members) == expected
    early.publish(ACTIONS, of_early)
    assert SegmentCache(store, artifacts).read(OWNER, "growth", members) == expected


def test_parts_come_in_any_order_twice_or_without_users(store: DynamoStore) -> None:
    artifacts = MemoryArtifacts()
    writer = SegmentsWriter(store, artifacts, OWNER, computed_at=NOW)
    # A task that is tried again writes a part that was written.
    tasks = [(2, PARTS[2]), (0, PARTS[0]), (3, ()), (1, PARTS[1]), (1, PARTS[1])]
    parts = {number: writer.write(number, part_of(*users)) for number, users in tasks}

    with pytest.raises(ArtifactError, match="out of order"):  # and whoever counts it twice is stopped
        writer.publish(ACTIONS, [*parts.values(), parts[1]])
    assert store.segments(OWNER) is None
    writer.publish(ACTIONS, parts.values())

    assert served(SegmentCache(store, artifacts)) == EVERYBODY


class Interrupted(DynamoStore):
    """A store that lets something happen just before the pointer to segments moves."""

    happens: Callable[[], object] | None = None

    def point_to_segments(self, *arguments: object, **options: object) -> bool:
        if self.happens is not None:
            happens, self.happens = self.happens, None
            happens()
        return super().point_to_segments(*arguments, **options)  # type: ignore[arg-type]  # as they came


def test_a_user_deleted_while_parts_are_written_is_in_none(store: DynamoStore) -> None:
    artifacts = MemoryArtifacts()

    def parts() -> Iterator[dict[str, Segments]]:
        yield part_of(*PARTS[0])
        store.erase_user(OWNER, "ada", now=NOW + 1)  # of a part that is written
        store.erase_user(OWNER, "cid", now=NOW + 1)  # of one that is not
        yield part_of(*PARTS[1])
        yield part_of(*PARTS[2])

    publish(store, artifacts, OWNER, parts(), computed_at=NOW)

    assert served(SegmentCache(store, artifacts)) == ["bob", "dan", "ewa", "fay"]
    assert b"ada" not in b"".join(artifacts.files.values())
    assert b"cid" not in b"".join(artifacts.files.values())


def test_a_user_deleted_at_the_last_moment_is_in_none(store: DynamoStore) -> None:
    artifacts = MemoryArtifacts()
    written(store, artifacts)
    late = Interrupted(store._table)  # the same table

    def delete() -> None:
        store.erase_user(OWNER, "ewa", now=NOW + 61)
        assert forget_users(store, artifacts, OWNER, {"ewa"}) == 3  # of those that serve until then

    late.happens = delete
    written(late, artifacts, NOW + 60)

    assert served(SegmentCache(store, artifacts)) == ["ada", "bob", "cid", "dan", "fay"]
    assert not [key for key, data in artifacts.files.items() if b"ewa" in data]


def test_two_deletions_at_once_both_count(store: DynamoStore, artifacts: MemoryArtifacts) -> None:
    late = Interrupted(store._table)  # the same table
    late.happens = lambda: forget_users(store, artifacts, OWNER, {"bob"})

    assert forget_users(late, artifacts, OWNER, {"fay", "nobody"}) == 3

    assert served(SegmentCache(store, artifacts)) == ["ada", "cid", "dan", "ewa"]
    stored = b"".join(artifacts.files.values())
    assert b"bob" not in stored
    assert b"fay" not in stored


def test_deleting_a_user_writes_one_part_again_and_keeps_the_others(
    store: DynamoStore, artifacts: MemoryArtifacts
) -> None:
    before = set(artifacts.files)

    assert forget_users(store, artifacts, OWNER, {"cid"}) == 3

    kept = before & set(artifacts.files)
    assert len(kept) == 2 * 4  # two parts of three: a file a kind, and one of sums
    assert len(artifacts.files) == 3 * 4 + 1
    for gone in ("ada", "bob", "dan"):
        forget_users(store, artifacts, OWNER, {gone})
    assert served(SegmentCache(store, artifacts)) == ["ewa", "fay"]
    assert len(artifacts.files) == 4 + 1


def test_segments_of_before_the_last_ones_are_deleted(store: DynamoStore, artifacts: MemoryArtifacts) -> None:
    first = store.segments(OWNER)
    assert first is not None
    written(store, artifacts, NOW + 60)
    assert [key for key in artifacts.files if key.startswith(first.prefix)]  # serve where the newer cannot be read

    written(store, artifacts, NOW + 120)

    assert not [key for key in artifacts.files if key.startswith(first.prefix)]
    assert len(artifacts.files) == 2 * (3 * 4 + 1)


def test_who_is_deleted_is_in_no_file_of_a_segment_either(store: DynamoStore, artifacts: MemoryArtifacts) -> None:
    reader = SegmentCache(store, artifacts)

    def url(segments: StoredSegments) -> str:
        latte = SegmentMembers(segments, LATTE, 0.2, match_all=False)
        return segment_url(store, artifacts, OWNER, latte, after="ada", as_csv=True)

    # Given a file of a segment, which is written once
    first = reader.read(OWNER, "growth", url)
    (key,) = [key for key in artifacts.files if "/answers/" in key]
    assert key in first
    latte = SegmentMembers(reader.segments_of(OWNER, "growth"), LATTE, 0.2, match_all=False)
    expected = segment_text(latte.in_parts(after="ada"), as_csv=True)
    assert artifacts.files[key].decode() == expected
    assert reader.read(OWNER, "growth", url) == first
    # When somebody is deleted
    forget_users(store, artifacts, OWNER, {"bob"})
    # Then it is gone, and the next one is without them
    assert key not in artifacts.files
    reader.read(OWNER, "growth", url)
    assert b"bob" not in b"".join(artifacts.files.values())

    # And one that is being written meanwhile is not left behind
    class Slow(MemoryArtifacts):
        def put_stream(self, key: str, pieces: Iterator[bytes], *, content_type: str, filename: str) -> None:
            super().put_stream(key, pieces, content_type=content_type, filename=filename)
            if store.segments(OWNER) == pointer:
                forget_users(store, self, OWNER, {"cid"})
                self.files[key] = b"cid"

    slow = Slow()
    slow.files = {key: data for key, data in artifacts.files.items() if "/answers/" not in key}
    pointer = store.segments(OWNER)

    def slowly(segments: StoredSegments) -> str:
        latte = SegmentMembers(segments, LATTE, 0.2, match_all=False)
        return segment_url(store, slow, OWNER, latte, after="", as_csv=False)

    SegmentCache(store, slow).read(OWNER, "growth", slowly)
    assert b"cid" not in b"".join(slow.files.values())
    assert [key for key in slow.files if "/answers/" in key]
    assert [key for key in slow.files if not key.startswith(files_of(OWNER))] == []
