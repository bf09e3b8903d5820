"""The lease of a program: two at once never train it, and nothing that was asked for meanwhile is lost."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from nextbest.domain.rebase_status import COMPLETE, LEASE_SECONDS, QUEUED
from nextbest.errors import ProgramNotFound
from nextbest.logic.lease import run_alone
from nextbest.logic.program_removal import remove_program
from nextbest.logic.programs import rebase_event
from nextbest.store.base import Status
from nextbest.store.dynamo import DynamoStore
from tests.factories import MemoryArtifacts
from tests.store.conftest import PROGRAM

OWNER = PROGRAM.incarnation
NOW = 1_750_000_000.0
SEGMENTS = {"only": "segments"}
SCHEDULED = {"scheduled": "yes"}


def take(store: DynamoStore, holder: str, *, now: float = NOW, running: str = "{}") -> bool:
    return store.take_lease(OWNER, holder, running, now=now, expires_at=now + LEASE_SECONDS)


def test_only_one_of_many_takes_it(store: DynamoStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda number: take(store, f"holder-{number}"), range(8)))

    assert taken.count(True) == 1
    assert store.leases([OWNER])[OWNER].holder == f"holder-{taken.index(True)}"


def test_a_retry_has_it_already_and_others_only_once_it_expired(store: DynamoStore) -> None:
    # Given a holder that was killed, for whom something waits
    assert take(store, "killed")
    assert store.wait_for_lease(OWNER, "waits", now=NOW + 1)
    # Then Lambda's retry of the same invocation goes on, and nobody else begins
    assert take(store, "killed", now=NOW + 60)
    assert not take(store, "other", now=NOW + LEASE_SECONDS)
    # Until it must be dead; then what waits is started by whoever comes
    assert not store.wait_for_lease(OWNER, "too late", now=NOW + 60 + LEASE_SECONDS)
    assert take(store, "other", now=NOW + 60 + LEASE_SECONDS)
    assert store.release_lease(OWNER, "killed") == []
    assert store.release_lease(OWNER, "other") == ["waits"]


def test_what_runs_need_not_wait_as_well(store: DynamoStore) -> None:
    assert take(store, "killed", running="a")
    for waiting in ("a", "b"):
        assert store.wait_for_lease(OWNER, waiting, now=NOW)

    assert take(store, "other", running="b", now=NOW + LEASE_SECONDS)

    assert store.leases([OWNER])[OWNER].left == {"a"}


def test_what_waits_is_kept_until_it_was_started(store: DynamoStore) -> None:
    assert take(store, "first")
    for waiting in ("a", "b", "a"):
        assert store.wait_for_lease(OWNER, waiting, now=NOW)

    # A release whose response was lost is repeated
    assert store.release_lease(OWNER, "first") == ["a", "b"]
    assert store.release_lease(OWNER, "first") == ["a", "b"]

    # Where its caller was killed before all was started, the next one does the rest
    store.forget_started(OWNER, ["a"])
    assert take(store, "second")
    assert store.release_lease(OWNER, "first") == []
    assert store.wait_for_lease(OWNER, "c", now=NOW)
    assert store.release_lease(OWNER, "second") == ["b", "c"]
    store.forget_started(OWNER, ["b", "c"])
    assert store.release_lease(OWNER, "second") == []
    # And where nothing waits, nothing is left
    assert take(store, "third")
    assert store.release_lease(OWNER, "third") == store.release_lease(OWNER, "third") == []
    assert store.leases([OWNER]) == {}


def test_nothing_waits_where_nobody_would_start_it(store: DynamoStore) -> None:
    assert not store.wait_for_lease(OWNER, "a", now=NOW)
    assert store.leases([OWNER]) == {}


def test_a_program_that_is_deleted_meanwhile_has_no_lease(store: DynamoStore) -> None:
    assert take(store, "first")
    assert store.wait_for_lease(OWNER, "a", now=NOW)

    remove_program(store, MemoryArtifacts(), OWNER)

    assert store.release_lease(OWNER, "first") == []
    store.forget_started(OWNER, ["a"])
    assert not store.wait_for_lease(OWNER, "b", now=NOW)
    with pytest.raises(ProgramNotFound):
        take(store, "second")
    assert store.leases([OWNER]) == {}


class Function:
    """The function ``rebase``, whose invocations run in threads of their own; ``runs`` are the jobs that were done.

    The first at work goes on once ``others`` have found it there.
    """

    def __init__(self, store: DynamoStore, pool: ThreadPoolExecutor, *, others: int) -> None:
        self._store, self._pool, self._others = store, pool, others
        self._refused = threading.Semaphore(0)
        self._lock = threading.Lock()
        self._invocations: list[Future[None]] = []
        self._working = threading.Lock()
        self.runs: Counter[str] = Counter()
        self.overlapped = False

    def start(self, event: Mapping[str, str]) -> None:
        with self._lock:
            holder = f"invocation-{len(self._invocations)}"
            self._invocations.append(self._pool.submit(self._run, event, holder))

    def _run(self, event: Mapping[str, str], holder: str) -> None:
        if run_alone(self._store, event, holder, lambda: self._work(event), self.start, clock=time.time) is None:
            self._refused.release()

    def _work(self, event: Mapping[str, str]) -> bool:
        if not self._working.acquire(blocking=False):
            self.overlapped = True
            return False
        if not self.runs:
            assert all(self._refused.acquire(timeout=60) for _ in range(self._others))
        self.runs[json.dumps(event, sort_keys=True)] += 1
        self._working.release()
        return True

    def finish(self) -> None:
        done = 0
        while done < len(self._invocations):
            self._invocations[done].result(timeout=60)
            done += 1


def test_of_many_at_once_each_runs_and_no_two_overlap(store: DynamoStore) -> None:
    events = [rebase_event(OWNER, solution_version=f"v{number % 4}") for number in range(12)]
    with ThreadPoolExecutor(24) as pool:
        function = Function(store, pool, others=len(events) - 1)
        for event in events:
            function.start(event)
        function.finish()

    assert not function.overlapped
    assert function.runs.keys() == {json.dumps(event, sort_keys=True) for event in events}
    lease = store.leases([OWNER]).get(OWNER)
    assert lease is None or not (lease.holder or lease.left)


def test_what_was_asked_for_meanwhile_is_started_afterwards_whatever_became_of_the_run(store: DynamoStore) -> None:
    started: list[Mapping[str, str]] = []

    def nothing() -> bool:
        raise AssertionError("it waits")

    def work() -> bool:
        # Given a rebase, segments and a run of the schedule that are started while another rebase runs
        for holder, job in (("a", {}), ("b", SEGMENTS), ("c", SCHEDULED), ("d", {})):
            event = rebase_event(OWNER, **job)
            assert run_alone(store, event, holder, nothing, started.append, clock=lambda: NOW) is None
        store.put_status(Status(OWNER, COMPLETE, "learned", NOW))
        assert started == []
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        run_alone(store, rebase_event(OWNER, solution_version="v"), "first", work, started.append, clock=lambda: NOW)

    # Then those that a person asked for follow, once each, and the status says that one is to come
    assert sorted(started, key=len) == [rebase_event(OWNER), rebase_event(OWNER, **SEGMENTS)]
    status = store.status(OWNER)
    assert status is not None
    assert status.status_id == QUEUED
    assert store.release_lease(OWNER, "first") == []


def test_a_run_of_the_schedule_waits_for_segments(store: DynamoStore) -> None:
    started: list[Mapping[str, str]] = []
    scheduled = rebase_event(OWNER, **SCHEDULED)

    def segments() -> bool:
        run_alone(store, scheduled, "second", lambda: True, started.append, clock=lambda: NOW)
        return True

    assert run_alone(store, rebase_event(OWNER, **SEGMENTS), "first", segments, started.append, clock=lambda: NOW)

    assert started == [scheduled]


def test_where_waiting_work_cannot_be_started_the_retry_starts_it(store: DynamoStore) -> None:
    started: list[Mapping[str, str]] = []
    event = rebase_event(OWNER, solution_version="v")

    def busy(_event: Mapping[str, str]) -> None:
        raise OSError("throttled")

    def work() -> bool:
        waiting = rebase_event(OWNER, solution_version="waits")
        return run_alone(store, waiting, "second", lambda: True, busy, clock=lambda: NOW) is None

    with pytest.raises(OSError, match="throttled"):
        run_alone(store, event, "first", work, busy, clock=lambda: NOW)

    assert run_alone(store, event, "first", lambda: True, started.append, clock=lambda: NOW)
    assert started == [rebase_event(OWNER, solution_version="waits")]
