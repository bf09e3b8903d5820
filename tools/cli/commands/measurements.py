"""Commands that measure: the quality of recommendations, latency, load over minutes, and cost."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tools.cli.commands.options import add_command, add_event_files, add_state, row_rules

if TYPE_CHECKING:
    from tools.cli.commands.options import Commands


def add_commands(commands: Commands) -> None:
    """Add the commands of this file."""
    _add_evaluate(commands)
    _add_bench(commands)
    _add_bench_training(commands)
    _add_bench_scale(commands)
    _add_bench_segments(commands)
    _add_bench_filters(commands)
    _add_bench_inbox(commands)
    _add_soak(commands)
    _add_cost(commands)


def _add_evaluate(commands: Commands) -> None:
    command = add_command(commands, "evaluate", "compare our model with the classic methods on files of events")
    add_event_files(command)
    command.add_argument("--test-share", type=float, default=0.1, help="share of the events in the test window")
    command.add_argument("--time-budget-seconds", type=float, help="time to train in (default: that of a rebase)")
    command.add_argument("--users", type=int, default=3000, help="most users to judge on, drawn at random")
    command.add_argument(
        "--targets",
        choices=("window", "next"),
        default="window",
        help="what to predict: all of the test window (default), or the first visit in it",
    )
    command.add_argument("--seed", type=int, default=1)
    command.add_argument("--plots", type=Path, help="folder for the PNG plots")
    command.add_argument("--json", type=Path, help="file for the table and the training report")
    command.set_defaults(run=_evaluate)


def _evaluate(options: argparse.Namespace) -> int:
    from nextbest.errors import FileUnusable
    from nextbest.training.plan import TIME_BUDGET_SECONDS
    from tools.cli.event_files import expand_files
    from tools.evaluation.evaluate import NOT_EVALUATED, run

    rules = row_rules(options, time.time())
    try:
        files = expand_files(options.files)
    except FileUnusable as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return NOT_EVALUATED
    return run(
        files,
        rules,
        test_share=options.test_share,
        time_budget_seconds=options.time_budget_seconds or TIME_BUDGET_SECONDS,
        users=options.users,
        targets=options.targets,
        seed=options.seed,
        plots=options.plots,
        json_file=options.json,
        allow_rejects=options.allow_rejects,
    )


def _add_bench(commands: Commands) -> None:
    command = add_command(commands, "bench", "latency of requests, as ratios to two yardsticks measured beside them")
    command.add_argument("--rounds", type=int, default=300, help="warm requests of each kind (default: %(default)s)")
    command.add_argument("--cold-rounds", type=int, default=10, help="cold starts of each function (default: 10)")
    command.add_argument(
        "--catalogues", type=int, nargs="+", metavar="ACTIONS", help="sizes of catalogue (default: 100 10000 100000)"
    )
    _add_no_files(command)
    command.set_defaults(run=_bench)
    _add_bench_spark(command.add_subparsers(title="instead", metavar="spark"))


def _add_rebase_size(command: argparse.ArgumentParser, *, events: int, users: int, actions: int) -> None:
    """How much a benchmark of a rebase draws, and how long it trains."""
    command.add_argument("--events", type=int, default=events, help="(default: %(default)s)")
    command.add_argument("--users", type=int, default=users, help="(default: %(default)s)")
    command.add_argument("--actions", type=int, default=actions, help="(default: %(default)s)")
    command.add_argument(
        "--train-seconds", type=float, default=300.0, help="time budget of the training; 0: none (default: %(default)s)"
    )


def _add_bench_spark(commands: Commands) -> None:
    command = add_command(commands, "spark", "time, memory and shuffled bytes of a rebase on Spark")
    _add_rebase_size(command, events=20_000_000, users=1_000_000, actions=20_000)
    command.add_argument("--cores", type=int, default=2, help="(default: %(default)s)")
    command.add_argument("--no-segments", dest="segments", action="store_false", help="do not score everybody")
    command.add_argument(
        "--memory-megabytes", type=int, default=8192, help="what all processes may take (default: %(default)s)"
    )
    command.add_argument(
        "--java-megabytes", type=int, default=2048, help="heap of Spark's process, a part of it (default: %(default)s)"
    )
    command.set_defaults(run=_bench_spark)


def _bench_spark(options: argparse.Namespace) -> int:
    from tools.local.job_runs import missing_of_spark

    if reason := missing_of_spark():
        print(reason, file=sys.stderr)
        return 2
    from tools.benchmarks.spark import run

    return run(
        events=options.events,
        users=options.users,
        actions=options.actions,
        cores=options.cores,
        train_seconds=options.train_seconds,
        segments=options.segments,
        memory_megabytes=options.memory_megabytes,
        java_megabytes=options.java_megabytes,
    )


def _bench(options: argparse.Namespace) -> int:
    from tools.benchmarks.bench import CATALOGUES, run

    run(
        rounds=options.rounds,
        cold_rounds=options.cold_rounds,
        catalogues=options.catalogues or CATALOGUES,
        write_files=options.files,
    )
    return 0


def _add_bench_training(commands: Commands) -> None:
    command = add_command(commands, "bench-training", "time and memory of training on synthetic events")
    command.add_argument("--events", type=int, default=600_000, help="(default: %(default)s)")
    command.add_argument("--actions", type=int, default=12_000, help="(default: %(default)s)")
    command.add_argument("--users", type=int, default=12_000, help="(default: %(default)s)")
    command.set_defaults(run=_bench_training)


def _bench_training(options: argparse.Namespace) -> int:
    from tools.benchmarks.training import run

    run(events=options.events, actions=options.actions, users=options.users)
    return 0


def _add_bench_scale(commands: Commands) -> None:
    command = add_command(commands, "bench-scale", "time and memory of the stages of a rebase of millions of events")
    _add_rebase_size(command, events=1_000_000, users=100_000, actions=5_000)
    command.set_defaults(run=_bench_scale)


def _bench_scale(options: argparse.Namespace) -> int:
    from tools.benchmarks.scale import run

    run(events=options.events, users=options.users, actions=options.actions, train_seconds=options.train_seconds)
    return 0


def _add_bench_segments(commands: Commands) -> None:
    command = add_command(commands, "bench-segments", "time and memory of what is asked of the segments of many users")
    command.add_argument("--users", type=int, default=1_000_000, help="(default: %(default)s)")
    command.add_argument("--part-users", type=int, default=10_000, help="users of one part (default: %(default)s)")
    command.add_argument("--actions", type=int, default=100_000, help="(default: %(default)s)")
    command.add_argument("--read-ms", type=float, default=0.0, help="a wait for each read (default: %(default)s)")
    command.add_argument("--folder", help="where there is room for 4 kB a user (default: the system's)")
    command.set_defaults(run=_bench_segments)


def _bench_segments(options: argparse.Namespace) -> int:
    from tools.benchmarks.segments import run

    run(
        users=options.users,
        part_users=options.part_users,
        actions=options.actions,
        read_ms=options.read_ms,
        folder=options.folder,
    )
    return 0


def _add_bench_filters(commands: Commands) -> None:
    command = add_command(commands, "bench-filters", "time of one filter expression over a catalogue")
    command.add_argument("--actions", type=int, default=10_000, help="size of the catalogue (default: %(default)s)")
    command.add_argument("--rounds", type=int, default=300, help="evaluations of each kind (default: %(default)s)")
    command.set_defaults(run=_bench_filters)


def _bench_filters(options: argparse.Namespace) -> int:
    from tools.benchmarks.filters import run

    run(actions=options.actions, rounds=options.rounds)
    return 0


def _add_bench_inbox(commands: Commands) -> None:
    command = add_command(commands, "bench-inbox", "how fast the running local stack stores a file of its inbox")
    command.add_argument("--program", default="demo", help="an existing program (default: %(default)s)")
    command.add_argument("--rows", type=int, default=200_000, help="(default: %(default)s)")
    command.add_argument("--users", type=int, default=5_000, help="(default: %(default)s)")
    command.add_argument("--assets", type=int, default=1_000, help="(default: %(default)s)")
    add_state(command)
    command.set_defaults(run=_bench_inbox)


def _bench_inbox(options: argparse.Namespace) -> int:
    from tools.benchmarks.inbox import run
    from tools.cli.deployment import OperationFailed, local_deployment

    try:
        deployment = local_deployment(options.state)
    except OperationFailed as error:
        print(error, file=sys.stderr)
        return 2
    report = run(deployment, options.program, rows=options.rows, users=options.users, assets=options.assets)
    return 0 if report["status"] == "done" else 1


def _add_soak(commands: Commands) -> None:
    command = add_command(commands, "soak", "mixed load on a new local stack, then a check that no event is missing")
    command.add_argument("--minutes", type=float, default=10.0, help="(default: %(default)s)")
    command.add_argument("--clients", type=int, default=4, help="clients at the same time (default: %(default)s)")
    command.set_defaults(run=_soak)


def _soak(options: argparse.Namespace) -> int:
    from tools.benchmarks.soak import run

    return run(minutes=options.minutes, clients=options.clients)


def _add_cost(commands: Commands) -> None:
    command = add_command(commands, "cost", "a million requests in dollars, from what `bench` measured")
    command.add_argument("--prices", type=Path, help="file of prices (default: tools/benchmarks/prices-2026-11.json)")
    _add_no_files(command)
    command.set_defaults(run=_cost)


def _cost(options: argparse.Namespace) -> int:
    from tools.benchmarks.cost import PERFORMANCE, run
    from tools.benchmarks.prices import PRICES

    if not PERFORMANCE.exists():
        print("docs/performance.json does not exist yet: run `make bench` first", file=sys.stderr)
        return 2
    run(prices=options.prices or PRICES, write_files=options.files)
    return 0


def _add_no_files(command: argparse.ArgumentParser) -> None:
    command.add_argument("--no-files", dest="files", action="store_false", help="print only; leave docs/ as it is")
