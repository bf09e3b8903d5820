"""Imports over HTTP: a tenant reads its own files and nobody else's, and learns nothing of theirs."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError

from tests.contract.personalize_clients import USERS, Personalize, arn, error_of
from tests.contract.stacks import RunningStack
from tests.waiting import wait_until
from tools.local.key import IMPORT_BUCKET

pytestmark = pytest.mark.stack

FILE = "USER_ID,MEMBERSHIP,AGE\n{user},Gold,7\n"
PATH = "/program/import_locations"


@dataclass(frozen=True, slots=True)
class Tenant:
    """A program with a dataset of users, its clients, and its key."""

    program_id: str
    key: str
    clients: Personalize

    def create(self, location: str) -> str:
        """Create a job; its ARN."""
        job: str = self.clients.control.create_dataset_import_job(
            jobName=f"job-{uuid.uuid4().hex}",
            datasetArn=arn("dataset", f"{self.program_id}/USERS"),
            dataSource={"dataLocation": location},
            roleArn="arn:aws:iam::000000000000:role/PersonalizeRole",
        )["datasetImportJobArn"]
        return job

    def refusal(self, location: str) -> str:
        """What is said to a location, which is an error of the caller's."""
        with pytest.raises(ClientError) as refused:
            self.create(location)
        assert error_of(refused.value) == ("InvalidInputException", 400)
        message: str = refused.value.response["Error"]["Message"]
        return message

    def outcome(self, job: str) -> Any:
        """The job, once it has ended."""
        described: list[Any] = []

        def has_ended() -> bool:
            answer = self.clients.control.describe_dataset_import_job(datasetImportJobArn=job)
            described.append(answer["datasetImportJob"])
            return described[-1]["status"] in ("ACTIVE", "CREATE FAILED")

        wait_until(has_ended, seconds=60)
        return described[-1]


@pytest.fixture(scope="module")
def tenants(stack: RunningStack, operator: httpx.Client) -> Iterator[tuple[Tenant, Tenant]]:
    """Two tenants, each with files of its own."""
    made = []
    for letter in "ab":
        program_id = f"imports-{letter}-{uuid.uuid4().hex[:8]}"
        answer = operator.post("/programs", json={"program_name": letter, "program_id": program_id}).json()
        clients = Personalize.at(stack.url, answer["api_key"])
        schema = clients.control.create_schema(name=program_id, schema=json.dumps(USERS))["schemaArn"]
        clients.control.create_dataset(
            name="users", schemaArn=schema, datasetGroupArn=arn("dataset-group", program_id), datasetType="Users"
        )
        body = FILE.format(user=f"secret-of-{letter}").encode()
        stack.s3.put_object(Bucket=IMPORT_BUCKET, Key=f"{program_id}/users.csv", Body=body)
        made.append(Tenant(program_id, answer["api_key"], clients))
    yield (made[0], made[1])
    for tenant in made:
        tenant.clients.close()


def test_a_tenant_imports_its_own_files_and_no_others(
    stack: RunningStack, operator: httpx.Client, tenants: tuple[Tenant, Tenant]
) -> None:
    a, b = tenants
    (artifacts,) = stack.buckets
    stack.s3.put_object(Bucket=artifacts, Key=f"models/{b.program_id}/1.nbm", Body=b"secret")
    rebase_log = stack.log("rebase")

    # Given locations of B, of the artifact bucket, of nobody: each is refused in the same words, whether it exists
    locations = [
        f"s3://{IMPORT_BUCKET}/{b.program_id}/users.csv",
        f"s3://{IMPORT_BUCKET}/{b.program_id}/missing.csv",
        f"s3://{IMPORT_BUCKET}/{b.program_id}/",
        f"s3://{IMPORT_BUCKET}/",
        f"s3://{artifacts}/models/{b.program_id}/1.nbm",
        f"s3://{artifacts}/models/{b.program_id}/missing",
        f"s3://{artifacts}/",
        "s3://no-such-bucket/a.csv",
    ]
    (refusal,) = {a.refusal(location) for location in locations}
    assert f"may import from: s3://{IMPORT_BUCKET}/{a.program_id}/. " in refusal
    assert "PUT /program/import_locations" in refusal

    # Given odd locations: each is refused with the name of its field
    folder = f"{IMPORT_BUCKET}/{a.program_id}"
    for location in (
        "s3://[::1/x", f"s3://{folder}/../{b.program_id}/users.csv", f"s3://{folder}//users.csv",
        f"s3://{folder}/%2e%2e/{b.program_id}/users.csv", f"s3://{IMPORT_BUCKET}:80/{a.program_id}/users.csv",
        f"s3://{folder}/users.csv?versionId=1", "s3:///users.csv", f"https://{folder}/users.csv",
    ):  # fmt: skip
        assert "dataLocation" in a.refusal(location), location

    # Then no job was made, none ran, and its own file is imported
    assert a.clients.control.list_dataset_import_jobs()["datasetImportJobs"] == []
    assert stack.log("rebase") == rebase_log
    assert a.outcome(a.create(f"s3://{folder}/"))["status"] == "ACTIVE"
    headers = {"program-id": a.program_id, "actionhub-key": a.key}
    for user, status in (("secret-of-a", 200), ("secret-of-b", 404)):
        assert operator.get(f"/users/{user}/export", headers=headers).status_code == status


def test_what_the_operator_allows_can_be_imported_until_it_is_not(
    stack: RunningStack, operator: httpx.Client, tenants: tuple[Tenant, Tenant]
) -> None:
    a, b = tenants
    bucket = f"exports-{uuid.uuid4().hex[:12]}"
    stack.s3.create_bucket(Bucket=bucket)
    stack.s3.put_object(Bucket=bucket, Key="nightly/users.csv", Body=FILE.format(user="of-the-night").encode())
    body = {"import_locations": [f"s3://{bucket}/nightly/"]}

    # A tenant cannot allow it
    own = {"program-id": a.program_id, "actionhub-key": a.key}
    assert operator.put(PATH, json=body, headers=own).status_code == 403
    a.refusal(f"s3://{bucket}/nightly/users.csv")

    # The operator can, for this tenant alone
    allowed = operator.put(PATH, json=body, headers={"program-id": a.program_id})
    assert allowed.json()["import_locations"] == [f"s3://{IMPORT_BUCKET}/{a.program_id}/", f"s3://{bucket}/nightly/"]
    assert operator.get(PATH, headers=own).json() == allowed.json()
    assert a.outcome(a.create(f"s3://{bucket}/nightly/users.csv"))["status"] == "ACTIVE"
    b.refusal(f"s3://{bucket}/nightly/users.csv")

    # And no longer
    assert operator.put(PATH, json={"import_locations": []}, headers={"program-id": a.program_id}).status_code == 200
    a.refusal(f"s3://{bucket}/nightly/users.csv")


def test_a_file_that_is_missing_or_no_csv_fails_its_job_and_nothing_else(
    stack: RunningStack, tenants: tuple[Tenant, Tenant]
) -> None:
    a, _ = tenants
    folder = f"{a.program_id}/odd"
    stack.s3.put_object(
        Bucket=IMPORT_BUCKET, Key=f"{folder}/long.csv", Body=b"USER_ID,MEMBERSHIP,AGE\n" + b"x" * 9_000_000
    )
    for name, reason in (("missing.csv", "NoSuchKey"), ("long.csv", "line 2: the row is longer")):
        job = a.outcome(a.create(f"s3://{IMPORT_BUCKET}/{folder}/{name}"))
        assert job["status"] == "CREATE FAILED"
        assert reason in job["failureReason"]
