"""The folders of the library and what each may import: the list reads downward, and no import points upward."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.infrastructure.cloudformation import ROOT

LIBRARY = ROOT / "layers" / "nextbest" / "nextbest"

PURE = {"domain", "filters", "scoring", "training", "lift"}
SHARED = {"errors", "observability"}
"""Modules of the library's root that any folder may import; ``history`` is there for those outside the library."""

# A row a folder: what it may import of the library besides itself and SHARED.
MAY_IMPORT = {
    "console": {"personalize.datasets", "web", "logic", "store", "scoring", "filters", "domain"},
    "actionhub": {"web", "logic", "store", "scoring", "domain"},
    "personalize.control": {
        *("personalize.runtime", "personalize.jobs", "personalize.datasets", "personalize.protocol"),
        *("web", "logic", "store", "filters", "domain"),
    },
    "personalize.events": {"personalize.datasets", "personalize.protocol", "web", "logic", "store", "domain"},
    "personalize.runtime": {
        *("personalize.datasets", "personalize.protocol"),
        *("web", "logic", "store", "scoring", "filters", "domain"),
    },
    "personalize.jobs": {"personalize.datasets", "personalize.protocol", "logic", "store", "aws", "scoring", "domain"},
    "personalize.datasets": {"personalize.protocol", "logic", "store", "filters", "domain"},
    "personalize.protocol": {"web", "logic", "store", "aws", "domain"},
    "logic": {"store", "lift", "training", "scoring", "filters", "event_files", "domain"},
    "web": {"aws"},
    "store": {"aws", "domain"},
    "aws": set[str](),
    "lift": {"scoring", "domain"},
    "training": {"scoring", "domain"},
    "scoring": {"domain"},
    "filters": {"domain"},
    "event_files": {"domain"},
    "history": {"domain"},
    "domain": set[str](),
    "errors": set[str](),
    "observability": set[str](),
}

CLOCKS = {"time.time", "time.time_ns", "time.monotonic", "time.perf_counter"}
CLOCKS |= {"datetime.now", "datetime.utcnow", "datetime.today", "date.today"}
HTTP = {"http", "urllib", "requests", "httpx", "flask", "starlette", "werkzeug"}
AWS = {"boto3", "botocore", "moto"}
POWERTOOLS = "aws_lambda_powertools"


def modules() -> list[Path]:
    return sorted(LIBRARY.rglob("*.py"))


def folder_of(path: Path) -> str:
    """The folder whose rule a file falls under; a module of the library's root is its own."""
    return folder_named(".".join(("nextbest", *path.relative_to(LIBRARY).with_suffix("").parts)))


def folder_named(module: str) -> str:
    """The folder of a module such as ``nextbest.store.table``; the dialect of Personalize has a rule a subfolder."""
    _, *parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == "personalize" else parts[0]


def imports(path: Path, *, with_types: bool = True) -> Iterator[str]:
    """Full names of the modules that a file imports, relative ones resolved."""
    package = ("nextbest", *path.relative_to(LIBRARY).parent.parts) if path.is_relative_to(LIBRARY) else ()
    tree = ast.parse(path.read_text())
    skipped = set() if with_types else set(_under_type_checking(tree))
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = (
                ".".join((*package[: len(package) - node.level + 1], node.module or "")) if node.level else node.module
            )
            name = (base or "").rstrip(".")
            # `from nextbest.store import keys` may name a module.
            if name.count(".") < 2 and name.startswith("nextbest"):
                yield from (f"{name}.{alias.name}" for alias in node.names)
            else:
                yield name


def _under_type_checking(tree: ast.Module) -> Iterator[ast.AST]:
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for statement in node.body:
                yield from ast.walk(statement)


def folders_imported(path: Path) -> set[str]:
    """Folders of the library that a file imports."""
    return {folder_named(name) for name in imports(path) if name.startswith("nextbest.")}


def top_levels(path: Path, *, with_types: bool = True) -> set[str]:
    return {name.split(".")[0] for name in imports(path, with_types=with_types)}


def test_every_folder_has_its_rule() -> None:
    folders = {folder_of(path) for path in modules()} - {"__init__", "personalize.__init__"}

    assert folders == MAY_IMPORT.keys()


def test_the_rules_read_downward() -> None:
    """Given the list of folders, then each may import only what stands below it: no circle is possible."""
    order = list(MAY_IMPORT)

    for folder, allowed in MAY_IMPORT.items():
        assert all(order.index(folder) < order.index(other) for other in allowed), folder


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(LIBRARY)))
def test_no_import_points_upward(path: Path) -> None:
    folder = folder_of(path)

    assert folders_imported(path) <= MAY_IMPORT.get(folder, set()) | SHARED | {folder}


def test_no_two_classes_share_a_name() -> None:
    places: dict[str, list[str]] = {}
    for path in modules():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(str(path.relative_to(LIBRARY)))

    assert {name: files for name, files in places.items() if len(files) > 1} == {}


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(LIBRARY)))
def test_only_aws_and_the_store_know_aws(path: Path) -> None:
    aws = {name for name in imports(path, with_types=False) if name.split(".")[0] in AWS}
    if folder_of(path) in ("aws", "store"):
        return

    assert aws == set()


@pytest.mark.parametrize(
    "path", [path for path in modules() if folder_of(path) in PURE], ids=lambda path: str(path.relative_to(LIBRARY))
)
def test_what_is_pure_knows_no_http(path: Path) -> None:
    assert not top_levels(path) & {*HTTP, POWERTOOLS}


@pytest.mark.parametrize(
    "path",
    [path for path in modules() if '__name__ == "__main__"' not in path.read_text()],
    ids=lambda path: str(path.relative_to(LIBRARY)),
)
def test_nothing_in_the_library_reads_the_clock(path: Path) -> None:
    """``now`` is an argument everywhere; only the edges look at the clock: ``functions/`` and command lines."""
    assert not clocks_read(path)


def clocks_read(path: Path) -> set[str]:
    """Ways to tell the time that a file uses, however they were imported."""
    tree = ast.parse(path.read_text())
    names = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    found = {name for name in names if name in CLOCKS or name.removeprefix("datetime.") in CLOCKS}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "time":
            found |= {f"time.{alias.name}" for alias in node.names if f"time.{alias.name}" in CLOCKS}
    return found


def test_training_lift_and_scipy_are_the_rebase_s_alone() -> None:
    users = {folder_of(path) for path in modules() if {"training", "lift"} & folders_imported(path)}
    with_scipy = {folder_of(path) for path in modules() if "scipy" in top_levels(path)}

    assert users - {"training", "lift"} == {"logic"}
    assert with_scipy <= {"training", "lift"}


@pytest.mark.parametrize("path", sorted(ROOT.glob("functions/*/*.py")), ids=lambda path: path.parent.name)
def test_functions_import_the_library_and_no_aws(path: Path) -> None:
    imported = top_levels(path, with_types=False)

    assert not imported & AWS
    assert "nextbest" in imported


@pytest.mark.parametrize("folder", ["layers", "functions", "tools", "tests"])
def test_spark_is_imported_by_the_job_alone(folder: str) -> None:
    """pyspark is installed for the job's own tests alone, so nothing else may need it."""
    job = {ROOT / "tools" / "spark", ROOT / "tests" / "spark"}
    others = (path for path in (ROOT / folder).rglob("*.py") if path.parent not in job)

    assert [path for path in others if {"pyspark", "py4j"} & top_levels(path, with_types=False)] == []


def test_the_library_never_imports_what_stands_on_it() -> None:
    above = {"functions", "tools", "tests", "samcli", "awslambdaric"}

    assert not any(top_levels(path) & above for path in modules())


def test_the_rules_would_notice(tmp_path: Path) -> None:
    """Given a file that breaks each rule, when it is read, then each breach is seen."""
    bad = tmp_path / "bad.py"
    bad.write_text(
        "import boto3\nfrom time import time\nfrom datetime import datetime\n"
        "from nextbest.store import keys\nfrom nextbest.aws.table import Table\nmoment = datetime.now()\n"
    )

    assert top_levels(bad) & AWS == {"boto3"}
    assert folders_imported(bad) == {"aws", "store"}
    assert clocks_read(bad) == {"time.time", "datetime.now"}
