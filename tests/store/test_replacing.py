"""FULL imports: all of the new data count or all of the old, whatever fails or is killed, however many run."""

from __future__ import annotations

import io
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import count
from typing import Any, TextIO

import pytest

from nextbest.aws.table import Table
from nextbest.domain.assets import Asset
from nextbest.domain.events import Event
from nextbest.domain.resource_statuses import ACTIVE, CREATE_FAILED, CREATE_PENDING
from nextbest.errors import InvalidInput
from nextbest.logic.rebase import Rebase
from nextbest.personalize.datasets.removal import clear_dataset
from nextbest.personalize.jobs.dataset_import import run_import
from nextbest.personalize.protocol.arns import DATASET, IMPORT_JOB
from nextbest.store import keys
from nextbest.store.cache import CatalogueCache
from nextbest.store.dynamo import DynamoStore
from tests.factories import MemoryArtifacts
from tests.store.conftest import PROGRAM, create_table, dynamodb
from tests.store.test_control_plane import RULES

OWNER = PROGRAM.incarnation
T0 = 1_780_000_000
NOW = float(T0 + 1_000_000)


class Killed(BaseException):
    """The process ends here."""


class File:
    """One file. Implements ``aws.s3_files.ImportSource``; ``meanwhile`` runs before it is read for the second time."""

    def __init__(self, text: str, meanwhile: Callable[[], object] = lambda: None, again: str | None = None) -> None:
        self._text = text
        self._again = text if again is None else again
        self._meanwhile = meanwhile
        self._read = 0

    def files(self, bucket: str, key: str) -> Iterator[tuple[str, TextIO]]:
        assert (bucket, key) == ("imports", "coffee/k.csv")
        self._read += 1
        if self._read == 2:
            self._meanwhile()
        yield key, io.StringIO(self._text if self._read == 1 else self._again, newline="")


FIELDS: Mapping[str, tuple[str, ...]] = {
    "INTERACTIONS": ("USER_ID", "ITEM_ID", "EVENT_TYPE", "TIMESTAMP"),
    "ACTION_INTERACTIONS": ("USER_ID", "ACTION_ID", "EVENT_TYPE", "TIMESTAMP"),
    "ACTIONS": ("ACTION_ID", "TIER"),
    "ITEMS": ("ITEM_ID", "TIER"),
    "USERS": ("USER_ID", "TIER"),
}
KINDS = sorted(FIELDS)


def file_of(kind: str, rows: list[str]) -> str:
    return "".join(f"{line}\n" for line in [",".join(FIELDS[kind]), *rows])


def rows_of(kind: str, which: str) -> list[str]:
    """Rows of the old and the new data: some only in one, some in both, some in both and not the same."""
    old = which == "old"
    if kind in ("INTERACTIONS", "ACTION_INTERACTIONS"):
        event_type = "TAKEN" if kind == "ACTION_INTERACTIONS" else "click"
        names = ("both", f"only-{which}")
        users = ("ann", "ben") if old else ("ann", "cas")
        return [f"{user},{name},{event_type},{T0 + place}" for user in users for place, name in enumerate(names)]
    return [f"both,{which}", "same,same", f"only-{which},{which}"]


def create_dataset(store: DynamoStore, kind: str) -> None:
    types = {"TIMESTAMP": "long"}
    fields = [[name, types.get(name, "string"), False, False, False] for name in FIELDS[kind]]
    ids = {"program_id": PROGRAM.program_id, "incarnation": OWNER}
    store.create_resource(
        OWNER, DATASET, f"coffee/{kind}", {**ids, "name": f"coffee/{kind}", "dataset_type": kind, "fields": fields}
    )


def create_job(store: DynamoStore, kind: str, name: str, mode: str = "FULL") -> None:
    ids = {"program_id": PROGRAM.program_id, "incarnation": OWNER}
    job = {"name": name, "dataset": f"coffee/{kind}", "location": "s3://imports/coffee/k.csv", "mode": mode,
           "status": CREATE_PENDING}  # fmt: skip
    store.create_resource(OWNER, IMPORT_JOB, name, {**ids, **job})


def run(store: DynamoStore, name: str, source: File) -> Mapping[str, Any]:
    run_import(store, source, RULES, OWNER, name, clock=lambda: NOW)
    return job_of(store, name)


def job_of(store: DynamoStore, name: str) -> Mapping[str, Any]:
    job = store.resource(OWNER, IMPORT_JOB, name)
    assert job is not None
    return job


def load(store: DynamoStore, kind: str, rows: list[str], name: str, mode: str = "FULL") -> Mapping[str, Any]:
    create_job(store, kind, name, mode)
    return run(store, name, File(file_of(kind, rows)))


def put_other_data(store: DynamoStore) -> None:
    """What clients put: no import may touch it."""
    events = [
        Event("ann", T0 * 1_000_000 + 500_000, "TAKEN", "put", source="personalize"),
        Event("dan", T0 * 1_000_000, "visit", "shop", "id"),
    ]
    store.append(PROGRAM, events)
    store.put_assets(OWNER, [Asset("put", "Put", ("label",), {"TIER": "put"})])
    store.put_user_attributes(OWNER, "put", {"TIER": "put"})


USERS = ("ann", "ben", "cas", "dan")


def data_of(store: DynamoStore) -> dict[str, Any]:
    """All data of the program, as its readers read them."""
    logged = [event for user in USERS for event in store.events_of(OWNER, user)]
    scanned = sorted(store.scan_events(OWNER))
    assert scanned == sorted((event.user_id, event.timestamp_us, event.event_type, event.asset_id) for event in logged)
    assert sorted(store.scan_logged_events(OWNER)) == sorted(logged)
    assets = {asset.asset_id: asset for asset in store.assets(OWNER)}
    state = store.program_state(PROGRAM.program_id)
    assert state is not None
    assert CatalogueCache(store, MemoryArtifacts()).catalogue_of(state).assets == assets
    attributes = dict(store.all_user_attributes(OWNER))
    for user in ("ann", "both", "only-old", "only-new"):
        assert store.user_attributes(OWNER, user) == store.read_user(OWNER, user).attributes == attributes.get(user)
    return {"events": [replace(event, source="") for event in logged], "assets": assets, "attributes": attributes}


def histories_of(store: DynamoStore) -> dict[str, Any]:
    read = {user: store.read_user(OWNER, user).history for user in USERS}
    return {user: history.timestamps_us.tolist() for user, history in read.items() if history is not None}


def assert_clean(store: DynamoStore, table: Table) -> None:
    """No version of an import is left, and every history is that of the log."""
    items = list(table.scan(keys.incarnation_prefix(OWNER), projection="pk, sk, staged, staged_json"))
    assert [item for item in items if "staged" in item or "staged_json" in item] == []
    histories = histories_of(store)
    for user in USERS:
        logged = [event.timestamp_us for event in store.events_of(OWNER, user)]
        assert sorted(histories.get(user, [])) == sorted(logged)


def prepared(store: DynamoStore, kind: str) -> None:
    create_dataset(store, kind)
    put_other_data(store)
    assert load(store, kind, rows_of(kind, "old"), "first")["status"] == ACTIVE


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_import_replaces_what_imports_stored_and_nothing_else(
    store: DynamoStore, table: Table, kind: str
) -> None:
    prepared(store, kind)
    job = load(store, kind, rows_of(kind, "new"), "second")

    assert job["status"] == ACTIVE
    replaced = data_of(store)
    assert_clean(store, table)
    assert "only-old" not in str(replaced)
    assert "only-new" in str(replaced)
    assert replaced["assets"]["put"] == Asset("put", "Put", ("label",), {"TIER": "put"})
    assert replaced["attributes"]["put"] == {"TIER": "put"}
    assert {(event.user_id, event.asset_id) for event in replaced["events"]} >= {("ann", "put"), ("dan", "shop")}
    load(store, kind, rows_of(kind, "new"), "third")
    assert data_of(store) == replaced
    load(store, kind, rows_of(kind, "old"), "last", "INCREMENTAL")
    both = data_of(store)
    assert "only-old" in str(both)
    assert "only-new" in str(both)
    assert_clean(store, table)


def bad_rows() -> list[str]:
    good = [f"u{number},i{number},click,{T0 + number}" for number in range(199)]
    return [*good, f"ann,{'語' * 256},{'e' * 250},{T0}"]


def test_one_row_too_long_among_199_good_ones_leaves_the_old_data(store: DynamoStore, table: Table) -> None:
    prepared(store, "INTERACTIONS")
    before = data_of(store)
    job = load(store, "INTERACTIONS", bad_rows(), "second")

    assert job["status"] == CREATE_FAILED
    assert job["failure"].startswith("1 of 200 rows were refused and nothing was imported: coffee/k.csv, line 201: ")
    assert "exceed" in job["failure"]
    assert data_of(store) == before
    assert_clean(store, table)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_changes_during_its_import_leaves_the_old_data(store: DynamoStore, table: Table, kind: str) -> None:
    prepared(store, kind)
    before = data_of(store)
    rows = rows_of(kind, "new")
    for name, again in (("longer", [*rows, rows[0]]), ("shorter", rows[1:]), ("bad", [*rows[1:], "one cell"])):
        create_job(store, kind, name)
        job = run(store, name, File(file_of(kind, rows), again=file_of(kind, again)))
        assert job["status"] == CREATE_FAILED
        assert "changed during the import" in job["failure"]
        assert data_of(store) == before
    assert "k.csv, line" in job["failure"]
    assert_clean(store, table)


@pytest.mark.parametrize("kind", KINDS)
def test_two_full_imports_at_once_end_as_the_later_one(store: DynamoStore, table: Table, kind: str) -> None:
    prepared(store, kind)
    create_job(store, kind, "a")
    create_job(store, kind, "b")
    other = [row.replace("new", "old") for row in rows_of(kind, "new")]

    def run_b() -> None:
        assert run(store, "b", File(file_of(kind, rows_of(kind, "new"))))["status"] == ACTIVE

    a = run(store, "a", File(file_of(kind, other), run_b))

    assert a["status"] == CREATE_FAILED
    assert "began later" in a["failure"]
    after = data_of(store)
    assert "only-old" not in str(after)
    assert_clean(store, table)
    load(store, kind, rows_of(kind, "new"), "c")
    assert data_of(store) == after


def test_what_clients_put_during_an_import_stays(
    store: DynamoStore, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the import has the same event, and fails."""
    for kind in ("ACTION_INTERACTIONS", "ACTIONS", "USERS"):
        create_dataset(store, kind)
        load(store, kind, rows_of(kind, "old"), f"{kind}-first")
    sent = [
        Event("ann", (T0 + place) * 1_000_000, "TAKEN", name, source="personalize")
        for place, name in enumerate(("both", "only-new"))
    ]
    sent.append(Event("ann", (T0 + 1) * 1_000_000, "TAKEN", "only-old", source="personalize"))

    def put() -> None:
        store.append(PROGRAM, sent)
        store.put_assets(OWNER, [Asset("only-old", fields={"TIER": "put"}), Asset("both", fields={"TIER": "put"})])
        store.put_user_attributes(OWNER, "both", {"TIER": "put"})

    commit = store.commit_import

    def put_and_fail(*_: Any, **__: Any) -> None:
        put()
        raise InvalidInput("injected")

    def put_and_commit(*arguments: Any, **options: Any) -> None:
        put()
        commit(*arguments, **options)

    for end in (put_and_fail, put_and_commit):
        monkeypatch.setattr(store, "commit_import", end)
        for kind in ("ACTION_INTERACTIONS", "ACTIONS", "USERS"):
            job = load(store, kind, rows_of(kind, "new"), f"{kind}-{end.__name__}")
            assert job["status"] == (CREATE_FAILED if end is put_and_fail else ACTIVE)
            after = data_of(store)
            assert set(sent) <= set(store.events_of(OWNER, "ann"))
            assert {"only-old", "both"} <= set(after["assets"])
            assert after["assets"]["both"].fields == {"TIER": "put"}
            assert after["attributes"]["both"] == {"TIER": "put"}
    assert_clean(store, table)


@pytest.mark.parametrize("kind", KINDS)
def test_a_dataset_that_is_cleared_leaves_nothing_of_a_killed_import(
    start_engine: Callable[[str], str], kind: str
) -> None:
    store, table = fresh_store(start_engine)
    create_dataset(store, kind)
    create_job(store, kind, "killed")
    faults = Faults(table)

    def kill() -> None:
        faults.begin(12, "before-call", forever=True)

    with pytest.raises(Killed):
        run(store, "killed", File(file_of(kind, rows_of(kind, "new")), kill))
    faults.end()
    clear_dataset(store, OWNER, kind)

    assert "only-new" not in str(data_of(store))
    assert_clean(store, table)


class Faults:
    """Faults of a table's client: one call fails, or all from that one on do, as of a process that is killed."""

    def __init__(self, table: Table) -> None:
        self._events = table.client.meta.events
        self._handler: Any = None
        self.injected = False

    def begin(self, at: int, moment: str, *, forever: bool) -> None:
        calls = count(1)
        self.injected = False

        def fail(**_: object) -> None:
            number = next(calls)
            if number == at or (forever and number > at):
                self.injected = True
                if forever:
                    raise Killed
                raise InvalidInput("injected")

        self._handler = (f"{moment}.dynamodb", fail)
        self._events.register(*self._handler)

    def end(self) -> None:
        self._events.unregister(*self._handler)


at_every_call = pytest.mark.parametrize(
    ("moment", "forever"), [("before-call", True), ("after-call", False)], ids=["killed", "response-lost"]
)


def fresh_store(start_engine: Callable[[str], str]) -> tuple[DynamoStore, Table]:
    """A store in a table of its own, on one engine, with the program."""
    table = create_table(dynamodb(start_engine("dynoxide")), f"test-{uuid.uuid4().hex}")
    store = DynamoStore(table)
    store.create_program(PROGRAM)
    return store, table


@at_every_call
@pytest.mark.parametrize("kind", ["INTERACTIONS", "ACTIONS", "USERS"])
def test_a_fault_at_any_call_leaves_the_old_data_or_all_of_the_new(
    start_engine: Callable[[str], str], kind: str, moment: str, *, forever: bool
) -> None:
    """One engine: the protocol is tested here, and the calls it is made of on every engine above."""
    store, table = fresh_store(start_engine)
    prepared(store, kind)
    old = data_of(store)
    load(store, kind, rows_of(kind, "new"), "reference")
    new = data_of(store)
    assert old != new
    load(store, kind, rows_of(kind, "old"), "back")
    outcomes = set()
    for at in count(1):
        name = f"job-{at}"
        create_job(store, kind, name)
        faults = Faults(table)
        faults.begin(at, moment, forever=forever)
        try:
            run_import(store, File(file_of(kind, rows_of(kind, "new"))), RULES, OWNER, name, clock=lambda: NOW)
        except (Killed, InvalidInput):
            pass
        finally:
            faults.end()
        if not faults.injected:
            assert job_of(store, name)["status"] == ACTIVE
            break
        # Then: all of the old or all of the new, and the job never claims the other one
        after = data_of(store)
        assert after in (old, new)
        if job_of(store, name)["status"] == CREATE_FAILED:
            assert after == old
        if job_of(store, name)["status"] == ACTIVE:
            assert after == new
        outcomes.add(after == new)
        # And: the same afterwards, by whichever comes first
        if at % 2:
            ended = run(store, name, File(file_of(kind, rows_of(kind, "new"))))
            assert ended["status"] in (ACTIVE, CREATE_FAILED)
            after = new if ended["status"] == ACTIVE else old
        else:
            store.finish_imports(PROGRAM)
        assert data_of(store) == after
        # And: old data that were replaced after all can be imported again, and leave nothing else behind
        if after != old:
            assert load(store, kind, rows_of(kind, "old"), f"back-{at}")["status"] == ACTIVE
            assert_clean(store, table)
    assert outcomes == {True, False}


def test_a_rebase_finishes_what_an_import_left(start_engine: Callable[[str], str]) -> None:
    store, table = fresh_store(start_engine)
    prepared(store, "ACTION_INTERACTIONS")
    create_job(store, "ACTION_INTERACTIONS", "killed")
    commit = store.commit_import

    def killed_after_commit(*args: Any, **members: Any) -> None:
        commit(*args, **members)
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "commit_import", killed_after_commit)
        with pytest.raises(Killed):
            run(store, "killed", File(file_of("ACTION_INTERACTIONS", rows_of("ACTION_INTERACTIONS", "new"))))
    assert "only-new" in str(data_of(store))
    Rebase(store, MemoryArtifacts(), OWNER, clock=lambda: NOW).run()

    assert job_of(store, "killed")["status"] == ACTIVE
    assert_clean(store, table)
