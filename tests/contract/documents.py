"""A document's commands, run as they are written, and the answers that it shows, compared with those that come."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.stacks import RunningStack

ROOT = Path(__file__).resolve().parents[2]
OMITTED = "..."
"""In a list of a document: the rest is left out. As the name of a member: so are the members that are not shown."""

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_AGO = re.compile(r"(?:\d+ (?:day|week|month|year)s?|a (?:day|week|month|year)) ago")
_DEPENDS_ON_THE_DAY = {"base_weight", "days_since_last"}
_TOLERANCES = {"points": 1.0, "other_points": 1.0, "user_count": 2}
_DEFAULT_TOLERANCE = 0.01


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """The fenced blocks of a text in Markdown: language (may be empty) and content."""
    for match in _BLOCK.finditer(text):
        yield match[1], match[2]


def make_clone(folder: Path) -> Path:
    """A folder that looks like the clone, and takes the files that the commands write."""
    for entry in ROOT.iterdir():
        if entry.name not in (".git", ".state"):
            (folder / entry.name).symlink_to(entry)
    return folder


def run(language: str, content: str, stack: RunningStack, clone: Path) -> str:
    """The output of a block of commands (sh) or code (python), sent to the running stack in place of the text's."""
    text = re.sub(r"^(?:export )?KEY=.*$", "", content, flags=re.MULTILINE).replace("http://127.0.0.1:3000", stack.url)
    variables = {
        **{"KEY": stack.key, "URL": stack.url, "STATE": str(stack.state)},
        **{"NEXTBEST_KEY": stack.key, "NEXTBEST_URL": stack.url},
    }
    program = ["bash", "-eu", "-c"] if language == "sh" else [sys.executable, "-c"]
    result = subprocess.run(
        [*program, text],
        cwd=clone,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert result.returncode == 0, f"{content}\n{result.stdout}\n{result.stderr}"
    return result.stdout


def compare_json(written: Any, answered: Any, name: str = "") -> None:
    """The members and entries that the text shows, in its order. Numbers may differ a little, or, where they depend on
    the day of the run, be any that have the same sign."""
    match written:
        case dict():
            shown = {key: value for key, value in written.items() if key != OMITTED}
            assert set(shown) <= set(answered) if OMITTED in written else set(shown) == set(answered), name
            for key, value in shown.items():
                compare_json(value, answered[key], key)
        case list():
            shown_entries = written[:-1] if written and written[-1] == OMITTED else written
            expected = len(shown_entries)
            assert len(answered) >= expected if shown_entries is not written else len(answered) == expected, name
            for entry, other in zip(shown_entries, answered, strict=False):
                compare_json(entry, other, name)
        case str():
            assert isinstance(answered, str), name
            assert _AGO.sub("ago", answered) == _AGO.sub("ago", written)
        case int() | float() if name in _DEPENDS_ON_THE_DAY:
            assert (answered > 0) == (written > 0), name
        case float():
            assert answered == pytest.approx(written, abs=_TOLERANCES.get(name, _DEFAULT_TOLERANCE)), name
        case int() if name in _TOLERANCES:
            assert abs(answered - written) <= _TOLERANCES[name], name
        case _:
            assert answered == written, name


def compare_text(written: str, answered: str) -> None:
    """Lines as the text shows them, in which weights may differ a little."""
    expected, words = (re.split(r"([\s,]+)", _AGO.sub("ago", text.strip())) for text in (written, answered))
    assert len(words) == len(expected), answered
    for word, other in zip(expected, words, strict=True):
        if re.fullmatch(r"\d+\.\d+", word):
            assert float(other) == pytest.approx(float(word), abs=_DEFAULT_TOLERANCE), answered
        else:
            assert other == word, answered


def check(text: str, stack: RunningStack, clone: Path) -> list[str]:
    """Run every command of a text and compare every answer that follows one; the outputs, in order."""
    outputs: list[str] = []
    for language, content in blocks(text):
        match language:
            case "sh" | "python":
                outputs.append(run(language, content, stack, clone))
            case "json":
                compare_json(json.loads(content), json.loads(outputs[-1]))
            case "text":
                compare_text(content, outputs[-1])
            case _:
                assert not language, f"no rule for a block of {language}"
    return outputs
