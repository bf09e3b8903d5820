"""What a million requests cost: ``./nextbest cost``.

Durations are those that ``make bench`` measured (docs/performance.json); memory is the template's; read and write
units are counted here, by the local DynamoDB engine, while users read and write; prices are inputs in a dated file.
Prints the bill, and writes it to docs/cost.md.
"""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nextbest.aws.table import Table
from nextbest.domain.events import Event
from nextbest.domain.programs import Program
from nextbest.personalize.protocol.arns import CAMPAIGN, FILTER
from nextbest.store.dynamo import DynamoStore
from tools.benchmarks.idle import idle_bill
from tools.benchmarks.prices import Prices
from tools.benchmarks.report import put_between
from tools.benchmarks.world import draw_events
from tools.local.engines import start_engines
from tools.local.key import PARAMETERS, operator_key
from tools.local.processes import Processes
from tools.local.resources import create_resources, dynamodb_client
from tools.local.template import read_application, translated_template

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "template.yaml"
PERFORMANCE = ROOT / "docs" / "performance.json"
ACTIONS, HISTORY = 10_000, 100
MILLION = 1_000_000
GIGABYTE = 1e9
# One line of JSON for each request, as it is on the console of `make start`, with CloudWatch's 26 bytes of overhead.
LOG_BYTES = 450
LAMBDA_MEGABYTES_PER_CORE = 1769
SEED = 7


@dataclass(frozen=True, slots=True)
class Units:
    """DynamoDB capacity that one request takes, on average."""

    read: float
    write: float


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of request. ``milliseconds`` are billed at ``memory_megabytes``."""

    name: str
    milliseconds: float
    memory_megabytes: int
    units: Units


def bill(kind: Kind, prices: Prices, architecture: str) -> dict[str, float]:
    """Dollars for a million such requests, by service; ``architecture`` is that of the functions."""
    gigabytes = kind.memory_megabytes / 1024
    # Lambda bills whole milliseconds, and gives a share of a core below 1,769 MB.
    seconds = math.ceil(kind.milliseconds * max(1.0, LAMBDA_MEGABYTES_PER_CORE / kind.memory_megabytes)) / 1000
    return {
        "API Gateway": prices["api_gateway_http_per_million_requests"],
        "Lambda": prices["lambda_per_million_requests"]
        + MILLION * seconds * gigabytes * prices[f"lambda_{architecture}_per_gb_second"],
        "DynamoDB": kind.units.read * prices["dynamodb_per_million_read_units"]
        + kind.units.write * prices["dynamodb_per_million_write_units"],
        "CloudWatch Logs": MILLION * LOG_BYTES / GIGABYTE * prices["cloudwatch_logs_per_gb"],
    }


class Meter:
    """Counts the capacity that a client's calls take: every call requests ``ReturnConsumedCapacity``."""

    def __init__(self, table: Table) -> None:
        self.read = self.write = 0.0
        events = table.client.meta.events
        events.register("before-parameter-build.dynamodb", self._ask)
        events.register("after-call.dynamodb", self._count)

    def _ask(self, params: dict[str, Any], **_: object) -> None:
        params["ReturnConsumedCapacity"] = "TOTAL"

    def _count(self, model: Any, parsed: Mapping[str, Any], **_: object) -> None:
        consumed = parsed.get("ConsumedCapacity", [])
        units = sum(entry["CapacityUnits"] for entry in (consumed if isinstance(consumed, list) else [consumed]))
        if model.name in ("GetItem", "BatchGetItem", "Query", "Scan"):
            self.read += units
        else:
            self.write += units

    def per(self, requests: int, run: Callable[[], object]) -> Units:
        """What ``run`` takes, as an average over so many requests."""
        read, write = self.read, self.write
        run()
        return Units((self.read - read) / requests, (self.write - write) / requests)


def measured_units() -> dict[str, Units]:
    """Capacity of every kind of request, for a user of ``HISTORY`` events who acts once and then again and again."""
    processes = Processes()
    with tempfile.TemporaryDirectory(prefix="nextbest-cost-") as folder:
        state = Path(folder)
        try:
            engines = start_engines(processes, state=state, logs=state / "logs")
            application = read_application(TEMPLATE, parameters=PARAMETERS, queue_url=engines.queue_url)
            create_resources(application, engines)
            (name,) = application.tables
            table = Table(dynamodb_client(engines), name)
            return _units(table)
        finally:
            processes.close()


def _units(table: Table) -> dict[str, Units]:
    store, program = DynamoStore(table), Program("cost")
    store.create_program(program)
    key, _ = operator_key()
    store.put_access_key(key)
    store.create_resource(program.incarnation, FILTER, "filter", {"name": "filter"})
    now = time.time()
    events = draw_events("user", 6 * HISTORY, ACTIONS, np.random.default_rng(SEED), now)
    store.append(program, events[:HISTORY])
    meter = Meter(table)

    def read(*, resources: Sequence[tuple[str, str]] = (), access_key_id: str | None = None) -> Callable[[], object]:
        return lambda: store.read_user(program.incarnation, "user", access_key_id=access_key_id, resources=resources)

    def write(batch: int, posted: Sequence[Event]) -> Callable[[], object]:
        def run() -> None:
            for start in range(0, len(posted), batch):
                store.program_state(program.program_id)
                store.append(program, posted[start : start + batch])

        return run

    singles, tens = events[HISTORY : 3 * HISTORY], events[3 * HISTORY :]
    resources = [(CAMPAIGN, program.program_id), (FILTER, "filter")]
    return {
        "GET actions": meter.per(1, read()),
        "GetActionRecommendations, filter": meter.per(1, read(resources=resources, access_key_id=key.key_id)),
        "POST events, 1": meter.per(len(singles), write(1, singles)),
        "POST events, 10": meter.per(len(tens) // 10, write(10, tens)),
    }


def kinds(performance: Mapping[str, Any], memory_megabytes: Mapping[str, int]) -> list[Kind]:
    """Every kind of request with its measured duration and capacity."""
    units = measured_units()
    reads = {
        row["request"]: row["p50_ms"]
        for row in performance["warm"]
        if (row["actions"], row["events"]) == (ACTIONS, HISTORY)
    }
    writes = {row["events"]: row["p50_ms"] for row in performance["write"] if row["request"] == "POST events"}
    milliseconds = {
        "GET actions": reads["GET actions"],
        "GetActionRecommendations, filter": reads["GetActionRecommendations, filter"],
        "POST events, 1": writes[1],
        "POST events, 10": writes[10],
    }
    function = {"GET": "actions", "GetActionRecommendations,": "recommendations", "POST": "collect"}
    return [Kind(name, milliseconds[name], memory_megabytes[function[name.split()[0]]], units[name]) for name in units]


def text(
    found: Sequence[Kind],
    idle: Mapping[str, float],
    prices: Prices,
    conditions: Mapping[str, str],
    *,
    architecture: str,
) -> str:
    """The bill as Markdown."""
    bills = {kind.name: bill(kind, prices, architecture) for kind in found}
    services = list(next(iter(bills.values())))
    lines = [f"Prices of {prices.region}, {prices.as_of}. {prices.note}", ""]
    lines += [f"Durations: `make bench` of {conditions['date']} on {conditions['machine']}; medians.", ""]
    lines += [f"Functions on {architecture}, which the template takes by default.", ""]
    lines.append("### Dollars for a million requests")
    lines += ["", "| request | billed ms | MB | read units | write units | " + " | ".join(services) + " | **sum** |"]
    lines.append("|---|" + "---:|" * (len(services) + 5))
    for kind in found:
        costs = bills[kind.name]
        lines.append(
            f"| {kind.name} | {math.ceil(kind.milliseconds)} | {kind.memory_megabytes:,} | {kind.units.read:.1f} | "
            f"{kind.units.write:.1f} | "
            + " | ".join(f"{costs[service]:.2f}" for service in services)
            + f" | **{sum(costs.values()):.2f}** |"
        )
    lines += ["", "### Dollars a month", "", *monthly(bills, sum(idle.values()), prices)]
    lines += ["", "### Dollars a month without a request", "", "| what | dollars |", "|---|---:|"]
    lines += [f"| {name} | {dollars:.2f} |" for name, dollars in idle.items()]
    lines.append(f"| **sum** | **{sum(idle.values()):.2f}** |")
    lines += ["", "### Prices used", "", "| name | USD | source |", "|---|---:|---|"]
    lines += [f"| {name} | {price:g} | {source} |" for name, price, source in prices.sources()]
    return "\n".join(lines)


def monthly(bills: Mapping[str, Mapping[str, float]], idle: float, prices: Prices) -> list[str]:
    """The same traffic on Nextbest, on a Personalize campaign, and on servers that are always on."""
    read = sum(bills["GetActionRecommendations, filter"].values())
    write = sum(bills["POST events, 1"].values())
    servers = prices.hours * (
        2 * prices["server_t4g_medium_per_hour"]
        + prices["load_balancer_per_hour"]
        + prices["database_t4g_small_per_hour"]
    )
    lines = [
        "| recommendations, and as many events | Nextbest | Personalize campaign | two servers, balancer, database |",
        "|---:|---:|---:|---:|",
    ]
    for millions in (0, 0.1, 1, 10, 100):
        per_second = millions * MILLION / (prices.hours * 3600)
        campaign = prices.hours * max(1.0, per_second) * prices["personalize_per_tps_hour"]
        ours = idle + millions * (read + write)
        name = f"{millions * MILLION:,.0f}"
        lines.append(f"| {name} | {ours:,.2f} | {campaign:,.2f} | {servers:,.2f} |")
    return lines


def run(*, prices: Path, write_files: bool) -> None:
    """Print the bill, and write it to docs/cost.md if wanted. ``PERFORMANCE`` has to exist."""
    performance = json.loads(PERFORMANCE.read_text())
    application = read_application(TEMPLATE, parameters=PARAMETERS, queue_url=lambda name: name)
    memory = {function.name: function.memory_megabytes for function in application.functions}
    price_list = Prices(prices)
    template, values = translated_template(TEMPLATE, PARAMETERS)
    idle = idle_bill(template, values, price_list.by_name())
    bill_text = text(
        kinds(performance, memory), idle, price_list, performance["conditions"], architecture=values["Architecture"]
    )
    print(bill_text)
    if write_files:
        put_between(ROOT / "docs" / "cost.md", bill_text, command="make cost")
