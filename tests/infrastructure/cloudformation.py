"""The template as CloudFormation gets it, and a few questions that tests ask of it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3
from samcli.commands._utils.template import get_template_data
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "template.yaml"
REGION = "us-east-1"
FUNCTIONS = ("actions", "collect", "console", "decisions", "ingest", "manage", "rebase", "recommendations")
HOT_FUNCTIONS = ("actions", "recommendations")

Document = dict[str, Any]


def read_template() -> Document:
    """The template as written."""
    document: Document = get_template_data(str(TEMPLATE))
    return document


def translate(edit: Callable[[Document], None] = lambda _: None) -> Document:
    """The template translated by AWS's own transform, after ``edit``; code stands in S3, as after `sam package`."""
    document = copy.deepcopy(read_template())
    for name, resource in document["Resources"].items():
        for key in ("CodeUri", "ContentUri"):
            if key in resource["Properties"]:
                resource["Properties"][key] = f"s3://packaged/{name}"
    edit(document)
    values = {name: parameter.get("Default", "x" * 32) for name, parameter in document["Parameters"].items()}
    session = boto3.Session(region_name=REGION)
    translated: Document = Translator({}, Parser(), boto_session=session).translate(document, values)
    return translated


def of_type(template: Document, kind: str) -> dict[str, Document]:
    """Resources of one type: logical id → whole resource."""
    return {name: resource for name, resource in template["Resources"].items() if resource["Type"] == kind}


def the_only(template: Document, kind: str) -> Document:
    """The one resource of a type."""
    (resource,) = of_type(template, kind).values()
    return resource


def logical_id(function: str) -> str:
    """Logical id of the function in folder ``function``."""
    return f"{function.capitalize()}Function"


def as_list(value: object) -> list[Any]:
    """CloudFormation takes one or a list in many places."""
    return value if isinstance(value, list) else [value]


def statements(template: Document) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every policy statement of the template that names resources, with the logical id of what holds it."""
    for name, resource in template["Resources"].items():
        properties = resource.get("Properties", {})
        documents = [policy["PolicyDocument"] for policy in properties.get("Policies", [])]
        if "PolicyDocument" in properties:
            documents.append(properties["PolicyDocument"])
        for document in documents:
            for statement in as_list(document["Statement"]):
                yield name, statement
