"""Segments at size: ``./nextbest bench-segments``.

Draws the segments of many users part by part, writes them to a folder in place of S3, and then answers what is asked of
segments, each question in a process of its own: the seconds, the peak memory of the process, and how many reads of how
many bytes it took. S3's own time is not in it; ``--read-ms`` adds a wait to each read.
"""

from __future__ import annotations

import multiprocessing
import os
import platform
import resource
import tempfile
import time
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nextbest.aws.parallel import in_parallel
from nextbest.domain.actions import Action
from nextbest.domain.catalogue import Catalogue
from nextbest.domain.programs import Incarnation
from nextbest.errors import ArtifactError
from nextbest.logic.action_list import ActionStatistics
from nextbest.logic.segment_files import page_of_members, segment_text
from nextbest.logic.segment_reading import StoredSegments, open_segments
from nextbest.logic.segment_writing import SegmentsWriter, put_manifest, read_manifest, without_users
from nextbest.logic.segments import SegmentMembers, members_of, summaries_of
from nextbest.logic.users import users_beginning_with
from nextbest.scoring.memberships import Segments
from nextbest.scoring.segment_manifest import BASE, DISCOVERY, GROWTH
from nextbest.store.base import ByteRange, SegmentsPointer

INCARNATION = Incarnation("benchmark@aaaaaaaaaa")
NOW = 1_760_000_000.0
ENTRIES = {GROWTH: 100, DISCOVERY: 100, BASE: 8}
"""How many actions a user has a weight for, about."""


class FolderArtifacts:
    """Artifacts in a folder, with counts of what was read. Implements ``store.base.ArtifactStore``."""

    def __init__(self, folder: Path, *, read_seconds: float) -> None:
        self._folder = folder
        self._read_seconds = read_seconds
        self.reads = self.bytes_read = self.bytes_written = 0

    def put(self, key: str, data: bytes) -> None:
        path = self._folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        self.bytes_written += len(data)

    def put_stream(self, key: str, pieces: Iterator[bytes], *, content_type: str, filename: str) -> None:
        del content_type, filename
        path = self._folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            for piece in pieces:
                file.write(piece)
                self.bytes_written += len(piece)

    def get(self, key: str) -> bytes:
        return self._read(ByteRange(key, 0, (self._folder / key).stat().st_size))

    def get_ranges(self, ranges: Sequence[ByteRange]) -> list[bytes]:
        return in_parallel(self._read, ranges)

    def _read(self, part: ByteRange) -> bytes:
        time.sleep(self._read_seconds)
        with (self._folder / part.key).open("rb") as file:
            file.seek(part.begin)
            content = file.read(part.count)
        if len(content) != part.count:
            raise ArtifactError(f"artifact {part.key} ends before byte {part.begin + part.count}")
        self.reads += 1
        self.bytes_read += len(content)
        return content

    def download_url(self, key: str, *, seconds: int) -> str:
        return f"file:{key}?{seconds}"

    def names(self, prefix: str) -> list[str]:
        return [prefix] if (self._folder / prefix).is_file() else []

    def delete_all(self, prefix: str, *, before: str | None = None, keep: Container[str] = ()) -> int:
        del prefix, before, keep
        return 0


def drawn_part(number: int, users: int, actions: Sequence[Action]) -> dict[str, Segments]:
    """The segments of some users: few actions are popular, and most weights are small. Parts differ by their users."""
    user_ids = [f"customer-{number * users + user:08d}" for user in range(users)]
    return {kind: replace(_drawn(kind, users, len(actions)), users=user_ids, actions=actions) for kind in ENTRIES}


@cache
def _drawn(kind: str, users: int, actions: int) -> Segments:
    random = np.random.default_rng(len(kind))
    size = users * ENTRIES[kind]
    user: NDArray[np.int64] = np.repeat(np.arange(users), ENTRIES[kind])
    action = np.minimum(actions ** random.random(size), actions - 1).astype(np.int64)
    pairs = np.unique(user * actions + action)
    weights = random.exponential(1.0, len(pairs)) if kind == BASE else random.exponential(0.05, len(pairs))
    of_user, of_action = (pairs // actions).astype(np.uint32), (pairs % actions).astype(np.uint32)
    nameless = [Action("", "")] * actions
    return Segments.of([""] * users, nameless, of_user, of_action, weights if kind == BASE else np.minimum(weights, 1))


class _Pointers:
    """What the writer asks a store for: nobody was deleted, and no segments were there before."""

    def erased_since(self, _incarnation: Incarnation, _user_ids: Sequence[str], _since_us: int) -> set[str]:
        return set()

    def segments(self, _incarnation: Incarnation) -> SegmentsPointer | None:
        return None

    def point_to_segments(self, _incarnation: Incarnation, _pointer: SegmentsPointer) -> bool:
        return True


def run(*, users: int, part_users: int, actions: int, read_ms: float, folder: str | None) -> None:
    """Write the segments and answer every question, and print the figures."""
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"{users:,} users in parts of {part_users:,}, {actions:,} actions, {read_ms:g} ms a read")
    with tempfile.TemporaryDirectory(dir=folder) as place:
        artifacts = partial(FolderArtifacts, Path(place), read_seconds=read_ms / 1000)
        pointer = _measured("write, with the manifest", partial(_write, artifacts, users, part_users, actions))
        assert pointer is not None
        for name, question in questions(users, actions).items():
            _measured(name, partial(_answer, artifacts, pointer, question))
        user_id = f"customer-{users // 2:08d}"
        _measured("delete a user", partial(_delete, artifacts, pointer, user_id))


Question = Callable[[Callable[[str], StoredSegments]], object]


def questions(users: int, actions: int) -> Mapping[str, Question]:
    """What is asked of the segments, by name."""
    popular, rare = "asset-000001", f"asset-{actions // 2:06d}"
    return {
        "GET /segment, a rare action, weight 0": partial(_text, asset=rare, min_weight=0.0),
        "GET /segment, the most popular, 0.2": partial(_text, asset=popular, min_weight=0.2),
        "GET /segment, the most popular, 0": partial(_text, asset=popular, min_weight=0.0),
        "GET /segment, a page of 5,000 of it": partial(_page, asset=popular),
        "GET /segment, any action, 0.5": partial(_text, asset="", min_weight=0.5),
        "GET /segment, any action, a page": partial(_page, asset=""),
        "GET /segments, by asset, 0.5": partial(_sizes, min_weight=0.5),
        "GET /segments, by asset, 0.05": partial(_sizes, min_weight=0.05),
        "console: all actions with counts": _statistics,
        "console: users by a prefix": partial(_users, prefix=f"customer-{users // 2:08d}"[:-3]),
        "export: the memberships of a user": partial(_memberships, user_id=f"customer-{users // 2:08d}"),
    }


def _write(
    artifacts: Callable[[], FolderArtifacts], users: int, part_users: int, actions: int
) -> tuple[FolderArtifacts, SegmentsPointer]:
    store = artifacts()
    named = [Action("purchase", f"asset-{number:06d}") for number in range(actions)]
    writer = SegmentsWriter(_Pointers(), store, INCARNATION, computed_at=NOW)  # type: ignore[arg-type]  # what it uses
    parts = (writer.write(number, drawn_part(number, part_users, named)) for number in range(users // part_users))
    return store, writer.publish(named, parts)


def _answer(
    artifacts: Callable[[], FolderArtifacts], pointer: SegmentsPointer, question: Question
) -> tuple[FolderArtifacts, None]:
    store = artifacts()
    question(partial(open_segments, store, pointer))
    return store, None


def _members(open_kind: Callable[[str], StoredSegments], asset: str, min_weight: float) -> SegmentMembers:
    return members_of(
        open_kind(GROWTH), Catalogue(), asset_ids=(asset,) if asset else (), labels=(), event_types=(),
        min_weight=min_weight, match_all=False,
    )  # fmt: skip


def _text(open_kind: Callable[[str], StoredSegments], *, asset: str, min_weight: float) -> object:
    """All users as a file: as one answer, or piece by piece."""
    members = _members(open_kind, asset, min_weight)
    return segment_text(members.in_parts(), as_csv=True) or sum(len(part) for part in members.in_parts())


def _page(open_kind: Callable[[str], StoredSegments], *, asset: str) -> object:
    return page_of_members(_members(open_kind, asset, 0.1), after="customer-00300000", limit=5_000)


def _sizes(open_kind: Callable[[str], StoredSegments], *, min_weight: float) -> object:
    return summaries_of(open_kind(GROWTH), Catalogue(), by_label=False, min_weight=min_weight)


def _statistics(open_kind: Callable[[str], StoredSegments]) -> object:
    return ActionStatistics(open_kind(GROWTH), open_kind(BASE))


def _users(open_kind: Callable[[str], StoredSegments], *, prefix: str) -> object:
    return users_beginning_with(open_kind(BASE).users, prefix, limit=20)


def _memberships(open_kind: Callable[[str], StoredSegments], *, user_id: str) -> object:
    return [open_kind(kind).memberships(user_id) for kind in ENTRIES]


def _delete(
    artifacts: Callable[[], FolderArtifacts], pointer: SegmentsPointer, user_id: str
) -> tuple[FolderArtifacts, None]:
    store = artifacts()
    manifest, memberships = without_users(store, "without/", read_manifest(store, pointer), {user_id})
    assert memberships
    put_manifest(store, SegmentsPointer("without", "without/", NOW), manifest)
    return store, None


def _measured(name: str, work: Callable[[], tuple[FolderArtifacts, SegmentsPointer | None]]) -> SegmentsPointer | None:
    """Do it in a process of its own, and print what it took; what it gives."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        pointer, line = pool.apply(_measure, (work,))
    print(f"{name:<40} {line}", flush=True)
    return pointer


def _measure(work: Callable[[], tuple[FolderArtifacts, SegmentsPointer | None]]) -> tuple[SegmentsPointer | None, str]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began, began_cpu = time.perf_counter(), time.process_time()
    artifacts, pointer = work()
    seconds, busy = time.perf_counter() - began, time.process_time() - began_cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return pointer, (
        f"{seconds:7.2f} s, {busy:7.2f} s of processor, peak {peak / 1024:6,.0f} MiB ({before / 1024:.0f} before), "
        f"{artifacts.reads:6,} reads of {artifacts.bytes_read / 2**20:8,.1f} MiB, "
        f"{artifacts.bytes_written / 2**20:,.0f} MiB written"
    )
