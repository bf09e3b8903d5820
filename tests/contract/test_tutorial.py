"""The tutorial, from loading its file to the campaign list: every command as written, and the answers that it shows."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.contract.stacks import RunningStack

ROOT = Path(__file__).resolve().parents[2]
TUTORIAL = ROOT / "docs" / "tutorial.md"
BLOCK = re.compile(r"^```(sh|json)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def run_section() -> str:
    """Sections 2 to 6: what comes before starts the stack, and what comes after is about other files."""
    text = TUTORIAL.read_text(encoding="utf-8")
    return text[text.index("\n## 2. ") : text.index("\n## 7. ")]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that looks like the clone, and takes the files that the commands write."""
    folder = tmp_path_factory.mktemp("clone")
    for entry in ROOT.iterdir():
        if entry.name not in (".git", ".state"):
            (folder / entry.name).symlink_to(entry)
    return folder


def run(command: str, stack: RunningStack, clone: Path) -> str:
    """The output of a block of commands, sent to the running stack in place of the one of the text."""
    text = re.sub(r"^KEY=.*$", "", command, flags=re.MULTILINE).replace("http://127.0.0.1:3000", stack.url)
    variables = {"KEY": stack.key, "URL": stack.url, "STATE": str(clone / "state")}
    result = subprocess.run(
        ["bash", "-eu", "-c", text],
        cwd=clone,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    return result.stdout


def test_every_command_of_the_tutorial_does_what_it_says(stack: RunningStack, clone: Path) -> None:
    outputs: list[str] = []
    compared = 0
    for kind, content in BLOCK.findall(run_section()):
        if kind == "sh":
            outputs.append(run(content, stack, clone))
        elif kind == "json":
            compare(json.loads(content), json.loads(outputs[-1]))
            compared += 1
    assert compared == 3

    loaded, rebased, *_, explained, campaign, segment = outputs
    assert "11,378 rows: accepted 11,378, duplicate 0, rejected 0" in loaded
    assert "11,378 events, 22 actions" in rebased
    (action,) = json.loads(explained)["actions"]
    assert action["explanation"]["reasons"][0]["asset_id"] == "pricing"
    assert action["explanation"]["sentence"].startswith(
        "More likely than average because they viewed “pricing” 3 times"
    )
    check_campaign(clone / "campaign.csv", action["growth_weight"])
    assert campaign.splitlines()[0] == "user_id,growth_weight,reason"
    assert segment.splitlines()


def compare(written: dict[str, Any], answered: dict[str, Any]) -> None:
    """Actions in the order of the text, with its weights; everything else as it is written."""
    if "actions" not in written:
        assert answered == written
        return
    names = ("event_type", "asset_id", "asset_name", "base_weight")
    assert [[action[name] for name in names] for action in answered["actions"]] == [
        [action[name] for name in names] for action in written["actions"]
    ]
    weights = [action["growth_weight"] for action in written["actions"]]
    assert [action["growth_weight"] for action in answered["actions"]] == pytest.approx(weights, abs=0.01)


def check_campaign(path: Path, growth_weight: float) -> None:
    """Users from the likeliest on, each with a reason; the user whose chance was shown has the same one here."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    weights = [float(row["growth_weight"]) for row in rows]
    assert len(rows) > 5
    assert min(weights) >= 0.1
    assert all(row["reason"].endswith(".") for row in rows)
    (mira,) = (row for row in rows if row["user_id"] == "mira")
    assert float(mira["growth_weight"]) == pytest.approx(growth_weight, abs=1e-4)
