"""What the doctor sees of a stack in AWS, played by moto: functions, logs, alarms, schedule, imports, deployments."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import inf
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders

import nextbest
from nextbest.domain.programs import Program
from nextbest.logic.health import Finding, period_days
from tools.cli.deployment import Deployment, OperationFailed, Resource, Stack, stack_deployment
from tools.cli.doctor.alarms import check_alarms
from tools.cli.doctor.functions import check_functions
from tools.cli.doctor.imports import check_import_buckets
from tools.cli.doctor.logs import check_logs
from tools.cli.doctor.schedule import check_schedule, longest_age_days
from tools.cli.doctor.spark import check_spark
from tools.cli.doctor.stack import check_stack
from tools.cli.spark_archive import VERSION

NAME = "nextbest-prod"
FUNCTION = f"{NAME}-actions"


def stack_of(*resources: tuple[str, str], status: str = "UPDATE_COMPLETE", **parameters: str) -> Stack:
    return Stack(NAME, status, parameters, tuple(Resource(f"AWS::{kind}", name) for kind, name in resources))


def deployment(session: boto3.Session, stack: Stack) -> Deployment:
    return Deployment(
        url="https://api.example",
        table_name="events",
        bucket="artifacts",
        queue_url="",
        dead_letters_url="",
        failed_invocations_url="",
        master_secret_parameter="",
        stack=stack,
        session=session,
        endpoints={},
    )


def client(session: boto3.Session, service: str) -> Any:
    make: Any = session.client
    return make(service)


def states_and_fixes(findings: Iterator[Finding]) -> list[tuple[str, str]]:
    return [(finding.state, finding.fix) for finding in findings]


def say(session: boto3.Session, operation: str, response: Mapping[str, Any]) -> None:
    """Let AWS respond where moto does not: it lacks the operation, or needs packages that nothing else here needs."""

    def respond(**_: object) -> tuple[AWSResponse, Mapping[str, Any]]:
        return AWSResponse("", 200, HTTPHeaders(), None), response

    events: Any = session.events  # typed for handlers that return nothing
    events.register(f"before-call.{operation}", respond)


# ---- functions


def make_function(session: boto3.Session, *, architecture: str, layer_for: str, versions: int) -> Stack:
    """A function with a layer, published so many times; its alias is at the last version."""
    lambda_, content = client(session, "lambda"), io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("app.py", "handler = None")
    trust = {"Version": "2012-10-17", "Statement": []}
    role = session.client("iam").create_role(RoleName="role", AssumeRolePolicyDocument=json.dumps(trust))
    layer = lambda_.publish_layer_version(
        LayerName="layer",
        Content={"ZipFile": content.getvalue()},
        CompatibleArchitectures=[layer_for],
    )
    lambda_.create_function(
        FunctionName=FUNCTION,
        Runtime="python3.13",
        Role=role["Role"]["Arn"],
        Handler="app.handler",
        Code={"ZipFile": content.getvalue()},
        Architectures=[architecture],
        Layers=[layer["LayerVersionArn"]],
        MemorySize=1769,
    )
    say(session, "lambda.GetLayerVersionByArn", {"CompatibleArchitectures": [layer_for]})
    for number in range(versions):
        with zipfile.ZipFile(content, "w") as archive:
            archive.writestr("app.py", f"handler = {number}")
        lambda_.update_function_code(FunctionName=FUNCTION, ZipFile=content.getvalue())
        lambda_.publish_version(FunctionName=FUNCTION)
    if versions:
        lambda_.create_alias(FunctionName=FUNCTION, Name="live", FunctionVersion=str(versions))
    return stack_of(("Lambda::Function", FUNCTION))


def with_snapshots(session: boto3.Session, status: str) -> None:
    """Let versions have snapshots, which moto does not know."""

    def change(parsed: Mapping[str, Any], **_: object) -> None:
        for version in parsed["Versions"]:
            version["SnapStart"] = {"ApplyOn": "PublishedVersions", "OptimizationStatus": status}

    session.events.register("after-call.lambda.ListVersionsByFunction", change)


def test_functions_that_run_on_what_their_layer_is_built_for_are_ok(session: boto3.Session) -> None:
    stack = make_function(session, architecture="arm64", layer_for="arm64", versions=1)

    findings = list(check_functions(deployment(session, stack), stack))

    assert [finding.state for finding in findings] == [
        "Active, last update Successful",
        "runs on arm64, its layer on arm64",
    ]
    assert all(finding.is_ok for finding in findings)


def test_a_layer_for_another_architecture_is_named(session: boto3.Session) -> None:
    stack = make_function(session, architecture="arm64", layer_for="x86_64", versions=0)

    (finding,) = [found for found in check_functions(deployment(session, stack), stack) if not found.is_ok]

    assert finding.state == "runs on arm64, its layer on x86_64"
    assert finding.fix == "./nextbest build --architecture arm64, and deploy"


def test_an_alias_that_was_rolled_back_by_hand_is_named(session: boto3.Session) -> None:
    stack = make_function(session, architecture="arm64", layer_for="arm64", versions=2)
    session.client("lambda").update_alias(FunctionName=FUNCTION, Name="live", FunctionVersion="1")

    (finding,) = [found for found in check_functions(deployment(session, stack), stack) if not found.is_ok]

    assert finding.state == "live is version 1, and the newest is 2"


def test_snapshots_are_priced_and_those_of_old_versions_to_be_deleted(session: boto3.Session) -> None:
    stack = make_function(session, architecture="arm64", layer_for="arm64", versions=3)
    with_snapshots(session, "On")

    (finding,) = [found for found in check_functions(deployment(session, stack), stack) if not found.is_ok]

    # 1769 MB for 730 hours at 0.0000015046 USD a GB second: 6.83 each.
    assert finding.state == "3 snapshots, 20.49 USD a month; 2 of old versions, 13.66 USD"
    assert finding.fix == (
        f"for n in 1 2; do aws lambda delete-function --function-name {FUNCTION} --qualifier $n; done"
    )


def test_a_snapshot_that_is_in_use_is_ok(session: boto3.Session) -> None:
    stack = make_function(session, architecture="arm64", layer_for="arm64", versions=1)
    with_snapshots(session, "On")

    findings = states_and_fixes(check_functions(deployment(session, stack), stack))

    assert ("1 snapshots, 6.83 USD a month; 0 of old versions, 0.00 USD", "") in findings


def test_a_region_without_snapstart_is_named(session: boto3.Session) -> None:
    stack = make_function(session, architecture="arm64", layer_for="arm64", versions=1)
    with_snapshots(session, "Off")

    (finding,) = [found for found in check_functions(deployment(session, stack), stack) if not found.is_ok]

    assert finding.state == "version 1 has no snapshot, though SnapStart is on"
    assert f"the region {session.region_name} may not have SnapStart: deploy with SnapStart=None" in finding.fix


# ---- logs


def test_log_groups_that_are_missing_or_never_forget_are_named(session: boto3.Session) -> None:
    logs = client(session, "logs")
    for name, days in (("/a", 30), ("/ab", None), ("/c", 7)):
        logs.create_log_group(logGroupName=name)
        if days is not None:
            logs.put_retention_policy(logGroupName=name, retentionInDays=days)
    stack = stack_of(*(("Logs::LogGroup", name) for name in ("/a", "/ab", "/c", "/d")))

    assert states_and_fixes(check_logs(deployment(session, stack), stack)) == [
        ("/ab keeps everything forever", "deploy again: its price grows with every request"),
        ("there is no group /d", "deploy again: what its function logs is lost"),
        ("4 groups, kept for 7 or 30 days", ""),
    ]


# ---- alarms


def put_alarm(session: boto3.Session, name: str, *, state: str = "OK", acts: bool = True) -> None:
    cloudwatch = client(session, "cloudwatch")
    cloudwatch.put_metric_alarm(
        AlarmName=name,
        AlarmDescription=f"{name} (docs/operations.md, {name})",
        ActionsEnabled=acts,
        MetricName="5xx",
        Namespace="AWS/ApiGateway",
        Period=300,
        EvaluationPeriods=1,
        Threshold=0,
        ComparisonOperator="GreaterThanThreshold",
        Statistic="Sum",
    )
    cloudwatch.set_alarm_state(AlarmName=name, StateValue=state, StateReason="a test")


def test_alarms_that_are_on_off_or_missing_are_named(session: boto3.Session) -> None:
    put_alarm(session, "failures", state="ALARM")
    put_alarm(session, "latency", acts=False)
    put_alarm(session, "quiet")
    stack = stack_of(*(("CloudWatch::Alarm", name) for name in ("failures", "latency", "quiet", "missing")))

    assert states_and_fixes(check_alarms(deployment(session, stack), stack)) == [
        ("failures is on", "failures (docs/operations.md, failures)"),
        ("latency tells nobody", "aws cloudwatch enable-alarm-actions --alarm-names latency"),
        ("there is no alarm missing", "deploy again"),
        ("1 of 4 are quiet", ""),
        ("nobody is mailed (AlarmEmail): they show in CloudWatch alone", ""),
    ]


def test_a_mail_address_that_was_never_confirmed_is_named(session: boto3.Session) -> None:
    sns = client(session, "sns")
    topic = sns.create_topic(Name="alarms")["TopicArn"]
    empty = sns.create_topic(Name="empty")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="email", Endpoint="you@example.com")

    def wait(parsed: Mapping[str, Any], **_: object) -> None:
        for subscription in parsed["Subscriptions"]:
            subscription["SubscriptionArn"] = "PendingConfirmation"  # which moto leaves out

    session.events.register("after-call.sns.ListSubscriptionsByTopic", wait)
    stack = stack_of(("SNS::Topic", topic), ("SNS::Topic", empty))

    findings = states_and_fixes(check_alarms(deployment(session, stack), stack))

    assert findings[1:] == [
        ("are mailed to you@example.com", "confirm the mail that AWS sent there, or deploy again to get another one"),
        (f"nobody is subscribed to {empty}", "deploy again, with AlarmEmail=you@example.com"),
    ]


# ---- schedule


@pytest.mark.parametrize(
    ("state", "wanted", "is_ok"),
    [("ENABLED", "ENABLED", True), ("DISABLED", "DISABLED", True), ("DISABLED", "ENABLED", False)],
)
def test_a_schedule_that_was_turned_off_by_hand_is_named(
    session: boto3.Session, state: str, wanted: str, is_ok: bool
) -> None:
    client(session, "scheduler").create_schedule(
        Name="rebases",
        ScheduleExpression="rate(1 day)",
        State=state,
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={
            "Arn": "arn:aws:lambda:us-east-1:123456789012:function:rebase",
            "RoleArn": "arn:aws:iam::123456789012:role/r",
        },
    )
    stack = stack_of(("Scheduler::Schedule", "rebases"), RebaseScheduleState=wanted)

    (finding,) = check_schedule(deployment(session, stack), stack)

    assert finding.state == f"rate(1 day), {state}"
    assert finding.is_ok == is_ok


@pytest.mark.parametrize(
    ("expression", "days"),
    [
        ("rate(1 day)", 1.0),
        ("rate(7 days)", 7.0),
        ("rate(6 hours)", 0.25),
        ("rate(30 minutes)", 1 / 48),
        ("cron(0 3 * * ? *)", 1.0),
        ("cron(0/15 * * * ? *)", 1.0),
        ("cron(0 3 ? * MON *)", 7.0),
        ("cron(0 3 1 * ? *)", 31.0),
        ("cron(0 3 1 1 ? *)", 366.0),
        ("cron(0 3 * * ? 2027)", inf),
        ("at(2027-01-01T00:00:00)", inf),
    ],
)
def test_the_longest_time_between_two_runs_of_a_schedule(expression: str, days: float) -> None:
    assert period_days(expression) == pytest.approx(days)


def test_a_model_is_old_when_a_rebase_was_missed(session: boto3.Session) -> None:
    def days(**parameters: str) -> float:
        return longest_age_days(deployment(session, stack_of(**parameters)))

    assert days() == 2.0
    assert days(RebaseSchedule="rate(7 days)") == 14.0
    assert days(RebaseSchedule="rate(5 minutes)") == 0.1
    assert days(RebaseSchedule="rate(7 days)", RebaseScheduleState="DISABLED") == inf
    assert longest_age_days(replace(deployment(session, stack_of()), stack=None)) == 2.0


# ---- buckets of imports


def test_import_buckets_are_compared_with_what_programs_may_import(session: boto3.Session) -> None:
    session.client("dynamodb").create_table(
        TableName="events",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
        BillingMode="PAY_PER_REQUEST",
    )
    session.client("s3").create_bucket(Bucket="exports")
    stack = stack_of(ImportBucketArns="arn:aws:s3:::exports,arn:aws:s3:::gone")
    found = deployment(session, stack)
    store, program = found.store(), Program("coffee")
    store.create_program(program)
    store.put_import_locations(program.incarnation, ["s3://exports/coffee/", "s3://elsewhere/coffee/"])

    findings = list(check_import_buckets(found, stack))

    assert [(finding.subject, finding.state, finding.is_ok) for finding in findings] == [
        ("import bucket exports", "can be listed with these credentials", True),
        ("import bucket gone", "cannot be listed with these credentials: NoSuchBucket", False),
        ("program coffee", "may import from elsewhere, which the function may not read", False),
    ]


# ---- Spark jobs


def test_what_spark_jobs_run_is_there_and_of_this_version(session: boto3.Session) -> None:
    session.client("s3").create_bucket(Bucket="artifacts")
    without, stack = stack_of(), stack_of(("EMRServerless::Application", "00app"))
    found = deployment(session, stack)

    assert list(check_spark(found, without)) == []
    assert [finding.is_ok for finding in check_spark(found, stack)] == [False, False]
    for name, version in (("environment.tar.gz", nextbest.__version__), ("rebase.py", "0.1.0")):
        session.client("s3").put_object(Bucket="artifacts", Key=f"spark/{name}", Metadata={VERSION: version})

    fix = f"make spark-archive; ./nextbest upload-spark --stack {NAME}"
    assert states_and_fixes(check_spark(found, stack)) == [
        (f"environment.tar.gz is of version {nextbest.__version__}", ""),
        ("rebase.py is of version 0.1.0", fix),
    ]


# ---- the stack


def stack_event(logical_id: str, status: str, reason: str = "") -> dict[str, str]:
    physical_id = "the stack" if logical_id == NAME else f"id of {logical_id}"
    return {
        **{"StackId": "the stack", "PhysicalResourceId": physical_id, "LogicalResourceId": logical_id},
        **{"ResourceStatus": status, "ResourceStatusReason": reason},
    }


EVENTS = {
    "StackEvents": [  # the latest first
        stack_event(NAME, "UPDATE_ROLLBACK_COMPLETE"),
        stack_event("Table", "UPDATE_FAILED", "Resource update cancelled"),
        stack_event("Queue", "UPDATE_FAILED", "it cannot be had"),
        stack_event(NAME, "UPDATE_IN_PROGRESS"),
        stack_event("Bus", "UPDATE_FAILED", "of a deployment before"),
        stack_event(NAME, "UPDATE_IN_PROGRESS"),
    ]
}


@pytest.mark.parametrize(
    ("status", "fix"),
    [
        ("UPDATE_ROLLBACK_COMPLETE", "the version before is in use"),
        ("UPDATE_ROLLBACK_FAILED", "aws cloudformation continue-update-rollback --stack-name nextbest-prod"),
        ("UPDATE_FAILED", "events in CloudFormation"),
    ],
)
def test_a_deployment_that_failed_is_named_with_its_cause(session: boto3.Session, status: str, fix: str) -> None:
    say(session, "cloudformation.DescribeStackEvents", EVENTS)
    stack = stack_of(status=status)

    (finding,) = check_stack(deployment(session, stack), stack)

    assert finding.state == f"{NAME} is {status}: Queue: it cannot be had"
    assert fix in finding.fix


@pytest.mark.parametrize(
    ("status", "fix"),
    [
        ("CREATE_COMPLETE", ""),
        ("UPDATE_COMPLETE", ""),
        ("UPDATE_IN_PROGRESS", "a deployment is under way: wait until it has ended"),
    ],
)
def test_a_deployment_that_succeeded_is_ok_and_one_under_way_is_waited_for(
    session: boto3.Session, status: str, fix: str
) -> None:
    stack = stack_of(status=status)

    assert states_and_fixes(check_stack(deployment(session, stack), stack)) == [(f"{NAME} is {status}", fix)]


def test_a_stack_that_was_never_made_is_to_be_deleted(session: boto3.Session) -> None:
    say(session, "cloudformation.DescribeStacks", {"Stacks": [{"StackName": NAME, "StackStatus": "ROLLBACK_COMPLETE"}]})
    say(session, "cloudformation.DescribeStackEvents", EVENTS)

    with pytest.raises(OperationFailed) as refused:
        stack_deployment(NAME, session)

    assert str(refused.value) == (
        f"the stack {NAME} is ROLLBACK_COMPLETE: Queue: it cannot be had; remove the cause, then "
        f"`sam delete --stack-name {NAME}`, and deploy again"
    )
