"""Training: the events of a program in, one model out.

    1  split by time: a tuning window at the end, everything before it to learn from (more windows where users are few)
    2  for each mode, search the blend on the windows (``tune``), on weights learned before each
    3  calibrate on the last window: scores of all users and actions against what was taken within the horizon
    4  learn the chosen parts again from all events, and keep blend and calibration

Deterministic for a seed: the effort follows from the size of the data and the time budget by a fixed formula.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from threadpoolctl import threadpool_limits

from nextbest.domain.programs import Program
from nextbest.scoring.calibration import activity_of
from nextbest.scoring.kernels import DAY_SECONDS, Kernel, moment_of
from nextbest.scoring.model import Mode, Model
from nextbest.training.blend import Blend, Part
from nextbest.training.build import build_mode, rounded, score_matrix
from nextbest.training.calibrate import NO_PAIRS, Pairs, crossed_reliability, fit_calibration, pairs_of
from nextbest.training.components import Recipe, Workshop
from nextbest.training.priors import Prior
from nextbest.training.split import VISITS_PER_USER, tuning_cuts, window_of
from nextbest.training.table import Columns, EventTable, Moments
from nextbest.training.transitions import seen_of, targets_of
from nextbest.training.tune import LEARNED_KERNELS, Effort, Tuner

ENTRIES = 2_100_000
"""Learned weights kept over both modes: about 8 MB of artifact."""
DENSE_LIMIT = 15_000
TIME_BUDGET_SECONDS = 300.0
_PER_ACTION = (16, 200)
_OPERATIONS_PER_SECOND = 5e10
_TUNING_SHARE, _FITTING_SHARE = 0.3, 0.6
_TUNING_CELLS, _FITTING_CELLS = 4_000_000, 16_000_000
_JUDGED_USERS, _JUDGED_CELLS = 2_000, 12_000_000
_CALIBRATION_CELLS = 8_000_000
# Threads that wait for one another cost small matrices more than they help; on busy cores a hundred times more.
_SMALL_HEAD = 512
_RIDGE_STEPS, _RIDGE_FACTOR = 3, 3.0

LearnFrom = Literal["everyone", "highly_engaged"]


@dataclass(frozen=True, slots=True)
class Plan:
    """How much work to do for data of one size within a time budget."""

    effort: Effort
    dense_limit: int
    judged_users: int

    @classmethod
    def of(cls, actions: int, time_budget_seconds: float, windows: int = 1) -> Plan:
        """Solve the cost of the closed forms, about 4 n³ operations each, for n: 8 final fits, about 120 in tuning on
        each of ``windows``."""
        tuning = (_TUNING_SHARE * time_budget_seconds * _OPERATIONS_PER_SECOND / (4 * 120 * windows)) ** (1 / 3)
        fitting = (_FITTING_SHARE * time_budget_seconds * _OPERATIONS_PER_SECOND / (4 * 8)) ** (1 / 3)
        kernels = int(np.clip(len(LEARNED_KERNELS) * time_budget_seconds / 120.0, 2, len(LEARNED_KERNELS)))
        return cls(
            Effort(kernels, min(actions, max(200, int(tuning)))),
            min(actions, DENSE_LIMIT, max(500, int(fitting))),
            int(np.clip(_JUDGED_CELLS // max(actions, 1), 200, _JUDGED_USERS)),
        )


def train(
    events: Columns,
    *,
    program: Program,
    now: float,
    seed: int,
    values: Mapping[str, float] | None = None,
    time_budget_seconds: float = TIME_BUDGET_SECONDS,
    learn_from: LearnFrom = "everyone",
) -> Model:
    """Learn a model of ``program`` from ``events`` (columns user_id, event_type, asset_id, timestamp in seconds).

    ``now`` (seconds) is the time to learn for: later events are left out. Where nothing happened for long before, it is
    learned for the time of the last event (``moment_of``). ``values`` by asset id turn the ranking
    into expected value; assets without one count 1. ``learn_from`` chooses whether item weights are learned from all
    users or from those with at least the program's ``high_engagement_threshold`` events; the report compares both.
    Deterministic for a ``seed`` and a ``time_budget_seconds``, which decides how many settings are tried (for two
    cores of 2024; it is not a deadline). Raises InvalidInput for events that are not of that shape.
    """
    table = EventTable.of(events, now)
    last_event_at = float(table.time.max()) if len(table.time) else math.inf
    moment = moment_of(now, last_event_at)
    cuts = tuning_cuts(table, moment, program.horizon_days)
    plan = Plan.of(len(table.actions), time_budget_seconds, len(cuts))
    trainer = _Trainer(table, program, moment, cuts, np.random.default_rng(seed), plan, learn_from)
    with threadpool_limits(1 if plan.effort.head < _SMALL_HEAD else None, user_api="blas"):
        modes, learned = trainer.run()
    report = {
        "events": len(table.time),
        "users": table.user_count,
        "actions": len(table.actions),
        "seed": seed,
        "time_budget_seconds": time_budget_seconds,
        "learn_from": learn_from,
        **learned,
    }
    asset_values = None
    if values is not None:
        asset_values = np.array([values.get(action.asset_id, 1.0) for action in table.actions], np.float64)
    return Model(
        actions=table.actions,
        repeats=modes["repeats"],
        discoveries=modes["discoveries"],
        half_life_days=float(program.half_life_days),
        horizon_days=float(program.horizon_days),
        action_weight_floor=program.action_weight_floor,
        trained_at=now,
        report=report,
        values=asset_values,
        last_event_at=last_event_at,
    )


class _Trainer:
    """The steps of one training, and what they share."""

    def __init__(
        self,
        table: EventTable,
        program: Program,
        now: float,
        cuts: Sequence[float],
        random: np.random.Generator,
        plan: Plan,
        learn_from: LearnFrom,
    ) -> None:
        self.table = table
        self.program = program
        self.now = now
        self.plan = plan
        self.random = random
        self.cuts = cuts
        self.pasts = [table.before(cut) for cut in cuts]
        engaged = np.diff(table.starts) >= program.high_engagement_threshold
        everyone = np.ones(table.user_count, np.bool_)
        chosen, other = (everyone, engaged) if learn_from == "everyone" else (engaged, everyone)
        self.learners = chosen
        self.workshops = self._workshops(chosen, _TUNING_CELLS)
        self.other_workshops = self._workshops(other, _TUNING_CELLS)

    def run(self) -> tuple[dict[str, Mode], dict[str, Any]]:
        """Both modes, and what the report says of them."""
        drafts = {name: self.draft(name == "repeats") for name in ("repeats", "discoveries")}
        per_action = self.per_action(drafts)
        before = self._workshops(self.learners, _FITTING_CELLS)
        after = self._workshop(self.table, self.now, self.learners, _FITTING_CELLS)
        modes, reports = {}, {}
        for name, (tuner, blend) in drafts.items():
            modes[name], reports[name] = self.finish(tuner, blend, before, after, per_action)
        return modes, {
            "tuning_window_days": (self.now - self.cuts[-1]) / DAY_SECONDS,
            "tuning_windows": len(self.cuts),
            "tuning_head": self.plan.effort.head,
            "dense_actions": self.plan.dense_limit,
            "weights_per_action": per_action,
            "settings_tried": sum(tuner.settings_tried for tuner, _ in drafts.values()),
            "notes": self.notes(),
            "modes": reports,
        }

    def _workshops(self, learners: NDArray[np.bool_], cells: int) -> list[Workshop]:
        """What was known before each tuning window."""
        return [self._workshop(past, cut, learners, cells) for past, cut in zip(self.pasts, self.cuts, strict=True)]

    def _workshop(self, table: EventTable, now: float, learners: NDArray[np.bool_], cells: int) -> Workshop:
        return Workshop(table, now, self.program.horizon_days, learners, cells, self.plan.effort.head)

    def notes(self) -> list[str]:
        """What the reader of the report should know about data that are few or plain."""
        found = []
        if not len(self.pasts[-1].time):
            found.append("no event before the tuning window: the model is the recent popularity alone")
        if not len(self.workshops[-1].transitions.moments):
            found.append("nobody came back before the tuning window: nothing was learned about what comes next")
        if len(self.table.actions) < 2:
            found.append("fewer than two actions: there is nothing to rank")
        counts = np.diff(self.table.starts)
        distinct = len(np.unique(self.table.user * max(len(self.table.actions), 1) + self.table.action))
        if distinct == int(counts.sum()):
            found.append("no action was ever repeated")
        return found

    def draft(self, allow_repeats: bool) -> tuple[Tuner, Blend]:
        """Search the blend of a mode."""
        ends = [*self.cuts[1:], float(np.nextafter(self.now, np.inf))]
        windows = [
            window_of(
                self.table,
                cut,
                end,
                allow_repeats=allow_repeats,
                most_users=self.plan.judged_users,
                random=self.random,
                visits_per_user=VISITS_PER_USER,
            )
            for cut, end in zip(self.cuts, ends, strict=True)
        ]
        tuner = Tuner(self.workshops, windows, allow_repeats=allow_repeats, effort=self.plan.effort)
        return tuner, tuner.search()

    def per_action(self, drafts: Mapping[str, tuple[Tuner, Blend]]) -> int:
        """How many weights of each action every learned part may keep, so that the artifact keeps its size."""
        recipes = [
            part.what
            for _, blend in drafts.values()
            for part in blend.parts
            if isinstance(part.what, Recipe) and part.what.kind != "same_asset"  # a few weights of each action at most
        ]
        everything = len(self.table.actions)
        rows = sum(everything if recipe.kind == "neighbours" else self.plan.dense_limit for recipe in recipes)
        return int(np.clip(ENTRIES // max(rows, 1), *_PER_ACTION))

    def finish(
        self, tuner: Tuner, draft: Blend, before: Sequence[Workshop], after: Workshop, per_action: int
    ) -> tuple[Mode, dict[str, Any]]:
        """Refine on the whole catalogue with what was known ``before`` each window, calibrate, and learn again from
        everything (``after``)."""
        comparison = self._compare_learners(tuner, draft)
        blend, matrices = self._refine_whole(tuner, draft.parts, before, per_action)
        held_out = build_mode(before[-1], blend.parts, matrices[-1], fit_calibration(NO_PAIRS))
        parts, days = self._held_out_pairs(held_out, tuner.allow_repeats)
        calibration = fit_calibration(Pairs.join(parts))
        final = self._matrices(after, blend.parts, per_action, tuner.allow_repeats)
        mode = build_mode(after, blend.parts, final, calibration)
        return mode, {
            "settings_tried": tuner.settings_tried,
            "rankings_judged": tuner.judge.judged,
            "judged_users": tuner.judge.user_count,
            "ndcg_at_10": blend.value,
            "held_out": blend.judge.metrics(blend.total),
            "parts": [
                {**part.to_json(), "ndcg_without": without}
                for part, without in zip(blend.parts, blend.without(), strict=True)
            ],
            "search": draft.steps,
            "learners": comparison,
            "calibration_window_days": days,
            "calibration": crossed_reliability(Pairs.join(parts[::2]), Pairs.join(parts[1::2])),
        }

    def _refine_whole(
        self, tuner: Tuner, parts: list[Part], workshops: Sequence[Workshop], per_action: int
    ) -> tuple[Blend, list[dict[Recipe, sparse.csr_array]]]:
        """The blend refined over the whole catalogue. Where that is more than the search saw, its ridges are raised
        while the ranking gets better by it, beyond chance: rarer actions have fewer events to learn from."""

        def refined(parts: list[Part]) -> tuple[Blend, list[dict[Recipe, sparse.csr_array]]]:
            matrices = [self._matrices(each, parts, per_action, tuner.allow_repeats) for each in workshops]
            return tuner.refine_whole(parts, matrices), matrices

        found = refined(parts)
        if self.plan.effort.head == len(self.table.actions):
            return found
        for _ in range(_RIDGE_STEPS):
            stronger = [replace(part, what=_stronger(part.what)) for part in parts]
            if stronger == parts:
                break
            other = refined(stronger)
            if not other[0].judge.pays(found[0].total, other[0].total, 1.0):
                break
            found, parts = other, stronger
        return found

    def _compare_learners(self, tuner: Tuner, draft: Blend) -> dict[str, Any]:
        """The blend on the head with weights learned from the users chosen, and from the others' choice."""
        if not len(tuner.judge.rows):
            return {}
        return {
            "chosen_users": len(self.workshops[-1].everyone),
            "chosen_ndcg": draft.value,
            "other_users": len(self.other_workshops[-1].everyone),
            "other_ndcg": tuner.value_with(self.other_workshops, draft.parts),
        }

    def _matrices(
        self, workshop: Workshop, parts: list[Part], per_action: int, allow_repeats: bool
    ) -> dict[Recipe, sparse.csr_array]:
        head = workshop.head(self.plan.dense_limit)
        recipes = [part.what for part in parts if isinstance(part.what, Recipe)]
        return {recipe: rounded(workshop.fit(recipe, head, per_action, allow_repeats)) for recipe in recipes}

    def _held_out_pairs(self, mode: Mode, allow_repeats: bool) -> tuple[list[Pairs], float]:
        """Pairs of users known at the cut and all actions, with what was taken within the horizon after it; in groups
        of users, of which there are several as soon as there are several users."""
        table, cut = self.table, self.cuts[-1]
        end = min(cut + self.program.horizon_days * DAY_SECONDS, float(np.nextafter(self.now, np.inf)))
        ends = table.ends_before(cut)
        users = np.flatnonzero(ends > table.starts[:-1])
        limit = max(1, _CALIBRATION_CELLS // max(len(table.actions), 1))
        if len(users) > limit:
            users = np.sort(self.random.choice(users, limit, replace=False))
        parts = []
        size = int(np.clip(len(users) // 8, 1, 256))
        for begin in range(0, len(users), size):
            chunk = users[begin : begin + size]
            moments = Moments.at(table, chunk, cut)
            taken = targets_of(table, moments.ends, table.ends_before(end)[chunk]).toarray() > 0
            possible = np.ones_like(taken) if allow_repeats else ~seen_of(table, moments)
            activity = np.array(
                [
                    activity_of(table.time[table.starts[user] : last], cut, self.program.horizon_days)
                    for user, last in zip(chunk.tolist(), moments.ends.tolist(), strict=True)
                ]
            )
            parts.append(pairs_of(score_matrix(mode, table, moments), taken, possible, activity, self.random))
        return parts, (end - cut) / DAY_SECONDS


def _stronger(what: Prior | Kernel | Recipe) -> Prior | Kernel | Recipe:
    """A closed form with its ridge raised by a step; anything else as it is."""
    if isinstance(what, Recipe) and what.kind != "neighbours":
        return replace(what, ridge=what.ridge * _RIDGE_FACTOR)
    return what
