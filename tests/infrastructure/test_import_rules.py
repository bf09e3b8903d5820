"""The layering of design §3, read from the imports: an import never points upward.

functions, local               know the gateway
nextbest.gateway               the frame that functions share
actionhub, personalize         know HTTP
serving, collecting, …         the logic, on the store's protocols
store                          alone knows AWS
training                       imported by the rebase alone
scoring, filters               pure
domain                         pure
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.infrastructure.cloudformation import ROOT

LIBRARY = ROOT / "layers" / "nextbest" / "nextbest"

DOMAIN = {"access", "actions", "assets", "catalogue", "errors", "events", "folding", "history", "labels", "programs"}
DOMAIN |= {"quotas", "rebasing_status"}
OBSERVABILITY = {"observability"}
LOGIC = {"authentication", "collecting", "keyring", "managing", "rebasing", "rights", "segmenting", "serving"}
PURE_LOGIC = {"segments"}  # on models and histories alone
DIALECTS = {"actionhub", "personalize"}
PURE = DOMAIN | PURE_LOGIC | {"scoring", "filters", "training"}

# Each part of the library, and what it may import of the library besides itself.
MAY_IMPORT = {
    **dict.fromkeys(DOMAIN, DOMAIN),
    "scoring": DOMAIN,
    "filters": DOMAIN,
    "training": DOMAIN | {"scoring"},
    **dict.fromkeys(PURE_LOGIC, DOMAIN | PURE_LOGIC | {"scoring"}),
    "observability": set[str](),
    "deadline": DOMAIN,
    "request": DOMAIN,
    "store": DOMAIN | OBSERVABILITY,
    # The rebase is the one piece of logic that trains; that reading and managing do not, the import budget shows.
    **dict.fromkeys(LOGIC, DOMAIN | LOGIC | PURE_LOGIC | OBSERVABILITY | {"store", "scoring", "filters"}),
    "rebasing": DOMAIN | LOGIC | PURE_LOGIC | OBSERVABILITY | {"store", "scoring", "training"},
    **dict.fromkeys(DIALECTS, DOMAIN | LOGIC | PURE_LOGIC | OBSERVABILITY | {"request", "store", "scoring", "filters"}),
    "gateway": DOMAIN | OBSERVABILITY | {"deadline", "request", "store"},
}

CLOCKS = {"time.time", "time.time_ns", "time.monotonic", "time.perf_counter"}
CLOCKS |= {"datetime.now", "datetime.utcnow", "datetime.today", "date.today"}
HTTP = {"http", "urllib", "requests", "httpx", "flask", "starlette", "werkzeug"}
AWS = {"boto3", "botocore", "aws_lambda_powertools", "moto"}


def modules() -> list[Path]:
    return sorted(LIBRARY.rglob("*.py"))


def part_of(path: Path) -> str:
    """The part of the library that a file belongs to: its package, or its own name at the top."""
    return path.relative_to(LIBRARY).parts[0].removesuffix(".py")


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
            # `from nextbest import managing` names modules of the package.
            yield from (f"nextbest.{alias.name}" for alias in node.names) if name == "nextbest" else (name,)


def _under_type_checking(tree: ast.Module) -> Iterator[ast.AST]:
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for statement in node.body:
                yield from ast.walk(statement)


def parts_imported(path: Path) -> set[str]:
    """Parts of the library that a file imports."""
    return {name.split(".")[1] for name in imports(path) if name.startswith("nextbest.")}


def top_levels(path: Path, *, with_types: bool = True) -> set[str]:
    return {name.split(".")[0] for name in imports(path, with_types=with_types)}


def test_every_part_of_the_library_has_its_place() -> None:
    parts = {part_of(path) for path in modules()} - {"__init__"}

    assert parts <= MAY_IMPORT.keys()
    assert {"history", "scoring", "store", "actionhub"} <= parts


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(LIBRARY)))
def test_no_import_points_upward(path: Path) -> None:
    part = part_of(path)

    assert parts_imported(path) <= MAY_IMPORT.get(part, set()) | {part}


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(LIBRARY)))
def test_only_the_store_knows_aws(path: Path) -> None:
    aws = {name for name in imports(path, with_types=False) if name.split(".")[0] in AWS}
    if part_of(path) == "store":
        return
    if path.name == "sigv4.py":  # verifies what botocore signs, with botocore's own arithmetic
        aws -= {f"botocore.{name}" for name in ("auth", "awsrequest", "compat", "credentials")}

    assert aws == set()


@pytest.mark.parametrize(
    "path", [path for path in modules() if part_of(path) in PURE], ids=lambda path: str(path.relative_to(LIBRARY))
)
def test_what_is_pure_knows_no_http(path: Path) -> None:
    assert not top_levels(path) & HTTP


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


def test_training_and_scipy_are_the_rebase_s_alone() -> None:
    users = {part_of(path) for path in modules() if "training" in parts_imported(path)} - {"training"}
    with_scipy = {part_of(path) for path in modules() if "scipy" in top_levels(path)}

    assert users == {"rebasing"}
    assert with_scipy <= {"training"}


@pytest.mark.parametrize("path", sorted(ROOT.glob("functions/*/*.py")), ids=lambda path: path.parent.name)
def test_functions_import_the_library_and_no_aws(path: Path) -> None:
    imported = top_levels(path, with_types=False)

    assert not imported & AWS
    assert "nextbest" in imported


def test_the_library_never_imports_what_stands_on_it() -> None:
    above = {"functions", "local", "simulator", "tests", "benchmarks", "samcli", "awslambdaric"}

    assert not any(top_levels(path) & above for path in modules())


def test_the_rules_would_notice(tmp_path: Path) -> None:
    """Given a file that breaks each rule, when it is read, then each breach is seen."""
    bad = tmp_path / "bad.py"
    bad.write_text(
        "import boto3\nfrom time import time\nfrom datetime import datetime\n"
        "from nextbest import managing\nfrom nextbest.store.table import Table\nmoment = datetime.now()\n"
    )

    assert top_levels(bad) & AWS == {"boto3"}
    assert parts_imported(bad) == {"managing", "store"}
    assert clocks_read(bad) == {"time.time", "datetime.now"}
