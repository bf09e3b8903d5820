"""The guides: every command as written, in the order of the text, and every answer that they show."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.documents import ROOT, blocks, check, make_clone, run
from tests.contract.stacks import RunningStack, start_stack

GUIDES = sorted((ROOT / "docs" / "guides").glob("*.md"))
LOAD = """
make load FILE=docs/tutorial/planner.csv.gz PROGRAM=planner
make rebase PROGRAM=planner
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """A stack of its own: what the tutorial's test does to the program `planner` would show in the answers."""
    running = start_stack(tmp_path_factory.mktemp("guides") / "state")
    yield running
    running.stop()


@pytest.fixture(scope="module")
def clone(stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone whose reader has done sections 2 and 3 of the tutorial."""
    folder = make_clone(tmp_path_factory.mktemp("clone"))
    run("sh", LOAD, stack, folder)
    return folder


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.stem)
def test_every_command_of_a_guide_answers_what_it_shows(guide: Path, stack: RunningStack, clone: Path) -> None:
    text = guide.read_text(encoding="utf-8")
    assert {language for language, _ in blocks(text)} & {"json", "text"}, "a guide shows answers"
    check(text, stack, clone)
