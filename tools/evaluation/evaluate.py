"""``./nextbest evaluate FILE``: our model against the classic methods on one event file.

Global time split: everything before the test window is there to learn and tune from, the window to judge on: what each
user did in all of it, or (``--targets next``) in their first visit, for discoveries the first with something new. Full
ranking, no sampled candidates. FILE is a CSV (or .csv.gz) with the columns user_id, event_type, asset_id, timestamp
(seconds since 1970).
"""

from __future__ import annotations

import csv
import gzip
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from nextbest.domain.history import History
from nextbest.domain.programs import Program
from nextbest.scoring import Model, recommend
from nextbest.training.blend import STEPS, Judge
from nextbest.training.components import Workshop
from nextbest.training.metrics import Metrics, measure, top_lists
from nextbest.training.priors import Prior
from nextbest.training.split import VISITS_PER_USER, Window, tuning_cut, visits_of, window_of
from nextbest.training.table import COLUMNS, EventTable, Moments
from nextbest.training.trainer import Plan, train
from nextbest.training.tune import PRIORS, TIES
from tools.evaluation.baselines import Baseline, Fitted, baselines, with_prior

TIMED_USERS = 300
Targets = Literal["window", "next"]
_CHUNK = 512
_CELLS = 16_000_000


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    mode: str
    method: str
    setting: str
    metrics: Metrics
    settings_tried: int
    fit_seconds: float
    artifact_bytes: int
    p50_microseconds: float
    p99_microseconds: float


def read_events(path: Path) -> dict[str, Any]:
    """The columns of an event file."""

    def rows(file: IO[str]) -> dict[str, Any]:
        reader = csv.DictReader(file)
        columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
        for row in reader:
            for name in COLUMNS:
                columns[name].append(row[name])
        return {**columns, "timestamp": np.array(columns["timestamp"], np.float64)}

    if path.suffix == ".gz":
        with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
            return rows(file)
    with path.open(encoding="utf-8", newline="") as file:
        return rows(file)


class Evaluation:
    """One event file, split in time: ``cut`` begins the test window."""

    def __init__(
        self,
        events: dict[str, Any],
        *,
        test_share: float,
        time_budget_seconds: float,
        seed: int,
        users: int,
        targets: Targets = "window",
    ) -> None:
        timestamps = np.asarray(events["timestamp"], np.float64)
        self.cut = float(np.quantile(timestamps, 1.0 - test_share))
        self.seed = seed
        self.users = users
        self.targets = targets
        self.time_budget_seconds = time_budget_seconds
        self.program = Program("evaluation")
        past = timestamps < self.cut
        self.past = {name: np.asarray(events[name])[past] for name in COLUMNS}
        self.table = EventTable.of(events, float(timestamps.max()))
        self.end = float(np.nextafter(timestamps.max(), np.inf))
        self.before = self.table.before(self.cut)
        self.tuning_cut = tuning_cut(self.before, self.cut, self.program.horizon_days)
        self.plan = Plan.of(len(self.table.actions), time_budget_seconds)

    def run(self, progress: Callable[[str], None]) -> tuple[list[Row], Model]:
        """All methods in both modes."""
        began = time.perf_counter()
        model = train(
            self.past,
            program=self.program,
            now=self.cut,
            seed=self.seed,
            time_budget_seconds=self.time_budget_seconds,
        )
        seconds = time.perf_counter() - began
        progress("ours")
        rows: list[Row] = []
        for mode in ("repeats", "discoveries"):
            allow_repeats = mode == "repeats"
            window = self._test_window(allow_repeats)
            rows += [self._baseline(each, window, mode, progress) for each in self._methods(allow_repeats)]
            rows.append(self._ours(model, window, mode, seconds))
        return rows, model

    def _methods(self, allow_repeats: bool) -> list[Baseline]:
        return baselines(self.plan.dense_limit, allow_repeats=allow_repeats)

    def method_count(self) -> int:
        """How many steps ``run`` reports."""
        return 1 + sum(len(self._methods(allow_repeats)) for allow_repeats in (True, False))

    def _test_window(self, allow_repeats: bool) -> Window:
        table, cut, end = self.table, self.cut, self.end
        random = np.random.default_rng(self.seed)
        if self.targets == "window":
            return window_of(table, cut, end, allow_repeats=allow_repeats, most_users=self.users, random=random)
        everyone = window_of(table, cut, end, allow_repeats=True, most_users=self.users, random=random)
        return visits_of(
            table,
            cut,
            end,
            everyone.moments.users,
            allow_repeats=allow_repeats,
            visits_per_user=1,
            inside_per_user=0,
            most_rows=self.users,
        )

    def _workshop(self, now: float) -> Workshop:
        everyone = np.ones(self.table.user_count, np.bool_)
        return Workshop(self.table.before(now), now, self.program.horizon_days, everyone, _CELLS)

    def _baseline(self, baseline: Baseline, window: Window, mode: str, progress: Callable[[str], None]) -> Row:
        best, tried = baseline.settings[0], len(baseline.settings)
        prior, weight = TIES, 0.0
        if tried > 1 or baseline.takes_prior:
            workshop = self._workshop(self.tuning_cut)
            held_out = window_of(
                self.before,
                self.tuning_cut,
                self.cut,
                allow_repeats=mode == "repeats",
                most_users=self.plan.judged_users,
                random=np.random.default_rng(self.seed),
                visits_per_user=VISITS_PER_USER,
            )
            everything = np.arange(len(self.table.actions))
            ties = workshop.popularity(TIES).astype(np.float32)
            judge = Judge(held_out, everything, ties)
            chosen = held_out.moments[judge.rows]
            highest, scores = -1.0, np.zeros(0, np.float32)
            for setting in baseline.settings:
                found = setting.fit(workshop).score(self.before, chosen)
                value = judge(found)
                if value > highest:
                    best, highest, scores = setting, value, found
            if baseline.takes_prior and len(judge.rows):
                _, prior, weight = _best_prior(judge, scores, workshop)
                tried += len(PRIORS) * len(STEPS)
        workshop = self._workshop(self.cut)
        began = time.perf_counter()
        fitted = best.fit(workshop)
        if weight:
            fitted = with_prior(fitted, workshop, prior, weight)
        seconds = time.perf_counter() - began
        ties = workshop.popularity(TIES).astype(np.float32)
        metrics = measure(_lists(fitted, self.table, window, ties), window.targets)
        moments = window.moments
        one_by_one = [moments[row : row + 1] for row in range(min(TIMED_USERS, len(moments)))]
        p50, p99 = _timed([partial(_top_of, fitted, self.table, each) for each in one_by_one])
        progress(f"{mode}: {baseline.name}")
        return Row(
            mode,
            baseline.name,
            best.description + (f" + {weight:.2g} prior ({prior})" if weight else ""),
            metrics,
            tried,
            seconds,
            fitted.artifact_bytes,
            p50,
            p99,
        )

    def _ours(self, model: Model, window: Window, mode: str, seconds: float) -> Row:
        table = self.table
        allow_repeats = mode == "repeats"
        index = {action: place for place, action in enumerate(table.actions)}
        histories = [
            History.from_events(
                (*table.actions[action], at)
                for action, at in zip(
                    table.action[table.starts[user] : end].tolist(),
                    table.time[table.starts[user] : end].tolist(),
                    strict=True,
                )
            )
            for user, end in zip(window.moments.users.tolist(), window.moments.ends.tolist(), strict=True)
        ]
        lists = np.full((len(histories), 10), -1, np.int64)
        nows = window.moments.nows.tolist()
        for row, (history, now) in enumerate(zip(histories, nows, strict=True)):
            for place, item in enumerate(recommend(model, history, now=now, limit=10, allow_repeats=allow_repeats)):
                lists[row, place] = index[(item.event_type, item.asset_id)]  # type: ignore[index]  # equal to an Action
        p50, p99 = _timed(
            [
                partial(recommend, model, history, now=now, limit=10, allow_repeats=allow_repeats)
                for history, now in zip(histories[:TIMED_USERS], nows, strict=False)
            ]
        )
        parts = ", ".join(part["part"] for part in model.report["modes"][mode]["parts"])
        return Row(
            mode,
            "Nextbest",
            parts,
            measure(lists, window.targets),
            model.report["settings_tried"],
            seconds,
            len(model.to_bytes()),
            p50,
            p99,
        )


def _best_prior(judge: Judge, scores: NDArray[np.float32], workshop: Workshop) -> tuple[float, Prior, float]:
    """NDCG@10, prior and weight of the prior that helps ``scores`` most; weight 0 when none does."""
    best = (judge(scores), TIES, 0.0)
    for prior in PRIORS:
        added = np.tile(workshop.popularity(prior).astype(np.float32), (len(scores), 1))
        unit = judge.scale_of(scores) / judge.scale_of(added)
        for step in STEPS:
            value = judge(scores + np.float32(step * unit) * added)
            if value > best[0]:
                best = (value, prior, step * unit)
    return best


def _lists(fitted: Fitted, table: EventTable, window: Window, ties: NDArray[np.float32]) -> NDArray[np.int64]:
    parts = []
    moments = window.moments
    for begin in range(0, len(moments), _CHUNK):
        rows = slice(begin, begin + _CHUNK)
        scores = fitted.score(table, moments[rows])
        scores = scores + ties * np.float32(1e-6 * max(float(np.abs(scores).max()), 1e-20))
        seen = window.seen[rows].tocoo()
        scores[seen.row, seen.col] = -np.inf
        parts.append(top_lists(scores))
    return np.concatenate(parts) if parts else np.zeros((0, 10), np.int64)


def _top_of(fitted: Fitted, table: EventTable, moments: Moments) -> NDArray[np.int64]:
    return top_lists(fitted.score(table, moments))


def _timed(calls: Sequence[Callable[[], object]]) -> tuple[float, float]:
    """Median and 99th percentile of the calls' durations, in microseconds."""
    durations = []
    for call in calls:
        began = time.perf_counter()
        call()
        durations.append((time.perf_counter() - began) * 1e6)
    if not durations:
        return 0.0, 0.0
    return float(np.percentile(durations, 50)), float(np.percentile(durations, 99))


def table_text(rows: Sequence[Row]) -> str:
    """The rows as an aligned table."""
    lines = [
        f"{'mode':<12}{'method':<36}{'recall@10':>10}{'NDCG@10':>9}{'MRR':>8}{'coverage':>10}{'tried':>7}{'fit s':>8}"
        f"{'bytes':>11}{'p50 µs':>9}{'p99 µs':>9}  setting"
    ]
    for row in rows:
        metrics = row.metrics
        lines.append(
            f"{row.mode:<12}{row.method:<36}{metrics.recall:>10.4f}{metrics.ndcg:>9.4f}{metrics.reciprocal_rank:>8.4f}"
            f"{metrics.coverage:>10.3f}{row.settings_tried:>7}{row.fit_seconds:>8.1f}{row.artifact_bytes:>11,}{row.p50_microseconds:>9.0f}"
            f"{row.p99_microseconds:>9.0f}  {row.setting}"
        )
    return "\n".join(lines)


def run(
    file: Path,
    *,
    test_share: float,
    time_budget_seconds: float,
    users: int,
    targets: Targets,
    seed: int,
    plots: Path | None = None,
    json_file: Path | None = None,
) -> None:
    """Evaluate on one file, print the table, and write the plots and the report where wanted."""
    evaluation = Evaluation(
        read_events(file),
        test_share=test_share,
        time_budget_seconds=time_budget_seconds,
        seed=seed,
        users=users,
        targets=targets,
    )
    with tqdm(total=evaluation.method_count(), unit="method") as bar:

        def progress(step: str) -> None:
            bar.set_postfix_str(step)
            bar.update()

        rows, model = evaluation.run(progress)
    print(table_text(rows))
    if json_file is not None:
        content = {"rows": [asdict(row) for row in rows], "report": dict(model.report)}
        json_file.write_text(json.dumps(content, indent=1), encoding="utf-8")
    if plots is not None:
        from tools.evaluation.plots import save_plots  # matplotlib is for the command alone

        for path in save_plots(rows, model.report, plots, file.name.split(".")[0]):
            print(path)
