"""AWS's list prices, from a dated file, and what follows from them alone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

PRICES = Path(__file__).with_name("prices-2026-11.json")


class Prices:
    """US dollars by name, from a dated file."""

    def __init__(self, path: Path) -> None:
        self._entries: dict[str, Any] = json.loads(path.read_text())
        self.region: str = self._entries["region"]
        self.as_of: str = self._entries["as_of"]
        self.note: str = self._entries["note"]
        self.hours: float = self._entries["hours_per_month"]

    def __getitem__(self, name: str) -> float:
        price: float = self._entries[name]["price"]
        return price

    def by_name(self) -> dict[str, float]:
        """Every price, and ``hours_per_month``."""
        return {name: price for name, price, _ in self.sources()} | {"hours_per_month": self.hours}

    def sources(self) -> Iterator[tuple[str, float, str]]:
        """Name, price and source of every entry."""
        for name, entry in self._entries.items():
            if isinstance(entry, dict):
                yield name, entry["price"], entry["source"]


def snapshot_dollars(memory_megabytes: float, prices: Mapping[str, float]) -> float:
    """What the snapshot of one published version costs in a month, whether the version is called or not."""
    seconds = prices["hours_per_month"] * 3600
    return memory_megabytes / 1024 * seconds * prices["lambda_snapstart_cache_per_gb_second"]
