"""Both modes of a training: tuned and calibrated on a sample of users, fitted on all of them.

1  for each mode, search the blend on the windows (``tune``), with what was learned before each
2  calibrate on the last window, repeats and discoveries apart: scores of users and actions against what was taken
   within the horizon (``held_out``)
3  fit the chosen parts again on all events of all users, with that blend and calibration
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nextbest.domain.programs import Program
from nextbest.scoring.calibration import Calibration
from nextbest.scoring.kernels import DAY_SECONDS
from nextbest.scoring.model import Mode
from nextbest.training.averages import with_averages
from nextbest.training.blend import Blend, Part
from nextbest.training.build import ModeDraft
from nextbest.training.calibrate import NO_PAIRS, fit_calibration
from nextbest.training.context import FitContext
from nextbest.training.held_out import HeldOutPairs
from nextbest.training.learners import FitTask, Fitted, Learner
from nextbest.training.partitions import OnePartition, Partitions
from nextbest.training.plan import Plan
from nextbest.training.pooled import ActionGroups, with_pooled
from nextbest.training.rows import FitRows
from nextbest.training.split import VISITS_PER_USER, window_of
from nextbest.training.table import EventTable
from nextbest.training.tune import Tuner

WEIGHTS_IN_ARTIFACT = 2_100_000
"""Item weights of both modes together: about 8 MB of artifact."""
_PER_ACTION = (16, 200)
"""Fewest and most item weights of each action, whatever the artifact's size."""
_TUNING_CELLS, _FITTING_CELLS = 4_000_000, 16_000_000
"""Events read at all examples together (``FitContext``): the search solves for many settings, the fit once each."""
_RIDGE_STEPS = 3
_RIDGE_STANDARD_ERRORS = 1.0

LearnFrom = Literal["everyone", "highly_engaged"]


@dataclass(frozen=True, slots=True)
class _Refined:
    """A blend refined on the whole catalogue, the mode that it makes of what was known before the last window, and what
    learning from other users would give."""

    blend: Blend
    held_out: Mode
    comparison: dict[str, Any]


class ModeTrainer:
    """The steps of one training, and what they share: the search on a sample of users, the fit on ``all_users``."""

    def __init__(
        self,
        all_users: Partitions,
        sample: EventTable,
        user_count: int,
        program: Program,
        now: float,
        cuts: Sequence[float],
        random: np.random.Generator,
        plan: Plan,
        learn_from: LearnFrom,
    ) -> None:
        self.table = sample
        self.sample = OnePartition(sample)
        self.program = program
        self.now = now
        self.plan = plan
        self.random = random
        self.cuts = cuts
        everyone, engaged = 0, program.high_engagement_threshold
        self.least_events, other = (everyone, engaged) if learn_from == "everyone" else (engaged, everyone)
        self.contexts = self._contexts(self.least_events, _TUNING_CELLS)
        self.other_contexts = self._contexts(other, _TUNING_CELLS)
        self.everything = FitContext(
            all_users,
            now,
            program.horizon_days,
            cells=int(_FITTING_CELLS * max(user_count / max(sample.user_count, 1), 1.0)),
            least_events=self.least_events,
            ridge_head=plan.effort.head,
        )
        self.groups = ActionGroups(all_users, self.everything.event_counts, cuts[-1])

    @property
    def largest_system(self) -> int:
        """About how many unknowns the closed forms of the search have: no more than there are rows to learn from."""
        rows = max(max(context.user_count, context.example_count) for context in self.contexts)
        return min(self.plan.effort.head, rows)

    def run(self) -> tuple[dict[str, Mode], dict[str, Any]]:
        """Both modes, and what the report says of them."""
        drafts = {name: self.draft(name == "repeats") for name in ("repeats", "discoveries")}
        per_action = self.per_action(drafts)
        before = self._contexts(self.least_events, _FITTING_CELLS)
        refined = {name: self.refine(tuner, draft, before, per_action) for name, (tuner, draft) in drafts.items()}
        pairs = HeldOutPairs.of(
            refined["repeats"].held_out,
            refined["discoveries"].held_out,
            self.table,
            cut=self.cuts[-1],
            now=self.now,
            horizon_days=self.program.horizon_days,
            random=self.random,
        )
        calibrations = {"repeats": pairs.repeats.fit(), "discoveries": pairs.discoveries.fit()}
        modes, reports = {}, {}
        for name, (tuner, draft) in drafts.items():
            blend = refined[name].blend
            final = self._fit(self.everything, blend.parts, per_action, tuner.allow_repeats)
            mode = build_mode(len(self.table.actions), blend.parts, final, calibrations[name])
            modes[name] = with_averages(with_pooled(mode, self.groups), self.table, self.now)
            reports[name] = {
                **self.report(tuner, draft, refined[name]),
                "calibration_window_days": pairs.days,
                "calibration": pairs.reliability(allow_repeats=tuner.allow_repeats),
            }
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

    def takers(self) -> NDArray[np.int64]:
        """How many users took each action within the last horizon, shape (actions,)."""
        return self.everything.total(_TakersAfter(self.now - self.program.horizon_days * DAY_SECONDS))["users"]

    def _contexts(self, least_events: int, cells: int) -> list[FitContext]:
        """What was known of the sample before each tuning window."""
        return [
            FitContext(
                self.sample,
                cut,
                self.program.horizon_days,
                cells=cells,
                least_events=least_events,
                only_before=True,
                ridge_head=self.plan.effort.head,
            )
            for cut in self.cuts
        ]

    def notes(self) -> list[str]:
        """What the reader of the report should know where data are few or of one kind."""
        notes = []
        if not self.contexts[-1].event_counts.any():
            notes.append("no event before the tuning window: the model is the recent popularity alone")
        if not self.contexts[-1].example_count:
            notes.append("nobody came back before the tuning window: nothing was learned about what comes next")
        if len(self.table.actions) < 2:
            notes.append("fewer than two actions: there is nothing to rank")
        counts = np.diff(self.table.starts)
        distinct = len(np.unique(self.table.user * max(len(self.table.actions), 1) + self.table.action))
        if distinct == int(counts.sum()):
            notes.append("no action was ever repeated")
        return notes

    def draft(self, allow_repeats: bool) -> tuple[Tuner, Blend]:
        """Search the blend of a mode."""
        ends = [*self.cuts[1:], float(np.nextafter(self.now, np.inf))]
        windows = [
            window_of(
                self.table,
                cut,
                end,
                allow_repeats=allow_repeats,
                most_users=self.plan.validation_users,
                random=self.random,
                visits_per_user=VISITS_PER_USER,
            )
            for cut, end in zip(self.cuts, ends, strict=True)
        ]
        tuner = Tuner(self.contexts, windows, allow_repeats=allow_repeats, effort=self.plan.effort)
        return tuner, tuner.search()

    def per_action(self, drafts: Mapping[str, tuple[Tuner, Blend]]) -> int:
        """How many item weights of each action a learner may have, so that the artifact stays within its size."""
        learners = [part.learner for _, blend in drafts.values() for part in blend.parts]
        rows = sum(each.truncated_rows(len(self.table.actions), self.plan.dense_limit) for each in learners)
        return int(np.clip(WEIGHTS_IN_ARTIFACT // max(rows, 1), *_PER_ACTION))

    def refine(self, tuner: Tuner, draft: Blend, before: Sequence[FitContext], per_action: int) -> _Refined:
        """Refine on the whole catalogue with what was known ``before`` each window."""
        comparison = self._compare_learn_from(tuner, draft)
        blend, fitted = self._refine_whole(tuner, draft.parts, before, per_action)
        held_out = build_mode(len(self.table.actions), blend.parts, fitted[-1], fit_calibration(NO_PAIRS))
        return _Refined(blend, held_out, comparison)

    def report(self, tuner: Tuner, draft: Blend, refined: _Refined) -> dict[str, Any]:
        """What the report says of a mode."""
        blend = refined.blend
        return {
            "settings_tried": tuner.settings_tried,
            "rankings_judged": tuner.validation.ranking_count,
            "judged_users": tuner.validation.user_count,
            "ndcg_at_10": blend.value,
            "held_out": blend.validation.metrics(blend.total),
            "classic_ndcg_at_10": tuner.classic_ndcg(),
            "parts": [
                {**part.to_json(), "ndcg_without": without}
                for part, without in zip(blend.parts, blend.without(), strict=True)
            ],
            "ndcg_without": blend.without_learners(),
            "search": draft.steps,
            "learners": refined.comparison,
        }

    def _refine_whole(
        self, tuner: Tuner, parts: list[Part], contexts: Sequence[FitContext], per_action: int
    ) -> tuple[Blend, list[dict[Learner, Fitted]]]:
        """The blend refined over the whole catalogue. Where that is more than the search saw, its ridges are raised
        while the ranking improves by more than chance: rarer actions have fewer events to learn from."""

        def refined(parts: list[Part]) -> tuple[Blend, list[dict[Learner, Fitted]]]:
            fitted = [self._fit(context, parts, per_action, tuner.allow_repeats) for context in contexts]
            return tuner.refine_whole(parts, fitted), fitted

        blend, fitted = refined(parts)
        if self.plan.effort.head == len(self.table.actions):
            return blend, fitted
        for _ in range(_RIDGE_STEPS):
            stronger = [replace(part, learner=part.learner.stronger()) for part in parts]
            if stronger == parts:
                break
            other, other_fitted = refined(stronger)
            if not other.validation.improves(blend.total, other.total, _RIDGE_STANDARD_ERRORS):
                break
            blend, fitted, parts = other, other_fitted, stronger
        return blend, fitted

    def _compare_learn_from(self, tuner: Tuner, draft: Blend) -> dict[str, Any]:
        """The value of the blend on the head, learned from the users chosen and from the other choice of users."""
        if not len(tuner.validation.rows):
            return {}
        return {
            "chosen_users": self.contexts[-1].user_count,
            "chosen_ndcg": draft.value,
            "other_users": self.other_contexts[-1].user_count,
            "other_ndcg": tuner.value_with(self.other_contexts, draft.parts),
        }

    def _fit(
        self, context: FitContext, parts: Sequence[Part], per_action: int, allow_repeats: bool
    ) -> dict[Learner, Fitted]:
        task = FitTask(context, context.head(self.plan.dense_limit), allow_repeats, per_action)
        return {part.learner: part.learner.fit(task) for part in parts}


def build_mode(
    action_count: int, parts: Sequence[Part], fitted: Mapping[Learner, Fitted], calibration: Calibration
) -> Mode:
    """A mode from the weights of its ``parts`` and their ``fitted`` learners."""
    draft = ModeDraft(action_count)
    for part in parts:
        fitted[part.learner].add_to(draft, part.weight)
    return draft.mode(calibration)


@dataclass(frozen=True, slots=True)
class _TakersAfter:
    """How many users took each action after ``time`` (seconds)."""

    time: float

    def __call__(self, rows: FitRows) -> dict[str, NDArray[np.int64]]:
        return {"users": rows.pairs.takers_after(self.time)}
