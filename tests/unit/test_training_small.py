"""Programs too small or too plain to learn much from still train to something sensible."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from nextbest.domain.history import History
from nextbest.domain.programs import Program
from nextbest.errors import InvalidInput
from nextbest.scoring import Model, recommend
from nextbest.scoring.kernels import DAY_SECONDS
from nextbest.training import train
from tests.factories import columns_of_rows

NOW = 400 * DAY_SECONDS
PROGRAM = Program("small")


def ten_users(assets: int, repeats: bool = True, seed: int = 1) -> dict[str, list[Any]]:
    random = np.random.default_rng(seed)
    events = []
    for user in range(10):
        chosen = random.integers(assets, size=12) if repeats else random.permutation(assets)[:12]
        events += [
            (f"u{user}", "do", f"a{asset}", NOW - DAY_SECONDS * float(random.integers(1, 300)))
            for asset in chosen.tolist()
        ]
    return columns_of_rows(events)


def crowd(age: Callable[[np.random.Generator], float], huge: int = 0, types: int = 1) -> dict[str, list[Any]]:
    """Thirty users with ten events each, aged ``age`` seconds; one more with ``huge`` events."""
    random = np.random.default_rng(3)
    events = []
    for user, count in enumerate([10] * 30 + [huge]):
        for asset, kind in zip(random.integers(8, size=count), random.integers(types, size=count), strict=True):
            events.append((f"u{user}", "do" if kind == 0 else f"do{kind}", f"a{asset}", NOW - age(random)))
    return columns_of_rows(events)


def best(model: Model, allow_repeats: bool = True) -> list[str]:
    history = History.from_events([("do", "a0", NOW - DAY_SECONDS)])
    answer = recommend(model, history, now=NOW, limit=5, allow_repeats=allow_repeats)
    assert all(0.0 <= item.growth_weight <= 1.0 for item in answer)
    assert [item.growth_weight for item in answer] == sorted((item.growth_weight for item in answer), reverse=True)
    return [item.asset_id for item in answer]


@pytest.mark.parametrize(
    "events",
    [
        pytest.param(ten_users(1), id="one action"),
        pytest.param(ten_users(6), id="ten users"),
        pytest.param(ten_users(20, repeats=False), id="no repeats"),
        pytest.param(columns_of_rows([("u", "do", "a0", NOW - 5.0)]), id="one event"),
        pytest.param(columns_of_rows([(f"u{n}", "do", "a0", NOW - 5.0) for n in range(9)]), id="one moment"),
        pytest.param(columns_of_rows([("u", "do", f"a{n}", NOW - n * DAY_SECONDS) for n in range(300)]), id="one user"),
        pytest.param(crowd(lambda random: DAY_SECONDS * float(random.random()) * 7), id="one week"),
        pytest.param(crowd(lambda random: DAY_SECONDS * float(random.integers(1, 5))), id="four moments for all"),
        pytest.param(crowd(lambda random: float(random.integers(1, 60))), id="one minute"),
        pytest.param(crowd(lambda random: DAY_SECONDS * float(random.integers(1, 90)), huge=2000), id="one huge user"),
        pytest.param(crowd(lambda random: DAY_SECONDS * float(random.integers(1, 90)), types=6), id="six event types"),
    ],
)
def test_small_programs_train(events: dict[str, list[Any]]) -> None:
    model = train(events, program=PROGRAM, now=NOW, seed=1)
    assert len(best(model)) == min(5, len(model.actions))
    history = History.from_events([("do", "a0", NOW - DAY_SECONDS)])
    discoveries = recommend(model, history, now=NOW, limit=5, allow_repeats=False)
    assert ("do", "a0") not in [(item.event_type, item.asset_id) for item in discoveries]


def test_no_event_at_all_gives_a_model_without_actions() -> None:
    model = train(columns_of_rows([]), program=PROGRAM, now=NOW, seed=1)
    assert list(model.actions) == []
    assert recommend(model, History.empty(), now=NOW, limit=5, allow_repeats=True) == []


def test_the_same_seed_gives_the_same_bytes() -> None:
    events = ten_users(6)
    one, other = (train(events, program=PROGRAM, now=NOW, seed=7).to_bytes() for _ in range(2))
    assert one == other


def test_the_order_of_the_rows_does_not_matter() -> None:
    events = ten_users(6)
    backwards = {name: column[::-1] for name, column in events.items()}
    one, other = (train(each, program=PROGRAM, now=NOW, seed=7).to_bytes() for each in (events, backwards))
    assert one == other


def test_times_may_be_whole_microseconds() -> None:
    events = ten_users(6)
    exact = {name: column for name, column in events.items() if name != "timestamp"}
    exact["timestamp_us"] = [round(time * 1e6) for time in events["timestamp"]]
    one, other = (train(each, program=PROGRAM, now=NOW, seed=7).to_bytes() for each in (events, exact))
    assert one == other


def test_a_model_survives_its_file() -> None:
    model = train(ten_users(6), program=PROGRAM, now=NOW, seed=1)
    assert best(Model.from_bytes(model.to_bytes())) == best(model)
    assert Model.from_bytes(model.to_bytes()).to_bytes() == model.to_bytes()


def test_events_after_now_are_left_out() -> None:
    events = columns_of_rows([("u", "do", "early", NOW - 10.0), ("u", "do", "late", NOW + 10.0)])
    model = train(events, program=PROGRAM, now=NOW, seed=1)
    assert [action.asset_id for action in model.actions] == ["early"]


@pytest.mark.parametrize(
    ("events", "message"),
    [
        ({"user_id": ["u"], "event_type": ["do"], "asset_id": ["a"]}, "timestamp"),
        ({"user_id": ["u"], "event_type": ["do"], "asset_id": ["a"], "timestamp": ["noon"]}, "seconds since 1970"),
        ({"user_id": ["u"], "event_type": ["do"], "asset_id": ["a"], "timestamp": [float("nan")]}, "finite"),
        ({"user_id": ["u"], "event_type": ["do"], "asset_id": ["a"], "timestamp_us": [1.5]}, "whole microseconds"),
        ({"user_id": ["u", "v"], "event_type": ["do"], "asset_id": ["a"], "timestamp": [1.0]}, "lengths"),
    ],
)
def test_malformed_events_are_refused(events: dict[str, list[Any]], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        train(events, program=PROGRAM, now=NOW, seed=1)
