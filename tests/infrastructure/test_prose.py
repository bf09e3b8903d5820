"""The language of documentation, comments and messages: spelling, and phrases that read as translated."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.infrastructure.cloudformation import ROOT

FOLDERS = ("docs", "layers", "functions", "tools")
FILES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "template.yaml", "Makefile")
SUFFIXES = {".md", ".py", ".yaml", ".sh"}

BETTER = {
    r"\bWhat when\b": "What happens when",
    r"\b(she|he|they|you|who|nobody) never did\b": "has never done",
    r"\bgo(es)? on (where|with|from|by|working)\b": "resumes, continues",
    r"\bcommand goes on\b": "the command resumes",
    r"\bgoing on (after|from)\b": "resuming after",
    r"\b[Ww]hat became of\b": "the result of, a summary of",
    r"\bmend(s|ed|ing)?\b": "fix",
    r"\bnone of ours\b": "not ours, not in our format",
    r"\btold a (tenth|quarter|third|half)\b": "underestimated by",
    r"\bluck\b": "chance",
    r"\bhangs? on (your|the) data\b": "depends on",
    r"\b(told|shown) this once\b": "shown only once",
    r"\bILL\b": "FAIL",
    r"\b(is|are|was|were) told [.`0-9]": "gets, is given",
    r"\b(secrets?|those|one|ones|folders|programs|items|rows) of before\b": "earlier, previous, from before",
    r"\btells its end\b": "says when it has ended",
    r"\bwhoever of\b": "the one that",
    r"\bhint how\b": "a hint on how",
    r"(?<!there )\bis no (pair|list|port|regular|event|date|row|part of)\b": "is not a",
    r"\banew\b": "again",
}


def texts() -> Iterator[Path]:
    yield from (ROOT / name for name in FILES)
    for folder in FOLDERS:
        yield from (path for path in sorted((ROOT / folder).rglob("*")) if path.suffix in SUFFIXES)


@pytest.mark.parametrize("phrase", sorted(BETTER))
def test_no_phrase_reads_as_translated(phrase: str) -> None:
    pattern = re.compile(phrase)
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}"
        for path in texts()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if pattern.search(line)
    ]
    assert not found, f"say rather: {BETTER[phrase]}\n" + "\n".join(found)


def test_spelling() -> None:
    """codespell knows common misspellings only; what it takes for one and is not, pyproject.toml lists."""
    command = [str(Path(sys.executable).with_name("codespell")), *FILES, *FOLDERS, "tests"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
