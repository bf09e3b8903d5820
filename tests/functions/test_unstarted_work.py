"""Work that Lambda does not take: the caller may try again, and nothing says that the work waits to begin."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError

from tests.contract.personalize_clients import ACTION_INTERACTIONS
from tests.functions.conftest import PROGRAM, Functions
from tests.functions.test_samples import run
from tests.store.test_control_plane import RECIPE, ROLE, Control, arn

THROTTLED = ClientError({"Error": {"Code": "TooManyRequestsException", "Message": "Rate Exceeded."}}, "Invoke")


GROUP = arn(f"dataset-group/{PROGRAM.program_id}")


def throttled(*_: object) -> None:
    raise THROTTLED


def status(functions: Functions) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(run(functions, "manage/get-program-status")["body"])
    return body


def test_a_rebase_that_lambda_does_not_take_is_failed_and_can_be_started_again(functions: Functions) -> None:
    make_api_call = vars(BaseClient)["_make_api_call"]

    def refused(client: BaseClient, operation: str, arguments: dict[str, Any]) -> Any:
        if operation == "Invoke":
            raise THROTTLED
        return make_api_call(client, operation, arguments)

    with functions.patch.context() as patch:
        patch.setattr(BaseClient, "_make_api_call", refused)
        response = run(functions, "manage/rebase-program")

    assert response["statusCode"] == 503
    assert "try again" in json.loads(response["body"])["detail"]
    failed = status(functions)
    assert failed["status_id"] == "program_rebase_failed"
    assert failed["message"] == "the rebase could not be started; start it again"

    assert run(functions, "manage/rebase-program")["statusCode"] == 200
    assert status(functions)["status_id"] == "program_rebase_queued"


def test_a_training_and_an_import_that_lambda_does_not_take_can_be_created_again(functions: Functions) -> None:
    functions.store.put_import_locations(PROGRAM.incarnation, ["s3://exports/demo/"])
    control, unlucky = Control(functions.store), Control(functions.store, start=throttled)
    solution = control("CreateSolution", name="s", datasetGroupArn=GROUP, recipeArn=RECIPE)["solutionArn"]
    schema = control("CreateSchema", name="interactions", schema=json.dumps(ACTION_INTERACTIONS))["schemaArn"]
    members = {"name": "interactions", "schemaArn": schema, "datasetGroupArn": GROUP}
    dataset = control("CreateDataset", datasetType="Action_Interactions", **members)["datasetArn"]
    job = {
        "jobName": "first",
        "datasetArn": dataset,
        "dataSource": {"dataLocation": "s3://exports/demo/first.csv"},
        "roleArn": ROLE,
    }

    for operation, request in (
        ("CreateSolutionVersion", {"solutionArn": solution}),
        ("CreateDatasetImportJob", job),
    ):
        with pytest.raises(ClientError):
            unlucky(operation, **request)
        assert control(operation, **request)
