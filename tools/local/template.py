"""``template.yaml`` as the local stack needs it: translated by AWS's own SAM translator, references resolved.

The template is the one source of names, keys, timeouts and environment variables; nothing is repeated here.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from samcli.commands._utils.template import get_template_data
from samcli.lib.intrinsic_resolver.intrinsic_property_resolver import IntrinsicResolver
from samcli.lib.intrinsic_resolver.intrinsics_symbol_table import IntrinsicsSymbolTable
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

from tools.local.engines import ACCOUNT_ID, REGION

# The translator requires code in S3; this bucket name marks paths of the work tree, in this module only.
_WORK_TREE = "work-tree"

Properties = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Function:
    """One Lambda function. ``name`` is the name of its folder, ``code`` and ``layers`` are absolute folders."""

    name: str
    logical_id: str
    handler: str
    code: Path
    layers: tuple[Path, ...]
    timeout_seconds: int
    memory_megabytes: int
    variables: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class QueueSource:
    """An SQS event source mapping: which function consumes which queue, and how."""

    queue: str
    function: str
    batch_size: int
    reports_item_failures: bool


@dataclass(frozen=True, slots=True)
class ObjectSource:
    """A rule for new objects of a bucket: which function is told of those under a prefix."""

    bucket: str
    prefix: str
    function: str


@dataclass(frozen=True, slots=True)
class LogSource:
    """A subscription to a log: which function is told of the lines of ``function`` that match ``pattern``."""

    function: str
    pattern: str
    destination: str


@dataclass(frozen=True, slots=True)
class JobRunSource:
    """A rule for job runs of Spark applications: which function is told of those that come into one of these states."""

    applications: tuple[str, ...]
    states: tuple[str, ...]
    function: str


@dataclass(frozen=True, slots=True)
class Application:
    """The parts of the template that run locally. Tables, buckets and queues are keyed by their names.

    ``spark_applications`` are the ids of those on EMR Serverless.
    """

    functions: tuple[Function, ...]
    tables: Mapping[str, Properties]
    buckets: Mapping[str, Properties]
    queues: Mapping[str, Properties]
    queue_sources: tuple[QueueSource, ...]
    object_sources: tuple[ObjectSource, ...] = ()
    log_sources: tuple[LogSource, ...] = ()
    spark_applications: tuple[str, ...] = ()
    job_run_sources: tuple[JobRunSource, ...] = ()

    def function(self, name: str) -> Function:
        """The function with this folder name, logical id or ARN (with or without an alias); KeyError if none."""
        wanted = name.split(":function:")[-1].split(":")[0]
        for function in self.functions:
            if wanted in (function.name, function.logical_id):
                return function
        raise KeyError(f"no function {name!r}; there are {', '.join(f.name for f in self.functions)}")


def read_application(template: Path, *, parameters: Mapping[str, str], queue_url: Callable[[str], str]) -> Application:
    """Translate a SAM template and resolve its references to local names.

    ``parameters`` override the template's defaults where it declares them. ``queue_url`` gives the URL of a queue by
    its name. Raises ValueError if the local stack cannot run the template.
    """
    translated, values = translated_template(template, parameters)
    resources = translated["Resources"]
    names = {logical_id: _physical_name(logical_id, resource["Type"]) for logical_id, resource in resources.items()}
    symbols = {
        logical_id: _symbols(resource, names[logical_id], queue_url) for logical_id, resource in resources.items()
    }
    pseudo = {"AWS::AccountId": ACCOUNT_ID, "AWS::Region": REGION, "AWS::StackName": "local", "AWS::Partition": "aws"}
    table = IntrinsicsSymbolTable(template=translated, logical_id_translator={**symbols, **values, **pseudo})
    resolver = IntrinsicResolver(template=translated, symbol_resolver=table)

    def of_type(kind: str) -> dict[str, dict[str, Any]]:
        return {
            logical_id: resolver.intrinsic_property_resolver(resource.get("Properties", {}), ignore_errors=True)
            for logical_id, resource in resources.items()
            if resource["Type"] == kind and is_there(resource)
        }

    def is_there(resource: Properties) -> bool:
        if "Condition" not in resource:
            return True
        chosen = {"Fn::If": [resource["Condition"], "there", "not there"]}
        return bool(resolver.intrinsic_property_resolver(chosen, ignore_errors=False) == "there")

    writers = {
        properties["LoggingConfig"]["LogGroup"]: logical_id
        for logical_id, properties in of_type("AWS::Lambda::Function").items()
        if "LogGroup" in properties.get("LoggingConfig", {})
    }
    layers = {
        logical_id: _folder(template, properties["Content"])
        for logical_id, properties in of_type("AWS::Lambda::LayerVersion").items()
    }
    return Application(
        functions=tuple(
            _function(template, logical_id, properties, layers)
            for logical_id, properties in of_type("AWS::Lambda::Function").items()
        ),
        tables={names[key]: properties for key, properties in of_type("AWS::DynamoDB::Table").items()},
        buckets={names[key]: properties for key, properties in of_type("AWS::S3::Bucket").items()},
        queues={names[key]: properties for key, properties in of_type("AWS::SQS::Queue").items()},
        queue_sources=tuple(
            QueueSource(
                queue=properties["EventSourceArn"].rsplit(":", 1)[-1],
                function=properties["FunctionName"],
                batch_size=int(properties.get("BatchSize", 10)),
                reports_item_failures="ReportBatchItemFailures" in properties.get("FunctionResponseTypes", ()),
            )
            for properties in of_type("AWS::Lambda::EventSourceMapping").values()
            if ":sqs:" in properties["EventSourceArn"]
        ),
        object_sources=tuple(
            ObjectSource(bucket, key["prefix"], target["Arn"])
            for properties in of_type("AWS::Events::Rule").values()
            if properties["EventPattern"].get("source") == ["aws.s3"]
            for bucket in properties["EventPattern"]["detail"]["bucket"]["name"]
            for key in properties["EventPattern"]["detail"]["object"]["key"]
            for target in properties["Targets"]
        ),
        log_sources=tuple(
            LogSource(writers[properties["LogGroupName"]], properties["FilterPattern"], properties["DestinationArn"])
            for properties in of_type("AWS::Logs::SubscriptionFilter").values()
        ),
        spark_applications=tuple(
            str(symbols[logical_id]["Ref"]) for logical_id in of_type("AWS::EMRServerless::Application")
        ),
        job_run_sources=tuple(
            JobRunSource(tuple(detail["applicationId"]), tuple(detail["state"]), target["Arn"])
            for properties in of_type("AWS::Events::Rule").values()
            if properties["EventPattern"].get("source") == ["aws.emr-serverless"]
            for detail in [properties["EventPattern"]["detail"]]
            for target in properties["Targets"]
        ),
    )


def translated_template(template: Path, parameters: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """A SAM template as CloudFormation gets it, and the value of each of its parameters.

    ``parameters`` override the template's defaults where it declares them. Raises ValueError for one without a value.
    """
    document = get_template_data(str(template))
    declared = document.get("Parameters", {})
    values = {name: spec["Default"] for name, spec in declared.items() if "Default" in spec}
    values |= {name: value for name, value in parameters.items() if name in declared}
    missing = sorted(declared.keys() - values.keys())
    if missing:
        raise ValueError(f"{template.name}: no value for the parameters {', '.join(missing)}")
    return _translate(document, values), values


def _translate(document: dict[str, Any], parameters: Mapping[str, str]) -> dict[str, Any]:
    document = copy.deepcopy(document)
    for resource in document["Resources"].values():
        for key in ("CodeUri", "ContentUri"):
            if key in resource.get("Properties", {}):
                resource["Properties"][key] = f"s3://{_WORK_TREE}/{resource['Properties'][key].strip('./')}"
    translator = Translator({}, Parser(), boto_session=boto3.Session(region_name=REGION))
    translated: dict[str, Any] = translator.translate(document, dict(parameters))
    return translated


def _physical_name(logical_id: str, kind: str) -> str:
    """The logical id, since the template leaves names to CloudFormation; buckets must be in lower case."""
    return f"{logical_id.lower()}-local" if kind == "AWS::S3::Bucket" else logical_id


def _symbols(resource: Properties, name: str, queue_url: Callable[[str], str]) -> dict[str, str]:
    """What ``Ref`` and ``Fn::GetAtt`` give for one resource."""
    match resource["Type"]:
        case "AWS::SQS::Queue":
            url = queue_url(name)
            arn = f"arn:aws:sqs:{REGION}:{ACCOUNT_ID}:{name}"
            return {"Ref": url, "QueueUrl": url, "Arn": arn, "QueueName": name}
        case "AWS::S3::Bucket":
            return {"Ref": name, "Arn": f"arn:aws:s3:::{name}"}
        case "AWS::DynamoDB::Table":
            return {"Ref": name, "Arn": f"arn:aws:dynamodb:{REGION}:{ACCOUNT_ID}:table/{name}"}
        case "AWS::Lambda::Function":
            return {"Ref": name, "Arn": f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:{name}"}
        case "AWS::Lambda::Alias":
            function, alias = resource["Properties"]["FunctionName"]["Ref"], resource["Properties"]["Name"]
            return {"Ref": f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:{function}:{alias}"}
        case "AWS::EMRServerless::Application":
            application_id = name.lower()
            arn = f"arn:aws:emr-serverless:{REGION}:{ACCOUNT_ID}:/applications/{application_id}"
            return {"Ref": application_id, "ApplicationId": application_id, "Arn": arn}
        case "AWS::IAM::Role":
            return {"Ref": name, "Arn": f"arn:aws:iam::{ACCOUNT_ID}:role/{name}"}
        case _:
            return {"Ref": name, "Arn": f"arn:aws:local:{REGION}:{ACCOUNT_ID}:{name}"}


def _function(template: Path, logical_id: str, properties: Properties, layers: Mapping[str, Path]) -> Function:
    code = _folder(template, properties["Code"])
    variables = properties.get("Environment", {}).get("Variables", {})
    return Function(
        name=code.name,
        logical_id=logical_id,
        handler=properties["Handler"],
        code=code,
        layers=tuple(layers[layer] for layer in properties.get("Layers", ()) if layer in layers),
        timeout_seconds=int(properties.get("Timeout", 3)),
        memory_megabytes=int(properties.get("MemorySize", 128)),
        variables={name: str(value) for name, value in variables.items()},
    )


def _folder(template: Path, location: Properties) -> Path:
    if location.get("S3Bucket") != _WORK_TREE:
        raise ValueError(f"{template.name}: code that is not a folder of the work tree: {location}")
    return (template.parent / str(location["S3Key"])).resolve()
