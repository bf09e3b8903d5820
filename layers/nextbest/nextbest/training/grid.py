"""The settings that the search tries, the most promising kernels first."""

from __future__ import annotations

from dataclasses import replace

from nextbest.scoring.kernels import Kernel
from nextbest.training.learners import Personal, Prior

PRIOR_HALF_LIVES_DAYS = (1.0, 3.0, 7.0, 14.0, 30.0, 60.0, 180.0, 730.0)
PRIORS = tuple(Prior(days, newcomers) for newcomers in (False, True) for days in PRIOR_HALF_LIVES_DAYS)
TIES = Prior(30.0)
"""Orders equal scores."""
MOST_POPULAR = Prior(1e6)
DONE_MOST_OFTEN = Personal(Kernel("time", "exponential", 1e6))
DONE_LAST = Personal(Kernel("rank", "exponential", 1.0))
"""Classic lists that a report compares with: nothing decays in the first two, and the last event decides the third."""
PERSONAL_KERNELS = (
    Kernel("time", "exponential", 90.0),
    Kernel("rank", "exponential", 60.0),
    Kernel("time", "power", 0.5),
    Kernel("rank", "power", 0.5),
    Kernel("time", "exponential", 365.0),
    Kernel("time", "exponential", 30.0),
    Kernel("rank", "exponential", 20.0),
    Kernel("rank", "exponential", 200.0),
    Kernel("time", "power", 0.25),
    Kernel("rank", "power", 0.25),
    Kernel("rank", "power", 1.0),
    Kernel("time", "exponential", 10.0),
    Kernel("time", "power", 1.0),
    Kernel("rank", "exponential", 600.0),
    Kernel("time", "exponential", 3.0),
    Kernel("rank", "exponential", 6.0),
    Kernel("time", "exponential", 0.1),
    Kernel("time", "exponential", 3650.0),
)
PERSONALS = tuple(Personal(replace(kernel, damping=damping)) for damping in (1.0, 0.5) for kernel in PERSONAL_KERNELS)
LEARNED_KERNELS = (
    Kernel("time", "exponential", 90.0, 0.5),
    Kernel("rank", "exponential", 60.0, 0.5),
    Kernel("time", "exponential", 30.0, 0.5),
    Kernel("rank", "power", 0.5, 0.5),
    Kernel("time", "exponential", 365.0, 0.5),
    Kernel("rank", "exponential", 20.0, 0.5),
    Kernel("time", "exponential", 10.0, 0.5),
    Kernel("rank", "exponential", 200.0, 0.5),
    Kernel("rank", "power", 1.0, 0.5),
    Kernel("time", "power", 0.5, 0.5),
    Kernel("rank", "exponential", 6.0, 0.5),
    Kernel("time", "exponential", 4.0, 0.5),
    Kernel("time", "exponential", 0.1, 0.5),
)
"""Kernels of item weights; half damping suits them nearly always, and no damping is tried at the end."""
SHARES = (0.0, 0.5, 1.0)
SCALE_FACTORS = (0.5, 2.0)
"""Scales tried around the best kernel's."""
