"""The Spark job: what is submitted for a program that is too large for one invocation of the function ``rebase``.

    rebase.py '{"program_id": "...", "incarnation": "...", ...}' <invocation>

The first argument is the event that the function got, the second the id of the invocation that started the job and left
its lease to it. Settings are environment variables, as the functions have them.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from random import SystemRandom
from typing import TYPE_CHECKING, Any

from nextbest.aws.clients import lambda_client, lazily, s3_client
from nextbest.aws.functions import AsynchronousFunction
from nextbest.domain.event_columns import EventColumns
from nextbest.domain.programs import Incarnation, program_id_of
from nextbest.logic.rebase import Rebase
from nextbest.observability import logger
from nextbest.personalize.jobs.job_lease import JobLease, run_handed_over
from nextbest.personalize.jobs.training_job import TrainingJob
from nextbest.store.artifacts import DirectArtifacts
from nextbest.store.base import ArtifactStore, Store
from nextbest.store.dynamo import DynamoStore
from nextbest.store.environment import open_artifacts, open_store, open_table_exports
from nextbest.store.table_export import ExportFile, TableExport, read_events
from tools.spark.event_files import SourceNotes, read_ranges
from tools.spark.event_log import SparkLog
from tools.spark.session import plain_failures, spark_context

if TYPE_CHECKING:
    from pyspark import SparkContext

_CLAIM_DIGITS = 8


def main(arguments: Sequence[str]) -> int:
    """Do what the event says, unless another job does; the exit status."""
    event, invocation = json.loads(arguments[0]), arguments[1]
    incarnation = Incarnation(event["incarnation"])
    store, artifacts = open_deployment()
    random = SystemRandom()
    rebase_function = AsynchronousFunction(lazily(lambda_client), os.environ["REBASE_FUNCTION_NAME"])
    job = {name: value for name, value in event.items() if name not in ("program_id", "incarnation")}

    def work(lease: JobLease) -> dict[str, Any]:
        with ExitStack() as resources:
            logs = ExportedLogs(incarnation, invocation, lease.check, resources)
            open_rebase = partial(_rebase, store, artifacts, logs.read, lease.check)
            training = TrainingJob(store, artifacts, open_rebase, random, time.time)
            return training.run(job, incarnation)

    claim = f"{random.getrandbits(4 * _CLAIM_DIGITS):0{_CLAIM_DIGITS}x}"
    done = run_handed_over(store, event, invocation, work, rebase_function.start, claim=claim, clock=time.time)
    logger.info("the job is done", program_id=program_id_of(incarnation), result=done)
    return 0


def open_deployment() -> tuple[DynamoStore, DirectArtifacts]:
    """The table and the bucket that the environment names."""
    return open_store(clock=time.time), open_artifacts(clock=time.time)


class ExportedLogs:
    """Reads the events of a program out of exports of the table. Spark starts once the first export is there.

    What was exported stays until ``resources`` are closed: an executor that is lost takes what it has read with it, and
    others read it again.
    """

    def __init__(
        self, incarnation: Incarnation, invocation: str, check: Callable[[], object], resources: ExitStack
    ) -> None:
        self._incarnation = incarnation
        self._invocation = invocation
        self._check = check
        self._resources = resources
        self._exports = open_table_exports()
        self._context: SparkContext | None = None
        self._log: SparkLog | None = None
        self._count = 0

    def read(self, unreadable: Callable[[str], object]) -> SparkLog:
        """All events of the program, as of now. Raises TableExportError."""
        self._count += 1
        request = self._exports.request(self._incarnation, token=f"{self._invocation}/{self._count}")
        export = self._exports.wait(request, check=self._check)
        self._resources.callback(self._exports.delete, export)
        if self._context is None:
            self._context = self._resources.enter_context(spark_context())
        self._check()
        context = self._context
        with plain_failures():
            ranges = read_ranges(context, export.files, ReadExport(export), tasks=context.defaultParallelism)
        for user_id in sorted(ranges.unreadable):
            unreadable(user_id)
        if self._log is not None:
            self._log.close()
        self._log = SparkLog(ranges, open_deployment)
        return self._log


@dataclass(frozen=True, slots=True)
class ReadExport:
    """Reads a file of an export, on an executor."""

    export: TableExport

    def __call__(self, file: ExportFile, notes: SourceNotes) -> Iterator[EventColumns]:
        return read_events(s3_client(), self.export, file, unreadable=notes.unreadable.add, marked=notes.marked.add)


def _rebase(
    store: Store,
    artifacts: ArtifactStore,
    read: Callable[[Callable[[str], object]], SparkLog],
    check: Callable[[], object],
    incarnation: Incarnation,
) -> Rebase:
    return Rebase(store, artifacts, incarnation, clock=time.time, read=read, check=check)


if __name__ == "__main__":
    # By its own name: executors import what they run, and would not find it in the script that the driver runs.
    sys.exit(import_module("tools.spark.rebase").main(sys.argv[1:]))
