"""What tests are about: events, columns of events, histories, models' files, clocks, requests. Made here, once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nextbest.domain.events import Event
from nextbest.domain.history import History
from nextbest.errors import ArtifactError
from nextbest.scoring.model import Influence
from nextbest.store.base import ByteRange

DAY_SECONDS = 86_400.0
HOUR_SECONDS = 3_600.0
ORDER = "order"


def user_events(user_id: str, number: int, *, now: float, every_seconds: float = HOUR_SECONDS) -> list[Event]:
    """Orders of a user, the newest a minute before ``now`` and the others ``every_seconds`` before one another."""
    newest_us = (round(now) - 60) * 1_000_000
    return [
        Event(user_id, newest_us - round(place * every_seconds) * 1_000_000, ORDER, f"drink-{place % 4}")
        for place in range(number)
    ]


def drink_events(users: int = 12, *, now: float) -> list[Event]:
    """Everyone orders drinks over 60 days; who orders tea also orders cake."""
    drinks = ("latte", "tea", "espresso")
    made = []
    for user in range(users):
        for day in range(0, 60, 2):
            drink = drinks[(user + day // 20) % 3]
            for asset in (drink, "cake") if drink == "tea" else (drink,):
                made.append(Event(f"user-{user}", round((now - day * DAY_SECONDS - user) * 1e6), ORDER, asset))
    return made


def columns_of_rows(rows: Iterable[tuple[str, str, str, float]]) -> dict[str, list[Any]]:
    """Columns for ``train`` from rows of user, event type, asset and time in seconds."""
    listed = list(rows)
    names = ("user_id", "event_type", "asset_id", "timestamp")
    return {name: [row[place] for row in listed] for place, name in enumerate(names)}


def columns_of_events(events: Iterable[Event]) -> dict[str, NDArray[np.object_] | NDArray[np.int64]]:
    """Columns for ``train`` and for segments, as a rebase makes them from the log."""
    listed = list(events)
    return {
        "user_id": np.array([event.user_id for event in listed], object),
        "event_type": np.array([event.event_type for event in listed], object),
        "asset_id": np.array([event.asset_id for event in listed], object),
        "timestamp_us": np.array([event.timestamp_us for event in listed], np.int64),
    }


def random_influence(random: np.random.Generator, actions: int, scale: float) -> Influence:
    """Influences between ``actions`` actions, some of each on others, drawn from a normal distribution."""
    counts = random.integers(0, actions + 1, actions)
    columns = [np.sort(random.permutation(actions)[:count]) for count in counts.tolist()]
    return Influence(
        np.concatenate(([0], np.cumsum(counts))).astype(np.int64),
        np.concatenate(columns).astype(np.uint16),
        random.normal(size=int(counts.sum())).astype(np.float16),
        scale,
    )


def histories_of(events: Iterable[Event]) -> dict[str, History]:
    """The history of every user of the events."""
    grouped: dict[str, list[tuple[str, str, float]]] = defaultdict(list)
    for event in events:
        grouped[event.user_id].append((event.event_type, event.asset_id, event.timestamp))
    return {user_id: History.from_events(listed) for user_id, listed in grouped.items()}


def ticking_clock(start: float) -> Callable[[], float]:
    """A clock that shows a millisecond more each time it is read."""
    ticks = count()
    return lambda: start + next(ticks) * 0.001


def http_event(method: str, path: str, *, route_key: str = "$default", **changes: Any) -> dict[str, Any]:
    """A request as an HTTP API hands it on (payload format 2.0), as far as functions read it."""
    return {
        "version": "2.0",
        "routeKey": route_key,
        "rawPath": path,
        "rawQueryString": "",
        "headers": {},
        "requestContext": {"stage": "$default", "http": {"method": method, "path": path}},
        "isBase64Encoded": False,
    } | changes


class MemoryArtifacts:
    """Artifacts in a dictionary, for tests that are not about S3. Implements ``store.base.ArtifactStore``."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.reads = 0

    def put(self, key: str, data: bytes) -> None:
        self.files[key] = data

    def get(self, key: str) -> bytes:
        self.reads += 1
        if key not in self.files:
            raise ArtifactError(f"artifact {key} does not exist")
        return self.files[key]

    def put_stream(self, key: str, pieces: Iterator[bytes], *, content_type: str, filename: str) -> None:
        del content_type, filename
        self.put(key, b"".join(pieces))

    def get_ranges(self, ranges: Sequence[ByteRange]) -> list[bytes]:
        contents = [self.get(part.key)[part.begin : part.begin + part.count] for part in ranges]
        for part, content in zip(ranges, contents, strict=True):
            if len(content) != part.count:
                raise ArtifactError(f"artifact {part.key} ends before byte {part.begin + part.count}")
        return contents

    def download_url(self, key: str, *, seconds: int) -> str:
        return f"https://bucket.test/{key}?seconds={seconds}"

    def names(self, prefix: str) -> list[str]:
        return sorted(key for key in self.files if key.startswith(prefix))

    def delete_all(self, prefix: str, *, before: str | None = None, keep: Container[str] = ()) -> int:
        doomed = [
            key for key in self.files if key.startswith(prefix) and (before is None or key < before) and key not in keep
        ]
        for key in doomed:
            del self.files[key]
        return len(doomed)
