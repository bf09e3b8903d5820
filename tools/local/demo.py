"""The demo program: a simulated coffee shop's last half year, sent through the public API."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from random import SystemRandom
from typing import Any

import urllib3
from tqdm import tqdm

from nextbest.domain.events import Event
from nextbest.domain.programs import Program, new_incarnation
from nextbest.domain.rebase_status import COMPLETE
from nextbest.errors import AlreadyExists
from nextbest.store.base import Store
from tools.cli.program import RebaseFailed
from tools.cli.program import rebase as rebase_program
from tools.simulator import demo_population

PROGRAM_ID = "demo"
# One of the simulator's named guests.
USER_ID = "grace"
_SEED = 7
_BATCH_EVENTS = 1000
_REBASE_SECONDS = 600.0


class DemoFailed(Exception):
    """The demo could not be loaded. The message quotes the API's response."""


class DemoClient:
    """The few calls of the public API that loading a program takes."""

    def __init__(self, url: str, key: str, program_id: str = PROGRAM_ID) -> None:
        self._url = url
        self._headers = {"actionhub-key": key, "program-id": program_id, "content-type": "application/json"}
        self._http = urllib3.PoolManager(retries=False)

    def post_events(self, events: Iterable[Event], *, name: str) -> None:
        """Send the events, under a bar with this name."""
        # Those of one user together: they are stored with fewer writes.
        listed = sorted(events)
        with tqdm(total=len(listed), desc=f"  {name}", unit=" events", unit_scale=True) as bar:
            # One at a time: the engine writes to one file, and two senders are slower than one.
            for start in range(0, len(listed), _BATCH_EVENTS):
                batch = listed[start : start + _BATCH_EVENTS]
                self.call("POST", "/events", {"events": [_wire_form(event) for event in batch]})
                bar.update(len(batch))

    def call(self, method: str, path: str, body: object = None) -> Any:
        """The JSON of the response. Raises DemoFailed if the status is another than 200."""
        data = None if body is None else json.dumps(body).encode()
        response = self._http.request(method, self._url + path, body=data, headers=self._headers)
        if response.status != 200:
            raise DemoFailed(f"{method} {path} returned {response.status}: {response.data.decode(errors='replace')}")
        return response.json()


def load_demo(client: DemoClient, store: Store, *, state: Path) -> bool:
    """Create, fill and rebase the demo program; False if that had been done before.

    The time at which the simulation ends is kept in ``state``, so that an interrupted load continues with the same
    events, of which none is stored twice. Raises DemoFailed.
    """
    if store.program_state(PROGRAM_ID) is not None and is_complete(client):
        return False
    program = demo_program(store)  # it exists if an earlier load was interrupted
    population = demo_population(seed=_SEED, now=_end_of_simulation(state / "demo.json"))
    store.put_assets(program.incarnation, population.assets)
    client.post_events(population.events, name="demo events")
    rebase(client)
    return True


def demo_program(store: Store) -> Program:
    """The demo program; created, without data, where it does not exist."""
    with contextlib.suppress(AlreadyExists):
        incarnation = new_incarnation(PROGRAM_ID, random=SystemRandom())
        store.create_program(Program(PROGRAM_ID, "Coffee shop", incarnation=incarnation, created_at=time.time()))
    state = store.program_state(PROGRAM_ID)
    assert state is not None
    return state.program


def is_complete(client: DemoClient) -> bool:
    """Whether the demo program has a model of its latest rebase."""
    complete: bool = client.call("GET", "/program/status")["status_id"] == COMPLETE
    return complete


def rebase(client: DemoClient) -> None:
    """Rebase the demo program, and wait for the end. Raises DemoFailed."""
    try:
        rebase_program(
            client.call,
            pause=time.sleep,
            clock=time.monotonic,
            timeout_seconds=_REBASE_SECONDS,
            report=lambda message: tqdm.write(f"  demo rebase: {message}", file=sys.stderr),
        )
    except RebaseFailed as error:
        raise DemoFailed(f"the demo's rebase {error} (see its function's log)") from error


def _end_of_simulation(path: Path) -> float:
    if not path.exists():
        path.write_text(json.dumps({"now": float(int(time.time()))}))
    now: float = json.loads(path.read_text())["now"]
    return now


def _wire_form(event: Event) -> dict[str, object]:
    return {
        "user_id": event.user_id,
        "event_timestamp": datetime.fromtimestamp(event.timestamp, UTC).isoformat(),
        "event_type": event.event_type,
        "asset_id": event.asset_id,
        "labels": list(event.labels),
        **({"recommendation_id": event.recommendation_id} if event.recommendation_id else {}),
    }
