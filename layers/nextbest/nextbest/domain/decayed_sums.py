"""Exact decayed sums: what a history keeps of events older than its window.

The weight of an event at time t, seen from the landmark 1970, is 2^(t / half_life). It is written as m · 2^e with a
53-bit whole number m, so the sum over any events is one (long) whole number: exact, hence the same whatever the order
or batching. Reading it costs one vectorised ldexp.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nextbest.domain.events import DAY_US
from nextbest.errors import HistoryCorrupt

_MANTISSA_BITS = 52
_HEADER = struct.Struct("<Idq")  # actions, half-life in days, newest folded time
_INT64 = np.dtype("<i8")


@dataclass(frozen=True, slots=True, eq=False)
class FoldedSums:
    """One exact sum per action: ``units[k] · 2^exponents[k]`` at the landmark, for the action ``index[k]``.

    ``index`` is int32, ascending; ``units`` are odd whole numbers of any size; ``exponents`` int64. ``until_us`` is
    the time of the newest event folded in.
    """

    half_life_days: float
    until_us: int
    index: NDArray[np.int32]
    units: tuple[int, ...]
    exponents: NDArray[np.int64]

    @classmethod
    def of(cls, index: NDArray[np.int32], timestamps_us: NDArray[np.int64], half_life_days: float) -> FoldedSums:
        """The sums of events given as parallel arrays (action index, time in microseconds), at least one."""
        half_life_us = round(half_life_days * DAY_US)
        sums: dict[int, tuple[int, int]] = {}
        for action, timestamp_us in zip(index.tolist(), timestamps_us.tolist(), strict=True):
            whole, rest = divmod(timestamp_us, half_life_us)
            unit = round(math.ldexp(2.0 ** (rest / half_life_us), _MANTISSA_BITS))
            sums[action] = _add(sums.get(action), (unit, whole - _MANTISSA_BITS))
        return cls._of(half_life_days, int(timestamps_us.max()), sums)

    @classmethod
    def _of(cls, half_life_days: float, until_us: int, sums: dict[int, tuple[int, int]]) -> FoldedSums:
        order = sorted(sums)
        canonical = [_odd(*sums[action]) for action in order]
        return cls(
            half_life_days,
            until_us,
            np.array(order, np.int32),
            tuple(unit for unit, _ in canonical),
            np.array([exponent for _, exponent in canonical], np.int64),
        )

    def plus(self, other: FoldedSums) -> FoldedSums:
        """Both sums together. Raises HistoryCorrupt where the half-lives differ."""
        if self.half_life_days != other.half_life_days:
            raise HistoryCorrupt("the history was folded with another half-life; rebuild it from the log")
        sums = self._as_dict()
        for action, value in other._as_dict().items():
            sums[action] = _add(sums.get(action), value)
        return FoldedSums._of(self.half_life_days, max(self.until_us, other.until_us), sums)

    def weakest(self, actions: Sequence[int]) -> list[int]:
        """Some of the actions, those with the smallest sums first."""
        sums = self._as_dict()
        return sorted(actions, key=lambda action: (sums[action][1] + math.log2(sums[action][0]), action))

    def without(self, actions: Iterable[int]) -> FoldedSums:
        """The sums of the other actions; ``until_us`` stays."""
        sums = self._as_dict()
        for action in actions:
            del sums[action]
        return FoldedSums._of(self.half_life_days, self.until_us, sums)

    def reindexed(self, position: NDArray[np.int32]) -> FoldedSums:
        """The same sums with action ``k`` renamed ``position[k]``."""
        sums = {int(position[action]): value for action, value in self._as_dict().items()}
        return FoldedSums._of(self.half_life_days, self.until_us, sums)

    def add_to(self, weights: NDArray[np.float64], half_life_days: float, now_us: int) -> None:
        """Add the sums, decayed to ``now_us``, to ``weights`` (indexed by action), in place."""
        if half_life_days != self.half_life_days:
            raise HistoryCorrupt("the history was folded with another half-life; rebuild it from the log")
        half_life_us = round(half_life_days * DAY_US)
        whole, rest = divmod(now_us, half_life_us)
        tops = [_top(unit) for unit in self.units]
        mantissas = np.array([mantissa for mantissa, _ in tops])
        shifts = np.array([shift for _, shift in tops], np.int64) + self.exponents - whole
        # Under 2^-1074 a weight is zero in a float anyway; clipping keeps ldexp's exponent in range.
        weights[self.index] += np.ldexp(mantissas, np.clip(shifts, -2000, 2000)) * 2.0 ** -(rest / half_life_us)

    def encode(self) -> bytes:
        """Bytes, little-endian; equal sums have equal bytes."""
        blobs = [unit.to_bytes((unit.bit_length() + 7) // 8, "little") for unit in self.units]
        lengths = np.array([len(blob) for blob in blobs], "<u4")
        head = _HEADER.pack(len(self.units), self.half_life_days, self.until_us)
        return b"".join([head, self.index.astype("<i4").tobytes(), self.exponents.astype("<i8").tobytes(),
                         lengths.tobytes(), *blobs])  # fmt: skip

    @classmethod
    def decode(cls, data: bytes) -> FoldedSums:
        """Inverse of ``encode``. Raises struct.error or ValueError for damaged bytes."""
        count, half_life_days, until_us = _HEADER.unpack_from(data)
        offset = _HEADER.size
        index = np.frombuffer(data, "<i4", count, offset)
        exponents = np.frombuffer(data, _INT64, count, offset + 4 * count)
        lengths = np.frombuffer(data, "<u4", count, offset + 12 * count).tolist()
        offset += 16 * count
        units = []
        for length in lengths:
            units.append(int.from_bytes(data[offset : offset + length], "little"))
            offset += length
        return cls(half_life_days, until_us, index, tuple(units), exponents)

    def _as_dict(self) -> dict[int, tuple[int, int]]:
        return dict(zip(self.index.tolist(), zip(self.units, self.exponents.tolist(), strict=True), strict=True))


def _add(left: tuple[int, int] | None, right: tuple[int, int]) -> tuple[int, int]:
    if left is None:
        return right
    low = min(left[1], right[1])
    return (left[0] << (left[1] - low)) + (right[0] << (right[1] - low)), low


def _odd(unit: int, exponent: int) -> tuple[int, int]:
    zeros = (unit & -unit).bit_length() - 1
    return unit >> zeros, exponent + zeros


def _top(unit: int) -> tuple[float, int]:
    """``unit`` as (float, power of two), safe for numbers beyond the range of a float."""
    excess = max(0, unit.bit_length() - 64)
    return float(unit >> excess), excess
