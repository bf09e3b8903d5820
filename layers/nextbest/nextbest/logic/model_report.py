"""What a model's report says, in words and in shapes that pages show. Models from before lack some of it."""

from __future__ import annotations

import math
from collections.abc import Mapping

LARGEST_ERROR = 1.0 / 3.0
"""Weights further off than this share of what was expected are worth a warning."""
_STANDARD_ERRORS = 3.0
"""What may be chance is not drift."""


def has_drifted(counts: Mapping[str, float]) -> bool:
    """Whether what came true is further from what was expected than a third of it, and than chance explains."""
    expected, observed = counts["expected"], counts["observed"]
    chance = _STANDARD_ERRORS * math.sqrt(max(expected, observed, 1.0))
    return abs(observed - expected) > max(LARGEST_ERROR * expected, chance)


def describe_drift(drift: Mapping[str, Mapping[str, float]]) -> str:
    """The modes that have drifted in words, for people; empty where none has."""
    return "; ".join(
        f"growth weights of {mode} were {counts['expected'] / counts['recommendations']:.3f} on average since the last "
        f"rebase, and {counts['observed'] / counts['recommendations']:.3f} came true"
        for mode, counts in drift.items()
        if has_drifted(counts)
    )
