"""The file of the tutorial is what the simulator writes, and holds what the tutorial says of it."""

from __future__ import annotations

import csv
import gzip
from collections import Counter
from pathlib import Path

from tools.simulator.software_company import HEADER, PROSPECT, write

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "docs" / "tutorial" / "planner.csv.gz"


def test_the_file_in_the_repository_is_the_one_that_is_written(tmp_path: Path) -> None:
    """Compared unpacked, since other versions of zlib pack the same text to other bytes."""
    path = tmp_path / "planner.csv.gz"
    write(path)
    assert gzip.decompress(path.read_bytes()) == gzip.decompress(FILE.read_bytes())


def test_the_prospect_has_done_what_others_did_before_they_upgraded() -> None:
    with gzip.open(FILE, "rt", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == HEADER
    done = Counter((row["event_type"], row["asset_id"]) for row in rows if row["user_id"] == PROSPECT)
    assert done["invite", "teammate"] == 11
    assert done["view", "pricing"] == 3
    assert ("upgrade", "team-plan") not in done
    first_upgrade: dict[str, int] = {}
    invited: Counter[str] = Counter()
    for row in rows:
        if row["asset_id"] == "team-plan":
            first_upgrade.setdefault(row["user_id"], invited[row["user_id"]])
        invited[row["user_id"]] += row["asset_id"] == "teammate"
    assert len(first_upgrade) > 20
    assert sum(count >= 3 for count in first_upgrade.values()) > 0.6 * len(first_upgrade)
