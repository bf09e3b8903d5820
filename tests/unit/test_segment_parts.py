"""Segments in parts: each part has what all of them have at once, and the manifest the sums over all."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import cache

import numpy as np
import pytest

from nextbest.domain.event_columns import EventColumns
from nextbest.domain.events import Event
from nextbest.errors import ArtifactError
from nextbest.logic.segment_writing import sums_of, write_part
from nextbest.scoring import Model, artifact
from nextbest.scoring.memberships import Segments, actions_of_segments, build_part, build_parts
from nextbest.scoring.segment_manifest import SEGMENT_TYPES, SegmentsManifest, SegmentSums
from nextbest.training import train
from tests.factories import MemoryArtifacts, columns_of_events, drink_events
from tests.unit.test_segments import NOW, PROGRAM, SMALL

PREFIX = "segments/coffee/1/"
HALF_LIFE_DAYS = PROGRAM.half_life_days


@cache
def events() -> EventColumns:
    """Twelve users; the last one did something that the model does not know."""
    late = Event("user-9", round((NOW - 60) * 1e6), "order", "zabaglione")
    return EventColumns.of(columns_of_events([*drink_events(now=NOW), late]))


@cache
def at_once() -> dict[str, Segments]:
    return build_part(model(), events(), half_life_days=HALF_LIFE_DAYS, now=NOW)


@cache
def model() -> Model:
    return train(columns_of_events(drink_events(now=NOW)), program=PROGRAM, now=NOW, seed=0)


def written(artifacts: MemoryArtifacts, part_users: int) -> SegmentsManifest:
    parts = [
        write_part(artifacts, PREFIX, number, built)
        for number, built in enumerate(
            build_parts(model(), events(), half_life_days=HALF_LIFE_DAYS, now=NOW, part_users=part_users)
        )
    ]
    listed = [part for part in parts if part is not None]
    actions = actions_of_segments(model(), events().actions()[0])
    return SegmentsManifest(actions, listed, sums_of(artifacts, listed, len(actions)))


@pytest.mark.parametrize("part_users", [1, 5, 12, 100])
def test_the_parts_have_the_users_and_the_weights_of_all_at_once(part_users: int) -> None:
    parts = list(build_parts(model(), events(), half_life_days=HALF_LIFE_DAYS, now=NOW, part_users=part_users))

    for kind, whole in at_once().items():
        assert [user_id for part in parts for user_id in part[kind].users] == list(whole.users)
        for part in parts:
            assert part[kind].actions == whole.actions
            for user_id in part[kind].users:
                assert part[kind].memberships(user_id) == whole.memberships(user_id)
    if part_users >= 12:  # one part is, byte for byte, what there was before parts
        assert [part[kind].encode() for part in parts for kind in SEGMENT_TYPES] == [
            at_once()[kind].encode() for kind in SEGMENT_TYPES
        ]


@pytest.mark.parametrize("part_users", [1, 5, 12])
def test_the_manifest_has_the_sums_over_all_parts(part_users: int) -> None:
    manifest = written(MemoryArtifacts(), part_users)

    assert manifest.user_count == 12
    for kind, whole in at_once().items():
        expected, sums = whole.sums(), manifest.sums[kind]
        for field in fields(SegmentSums):
            np.testing.assert_allclose(getattr(sums, field.name), getattr(expected, field.name), rtol=1e-12)


def test_sums_are_counts_and_extremes_of_each_action() -> None:
    sums = SMALL.sums()

    assert sums.counts.tolist() == [2, 2, 1]
    assert sums.likeliest.tolist() == [2, 1, 1]  # bob's latte and tea are equal
    assert sums.totals.tolist() == pytest.approx([1.4, 0.9, 0.5])
    assert sums.largest.tolist() == [0.9, 0.7, 0.5]
    assert sums.least.tolist() == [0.5, 0.2, 0.5]


def test_a_manifest_says_where_in_the_files_everything_is() -> None:
    artifacts = MemoryArtifacts()
    manifest = SegmentsManifest.decode(written(artifacts, 5).encode())

    assert manifest.keys == set(artifacts.files)
    assert [part.user_count for part in manifest.parts] == [5, 5, 2]
    for part in manifest.parts:
        for file in part.files.values():
            segments = Segments.decode(artifacts.files[file.key])
            data = artifacts.files[file.key]
            for name, begin, dtype in (
                ("starts", file.starts, "<i8"), ("members", file.members, "<u4"), ("weights", file.weights, "<f8")
            ):  # fmt: skip
                array = getattr(segments, name)
                assert np.frombuffer(data, dtype, len(array), begin).tolist() == array.tolist()
            assert file.entries == len(segments.members)
            assert segments.users == [*segments.users]
            assert (part.first_user, part.last_user) == (segments.users[0], segments.users[-1])
            assert data[file.users : file.users + file.users_bytes].startswith(b'["user-')


def test_the_part_of_a_user_is_the_one_that_would_have_them() -> None:
    manifest = written(MemoryArtifacts(), 5)
    users = list(at_once()["base"].users)

    assert [manifest.part_of(user_id) for user_id in users] == [0] * 5 + [1] * 5 + [2] * 2
    assert manifest.part_of(f"{users[0]}a") == 0  # not there, but nowhere else either
    assert [manifest.part_of(user_id) for user_id in ("", "a", "zz", f"{users[4]}a")] == [None] * 4


def test_no_users_are_no_part() -> None:
    nobody = dict.fromkeys(SEGMENT_TYPES, SMALL.without({"ann", "bob", "cid"}))
    artifacts = MemoryArtifacts()

    assert write_part(artifacts, PREFIX, 0, nobody) is None
    assert not artifacts.files


def manifest_of_small() -> bytes:
    artifacts = MemoryArtifacts()
    part = write_part(artifacts, PREFIX, 0, dict.fromkeys(SEGMENT_TYPES, SMALL))
    assert part is not None
    return SegmentsManifest(SMALL.actions, [part], sums_of(artifacts, [part], 3)).encode()


def test_a_manifest_cut_off_anywhere_is_refused() -> None:
    data = manifest_of_small()
    for size in range(0, len(data), 7):
        with pytest.raises(ArtifactError):
            SegmentsManifest.decode(data[:size])


def test_parts_that_overlap_are_refused() -> None:
    artifacts = MemoryArtifacts()
    part = write_part(artifacts, PREFIX, 0, dict.fromkeys(SEGMENT_TYPES, SMALL))
    assert part is not None
    manifest = SegmentsManifest(SMALL.actions, [part], sums_of(artifacts, [part], 3))
    with pytest.raises(ArtifactError, match="out of order"):
        replace(manifest, parts=[part, part]).encode()
    header, arrays = artifact.decode(manifest.encode())
    for bounds in (["cid", "ann"], ["ann"], ["ann", "cid", "dan", "eve"], []):
        with pytest.raises(ArtifactError):
            SegmentsManifest.decode(artifact.encode(header, {**arrays, "bounds": artifact.pack_names(bounds)}))
