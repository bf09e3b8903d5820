"""A rebase on Spark at size: ``./nextbest bench spark``.

Draws the events inside the tasks that would read an export, and prints, stage by stage, seconds, processor seconds,
peak memory and shuffled bytes: into ranges of users, training, scoring everybody for segments, whose files go to a
temporary folder. DynamoDB's and S3's own time is not in it, nor is decoding an export.

Memory is that of all processes together, the driver's Python, Java and the Python workers, each page counted once
(``Pss`` in /proc), sampled twice a second.
"""

from __future__ import annotations

import os
import platform
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from nextbest.domain.event_columns import EventColumns, joined
from nextbest.domain.programs import Program
from nextbest.scoring.kernels import DAY_SECONDS
from nextbest.store.base import ArtifactStore, Store
from tools.benchmarks.scale import DAYS, GROUPS, NOW, TASTES

if TYPE_CHECKING:
    from pyspark import SparkContext

    from tools.spark.event_files import SourceNotes

_FILE_EVENTS = 500_000
_SAMPLE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class DrawnFiles:
    """Events drawn from a seed: in each of ``files`` those of every so-manieth user. As in ``tools.benchmarks.scale``,
    each user likes some groups of actions, and the r-th action of a group is taken in proportion to 1 / r."""

    events: int
    users: int
    actions: int
    files: int
    seed: int = 1

    def __call__(self, number: int, _notes: SourceNotes) -> Iterator[EventColumns]:
        random = np.random.default_rng((self.seed, number))
        names = np.arange(number, self.users, self.files)
        activity = random.lognormal(0.0, 1.0, len(names))
        counts = np.maximum(1, (activity / np.exp(0.5) * (self.events / self.users)).astype(np.int64))
        user = np.repeat(np.arange(len(names), dtype=np.int32), counts)
        tastes = random.integers(GROUPS, size=(len(names), TASTES), dtype=np.int32)
        group = tastes[user, random.integers(TASTES, size=len(user))]
        members = max(1, self.actions // GROUPS)
        rank = np.minimum((members ** random.random(len(user))).astype(np.int32), members) - 1
        asset = (group * members + rank).astype(np.int32)
        time_us = ((NOW - DAYS * DAY_SECONDS * random.random(len(user))) * 1e6).astype(np.int64)
        user_ids = [f"customer-{name:08d}" for name in names.tolist()]
        asset_ids = [f"asset-{name:06d}" for name in range(members * GROUPS)]
        event_type = np.zeros(len(user), np.int32)
        drawn = joined([EventColumns(user_ids, ["purchase"], asset_ids, user, event_type, asset, time_us)])
        yield drawn.select(np.ones(len(drawn), np.bool_))


def run(
    *,
    events: int,
    users: int,
    actions: int,
    cores: int,
    train_seconds: float,
    segments: bool,
    memory_megabytes: int,
    java_megabytes: int,
) -> int:
    """Run the stages and print the figures; 1 where they took more than ``memory_megabytes``.

    ``train_seconds`` is the time budget of the training (0: none), ``java_megabytes`` the heap of Spark's process.
    """
    from tools.spark.event_files import read_ranges
    from tools.spark.event_log import SparkLog
    from tools.spark.session import local_context

    program = Program("benchmark")
    drawn = DrawnFiles(events, users, actions, files=max(1, round(events / _FILE_EVENTS)))
    print(
        f"{platform.processor() or platform.machine()}, {cores} of {os.cpu_count()} cores, {platform.python_version()}"
    )
    with (
        tempfile.TemporaryDirectory(prefix="nextbest-bench-") as folder,
        local_context(cores=cores, memory_megabytes=java_megabytes) as context,
        ProcessTree() as processes,
    ):
        stages = SparkStages(context, processes)
        ranges = read_ranges(context, range(drawn.files), drawn, tasks=2 * cores)
        stages.end("into ranges of users")
        shape = f"{ranges.events:,} events, {sum(ranges.users):,} users, {len(ranges.first_us):,} actions"
        print(f"{shape}, {drawn.files} files, {len(ranges.users)} ranges", flush=True)
        log = SparkLog(ranges, BenchmarkDeployment(folder), time_budget_seconds=train_seconds)
        if train_seconds:
            model = log.train(program, now=NOW, seed=1)
            stages.end(f"train, budget {train_seconds:.0f} s")
            data = model.to_bytes()
            print(f"model {sha256(data).hexdigest()[:12]}, {len(data):,} bytes", flush=True)
            if segments:
                log.publish_segments(program, model, now=NOW, check=lambda: None)
                stages.end("score everybody")
        peak = processes.peak_bytes / 2**20
        print(f"peak of all processes {peak:,.0f} MiB, of {memory_megabytes:,} MiB allowed", flush=True)
    return int(peak > memory_megabytes)


class SparkStages:
    """Prints what each stage took."""

    def __init__(self, context: SparkContext, processes: ProcessTree) -> None:
        self._context = context
        self._processes = processes
        self._before = self._now()

    def end(self, name: str) -> None:
        """The stage ``name`` is over."""
        before, self._before = self._before, self._now()
        seconds, busy, shuffled = (now - then for now, then in zip(self._before, before, strict=True))
        print(
            f"{name:<24} {seconds:8.1f} s, {busy:8.1f} s of processor, {shuffled / 2**20:9,.1f} MiB shuffled, "
            f"peak {self._processes.peak_bytes / 2**20:7,.0f} MiB",
            flush=True,
        )

    def _now(self) -> tuple[float, float, float]:
        return time.perf_counter(), self._processes.processor_seconds(), shuffled_bytes(self._context)


def shuffled_bytes(context: SparkContext) -> int:
    """What all tasks have written for others to read so far, by Spark's own count."""
    executors = cast(Any, context)._jsc.sc().statusStore().executorList(False)
    return sum(executors.apply(place).totalShuffleWrite() for place in range(executors.size()))


class ProcessTree:
    """This process and all that it started, watched while the context lasts."""

    def __init__(self) -> None:
        self.peak_bytes = 0
        self._has_ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> ProcessTree:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._has_ended.set()
        self._thread.join()

    def processor_seconds(self) -> float:
        """What they used so far, those that have ended included."""
        ticks = 0
        for process in _tree():
            with suppress(OSError):
                fields = Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2].split()
                ticks += sum(map(int, fields[11:15]))
        return ticks / os.sysconf("SC_CLK_TCK")

    def _watch(self) -> None:
        while not self._has_ended.wait(_SAMPLE_SECONDS):
            self.peak_bytes = max(self.peak_bytes, sum(map(_memory_bytes, _tree())))


def _tree() -> list[int]:
    """The ids of this process and of all below it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                parent = int((entry / "stat").read_text().rpartition(") ")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    found = [os.getpid()]
    for process in found:
        found.extend(children.get(process, []))
    return found


def _memory_bytes(process: int) -> int:
    """The memory of a process, what it shares with others in proportion; 0 for one that has ended."""
    with suppress(OSError):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


@dataclass(frozen=True, slots=True)
class BenchmarkDeployment:
    """Opens a store in which nobody was erased, and artifacts that are files of a folder."""

    folder: str

    def __call__(self) -> tuple[Store, ArtifactStore]:
        return cast(Store, _NoStore()), cast(ArtifactStore, _Files(Path(self.folder)))


class _NoStore:
    def erased_since(self, *_: object) -> set[str]:
        return set()

    def segments(self, *_: object) -> None:
        """There are none yet."""

    def point_to_segments(self, *_: object, **_named: Mapping[str, object]) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class _Files:
    folder: Path

    def put(self, key: str, data: bytes) -> None:
        path = self.folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def get(self, key: str) -> bytes:
        return (self.folder / key).read_bytes()
