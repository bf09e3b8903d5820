"""What the tests reached, a line a package: lines and branches (``make coverage``)."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from coverage import Coverage


def lines(coverage: Coverage) -> list[str]:
    """A line for each package, in the order of their names."""
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "coverage.json"
        coverage.json_report(outfile=str(written))
        files: dict[str, Any] = json.loads(written.read_text())["files"]
    reached, reachable = Counter[str](), Counter[str]()
    for name, file in files.items():
        summary, package = file["summary"], package_of(name)
        reached[package] += summary["covered_lines"] + summary["covered_branches"]
        reachable[package] += summary["num_statements"] + summary["num_branches"]
    return [f"{100 * reached[name] / reachable[name]:5.1f} %  {name}" for name in sorted(reachable) if reachable[name]]


def package_of(name: str) -> str:
    """``nextbest.store`` for ``layers/nextbest/nextbest/store/keys.py``."""
    parts = Path(name).parts
    packages = parts[2:-1] if parts[0] == "layers" else parts[:-1]
    return ".".join(packages[:2])
