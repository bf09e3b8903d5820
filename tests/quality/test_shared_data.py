"""Quality floors on real data: ours against a tuned simple method, on a true time split of a sample of users."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nextbest.domain.actions import Action
from nextbest.domain.history import History
from nextbest.domain.programs import Program
from nextbest.event_files.rows import RowRules
from nextbest.scoring import Model, recommend
from nextbest.training.grid import PERSONAL_KERNELS
from nextbest.training.metrics import measure, top_lists
from nextbest.training.popularity import UserActionPairs, popularity
from nextbest.training.split import Window, window_of
from nextbest.training.table import EventTable, inputs_of
from nextbest.training.trainer import train
from tools.evaluation.events import read_events

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
BUDGET_SECONDS = 5.0


class Case:
    """One file, a sample of its users and actions, split at the last tenth of its events."""

    def __init__(self, path: Path, users: int, actions: int) -> None:
        columns, counts = read_events([path], RowRules(now=time.time()))
        assert not counts.rejected
        events = {name: np.asarray(column) for name, column in columns.items()}
        frequent = _most_common(events["asset_id"], actions)
        kept = np.isin(events["asset_id"], frequent)
        kept &= np.isin(events["user_id"], np.random.default_rng(1).permutation(np.unique(events["user_id"]))[:users])
        events = {name: column[kept] for name, column in events.items()}
        times = events["timestamp"]
        self.cut = float(np.quantile(times, 0.9))
        past = {name: column[times < self.cut] for name, column in events.items()}
        self.table = EventTable.of(events, float(times.max()))
        self.model: Model = train(
            past, program=Program("quality"), now=self.cut, seed=1, time_budget_seconds=BUDGET_SECONDS
        )

    def window(self, allow_repeats: bool) -> Window:
        return window_of(
            self.table,
            self.cut,
            float(np.nextafter(self.table.time.max(), np.inf)),
            allow_repeats=allow_repeats,
            most_users=600,
            random=np.random.default_rng(1),
        )

    def ours(self, window: Window, allow_repeats: bool) -> float:
        """NDCG@10 of ``recommend``."""
        index = {action: place for place, action in enumerate(self.table.actions)}
        lists = np.full((len(window.moments), 10), -1, np.int64)
        for row, (user, end) in enumerate(
            zip(window.moments.users.tolist(), window.moments.ends.tolist(), strict=True)
        ):
            places = slice(int(self.table.starts[user]), end)
            taken = [self.table.actions[action] for action in self.table.action[places].tolist()]
            times = self.table.time[places].tolist()
            history = History.from_events((*action, at) for action, at in zip(taken, times, strict=True))
            answer = recommend(self.model, history, now=self.cut, limit=10, allow_repeats=allow_repeats)
            for place, item in enumerate(answer):
                lists[row, place] = index[Action(item.event_type, item.asset_id)]
        return measure(lists, window.targets).ndcg

    def simple(self, window: Window, allow_repeats: bool) -> float:
        """NDCG@10 of the best decayed personal count with popularity behind it (the popularity alone for
        discoveries), chosen on the test window itself: the method's ceiling."""
        before = self.table.before(self.cut)
        best = 0.0
        for half_life_days in (7.0, 30.0, 180.0):
            prior = popularity(UserActionPairs.of(before).decayed_users(half_life_days, self.cut)).astype(np.float32)
            for kernel in PERSONAL_KERNELS[:6] if allow_repeats else PERSONAL_KERNELS[:1]:
                scores = np.tile(prior * np.float32(1e-6), (len(window.moments), 1))
                if allow_repeats:
                    scores += inputs_of(self.table, window.moments, kernel).toarray()
                window.mask(scores)
                best = max(best, measure(top_lists(scores), window.targets).ndcg)
        return best


def _most_common(values: Any, count: int) -> Any:
    names, counts = np.unique(values, return_counts=True)
    return names[np.argsort(-counts, kind="stable")[:count]]


@pytest.fixture(scope="module", params=["online_retail", "so_badges"])
def case(request: pytest.FixtureRequest) -> Case:
    path = DATA / f"{request.param}.csv.gz"
    if not path.exists():
        pytest.skip(f"{path.name} is not beside the repository")
    return Case(path, users=1500, actions=500)


@pytest.mark.parametrize(("allow_repeats", "floor"), [(True, 1.0), (False, 1.0)])
def test_ours_is_no_worse_than_the_ceiling_of_the_simple_method(case: Case, allow_repeats: bool, floor: float) -> None:
    window = case.window(allow_repeats)
    assert case.ours(window, allow_repeats) >= floor * case.simple(window, allow_repeats)


def test_growth_weights_are_calibrated_on_the_held_out_window(case: Case) -> None:
    for mode in ("repeats", "discoveries"):
        assert case.model.report["modes"][mode]["calibration"]["expected_calibration_error"] < 0.01


def test_the_report_accounts_for_the_search(case: Case) -> None:
    report = case.model.report
    assert report["settings_tried"] == sum(entry["settings_tried"] for entry in report["modes"].values())
    for entry in report["modes"].values():
        assert entry["parts"][0]["part"] == "prior"
        assert all(part["weight"] != 0.0 for part in entry["parts"])
