"""A population: its events so far, its true probabilities, and what it does next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nextbest.domain.actions import Action
from nextbest.domain.assets import Asset
from nextbest.domain.events import Event
from tools.simulator.clock import DAY_SECONDS, FloatArray, IntArray
from tools.simulator.process import Arrivals, Process

MILLISECONDS = 1_000
MORNING_ENDS_HOUR, AFTERNOON_ENDS_HOUR = 11, 17


@dataclass(frozen=True, slots=True, eq=False)
class Population:
    """Customers whose next steps are known in distribution.

    Each pair of customer and action is a renewal process with Erlang gaps on the customer's own weekly clock, some of
    them once-only, some opened by another action (``process`` has the details and the parameters). ``events`` is the
    history up to and including ``now`` (seconds since 1970), sorted by time. Truth is conditional on that history and
    on the parameters, which no recommender sees: it bounds what any of them can reach.

    ``app_share`` (customers,) is how often a customer who has taken ``app_action`` (a column; None where everybody has
    the app) uses the app rather than the counter; event labels say which, and the part of the day.
    """

    user_ids: tuple[str, ...]
    actions: tuple[Action, ...]
    assets: list[Asset]
    events: list[Event]
    now: float
    process: Process
    first_day: FloatArray
    last_day: FloatArray
    app_share: FloatArray
    app_action: int | None

    def true_probabilities(self, horizon_days: float) -> NDArray[np.float64]:
        """Probability of taking each action at least once in the next ``horizon_days``: (customers, actions).

        Rows follow ``user_ids``, columns ``actions``. Raises ``ValueError`` unless the horizon is above zero.
        """
        return self._probabilities(np.arange(len(self.user_ids)), horizon_days)

    def true_probability(self, user_id: str, horizon_days: float) -> Mapping[Action, float]:
        """Probability that the user takes each action at least once in the next ``horizon_days``.

        Every action of the population is there; 0 for those that are over (once-only and taken). Raises ``KeyError``
        for a user who is not of this population.
        """
        row = self._probabilities(np.array([self._row(user_id)]), horizon_days)[0]
        return dict(zip(self.actions, row.tolist(), strict=True))

    def best_ranking(self, user_id: str, horizon_days: float, allow_repeats: bool = True) -> list[Action]:
        """The optimal order: by true probability, then by name. Impossible actions are left out.

        ``allow_repeats=False`` also leaves out what the user has ever taken.
        """
        taken = dict(zip(self.actions, ~np.isnan(self.last_day[self._row(user_id)]), strict=True))
        truth = self.true_probability(user_id, horizon_days)
        allowed = [action for action in self.actions if truth[action] > 0 and (allow_repeats or not taken[action])]
        return sorted(allowed, key=lambda action: (-truth[action], action))

    def future(self, horizon_days: float, seed: int) -> list[Event]:
        """One sample of what happens after ``now`` within ``horizon_days``, sorted by time.

        Raises ``ValueError`` unless the horizon is above zero.
        """
        start, stop = self._window(np.arange(len(self.user_ids)), horizon_days)
        generator = np.random.default_rng(seed)
        arrivals = self.process.sample(self.first_day, self.last_day, start, stop, generator)
        earliest_ms = int(np.floor(self.now * MILLISECONDS)) + 1
        latest_ms = int(np.floor((self.now + horizon_days * DAY_SECONDS) * MILLISECONDS))
        return events_of(self, arrivals, generator, earliest_ms=earliest_ms, latest_ms=latest_ms)

    def _probabilities(self, customers: IntArray, horizon_days: float) -> FloatArray:
        start, stop = self._window(customers, horizon_days)
        process = self.process.rows(customers)
        return process.probabilities(self.first_day[customers], self.last_day[customers], start, stop)

    def _window(self, customers: IntArray, horizon_days: float) -> tuple[FloatArray, FloatArray]:
        if not horizon_days > 0:
            raise ValueError(f"horizon_days is {horizon_days}; a number above 0 is needed")
        profile = self.process.profile[customers]
        start = np.full(len(customers), self.now)
        stop = start + horizon_days * DAY_SECONDS
        return self.process.clock.habit_days(start, profile), self.process.clock.habit_days(stop, profile)

    def _row(self, user_id: str) -> int:
        try:
            return self.user_ids.index(user_id)
        except ValueError:
            raise KeyError(f"{user_id!r} is not of this population") from None


def live(
    *,
    user_ids: tuple[str, ...],
    actions: tuple[Action, ...],
    assets: list[Asset],
    process: Process,
    app_share: FloatArray,
    app_action: int | None,
    now: float,
    generator: np.random.Generator,
) -> Population:
    """Simulate a population from its beginning until ``now``."""
    nothing = np.full(process.mean_gap.shape, np.nan)
    start = np.full(len(user_ids), -np.inf)
    today = process.clock.habit_days(np.full(len(user_ids), now), process.profile)
    arrivals = process.sample(nothing, nothing, start, today, generator)
    first_day, last_day = nothing.copy(), nothing.copy()
    np.fmin.at(first_day, (arrivals.customer, arrivals.action), arrivals.day)
    np.fmax.at(last_day, (arrivals.customer, arrivals.action), arrivals.day)
    unborn = Population(
        user_ids=user_ids,
        actions=actions,
        assets=assets,
        events=[],
        now=now,
        process=process,
        first_day=first_day,
        last_day=last_day,
        app_share=app_share,
        app_action=app_action,
    )
    latest_ms = int(np.floor(now * MILLISECONDS))
    events = events_of(unborn, arrivals, generator, earliest_ms=0, latest_ms=latest_ms)
    return replace(unborn, events=events)


def events_of(
    population: Population, arrivals: Arrivals, generator: np.random.Generator, *, earliest_ms: int, latest_ms: int
) -> list[Event]:
    """The arrivals as labelled events in whole milliseconds, sorted by time, then user, type and asset.

    Rounding may not carry an event over either end of the window, so times are clamped to it.
    """
    process = population.process
    timestamps = process.clock.timestamps(arrivals.day, process.profile[arrivals.customer])
    milliseconds = np.clip(np.floor(timestamps * MILLISECONDS).astype(np.int64), earliest_ms, latest_ms)
    in_app = _uses_app(population, arrivals, generator)
    hours = (milliseconds // (3_600 * MILLISECONDS)) % 24
    events = [
        Event(
            user_id=population.user_ids[customer],
            timestamp_us=millisecond * 1_000,
            event_type=population.actions[action].event_type,
            asset_id=population.actions[action].asset_id,
            labels=(_part_of_day(hour), "app" if app else "in-store"),
        )
        for customer, action, millisecond, hour, app in zip(
            arrivals.customer.tolist(),
            arrivals.action.tolist(),
            milliseconds.tolist(),
            hours.tolist(),
            in_app.tolist(),
            strict=True,
        )
    ]
    return sorted(events, key=lambda event: (event.timestamp_us, event.user_id, event.event_type, event.asset_id))


def _uses_app(population: Population, arrivals: Arrivals, generator: np.random.Generator) -> np.ndarray:
    """Whether each event came through the app: never before the customer got it, always for getting it."""
    in_app = generator.random(len(arrivals.day)) < population.app_share[arrivals.customer]
    if population.app_action is None:
        return np.asarray(in_app)
    got_app = population.first_day[:, population.app_action].copy()
    is_app = arrivals.action == population.app_action
    np.fmin.at(got_app, arrivals.customer[is_app], arrivals.day[is_app])
    has_app = arrivals.day >= np.nan_to_num(got_app[arrivals.customer], nan=np.inf)
    return np.asarray(has_app & (in_app | is_app))


def _part_of_day(hour: int) -> str:
    if hour < MORNING_ENDS_HOUR:
        return "morning"
    return "afternoon" if hour < AFTERNOON_ENDS_HOUR else "evening"
