"""What is acted on: finding and changing a program's assets, and the labels that they carry."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from nextbest.domain.assets import Asset
from nextbest.domain.catalogue import Catalogue
from nextbest.domain.programs import Incarnation
from nextbest.errors import InvalidInput
from nextbest.store.base import ConfigurationStore, ProgramState

MAX_LABEL_WEIGHTS = 5000
MAX_LABEL_WEIGHTS_BYTES = 300_000
"""Of all of a program's together, as JSON. They are part of the program's item, of which DynamoDB takes 400 KB."""


@dataclass(frozen=True, slots=True)
class AssetChange:
    """An asset to create or change. None: not given, so what is stored stays."""

    asset_id: str
    asset_name: str | None = None
    labels: tuple[str, ...] | None = None


def find_assets(catalogue: Catalogue, search: str) -> list[Asset]:
    """Assets with ``search`` in their id, name or labels, upper and lower case alike, in order of their ids."""
    wanted = search.casefold()
    matching = [
        asset
        for asset in catalogue
        if any(wanted in text.casefold() for text in (asset.asset_id, asset.asset_name, *asset.labels))
    ]
    return sorted(matching, key=lambda asset: asset.asset_id)


def change_assets(
    store: ConfigurationStore, catalogue: Catalogue, incarnation: Incarnation, changes: Iterable[AssetChange]
) -> int:
    """Create or change assets; how many. Raises NotFound, InUse."""
    changed = []
    for change in changes:
        old = catalogue.assets.get(change.asset_id, Asset(change.asset_id))
        name = old.asset_name if change.asset_name is None else change.asset_name
        labels = old.labels if change.labels is None else change.labels
        changed.append(replace(old, asset_name=name, labels=labels))
    store.put_assets(incarnation, changed)
    return len(changed)


def find_labels(state: ProgramState, catalogue: Catalogue, search: str) -> list[tuple[str, float]]:
    """Labels with ``search`` in them and their weights, in order: those of assets, and those the operator weighted."""
    weights = {label: 1.0 for asset in catalogue for label in asset.labels} | dict(state.label_weights)
    wanted = search.casefold()
    return [(label, float(weights[label])) for label in sorted(weights) if wanted in label.casefold()]


def set_label_weights(store: ConfigurationStore, state: ProgramState, weights: Mapping[str, float]) -> None:
    """Set the weights of some labels; others keep theirs. Raises InvalidInput for more than a program may have."""
    merged = {**state.label_weights, **weights}
    size_bytes = len(json.dumps(merged, ensure_ascii=False).encode())
    if len(merged) > MAX_LABEL_WEIGHTS or size_bytes > MAX_LABEL_WEIGHTS_BYTES:
        raise InvalidInput(
            f"A program has at most {MAX_LABEL_WEIGHTS:,} label weights, of at most {MAX_LABEL_WEIGHTS_BYTES:,} bytes "
            f"together; these would be {len(merged):,} of {size_bytes:,} bytes",
            field="labels",
        )
    store.put_label_weights(state.program.incarnation, weights)
