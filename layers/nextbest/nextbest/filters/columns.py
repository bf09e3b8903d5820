"""The catalogue as filters read it: one column per field, each factorised once.

A column holds every distinct value once and, for each row, which of them it has. A test is therefore made on the
distinct values, mostly a handful, and spread over the rows by one numpy gather. Hot path: standard library and numpy.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from nextbest.domain.assets import Asset, FieldValue
from nextbest.domain.catalogue import Catalogue
from nextbest.filters.schema import ACTION_ID, ASSET_NAME, LABELS
from nextbest.filters.values import to_number

Mask = NDArray[np.bool_]
Value = FieldValue | tuple[str, ...]

MASK_CACHE_BYTES = 16_000_000


class Column:
    """One field of every row.

    ``codes`` (int32, one per row) point at ``distinct``, the distinct values. A string is split at ``|``; a tuple is
    several strings as they are. An absent value, an empty string and an empty part between two ``|`` are null: no
    string at all. Views of the distinct values are computed on first use: many fields are only ever compared as
    numbers, or only as strings.
    """

    def __init__(self, codes: NDArray[np.int32], distinct: Sequence[Value]) -> None:
        self.codes = codes
        self.distinct = distinct

    @classmethod
    def of(cls, values: Sequence[Value]) -> Column:
        """A column of these values, one per row."""
        code_of = {value: code for code, value in enumerate(dict.fromkeys(values))}
        return cls(np.fromiter(map(code_of.__getitem__, values), np.int32, len(values)), list(code_of))

    @cached_property
    def numbers(self) -> NDArray[np.float64]:
        """Each distinct value as a number, NaN where it is none."""
        return np.fromiter(map(_number, self.distinct), np.float64, len(self.distinct))

    @cached_property
    def present(self) -> Mask:
        """Which distinct values hold anything."""
        return np.fromiter((any(_strings(value)) for value in self.distinct), np.bool_, len(self.distinct))

    @cached_property
    def is_number(self) -> bool:
        """Whether every value that is not null came as a number."""
        return all(value is None or isinstance(value, int | float) for value in self.distinct)

    @cached_property
    def _places(self) -> Mapping[str, Sequence[int]]:
        """For each single string, the distinct values it is part of."""
        places: dict[str, list[int]] = {}
        for code, value in enumerate(self.distinct):
            for text in _strings(value):
                places.setdefault(text, []).append(code)
        return places

    def any_of(self, texts: Iterable[str]) -> Mask:
        """Which distinct values hold at least one of ``texts``, by exact match."""
        hits = np.zeros(len(self.distinct), np.bool_)
        for text in texts:
            for code in self._places.get(text, ()):
                hits[code] = True
        return hits

    def spread(self, hits: Mask) -> Mask:
        """From distinct values to rows."""
        return hits[self.codes]


class FieldTable:
    """Rows of fields (upper-case names) as columns, each built on first use."""

    def __init__(self, rows: Sequence[Mapping[str, FieldValue]]) -> None:
        self._rows = rows
        self._columns: dict[str, Column] = {}

    def column(self, name: str) -> Column:
        """The column of a field; all null where no row has it."""
        column = self._columns.get(name)
        if column is None:
            column = self._columns[name] = Column.of(self._values(name))
        return column

    def _values(self, name: str) -> Sequence[Value]:
        return [row.get(name) for row in self._rows]


class FilterColumns(FieldTable):
    """The catalogue, one row per asset in the order given, at one version: make a new one when the catalogue changes.

    Beside the assets' own fields there are ACTION_ID, and ASSET_NAME and LABELS where an asset brings no field of that
    name. Fields of an asset that is not in the catalogue, a bare ``Asset(asset_id)``, are null.
    ``rows`` maps asset ids to rows; ``masks`` caches the results of filters' parts.
    """

    def __init__(self, assets: Sequence[Asset], *, mask_cache_bytes: int = MASK_CACHE_BYTES) -> None:
        super().__init__([asset.fields for asset in assets])
        self._assets = assets
        self.rows = {asset.asset_id: row for row, asset in enumerate(assets)}
        self.masks = MaskCache(mask_cache_bytes)

    @classmethod
    def of(cls, asset_ids: Iterable[str], catalogue: Catalogue) -> FilterColumns:
        """One row for each of ``asset_ids``, whether the catalogue has it or not."""
        return cls([catalogue.assets.get(asset_id) or Asset(asset_id) for asset_id in asset_ids])

    def __len__(self) -> int:
        return len(self._assets)

    def numbers(self, name: str) -> NDArray[np.float64]:
        """A field's number in every row, NaN where there is none: for fields that the service itself acts on."""
        column = self.column(name)
        return column.numbers[column.codes]

    def _values(self, name: str) -> Sequence[Value]:
        if name == ACTION_ID:
            return [(asset.asset_id,) for asset in self._assets]
        inherent = _INHERENT.get(name)
        if inherent is None:
            return super()._values(name)
        return [asset.fields[name] if name in asset.fields else inherent(asset) for asset in self._assets]


class MaskCache:
    """The masks used last, up to a number of bytes. Masks in it are read-only."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._masks: OrderedDict[Hashable, Mask] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._masks)

    def get(self, key: Hashable) -> Mask | None:
        """The mask under ``key``, which becomes the most recently used."""
        mask = self._masks.get(key)
        if mask is not None:
            self._masks.move_to_end(key)
        return mask

    def put(self, key: Hashable, mask: Mask) -> None:
        """Store ``mask``, and drop the least recently used ones where there is no room."""
        replaced = self._masks.pop(key, None)
        self._bytes += mask.nbytes - (replaced.nbytes if replaced is not None else 0)
        mask.setflags(write=False)
        self._masks[key] = mask
        while self._bytes > self._max_bytes:
            _, dropped = self._masks.popitem(last=False)
            self._bytes -= dropped.nbytes


# An asset's id and its name are one string each, whatever characters they hold: a tuple is not split.
_INHERENT: Mapping[str, Callable[[Asset], tuple[str, ...]]] = {
    ASSET_NAME: lambda asset: (asset.asset_name,) if asset.asset_name else (),
    LABELS: lambda asset: asset.labels,
}


def _strings(value: Value) -> Iterable[str]:
    if isinstance(value, tuple):
        return value
    if isinstance(value, str):
        return filter(None, value.split("|"))
    if value is None:
        return ()
    # A whole number reads the same whether it came as 5 or as 5.0.
    return (str(int(value)) if isinstance(value, float) and value.is_integer() else str(value),)


def _number(value: Value) -> float:
    if isinstance(value, str):
        number = to_number(value)
        return np.nan if number is None else number
    if value is None or isinstance(value, tuple):
        return np.nan
    try:
        return float(value)
    except OverflowError:  # a whole number beyond the range of a float
        return np.inf if value > 0 else -np.inf
