"""What executors open and read themselves: the table, the bucket, and the files of an export.

Apart from ``rebase.py``: executors import what is sent to them, and what is in the script that the driver runs has no
name that they could import.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from nextbest.aws.clients import s3_client
from nextbest.domain.event_columns import EventColumns
from nextbest.store.artifacts import DirectArtifacts
from nextbest.store.dynamo import DynamoStore
from nextbest.store.environment import open_artifacts, open_store
from nextbest.store.table_export import ExportFile, TableExport, read_events
from tools.spark.event_files import SourceNotes


def open_deployment() -> tuple[DynamoStore, DirectArtifacts]:
    """The table and the bucket that the environment names."""
    return open_store(clock=time.time), open_artifacts(clock=time.time)


@dataclass(frozen=True, slots=True)
class ReadExport:
    """Reads a file of an export."""

    export: TableExport

    def __call__(self, file: ExportFile, notes: SourceNotes) -> Iterator[EventColumns]:
        return read_events(s3_client(), self.export, file, unreadable=notes.unreadable.add, marked=notes.marked.add)
