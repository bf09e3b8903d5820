"""The coffee shop: what is on the menu, who likes what, and the guests with a name.

Plain data; ``demo`` turns it into a population.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

TASTES = ("espresso", "milk", "tea", "plant", "home", "sweet")


@dataclass(frozen=True, slots=True)
class Item:
    """Something to order. ``gap_days`` is the usual cycle of a guest who has made it a habit, ``steadiness`` the Erlang
    shape of that cycle (1 is memoryless), ``liking`` the relative appeal to each of ``TASTES``, ``rating`` whether it
    can be reviewed. ``launched_days_ago`` counts back from now; None means from the first day."""

    asset_id: str
    labels: tuple[str, ...]
    value: float
    gap_days: float
    steadiness: int
    liking: tuple[float, float, float, float, float, float]
    rating: bool = True
    launched_days_ago: float | None = None
    repeat_days: int | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """A step in a guest's life with the shop. ``wait_days`` is the mean wait from the opening for an average guest,
    ``after`` the action (event type, asset) that opens it, ``taste`` multiplies the pace for guests of that taste."""

    event_type: str
    asset_id: str
    wait_days: float
    once: bool = True
    steadiness: int = 1
    after: tuple[str, str] | None = None
    taste: str | None = None


@dataclass(frozen=True, slots=True)
class Portrait:
    """A guest with a name. ``habits`` are cycles in days by asset; ``dropped`` habits ended that many days ago."""

    user_id: str
    taste: str
    rhythm: str
    pace: float
    joined_days_ago: float
    habits: Mapping[str, float]
    dropped: Mapping[str, float] = field(default_factory=dict)
    left_days_ago: float | None = None
    app_share: float = 0.5


COFFEE, TEA, FOOD, BEANS = ("coffee", "drink"), ("tea", "drink"), ("food",), ("retail",)

# Columns of ``liking``: espresso, milk, tea, plant, home, sweet.
ITEMS = (
    Item("espresso", COFFEE, 2.4, 1.6, 3, (9.0, 0.6, 0.2, 0.8, 4.0, 0.5)),
    Item("double-espresso", COFFEE, 3.0, 1.8, 3, (7.0, 0.2, 0.1, 0.5, 3.0, 0.3)),
    Item("americano", COFFEE, 2.9, 1.7, 3, (5.0, 0.8, 0.5, 1.5, 1.5, 0.6)),
    Item("cortado", COFFEE, 3.2, 2.0, 3, (4.0, 2.0, 0.2, 0.5, 3.5, 0.5)),
    Item("flat-white", COFFEE, 3.6, 1.5, 3, (2.0, 8.0, 0.5, 0.8, 3.0, 1.5)),
    Item("latte", COFFEE, 3.7, 1.5, 3, (0.6, 9.0, 0.6, 0.6, 0.8, 3.0)),
    Item("cappuccino", COFFEE, 3.5, 1.7, 3, (1.0, 7.0, 0.6, 0.4, 0.8, 2.5)),
    Item("oat-latte", COFFEE, 4.1, 1.6, 3, (0.4, 2.0, 1.0, 9.0, 0.8, 1.2)),
    Item("iced-oat-latte", (*COFFEE, "iced"), 4.4, 2.5, 2, (0.2, 0.8, 0.6, 5.0, 0.3, 1.5)),
    Item("mocha", COFFEE, 4.2, 2.5, 2, (0.2, 1.5, 0.3, 0.4, 0.2, 7.0)),
    Item("cold-brew", (*COFFEE, "iced"), 4.0, 2.2, 2, (2.5, 0.6, 0.4, 2.0, 2.5, 1.0)),
    Item("pumpkin-latte", (*COFFEE, "seasonal"), 4.6, 2.5, 2, (0.3, 3.0, 1.0, 1.5, 0.3, 7.0), launched_days_ago=24.0),
    Item("english-breakfast", TEA, 2.6, 1.5, 3, (0.3, 0.8, 8.0, 0.8, 0.4, 0.8)),
    Item("earl-grey", TEA, 2.6, 1.7, 3, (0.2, 0.5, 8.0, 0.8, 0.3, 0.5)),
    Item("sencha", TEA, 3.1, 2.0, 3, (0.3, 0.2, 5.0, 2.5, 0.8, 0.2)),
    Item("matcha-latte", TEA, 4.3, 2.0, 3, (0.1, 1.0, 4.0, 6.0, 0.3, 1.5)),
    Item("chai-latte", TEA, 4.0, 2.2, 2, (0.1, 1.5, 4.0, 3.0, 0.2, 3.0)),
    Item("hot-chocolate", ("drink",), 3.9, 3.0, 2, (0.1, 1.0, 0.8, 0.5, 0.1, 6.0)),
    Item("croissant", FOOD, 2.8, 3.0, 2, (3.0, 5.0, 1.0, 0.3, 1.5, 3.0)),
    Item("almond-croissant", FOOD, 3.4, 4.0, 2, (0.8, 2.0, 0.8, 0.3, 0.8, 5.0)),
    Item("banana-bread", FOOD, 3.3, 4.0, 2, (0.4, 2.0, 1.5, 4.0, 0.4, 4.0)),
    Item("scone", FOOD, 3.0, 4.0, 2, (0.2, 0.8, 6.0, 0.3, 0.3, 2.0)),
    Item("brownie", FOOD, 3.2, 4.0, 2, (0.4, 1.0, 0.8, 0.8, 0.4, 7.0)),
    Item("granola-bowl", FOOD, 6.4, 4.0, 2, (0.4, 0.8, 1.0, 6.0, 0.4, 0.4)),
    Item("avocado-toast", FOOD, 7.8, 5.0, 2, (0.6, 1.5, 0.8, 5.0, 0.8, 0.6)),
    Item("cheese-toastie", FOOD, 6.2, 5.0, 2, (2.0, 2.5, 1.5, 0.1, 0.8, 1.5)),
    Item("soup-of-the-day", FOOD, 6.8, 6.0, 2, (0.8, 0.8, 2.5, 3.0, 0.6, 0.4)),
    Item("house-beans", BEANS, 11.5, 21.0, 6, (1.5, 0.6, 0.1, 0.4, 9.0, 0.1), repeat_days=14),
    Item("single-origin-beans", BEANS, 15.0, 24.0, 6, (1.0, 0.1, 0.1, 0.3, 8.0, 0.1), repeat_days=14),
    Item("decaf-beans", BEANS, 12.0, 28.0, 6, (0.1, 0.3, 0.3, 0.4, 2.0, 0.1), repeat_days=14),
    Item("loose-leaf-tea", BEANS, 9.5, 28.0, 6, (0.1, 0.1, 6.0, 0.8, 0.3, 0.1), repeat_days=21),
    Item("filter-papers", BEANS, 5.5, 42.0, 6, (0.3, 0.1, 0.1, 0.2, 6.0, 0.1), rating=False, repeat_days=28),
)

STEPS = (
    Step("get", "app", 25.0),
    Step("join", "coffee-club", 45.0),
    Step("subscribe", "newsletter", 140.0),
    Step("redeem", "free-drink", 30.0, once=False, steadiness=4, after=("join", "coffee-club")),
    Step("refer", "friend", 120.0, once=False, after=("join", "coffee-club")),
    Step("upgrade", "gold-club", 150.0, after=("join", "coffee-club")),
    Step("book", "barista-class", 240.0, once=False, taste="home"),
    Step("book", "tea-tasting", 260.0, once=False, taste="tea"),
    Step("buy", "reusable-cup", 220.0, taste="plant"),
    Step("buy", "gift-card", 160.0, once=False),
    Step("answer", "survey", 130.0),
)

# Labels, value to the shop, and days before asking again makes sense, of the assets that are not on the menu.
OTHER_ASSETS: Mapping[str, tuple[tuple[str, ...], float, int | None]] = {
    "app": (("digital",), 6.0, 365),
    "coffee-club": (("loyalty",), 10.0, 365),
    "newsletter": (("digital",), 2.0, 365),
    "free-drink": (("loyalty",), 1.0, None),
    "friend": (("loyalty",), 12.0, 30),
    "gold-club": (("loyalty",), 25.0, 365),
    "barista-class": (("event",), 35.0, 30),
    "tea-tasting": (("event",), 22.0, 30),
    "reusable-cup": (("retail",), 14.0, 180),
    "gift-card": (("retail",), 20.0, None),
    "survey": (("digital",), 1.0, 365),
}

# Relative number of visits by hour (UTC) as (centre, width in hours, height), then the weekend's share of a weekday.
RHYTHMS: Mapping[str, tuple[tuple[tuple[float, float, float], ...], float]] = {
    "commuter": (((8.0, 0.7, 10.0), (13.5, 1.0, 2.0)), 0.25),
    "office": (((9.5, 1.0, 4.0), (13.0, 0.8, 6.0), (15.5, 1.0, 3.0)), 0.15),
    "afternoon": (((15.0, 1.5, 6.0), (11.0, 1.5, 1.5)), 0.9),
    "weekend": (((10.5, 1.5, 6.0), (14.0, 2.0, 3.0)), 4.0),
    "evening": (((18.5, 1.2, 6.0), (12.5, 1.0, 1.5)), 1.2),
}

PORTRAITS = (
    Portrait(
        "ada",
        "milk",
        "commuter",
        1.6,
        178.0,
        {"flat-white": 1.3, "croissant": 3.0, "house-beans": 21.0},
        app_share=0.8,
    ),
    Portrait("grace", "tea", "afternoon", 1.4, 172.0, {"earl-grey": 1.6, "scone": 4.0, "loose-leaf-tea": 28.0}),
    Portrait(
        "alan",
        "home",
        "weekend",
        1.3,
        176.0,
        {"cortado": 2.5, "single-origin-beans": 18.0, "filter-papers": 42.0},
        app_share=0.7,
    ),
    Portrait("edsger", "espresso", "office", 0.4, 170.0, {"espresso": 1.1}, app_share=0.0),
    Portrait("barbara", "plant", "weekend", 1.2, 160.0, {"oat-latte": 2.0, "granola-bowl": 3.5, "banana-bread": 6.0}),
    Portrait(
        "katherine",
        "milk",
        "commuter",
        1.1,
        168.0,
        {"latte": 1.4, "oat-latte": 1.4},
        dropped={"latte": 40.0},
        app_share=0.9,
    ),
    Portrait("donald", "sweet", "evening", 1.2, 150.0, {"mocha": 2.5, "brownie": 3.5, "pumpkin-latte": 2.5}),
    Portrait("linus", "espresso", "commuter", 1.2, 175.0, {"americano": 1.2, "cold-brew": 3.0}, left_days_ago=50.0),
    Portrait("margaret", "tea", "office", 1.3, 6.0, {"english-breakfast": 1.2, "soup-of-the-day": 4.0}),
    Portrait("radia", "plant", "office", 2.5, 179.0, {"matcha-latte": 1.5, "avocado-toast": 4.0, "sencha": 3.0}),
    Portrait("hedy", "sweet", "weekend", 1.0, 100.0, {"hot-chocolate": 4.0, "almond-croissant": 4.0}),
    Portrait("tim", "milk", "evening", 1.0, 2.0, {"cappuccino": 1.5}),
)
