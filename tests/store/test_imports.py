"""Import jobs: where they may read, from their creation to their run, and who says so."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from random import Random
from typing import Any, TextIO

import pytest

from nextbest.aws.table import Table
from nextbest.domain.access_keys import ADMIN, SCOPES, AccessKey, issue_key
from nextbest.domain.import_locations import MAX_IMPORT_LOCATIONS, ImportRules
from nextbest.errors import InvalidInput, NotFound
from nextbest.logic.program_removal import remove_program
from nextbest.personalize.jobs.dataset_import import run_import
from nextbest.personalize.protocol.arns import IMPORT_JOB
from nextbest.store.dynamo import DynamoStore
from tests.contract.personalize_clients import USERS
from tests.factories import MemoryArtifacts
from tests.store.conftest import PROGRAM
from tests.store.test_actionhub_calls import MASTER_SECRET, Caller
from tests.store.test_control_plane import NOW, ROLE, RULES, Control, arn

ID, OWNER = PROGRAM.program_id, PROGRAM.incarnation
FILE = "USER_ID,MEMBERSHIP,AGE\nann,Gold,7\n"
REFUSED = "Invalid Data location: dataSource.dataLocation "


class Files:
    """Files by bucket and key. Implements ``aws.s3_files.ImportSource``."""

    def __init__(self, files: Mapping[tuple[str, str], str]) -> None:
        self.files_read: list[tuple[str, str]] = []
        self._files = files

    def files(self, bucket: str, key: str) -> Iterator[tuple[str, TextIO]]:
        self.files_read.append((bucket, key))
        yield key, io.StringIO(self._files[bucket, key], newline="")


@pytest.fixture
def control(store: DynamoStore) -> Control:
    """A caller who holds a key of the program, which has a dataset of users."""
    control = Control(store, AccessKey("NBKTENANT", "", (OWNER,), (ADMIN,)))
    schema = control("CreateSchema", name="users", schema=json.dumps(USERS))["schemaArn"]
    group = arn(f"dataset-group/{ID}")
    control("CreateDataset", name="users", schemaArn=schema, datasetGroupArn=group, datasetType="Users")
    return control


def create(control: Control, location: str, name: str = "job") -> Mapping[str, Any]:
    return control(
        "CreateDatasetImportJob",
        jobName=name,
        datasetArn=arn(f"dataset/{ID}/USERS"),
        dataSource={"dataLocation": location},
        roleArn=ROLE,
    )


def run(control: Control, files: Mapping[tuple[str, str], str], rules: ImportRules = RULES) -> Any:
    source = Files(files)
    run_import(control.store, source, rules, OWNER, "job", clock=lambda: NOW)
    described = control("DescribeDatasetImportJob", datasetImportJobArn=arn("dataset-import-job/job"))
    return described["datasetImportJob"], source.files_read


def test_a_program_imports_from_its_own_folder_and_the_role_is_shown_only(control: Control) -> None:
    create(control, "s3://imports/coffee/users.csv")
    job, read = run(control, {("imports", "coffee/users.csv"): FILE})

    assert (job["status"], job["roleArn"]) == ("ACTIVE", ROLE)
    assert set(read) == {("imports", "coffee/users.csv")}
    assert control.store.user_attributes(OWNER, "ann") is not None


@pytest.mark.parametrize(
    "location",
    [
        "s3://imports/tea/users.csv", "s3://imports/", "s3://imports", "s3://imports/coffee", "s3://imports/coffee2/a",
        "s3://imports/Coffee/a", "s3://artifacts/models/coffee/1.nbm", "s3://artifacts/coffee/", "s3://nowhere/a.csv",
    ],
)  # fmt: skip
def test_any_other_location_is_refused_in_the_same_words(control: Control, location: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        create(control, location)

    assert refused.value.message == (
        f"{REFUSED}is not where coffee may import from: s3://imports/coffee/. "
        "The operator of this deployment allows more with PUT /program/import_locations"
    )
    assert refused.value.field == "dataSource.dataLocation"
    assert control("ListDatasetImportJobs")["datasetImportJobs"] == []


@pytest.mark.parametrize(
    "location",
    [
        "s3://[::1/x", "s3://[::1]/x", "s3://imports:443/coffee/a", "s3://me@imports/coffee/a", "s3://", "s3:///coffee/",
        "s3://imports/coffee/../tea/a", "s3://imports/coffee//a", "s3://imports/coffee/%2e%2e/tea/a", "S3://imports/x",
        "s3://imports/coffee/a?versionId=1", "s3://imports/coffee/a#b", "s3://arn:aws:s3:::imports/coffee/a",
        "s3://imports\uff0fcoffee/a", "s3://imports/coffee\uff0fa", "s3://imports-s3alias/coffee/a",
        "s3://imports/coffee/\ud800", "s3://imports/coffee/\x00", "http://imports/coffee/a", "https://imports.s3/x",
    ],
)  # fmt: skip
def test_an_odd_location_is_refused_with_the_name_of_its_field(control: Control, location: str) -> None:
    with pytest.raises(InvalidInput, match="dataLocation"):
        create(control, location)

    assert control("ListDatasetImportJobs")["datasetImportJobs"] == []


def test_what_the_operator_allows_is_asked_again_when_the_job_runs(control: Control) -> None:
    control.store.put_import_locations(OWNER, ["s3://exports/nightly/"])
    create(control, "s3://exports/nightly/users.csv")
    control.store.put_import_locations(OWNER, [])
    job, read = run(control, {("exports", "nightly/users.csv"): FILE})

    assert job["status"] == "CREATE FAILED"
    assert job["failureReason"].startswith(f"{REFUSED}is not where coffee may import from")
    assert read == []
    assert control.store.user_attributes(OWNER, "ann") is None


def test_a_job_never_reads_the_artifact_bucket(control: Control) -> None:
    """Not even one that was created where it was another bucket."""
    create(control, "s3://imports/coffee/users.csv")
    job, read = run(control, {("imports", "coffee/users.csv"): FILE}, ImportRules("imports", "imports"))

    assert job["status"] == "CREATE FAILED"
    assert read == []


@pytest.mark.parametrize("location", ["s3://[::1/x", "s3://imports/coffee/../tea/a", ""])
def test_a_job_of_before_with_an_odd_location_fails_with_a_reason(control: Control, location: str) -> None:
    create(control, "s3://imports/coffee/users.csv")
    stored = control.store.resource(OWNER, IMPORT_JOB, "job")
    assert stored is not None
    control.store.put_resource(OWNER, IMPORT_JOB, "job", {**stored, "location": location})
    job, read = run(control, {})

    assert job["failureReason"].startswith(REFUSED)
    assert read == []


def test_a_failure_repeats_no_more_than_can_be_stored(control: Control) -> None:
    create(control, "s3://imports/coffee/users.csv")
    rows = "".join(f"ann,{'x' * 100_000},7\n" for _ in range(20))
    job, _ = run(control, {("imports", "coffee/users.csv"): f"USER_ID,MEMBERSHIP,AGE\n{rows}"})

    assert "20 of 20 rows were refused" in job["failureReason"]
    assert len(job["failureReason"]) < 6000


def test_imports_of_other_kinds_and_exports_are_refused(control: Control) -> None:
    output = {"s3DataDestination": {"path": "s3://imports/tea/"}}
    calls: dict[str, dict[str, Any]] = {
        "CreateDatasetExportJob": {"datasetArn": arn(f"dataset/{ID}/USERS"), "jobOutput": output, "roleArn": ROLE},
        "CreateBatchInferenceJob": {
            "solutionVersionArn": arn("solution/s/1"),
            "jobInput": {"s3DataSource": {"path": "s3://imports/tea/a"}},
            "jobOutput": output,
            "roleArn": ROLE,
        },
        "CreateBatchSegmentJob": {
            "solutionVersionArn": arn("solution/s/1"),
            "jobInput": {"s3DataSource": {"path": "s3://imports/tea/a"}},
            "jobOutput": output,
            "roleArn": ROLE,
        },
    }
    for operation, members in calls.items():
        with pytest.raises(InvalidInput, match="not supported"):
            control(operation, jobName="job", **members)


@pytest.fixture
def call(store: DynamoStore, table: Table) -> Caller:
    return Caller(store, table, random=Random(1))


PATH = "/program/import_locations"


def locations(*folders: str) -> dict[str, Any]:
    return {"program_id": ID, "import_locations": list(folders)}


def test_the_operator_says_where_and_the_program_reads_it(call: Caller) -> None:
    tenant, text = issue_key(MASTER_SECRET, "NBKTENANT", programs=(OWNER,), scopes=SCOPES)
    call.store.put_access_key(tenant)

    assert call("GET", PATH) == (200, locations())
    body = {"import_locations": ["s3://exports/nightly/", "s3://b-2/", "s3://exports/nightly/"]}
    assert call("PUT", PATH, body) == (200, locations("s3://exports/nightly/", "s3://b-2/"))
    assert call("GET", PATH, actionhub_key=text) == (200, locations("s3://exports/nightly/", "s3://b-2/"))
    status, refusal = call("PUT", PATH, {"import_locations": ["s3://mine/"]}, actionhub_key=text)
    assert (status, refusal) == (403, {"detail": "Could not validate API KEY"})
    assert call("PUT", PATH, {"import_locations": []}) == (200, locations())


@pytest.mark.parametrize(
    ("folder", "problem"),
    [
        ("s3://exports/nightly", "must end in /"),
        ("s3://exports", "must end in /"),
        ("s3://artifacts/coffee/", "artifact bucket"),
        ("s3://[::1/", "must name a bucket"),
        ("exports/", "must have the form"),
    ],
)
def test_what_is_no_folder_cannot_be_allowed(call: Caller, folder: str, problem: str) -> None:
    status, body = call("PUT", PATH, {"import_locations": ["s3://fine/", folder]})

    assert status == 422
    assert body["detail"][0]["loc"] == ["body", "import_locations", "1"]
    assert problem in body["detail"][0]["msg"]
    assert call("GET", PATH) == (200, locations())


def test_so_many_folders_and_no_more(call: Caller) -> None:
    folders = [f"s3://bucket-{number}/" for number in range(MAX_IMPORT_LOCATIONS + 1)]

    assert call("PUT", PATH, {"import_locations": folders})[0] == 422
    assert call("PUT", PATH, {"import_locations": folders[:-1]})[0] == 200


def test_folders_go_with_their_program(store: DynamoStore) -> None:
    store.put_import_locations(OWNER, ["s3://exports/"])
    remove_program(store, MemoryArtifacts(), OWNER)
    with pytest.raises(NotFound):
        store.put_import_locations(OWNER, ["s3://exports/"])
    store.create_program(PROGRAM)

    assert store.import_locations(OWNER) == ()
