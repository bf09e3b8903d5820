"""One evaluation: our model and every baseline on one event file, split in time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nextbest.domain.actions import Action
from nextbest.domain.history import History
from nextbest.domain.programs import Program
from nextbest.scoring import Model, recommend
from nextbest.training.blend import STEPS
from nextbest.training.context import FitContext
from nextbest.training.grid import PRIORS, TIES
from nextbest.training.learners import Prior
from nextbest.training.metrics import CUTOFF, measure, top_lists
from nextbest.training.partitions import OnePartition
from nextbest.training.plan import Plan
from nextbest.training.rows import Rows
from nextbest.training.split import VISITS_PER_USER, Window, tuning_cut, visits_of, window_of
from nextbest.training.table import COLUMNS, EventTable
from nextbest.training.trainer import train
from nextbest.training.validation import LEAST_SCALE, TIE_WEIGHT, Validation
from tools.evaluation.baselines import Baseline, Fitted, Setting, baselines, with_prior
from tools.evaluation.results import Row

Targets = Literal["window", "next"]
TIMED_USERS = 300
"""Users whose scoring is timed one by one: enough for a 99th percentile."""
_ROWS_AT_ONCE = 512
"""Rows scored at once; it bounds the memory of a score matrix."""
_FIT_CELLS = 16_000_000
"""Events read at all examples together: as many as our own final fit reads."""


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

    def _context(self, now: float) -> FitContext:
        partitions, horizon_days = OnePartition(self.table), self.program.horizon_days
        return FitContext(partitions, now, horizon_days, cells=_FIT_CELLS, only_before=True)

    def _baseline(self, baseline: Baseline, window: Window, mode: str, progress: Callable[[str], None]) -> Row:
        best, tried, prior, weight = self._tuned(baseline, mode == "repeats")
        context = self._context(self.cut)
        began = time.perf_counter()
        fitted = best.fit(context)
        if weight:
            fitted = with_prior(fitted, prior.popularity(context), weight)
        seconds = time.perf_counter() - began
        ties = TIES.popularity(context).astype(np.float32)
        metrics = measure(_lists(fitted, window, ties), window.targets)
        moments = window.moments
        one_by_one = [Rows(self.table, moments[row : row + 1]) for row in range(min(TIMED_USERS, len(moments)))]
        p50, p99 = _timed([partial(_top_of, fitted, rows) for rows in one_by_one])
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

    def _tuned(self, baseline: Baseline, allow_repeats: bool) -> tuple[Setting, int, Prior, float]:
        """The setting that ranks the tuning window best, how many were tried, and a prior to add with its weight."""
        best, tried = baseline.settings[0], len(baseline.settings)
        prior, weight = TIES, 0.0
        if tried == 1 and not baseline.takes_prior:
            return best, tried, prior, weight
        context = self._context(self.tuning_cut)
        held_out = window_of(
            self.before,
            self.tuning_cut,
            self.cut,
            allow_repeats=allow_repeats,
            most_users=self.plan.validation_users,
            random=np.random.default_rng(self.seed),
            visits_per_user=VISITS_PER_USER,
        )
        validation = Validation(
            held_out, np.arange(len(self.table.actions)), TIES.popularity(context).astype(np.float32)
        )
        rows = Rows(self.before, held_out.moments[validation.rows])
        highest, best_scores = -1.0, np.zeros(0, np.float32)
        for setting in baseline.settings:
            scores = setting.fit(context).score(rows)
            value = validation(scores)
            if value > highest:
                best, highest, best_scores = setting, value, scores
        if baseline.takes_prior and len(validation.rows):
            prior, weight = _best_prior(validation, best_scores, context)
            tried += len(PRIORS) * len(STEPS)
        return best, tried, prior, weight

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
        lists = np.full((len(histories), CUTOFF), -1, np.int64)
        nows = window.moments.nows.tolist()
        for row, (history, now) in enumerate(zip(histories, nows, strict=True)):
            answer = recommend(model, history, now=now, limit=CUTOFF, allow_repeats=allow_repeats)
            for place, item in enumerate(answer):
                lists[row, place] = index[Action(item.event_type, item.asset_id)]
        p50, p99 = _timed(
            [
                partial(recommend, model, history, now=now, limit=CUTOFF, allow_repeats=allow_repeats)
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


def _best_prior(validation: Validation, scores: NDArray[np.float32], context: FitContext) -> tuple[Prior, float]:
    """The prior that improves the ranking by ``scores`` most, and its weight: 0 where none does."""
    highest, best, weight = validation(scores), TIES, 0.0
    for prior in PRIORS:
        added = np.tile(prior.popularity(context).astype(np.float32), (len(scores), 1))
        unit = validation.scale_of(scores) / validation.scale_of(added)
        for step in STEPS:
            value = validation(scores + np.float32(step * unit) * added)
            if value > highest:
                highest, best, weight = value, prior, step * unit
    return best, weight


def _lists(fitted: Fitted, window: Window, ties: NDArray[np.float32]) -> NDArray[np.int64]:
    """The best actions for each row of the window, shape (rows, at most 10)."""
    parts = []
    moments = window.moments
    for begin in range(0, len(moments), _ROWS_AT_ONCE):
        rows = slice(begin, begin + _ROWS_AT_ONCE)
        scores = fitted.score(Rows(window.table, moments[rows]))
        scores = scores + ties * np.float32(TIE_WEIGHT * max(float(np.abs(scores).max()), LEAST_SCALE))
        seen = window.seen[rows].tocoo()
        scores[seen.row, seen.col] = -np.inf
        parts.append(top_lists(scores))
    return np.concatenate(parts) if parts else np.zeros((0, CUTOFF), np.int64)


def _top_of(fitted: Fitted, rows: Rows) -> NDArray[np.int64]:
    return top_lists(fitted.score(rows))


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
