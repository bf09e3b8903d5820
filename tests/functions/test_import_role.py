"""Imports in the function that runs them, within what its role allows."""

from __future__ import annotations

import json

import boto3

from tests.contract.personalize_clients import ACTION_INTERACTIONS
from tests.functions.conftest import PROGRAM, Functions
from tests.infrastructure.permissions import ALLOWED
from tests.store.test_control_plane import ROLE, Control, arn
from tools.local.engines import REGION


def test_an_import_that_replaces_another_does_what_the_role_allows(functions: Functions) -> None:
    # Given two files of interactions where the program may import from
    s3 = boto3.client("s3", region_name=REGION)
    s3.create_bucket(Bucket="exports")
    functions.store.put_import_locations(PROGRAM.incarnation, ["s3://exports/demo/"])
    control = Control(functions.store)
    schema = control("CreateSchema", name="interactions", schema=json.dumps(ACTION_INTERACTIONS))["schemaArn"]
    group = arn(f"dataset-group/{PROGRAM.program_id}")
    members = {"name": "interactions", "schemaArn": schema, "datasetGroupArn": group}
    dataset = control("CreateDataset", datasetType="Action_Interactions", **members)["datasetArn"]
    for name, user_id in (("first", "ann"), ("second", "bob")):
        row = f"USER_ID,ACTION_ID,TIMESTAMP,EVENT_TYPE\n{user_id},tea,1700000000,TAKEN\n"
        s3.put_object(Bucket="exports", Key=f"demo/{name}.csv", Body=row.encode())
        location = {"dataLocation": f"s3://exports/demo/{name}.csv"}
        control(
            "CreateDatasetImportJob",
            jobName=name, datasetArn=dataset, dataSource=location, roleArn=ROLE, importMode="FULL",
        )  # fmt: skip

        functions.answer("rebase", {"program_id": PROGRAM.program_id, "import_job": name})

        job = arn(f"dataset-import-job/{name}")
        described = control("DescribeDatasetImportJob", datasetImportJobArn=job)["datasetImportJob"]
        assert described["status"] == "ACTIVE", described
        assert [row[0] for row in functions.store.scan_events(PROGRAM.incarnation)] == [user_id]
        assert functions.permissions() <= ALLOWED["rebase"]
    assert "dynamodb:DeleteItem" in functions.permissions()
