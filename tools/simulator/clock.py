"""Clocks that run by habit: fast in the hours a customer likes, slow in the others.

A *habit day* is a day on such a clock. A week always holds seven of them, so rates per habit day are rates per day on
average, and a process that is simple in habit time (a renewal process, say) gains hours and weekdays in real time
without losing its closed form: the time-rescaling theorem (Daley and Vere-Jones, 2003, section 7.4) read backwards.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

DAY_SECONDS = 86_400.0
WEEK_DAYS = 7.0
WEEK_HOURS = 168
# 1970-01-01 was a Thursday; counting weeks from the Monday after keeps hour 0 of a profile at Monday midnight, UTC.
FIRST_MONDAY_DAYS = 4.0


@dataclass(frozen=True, slots=True, eq=False)
class WeeklyClock:
    """Real time to habit time and back, for several weekly profiles at once.

    ``knots`` has shape (profiles, 169): habit days since Monday midnight UTC at each hour of the week, strictly
    increasing from 0 to 7.
    """

    knots: FloatArray

    @classmethod
    def from_intensities(cls, intensities: FloatArray) -> WeeklyClock:
        """The clocks of relative hourly intensities, shape (profiles, 168), all above zero; hour 0 is Monday 0:00 UTC.

        Raises ``ValueError`` for another shape or for an hour without intensity (the clock could not be read back).
        """
        if intensities.ndim != 2 or intensities.shape[1] != WEEK_HOURS:
            raise ValueError(f"intensities have shape {intensities.shape}; (profiles, {WEEK_HOURS}) is needed")
        if not np.all(intensities > 0):
            raise ValueError("every hour of the week needs an intensity above zero")
        shares = intensities / intensities.sum(axis=1, keepdims=True)
        running = np.concatenate([np.zeros((len(shares), 1)), np.cumsum(shares, axis=1)], axis=1)
        return cls(knots=running / running[:, -1:] * WEEK_DAYS)

    def habit_days(self, timestamps: FloatArray, profiles: IntArray) -> FloatArray:
        """Habit days since the first Monday of 1970 at each timestamp (seconds since 1970) on each one's profile."""
        days = timestamps / DAY_SECONDS - FIRST_MONDAY_DAYS
        weeks = np.floor(days / WEEK_DAYS)
        hours = (days - weeks * WEEK_DAYS) * 24.0
        return weeks * WEEK_DAYS + self._interpolate(hours, profiles, to_habit=True)

    def timestamps(self, habit_days: FloatArray, profiles: IntArray) -> FloatArray:
        """Seconds since 1970 at each number of habit days: the inverse of ``habit_days``."""
        weeks = np.floor(habit_days / WEEK_DAYS)
        hours = self._interpolate(habit_days - weeks * WEEK_DAYS, profiles, to_habit=False)
        return (weeks * WEEK_DAYS + hours / 24.0 + FIRST_MONDAY_DAYS) * DAY_SECONDS

    def _interpolate(self, positions: FloatArray, profiles: IntArray, *, to_habit: bool) -> FloatArray:
        hours = np.arange(WEEK_HOURS + 1, dtype=np.float64)
        result = np.empty_like(positions)
        for profile, knots in enumerate(self.knots):
            chosen = profiles == profile
            axes = (hours, knots) if to_habit else (knots, hours)
            result[chosen] = np.interp(positions[chosen], *axes)
        return result
