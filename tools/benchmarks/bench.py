"""Latency of requests from gateway event to response, as ratios to two yardsticks: ``./nextbest bench``.

Every function runs under AWS's runtime interface emulator and the Lambda runtime client, against a local DynamoDB
engine. Measured in turns with ours, request by request:

    floor   a minimal function that gets one item of the same size with boto3 and returns JSON; numpy imported
    usual   a common design: FastAPI, Mangum, boto3's resource, one row per event, scoring the same model

Prints a table with its conditions, and writes it to docs/performance.md, docs/performance.json and a chart.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from tqdm import tqdm

from nextbest.aws.table import Table
from nextbest.store.artifacts import S3Artifacts
from nextbest.store.dynamo import DynamoStore
from tools.benchmarks import latency, report
from tools.benchmarks.report import Measured
from tools.benchmarks.world import World, build_world
from tools.local.engines import DYNOXIDE, Engines, start_engines
from tools.local.key import PARAMETERS, operator_key
from tools.local.processes import Processes
from tools.local.resources import create_resources, dynamodb_client, s3_client
from tools.local.template import Application, Function, read_application

ROOT = Path(__file__).resolve().parents[2]
YARDSTICKS = Path(__file__).with_name("yardsticks")
CATALOGUES = (100, 10_000, 100_000)
HISTORIES = (10, 100, 1000)
BATCHES = (1, 10, 1000)
MIDDLE_CATALOGUE, MIDDLE_HISTORY = 10_000, 100


@dataclass(frozen=True, slots=True)
class Functions:
    """What is measured. The yardsticks get the memory and variables of the function they are compared with."""

    actions: Function
    recommendations: Function
    collect: Function
    floor: Function
    usual: Function

    @classmethod
    def of(cls, application: Application) -> Functions:
        actions = application.function("actions")
        floor = replace(actions, name="floor", logical_id="Floor", code=YARDSTICKS / "floor", layers=())
        usual = replace(actions, name="usual", logical_id="Usual", code=YARDSTICKS / "usual")
        return cls(actions, application.function("recommendations"), application.function("collect"), floor, usual)

    def all(self) -> tuple[Function, ...]:
        return (self.actions, self.recommendations, self.collect, self.floor, self.usual)


class Bench:
    """One run: engines, worlds, and what was measured so far."""

    def __init__(self, state: Path, processes: Processes, *, rounds: int, now: float) -> None:
        self._logs = state / "logs"
        self._rounds = rounds
        self._now = now
        self._engines: Engines = start_engines(processes, state=state, logs=self._logs)
        application = read_application(ROOT / "template.yaml", parameters=PARAMETERS, queue_url=self._engines.queue_url)
        create_resources(application, self._engines)
        (table,) = application.tables
        self.functions = Functions.of(application)
        self._variables = self._engines.variables()
        self._table = Table(dynamodb_client(self._engines), table)
        bucket = self.functions.actions.variables["ARTIFACT_BUCKET"]
        self._artifacts = S3Artifacts(s3_client(self._engines), bucket)
        DynamoStore(self._table).put_access_key(operator_key()[0])

    def world(self, actions: int) -> World:
        """A program with so many actions."""
        # So that no user is read again where each request has another.
        users = 2 * (self._rounds + latency.SETTLE_ROUNDS)
        return build_world(
            self._table, self._artifacts, actions=actions, histories=HISTORIES, users=users, now=self._now
        )

    def reads(self, world: World) -> list[Measured]:
        """Warm reads for every length of history, of a user that was not read before and of one who was, and the
        memory they took."""
        functions, measured = self.functions, list[Measured]()
        with latency.environments(functions.all(), self._variables, self._logs) as (running, _):
            for history in HISTORIES:
                times = latency.warm(running, self._read_calls(world, history), rounds=self._rounds)
                measured += [Measured("warm", name, world.actions, history, taken) for name, taken in times.items()]
            sizes = {
                "floor": functions.floor,
                "usual": functions.usual,
                "GET actions": functions.actions,
                "GetActionRecommendations": functions.recommendations,
            }
            memory = {name: latency.memory_megabytes(function) for name, function in sizes.items()}
        return [replace(row, memory_megabytes=memory.get(row.request)) for row in measured]

    def writes(self, world: World) -> list[Measured]:
        """Warm ``POST /events`` for every size of batch; the floor is measured too, though it writes nothing."""
        functions, measured = self.functions, list[Measured]()
        with latency.environments(functions.all(), self._variables, self._logs) as (running, _):
            for count in BATCHES:
                calls = {
                    "floor": latency.get_actions(functions.floor, world, MIDDLE_HISTORY),
                    "usual": latency.post_events(functions.usual, world, count, now=self._now),
                    "POST events": latency.post_events(functions.collect, world, count, now=self._now),
                }
                rounds = self._rounds if count < 100 else max(10, self._rounds // 10)
                times = latency.warm(running, calls, rounds=rounds, settle=3)
                measured += [Measured("write", name, world.actions, count, taken) for name, taken in times.items()]
        return measured

    def cold(self, world: World, *, rounds: int) -> list[Measured]:
        """From the start of a process to its first response."""
        calls = self._read_calls(world, MIDDLE_HISTORY)
        times = latency.cold(calls, self._variables, self._logs, rounds=rounds)
        return [Measured("cold", name, world.actions, MIDDLE_HISTORY, taken) for name, taken in times.items()]

    def imports(self, *, rounds: int) -> list[Measured]:
        """Importing each function's module, in processes of their own."""
        functions = self.functions
        named = {"floor": functions.floor, "usual": functions.usual, "GET actions": functions.actions}
        named["GetActionRecommendations"] = functions.recommendations
        times: dict[str, list[float]] = {name: [] for name in named}
        for _ in range(rounds):
            for name, function in named.items():
                times[name].append(import_milliseconds(function, self._variables))
        return [Measured("import", name, 0, 0, latency.Times(tuple(sorted(taken)))) for name, taken in times.items()]

    def _read_calls(self, world: World, history: int) -> Mapping[str, latency.Call]:
        functions = self.functions
        calls = {
            "floor": latency.get_actions(functions.floor, world, history),
            "usual": latency.get_actions(functions.usual, world, history),
        }
        for suffix, same_user in (("", False), (", read again", True)):
            calls["GET actions" + suffix] = latency.get_actions(functions.actions, world, history, same_user=same_user)
            for name, filtered in (("GetActionRecommendations", False), ("GetActionRecommendations, filter", True)):
                calls[name + suffix] = latency.get_action_recommendations(
                    functions.recommendations, world, history, filtered=filtered, same_user=same_user
                )
        return calls


def import_milliseconds(function: Function, variables: Mapping[str, str]) -> float:
    """Time of ``import app`` in a fresh interpreter, as the Lambda runtime client does it."""
    probe = "import time; began = time.perf_counter(); import app; print(1000 * (time.perf_counter() - began))"
    folders = os.pathsep.join(str(folder) for folder in (function.code, *function.layers))
    environment = {"PATH": os.defpath, **function.variables, **variables, "PYTHONPATH": folders}
    ran = subprocess.run([sys.executable, "-c", probe], env=environment, capture_output=True, text=True, check=True)
    return float(ran.stdout.splitlines()[-1])


def conditions(rounds: int, cold_rounds: int) -> dict[str, str]:
    """The conditions that the figures depend on."""
    with Path("/proc/cpuinfo").open() as lines:
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{os.cpu_count()} cores, {model}, {platform.machine()}",
        "python": f"{platform.python_version()}, numpy {version('numpy')}, botocore {version('botocore')}",
        "runtime": f"aws-lambda-rie of SAM CLI {version('aws-sam-cli')}, awslambdaric {version('awslambdaric')}",
        "engine": "dynoxide" if DYNOXIDE.exists() else "ministack",
        "rounds": f"{rounds} warm requests of each kind, {cold_rounds} cold starts, all kinds in turns",
        "load": f"load average {os.getloadavg()[0]:.1f} at the start",
    }


def run(*, rounds: int, cold_rounds: int, catalogues: Sequence[int], write_files: bool) -> None:
    """Measure, print the tables, and write them to docs/ if wanted."""
    described = conditions(rounds, cold_rounds)
    measured: list[Measured] = []
    processes = Processes()
    with tempfile.TemporaryDirectory(prefix="nextbest-bench-") as folder:
        (Path(folder) / "logs").mkdir()
        try:
            bench = Bench(Path(folder), processes, rounds=rounds, now=time.time())
            steps = tqdm(total=len(catalogues) + 3, unit="step", desc="bench", disable=not sys.stderr.isatty())
            for actions in catalogues:
                world = bench.world(actions)
                measured += bench.reads(world)
                steps.update()
                if actions == MIDDLE_CATALOGUE:
                    measured += bench.cold(world, rounds=cold_rounds)
                    steps.update()
                    measured += bench.writes(world)
                    steps.update()
            measured += bench.imports(rounds=cold_rounds)
            steps.close()
        finally:
            processes.close()
    print(report.text(described, measured))
    if write_files:
        report.write(ROOT / "docs", described, measured)
