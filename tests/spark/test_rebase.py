"""A rebase on Spark does what one in a process does, and one that fails changes nothing."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from nextbest.domain.actions import Action
from nextbest.domain.programs import Program
from nextbest.domain.rebase_status import COMPLETE, FAILED
from nextbest.errors import Stopped, TableExportError
from nextbest.logic.event_log import EventLog, ScannedLog
from nextbest.logic.rebase import Rebase
from nextbest.logic.segments import memberships_of
from nextbest.scoring import Model
from nextbest.store.artifacts import S3Artifacts
from nextbest.store.base import ModelPointer
from nextbest.store.dynamo import DynamoStore
from tests.factories import drink_events, ticking_clock
from tests.store.conftest import PROGRAM, create_table, dynamodb, s3

pytest.importorskip("pyspark", reason="pyspark is not installed: make install-spark")

from tests.spark.comparison import differences
from tests.spark.deployments import FILES, LocalDeployment, ScannedFile
from tools.spark.event_files import read_ranges
from tools.spark.event_log import SparkLog
from tools.spark.session import SparkFailed

if TYPE_CHECKING:
    from pyspark import SparkContext

NOW = 1_750_000_000.0
HOUR = 3_600.0
BUDGET_SECONDS = 0.5


@dataclass
class World:
    """A program with events, and its rebases."""

    context: SparkContext
    deployment: LocalDeployment
    store: DynamoStore
    artifacts: S3Artifacts
    program: Program

    def rebase_on_spark(self, start: float, *, check: Callable[[], object] = lambda: None) -> ModelPointer:
        clock = ticking_clock(start)
        incarnation = self.program.incarnation
        return Rebase(self.store, self.artifacts, incarnation, clock=clock, read=self.read, check=check).run()

    def rebase_in_process(self, start: float) -> ModelPointer:
        return Rebase(self.store, self.artifacts, self.program.incarnation, clock=ticking_clock(start)).run()

    def read(self, unreadable: Callable[[str], object]) -> EventLog:
        source = ScannedFile(self.deployment, self.program.incarnation)
        ranges = read_ranges(self.context, range(FILES), source, tasks=2, range_events=30)
        for user_id in ranges.unreadable:
            unreadable(user_id)
        return SparkLog(ranges, self.deployment, time_budget_seconds=BUDGET_SECONDS)

    def segments(self) -> list[dict[str, list[tuple[Action, float]]]]:
        """The memberships of each user, by kind."""
        incarnation = self.program.incarnation
        return [memberships_of(self.store, self.artifacts, incarnation, f"user-{number}") for number in range(13)]

    def status(self) -> tuple[str, str]:
        status = self.store.status(self.program.incarnation)
        assert status is not None
        return status.status_id, status.message


@pytest.fixture
def world(context: SparkContext, start_engine: Callable[[str], str]) -> Iterator[World]:
    deployment = LocalDeployment(start_engine("dynoxide"), start_engine("ministack"), f"spark-{uuid.uuid4().hex[:12]}")
    create_table(dynamodb(deployment.dynamodb_url), deployment.name)
    s3(deployment.s3_url).create_bucket(Bucket=deployment.name)
    store, artifacts = deployment()
    store.create_program(PROGRAM)
    yield World(context, deployment, store, artifacts, PROGRAM)


def test_it_publishes_what_one_in_a_process_does(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a program whose model is an hour old, and events since then that were stored without their histories
    from nextbest.logic import event_log
    from nextbest.training import train

    def quickly(events: object, **settings: object) -> object:
        return train(events, **settings, time_budget_seconds=BUDGET_SECONDS)  # type: ignore[arg-type]

    monkeypatch.setattr(event_log, "train", quickly)
    events = drink_events(now=NOW)
    world.store.append(PROGRAM, events)
    world.rebase_in_process(NOW - HOUR)
    world.store.append(PROGRAM, [replace(events[0], timestamp_us=round((NOW - 60) * 1e6))], refresh_histories=False)
    # When it is rebased on Spark, and then as of the same time in a process
    on_spark = world.rebase_on_spark(NOW)
    status, segments = world.status(), world.segments()
    in_process = world.rebase_in_process(NOW)
    # Then the model is the same but for what it says of the one before it, and so are the segments; the history was
    # refreshed by the first
    models = [Model.from_bytes(world.artifacts.get(pointer.key)) for pointer in (on_spark, in_process)]
    for model in models:
        model.report.pop("drift", None)
    assert list(differences(*models)) == []
    assert segments == world.segments()
    assert status[0] == COMPLETE
    assert "1 histories refreshed" in status[1]
    assert "0 histories refreshed" in world.status()[1]
    assert list(world.store.backfilled_users(PROGRAM.incarnation)) == []
    # And drift is measured in the same way
    log = world.read(str)
    scanned = ScannedLog(world.store, world.artifacts, world.store.scan_events(PROGRAM.incarnation))
    assert log.drift(models[0], now=NOW + HOUR) == scanned.drift(models[0], now=NOW + HOUR)


def fails(_unreadable: Callable[[str], object]) -> EventLog:
    raise TableExportError("the export is incomplete: its manifest is missing")


def test_what_fails_on_the_way_leaves_the_last_good_model(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a model in service, learned by Spark
    world.store.append(PROGRAM, drink_events(now=NOW))
    good = world.rebase_on_spark(NOW)
    segments = world.store.segments(PROGRAM.incarnation)

    # When the next rebase finds an incomplete export, then it is reported and the model serves on
    with pytest.raises(TableExportError):
        Rebase(world.store, world.artifacts, PROGRAM.incarnation, clock=ticking_clock(NOW + HOUR), read=fails).run()
    assert world.status() == (FAILED, "the export is incomplete: its manifest is missing")

    # When a worker dies again and again while the model is learned, then so it is
    monkeypatch.setattr("tools.spark.event_log.train_partitions", lambda partitions, *_, **__: partitions.each(dies))
    with pytest.raises(SparkFailed):
        world.rebase_on_spark(NOW + HOUR)
    assert world.status()[0] == FAILED
    monkeypatch.undo()

    # When the rebase is stopped after the model was learned, then nothing is published, and others report
    checks = iter([None, None, Stopped("the run was stopped")])

    def check() -> None:
        problem = next(checks)
        if problem is not None:
            raise problem

    with pytest.raises(Stopped):
        world.rebase_on_spark(NOW + HOUR, check=check)

    state = world.store.program_state(PROGRAM.program_id)
    assert state is not None
    assert state.model == good
    assert world.store.segments(PROGRAM.incarnation) == segments


def dies(_partition: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)
