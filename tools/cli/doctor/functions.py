"""The functions: whether they run, on what they were built for, and what their old versions cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nextbest.logic.health import Finding
from tools.benchmarks.prices import PRICES, Prices, snapshot_dollars
from tools.cli.deployment import Deployment, Stack

_LATEST = "$LATEST"


def check_functions(deployment: Deployment, stack: Stack) -> Iterator[Finding]:
    """Whether each function runs, fits its layers, and is called at the version that was deployed last."""
    client = deployment.client("lambda")
    prices = Prices(PRICES).by_name()
    for name in stack.physical_ids("AWS::Lambda::Function"):
        configuration = client.get_function_configuration(FunctionName=name)
        yield _state(name, configuration)
        yield from _architecture(client, name, configuration)
        aliases = [
            alias for alias in client.list_aliases(FunctionName=name)["Aliases"] if alias["FunctionVersion"] != _LATEST
        ]
        if aliases:
            pages = client.get_paginator("list_versions_by_function").paginate(FunctionName=name)
            versions = [version for page in pages for version in page["Versions"] if version["Version"] != _LATEST]
            yield from _versions(name, aliases, versions)
            yield from _snapshots(name, aliases, versions, prices, deployment.session.region_name or "")


def _state(name: str, configuration: Mapping[str, Any]) -> Finding:
    state, update = configuration.get("State", "?"), configuration.get("LastUpdateStatus", "?")
    is_ok = state in ("Active", "Inactive") and update == "Successful"
    return Finding(f"function {name}", f"{state}, last update {update}", "" if is_ok else "deploy again")


def _architecture(client: Any, name: str, configuration: Mapping[str, Any]) -> Iterator[Finding]:
    (architecture,) = configuration["Architectures"]
    for layer in configuration.get("Layers", []):
        built_for = client.get_layer_version_by_arn(Arn=layer["Arn"]).get("CompatibleArchitectures", [])
        fix = f"./nextbest build --architecture {architecture}, and deploy" if architecture not in built_for else ""
        yield Finding(f"function {name}", f"runs on {architecture}, its layer on {' and '.join(built_for)}", fix)


def _versions(name: str, aliases: list[Any], versions: list[Any]) -> Iterator[Finding]:
    newest = max(int(version["Version"]) for version in versions)
    for alias in aliases:
        shifting = alias.get("RoutingConfig", {}).get("AdditionalVersionWeights")
        if int(alias["FunctionVersion"]) != newest and not shifting:
            state = f"{alias['Name']} is version {alias['FunctionVersion']}, and the newest is {newest}"
            yield Finding(f"function {name}", state, "it was rolled back by hand: deploy a version that is fixed")


def _snapshots(
    name: str, aliases: list[Any], versions: list[Any], prices: Mapping[str, float], region: str
) -> Iterator[Finding]:
    used = {alias["FunctionVersion"] for alias in aliases}
    used |= {
        version for alias in aliases for version in alias.get("RoutingConfig", {}).get("AdditionalVersionWeights", {})
    }
    snapshots = [version for version in versions if version["SnapStart"]["ApplyOn"] == "PublishedVersions"]
    old = [version for version in snapshots if version["Version"] not in used]
    for version in snapshots:
        if version["Version"] in used and version["SnapStart"]["OptimizationStatus"] != "On":
            state = f"version {version['Version']} has no snapshot, though SnapStart is on"
            fix = f"the region {region} may not have SnapStart: deploy with SnapStart=None (docs/operations.md)"
            yield Finding(f"function {name}", state, fix)
    if snapshots:
        dollars = sum(snapshot_dollars(version["MemorySize"], prices) for version in snapshots)
        wasted = sum(snapshot_dollars(version["MemorySize"], prices) for version in old)
        state = f"{len(snapshots)} snapshots, {dollars:.2f} USD a month; {len(old)} of old versions, {wasted:.2f} USD"
        numbers = " ".join(version["Version"] for version in old)
        fix = f"for n in {numbers}; do aws lambda delete-function --function-name {name} --qualifier $n; done"
        yield Finding(f"function {name}", state, fix if old else "")
