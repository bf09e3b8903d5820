"""The catalogue of a program: its assets at one revision."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from nextbest.domain.assets import Asset
from nextbest.errors import ArtifactError

MAX_CONTENT_BYTES = 32 << 20
"""Of the JSON in a catalogue's file, which takes up to twenty times as much memory: some 200,000 assets. Larger
catalogues have no file, and a damaged or hostile file takes no more memory than this."""

_MAGIC = b"NBC1"
_FIELD_TYPES = {str, int, float, type(None)}


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
        """Bytes of the artifact: magic, crc32, zlib JSON. Raises ArtifactError for a catalogue that is too large."""
        rows = [[asset.asset_id, asset.asset_name, list(asset.labels), dict(asset.fields)] for asset in self]
        content = json.dumps([self.revision, rows], separators=(",", ":")).encode()
        if len(content) > MAX_CONTENT_BYTES:
            raise ArtifactError(f"a catalogue of {len(content):,} bytes is not written: {MAX_CONTENT_BYTES:,} are read")
        body = zlib.compress(content)
        return _MAGIC + zlib.crc32(body).to_bytes(4, "little") + body

    @classmethod
    def decode(cls, data: bytes) -> Catalogue:
        """Inverse of ``encode``. Raises ArtifactError for bytes that are damaged, of another version, or too many."""
        if data[:4] != _MAGIC:
            raise ArtifactError("this is not a catalogue that this version of nextbest can read")
        body = data[8:]
        if zlib.crc32(body).to_bytes(4, "little") != data[4:8]:
            raise ArtifactError("the catalogue's checksum does not match")
        try:
            revision, rows = json.loads(_decompressed(body))
            if type(revision) is not int:
                raise TypeError("its revision is not a whole number")
            return cls(revision, _assets(rows))
        except (zlib.error, ValueError, TypeError, AttributeError, RecursionError) as error:
            raise ArtifactError(f"the catalogue cannot be read: {str(error)[:200]}") from error


def _decompressed(body: bytes) -> bytes:
    """The content of a zlib stream. Raises zlib.error, ArtifactError where it goes on beyond ``MAX_CONTENT_BYTES``."""
    stream = zlib.decompressobj()
    content = stream.decompress(body, MAX_CONTENT_BYTES + 1)
    if len(content) > MAX_CONTENT_BYTES or not stream.eof:
        raise ArtifactError(f"the catalogue is cut off, or larger than {MAX_CONTENT_BYTES:,} bytes")
    return content


def _assets(rows: Any) -> dict[str, Asset]:
    """The assets in rows of id, name, labels and fields. Raises TypeError or ValueError for anything else."""
    if not isinstance(rows, list):
        raise TypeError("there is no list of assets")
    assets = {}
    for asset_id, name, labels, fields in rows:
        if type(asset_id) is not str or type(name) is not str or type(labels) is not list or type(fields) is not dict:
            raise TypeError("an asset has an id and a name, a list of labels and an object of fields")
        assets[asset_id] = Asset(asset_id, name, tuple(labels), fields)
    # All at once, for speed: texts can be joined, and nothing else can.
    "".join(chain.from_iterable([row[2] for row in rows]))
    values = chain.from_iterable(map(dict.values, [row[3] for row in rows]))
    if not _FIELD_TYPES.issuperset({*map(type, values)}):
        raise TypeError("a field is neither a text nor a number")
    return assets
