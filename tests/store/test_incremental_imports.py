"""INCREMENTAL imports: nothing is stored before every row of every file was checked; repeating is harmless."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from typing import Any, TextIO

import pytest

from nextbest.aws.table import Table
from nextbest.domain.resource_statuses import ACTIVE, CREATE_FAILED
from nextbest.errors import InvalidInput
from nextbest.personalize.jobs.dataset_import import run_import
from nextbest.store.dynamo import DynamoStore
from tests.store.test_control_plane import RULES
from tests.store.test_replacing import (
    KINDS,
    NOW,
    OWNER,
    Faults,
    File,
    Killed,
    assert_clean,
    at_every_call,
    create_job,
    data_of,
    file_of,
    fresh_store,
    job_of,
    prepared,
    rows_of,
    run,
)


class Files:
    """Several files in the place of one. Implements ``aws.s3_files.ImportSource``."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self._files = files

    def files(self, bucket: str, key: str) -> Iterator[tuple[str, TextIO]]:
        assert (bucket, key) == ("imports", "coffee/k.csv")
        for name, text in self._files.items():
            yield name, io.StringIO(text, newline="")


@pytest.mark.parametrize("kind", KINDS)
def test_a_bad_row_in_the_last_file_stores_nothing(store: DynamoStore, table: Table, kind: str) -> None:
    prepared(store, kind)
    before = data_of(store)
    good = rows_of(kind, "new")
    create_job(store, kind, "job", "INCREMENTAL")
    files = Files({"a.csv": file_of(kind, good), "b.csv": file_of(kind, [*good, "one cell"])})
    run_import(store, files, RULES, OWNER, "job", clock=lambda: NOW)

    job = job_of(store, "job")
    assert job["status"] == CREATE_FAILED
    assert f"nothing was imported: b.csv, line {len(good) + 2}: it has 1 columns" in job["failure"]
    assert data_of(store) == before
    assert_clean(store, table)


@pytest.mark.parametrize("kind", KINDS)
def test_files_that_change_after_the_check_say_that_a_part_is_stored(store: DynamoStore, kind: str) -> None:
    prepared(store, kind)
    rows = rows_of(kind, "new")
    create_job(store, kind, "job", "INCREMENTAL")
    job = run(store, "job", File(file_of(kind, rows), again=file_of(kind, [*rows, "one cell"])))

    assert job["status"] == CREATE_FAILED
    assert "changed during the import" in job["failure"]
    assert job["failure"].endswith("Rows before that may be stored; importing them again stores each once")


@at_every_call
@pytest.mark.parametrize("kind", ["INTERACTIONS", "ACTIONS", "USERS"])
def test_a_fault_at_any_call_loses_nothing_and_repeating_completes(
    start_engine: Callable[[str], str], kind: str, moment: str, *, forever: bool
) -> None:
    store, table = fresh_store(start_engine)
    prepared(store, kind)
    for at in count(1):
        # When one call of an import fails, or all from that one on do
        old, name = data_of(store), f"job-{at}"
        file = file_of(kind, [row.replace("only-new", f"only-{at}") for row in rows_of(kind, "new")])
        create_job(store, kind, name, "INCREMENTAL")
        faults = Faults(table)
        faults.begin(at, moment, forever=forever)
        try:
            run_import(store, File(file), RULES, OWNER, name, clock=lambda: NOW)
        except (Killed, InvalidInput):
            pass
        finally:
            faults.end()
        # Then nothing is lost, and a job that claims to be done is
        assert holds(data_of(store), old)
        status = job_of(store, name)["status"]
        assert status != ACTIVE or has_all(data_of(store), kind, at)
        # And running the job again, or after a failure another one, completes it
        if status == CREATE_FAILED:
            name = f"again-{at}"
            create_job(store, kind, name, "INCREMENTAL")
        assert run(store, name, File(file))["status"] == ACTIVE
        assert holds(data_of(store), old)
        assert has_all(data_of(store), kind, at)
        assert_clean(store, table)
        if not faults.injected:
            break
    assert at > 5


def holds(data: dict[str, Any], old: dict[str, Any]) -> bool:
    """Whether no event, asset or user of the old data is gone."""
    return (
        set(old["events"]) <= set(data["events"])
        and old["assets"].keys() <= data["assets"].keys()
        and old["attributes"].keys() <= data["attributes"].keys()
    )


def has_all(data: dict[str, Any], kind: str, at: int) -> bool:
    """Whether all rows of an import are there."""
    if kind == "INTERACTIONS":
        return {event.user_id for event in data["events"] if event.asset_id == f"only-{at}"} == {"ann", "cas"}
    names = ("both", f"only-{at}")
    if kind == "USERS":
        return [data["attributes"].get(name, {}).get("TIER") for name in names] == ["new", "new"]
    return all(name in data["assets"] and data["assets"][name].fields["TIER"] == "new" for name in names)
