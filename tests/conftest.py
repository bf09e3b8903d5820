"""What every layer of tests shares: generated examples that are the same on every machine, and who runs which tests.

``pytest`` runs one test after another. With workers (``-n 2 --dist loadfile --no-loadscope-reorder``, pytest-xdist)
the files of tests that share something expensive, as a running stack, stay together in one of them, and what takes
longest starts first. Groups are told by names of files: pytest-xdist's own marks do nothing with pytest 9.2
(https://github.com/pytest-dev/pytest-xdist/issues/1386).
"""

from __future__ import annotations

import os
from pathlib import PurePosixPath

import pytest
from coverage import Coverage
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from tests.coverage_report import lines as coverage_lines
from tools.local.engines import ACCOUNT_ID

# The gate must say the same of the same commit. To search further: pytest --hypothesis-profile=default
settings.register_profile("gate", derandomize=True)
settings.load_profile("gate")

STACK, ECHO_STACK, DEPLOYMENT, BROWSER, SPARK = "stack", "echo stack", "deployment", "browser", "spark"
ON_THE_ECHO_STACK = {"test_gateway", "test_local_invocations", "test_local_lifecycle"}
ON_STACKS_OF_THEIR_OWN = {"test_local_durability", "test_spark_rebase"}
LONGEST_FIRST = (
    "contract",
    "browser",
    "deployment",
    "faults",
    "spark",
    "quality",
    "property",
    "store",
    "infrastructure",
    "functions",
    "unit",
)
IN_A_WORKER = "PYTEST_XDIST_WORKER" in os.environ

# Before numpy is imported. What tests learn is small: threads would cost more than they do, above all on busy cores.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Before moto is imported: resources have the account of the local stack, which ARNs are resolved with.
os.environ["MOTO_ACCOUNT_ID"] = ACCOUNT_ID


def group_of(node_id: str) -> str:
    """What a test shares with others that run in the same worker; its file, if nothing else."""
    file = PurePosixPath(node_id.partition("::")[0])
    match file.parent.name:
        case "faults":
            return DEPLOYMENT
        case "spark":
            return SPARK
        case "browser":
            return BROWSER
        case "contract" if file.stem in ON_THE_ECHO_STACK:
            return ECHO_STACK
        case "contract" if file.stem not in ON_STACKS_OF_THEIR_OWN:
            return STACK
    return str(file)


class GroupScheduling(LoadFileScheduling):  # type: ignore[misc]  # pytest-xdist has no types
    """A worker takes all tests of a group, then the next group."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> GroupScheduling | None:
    """pytest-xdist asks for what distributes the tests."""
    return GroupScheduling(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In workers, let what takes longest start first."""
    if IN_A_WORKER:
        items.sort(key=_place)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """With ``--cov``: a line for each package."""
    data = config.rootpath / ".coverage"
    if config.getoption("cov_source", None) and data.exists():
        coverage = Coverage(data_file=str(data))
        coverage.load()
        terminalreporter.section("coverage")
        for line in coverage_lines(coverage):
            terminalreporter.write_line(line)


def _place(item: pytest.Item) -> tuple[int, int]:
    group, folder = group_of(item.nodeid), item.path.parent.name
    shared = (STACK, DEPLOYMENT, BROWSER, SPARK, ECHO_STACK)
    return (
        shared.index(group) if group in shared else len(shared),
        LONGEST_FIRST.index(folder) if folder in LONGEST_FIRST else len(LONGEST_FIRST),
    )
