"""Small populations for tests: one of any size with known probabilities, one with a single right answer for each user.

small_population(seed=3, now=1_790_000_000, customers=20, actions=10, months=2)
checkerboard_population(now=1_790_000_000, size=8)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from nextbest.domain.actions import Action
from nextbest.domain.assets import Asset
from nextbest.domain.events import Event, to_microseconds
from tools.simulator.clock import DAY_SECONDS, WEEK_HOURS, WeeklyClock
from tools.simulator.population import Population, live
from tools.simulator.process import NO_PREREQUISITE, Process

MONTH_DAYS = 30.0
REST_SPEED = 0.02
CHECKERBOARD_STEP_SECONDS = 3_600.0
# What a customer does with assets of the other camp, relative to those of the own one.
OTHER_CAMP_FACTOR = 12.0


def small_population(seed: int, now: float, customers: int = 40, actions: int = 12, months: float = 3.0) -> Population:
    """A population of two camps, even and odd customers, who prefer even and odd actions.

    Actions are ``use/asset-0000`` and on; every fifth is instead ``rate`` of the asset before it, once-only and opened
    by using it. Customers arrive over the first half of the ``months`` (of 30 days) before ``now``, at one steady pace
    each, around the clock. Raises ``ValueError`` unless there is at least one customer, one action and some time.
    """
    if customers < 1 or actions < 1 or not months > 0:
        raise ValueError(f"customers {customers}, actions {actions} and months {months} must all be above 0")
    generator = np.random.default_rng(seed)
    size = (customers, actions)
    columns, rows = np.arange(actions), np.arange(customers)
    is_rating = columns % 5 == 4
    prerequisite = np.where(is_rating, columns - 1, NO_PREREQUISITE)
    asset_columns = np.where(is_rating, columns - 1, columns)
    same_camp = rows[:, None] % 2 == asset_columns % 2
    pace = np.exp(generator.normal(0.0, 0.7, customers))
    mean_gap = generator.uniform(4.0, 20.0, size) * np.where(same_camp, 1.0, OTHER_CAMP_FACTOR) / pace[:, None]
    clock = WeeklyClock.from_intensities(np.ones((1, WEEK_HOURS)))
    profile = np.zeros(customers, dtype=np.int64)
    arrived = now - generator.uniform(0.5, 1.0, customers) * months * MONTH_DAYS * DAY_SECONDS
    begin = np.repeat(clock.habit_days(arrived, profile)[:, None], actions, axis=1)
    process = Process(
        clock=clock,
        profile=profile,
        shape=generator.integers(1, 5, size),
        mean_gap=mean_gap,
        begin=begin,
        fade=np.full(size, np.inf),
        once=is_rating,
        prerequisite=prerequisite,
        rest_speed=REST_SPEED,
    )
    return live(
        user_ids=tuple(f"user-{row:04d}" for row in range(customers)),
        actions=tuple(
            Action("rate" if rating else "use", f"asset-{asset:04d}")
            for rating, asset in zip(is_rating.tolist(), asset_columns.tolist(), strict=True)
        ),
        assets=[_asset(column) for column in columns[~is_rating].tolist()],
        process=process,
        app_share=np.full(customers, 0.5),
        app_action=None,
        now=now,
        generator=generator,
    )


@dataclass(frozen=True, slots=True)
class Checkerboard:
    """Events and assets with one right discovery for each user, by argument rather than by chance."""

    events: list[Event]
    assets: list[Asset]
    right_answers: Mapping[str, Action]


def checkerboard_population(now: float, size: int = 8) -> Checkerboard:
    """As many users as actions; user i has taken, once, every action of i's own parity except action i.

    Users of one parity share all their tastes, so the one discovery that any sensible method puts first for user i is
    action i (after ``get_checker_board`` in the tests of the implicit library). Events lie an hour apart, in an order
    that favours no action, and end at ``now``. Raises ``ValueError`` below six, where no two users share an action.
    """
    if size < 6:
        raise ValueError(f"size is {size}; at least 6 is needed")
    of_parity = (range(0, size, 2), range(1, size, 2))
    # Step by step, each user one action further along: each action gets the same mix of early and late events.
    taken = [
        (user, own[(user // 2 + step) % len(own)])
        for step in range(1, len(of_parity[0]))
        for user, own in ((user, of_parity[user % 2]) for user in range(size))
        if step < len(own)
    ]
    first = now - (len(taken) - 1) * CHECKERBOARD_STEP_SECONDS
    events = [
        Event(
            user_id=f"user-{user:04d}",
            timestamp_us=to_microseconds(first + position * CHECKERBOARD_STEP_SECONDS),
            event_type="use",
            asset_id=f"asset-{action:04d}",
        )
        for position, (user, action) in enumerate(taken)
    ]
    return Checkerboard(
        events=events,
        assets=[_asset(column) for column in range(size)],
        right_answers={f"user-{user:04d}": Action("use", f"asset-{user:04d}") for user in range(size)},
    )


def _asset(column: int) -> Asset:
    return Asset(f"asset-{column:04d}", f"Asset {column}", ("even" if column % 2 == 0 else "odd",))
