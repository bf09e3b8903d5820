"""Where two models differ."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

TOLERANCE = 1e-6


def differences(one: Any, other: Any, path: str = "model") -> Iterator[str]:
    """Where two models differ: numbers by more than ``TOLERANCE``, anything else at all."""
    if is_dataclass(one):
        for field in fields(one):
            yield from differences(getattr(one, field.name), getattr(other, field.name), f"{path}.{field.name}")
    elif isinstance(one, dict):
        if one.keys() != other.keys():
            yield path
        for name in one.keys() & other.keys():
            yield from differences(one[name], other[name], f"{path}.{name}")
    elif isinstance(one, list | tuple) and len(one) == len(other):
        for place, (left, right) in enumerate(zip(one, other, strict=True)):
            yield from differences(left, right, f"{path}[{place}]")
    elif isinstance(one, np.ndarray | float):
        if np.shape(one) != np.shape(other) or not np.allclose(one, other, rtol=TOLERANCE, atol=TOLERANCE):
            yield path
    elif one != other:
        yield path
