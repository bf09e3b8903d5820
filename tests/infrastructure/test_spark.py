"""Spark jobs in the template: none by default, nothing that costs anything while none runs, and no rights to spare."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from nextbest.aws.spark_jobs import submit_parameters
from nextbest.domain.rebase_status import SPARK_MINUTES, WAIT_SECONDS
from tests.infrastructure.cloudformation import TEMPLATE, Document, as_list, of_type, statements
from tests.infrastructure.permissions import SPARK_JOB, START_SPARK_JOBS
from tests.infrastructure.test_events import sample
from tests.infrastructure.test_permissions import actions_of
from tools.benchmarks.idle import idle_bill
from tools.benchmarks.prices import PRICES, Prices
from tools.local.key import PARAMETERS
from tools.local.template import translated_template

RESOURCES = (
    *("SparkApplication", "SparkJobRole", "SparkPolicy", "SparkLogGroup"),
    *("SparkJobEnds", "SparkJobEndsPermission"),
)
SWITCHED_ON = {"SparkAboveEvents": "1000000"}


def idle_dollars(template: Document, values: Mapping[str, str]) -> float:
    return sum(idle_bill(template, {**values, **SWITCHED_ON}, Prices(PRICES).by_name()).values())


def test_nothing_of_it_is_there_unless_it_is_switched_on(template: Document) -> None:
    of_spark = {name for name in template["Resources"] if name.startswith("Spark")}

    assert of_spark == set(RESOURCES)
    assert {template["Resources"][name]["Condition"] for name in RESOURCES} == {"HasSpark"}
    assert template["Conditions"]["HasSpark"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "SparkAboveEvents"}, 0]}]}
    assert template["Parameters"]["SparkAboveEvents"]["Default"] == 0
    variables = template["Resources"]["RebaseFunction"]["Properties"]["Environment"]["Variables"]
    assert variables["SPARK_ABOVE_EVENTS"] == {"Ref": "SparkAboveEvents"}


def test_it_costs_nothing_while_no_job_runs() -> None:
    template, values = translated_template(TEMPLATE, PARAMETERS)
    without = sum(idle_bill(template, values, Prices(PRICES).by_name()).values())

    assert idle_dollars(template, values) == without
    # Which would be otherwise, if workers were kept ready, or if the application never stopped
    application = template["Resources"]["SparkApplication"]["Properties"]
    assert application["AutoStopConfiguration"] == {"Enabled": True, "IdleTimeoutMinutes": 1}
    application["InitialCapacity"] = [
        {"Key": "Driver", "Value": {"WorkerCount": 1, "WorkerConfiguration": {"Cpu": "4 vCPU", "Memory": "30 GB"}}}
    ]
    # Four processors and 30 GB for 730 hours
    assert idle_dollars(template, values) - without == pytest.approx(730 * (4 * 0.042094 + 30 * 0.004628))


def test_the_capacity_has_room_for_whole_workers(template: Document) -> None:
    sizes = template["Mappings"]["SparkCapacity"]

    assert list(sizes) == template["Parameters"]["SparkVcpus"]["AllowedValues"]
    for processors, size in sizes.items():
        workers = int(processors) / 4
        assert (size["Memory"], size["Disk"]) == (f"{workers * 30:.0f} GB", f"{workers * 100:.0f} GB")


def test_a_driver_and_its_executors_fit_into_the_smallest_capacity() -> None:
    settings = dict(
        each.removeprefix("--conf ").split("=", 1) for each in submit_parameters("s3://b/spark/", {}).split(" --conf ")
    )
    workers = 1 + int(settings["spark.executor.instances"])

    assert workers * 4 <= 16
    for kind in ("driver", "executor"):
        assert settings[f"spark.{kind}.cores"] == "4"
        memory = sum(int(settings[f"spark.{kind}.{name}"].rstrip("g")) for name in ("memory", "memoryOverhead"))
        assert memory <= 30
        assert settings[f"spark.emr-serverless.{kind}.disk"] == "100g"


def test_jobs_wait_no_longer_than_what_waits_is_taken_for_alive(template: Document) -> None:
    scheduler = template["Resources"]["SparkApplication"]["Properties"]["SchedulerConfiguration"]

    assert scheduler["QueueTimeoutMinutes"] * 60 == WAIT_SECONDS
    assert SPARK_MINUTES >= 5  # the least that EMR Serverless takes


def test_a_job_may_do_what_it_does_and_nothing_else(template: Document) -> None:
    role = template["Resources"]["SparkJobRole"]["Properties"]
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]

    assert actions_of(template, "SparkJobRole") == SPARK_JOB
    assert trust["Principal"] == {"Service": "emr-serverless.amazonaws.com"}
    assert trust["Condition"] == {
        "StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}},
        "ArnLike": {"aws:SourceArn": {"Fn::GetAtt": ["SparkApplication", "Arn"]}},
    }
    folders = {
        action: {resource["Fn::Sub"].removeprefix("${Artifacts.Arn}/") for resource in as_list(statement["Resource"])}
        for name, statement in statements(template)
        if name == "SparkJobRole"
        for action in as_list(statement["Action"])
        if action in ("s3:GetObject", "s3:DeleteObject", "s3:PutObjectAcl")
    }
    assert folders == {
        "s3:GetObject": {"spark/*", "exports/*", "models/*", "catalogues/*", "segments/*"},
        "s3:DeleteObject": {"exports/*"},
        "s3:PutObjectAcl": {"exports/*"},
    }


def test_the_function_starts_jobs_as_that_role_and_no_other(template: Document) -> None:
    policy = template["Resources"]["SparkPolicy"]["Properties"]
    by_action = {
        action: statement
        for statement in policy["PolicyDocument"]["Statement"]
        for action in as_list(statement["Action"])
    }

    assert policy["Roles"] == [{"Ref": "RebaseRole"}]
    assert by_action.keys() == START_SPARK_JOBS
    assert by_action["iam:PassRole"]["Resource"] == {"Fn::GetAtt": ["SparkJobRole", "Arn"]}
    assert by_action["iam:PassRole"]["Condition"] == {
        "StringEquals": {"iam:PassedToService": "emr-serverless.amazonaws.com"}
    }
    assert by_action["emr-serverless:StartJobRun"]["Resource"] == {"Fn::GetAtt": ["SparkApplication", "Arn"]}
    assert by_action["emr-serverless:CancelJobRun"]["Resource"] == {"Fn::Sub": "${SparkApplication.Arn}/jobruns/*"}


def test_the_function_learns_of_jobs_that_failed_and_of_none_that_is_another_s(template: Document) -> None:
    rule = template["Resources"]["SparkJobEnds"]["Properties"]
    event: dict[str, Any] = sample("rebase/spark-job-failed")

    assert event["source"] in rule["EventPattern"]["source"]
    assert event["detail-type"] in rule["EventPattern"]["detail-type"]
    assert rule["EventPattern"]["detail"] == {
        "applicationId": [{"Ref": "SparkApplication"}],
        "state": ["FAILED", "CANCELLED"],
    }
    assert event["detail"]["state"] == "FAILED"
    (target,) = rule["Targets"]
    assert target["Arn"] == {"Fn::GetAtt": ["RebaseFunction", "Arn"]}
    assert target["DeadLetterConfig"] == {"Arn": {"Fn::GetAtt": ["FailedInvocations", "Arn"]}}
    permission = template["Resources"]["SparkJobEndsPermission"]["Properties"]
    assert permission["SourceArn"] == {"Fn::GetAtt": ["SparkJobEnds", "Arn"]}
    assert permission["FunctionName"] == {"Ref": "RebaseFunction"}


def test_logs_of_jobs_end_as_all_logs_do(template: Document) -> None:
    group = of_type(template, "AWS::Logs::LogGroup")["SparkLogGroup"]["Properties"]

    assert group["RetentionInDays"] == {"Ref": "LogRetentionDays"}
