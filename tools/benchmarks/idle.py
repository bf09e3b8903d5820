"""What a stack costs in a month without a single request, counted from the template that CloudFormation gets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from samcli.lib.intrinsic_resolver.intrinsic_property_resolver import IntrinsicResolver
from samcli.lib.intrinsic_resolver.intrinsics_symbol_table import IntrinsicsSymbolTable

from tools.benchmarks.prices import snapshot_dollars

Document = Mapping[str, Any]
Prices = Mapping[str, float]

# Lambda asks a queue for messages with five long polls at a time, each of 20 seconds at most.
_POLLS_PER_HOUR = 5 * 3600 / 20

BILLED_BY_USE = frozenset(
    {
        *("AWS::ApiGatewayV2::Api", "AWS::ApiGatewayV2::Stage", "AWS::CodeDeploy::Application"),
        *("AWS::DynamoDB::Table", "AWS::Events::EventBus", "AWS::Events::Rule", "AWS::IAM::Role"),
        "AWS::IAM::Policy",
        *("AWS::Lambda::Alias", "AWS::Lambda::EventInvokeConfig", "AWS::Lambda::Function"),
        *("AWS::Lambda::LayerVersion", "AWS::Lambda::Permission", "AWS::Logs::LogGroup", "AWS::Logs::MetricFilter"),
        "AWS::Logs::SubscriptionFilter",
        *("AWS::S3::Bucket", "AWS::S3::BucketPolicy", "AWS::SNS::Topic", "AWS::SQS::Queue", "AWS::SQS::QueuePolicy"),
        "AWS::Scheduler::Schedule",
    }
)
"""Types of resources that cost nothing as long as nobody uses them, and nothing is stored in them."""


def idle_bill(template: Document, parameters: Mapping[str, str], prices: Prices) -> dict[str, float]:
    """US dollars a month by what they are for.

    ``template`` is translated from SAM; ``parameters`` has a value for each of its parameters. ``prices`` are those of
    a prices file, by name. Raises ValueError for a type of resource that is neither known to be free nor has a price.
    """
    symbols = IntrinsicsSymbolTable(template=template, logical_id_translator=dict(parameters))
    resolver = IntrinsicResolver(template=template, symbol_resolver=symbols)
    conditions = resolver.intrinsic_property_resolver(template.get("Conditions", {}), ignore_errors=False)
    bill: dict[str, float] = {}
    for logical_id, resource in template["Resources"].items():
        kind = resource["Type"]
        if not conditions.get(resource.get("Condition"), True) or kind in BILLED_BY_USE:
            continue
        if kind not in _BILLED_ALWAYS:
            raise ValueError(f"{logical_id}: nobody has said what a {kind} costs when it is idle")
        name, dollars = _BILLED_ALWAYS[kind]
        bill[name] = bill.get(name, 0.0) + dollars(template, resource["Properties"], parameters, prices)
    return bill


def _snapshot(template: Document, version: Document, parameters: Mapping[str, str], prices: Prices) -> float:
    """The memory of a function whose published versions keep a snapshot."""
    function = template["Resources"][version["FunctionName"]["Ref"]]["Properties"]
    if parameters[function["SnapStart"]["ApplyOn"]["Ref"]] == "None":
        return 0.0
    return snapshot_dollars(function["MemorySize"], prices)


def _ready_workers(application: Document, prices: Prices) -> float:
    """The workers of a Spark application that are kept ready for jobs; none where it has no initial capacity."""
    if "InitialCapacity" not in application:
        return 0.0
    dollars = 0.0
    for entry in application["InitialCapacity"]:
        worker = entry["Value"]["WorkerConfiguration"]
        processors, gigabytes = float(worker["Cpu"].split()[0]), float(worker["Memory"].split()[0])
        dollars += entry["Value"]["WorkerCount"] * (
            processors * prices["emr_serverless_arm64_per_vcpu_hour"]
            + gigabytes * prices["emr_serverless_arm64_per_gb_hour"]
        )
    return dollars * prices["hours_per_month"]


_BILLED_ALWAYS: dict[str, tuple[str, Callable[[Document, Document, Mapping[str, str], Prices], float]]] = {
    "AWS::CloudWatch::Alarm": ("alarms", lambda _template, _alarm, _parameters, prices: prices["cloudwatch_per_alarm"]),
    "AWS::CloudWatch::Dashboard": ("dashboard", lambda _t, _dashboard, _p, prices: prices["cloudwatch_per_dashboard"]),
    "AWS::Lambda::EventSourceMapping": (
        "polls of the empty queue",
        lambda _template, _mapping, _parameters, prices: (
            _POLLS_PER_HOUR * prices["hours_per_month"] / 1e6 * prices["sqs_per_million_requests"]
        ),
    ),
    "AWS::EMRServerless::Application": (
        "Spark workers that are kept ready",
        lambda _template, application, _parameters, prices: _ready_workers(application, prices),
    ),
    "AWS::Lambda::Version": ("snapshots of the hot functions", _snapshot),
}
