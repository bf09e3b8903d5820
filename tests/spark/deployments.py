"""What a job opens on executors, where tests run: a table and a bucket in engines of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from nextbest.aws.table import Table
from nextbest.domain.event_columns import EventColumns
from nextbest.domain.programs import Incarnation
from nextbest.store.artifacts import S3Artifacts
from nextbest.store.dynamo import DynamoStore
from tests.store.conftest import dynamodb, s3
from tools.spark.event_files import SourceNotes

FILES = 3


@dataclass(frozen=True)
class LocalDeployment:
    """Opens a table and a bucket, in whatever process; can be pickled."""

    dynamodb_url: str
    s3_url: str
    name: str

    def __call__(self) -> tuple[DynamoStore, S3Artifacts]:
        return DynamoStore(Table(dynamodb(self.dynamodb_url), self.name)), S3Artifacts(s3(self.s3_url), self.name)


@dataclass(frozen=True)
class ScannedFile:
    """Stands in for the files of an export: some users of a program each, and all marks in the first one."""

    deployment: LocalDeployment
    incarnation: Incarnation

    def __call__(self, number: int, notes: SourceNotes) -> Iterator[EventColumns]:
        store, _ = self.deployment()
        columns = store.scan_events(self.incarnation)
        if number == 0:
            notes.marked.update(store.backfilled_users(self.incarnation))
        yield columns.select(columns.user % FILES == number)
