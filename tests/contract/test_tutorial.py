"""The tutorial, from loading its file to the campaign list: every command as written, and the answers that it shows."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tests.contract.documents import ROOT, blocks, check, make_clone
from tests.contract.stacks import RunningStack

TUTORIAL = ROOT / "docs" / "tutorial.md"


def run_section() -> str:
    """Sections 2 to 6: what comes before starts the stack, and what comes after is about other files."""
    text = TUTORIAL.read_text(encoding="utf-8")
    return text[text.index("\n## 2. ") : text.index("\n## 7. ")]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clone(tmp_path_factory.mktemp("clone"))


def test_every_command_of_the_tutorial_does_what_it_says(stack: RunningStack, clone: Path) -> None:
    text = run_section()
    assert [language for language, _ in blocks(text)].count("json") == 3
    outputs = check(text, stack, clone)

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
