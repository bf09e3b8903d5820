"""The catalogue of a program: its assets at one revision."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from nextbest.domain.assets import Asset
from nextbest.errors import ArtifactError

_MAGIC = b"NBC1"


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Assets by id, as of ``revision``. Immutable; a change makes a new one."""

    revision: int = 0
    assets: Mapping[str, Asset] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Asset]:
        return iter(self.assets.values())

    def __len__(self) -> int:
        return len(self.assets)

    def name_of(self, asset_id: str) -> str:
        """The asset's name, or its id where it has none."""
        asset = self.assets.get(asset_id)
        return asset.asset_name or asset_id if asset else asset_id

    def with_changes(self, revision: int, assets: Iterable[Asset]) -> Catalogue:
        """The catalogue after ``assets`` were put."""
        return Catalogue(revision, {**self.assets, **{asset.asset_id: asset for asset in assets}})

    def encode(self) -> bytes:
        """Bytes of the artifact: magic, crc32, zlib JSON."""
        rows = [[asset.asset_id, asset.asset_name, list(asset.labels), dict(asset.fields)] for asset in self]
        body = zlib.compress(json.dumps([self.revision, rows], separators=(",", ":")).encode())
        return _MAGIC + zlib.crc32(body).to_bytes(4, "little") + body

    @classmethod
    def decode(cls, data: bytes) -> Catalogue:
        """Inverse of ``encode``. Raises ArtifactError for bytes that are damaged or of another version."""
        if data[:4] != _MAGIC:
            raise ArtifactError("this is not a catalogue that this version of nextbest can read")
        body = data[8:]
        if zlib.crc32(body).to_bytes(4, "little") != data[4:8]:
            raise ArtifactError("the catalogue's checksum does not match")
        revision, rows = json.loads(zlib.decompress(body))
        return cls(revision, {row[0]: Asset(row[0], row[1], tuple(row[2]), row[3]) for row in rows})
