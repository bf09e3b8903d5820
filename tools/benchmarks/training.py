"""Training and scoring at size: ``./nextbest bench-training``.

Prints the conditions, the seconds to train, the bytes of the artifact, the time to score one user, and the time to
select the best actions, scores equal or not. The events are drawn from a fixed seed: users with tastes for groups of
actions, a third of their events repeats.
"""

from __future__ import annotations

import os
import platform
import resource
import time

import numpy as np
from numpy.typing import NDArray

from nextbest.domain.history import History
from nextbest.domain.programs import Program
from nextbest.scoring import Model, recommend
from nextbest.scoring.kernels import DAY_SECONDS
from nextbest.scoring.selection import strongest
from nextbest.training import train

NOW = 1_760_000_000.0
DAYS = 365.0
GROUPS = 200
REPEATS = 0.35
SCORED_USERS = 500
SELECTED_FROM = (23_000, 100_000)
SELECTIONS = 200


def synthetic_events(events: int, actions: int, users: int, seed: int) -> dict[str, NDArray[np.generic]]:
    """Columns of about ``events`` events: popularity is heavy-tailed, activity log-normal."""
    random = np.random.default_rng(seed)
    activity = random.lognormal(0.0, 1.0, users)
    counts = np.maximum(1, (activity / activity.sum() * events).astype(np.int64))
    group = random.integers(GROUPS, size=actions)
    popularity = 1.0 / np.arange(1, actions + 1) ** 0.8
    members = [np.flatnonzero(group == number) for number in range(GROUPS)]
    chances = [popularity[inside] / popularity[inside].sum() for inside in members]
    asset: list[NDArray[np.int64]] = []
    for count in counts.tolist():
        tastes = random.choice(GROUPS, size=4)
        chosen = tastes[random.integers(4, size=count)]
        taken = np.array([random.choice(members[number], p=chances[number]) for number in chosen.tolist()])
        again = np.flatnonzero(random.random(count) < REPEATS)
        taken[again] = taken[(again * random.random(len(again))).astype(np.int64)]
        asset.append(taken)
    user = np.repeat(np.arange(users), counts)
    return {
        "user_id": np.char.add("u", user.astype(np.str_)),
        "event_type": np.full(len(user), "use"),
        "asset_id": np.char.add("asset-", np.concatenate(asset).astype(np.str_)),
        "timestamp": NOW - DAYS * DAY_SECONDS * random.random(len(user)),
    }


def run(*, events: int, actions: int, users: int) -> None:
    """Train on synthetic events, score, and print the figures."""
    columns = synthetic_events(events, actions, users, seed=1)
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    began = time.perf_counter()
    model = train(columns, program=Program("benchmark"), now=NOW, seed=1)
    seconds = time.perf_counter() - began
    data = model.to_bytes()
    first = np.argsort(columns["user_id"], kind="stable")
    began = time.perf_counter()
    model = Model.from_bytes(data)
    loaded = time.perf_counter()
    _ = model.places_by_type
    looked_up = time.perf_counter()
    names, starts = np.unique(columns["user_id"][first], return_index=True)
    histories = []
    for begin, end in zip(
        starts[:SCORED_USERS].tolist(), [*starts[1:].tolist(), len(first)][:SCORED_USERS], strict=False
    ):
        rows = first[begin:end]
        histories.append(
            History.from_events(
                ("use", str(asset), float(at))
                for asset, at in zip(
                    columns["asset_id"][rows].tolist(), columns["timestamp"][rows].tolist(), strict=True
                )
            )
        )
    durations = []
    for history in histories:
        started = time.perf_counter()
        recommend(model, history, now=NOW, limit=10, allow_repeats=True)
        durations.append((time.perf_counter() - started) * 1e6)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{len(first):,} events, {len(model.actions):,} actions, {len(names):,} users")
    print(f"train {seconds:.0f} s, peak memory {memory:,.0f} MiB, {model.report['settings_tried']} settings tried")
    print(
        f"artifact {len(data):,} bytes, load {(loaded - began) * 1e3:.1f} ms, index {(looked_up - loaded) * 1e3:.1f} ms"
    )
    print(f"score one user: p50 {np.percentile(durations, 50):.0f} µs, p99 {np.percentile(durations, 99):.0f} µs")
    for size in SELECTED_FROM:
        print(f"select 10 of {size:,} actions, p50: {', '.join(selection_times(size))}")


def selection_times(size: int) -> list[str]:
    """How long the selection of ten takes, by how many of the scores are equal."""
    random = np.random.default_rng(size)
    distinct, ties = random.random(size), random.random(size)
    kinds = {
        "distinct": distinct,
        "all equal": np.full(size, 0.5),
        "1 % above equal ones": np.where(distinct < 0.01, 1.0 + distinct, 0.5),
    }
    times = []
    for kind, scores in kinds.items():
        durations = []
        for _ in range(SELECTIONS):
            started = time.perf_counter()
            strongest(10, scores, ties)
            durations.append((time.perf_counter() - started) * 1e6)
        times.append(f"{kind} {np.median(durations):.0f} µs")
    return times
