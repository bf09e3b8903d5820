"""A rebase at size: ``./nextbest bench-scale``.

Prints, stage by stage, the seconds and the peak memory of a rebase over a log that is drawn as it is read: what comes
from the table's API, page by page, is held nowhere. Reading, training and scoring everybody for segments are those of a
rebase; DynamoDB's own time is not in it. One process a size: a peak does not go down again.
"""

from __future__ import annotations

import os
import platform
import resource
import time
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nextbest.aws.table import Item, ItemKey, Table
from nextbest.domain.programs import Program
from nextbest.scoring.kernels import DAY_SECONDS
from nextbest.scoring.memberships import build_parts
from nextbest.store.dynamo import DynamoStore
from nextbest.training import train
from nextbest.training.table import EventTable

NOW = 1_760_000_000.0
DAYS = 365.0
TASTES = 4
GROUPS = 200
_PAGE = 1_000


class DrawnTable(Table):
    """A table without a service, whose log is drawn from a seed: each user likes some groups of actions."""

    def __init__(self, *, events: int, users: int, actions: int, seed: int = 1) -> None:
        random = np.random.default_rng(seed)
        activity = random.lognormal(0.0, 1.0, users)
        counts = np.maximum(1, (activity / activity.sum() * events).astype(np.int64))
        self.user: NDArray[np.int32] = np.repeat(np.arange(users, dtype=np.int32), counts)
        size = len(self.user)
        tastes = random.integers(GROUPS, size=(users, TASTES), dtype=np.int32)
        group = tastes[self.user, random.integers(TASTES, size=size)]
        # Within a group the r-th action is taken in proportion to 1 / r: popularity is heavy-tailed.
        members = max(1, actions // GROUPS)
        rank = np.minimum((members ** random.random(size)).astype(np.int32), members) - 1
        self.action = (group * members + rank).astype(np.int32)
        self.time_us = ((NOW - DAYS * DAY_SECONDS * random.random(size)) * 1e6).astype(np.int64)

    def get(self, _key: ItemKey) -> Item | None:
        """Nothing: there are no imports."""
        return None

    def scan(
        self, pk_prefix: str, _sk_prefix: str = "", *, projection: str, segment: tuple[int, int] = (0, 1)
    ) -> Iterator[Item]:
        """The rows of the log, as botocore gives them."""
        del projection
        number, of = segment
        cuts = np.arange(number, number + 2) * (int(self.user[-1]) + 1) // of
        begin, end = np.searchsorted(self.user, cuts).tolist()
        for start in range(begin, end, _PAGE):
            page = slice(start, min(start + _PAGE, end))
            columns = (column[page].tolist() for column in (self.user, self.time_us, self.action))
            rows: list[Any] = [
                {
                    "pk": {"S": f"{pk_prefix}customer-{user:08d}"},
                    "sk": {"S": f"E#{time_us:018d}#purchase#asset-{action:06d}"},
                }
                for user, time_us, action in zip(*columns, strict=True)
            ]
            yield from rows


def run(*, events: int, users: int, actions: int, train_seconds: float) -> None:
    """Read, train and score everybody, and print the figures. ``train_seconds`` is the time budget of the training."""
    table = DrawnTable(events=events, users=users, actions=actions)
    program = Program("benchmark")
    stages = Stages(len(table.user))
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    columns = DynamoStore(table).scan_events(program.incarnation)
    stages.end("read into columns")
    del table
    prepared = EventTable.of(columns, NOW)
    stages.end("sort for training")
    print(f"{len(columns):,} events, {prepared.user_count:,} users, {len(prepared.actions):,} actions")
    del prepared
    stages.skip()
    if train_seconds:
        model = train(columns, program=program, now=NOW, seed=1, time_budget_seconds=train_seconds)
        stages.end(f"train, budget {train_seconds:.0f} s")
        print(f"model {sha256(model.to_bytes()).hexdigest()[:12]}, {len(model.to_bytes()):,} bytes")
        stages.skip()
        entries = 0
        for part in build_parts(model, columns, half_life_days=program.half_life_days, now=NOW):
            entries += sum(len(segments.members) for segments in part.values())
        stages.end("score everybody")
        print(f"segments of {entries:,} entries")


class Stages:
    """Prints what each stage took, and the peak memory since the beginning."""

    def __init__(self, events: int) -> None:
        self._events = events
        self._before = _peak_bytes()
        self.skip()

    def skip(self) -> None:
        """Begin the next stage now."""
        self._began, self._began_cpu = time.perf_counter(), time.process_time()

    def end(self, name: str) -> None:
        """The stage ``name`` is over."""
        seconds, busy = time.perf_counter() - self._began, time.process_time() - self._began_cpu
        above = _peak_bytes() - self._before
        print(
            f"{name:<22} {seconds:7.1f} s, {busy:7.1f} s of processor ({busy / self._events * 1e6:6.1f} a million), "
            f"peak {_peak_bytes() / 2**20:7,.0f} MiB ({above / self._events:5.0f} bytes an event above the start)",
            flush=True,
        )
        self.skip()


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
