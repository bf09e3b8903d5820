"""Least privilege: who may do what, as the translated template says it."""

from __future__ import annotations

import ast
import json
import re
from typing import Any

import pytest

from tests.infrastructure.cloudformation import FUNCTIONS, ROOT, Document, as_list, of_type, statements
from tests.infrastructure.permissions import ALLOWED, LOG, SPARK_JOB, START_SPARK_JOBS, permissions_of

IMPORT_POLICY = "ImportPolicy"
MASTER_SECRET = {
    "Fn::Sub": "arn:${AWS::Partition}:ssm:${AWS::Region}:${AWS::AccountId}:parameter"
    "/nextbest/${AWS::StackName}/master-secret"
}
"""Stored before the stack is made, since CloudFormation makes no SecureString."""
REBASE_ITSELF = {
    "Fn::Sub": "arn:${AWS::Partition}:lambda:${AWS::Region}:${AWS::AccountId}:function:${AWS::StackName}-rebase"
}
"""The function that a run of the schedule invokes for each program: itself."""
READ_METRICS = {"Effect": "Allow", "Action": ["cloudwatch:GetMetricData"], "Resource": "*"}
"""The one thing without a resource: CloudWatch knows none to read metrics of, nor a condition on their namespace
(https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoncloudwatch.html)."""


LIST_LOG_GROUPS = {
    "Effect": "Allow",
    "Action": ["logs:DescribeLogGroups"],
    "Resource": {"Fn::Sub": "arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:*"},
}
"""A list knows no single resource, and EMR Serverless takes it to look for the log group
(https://docs.aws.amazon.com/emr/latest/EMR-Serverless-UserGuide/logging.html)."""


def allowed_actions(template: Document, function: str) -> set[str]:
    return actions_of(template, f"{function.capitalize()}Role")


def actions_of(template: Document, role_or_policy: str) -> set[str]:
    return {
        action
        for name, statement in statements(template)
        if name == role_or_policy and statement["Effect"] == "Allow"
        for action in as_list(statement["Action"])
    }


@pytest.mark.parametrize("function", FUNCTIONS)
def test_each_function_may_do_what_it_does_and_nothing_else(template: Document, function: str) -> None:
    assert allowed_actions(template, function) == ALLOWED[function]


def test_no_permission_is_for_everything(template: Document) -> None:
    found = list(statements(template))
    assert len(found) > 20
    for name, statement in found:
        if name == IMPORT_POLICY:
            continue  # of buckets that the operator names: see below
        if statement == READ_METRICS:
            assert name == "ConsoleRole"
            continue
        if statement == LIST_LOG_GROUPS:
            assert name == "SparkJobRole"
            continue
        resources = as_list(statement["Resource"])
        assert "*" not in resources, name
        # An exact resource of this stack: its ARN, or all objects of its bucket or of a folder there.
        for resource in resources:
            assert re.fullmatch(
                r'\{"Fn::(GetAtt": \["\w+", "Arn"\]|Sub": "\$\{\w+\.Arn\}/(\w+/)?\*(\.report\.json)?")\}',
                json.dumps(resource),
            ) or resource in (MASTER_SECRET, REBASE_ITSELF), (
                name,
                resource,
            )
        if statement["Effect"] == "Allow":
            assert not any("*" in action for action in as_list(statement["Action"])), name


def resolved(value: Any, arns: list[str]) -> Any:
    """What CloudFormation makes of the functions in the import policy where ImportBucketArns is ``arns``."""
    match value:
        case {"Ref": "ImportBucketArns"}:
            return arns
        case {"Fn::Join": [separator, entries]}:
            return separator.join(resolved(entries, arns))
        case {"Fn::Split": [separator, text]}:
            return resolved(text, arns).split(separator)
        case {"Fn::Sub": [text, {"Arns": joined}]}:
            return text.replace("${Arns}", resolved(joined, arns))
        case _:
            return value


def test_imports_read_the_buckets_that_the_operator_names_and_nothing_else(template: Document) -> None:
    policy = template["Resources"][IMPORT_POLICY]
    arns = ["arn:aws:s3:::exports", "arn:aws:s3:::more.exports"]

    assert policy["Properties"]["Roles"] == [{"Ref": "RebaseRole"}]
    read, listed = policy["Properties"]["PolicyDocument"]["Statement"]
    assert (read["Action"], listed["Action"]) == (["s3:GetObject"], ["s3:ListBucket"])
    assert resolved(read["Resource"], arns) == ["arn:aws:s3:::exports/*", "arn:aws:s3:::more.exports/*"]
    assert resolved(read["Resource"], arns[:1]) == ["arn:aws:s3:::exports/*"]
    assert resolved(listed["Resource"], arns) == arns


def test_imports_read_no_bucket_unless_the_operator_names_one(template: Document) -> None:
    parameter = template["Parameters"]["ImportBucketArns"]
    condition = template["Conditions"][template["Resources"][IMPORT_POLICY]["Condition"]]

    assert parameter["Default"] == ""
    assert condition == {"Fn::Not": [{"Fn::Equals": [{"Fn::Join": ["", {"Ref": "ImportBucketArns"}]}, ""]}]}
    for arn in ("*", "arn:aws:s3:::*", "arn:aws:s3:::exports*", "arn:aws:s3:::exports/*", "arn:aws:s3:::", "exports",
                "arn:aws:s3:us-east-1:123456789012:accesspoint/mine"):  # fmt: skip
        assert re.fullmatch(parameter["AllowedPattern"], arn) is None
    assert re.fullmatch(parameter["AllowedPattern"], "arn:aws-cn:s3:::my.exports-7")
    # The bucket of folders by program is for local stacks, where nobody checks permissions: none follows from it.
    assert template["Parameters"]["ProgramFoldersBucket"]["Default"] == ""
    assert "ProgramFoldersBucket" not in json.dumps(list(map(repr, statements(template))))


def test_no_role_has_a_managed_policy_but_for_traces(template: Document) -> None:
    """AWS's own policies name all resources: the one that SAM adds for SQS reads every queue of the account.

    X-Ray knows no resources, so writing traces is the one thing that cannot be narrowed down. It is a switch.
    """
    roles = of_type(template, "AWS::IAM::Role")

    assert len(roles) == len(FUNCTIONS) + 2  # and the scheduler's, and that of Spark jobs
    managed = {
        name: role["Properties"]["ManagedPolicyArns"]
        for name, role in roles.items()
        if "ManagedPolicyArns" in role["Properties"]
    }
    traces = {"Fn::Sub": "arn:${AWS::Partition}:iam::aws:policy/AWSXRayDaemonWriteAccess"}
    assert managed.keys() == {f"{name}Role" for name in ("Actions", "Collect", "Console", "Manage", "Recommendations")}
    assert all(arns == {"Fn::If": ["Traces", [traces], {"Ref": "AWS::NoValue"}]} for arns in managed.values())
    assert template["Parameters"]["Tracing"]["Default"] == "PassThrough"


def test_each_function_has_a_role_that_only_lambda_may_take(template: Document) -> None:
    for function in FUNCTIONS:
        name = function.capitalize()
        assert template["Resources"][f"{name}Function"]["Properties"]["Role"] == {"Fn::GetAtt": [f"{name}Role", "Arn"]}
        trust = template["Resources"][f"{name}Role"]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        assert trust == [
            {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ]


def test_each_function_writes_only_its_own_log(template: Document) -> None:
    for function in FUNCTIONS:
        name = function.capitalize()
        (statement,) = [
            statement
            for role, statement in statements(template)
            if role == f"{name}Role" and set(as_list(statement["Action"])) == LOG
        ]
        assert statement["Resource"] == {"Fn::GetAtt": [f"{name}LogGroup", "Arn"]}


def test_whoever_calls_a_function_is_named_with_its_source(template: Document) -> None:
    for permission in of_type(template, "AWS::Lambda::Permission").values():
        properties = permission["Properties"]
        assert properties["Principal"] in (*("apigateway.amazonaws.com", "events.amazonaws.com", "logs.amazonaws.com"),)
        assert "SourceArn" in properties


def test_decisions_are_written_into_their_folder_and_nowhere_else(template: Document) -> None:
    (statement,) = [
        statement
        for role, statement in statements(template)
        if role == "DecisionsRole" and "s3:PutObject" in as_list(statement["Action"])
    ]
    assert statement["Resource"] == {"Fn::Sub": "${Artifacts.Arn}/decisions/*"}


def test_files_of_the_inbox_are_read_there_and_written_beside_and_among_the_rejected(template: Document) -> None:
    objects = {
        action: as_list(statement["Resource"])
        for name, statement in statements(template)
        if name == "IngestRole"
        for action in as_list(statement["Action"])
        if action.startswith("s3:") and action != "s3:ListBucket"
    }

    inbox = {"Fn::Sub": "${Artifacts.Arn}/inbox/*"}
    assert objects == {
        "s3:GetObject": [inbox],
        "s3:PutObject": [
            {"Fn::Sub": "${Artifacts.Arn}/inbox/*.report.json"},
            {"Fn::Sub": "${Artifacts.Arn}/rejected/*"},
        ],
        "s3:DeleteObject": [inbox],
    }


def test_only_our_rules_may_put_into_the_queue_of_failures(template: Document) -> None:
    (statement,) = [
        statement
        for name, statement in statements(template)
        if name == "FailedInvocationsPolicy" and statement["Effect"] == "Allow"
    ]

    assert statement["Principal"] == {"Service": "events.amazonaws.com"}
    rules = [{"Fn::GetAtt": [f"IngestFunction{name}", "Arn"]} for name in ("BusEvents", "InboxFiles")]
    of_spark = {"Fn::If": ["HasSpark", {"Fn::GetAtt": ["SparkJobEnds", "Arn"]}, {"Ref": "AWS::NoValue"}]}
    assert statement["Condition"] == {"ArnEquals": {"aws:SourceArn": [*rules, of_spark]}}


def operations_of_the_store() -> set[str]:
    """The AWS operations that ``store/`` and ``aws/`` name, those that paginators run included."""
    found: set[str] = set()
    library = ROOT / "layers/nextbest/nextbest"
    for path in (*library.glob("store/*.py"), *library.glob("aws/*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            if ast.unparse(node.func.value) not in ("self.client", "self._client"):
                continue
            method = node.func.attr
            if method == "get_paginator":
                assert isinstance(node.args[0], ast.Constant)
                method = str(node.args[0].value)
            found.add("".join(word.capitalize() for word in method.split("_")))
    return found


def test_every_operation_of_the_store_is_allowed_to_somebody() -> None:
    """Given a new kind of call in the store, when no role allows it, then this fails before a deployment does."""
    operations = operations_of_the_store()

    assert {"BatchGetItem", "Scan", "PutObject", "SendMessage", "Invoke"} <= operations
    needed = {permission for operation in operations for permission in permissions_of(operation)}
    assert (
        needed <= {permission for allowed in ALLOWED.values() for permission in allowed} | SPARK_JOB | START_SPARK_JOBS
    )
