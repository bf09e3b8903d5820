"""A population with a goal, a planted effect and a planted confounder: the truth that estimates are held against.

    goal_population(seed=3, now=1_790_000_000)
    visiting_population(seed=3, now=1_790_000_000)

``try trial`` raises the chance of the goal ``upgrade plan`` by a known amount. ``read news`` does not, but keen users,
who are hidden and show in how often they ``browse shop``, both read more and upgrade more. In the second population
everything happens within visits of minutes, in one order, and the goal follows at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nextbest.domain.actions import Action
from nextbest.domain.events import DAY_SECONDS, Event, to_microseconds

GOAL = Action("upgrade", "plan")
EFFECTIVE = Action("try", "trial")
CONFOUNDED = Action("read", "news")
EVIDENCE = Action("browse", "shop")

KEEN_SHARE = 0.5
FIRST_VISIT_TAKINGS = (20.0, 1.0)
"""How often the keen and the others browse on arrival, on average: it shows before anything else they do."""
FIRST_VISIT_DAYS = 0.1
# Takings a day of users who are keen, and of the others.
RATES: Mapping[Action, tuple[float, float]] = {
    EVIDENCE: (0.1, 0.05),
    EFFECTIVE: (0.02, 0.02),
    CONFOUNDED: (0.06, 0.01),
    GOAL: (0.03, 0.004),
}


@dataclass(frozen=True, slots=True, eq=False)
class GoalPopulation:
    """``events`` sorted by time, and ``true_effects``: by how much taking an action raises the probability of reaching
    the goal within the horizon, on average over the takings."""

    events: list[Event]
    true_effects: Mapping[Action, float]


def goal_population(
    seed: int, now: float, *, customers: int = 400, days: float = 150.0, lift: float = 0.15, horizon_days: float = 14.0
) -> GoalPopulation:
    """Every taking of EFFECTIVE leads to one more goal with probability ``lift``, at any time within ``horizon_days``.

    Customers arrive over the first third of the ``days`` before ``now`` (seconds since 1970). All takings are Poisson
    processes, so a user of goal rate g, and rate a of EFFECTIVE, reaches no other goal within the horizon h with
    probability exp(-(g + a · lift) · h), and only then does one more make a difference.
    """
    generator = np.random.default_rng(seed)
    keen = generator.random(customers) < KEEN_SHARE
    life_days = days * generator.uniform(2.0 / 3.0, 1.0, customers)
    first = np.repeat(np.arange(customers), 1 + generator.poisson(np.where(keen, *FIRST_VISIT_TAKINGS)))
    rows = _rows(first, EVIDENCE, life_days[first] + generator.random(len(first)) * FIRST_VISIT_DAYS)
    for action, (of_keen, of_others) in RATES.items():
        users = np.repeat(np.arange(customers), generator.poisson(np.where(keen, of_keen, of_others) * life_days))
        days_ago = generator.random(len(users)) * life_days[users]
        rows += _rows(users, action, days_ago)
        if action == EFFECTIVE:
            leads = generator.random(len(users)) < lift
            later = days_ago[leads] - generator.random(int(leads.sum())) * horizon_days
            rows += _rows(users[leads], GOAL, later)
    shares = np.array([KEEN_SHARE, 1.0 - KEEN_SHARE])
    others = np.array(RATES[GOAL]) + lift * np.array(RATES[EFFECTIVE])
    true_effect = lift * float(shares @ np.exp(-others * horizon_days))
    return GoalPopulation(_events(rows, now), {EFFECTIVE: true_effect, CONFOUNDED: 0.0, EVIDENCE: 0.0})


def _rows(users: NDArray[np.int64], action: Action, days_ago: NDArray[np.float64]) -> list[tuple[int, Action, float]]:
    return [(user, action, ago) for user, ago in zip(users.tolist(), days_ago.tolist(), strict=True)]


VISIT_CHANCES: Mapping[Action, float] = {EVIDENCE: 0.9, EFFECTIVE: 0.25, CONFOUNDED: 0.25}
"""What a visit brings, in this order, whoever comes."""
_STEP_SECONDS = 120.0


def visiting_population(
    seed: int, now: float, *, customers: int = 300, days: float = 120.0, lift: float = 0.2
) -> GoalPopulation:
    """Within a visit, EFFECTIVE leads to the goal within minutes with probability ``lift``; CONFOUNDED to nothing.

    Keen customers come more often, and reach the goal in more of their visits anyway: both are hidden. The true effect
    of EFFECTIVE is a little below the lift, as some would have reached the goal within the horizon without it.
    """
    generator = np.random.default_rng(seed)
    rows: list[tuple[int, Action, float]] = []
    for customer in range(customers):
        keen = generator.random() < KEEN_SHARE
        rate = generator.gamma(4.0) / 4.0 * (0.25 if keen else 0.15)
        ago = days * generator.uniform(0.6, 1.0)
        while ago > _STEP_SECONDS / DAY_SECONDS:
            time = ago
            for action, chance in VISIT_CHANCES.items():
                if generator.random() < chance:
                    time -= generator.exponential(_STEP_SECONDS) / DAY_SECONDS
                    rows.append((customer, action, time))
                    if action == EFFECTIVE and generator.random() < lift:
                        rows.append((customer, GOAL, time - generator.exponential(_STEP_SECONDS) / DAY_SECONDS))
            if generator.random() < (0.06 if keen else 0.02):
                rows.append((customer, GOAL, time - _STEP_SECONDS / DAY_SECONDS))
            ago -= generator.exponential(1.0 / rate)
    return GoalPopulation(_events(rows, now), {EFFECTIVE: lift, CONFOUNDED: 0.0})


def _events(rows: list[tuple[int, Action, float]], now: float) -> list[Event]:
    """Events of rows of customer, action and days before ``now``, sorted by time; none after it."""
    events = [
        Event(f"user-{user:04d}", to_microseconds(now - ago * DAY_SECONDS), *action)
        for user, action, ago in rows
        if ago > 0.0
    ]
    return sorted(events, key=lambda event: (event.timestamp_us, event.user_id, event.event_type))
