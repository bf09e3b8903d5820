"""Time of a ten-field filter over a large catalogue, printed with its conditions: ``./nextbest bench-filters``.

warm: masks of the conditions on the catalogue are cached. cold: new values in every request, so none is cached, but
the catalogue's columns are. columns: the cost of a new catalogue version, once.
"""

from __future__ import annotations

import os
import platform
import random
import statistics
import time
from collections.abc import Callable

import numpy as np

from nextbest.domain.assets import Asset, FieldValue
from nextbest.filters import FilterColumns, Interactions, Schema, bind, evaluate, parse

TEN_FIELDS = (
    "INCLUDE ActionID WHERE Actions.TIER IN ($TIER) AND Actions.VALUE > $MIN AND Actions.REGION NOT IN "
    '("north", "west") AND Actions.CHANNEL IN ("app", "shop") OR Actions.OWNER = "ann" AND Actions.STOCK >= 5 '
    'OR Actions.SEASON IN ("spring") AND Actions.MARGIN <= 0.75 IF CurrentUser.AGE > 18 '
    '| EXCLUDE ActionID WHERE Action_Interactions.EVENT_TYPE IN ("NOT_TAKEN")'
)
USER: dict[str, FieldValue] = {"AGE": 40}
VALUES = {"TIER": '"gold","silver"', "MIN": "3"}


def catalogue(actions: int, chance: random.Random) -> list[Asset]:
    """``actions`` assets with six string fields, multi-valued ones among them, and three numeric ones; 10 % null."""
    strings = {
        "TIER": ["gold", "silver", "tin", "gold|silver", "silver|tin"],
        "REGION": ["north", "east", "south", "west", "north|south", "east|west"],
        "CHANNEL": ["app", "shop", "call", "app|shop|call"],
        "OWNER": [f"owner {number}" for number in range(300)] + ["ann"],
        "SEASON": ["spring", "summer", "autumn", "winter"],
    }

    def fields() -> dict[str, FieldValue]:
        row: dict[str, FieldValue] = {name: chance.choice(values) for name, values in strings.items()}
        row |= {"VALUE": chance.randint(1, 10), "STOCK": chance.randint(0, 1000), "MARGIN": chance.random()}
        return {name: value for name, value in row.items() if chance.random() > 0.1}

    return [Asset(f"asset-{number}", fields=fields()) for number in range(actions)]


def milliseconds(call: Callable[[int], object], rounds: int) -> list[float]:
    """Times of ``rounds`` calls, each given its number, sorted."""
    times = []
    for number in range(rounds):
        began = time.perf_counter()
        call(number)
        times.append(1000 * (time.perf_counter() - began))
    return sorted(times)


def row(what: str, times: list[float]) -> str:
    """One line of the table: median and 99th percentile."""
    return f"{what:<52}{statistics.median(times):>9.3f}{times[int(0.99 * (len(times) - 1))]:>9.3f}"


def run(*, actions: int, rounds: int) -> None:
    """Measure and print the table."""
    chance = random.Random(1)
    assets = catalogue(actions, chance)
    events = [("NOT_TAKEN", assets[chance.randrange(len(assets))].asset_id) for _ in range(300)]
    order = np.arange(len(events))
    schema = Schema.observed(assets)
    bound = bind(parse(TEN_FIELDS), schema)
    columns = FilterColumns(assets)

    def request(values: dict[str, str]) -> int:
        interactions = Interactions.newest(events, order)
        return int(evaluate(bound, values, columns, interactions=interactions, user=USER).sum())

    passing = request(VALUES)
    print(f"Python {platform.python_version()}, numpy {np.__version__}, {platform.machine()}, {os.cpu_count()} cores")
    print(f"{actions} actions, {len(bound.fields)} fields, 300 interactions, {passing} actions pass")
    print(f"{'':<52}{'p50 ms':>9}{'p99 ms':>9}")
    print(row("request, warm masks", milliseconds(lambda _: request(VALUES), rounds)))
    cold = milliseconds(lambda number: request(VALUES | {"MIN": str(number / 1000)}), rounds)
    print(row("request, cold masks", cold))
    fresh = milliseconds(lambda _: evaluate(
        bound, VALUES, FilterColumns(assets), interactions=Interactions(), user=USER
    ), max(3, rounds // 20))  # fmt: skip
    print(row("first request of a catalogue version, with columns", fresh))
    print(row("parse and bind", milliseconds(lambda _: bind(parse(TEN_FIELDS), schema), rounds)))
