"""Estimates with their intervals, in words and as plots."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import floor, log10
from typing import Any

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Unit:
    """How the numbers of a measure are written: times ``scale``, followed by a unit."""

    scale: float = 1.0
    unit: str = ""
    has_sign: bool = False

    def write(self, value: float, digits: int) -> str:
        """The number as text."""
        return f"{self._digits(value, digits)}{self.unit}"

    def write_interval(self, interval: Sequence[float], digits: int) -> str:
        """An interval as text."""
        low, high = (self._digits(end, digits) for end in interval)
        return f"{low} to {high}{self.unit}"

    def digits_of(self, interval: Sequence[float] | None) -> int:
        """As many decimals as leave two significant digits of half the interval."""
        half = (interval[1] - interval[0]) * self.scale / 2.0 if interval is not None else 0.0
        return min(max(1 - floor(log10(half)), 0), 9) if half > 0.0 else 2

    def _digits(self, value: float, digits: int) -> str:
        text = f"{value * self.scale:{'+' if self.has_sign else ''},.{digits}f}"
        return text.replace("-", "−")


@dataclass(frozen=True, slots=True)
class IntervalPlot:
    """Places of an estimate's value and intervals in per cent of the plot's width; ``zero`` where no difference is."""

    value: float
    always_valid: tuple[float, float] | None
    fixed: tuple[float, float] | None
    zero: float | None


@dataclass(frozen=True, slots=True)
class EstimateRow:
    """An estimate with its intervals as text, and its plot; where it is not known, ``reason`` says why.

    ``is_headline``: the verdict rests on its always-valid interval.
    """

    name: str
    value: str = ""
    always_valid: str = ""
    fixed: str = ""
    reason: str = ""
    plot: IntervalPlot | None = None
    is_headline: bool = False


def estimate_rows(
    estimates: Sequence[tuple[str, Json]], unit: Unit, *, zero: float | None, headline: int | None = None
) -> list[EstimateRow]:
    """A row for each estimate of a report, by its name, with plots on one scale.

    ``zero`` is the value of no difference, where there is one; the verdict rests on the row at ``headline``.
    """
    scale = _scale_of((estimate for _, estimate in estimates), include=() if zero is None else (zero,))
    return [
        _row(name, estimate, unit, scale, zero=zero, is_headline=place == headline)
        for place, (name, estimate) in enumerate(estimates)
    ]


def _row(
    name: str,
    estimate: Json,
    unit: Unit,
    scale: tuple[float, float],
    *,
    zero: float | None,
    is_headline: bool,
) -> EstimateRow:
    value, always_valid, fixed = estimate["value"], estimate["always_valid"], estimate["fixed"]
    if value is None:
        return EstimateRow(name, reason=estimate["reason"], is_headline=is_headline)
    digits = unit.digits_of(always_valid or fixed)
    return EstimateRow(
        name,
        unit.write(value, digits),
        unit.write_interval(always_valid, digits) if always_valid is not None else "",
        unit.write_interval(fixed, digits) if fixed is not None else "",
        estimate["reason"],
        _plot(value, always_valid, fixed, scale, zero),
        is_headline,
    )


def _plot(
    value: float,
    always_valid: Sequence[float] | None,
    fixed: Sequence[float] | None,
    scale: tuple[float, float],
    zero: float | None,
) -> IntervalPlot:
    low, high = scale

    def place(number: float) -> float:
        return round(100.0 * (number - low) / (high - low), 2)

    def places(interval: Sequence[float] | None) -> tuple[float, float] | None:
        return None if interval is None else (place(interval[0]), place(interval[1]))

    return IntervalPlot(place(value), places(always_valid), places(fixed), None if zero is None else place(zero))


def _scale_of(estimates: Iterable[Json], *, include: Sequence[float]) -> tuple[float, float]:
    """From where to where the plots of some estimates reach, with a little room on both sides."""
    numbers = list(include)
    for estimate in estimates:
        if estimate["value"] is not None:
            numbers += [estimate["value"], *(estimate["always_valid"] or ()), *(estimate["fixed"] or ())]
    low, high = (min(numbers), max(numbers)) if numbers else (0.0, 1.0)
    room = 0.04 * (high - low) or 1.0
    return low - room, high + room
