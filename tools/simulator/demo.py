"""The demo program: half a year of a coffee-shop app.

from tools.simulator import demo_population
demo = demo_population(seed=7, now=1_790_000_000, customers=500)
"""

from __future__ import annotations

import numpy as np

from nextbest.domain.actions import Action
from nextbest.domain.assets import Asset, FieldValue
from tools.simulator.clock import DAY_SECONDS, WEEK_HOURS, FloatArray, WeeklyClock
from tools.simulator.menu import ITEMS, OTHER_ASSETS, PORTRAITS, RHYTHMS, STEPS, TASTES, Item, Portrait
from tools.simulator.population import Population, live
from tools.simulator.process import NO_PREREQUISITE, Process

SPAN_DAYS = 180.0
# Visits outside a guest's usual hours; the peaks are several times as high.
QUIET = 0.01
# A habit that has ended continues at this share of its old pace.
REST_SPEED = 0.02
# Mean days between orders of an item of average appeal, outside of habits, for a guest of pace 1.
WANDERING_GAP_DAYS = 400.0
REVIEW_WAIT_DAYS = 150.0
TASTE_STEP_FACTOR = 4.0
SEASON_DAYS_LEFT = 40.0

_LIKING = np.array([item.liking for item in ITEMS])
_RHYTHM_NAMES = tuple(RHYTHMS)


def demo_population(seed: int, now: float, customers: int = 500) -> Population:
    """A coffee shop's guests over the 180 days before ``now`` (seconds since 1970), the first twelve of them by name.

    Each guest mixes six latent tastes, keeps one to three habits (an item with a cycle of days to weeks) on one of five
    weekly rhythms, and wanders over the rest of the menu in proportion to taste. Orders open reviews of the same item;
    joining the club opens its vouchers, referrals and gold tier. Pace varies log-normally, so few guests are heavy and
    most light; about a fifth has left (2 % of their old pace remains), some came last week, one in eight has swapped a
    habit for another. The process behind it, and so the exact truth, is that of ``Population``.

    The same arguments give the same population to the bit. Raises ``ValueError`` for fewer than one customer.
    """
    if customers < 1:
        raise ValueError(f"customers is {customers}; at least 1 is needed")
    generator = np.random.default_rng(seed)
    clock = WeeklyClock.from_intensities(np.array([_intensity(rhythm) for rhythm in RHYTHMS]))
    guests = [*PORTRAITS[:customers], *(_stranger(number, generator) for number in range(len(PORTRAITS), customers))]
    mixes = np.array([_taste_mix(guest, generator) for guest in guests])
    actions = _actions()
    process = _process(guests, mixes, actions, clock, now, generator)
    return live(
        user_ids=tuple(guest.user_id for guest in guests),
        actions=actions,
        assets=_assets(now),
        process=process,
        app_share=np.array([guest.app_share for guest in guests]),
        app_action=actions.index(Action("get", "app")),
        now=now,
        generator=generator,
    )


def _actions() -> tuple[Action, ...]:
    return (
        *(Action("order", item.asset_id) for item in ITEMS),
        *(Action("review", item.asset_id) for item in ITEMS if item.rating),
        *(Action(step.event_type, step.asset_id) for step in STEPS),
    )


def _intensity(rhythm: str) -> FloatArray:
    """Relative number of visits in each hour of a week, Monday first: a sum of bumps, with weekends scaled."""
    bumps, weekend = RHYTHMS[rhythm]
    hours = np.arange(24) + 0.5
    day = QUIET + sum(height * np.exp(-0.5 * ((hours - centre) / width) ** 2) for centre, width, height in bumps)
    return np.concatenate([day * (weekend if weekday >= 5 else 1.0) for weekday in range(WEEK_HOURS // 24)])


def _stranger(number: int, generator: np.random.Generator) -> Portrait:
    """A guest without a name, drawn at random."""
    taste = TASTES[int(generator.choice(len(TASTES), p=[0.18, 0.28, 0.17, 0.15, 0.1, 0.12]))]
    pace = float(np.exp(generator.normal(-1.2, 0.85)))
    arrival = generator.random()
    # Four in ten came in the first fortnight, one in twenty in the last; the rest at any time.
    low, high = (166.0, 179.5) if arrival < 0.4 else (0.5, 14.0) if arrival < 0.45 else (1.0, 179.0)
    joined_days_ago = float(generator.uniform(low, high))
    stays = generator.random() < 0.8
    left_days_ago = None if stays else float(generator.uniform(0.0, 0.9) * joined_days_ago)
    liked = _LIKING[:, TASTES.index(taste)]
    count = int(generator.integers(1, 4))
    chosen = generator.choice(len(ITEMS), size=count, replace=False, p=liked / liked.sum())
    habits = {ITEMS[index].asset_id: ITEMS[index].gap_days / pace for index in chosen}
    dropped = {}
    if count > 1 and generator.random() < 0.2:
        dropped = {ITEMS[chosen[0]].asset_id: float(generator.uniform(0.1, 0.7) * joined_days_ago)}
    return Portrait(
        user_id=f"guest-{number + 1:04d}",
        taste=taste,
        rhythm=_RHYTHM_NAMES[int(generator.integers(len(_RHYTHM_NAMES)))],
        pace=pace,
        joined_days_ago=joined_days_ago,
        habits=habits,
        dropped=dropped,
        left_days_ago=left_days_ago,
        app_share=float(generator.beta(1.2, 1.2)),
    )


def _taste_mix(guest: Portrait, generator: np.random.Generator) -> FloatArray:
    """Weights over ``TASTES`` that add up to 1: mostly the guest's main taste, with a little of everything."""
    weights = np.full(len(TASTES), 0.25)
    weights[TASTES.index(guest.taste)] = 5.0
    return generator.dirichlet(weights)


def _process(
    guests: list[Portrait],
    mixes: FloatArray,
    actions: tuple[Action, ...],
    clock: WeeklyClock,
    now: float,
    generator: np.random.Generator,
) -> Process:
    columns = {action: column for column, action in enumerate(actions)}
    size = (len(guests), len(actions))
    profile = np.array([_RHYTHM_NAMES.index(guest.rhythm) for guest in guests])
    pace = np.array([guest.pace for guest in guests])
    shape, mean_gap = np.ones(size, dtype=np.int64), np.empty(size)
    # Appeal relative to the menu's average; squared, to spread likes and dislikes.
    appeal = mixes @ _LIKING.T
    wandering = (appeal / appeal.mean(axis=1, keepdims=True)) ** 2
    begin_days_ago = np.repeat(np.array([guest.joined_days_ago for guest in guests])[:, None], size[1], axis=1)
    fade_days_ago = np.repeat(
        np.array([-np.inf if guest.left_days_ago is None else guest.left_days_ago for guest in guests])[:, None],
        size[1],
        axis=1,
    )
    prerequisite = np.full(size[1], NO_PREREQUISITE)
    once = np.zeros(size[1], dtype=bool)
    # How readily a guest writes reviews, and takes part in offers: one trait each, over all reviews and steps.
    talkative, engaged = np.exp(generator.normal(0.0, 0.9, (2, len(guests))))
    for row, item in enumerate(ITEMS):
        order = columns[Action("order", item.asset_id)]
        mean_gap[:, order] = WANDERING_GAP_DAYS / (pace * wandering[:, row])
        review = columns.get(Action("review", item.asset_id))
        if review is not None:
            mean_gap[:, review] = REVIEW_WAIT_DAYS / talkative
            prerequisite[review], once[review] = order, True
        _set_habits(item, order, guests, shape, mean_gap, begin_days_ago, fade_days_ago)
    for step in STEPS:
        column = columns[Action(step.event_type, step.asset_id)]
        keen = np.ones(len(guests))
        if step.taste is not None:
            keen = 0.2 + TASTE_STEP_FACTOR * mixes[:, TASTES.index(step.taste)]
        mean_gap[:, column] = step.wait_days / (engaged * keen)
        shape[:, column], once[column] = step.steadiness, step.once
        if step.after is not None:
            prerequisite[column] = columns[Action(*step.after)]
    return Process(
        clock=clock,
        profile=profile,
        shape=shape,
        mean_gap=mean_gap,
        begin=_habit_days(clock, profile, now, begin_days_ago),
        fade=_habit_days(clock, profile, now, fade_days_ago),
        once=once,
        prerequisite=prerequisite,
        rest_speed=REST_SPEED,
    )


def _set_habits(
    item: Item,
    order: int,
    guests: list[Portrait],
    shape: np.ndarray,
    mean_gap: FloatArray,
    begin_days_ago: FloatArray,
    fade_days_ago: FloatArray,
) -> None:
    """Write the cycles of one item's habits, their ends, and the item's launch into the columns of its order."""
    for row, guest in enumerate(guests):
        if item.asset_id in guest.habits:
            shape[row, order] = item.steadiness
            mean_gap[row, order] = guest.habits[item.asset_id]
        if item.asset_id in guest.dropped:
            fade_days_ago[row, order] = max(guest.dropped[item.asset_id], fade_days_ago[row, order])
    if item.launched_days_ago is not None:
        begin_days_ago[:, order] = np.minimum(begin_days_ago[:, order], item.launched_days_ago)


def _habit_days(clock: WeeklyClock, profile: np.ndarray, now: float, days_ago: FloatArray) -> FloatArray:
    """Habit days at each number of days before ``now``; minus infinity days ago (never yet) becomes infinity."""
    result = np.full(days_ago.shape, np.inf)
    row, column = np.nonzero(np.isfinite(days_ago))
    result[row, column] = clock.habit_days(now - days_ago[row, column] * DAY_SECONDS, profile[row])
    return result


def _assets(now: float) -> list[Asset]:
    opened = int(now - SPAN_DAYS * DAY_SECONDS)
    assets = []
    for item in ITEMS:
        fields: dict[str, FieldValue] = {
            "VALUE": item.value,
            "CREATION_TIMESTAMP": opened,
            "CATEGORY": "|".join(item.labels),
            "TIER": "premium" if item.value >= 4.0 else "standard",
        }
        if item.launched_days_ago is not None:
            fields["CREATION_TIMESTAMP"] = int(now - item.launched_days_ago * DAY_SECONDS)
            fields["ACTION_EXPIRATION_TIMESTAMP"] = int(now + SEASON_DAYS_LEFT * DAY_SECONDS)
        if item.repeat_days is not None:
            fields["REPEAT_FREQUENCY"] = item.repeat_days
        assets.append(Asset(item.asset_id, _name(item.asset_id), item.labels, fields))
    for asset_id, (labels, value, repeat_days) in OTHER_ASSETS.items():
        fields = {
            "VALUE": value,
            "CREATION_TIMESTAMP": opened,
            "CATEGORY": "|".join(labels),
            "TIER": "premium" if value >= 20.0 else "standard",
        }
        if repeat_days is not None:
            fields["REPEAT_FREQUENCY"] = repeat_days
        assets.append(Asset(asset_id, _name(asset_id), labels, fields))
    return assets


def _name(asset_id: str) -> str:
    return asset_id.replace("-", " ").capitalize()
