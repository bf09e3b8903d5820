"""A catalogue that changes daily: what was put since the last rebase competes at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from nextbest.domain.actions import Action
from nextbest.domain.history import History
from nextbest.domain.programs import Program
from nextbest.scoring import Model, recommend
from nextbest.scoring.kernels import DAY_SECONDS
from nextbest.training import train
from tests.factories import columns_of_rows

NOW = 1_760_000_000.0
DAYS, USERS, NEW_HOTELS = 4, 400, 120
Click = tuple[str, str, str, float]


def clicks() -> list[Click]:
    """Clicks on hotels, of which two in three are new each day and never seen again; users come back to what they
    clicked before within the same visit, and book some of it."""
    random = np.random.default_rng(1)
    rows: list[Click] = []
    for day in range(DAYS):
        hotels = [f"day{day}-{number}" for number in range(NEW_HOTELS)] + [f"all-{number}" for number in range(60)]
        popularity = random.permutation(1.0 / np.arange(1, len(hotels) + 1) ** 0.7)
        popularity /= popularity.sum()
        for user in random.permutation(USERS)[: USERS // 2].tolist():
            at = NOW - (DAYS - day) * DAY_SECONDS + float(random.random()) * 0.8 * DAY_SECONDS
            visited: list[str] = []
            for _ in range(1 + int(random.geometric(0.25))):
                if visited and random.random() < 0.55:
                    hotel = visited[-1 if random.random() < 0.6 else int(random.integers(len(visited)))]
                else:
                    hotel = hotels[int(random.choice(len(hotels), p=popularity))]
                visited.append(hotel)
                rows.append((f"u{user}", "click", hotel, at))
                at += float(random.exponential(300.0))
                if random.random() < 0.12:
                    rows.append((f"u{user}", "book", hotel, at))
                    at += 60.0
    return sorted(rows, key=lambda row: row[3])


CLICKS = clicks()
CUT = NOW - DAY_SECONDS


@pytest.fixture(scope="module")
def model() -> Model:
    """Learned from all days but the last."""
    past = columns_of_rows([row for row in CLICKS if row[3] < CUT])
    return train(past, program=Program("hotels", horizon_days=1), now=CUT, seed=1, time_budget_seconds=1.0)


def value(best: Callable[[list[Click], float], Sequence[tuple[str, str]]], *, discoveries: bool) -> float:
    """NDCG@10 of ``best`` of a history at a time, in the middle of each user's last day."""
    discounts = 1.0 / np.log2(np.arange(2, 12))
    values = []
    for user in sorted({row[0] for row in CLICKS}):
        own = [row for row in CLICKS if row[0] == user]
        today = [row for row in own if row[3] >= CUT]
        if len(today) < 3:
            continue
        now = today[len(today) // 2][3]
        before = [row for row in own if row[3] < now]
        taken = {row[1:3] for row in today if row[3] >= now}
        if discoveries:
            taken -= {row[1:3] for row in before}
        if taken:
            ranked = best(before, now)[:10]
            gain = sum(discounts[place] for place, action in enumerate(ranked) if tuple(action) in taken)
            values.append(gain / discounts[: len(taken)].sum())
    return float(np.mean(values))


def ours(model: Model, *, allow_repeats: bool) -> float:
    def best(before: list[Click], now: float) -> list[tuple[str, str]]:
        history = History.from_events(row[1:] for row in before)
        answer = recommend(model, history, now=now, limit=10, allow_repeats=allow_repeats)
        return [Action(item.event_type, item.asset_id) for item in answer]

    return value(best, discoveries=not allow_repeats)


def last_first(before: list[Click], _now: float) -> list[tuple[str, str]]:
    return list(dict.fromkeys(row[1:3] for row in reversed(before)))


def most_first(before: list[Click], now: float) -> list[tuple[str, str]]:
    weights: dict[tuple[str, str], float] = {}
    for _, event_type, hotel, at in before:
        weights[event_type, hotel] = weights.get((event_type, hotel), 0.0) + 0.5 ** ((now - at) / 3600.0)
    return sorted(weights, key=lambda action: -weights[action])


def test_repeats_keep_up_with_what_the_user_did_last_and_most(model: Model) -> None:
    simple = max(value(last_first, discoveries=False), value(most_first, discoveries=False))
    assert ours(model, allow_repeats=True) >= 0.9 * simple


def test_discoveries_gain_from_clicks_on_what_the_model_does_not_know(model: Model) -> None:
    # Given the same model as version 1 of its file held it, which knows nothing of event types
    old = {**vars(model)}
    for name in ("repeats", "discoveries"):
        mode = getattr(model, name)
        old[name] = type(mode)(mode.prior, mode.terms, mode.calibration)
    fields = {name: old[name] for name in Model.__dataclass_fields__}
    assert ours(model, allow_repeats=False) > 1.2 * ours(Model(**fields), allow_repeats=False)


@pytest.mark.parametrize("allow_repeats", [True, False])
def test_growth_weights_within_a_visit_come_true(model: Model, allow_repeats: bool) -> None:
    # Given the lists of all users in the middle of their visit
    expected, observed = 0.0, 0
    for user in sorted({row[0] for row in CLICKS}):
        own = [row for row in CLICKS if row[0] == user]
        today = [row for row in own if row[3] >= CUT]
        if len(today) >= 3:
            now = today[len(today) // 2][3]
            history = History.from_events(row[1:] for row in own if row[3] < now)
            taken = {row[1:3] for row in today if row[3] >= now}
            answer = recommend(model, history, now=now, limit=10, allow_repeats=allow_repeats)
            expected += sum(item.growth_weight for item in answer)
            observed += sum((item.event_type, item.asset_id) in taken for item in answer)
    # Then what was expected came true, up to luck and a third
    assert observed > 20
    assert 0.6 < expected / observed < 1.6
