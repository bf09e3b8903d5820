"""Deleting a program: everything that is stored of it, in the table and in the bucket."""

from __future__ import annotations

from dataclasses import dataclass

from nextbest.domain.programs import Incarnation, program_id_of
from nextbest.logic.decision_files import folder_of
from nextbest.logic.report_files import reports_of
from nextbest.logic.segment_writing import files_of
from nextbest.store.base import ArtifactStore
from nextbest.store.bulk import BulkStore


@dataclass(frozen=True, slots=True)
class ProgramRemoval:
    """What deleting a program removed.

    ``items`` are all items of the table, events, assets and histories included; ``files`` those of the bucket, each
    version counted. ``keys`` opened this program alone; ``shared_keys`` open others still, and were kept for them.
    """

    events: int
    assets: int
    histories: int
    items: int
    files: int
    keys: int
    shared_keys: int


def remove_program(store: BulkStore, artifacts: ArtifactStore, incarnation: Incarnation) -> ProgramRemoval:
    """Delete a program with everything that is stored of it; what was removed.

    The program is marked first, and from then on it is as if it did not exist; its own item goes last, and until then
    its id is taken. Where this is interrupted, calling it again does the rest. Raises NotFound, InUse.
    """
    store.begin_removal(incarnation)
    removed = store.remove_items(incarnation)
    files = _remove_files(artifacts, incarnation)
    keys, shared_keys = store.close_program(incarnation)
    records = store.remove_idempotency_records(program_id_of(incarnation))
    # Again, for what was written by calls that had read the program before it was marked.
    late = store.remove_items(incarnation)
    files += _remove_files(artifacts, incarnation)
    store.end_removal(incarnation)
    return ProgramRemoval(
        events=removed.events + late.events,
        assets=removed.assets + late.assets,
        histories=removed.histories + late.histories,
        items=removed.items + late.items + records,
        files=files,
        keys=keys,
        shared_keys=shared_keys,
    )


def _remove_files(artifacts: ArtifactStore, incarnation: Incarnation) -> int:
    folders = (files_of, folder_of, reports_of)
    names = ("models", "catalogues", "exports")
    prefixes = (*(f"{name}/{incarnation}/" for name in names), *(each(incarnation) for each in folders))
    return sum(artifacts.delete_all(prefix) for prefix in prefixes)
