"""The functions: what they run, what they are told, and where their failures go."""

from __future__ import annotations

import ast

import pytest

from tests.infrastructure.cloudformation import (
    FUNCTIONS,
    HOT_FUNCTIONS,
    ROOT,
    Document,
    logical_id,
    of_type,
    read_template,
    statements,
    the_only,
    translate,
)

FUNCTION = "AWS::Lambda::Function"
SET_BY_LAMBDA = {"AWS_REGION", "AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE"}
FAILED_INVOCATIONS = {"Fn::GetAtt": ["FailedInvocations", "Arn"]}


def properties_of(template: Document, function: str) -> Document:
    properties: Document = template["Resources"][logical_id(function)]["Properties"]
    return properties


def test_every_folder_is_a_function_and_every_function_a_folder(template: Document) -> None:
    folders = {path.parent.name for path in ROOT.glob("functions/*/app.py")}
    written = read_template()["Resources"]

    assert folders == set(FUNCTIONS)
    assert of_type(template, FUNCTION).keys() == {logical_id(name) for name in FUNCTIONS}
    for name in FUNCTIONS:
        assert written[logical_id(name)]["Properties"]["CodeUri"] == f"functions/{name}/"


@pytest.mark.parametrize("function", FUNCTIONS)
def test_runtime_handler_layer_and_architecture(template: Document, function: str) -> None:
    properties = properties_of(template, function)

    assert properties["Runtime"] == "python3.13"
    assert properties["Handler"] == "app.handler"
    assert properties["Architectures"] == [{"Ref": "Architecture"}]
    assert [layer["Ref"] for layer in properties["Layers"]] == list(of_type(template, "AWS::Lambda::LayerVersion"))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_app_has_the_handler(function: str) -> None:
    module = ast.parse((ROOT / "functions" / function / "app.py").read_text())

    assert "handler" in {node.name for node in module.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_environment_has_what_the_function_asks_for(template: Document, function: str) -> None:
    """Given the names that app.py takes from the environment, then the template sets each."""
    source = (ROOT / "functions" / function / "app.py").read_text()
    # These read variables on the function's behalf.
    readers = {
        "open_store": "TABLE_NAME",
        "open_artifacts": "ARTIFACT_BUCKET",
        "open_master_secret": "MASTER_SECRET_PARAMETER",
    }
    asked = {name for reader, name in readers.items() if f"{reader}(" in source}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "os.environ":
            assert isinstance(node.slice, ast.Constant)
            asked.add(str(node.slice.value))

    assert asked - SET_BY_LAMBDA <= properties_of(template, function)["Environment"]["Variables"].keys()


def test_only_functions_that_derive_keys_may_read_the_master_secret(template: Document) -> None:
    """It is in no parameter, variable or output: whoever may look at those sees its name alone."""
    named = {
        name
        for name in FUNCTIONS
        if "MASTER_SECRET_PARAMETER" in properties_of(template, name)["Environment"]["Variables"]
    }
    readers = {name for name, statement in statements(template) if statement["Action"] == ["ssm:GetParameter"]}

    assert named == {"collect", "console", "manage", "recommendations"}
    assert readers == {f"{name.capitalize()}Role" for name in named}
    assert not any(parameter.get("NoEcho") for parameter in template["Parameters"].values())


@pytest.mark.parametrize("function", FUNCTIONS)
def test_logs_go_to_a_group_that_forgets(template: Document, function: str) -> None:
    group = properties_of(template, function)["LoggingConfig"]["LogGroup"]["Ref"]
    properties = template["Resources"][group]["Properties"]

    assert properties["RetentionInDays"] == {"Ref": "LogRetentionDays"}
    assert properties["LogGroupName"] == {"Fn::Sub": f"/aws/lambda/${{AWS::StackName}}-{function}"}


def test_hot_functions_and_only_they_may_start_from_snapshots_behind_an_alias(template: Document) -> None:
    snapshots = {
        name: resource["Properties"]["SnapStart"]
        for name, resource in of_type(template, FUNCTION).items()
        if "SnapStart" in resource["Properties"]
    }
    aliased = {
        alias["Properties"]["FunctionName"]["Ref"]: alias["Properties"]["Name"]
        for alias in of_type(template, "AWS::Lambda::Alias").values()
    }

    hot = {logical_id(name) for name in HOT_FUNCTIONS}
    assert snapshots == {name: {"ApplyOn": {"Ref": "SnapStart"}} for name in hot}
    assert template["Parameters"]["SnapStart"]["Default"] == "None"
    assert aliased == dict.fromkeys(hot, "live")


def test_the_gateway_calls_hot_functions_through_the_alias(template: Document) -> None:
    paths = the_only(template, "AWS::ApiGatewayV2::Api")["Properties"]["Body"]["paths"]

    for method, path, function in (
        ("get", "/users/{user_id}/actions", "Actions"),
        ("post", "/personalize/action-recommendations", "Recommendations"),
    ):
        integration = paths[path][method]["x-amazon-apigateway-integration"]
        assert f"${{{function}FunctionAliaslive}}" in integration["uri"]["Fn::Sub"]
        assert integration["payloadFormatVersion"] == "2.0"


def test_a_version_goes_with_the_deployment_that_replaces_it(template: Document) -> None:
    """Each one that stays would keep its snapshot, which is billed."""
    published = of_type(template, "AWS::Lambda::Version")

    assert len(published) == len(HOT_FUNCTIONS)
    assert all(version["DeletionPolicy"] == "Delete" for version in published.values())


def test_a_gradual_deployment_goes_back_when_callers_are_harmed(template: Document) -> None:
    def switch_on(document: Document) -> None:
        document["Parameters"]["GradualDeployment"]["Default"] = "true"

    assert not of_type(template, "AWS::CodeDeploy::DeploymentGroup")
    groups = of_type(translate(switch_on), "AWS::CodeDeploy::DeploymentGroup")
    for name in HOT_FUNCTIONS:
        properties = groups[f"{logical_id(name)}DeploymentGroup"]["Properties"]
        alarms = {alarm["Name"]["Ref"] for alarm in properties["AlarmConfiguration"]["Alarms"]}
        assert alarms == {"ApiFailuresAlarm", f"{name.capitalize()}LatencyAlarm"}
        assert "DEPLOYMENT_STOP_ON_ALARM" in properties["AutoRollbackConfiguration"]["Events"]


def versions(template: Document) -> set[str]:
    return set(of_type(template, "AWS::Lambda::Version"))


def test_a_changed_layer_publishes_new_versions(template: Document) -> None:
    """A version keeps the layer it was published with: code that changed in the layer alone would never be served."""

    def change(document: Document) -> None:
        document["Resources"]["NextbestLayer"]["Properties"]["ContentUri"] = "s3://packaged/changed"

    assert not versions(translate(change)) & versions(template)


def test_a_changed_setting_publishes_new_versions(template: Document) -> None:
    """SAM's hash does not see parameter values (serverless-application-model issue 3820); the description has them."""
    for version in of_type(template, "AWS::Lambda::Version").values():
        text = version["Properties"]["Description"]["Fn::Sub"]
        function = template["Resources"][version["Properties"]["FunctionName"]["Ref"]]["Properties"]
        values = function["Environment"]["Variables"].values()
        parameters = {
            value["Ref"] for value in values if isinstance(value, dict) and value.get("Ref") in template["Parameters"]
        }
        assert all(f"${{{name}}}" in text for name in parameters | {"Architecture", "SnapStart"})


def test_queue_feeds_ingest_and_hears_of_each_failed_message(template: Document) -> None:
    source = the_only(template, "AWS::Lambda::EventSourceMapping")["Properties"]

    assert source["EventSourceArn"] == {"Fn::GetAtt": ["Queue", "Arn"]}
    assert source["FunctionName"] == {"Ref": "IngestFunction"}
    assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    # AWS's advice, so that a batch is not delivered again while it is still worked on.
    assert (
        template["Resources"]["Queue"]["Properties"]["VisibilityTimeout"]
        >= 6 * properties_of(template, "ingest")["Timeout"]
    )


def test_bus_events_reach_ingest_and_none_is_lost(template: Document) -> None:
    rule = template["Resources"]["IngestFunctionBusEvents"]["Properties"]
    (target,) = rule["Targets"]

    assert rule["EventPattern"] == {"source": ["nextbest.events"]}
    assert rule["EventBusName"] == {"Ref": "EventBus"}
    assert target["Arn"] == {"Fn::GetAtt": ["IngestFunction", "Arn"]}
    assert target["DeadLetterConfig"] == {"Arn": FAILED_INVOCATIONS}


def test_files_of_the_inbox_reach_ingest_and_none_is_lost(template: Document) -> None:
    rule = template["Resources"]["IngestFunctionInboxFiles"]["Properties"]
    (target,) = rule["Targets"]

    # Events of AWS's services come on the default bus alone.
    assert "EventBusName" not in rule
    bucket = template["Resources"]["Artifacts"]["Properties"]
    assert bucket["NotificationConfiguration"] == {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}
    assert target["Arn"] == {"Fn::GetAtt": ["IngestFunction", "Arn"]}
    assert target["DeadLetterConfig"] == {"Arn": FAILED_INVOCATIONS}


@pytest.mark.parametrize("function", ["decisions", "ingest", "rebase"])
def test_asynchronous_failures_are_kept(template: Document, function: str) -> None:
    (config,) = [
        resource["Properties"]
        for resource in of_type(template, "AWS::Lambda::EventInvokeConfig").values()
        if resource["Properties"]["FunctionName"] == {"Ref": logical_id(function)}
    ]

    assert config["DestinationConfig"] == {"OnFailure": {"Destination": FAILED_INVOCATIONS}}


def test_decisions_are_delivered_from_the_logs_of_the_hot_functions_alone(template: Document) -> None:
    """A subscription to the log of ``decisions`` itself would never end."""
    filters = [filter_["Properties"] for filter_ in of_type(template, "AWS::Logs::SubscriptionFilter").values()]

    assert {filter_["LogGroupName"]["Ref"] for filter_ in filters} == {
        f"{name.capitalize()}LogGroup" for name in HOT_FUNCTIONS
    }
    for filter_ in filters:
        assert filter_["DestinationArn"] == {"Fn::GetAtt": ["DecisionsFunction", "Arn"]}
        assert filter_["FilterPattern"] == '{ $.decision.recommendation_id = "RID-*" }'
    assert template["Resources"]["DecisionsLogGroup"]["Type"] == "AWS::Logs::LogGroup"


def test_schedule_rebases_with_all_the_time_there_is(template: Document) -> None:
    schedule = the_only(template, "AWS::Scheduler::Schedule")["Properties"]

    assert schedule["ScheduleExpression"] == {"Ref": "RebaseSchedule"}
    assert schedule["Target"]["Arn"] == {"Fn::GetAtt": ["RebaseFunction", "Arn"]}
    assert schedule["Target"]["DeadLetterConfig"] == {"Arn": FAILED_INVOCATIONS}
    assert properties_of(template, "rebase")["Timeout"] == 900
    assert properties_of(template, "rebase")["MemorySize"] == {"Ref": "RebaseMemoryMegabytes"}
    # How many programs are trained at once is the operator's to bound; an account with ten environments cannot.
    bound = {"Fn::If": ["ReservesRebases", {"Ref": "RebaseReservedConcurrency"}, {"Ref": "AWS::NoValue"}]}
    assert properties_of(template, "rebase")["ReservedConcurrentExecutions"] == bound


@pytest.mark.parametrize("function", ["actions", "recommendations", "collect", "manage"])
def test_no_function_outlasts_the_gateway(template: Document, function: str) -> None:
    assert properties_of(template, function)["Timeout"] < 30  # an HTTP API gives up after 30 s


def test_parameters_and_outputs(template: Document) -> None:
    assert {"Stage", "Architecture", "LogLevel", "LogRetentionDays", "AlarmEmail", "RebaseSchedule"} <= template[
        "Parameters"
    ].keys()
    assert {"ApiUrl", "PersonalizeUrl", "TableName", "ArtifactBucket", "QueueUrl"} <= template["Outputs"].keys()
    # A first deployment, the local stack and `sam local` have to name no parameter.
    assert all("Default" in parameter for parameter in template["Parameters"].values())
